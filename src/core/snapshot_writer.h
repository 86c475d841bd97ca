/* core/snapshot_writer.h
 *
 * Sorted entries become the bytes of a snapshot.
 *
 * Two steps, since the size must be known before the first byte is written:
 * snapshot_plan() lays the regions out, snapshot_write() sends the bytes, in
 * large pieces, to wherever the sink puts them. The plan borrows the entries
 * and must not outlive them; it owns nothing.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_WRITER_H
#define SHAREDMAP_CORE_SNAPSHOT_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "core/entry.h"
#include "core/snapshot_format.h"
#include "core/status.h"

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
};

/* Fills the plan. `label` is copied: STATUS_LABEL_TOO_LONG above 256 bytes.
 * `wide` asks for 8-byte references even where 4 bytes would do. O(n), reads
 * no byte of the keys and values. */
enum status
snapshot_plan(struct snapshot_plan *plan, const struct entry *entries,
              size_t entry_count, struct slice label, bool wide);

/* Writes everything, the header last, and fills plan->header.content_checksum.
 * STATUS_NO_MEMORY or what the sink answered. O(n). */
enum status
snapshot_write(struct snapshot_plan *plan, const struct snapshot_sink *sink);

#endif
