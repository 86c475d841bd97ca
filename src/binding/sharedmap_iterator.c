/* binding/sharedmap_iterator.c
 *
 * In Python this file would be:
 *
 *     class sharedmap_iterator(Iterator):
 *         def __next__(self): ...
 *         def __length_hint__(self): ...
 *
 * The iterator owns a reference to the snapshot, not to the handle: closing
 * the handle does not affect it. The remaining entries are its span, which
 * shrinks from one side.
 *
 * Not here: the order of entries; see core/snapshot/search.c.
 */
#include "binding/sharedmap_iterator.h"

#include "binding/errors.h"
#include "binding/guard.h"
#include "binding/signals.h"

typedef struct {
    PyObject_HEAD
    struct span span;  // owned; the remaining entries
    uint64_t left;     // of the records, for snapshot_count_entry()
    struct version_cursor cursor;
#ifdef Py_GIL_DISABLED
    struct guard guard;  // of the span's ends, what is left, and the cursor
#endif
    enum item_kind kind;
    enum direction direction;
    struct signals_steps steps;
} SharedMapIteratorObject;

PyObject *
sharedmap_iterator_create(const struct span *span, enum item_kind kind,
                          enum direction direction)
{
    PyTypeObject *type = span->snapshot->state->types[TYPE_SHAREDMAP_ITERATOR];
    SharedMapIteratorObject *self =
        (SharedMapIteratorObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->span = *span;
        Py_INCREF(span->snapshot);
        self->left = span->snapshot->version.records_size;
        self->kind = kind;
        self->direction = direction;
#ifdef Py_GIL_DISABLED
        guard_init(&self->guard);
#endif
    }
    return (PyObject *)self;
}

static int
sharedmap_iterator_tp_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((SharedMapIteratorObject *)object)->span.snapshot);
    return 0;
}

static void
sharedmap_iterator_tp_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    span_release(&((SharedMapIteratorObject *)object)->span);
    type->tp_free(object);
    Py_DECREF(type);
}

static inline void
ends_lock(SharedMapIteratorObject *self)
{
#ifdef Py_GIL_DISABLED
    guard_begin_change(&self->guard);
#else
    (void)self;
#endif
}

static inline void
ends_unlock(SharedMapIteratorObject *self)
{
#ifdef Py_GIL_DISABLED
    guard_end_change(&self->guard);
#else
    (void)self;
#endif
}

/* Fills the next index, and the cursor, and advances; false at the end. */
static bool
advance(SharedMapIteratorObject *self, uint64_t *index,
        struct version_cursor *cursor)
{
    ends_lock(self);
    struct span *left = &self->span;
    bool has_next = left->low < left->high;
    if (has_next) {
        *index = self->direction == FORWARD ? left->low++ : --left->high;
        *cursor = self->cursor;
    }
    ends_unlock(self);
    return has_next;
}

/* Fills the entry, which the iterator has not had yet. */
static enum status
take_entry(SharedMapIteratorObject *self, uint64_t index,
           struct version_cursor *cursor, struct entry *entry)
{
    enum status status =
        version_at(&self->span.snapshot->version, cursor, index, entry);
    if (status == STATUS_OK) {
        ends_lock(self);
        status = snapshot_count_entry(&self->left, entry);
        self->cursor = *cursor;
        ends_unlock(self);
    }
    return status;
}

static PyObject *
sharedmap_iterator_tp_iternext(PyObject *object)
{
    SharedMapIteratorObject *self = (SharedMapIteratorObject *)object;
    SnapshotObject *snapshot = self->span.snapshot;
    struct entry entry;
    struct item item;
    uint64_t index;
    struct version_cursor cursor;
    // Before anything is taken: after a handler's exception, iteration can go
    // on.
    if (signals_step(&self->steps) < 0 || !advance(self, &index, &cursor)) {
        return NULL;
    }
    enum status status = take_entry(self, index, &cursor, &entry);
    if (status != STATUS_OK) {
        return raise_status(snapshot->state, status, NULL);
    }
    if (item_take(&item, snapshot->state, &entry, self->kind, snapshot->decode)
        < 0)
    {
        return NULL;
    }
    return item_finish(&item);
}

static PyObject *
sharedmap_iterator_py_length_hint(PyObject *object,
                                  PyObject *Py_UNUSED(ignored))
{
    SharedMapIteratorObject *self = (SharedMapIteratorObject *)object;
    ends_lock(self);
    uint64_t left = self->span.high - self->span.low;
    ends_unlock(self);
    return PyLong_FromUnsignedLongLong(left);
}

static PyMethodDef sharedmap_iterator_methods[] = {
    {"__length_hint__", sharedmap_iterator_py_length_hint, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot sharedmap_iterator_slots[] = {
    {Py_tp_dealloc, sharedmap_iterator_tp_dealloc},
    {Py_tp_traverse, sharedmap_iterator_tp_traverse},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, sharedmap_iterator_tp_iternext},
    {Py_tp_methods, sharedmap_iterator_methods},
    {0, NULL},
};

PyType_Spec sharedmap_iterator_spec = {
    .name = "sharedmap._sharedmap_iterator",
    .basicsize = sizeof(SharedMapIteratorObject),
    .flags = TYPE_FLAGS_INTERNAL,
    .slots = sharedmap_iterator_slots,
};
