/* binding/sharedmap_handle.c
 *
 *     handle --owns--> source, path, options     the same from open to dealloc
 *            --owns--> follow_error              replaced, or NULL
 *            --owns--> snapshot                  replaced, or NULL once closed
 *                         ^
 *     iterator, range, ---+  references of their own: a replaced snapshot stays
 *     view, thread           until the last of them is gone
 *
 * Under the GIL the pointers need no lock: nothing between reading one and
 * taking the reference runs Python code. Without one they are exchanged, and
 * the handle's own reference to what it had is dropped when all threads are
 * done that may have read the pointer before.
 *
 * Not here: newer snapshots (sharedmap_follow.c); opening (sharedmap_type.c).
 */
#include "binding/sharedmap_handle.h"

/* Drops the handle's reference to what it does not have any more. Meanwhile
 * other threads can go on, or stop the world. */
static void
drop(void *object)
{
    if (object == NULL) {
        return;
    }
#ifdef Py_GIL_DISABLED
    Py_BEGIN_ALLOW_THREADS
    readers_wait();
    Py_END_ALLOW_THREADS
#endif
    Py_DECREF((PyObject *)object);
}

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
#ifdef HAS_DEFERRED_COUNTS
    self->creator = PyThread_get_thread_ident();
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
    SnapshotObject *present = seen;
    if (atomic_compare_exchange_strong(&self->snapshot, &present, newer)) {
        drop(seen);
    }
    else {
        Py_DECREF(newer);
    }
}

void
sharedmap_set_follow_error(SharedMapObject *self, PyObject *error)
{
    drop(atomic_exchange(&self->follow_error, error));
}

PyObject *
sharedmap_peek_follow_error(SharedMapObject *self)
{
    struct sharedmap_loan loan = sharedmap_borrow(self);
    PyObject *error = self->follow_error;
    Py_XINCREF(error);
    sharedmap_give_back(loan);
    return error;
}

void
sharedmap_release(SharedMapObject *self)
{
    drop(atomic_exchange(&self->snapshot, NULL));
}
