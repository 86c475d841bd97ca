/* binding/sharedmap_follow.h
 *
 * Advancing a handle from its snapshot to the newest one of its name or path.
 */
#ifndef SHAREDMAP_BINDING_SHAREDMAP_FOLLOW_H
#define SHAREDMAP_BINDING_SHAREDMAP_FOLLOW_H

#include "binding/sharedmap_handle.h"

/* A new reference to the snapshot for the next operation: the newest if the
 * handle follows. NULL without an exception when the handle is closed. */
SnapshotObject *
sharedmap_newest(SharedMapObject *self);

/* The same; NULL with ValueError when the handle is closed. */
SnapshotObject *
sharedmap_acquire(SharedMapObject *self);

/* The method of watch(), which handles the exception of refresh() itself: issues
 * the warning that a lookup would issue of it. */
PyObject *
sharedmap_py_warn_of_failure(PyObject *self, PyObject *ignored);

/* stale, follow_error, refresh, wait, snapshot, copying. */
PyObject *
sharedmap_get_stale(PyObject *self, void *closure);
PyObject *
sharedmap_get_follow_error(PyObject *self, void *closure);
PyObject *
sharedmap_py_refresh(PyObject *self, PyObject *ignored);
PyObject *
sharedmap_py_wait(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *
sharedmap_py_snapshot(PyObject *self, PyObject *ignored);
PyObject *
sharedmap_py_copy(PyObject *self, PyObject *ignored);
PyObject *
sharedmap_py_deepcopy(PyObject *self, PyObject *memo);

#endif
