/* core/base/memory.h
 *
 * Where all private memory of the core comes from, so that a test can make the
 * n-th request fail.
 *
 * The caller owns what it is given and gives it back with memory_release().
 */
#ifndef SHAREDMAP_CORE_BASE_MEMORY_H
#define SHAREDMAP_CORE_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* NULL when there is none; a size of 0 still gives an address of its own. */
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

/* How many pieces are out at the moment. */
long
memory_outstanding(void);
#endif

#endif
