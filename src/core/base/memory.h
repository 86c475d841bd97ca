/* core/base/memory.h
 *
 * The allocator of all private memory of the core, so that a test can make the
 * n-th request fail.
 *
 * The caller owns the memory and frees it with memory_release().
 */
#ifndef SHAREDMAP_CORE_BASE_MEMORY_H
#define SHAREDMAP_CORE_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* NULL without memory; a size of 0 still gives an address of its own. */
void *
memory_allocate(size_t size);

/* Like memory_allocate() for count items; NULL also when the product of the
 * two does not fit a size_t. */
void *
memory_allocate_array(size_t count, size_t item_size);

/* Accepts NULL. */
void
memory_release(void *memory);

#ifdef SHAREDMAP_TESTING
/* Lets the next `count` requests succeed, then fails one or, if `forever`,
 * all that follow. A negative count switches the fault off. */
void
memory_fail_after(long count, bool forever);

/* How many blocks are allocated. */
long
memory_outstanding(void);
#endif

#endif
