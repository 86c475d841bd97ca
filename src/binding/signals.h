/* binding/signals.h
 *
 * Python's signal handlers, while the core works for long without the GIL.
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

/* Takes the GIL again, and ends the guard if that has not happened yet. */
void
signals_end(struct signals *signals);

/* Of what was interrupted, with nothing locked any more: runs the handler that
 * was put off. True if it raised nothing, or if the tree has changed: then do it
 * again, with SIGNALS_GUARDED. False with an exception. */
bool
signals_retry(const struct signals *signals);

#endif
