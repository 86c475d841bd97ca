/* core/snapshot/delta_writer.h
 *
 * Writes the entries of a new delta as bytes, in memory of its own: a delta is
 * small, and must be finished before its first byte is in the file.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_DELTA_WRITER_H
#define SHAREDMAP_CORE_SNAPSHOT_DELTA_WRITER_H

#include "core/snapshot/delta_merge.h"

struct delta_plan {
    const struct snapshot *base;        // borrowed
    const struct delta_entry *entries;  // borrowed, in ascending order
    size_t entry_count;                 // with those that are void
    uint64_t beneath;                   // how many entries lie beneath
    uint64_t begin;                     // in the room
    struct delta_layout layout;
    struct delta_header header;  // the caller fills since_fold, beneath,
                                 // generation, unique_id and published_at
};

/* Fills the plan of a delta that begins there; header.size is the size needed.
 * STATUS_TOO_LARGE where the base's reference size is too small for it. O(n).
 */
enum status
delta_plan(struct delta_plan *plan, const struct snapshot *base,
           uint64_t beneath, uint64_t begin, const struct delta_entry *entries,
           size_t entry_count);

/* Fills `bytes`, which have the size needed, and seals them.
 * STATUS_NO_MEMORY; STATUS_BAD_HASH_INDEX when the keys cannot be spread with
 * the base's seed. O(n). */
enum status
delta_write(struct delta_plan *plan, unsigned char *bytes);

#endif
