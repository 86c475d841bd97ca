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

#include "binding/state.h"
#include "core/base/interrupt.h"
#include "core/base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum signals_kind {
    SIGNALS_NOW,  // handlers run at once, and may do anything
    // While an object is locked that a handler may want: of SIGINT only, and
    // once signals_end() is called.
    SIGNALS_LATER,
};

struct signals {
    enum signals_kind kind;
    PyThreadState
        *thread;         // borrowed; of the caller while the GIL is released
    int64_t next_check;  // of segment_clock()
    bool is_pending;     // SIGINT came, and its handler has not run
};

/* Releases the GIL and fills the interrupt, which borrows from `signals`. */
void
signals_begin(struct signals *signals, enum signals_kind kind,
              struct interrupt *interrupt);

/* Takes the GIL again. */
void
signals_end(struct signals *signals);

/* Of what was interrupted, with nothing locked any more: runs the handler that
 * was put off. True if it raised nothing: then do it again. False with its
 * exception. */
bool
signals_retry(const struct signals *signals);

#endif
