/* core/snapshot/writer.h
 *
 * Writes sorted entries as a snapshot.
 *
 * Two steps, since the size must be known before the first byte is written:
 * snapshot_plan() lays the regions out, snapshot_write() passes the bytes to
 * the sink in large chunks. The plan borrows the entries and must not outlive
 * them; it owns nothing.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_WRITER_H
#define SHAREDMAP_CORE_SNAPSHOT_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/entry.h"
#include "core/base/interrupt.h"
#include "core/base/status.h"
#include "core/snapshot/format.h"

enum snapshot_index {
    INDEX_HASH,  // exact keys by hash, everything else by order
    INDEX_TREE,  // everything by order: 7 bytes less for each entry
};

struct snapshot_options {
    struct slice label;  // copied
    enum snapshot_index index;
    bool is_wide;  // 8-byte references even where 4 bytes would do
    // Of bytes and encoded values: a power of two above 8, at most
    // SNAPSHOT_ALIGNMENT, or 0 for 8.
    uint16_t value_alignment;
};

struct snapshot_plan {
    const struct entry *entries;  // borrowed, in strictly ascending order
    size_t entry_count;
    struct snapshot_header header;  // header.total_size is the size needed
};

/* Takes size bytes that belong at `offset` of the snapshot. Called with
 * ascending offsets, and at the very end once for the header at offset 0. */
struct snapshot_sink {
    enum status (*write)(void *context, uint64_t offset, const void *bytes,
                         size_t size);
    void *context;
    const struct interrupt *interrupt;  // borrowed; may be NULL
};

/* Fills the plan. STATUS_LABEL_TOO_LONG above 256 bytes, STATUS_TOO_LARGE.
 * O(n), reads no byte of the values and few of the keys. */
enum status
snapshot_plan(struct snapshot_plan *plan, const struct entry *entries,
              size_t entry_count, const struct snapshot_options *options);

/* Writes everything, the header last, and fills the fields of the header that
  * the plan could not know. STATUS_NO_MEMORY, STATUS_INTERRUPTED or the status
  * of the sink; after a failure the header is not sent. O(n). */
enum status
snapshot_write(struct snapshot_plan *plan, const struct snapshot_sink *sink);

#endif
