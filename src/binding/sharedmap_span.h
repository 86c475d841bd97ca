/* binding/sharedmap_span.h
 *
 * Entries [low, high) of a snapshot: all of a range or handle, or the
 * remaining ones of an iterator.
 *
 *     entries    0 1 2 [ 3 4 5 6 ) 7 8
 *                       low       high
 *
 * Not here: the span of an object; see span_acquire() of sharedmap_range.h.
 */
#ifndef SHAREDMAP_BINDING_SHAREDMAP_SPAN_H
#define SHAREDMAP_BINDING_SHAREDMAP_SPAN_H

#include "binding/snapshot_type.h"
#include "binding/state.h"

/* Owns a reference to the snapshot. */
struct span {
    SnapshotObject *snapshot;
    uint64_t low;
    uint64_t high;
};

static inline void
span_release(struct span *span)
{
    Py_CLEAR(span->snapshot);
}

#endif
