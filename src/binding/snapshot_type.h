/* binding/snapshot_type.h
 *
 * One opened version of a map, shared by handles, ranges, iterators and memoryviews.
 * Each holds a reference; the last one releases the bytes. Only its cache ever
 * changes, so using a snapshot is lock-free. Not visible in Python.
 */
#ifndef SHAREDMAP_BINDING_SNAPSHOT_TYPE_H
#define SHAREDMAP_BINDING_SNAPSHOT_TYPE_H

#include <stdatomic.h>

#include "binding/state.h"
#include "binding/thread_cache.h"
#include "binding/value_cache.h"
#include "core/segment/segment.h"
#include "core/snapshot/version.h"

typedef struct {
    PyObject_HEAD
    struct state *state;     // borrowed
    struct version version;  // in the segment or the buffer
    struct segment segment;  // owned; empty when it is a buffer's
    Py_buffer buffer;        // owned; buffer.obj is NULL when a segment's
    PyObject *decode;        // owned; NULL without a decoder
    // What functions made of the version, a dict; set once. See
    // sharedmap_derived.c.
    _Atomic(PyObject *) derived;  // owned; NULL while there is nothing
    // Of the deltas, for get_many(); made when it pays, and then never changed.
    _Atomic(struct version_filter *) filter;  // owned
    _Atomic uint64_t looked_up;               // keys, while there is none
#ifdef Py_GIL_DISABLED
    struct cache_life *life;  // a counted reference
#else
    struct value_cache cache;
#endif
} SnapshotObject;

/* Fills a new reference to the newest version of the map in the file at
 * `path`. With `known`, STATUS_UNCHANGED if the path still leads to that one;
 * a newer version in the same file takes no system call. Releases the GIL and
 * raises nothing. */
enum status
snapshot_open_path(struct state *state, const char *path,
                   struct open_options open_options, PyObject *decode,
                   const SnapshotObject *known, SnapshotObject **opened);

/* Whether two snapshots are the same version, perhaps in files of which one
 * was made by compacting the other. */
static inline bool
snapshot_is_same_version(const SnapshotObject *left,
                         const SnapshotObject *right)
{
    return memcmp(left->version.unique_id, right->version.unique_id,
                  sizeof(left->version.unique_id))
           == 0;
}

/* How many slots have a value to cache; many when they cannot be cached by
 * slot. A small map never has deltas, unless it is hostile; an entry in a
 * delta has no slot. */
static inline uint64_t
snapshot_cached_slots(const SnapshotObject *self)
{
    return self->version.delta_count == 0
               ? snapshot_slot_count(&self->version.base)
               : VERSION_NO_SLOT;
}

/* A new reference to the snapshot in the buffer of `data`, which it holds. */
SnapshotObject *
snapshot_open_buffer(struct state *state, PyObject *data, PyObject *decode);

/* A new read-only memoryview of bytes inside the snapshot, which it keeps
 * open. */
PyObject *
snapshot_memoryview(SnapshotObject *snapshot, struct slice bytes);

extern PyType_Spec snapshot_spec;
extern PyType_Spec value_buffer_spec;

#endif
