/* binding/sharedmap_handle.h
 *
 * A handle on a published map: its source, and the pointer to its current
 * snapshot.
 *
 * The handle owns a reference to the snapshot. Only the pointer changes. When
 * other threads may use the handle, too, only these functions read or change
 * it. A reader of the snapshot first takes a reference of its own.
 */
#ifndef SHAREDMAP_BINDING_SHAREDMAP_HANDLE_H
#define SHAREDMAP_BINDING_SHAREDMAP_HANDLE_H

#include "binding/guard.h"
#include "binding/mapping_type.h"
#include "binding/snapshot_type.h"
#include "binding/state.h"
#include "core/segment/follow.h"

/* How many kinds of failures are told apart: errnos, and two more. */
enum { FAILURE_KIND_COUNT = 192 };

/* The source of a handle's snapshot, from which it can be opened again. */
enum source_kind { SOURCE_NAME, SOURCE_PATH, SOURCE_BUFFER };

typedef struct {
    MappingObject base;
    enum source_kind source_kind;
    PyObject *source;  // owned: name or path as str, or the buffer
    PyObject *path;    // owned bytes: the file; NULL for a buffer
    struct open_options open_options;  // for opening the path again
    SnapshotObject *snapshot;          // owned; NULL when closed
#ifdef Py_GIL_DISABLED
    struct guard guard;  // of `snapshot` and `follow_error`, which change
#endif
    bool is_following;
    struct follow follow;  // of the path
    PyObject
        *follow_error;  // owned; of the last attempt, NULL if it succeeded
    _Atomic uint64_t warned[FAILURE_KIND_COUNT / 64];  // a bit for each kind
    PyObject *weak_references;
} SharedMapObject;

/* A new handle, open and not following. Takes the reference to the snapshot,
 * also when it fails. */
SharedMapObject *
sharedmap_create(PyTypeObject *type, const struct mapping_methods *methods,
                 SnapshotObject *snapshot, enum source_kind kind,
                 PyObject *source);

/* A new handle on `snapshot` with the source of `self`. It does not follow,
 * and has no state of a subclass. */
SharedMapObject *
sharedmap_pin(SharedMapObject *self, SnapshotObject *snapshot);

static inline void
sharedmap_lock(SharedMapObject *self)
{
#ifdef Py_GIL_DISABLED
    guard_begin_change(&self->guard);
#else
    (void)self;
#endif
}

static inline void
sharedmap_unlock(SharedMapObject *self)
{
#ifdef Py_GIL_DISABLED
    guard_end_change(&self->guard);
#else
    (void)self;
#endif
}

/* A new reference to the current snapshot, without following; NULL without an
 * exception when the handle is closed. */
static inline SnapshotObject *
sharedmap_peek(SharedMapObject *self)
{
    sharedmap_lock(self);
    SnapshotObject *snapshot = self->snapshot;
    Py_XINCREF(snapshot);
    sharedmap_unlock(self);
    return snapshot;
}

/* Makes the handle have `newer` if it still has `seen`. Takes the reference to
 * `newer`. */
void
sharedmap_replace(SharedMapObject *self, SnapshotObject *seen,
                  SnapshotObject *newer);

/* Takes the reference to the exception of an attempt that failed; NULL for one
 * that succeeded. */
void
sharedmap_set_follow_error(SharedMapObject *self, PyObject *error);

/* A new reference, or NULL without an exception. */
PyObject *
sharedmap_peek_follow_error(SharedMapObject *self);

/* Closes the handle, which may be closed already. */
void
sharedmap_release(SharedMapObject *self);

#endif
