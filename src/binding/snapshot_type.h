/* binding/snapshot_type.h
 *
 * One opened snapshot, shared by everybody who looks at it: handles,
 * iterators, views. Each holds a reference; the bytes are unmapped with the
 * last one. It is never changed, so using it takes no lock. Not visible in
 * Python.
 */
#ifndef SHAREDMAP_BINDING_SNAPSHOT_TYPE_H
#define SHAREDMAP_BINDING_SNAPSHOT_TYPE_H

#include "binding/state.h"
#include "core/segment.h"
#include "core/snapshot_reader.h"

typedef struct {
    PyObject_HEAD
    struct segment segment;  // owned
    struct snapshot view;    // into the segment
} SnapshotObject;

/* A new reference to the snapshot that is published at `path`. NULL with the
 * exception, which carries `name`. */
SnapshotObject *
snapshot_open_path(struct state *state, const char *path, PyObject *name);

#endif
