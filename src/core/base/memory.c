/* core/base/memory.c
 *
 * malloc and free, and in test builds the fault that is injected on purpose.
 *
 * A million entries are sorted and gathered in large blocks, with random
 * access: with pages of 4 KiB most of that time goes into page faults and page
 * walks. So large blocks are in huge pages, where the system has some.
 *
 * Not here: shared memory; see core/segment/segment.h.
 */
#define _GNU_SOURCE
#include "core/base/memory.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, LARGE = 2 * HUGE_PAGE };

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

static void *
allocate_large(size_t size)
{
    void *memory;
    if (posix_memalign(&memory, HUGE_PAGE, size) != 0) {
        return NULL;
    }
#ifdef MADV_HUGEPAGE
    // Only advice: its failure is ignored and must not change errno. The last
    // page is excluded unless it is full.
    int saved_errno = errno;
    (void)madvise(memory, size & -(size_t)HUGE_PAGE, MADV_HUGEPAGE);
    errno = saved_errno;
#endif
    return memory;
}

void *
memory_allocate(size_t size)
{
#ifdef SHAREDMAP_TESTING
    if (fault_is_due()) {
        return NULL;
    }
#endif
    void *memory =
        size >= LARGE ? allocate_large(size) : malloc(size > 0 ? size : 1);
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
