/* core/segment/readers.h
 *
 * Who is in the middle of a lookup, so that what a lookup borrows can be freed
 * when none uses it any more.
 *
 *     reader                         closer
 *     counter = readers_enter()      exchange the pointer
 *     load the pointer               readers_wait()
 *     look up                        free what it led to
 *     readers_leave(counter)
 *
 * As in SRCU, a reader counts itself in one of two numbers, that of the
 * present epoch. Each thread has a stripe of these counters, on a cache line
 * of its own as long as there are no more threads than stripes: readers share
 * no line that one of them writes.
 *
 *     epoch      0                        chosen for the next readers
 *     stripes    | 2, 0 | 0, 0 | 1, 0 | ...
 *
 * The counters are those of the process: closing one map waits for the lookups
 * in others, too. These take less than a microsecond; between enter and leave
 * there must be nothing that can wait, or run code of the user's.
 *
 * Sequentially consistent are: counting, loading the pointer after it,
 * exchanging the pointer, loading the counters after that. So a reader that
 * has loaded the old pointer is seen.
 */
#ifndef SHAREDMAP_CORE_SEGMENT_READERS_H
#define SHAREDMAP_CORE_SEGMENT_READERS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { READERS_STRIPES = 64 };

struct readers_stripe {
    _Alignas(64) _Atomic uint32_t counts[2];
};

extern struct readers_stripe readers_stripes[READERS_STRIPES];
extern _Atomic unsigned readers_epoch;
extern _Thread_local struct readers_stripe *readers_own;

/* The stripe of a thread that has none yet. */
struct readers_stripe *
readers_join(void);

typedef _Atomic uint32_t *readers_counter;

static inline readers_counter
readers_enter(void)
{
    struct readers_stripe *stripe = readers_own;
    if (stripe == NULL) {
        stripe = readers_join();
    }
    readers_counter counter =
        &stripe->counts[atomic_load_explicit(&readers_epoch,
                                             memory_order_relaxed)
                        & 1];
    atomic_fetch_add(counter, 1);
    return counter;
}

static inline void
readers_leave(readers_counter counter)
{
    atomic_fetch_sub_explicit(counter, 1, memory_order_release);
}

/* Returns when all that had entered have left. Not between enter and leave. */
void
readers_wait(void);

#endif
