/* binding/signals.c
 *
 *     core, without the GIL    is it due? --- not for 20 ms --> goes on
 *                                 |
 *     with the GIL                v
 *                              handlers --- none raises ------> goes on
 *                                 |
 *                                 +-------- one raises -------> STATUS_INTERRUPTED,
 *                                                               the exception is set
 *
 * In threads that are not the main one there is nothing to run, and the check
 * costs two switches of the GIL.
 *
 * Not here: where the core asks; see core/base/interrupt.h.
 */
#include "binding/signals.h"

#include <signal.h>

#include "core/segment/segment.h"

// Nanoseconds; a person does not notice it.
static const int64_t CHECK_INTERVAL = 20000000;

static bool
is_due(void *context)
{
    struct signals *signals = context;
    int64_t now = segment_clock();
    if (now < signals->next_check) {
        return false;
    }
    signals->next_check = now + CHECK_INTERVAL;
    PyEval_RestoreThread(signals->thread);
    if (signals->kind == SIGNALS_LATER) {
        // This forgets the signal; signals_retry() brings it back.
        signals->is_pending = PyOS_InterruptOccurred() != 0;
    }
    bool stops = signals->kind == SIGNALS_LATER ? signals->is_pending
                                                : PyErr_CheckSignals() < 0;
    signals->thread = PyEval_SaveThread();
    return stops;
}

void
signals_begin(struct signals *signals, enum signals_kind kind,
              struct interrupt *interrupt)
{
    *signals = (struct signals){
        .kind = kind,
        .next_check = segment_clock() + CHECK_INTERVAL,
    };
    *interrupt = (struct interrupt){is_due, signals};
    signals->thread = PyEval_SaveThread();
}

void
signals_end(struct signals *signals)
{
    PyEval_RestoreThread(signals->thread);
    signals->thread = NULL;
}

bool
signals_retry(const struct signals *signals)
{
    if (!signals->is_pending) {
        return false;
    }
    PyErr_SetInterruptEx(SIGINT);
    return PyErr_CheckSignals() == 0;
}
