/* core/memory.c
 *
 * malloc and free, and in test builds the fault that is injected on purpose.
 *
 * Not here: shared memory; see core/segment.h.
 */
#include "core/memory.h"

#include <stdint.h>
#include <stdlib.h>

#ifdef SHAREDMAP_TESTING
#include <stdatomic.h>

static atomic_long requests_left = -1;
static atomic_bool fails_forever;
static atomic_long outstanding;

void
memory_fail_after(long count, bool forever)
{
    atomic_store(&fails_forever, forever);
    atomic_store(&requests_left, count);
}

long
memory_outstanding(void)
{
    return atomic_load(&outstanding);
}

static bool
fault_is_due(void)
{
    long left = atomic_load(&requests_left);
    if (left < 0) {
        return false;
    }
    if (left > 0) {
        atomic_store(&requests_left, left - 1);
        return false;
    }
    if (!atomic_load(&fails_forever)) {
        atomic_store(&requests_left, -1);
    }
    return true;
}
#endif

void *
memory_allocate(size_t size)
{
#ifdef SHAREDMAP_TESTING
    if (fault_is_due()) {
        return NULL;
    }
#endif
    void *memory = malloc(size > 0 ? size : 1);
#ifdef SHAREDMAP_TESTING
    if (memory != NULL) {
        atomic_fetch_add(&outstanding, 1);
    }
#endif
    return memory;
}

void *
memory_allocate_array(size_t count, size_t item_size)
{
    size_t size;
    if (__builtin_mul_overflow(count, item_size, &size)) {
        return NULL;
    }
    return memory_allocate(size);
}

void
memory_release(void *memory)
{
#ifdef SHAREDMAP_TESTING
    if (memory != NULL) {
        atomic_fetch_sub(&outstanding, 1);
    }
#endif
    free(memory);
}
