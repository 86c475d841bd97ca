/* core/snapshot/delta_merge.h
 *
 * What a new delta will say: the entries of the present ones, the changes, and
 * where each key stands in what lies beneath.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_DELTA_MERGE_H
#define SHAREDMAP_CORE_SNAPSHOT_DELTA_MERGE_H

#include "core/snapshot/merge.h"
#include "core/snapshot/version.h"

/* A record that is not in the room yet. */
#define RECORD_NEW UINT64_MAX

/* One entry of a delta that is not written yet. */
struct delta_entry {
    struct entry entry;  // borrowed; perhaps a tombstone
    uint64_t record;     // where its record is in the room, or RECORD_NEW
    uint64_t below;      // how many entries beneath have a lower key
    bool is_beneath;     // whether one has this key
};

/* Whether the entry says nothing any more: a tombstone of a key that is not
 * beneath. Its record is still written once, as the records of a delta are
 * the log of what its publisher changed. */
static inline bool
delta_entry_is_void(const struct delta_entry *entry)
{
    return entry_is_tombstone(&entry->entry) && !entry->is_beneath;
}

/* Fills what the newest delta of the version and the changes come to, over
 * what lies beneath that delta; over the old one if there is no young one, and
 * `merged` begins there empty. It has room for the entries of the young delta,
 * all puts and all removals. `is_changed` is false when the changes change
 * nothing. What is wrong with the version; STATUS_INTERRUPTED, `interrupt` may
 * be NULL. O(young + changes * log n). */
enum status
delta_merge_changes(const struct version *version,
                    const struct changes *changes, struct delta_entry *merged,
                    size_t *count, bool *is_changed,
                    const struct interrupt *interrupt);

/* Folds: fills what the old delta and `young`, entries over it, come to over
 * the base. Room for both. Without an old delta it is `young`. What is wrong
 * with the version, STATUS_INTERRUPTED. O(old + young). */
enum status
delta_fold(const struct version *version, const struct delta_entry *young,
           size_t young_count, struct delta_entry *folded, size_t *count,
           const struct interrupt *interrupt);

#endif
