/* binding/sharedmap_type.h
 *
 * What the files of the Python type sharedmap share.
 */
#ifndef SHAREDMAP_BINDING_SHAREDMAP_TYPE_H
#define SHAREDMAP_BINDING_SHAREDMAP_TYPE_H

#include "binding/guard.h"
#include "binding/mapping_type.h"
#include "binding/snapshot_type.h"
#include "binding/state.h"

// Python.h, which says how the system's headers are to be taken, comes first.
#include <stdatomic.h>

/* Where a handle's snapshot came from, and so how to get it again. */
enum source_kind { SOURCE_NAME, SOURCE_PATH, SOURCE_BUFFER };

typedef struct {
    MappingObject base;
    enum source_kind source_kind;
    PyObject *source;            // owned: name or path as str, or the buffer
    PyObject *path;              // owned bytes: the file; NULL for a buffer
    struct segment_rules rules;  // for opening the path again
    SnapshotObject *snapshot;    // owned; NULL when closed
#ifdef Py_GIL_DISABLED
    struct guard guard;  // of `snapshot`, the one pointer that changes
#endif
    bool is_following;
    atomic_bool is_lost;  // the path led nowhere, and to nothing good since
    // Of segment_clock(): when a hint first came to nothing, 0 if none has;
    // and before when not to look again.
    atomic_llong hinted_since;
    atomic_llong next_look;
    PyObject *weak_references;
} SharedMapObject;

/* Entries [low, high) of a snapshot; owns a reference to it. */
struct span {
    SnapshotObject *snapshot;
    uint64_t low;
    uint64_t high;
};

/* A new reference to what the handle has at the moment, without following;
 * NULL without an exception when the handle is closed. */
SnapshotObject *
sharedmap_peek(SharedMapObject *self);

/* A new reference to what the next operation shall see: the newest if the
 * handle follows. NULL with ValueError when the handle is closed. */
SnapshotObject *
sharedmap_acquire(SharedMapObject *self);

/* Puts `newer` in the place of `seen`, unless somebody else has done so.
 * Takes the reference to `newer`. */
void
sharedmap_replace(SharedMapObject *self, SnapshotObject *seen,
                  SnapshotObject *newer);

/* A new handle on `snapshot` with the source of `self`, that does not follow,
 * and without what a subclass keeps besides. */
SharedMapObject *
sharedmap_pin(SharedMapObject *self, SnapshotObject *snapshot);

/* Takes a reference to a snapshot that is superseded and gives one to the
 * newest that can be had, which may be the same. Raises nothing. */
SnapshotObject *
sharedmap_follow(SharedMapObject *self, SnapshotObject *seen);

/* What is quicker here than in the base type; see sharedmap_lookup.c. */
int
sharedmap_sq_contains(PyObject *self, PyObject *key);
PyObject *
sharedmap_mp_subscript(PyObject *self, PyObject *key);
PyObject *
sharedmap_py_get(PyObject *self, PyObject *const *args, Py_ssize_t count,
                 PyObject *keyword_names);
PyObject *
sharedmap_py_get_many(PyObject *self, PyObject *args, PyObject *keywords);

/* stale, refresh, wait, snapshot, copying; see sharedmap_follow.c. */
PyObject *
sharedmap_get_stale(PyObject *self, void *closure);
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

/* Fills what a sharedmap or a range of one stands for; release it. -1 with
 * ValueError when the handle is closed. */
int
span_acquire(PyObject *self, struct span *span);

void
span_release(struct span *span);

/* A new iterator over the span. */
PyObject *
sharedmap_iterator_create(const struct span *span, enum item_kind kind,
                          enum direction direction);

/* How a sharedmap and its ranges read, and the methods that only they have,
 * because only they know the place of a key. */
extern const struct mapping_methods sharedmap_mapping_methods;

PyObject *
sharedmap_py_peekitem(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *
sharedmap_py_index(PyObject *self, PyObject *key);
PyObject *
sharedmap_py_bisect_left(PyObject *self, PyObject *key);
PyObject *
sharedmap_py_bisect_right(PyObject *self, PyObject *key);
PyObject *
sharedmap_py_view(PyObject *self, PyObject *key);

#endif
