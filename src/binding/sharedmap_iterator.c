/* binding/sharedmap_iterator.c
 *
 * In Python this file would be:
 *
 *     class sharedmap_iterator(Iterator[str]):
 *         def __next__(self): ...
 *         def __length_hint__(self): ...
 *
 * The iterator owns a reference to the snapshot, not to the handle: closing
 * the handle does not disturb it.
 *
 * Not here: the order of entries; see core/snapshot_reader.c.
 */
#include "binding/errors.h"
#include "binding/sharedmap_type.h"
#include "binding/value.h"

typedef struct {
    PyObject_HEAD
    struct state *state;       // borrowed
    SnapshotObject *snapshot;  // owned
#ifdef Py_GIL_DISABLED
    PyMutex mutex;  // guards `next`
#endif
    uint64_t next;
} SharedMapIteratorObject;

PyObject *
sharedmap_iterator_create(struct state *state, SnapshotObject *snapshot)
{
    SharedMapIteratorObject *self =
        PyObject_New(SharedMapIteratorObject, state->sharedmap_iterator_type);
    if (self == NULL) {
        return NULL;
    }
    self->state = state;
    self->snapshot = (SnapshotObject *)Py_NewRef(snapshot);
#ifdef Py_GIL_DISABLED
    self->mutex = (PyMutex){0};
#endif
    self->next = 0;
    return (PyObject *)self;
}

static void
sharedmap_iterator_tp_dealloc(PyObject *object)
{
    SharedMapIteratorObject *self = (SharedMapIteratorObject *)object;
    PyTypeObject *type = Py_TYPE(self);
    Py_DECREF(self->snapshot);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* The index to answer with, moving on to the next; entry_count at the end. */
static uint64_t
advance(SharedMapIteratorObject *self)
{
#ifdef Py_GIL_DISABLED
    PyMutex_Lock(&self->mutex);
#endif
    uint64_t index = self->next;
    if (index < self->snapshot->view.entry_count) {
        self->next = index + 1;
    }
#ifdef Py_GIL_DISABLED
    PyMutex_Unlock(&self->mutex);
#endif
    return index;
}

static PyObject *
sharedmap_iterator_tp_iternext(PyObject *object)
{
    SharedMapIteratorObject *self = (SharedMapIteratorObject *)object;
    const struct snapshot *view = &self->snapshot->view;
    struct entry entry;
    uint64_t index = advance(self);
    if (index >= view->entry_count) {
        return NULL;
    }
    enum status status = snapshot_at(view, index, &entry);
    if (status != STATUS_OK) {
        return raise_status(self->state, status, NULL);
    }
    return value_unpack_text(self->state, entry.key);
}

static PyObject *
sharedmap_iterator_py_length_hint(PyObject *object,
                                  PyObject *Py_UNUSED(ignored))
{
    SharedMapIteratorObject *self = (SharedMapIteratorObject *)object;
    return PyLong_FromUnsignedLongLong(self->snapshot->view.entry_count
                                       - self->next);
}

static PyMethodDef sharedmap_iterator_methods[] = {
    {"__length_hint__", sharedmap_iterator_py_length_hint, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot sharedmap_iterator_slots[] = {
    {Py_tp_dealloc, sharedmap_iterator_tp_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, sharedmap_iterator_tp_iternext},
    {Py_tp_methods, sharedmap_iterator_methods},
    {0, NULL},
};

PyType_Spec sharedmap_iterator_spec = {
    .name = "sharedmap.sharedmap_iterator",
    .basicsize = sizeof(SharedMapIteratorObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = sharedmap_iterator_slots,
};
