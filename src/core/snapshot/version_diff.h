/* core/snapshot/version_diff.h
 *
 * The keys in which two versions differ, in order.
 *
 * Versions of one file have the same base, and can differ only in what their
 * deltas mention. Any others are compared entry by entry.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_VERSION_DIFF_H
#define SHAREDMAP_CORE_SNAPSHOT_VERSION_DIFF_H

#include "core/snapshot/version.h"

enum difference_kind {
    DIFFERENCE_ADDED,
    DIFFERENCE_CHANGED,  // another value, or one of another type
    DIFFERENCE_REMOVED,
};

struct difference {
    struct slice key;  // borrows from one of the versions
    enum difference_kind kind;
};

/* Where the keys come from: a version, or a delta that both may have. */
struct diff_source {
    const struct version *version;  // borrowed; NULL for a delta
    const struct delta *delta;      // borrowed
    struct version_cursor cursor;
    uint64_t next;       // index of the entry after `entry`
    uint64_t left;       // for snapshot_count_entry()
    struct entry entry;  // the present one
    bool is_at_end;
};

enum { DIFF_SOURCES = 2 * VERSION_DELTAS };

struct version_diff {
    const struct version *old;  // borrowed
    const struct version *new;  // borrowed
    struct diff_source sources[DIFF_SOURCES];
    unsigned source_count;
    bool is_by_delta;
    uint64_t left[2];  // of the values that are compared, by version
};

/* Begins to compare; the versions stay where they are until the end. The
 * failures of version_at(). */
enum status
version_diff_begin(struct version_diff *diff, const struct version *old,
                   const struct version *new);

/* Fills the next differences, `capacity` at most, and how many they are; fewer
 * only at the end. STATUS_INTERRUPTED, and the failures of version_at() and
 * version_find(): then the comparison has ended. O(entries), or with the same
 * base O(m log n) for m entries in the deltas. */
enum status
version_diff_next(struct version_diff *diff, struct difference *differences,
                  size_t capacity, size_t *count,
                  const struct interrupt *interrupt);

#endif
