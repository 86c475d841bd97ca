/* binding/sharedmap_handle.c
 *
 *     handle --owns--> source, path, options     the same from open to dealloc
 *            --owns--> follow_error              replaced, or NULL
 *            --owns--> snapshot                  replaced, or NULL once closed
 *                         ^
 *     iterator, range, ---+  references of their own: a replaced snapshot stays
 *     view, thread           until the last of them is gone
 *
 * Under the GIL the pointer needs no lock: nothing between reading it and
 * taking the reference runs Python code.
 *
 * Not here: newer snapshots (sharedmap_follow.c); opening (sharedmap_type.c).
 */
#include "binding/sharedmap_handle.h"

SharedMapObject *
sharedmap_create(PyTypeObject *type, const struct mapping_methods *methods,
                 SnapshotObject *snapshot, enum source_kind kind,
                 PyObject *source)
{
    SharedMapObject *self = (SharedMapObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_DECREF(snapshot);
        return NULL;
    }
    self->base.state = snapshot->state;
    self->base.methods = methods;
    self->source_kind = kind;
    self->source = Py_NewRef(source);
    self->snapshot = snapshot;
#ifdef Py_GIL_DISABLED
    guard_init(&self->guard);
#endif
    return self;
}

SharedMapObject *
sharedmap_pin(SharedMapObject *self, SnapshotObject *snapshot)
{
    SharedMapObject *pinned =
        sharedmap_create(Py_TYPE(self), self->base.methods,
                         (SnapshotObject *)Py_NewRef(snapshot),
                         self->source_kind, self->source);
    if (pinned != NULL) {
        pinned->path = Py_XNewRef(self->path);
        pinned->open_options = self->open_options;
        pinned->follow.is_behind = self->follow.is_behind;
    }
    return pinned;
}

void
sharedmap_replace(SharedMapObject *self, SnapshotObject *seen,
                  SnapshotObject *newer)
{
    sharedmap_lock(self);
    bool is_ours = self->snapshot == seen;
    if (is_ours) {
        self->snapshot = newer;
    }
    sharedmap_unlock(self);
    // The handle's own reference to the old, or the one we were given.
    Py_DECREF(is_ours ? seen : newer);
}

void
sharedmap_set_follow_error(SharedMapObject *self, PyObject *error)
{
    sharedmap_lock(self);
    PyObject *last = self->follow_error;
    self->follow_error = error;
    sharedmap_unlock(self);
    Py_XDECREF(last);
}

PyObject *
sharedmap_peek_follow_error(SharedMapObject *self)
{
    sharedmap_lock(self);
    PyObject *error = Py_XNewRef(self->follow_error);
    sharedmap_unlock(self);
    return error;
}

void
sharedmap_release(SharedMapObject *self)
{
    sharedmap_lock(self);
    SnapshotObject *snapshot = self->snapshot;
    self->snapshot = NULL;
    sharedmap_unlock(self);
    Py_XDECREF(snapshot);
}
