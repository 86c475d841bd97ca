/* core/snapshot/merge.h
 *
 * Merges the published entries and the changes into one sorted sequence, in
 * one pass over both.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_MERGE_H
#define SHAREDMAP_CORE_SNAPSHOT_MERGE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/entry.h"
#include "core/base/interrupt.h"
#include "core/base/status.h"
#include "core/snapshot/version.h"

/* Sorted, without duplicates; no key is in both. Borrowed. */
struct changes {
    const struct entry *puts;
    size_t put_count;
    const struct entry *removals;  // only their keys count
    size_t removal_count;
};

/* Fills `merged`, which has room for the version's entries and all puts; its
 * entries borrow from both. Fills whether they differ from the version's.
 * Removing an absent key is not an error. Fails with the status of
 * version_at(), STATUS_INTERRUPTED; `interrupt` may be NULL. O(n + changes).
 */
enum status
merge_changes(const struct version *version, const struct changes *changes,
              struct entry *merged, size_t *merged_count, bool *is_changed,
              const struct interrupt *interrupt);

#endif
