/* binding/sharedmap_follow.c
 *
 * In Python this file would be:
 *
 *     class sharedmap:  # continued; each operation begins with acquire()
 *         stale: bool
 *         follow_error: Exception | None
 *         def refresh(self): ...             # -> bool
 *         def wait(self, timeout=None): ...  # -> bool
 *         def snapshot(self): ...            # -> sharedmap
 *         def __copy__(self): ...
 *         def __deepcopy__(self, memo): ...
 *
 * A handle advances by opening its path again:
 *
 *     seen --stale hint?--> open path --another file--> newer, checked
 *                                     --the same-----+
 *                                     --nothing------+-> keep what we have
 *                                     --no snapshot--+
 *
 * A newer snapshot is opened and checked before it replaces the one we have,
 * and replaces it only if that is still there. Of two threads that advance at
 * the same time one wins, and no handle ever goes back.
 *
 * An attempt that fails is never the last: follow_error has its exception, and
 * core/segment/follow.c says when the next one is due. An operation does not
 * fail with it. The first failure of each kind issues a warning, unless the
 * exception itself is raised. A warning that a filter turns into an exception
 * goes to sys.unraisablehook.
 *
 * An attempt that a signal interrupts, which only a file system that hangs
 * lets it do, has no outcome. refresh() and wait() run the signal's handler and
 * make another one. A lookup goes on with what it has: the interpreter runs
 * the handler next, and the next lookup makes the attempt.
 *
 * Not here: the pointer that is replaced (sharedmap_handle.c); when the path
 * has to be checked (core/segment/follow.c).
 */
#include "binding/sharedmap_follow.h"

#include "binding/arguments.h"
#include "binding/errors.h"

// Python.h comes first, as it configures the system's headers.
#include <errno.h>

static bool
is_hinted(SharedMapObject *self, SnapshotObject *seen)
{
    return self->path != NULL
           && follow_is_hinted(&self->follow, &seen->segment);
}

/* ---- attempts that fail ------------------------------------------------- */

/* Raises what opening the source anew would raise. */
static void
raise_failure(SharedMapObject *self, enum status status)
{
    raise_open_status(self->base.state, status, self->source,
                      self->source_kind == SOURCE_PATH);
}

/* A new reference to the exception of raise_failure(), without a traceback and
 * a context: it belongs to no operation. */
static PyObject *
exception_of(SharedMapObject *self, enum status status)
{
    PyObject *type, *error, *traceback;
    raise_failure(self, status);
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    if (error != NULL) {
        PyException_SetContext(error, NULL);
    }
    return error;
}

/* The kind of a failure: its errno, or one of the two highest numbers, for a
 * file that is not valid and for all other exceptions. */
static unsigned
failure_kind(struct state *state, PyObject *error)
{
    if (PyErr_GivenExceptionMatches(error, state->snapshot_error)) {
        return FAILURE_KIND_COUNT - 1;
    }
    long number = 0;
    if (PyErr_GivenExceptionMatches(error, PyExc_OSError)) {
        PyObject *code = PyObject_GetAttrString(error, "errno");
        number = code != NULL ? PyLong_AsLong(code) : 0;
        Py_XDECREF(code);
        PyErr_Clear();
    }
    return number > 0 && number < FAILURE_KIND_COUNT - 2
               ? (unsigned)number
               : FAILURE_KIND_COUNT - 2;
}

/* A lookup that has its answer does not raise what a warning came to. */
static void
report_unraisable(SharedMapObject *self)
{
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        // A signal handler ran in Python's code for warnings. It runs again.
        PyErr_Clear();
        PyErr_SetInterrupt();
        return;
    }
    PyErr_WriteUnraisable((PyObject *)self);
}

/* Issues a warning of the last failure if it is the first of its kind. Raises
 * nothing. Level 1 attributes it to the line that called us, 2 to the line that
 * called its function. */
static void
warn_of_failure(SharedMapObject *self, Py_ssize_t stack_level)
{
    PyObject *error = sharedmap_peek_follow_error(self);
    if (error == NULL) {
        return;
    }
    struct state *state = self->base.state;
    unsigned kind = failure_kind(state, error);
    uint64_t bit = UINT64_C(1) << kind % 64;
    if ((atomic_fetch_or(&self->warned[kind / 64], bit) & bit) == 0
        && PyErr_WarnFormat(state->follow_warning, stack_level,
                            "%R keeps its snapshot, as what is published now "
                            "cannot be opened: %S; it is tried again, see "
                            "follow_error",
                            self->source, error)
               < 0)
    {
        report_unraisable(self);
    }
    Py_DECREF(error);
}

PyObject *
sharedmap_py_warn_of_failure(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    warn_of_failure((SharedMapObject *)object, 2);
    Py_RETURN_NONE;
}

PyObject *
sharedmap_get_follow_error(PyObject *object, void *Py_UNUSED(closure))
{
    PyObject *error = sharedmap_peek_follow_error((SharedMapObject *)object);
    return error != NULL ? error : Py_NewRef(Py_None);
}

/* Remembers the outcome of an attempt. Keeps errno. */
static void
note(SharedMapObject *self, SnapshotObject *seen, enum status status)
{
    int saved_errno = errno;
    PyObject *error =
        follow_is_failure(status) ? exception_of(self, status) : NULL;
    follow_note(&self->follow, &seen->segment, status, segment_clock());
    sharedmap_set_follow_error(self, error);
    errno = saved_errno;
}

/* ---- advancing ---------------------------------------------------------- */

/* Advances from `seen`, if there is something newer. A file that was compacted
 * is another one with the same version: then STATUS_UNCHANGED, too.
 * STATUS_INTERRUPTED: a signal came, whose handler has not run. */
static enum status
advance(SharedMapObject *self, SnapshotObject *seen)
{
    SnapshotObject *newer;
    enum status status =
        snapshot_open_path(self->base.state, PyBytes_AS_STRING(self->path),
                           self->open_options, seen->decode, seen, &newer);
    if (status != STATUS_INTERRUPTED) {
        note(self, seen, status);
    }
    if (status != STATUS_OK) {
        return status;
    }
    bool is_same = snapshot_is_same_version(seen, newer);
    sharedmap_replace(self, seen, newer);
    return is_same ? STATUS_UNCHANGED : STATUS_OK;
}

static void
warn_if_failure(SharedMapObject *self, enum status status)
{
    if (status != STATUS_INTERRUPTED && follow_is_failure(status)) {
        warn_of_failure(self, 1);
    }
}

/* Takes a reference to a snapshot that is superseded and gives one to the
 * newest that can be had, which may be the same. Raises nothing. */
static SnapshotObject *
follow(SharedMapObject *self, SnapshotObject *seen)
{
    if (!follow_is_due(&self->follow, segment_clock())) {
        return seen;
    }
    enum status status = advance(self, seen);
    if (status != STATUS_OK) {
        warn_if_failure(self, status);
        return seen;
    }
    SnapshotObject *newest = sharedmap_peek(self);
    if (newest == NULL) {
        // Closed by another thread; this operation still began before that.
        return seen;
    }
    Py_DECREF(seen);
    return newest;
}

SnapshotObject *
sharedmap_newest(SharedMapObject *self)
{
    SnapshotObject *snapshot = sharedmap_peek(self);
    if (snapshot != NULL && self->is_following
        && follow_is_hinted(&self->follow, &snapshot->segment))
    {
        return follow(self, snapshot);
    }
    return snapshot;
}

/* The snapshot itself; with ValueError if it is NULL. */
static SnapshotObject *
check_open(SnapshotObject *snapshot)
{
    if (snapshot == NULL) {
        PyErr_SetString(PyExc_ValueError, "the sharedmap is closed");
    }
    return snapshot;
}

SnapshotObject *
sharedmap_acquire(SharedMapObject *self)
{
    return check_open(sharedmap_newest(self));
}

/* A new reference to what the handle has, or NULL with ValueError. */
static SnapshotObject *
peek_open(SharedMapObject *self)
{
    return check_open(sharedmap_peek(self));
}

PyObject *
sharedmap_get_stale(PyObject *object, void *Py_UNUSED(closure))
{
    SharedMapObject *self = (SharedMapObject *)object;
    SnapshotObject *seen = peek_open(self);
    if (seen == NULL) {
        return NULL;
    }
    bool is_stale = is_hinted(self, seen);
    Py_DECREF(seen);
    return PyBool_FromLong(is_stale);
}

PyObject *
sharedmap_py_refresh(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    SharedMapObject *self = (SharedMapObject *)object;
    SnapshotObject *seen = peek_open(self);
    if (seen == NULL) {
        return NULL;
    }
    enum status status = STATUS_UNCHANGED;
    if (self->path != NULL) {
        do {
            status = advance(self, seen);
        } while (status == STATUS_INTERRUPTED && PyErr_CheckSignals() == 0);
    }
    PyObject *result = NULL;
    if (status == STATUS_OK) {
        result = Py_NewRef(Py_True);
    }
    else if (status == STATUS_UNCHANGED || status == STATUS_NAME_ABSENT) {
        result = Py_NewRef(Py_False);
    }
    else {
        raise_failure(self, status);
    }
    // After errno has been read: this may unmap the file.
    Py_DECREF(seen);
    return result;
}

/* ---- another handle ----------------------------------------------------- */

/* A new handle on what the next operation shall see. */
static SharedMapObject *
pin_newest(SharedMapObject *self)
{
    SnapshotObject *snapshot = sharedmap_acquire(self);
    if (snapshot == NULL) {
        return NULL;
    }
    SharedMapObject *pinned = sharedmap_pin(self, snapshot);
    Py_DECREF(snapshot);
    return pinned;
}

PyObject *
sharedmap_py_snapshot(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    PyObject *pinned = (PyObject *)pin_newest((SharedMapObject *)object);
    if (pinned != NULL && mapping_copy_state(pinned, object, NULL) < 0) {
        Py_CLEAR(pinned);
    }
    return pinned;
}

PyObject *
sharedmap_py_copy(PyObject *object, PyObject *ignored)
{
    PyObject *copy = sharedmap_py_snapshot(object, ignored);
    if (copy != NULL) {
        ((SharedMapObject *)copy)->is_following =
            ((SharedMapObject *)object)->is_following;
    }
    return copy;
}

PyObject *
sharedmap_py_deepcopy(PyObject *object, PyObject *memo)
{
    SharedMapObject *copy = pin_newest((SharedMapObject *)object);
    if (copy != NULL) {
        copy->is_following = ((SharedMapObject *)object)->is_following;
        if (mapping_copy_state((PyObject *)copy, object, memo) < 0) {
            Py_CLEAR(copy);
        }
    }
    return (PyObject *)copy;
}

/* ---- waiting ------------------------------------------------------------ */

/* Whether the path leads to a newer version than `seen`. For a handle that does
 * not follow: it only looks. A file that was compacted has nothing new; `seen`
 * becomes the same version there, to be told of what comes next. */
static enum status
look_for_newer(SharedMapObject *self, SnapshotObject **seen)
{
    enum status status;
    SnapshotObject *newer;
    // The file system may hang.
    Py_BEGIN_ALLOW_THREADS
    status = segment_check_current(
        &(*seen)->segment, PyBytes_AS_STRING(self->path), self->open_options);
    Py_END_ALLOW_THREADS
    // That there is another file does not say that it can be opened: the
    // backoff of a refresh() that failed goes on.
    if (status != STATUS_OK) {
        if (status != STATUS_INTERRUPTED) {
            note(self, *seen, status);
        }
        return status;
    }
    status =
        snapshot_open_path(self->base.state, PyBytes_AS_STRING(self->path),
                           self->open_options, (*seen)->decode, *seen, &newer);
    if (status != STATUS_OK) {
        return status == STATUS_INTERRUPTED ? status : STATUS_OK;
    }
    bool is_same = snapshot_is_same_version(*seen, newer);
    if (is_same) {
        Py_SETREF(*seen, newer);
    }
    else {
        Py_DECREF(newer);
    }
    return is_same ? STATUS_UNCHANGED : STATUS_OK;
}

/* Whether there is something newer than `seen`. A handle that follows
 * advances at once, and only what it could advance to counts as newer. False
 * when a signal interrupted it. */
static bool
has_newer(SharedMapObject *self, SnapshotObject **seen)
{
    if (!follow_may_check(&self->follow, segment_clock())) {
        return false;
    }
    enum status status =
        self->is_following ? advance(self, *seen) : look_for_newer(self, seen);
    warn_if_failure(self, status);
    return status == STATUS_OK;
}

/* 1 when there is something newer, 0 when the time is over, -1 with an
 * exception: a signal handler's, or ValueError when the handle was closed.
 * `seen` is a reference that becomes one to the same version elsewhere. */
static int
wait_for_newer(SharedMapObject *self, SnapshotObject **seen, int64_t deadline)
{
    const char *path = PyBytes_AS_STRING(self->path);
    struct backoff backoff = FOLLOW_BACKOFF;
    if (is_hinted(self, *seen) && has_newer(self, seen)) {
        return 1;
    }
    for (;;) {
        // A signal may have interrupted has_newer().
        if (PyErr_CheckSignals() < 0) {
            return -1;
        }
        int64_t left = deadline - segment_clock();
        if (left <= 0) {
            return 0;
        }
        Py_BEGIN_ALLOW_THREADS
        follow_sleep(&self->follow, &(*seen)->segment, path, left, &backoff);
        Py_END_ALLOW_THREADS
        // Always: no sleep was interrupted by a signal that another thread
        // received, or that came between two sleeps.
        if (PyErr_CheckSignals() < 0) {
            return -1;
        }
        if (has_newer(self, seen)) {
            return 1;
        }
        SnapshotObject *present = peek_open(self);
        if (present == NULL) {
            return -1;
        }
        if (self->is_following && snapshot_is_same_version(*seen, present)) {
            Py_SETREF(*seen, present);
        }
        else {
            Py_DECREF(present);
        }
    }
}

PyObject *
sharedmap_py_wait(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"timeout", NULL};
    SharedMapObject *self = (SharedMapObject *)object;
    int64_t timeout = INT64_MAX, deadline;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O&:wait", names,
                                     arguments_timeout, &timeout))
    {
        return NULL;
    }
    if (__builtin_add_overflow(segment_clock(), timeout, &deadline)) {
        deadline = INT64_MAX;
    }
    if (self->path == NULL) {
        PyErr_SetString(PyExc_ValueError,
                        "a map in a buffer never changes; wait() needs a "
                        "published or saved one");
        return NULL;
    }
    SnapshotObject *seen = peek_open(self);
    if (seen == NULL) {
        return NULL;
    }
    int result = wait_for_newer(self, &seen, deadline);
    Py_DECREF(seen);
    return result < 0 ? NULL : PyBool_FromLong(result);
}
