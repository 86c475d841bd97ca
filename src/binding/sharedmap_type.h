/* binding/sharedmap_type.h
 *
 * What the files of the Python type sharedmap share.
 */
#ifndef SHAREDMAP_BINDING_SHAREDMAP_TYPE_H
#define SHAREDMAP_BINDING_SHAREDMAP_TYPE_H

#include "binding/snapshot_type.h"
#include "binding/state.h"

typedef struct {
    PyObject_HEAD
    struct state *state;       // borrowed
    PyObject *name;            // owned str
    SnapshotObject *snapshot;  // owned; NULL when closed
#ifdef Py_GIL_DISABLED
    PyMutex mutex;  // guards `snapshot`, the one word that changes
#endif
    PyObject *weak_references;
} SharedMapObject;

/* A new iterator over the keys of the snapshot, which it keeps open. */
PyObject *
sharedmap_iterator_create(struct state *state, SnapshotObject *snapshot);

extern PyType_Spec sharedmap_iterator_spec;

#endif
