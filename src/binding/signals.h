/* binding/signals.h
 *
 * Python's signal handlers during long work, in three ways:
 *
 *     without the GIL      signals_begin() ... signals_end()
 *     with the GIL, while  signals_watch(), then signals_retry()
 *       an object is locked
 *     with the GIL         signals_step() in each step of a loop
 *
 * Between begin and end the GIL is released, as by Py_BEGIN_ALLOW_THREADS; the
 * core asks the interrupt from time to time, and each 20 milliseconds that
 * takes the GIL for as long as the handlers run. What is interrupted answers
 * STATUS_INTERRUPTED, and signals_end() says what follows from it.
 */
#ifndef SHAREDMAP_BINDING_SIGNALS_H
#define SHAREDMAP_BINDING_SIGNALS_H

#include "binding/guard.h"
#include "binding/state.h"
#include "core/base/interrupt.h"
#include "core/base/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum signals_kind {
    SIGNALS_NOW,  // handlers run at once, and may do anything
    // The same while something is published. A child that a handler forks has
    // none of it: there the call is interrupted, with RuntimeError.
    SIGNALS_PUBLISHING,
    // The same while a tree is published. Its guard is released for as long as
    // handlers run. If the tree has changed then, the call is interrupted and
    // has to begin again.
    SIGNALS_LENDING,
    // The same when it has begun again, which must not happen without end: as
    // long as the tree is read, only SIGINT is noticed, and its handler runs
    // once signals_end() is called.
    SIGNALS_GUARDED,
};

struct signals {
    enum signals_kind kind;
    PyThreadState
        *thread;          // borrowed; of the caller while the GIL is released
    int64_t next_check;   // of segment_clock()
    uint64_t generation;  // of forks, when it began
    bool is_pending;      // SIGINT came, and its handler has not run
    bool is_changed;      // the tree, by a handler or while it ran
    bool is_written;      // filled by the core: the tree is not read again
    struct guard *guard;  // borrowed; NULL when nothing is guarded any more
};

/* Releases the GIL and fills the interrupt, which borrows from `signals`. */
void
signals_begin(struct signals *signals, enum signals_kind kind,
              struct interrupt *interrupt);

/* The same of the last two kinds, under the guard of a tree. The core fills
 * signals->is_written; from then on the guard may end at any time. */
void
signals_begin_guarded(struct signals *signals, enum signals_kind kind,
                      struct guard *guard, struct interrupt *interrupt);

/* For work that keeps the GIL while something is guarded, with no end: of
 * SIGINT only, whose handler runs in signals_retry(). */
void
signals_watch(struct signals *signals, struct interrupt *interrupt);

/* Takes the GIL again, and ends the guard if that has not happened yet. */
void
signals_end(struct signals *signals);

/* Of what was interrupted, with nothing locked any more: runs the handler that
 * was put off. True if it raised nothing, or if the tree has changed: then do it
 * again, with SIGNALS_GUARDED. False with an exception. */
bool
signals_retry(const struct signals *signals);

/* With the GIL: runs the handlers that are due, which may run any Python code.
 * -1 with the exception of one. Without a GIL of SIGINT only. */
int
signals_check(void);

/* Counts the steps of a loop, or of an object that several threads may use at
 * the same time: a step that is lost that way does no harm. Empty when all
 * zero. */
struct signals_steps {
    _Atomic uint32_t count;
};

enum { SIGNALS_STEPS = 64 };

/* signals_check() each SIGNALS_STEPS steps. */
static inline int
signals_step(struct signals_steps *steps)
{
    uint32_t count =
        atomic_load_explicit(&steps->count, memory_order_relaxed) + 1;
    atomic_store_explicit(&steps->count, count, memory_order_relaxed);
    return count % SIGNALS_STEPS == 0 ? signals_check() : 0;
}

#endif
