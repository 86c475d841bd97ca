/* core/snapshot/delta.h
 *
 * A checked, read-only view on one delta: a small sorted snapshot of what has
 * changed, with tombstones for what was removed, and the ranks that lead past
 * it (format.h has the layout and the definitions).
 *
 *     base                             room
 *     | header | records, indices |    | delta | delta | delta |   |
 *     0                       total_size                         limit
 *
 * Like a snapshot's view it borrows the bytes, which are not trusted: all that
 * it gives lies inside the room, but any number may be wrong. Its entries are
 * read through `view`, by the functions of snapshot.h.
 *
 * Other folders read versions (version.h); what they need of a delta is its
 * header.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_DELTA_H
#define SHAREDMAP_CORE_SNAPSHOT_DELTA_H

#include "core/base/load.h"
#include "core/snapshot/snapshot.h"

struct delta {
    struct snapshot view;        // tombstones included
    const unsigned char *ranks;  // pairs of below and rank
    uint64_t begin;              // in the room
    uint64_t end;                // likewise; the next delta begins there
    struct delta_header header;  // as it was when the view was made
};

/* Where the parts of a delta are, from its beginning. */
struct delta_layout {
    uint64_t sorted_index;
    uint64_t ranks;
    uint64_t hash_index;
};

/* False when they do not fit into a size. */
bool
delta_layout_fill(struct delta_layout *layout, uint64_t entry_count,
                  uint64_t records_size, uint8_t reference_size);

/* Makes both checksums of a delta's bytes right. */
void
delta_seal(unsigned char *bytes);

/* Opens the delta that a head leads to, in a room of `size` bytes behind the
 * base. STATUS_BAD_DELTA. O(1). */
enum status
delta_open(struct delta *delta, const struct snapshot *base, uint32_t head,
           uint64_t size);

/* Whether its bytes are those that were written. STATUS_BAD_CHECKSUM. */
enum status
delta_verify_checksum(const struct delta *delta);

/* Whether the header is one of a delta, as it was written. */
bool
delta_header_is_intact(const struct delta_header *header);

/* Where the newest delta of a file with that head begins, in the room. A head
 * of 0 leads beyond any room. */
static inline uint64_t
delta_begin(uint32_t head)
{
    return ((uint64_t)(head >> HEAD_SHIFT) - 1) * SNAPSHOT_ALIGNMENT;
}

/* How much of a room of that size a head can lead to: 128 GiB. */
static inline uint64_t
delta_room(uint64_t size)
{
    const uint64_t most =
        (UINT64_C(1) << (32 - HEAD_SHIFT)) * SNAPSHOT_ALIGNMENT
        - SNAPSHOT_ALIGNMENT;
    return size < most ? size : most;
}

/* The head of a file whose newest delta begins there, in such a room. */
static inline uint32_t
delta_head(uint64_t begin)
{
    return (uint32_t)(begin / SNAPSHOT_ALIGNMENT + 1) << HEAD_SHIFT;
}

static inline bool
entry_is_tombstone(const struct entry *entry)
{
    return (int)entry->value.type == RECORD_TOMBSTONE
           && entry->value.bytes.size == 0;
}

/* How many entries of what lies beneath are below entry `index`, which is
 * entry_count at most; how many of the version are. */
static inline uint64_t
delta_below(const struct delta *delta, uint64_t index)
{
    return delta->view.reference_size == 4
               ? load_u32(delta->ranks + index * 8)
               : load_u64(delta->ranks + index * 16);
}

static inline uint64_t
delta_rank(const struct delta *delta, uint64_t index)
{
    return delta->view.reference_size == 4
               ? load_u32(delta->ranks + index * 8 + 4)
               : load_u64(delta->ranks + index * 16 + 8);
}

/* What has to be added to a rank beneath, for keys from that of entry `index`
 * on up to the one before: below zero as a two's complement. */
static inline uint64_t
delta_shift(const struct delta *delta, uint64_t index)
{
    return delta_rank(delta, index) - delta_below(delta, index);
}

/* By how much entry `index` changes the shift: -1 for a tombstone, 0 for a
 * value of a key that is beneath, 1 for one that is not. */
static inline int64_t
delta_step(const struct delta *delta, uint64_t index)
{
    return (int64_t)(delta_shift(delta, index + 1)
                     - delta_shift(delta, index));
}

#endif
