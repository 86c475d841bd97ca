/* core/snapshot/merge.h
 *
 * What is published and what shall change become one sorted sequence, in one
 * pass over both.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_MERGE_H
#define SHAREDMAP_CORE_SNAPSHOT_MERGE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/entry.h"
#include "core/base/status.h"
#include "core/snapshot/snapshot.h"

/* Sorted and without doubles; no key is in both. Borrowed. */
struct changes {
    const struct entry *puts;
    size_t put_count;
    const struct entry *removals;  // only their keys count
    size_t removal_count;
};

/* Fills `merged`, which has room for the snapshot's entries and all puts; what
 * it holds borrows from both, and whether that differs from the snapshot. A removal of what is not there is no failure.
 * What snapshot_at() answers. O(n + changes). */
enum status
merge_changes(const struct snapshot *view, const struct changes *changes,
              struct entry *merged, size_t *merged_count, bool *is_changed);

#endif
