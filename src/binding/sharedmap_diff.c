/* binding/sharedmap_diff.c
 *
 * The core compares, without the GIL, and fills a buffer with differences;
 * with the GIL their keys go to three lists, and the core goes on.
 *
 * Not here: the comparison; see core/snapshot/version_diff.h.
 */
#include "binding/sharedmap_diff.h"

#include "binding/errors.h"
#include "binding/mapping_type.h"
#include "binding/sharedmap_follow.h"
#include "binding/sharedmap_handle.h"
#include "binding/signals.h"
#include "binding/snapshot_type.h"
#include "binding/text.h"
#include "core/snapshot/version_diff.h"

enum { BUFFERED = 256, KINDS = DIFFERENCE_REMOVED + 1 };

static int
append_key(PyObject *list, struct slice bytes, struct state *state)
{
    PyObject *key = text_decode(bytes);
    if (key == NULL) {
        if (!PyErr_Occurred()) {
            raise_status(state, STATUS_BAD_TEXT, NULL);
        }
        return -1;
    }
    int result = PyList_Append(list, key);
    Py_DECREF(key);
    return result;
}

/* Fills the lists. -1 with an exception. */
static int
fill_lists(struct state *state, const SnapshotObject *old,
           const SnapshotObject *new, PyObject *const lists[KINDS])
{
    struct difference differences[BUFFERED];
    struct version_diff diff;
    size_t count = BUFFERED;
    enum status status =
        version_diff_begin(&diff, &old->version, &new->version);
    while (status == STATUS_OK && count == BUFFERED) {
        struct signals signals;
        struct interrupt interrupt;
        signals_begin(&signals, SIGNALS_NOW, &interrupt);
        status = version_diff_next(&diff, differences, BUFFERED, &count,
                                   &interrupt);
        signals_end(&signals);
        for (size_t i = 0; status == STATUS_OK && i < count; i++) {
            if (append_key(lists[differences[i].kind], differences[i].key,
                           state)
                < 0)
            {
                return -1;
            }
        }
        // Many differences may be found without being asked in between.
        if (status == STATUS_OK && signals_check() < 0) {
            return -1;
        }
    }
    if (status != STATUS_OK) {
        raise_status(state, status, NULL);
        return -1;
    }
    return 0;
}

/* A tuple of three new lists, for the kinds of differences. */
static PyObject *
create_lists(void)
{
    PyObject *lists = PyTuple_New(KINDS);
    for (Py_ssize_t i = 0; lists != NULL && i < KINDS; i++) {
        PyObject *list = PyList_New(0);
        if (list == NULL) {
            Py_CLEAR(lists);
        }
        else {
            PyTuple_SET_ITEM(lists, i, list);
        }
    }
    return lists;
}

PyObject *
sharedmap_py_diff(PyObject *object, PyObject *other)
{
    SharedMapObject *self = (SharedMapObject *)object;
    struct state *state = self->base.state;
    if (!PyObject_TypeCheck(other, state->types[TYPE_SHAREDMAP])) {
        return PyErr_Format(PyExc_TypeError,
                            "diff() takes an older sharedmap, not %.100s",
                            Py_TYPE(other)->tp_name);
    }
    SnapshotObject *new = sharedmap_acquire(self);
    SnapshotObject *old =
        new != NULL ? sharedmap_acquire((SharedMapObject *)other) : NULL;
    PyObject *lists = old != NULL ? create_lists() : NULL;
    if (lists != NULL) {
        PyObject *kinds[KINDS];
        for (Py_ssize_t i = 0; i < KINDS; i++) {
            kinds[i] = PyTuple_GET_ITEM(lists, i);
        }
        if (fill_lists(state, old, new, kinds) < 0) {
            Py_CLEAR(lists);
        }
    }
    Py_XDECREF(old);
    Py_XDECREF(new);
    return lists;
}
