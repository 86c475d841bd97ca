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
 * Where a call of the system hangs, the core cannot ask. If a signal ends the
 * call, it asks at once, before it makes the call again.
 *
 * In threads that are not the main one there is nothing to run, and the check
 * costs two switches of the GIL.
 *
 * Not here: where the core asks; see core/base/interrupt.h.
 */
#include "binding/signals.h"

#include <signal.h>

#include "core/segment/fork_list.h"
#include "core/segment/segment.h"

// Nanoseconds; a person does not notice it.
static const int64_t CHECK_INTERVAL = 20000000;

/* Takes notice of a SIGINT, which forgets it; signals_retry() brings it back.
 */
static bool
is_pending(void *context)
{
    struct signals *signals = context;
    signals->is_pending = signals->is_pending || PyOS_InterruptOccurred() != 0;
    return signals->is_pending;
}

/* Ends the guard, with the GIL. */
static void
end_guard(struct signals *signals)
{
    if (signals->guard != NULL) {
        guard_end_publish(signals->guard);
        signals->guard = NULL;
    }
}

/* Runs the handlers that are due. Whether one of them raised an exception, or
 * forked this process, which has nothing of what was to be published. */
static bool
run_handlers(const struct signals *signals)
{
    if (PyErr_CheckSignals() < 0) {
        return true;
    }
    if (signals->kind == SIGNALS_NOW
        || signals->generation == fork_list_generation())
    {
        return false;
    }
    PyErr_SetString(PyExc_RuntimeError,
                    "a signal handler forked this process during the call; "
                    "only the parent publishes");
    return true;
}

/* The same while the guarded tree is published, which a handler may want. */
static bool
lend_guard(struct signals *signals)
{
    struct guard *guard = signals->guard;
    uint64_t change_count = guard->change_count;
    end_guard(signals);
    if (run_handlers(signals)) {
        return true;
    }
    // Cannot fail: the lock exists.
    (void)guard_begin_publish(guard);
    signals->guard = guard;
    signals->is_changed = guard->change_count != change_count;
    return signals->is_changed;
}

static bool
is_due(void *context)
{
    struct signals *signals = context;
    bool stops;
    int64_t now = segment_clock();
    if (now < signals->next_check) {
        return false;
    }
    signals->next_check = now + CHECK_INTERVAL;
    PyEval_RestoreThread(signals->thread);
    if (signals->is_written) {
        end_guard(signals);
    }
    if (signals->guard != NULL && signals->kind == SIGNALS_LENDING) {
        stops = lend_guard(signals);
    }
    else if (signals->guard != NULL) {
        stops = is_pending(signals);
    }
    else {
        stops = run_handlers(signals);
    }
    signals->thread = PyEval_SaveThread();
    return stops;
}

/* The call that the signal interrupted may hang again, and then there is no
 * later question. */
static bool
is_due_now(void *context)
{
    struct signals *signals = context;
    signals->next_check = 0;
    return is_due(signals);
}

void
signals_begin(struct signals *signals, enum signals_kind kind,
              struct interrupt *interrupt)
{
    *signals = (struct signals){
        .kind = kind,
        .next_check = segment_clock() + CHECK_INTERVAL,
        .generation = fork_list_generation(),
    };
    *interrupt = (struct interrupt){is_due, signals, is_due_now};
    signals->thread = PyEval_SaveThread();
}

void
signals_begin_guarded(struct signals *signals, enum signals_kind kind,
                      struct guard *guard, struct interrupt *interrupt)
{
    signals_begin(signals, kind, interrupt);
    signals->guard = guard;
}

void
signals_watch(struct signals *signals, struct interrupt *interrupt)
{
    *signals = (struct signals){.kind = SIGNALS_GUARDED};
    *interrupt = (struct interrupt){.is_due = is_pending, .context = signals};
}

void
signals_end(struct signals *signals)
{
    PyEval_RestoreThread(signals->thread);
    signals->thread = NULL;
    end_guard(signals);
}

bool
signals_retry(const struct signals *signals)
{
    if (!signals->is_pending) {
        return signals->is_changed;
    }
    PyErr_SetInterruptEx(SIGINT);
    return PyErr_CheckSignals() == 0;
}

int
signals_check(void)
{
#ifdef Py_GIL_DISABLED
    // PyErr_CheckSignals() collects garbage, too, if that is due. There it is
    // all of the heap each time: listing a million pairs takes minutes.
    if (!PyOS_InterruptOccurred()) {
        return 0;
    }
    PyErr_SetInterruptEx(SIGINT);
#endif
    return PyErr_CheckSignals();
}
