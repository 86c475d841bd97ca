/* core/publish.h
 *
 * Sorted entries become a segment that other processes can open, or bytes in
 * memory: where writer and segment meet.
 */
#ifndef SHAREDMAP_CORE_PUBLISH_H
#define SHAREDMAP_CORE_PUBLISH_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/entry.h"
#include "core/base/slice.h"
#include "core/base/status.h"
#include "core/segment/segment.h"
#include "core/snapshot/writer.h"

/* Fills a plan with a unique id of its own; plan->header.total_size is the
 * size that publish_to_memory() fills. STATUS_LABEL_TOO_LONG,
 * STATUS_TOO_LARGE, STATUS_SYSTEM. */
enum status
publish_plan(struct snapshot_plan *plan, const struct entry *entries,
             size_t entry_count, const struct snapshot_options *options);

/* Leaves room for deltas behind the snapshot, half of its size, where it pays:
 * before the header is written. */
void
publish_leave_room(struct snapshot_plan *plan);

/* Writes all of a plan to a draft that was made for it. STATUS_NO_MEMORY,
 * STATUS_INTERRUPTED, and the failures of draft_write(). */
enum status
publish_write_draft(struct draft *draft, struct snapshot_plan *plan,
                    const struct interrupt *interrupt);

/* Fills `bytes`, which has room for the plan's total_size. STATUS_NO_MEMORY,
 * STATUS_INTERRUPTED; `interrupt` may be NULL. */
enum status
publish_to_memory(struct snapshot_plan *plan, void *bytes,
                  const struct interrupt *interrupt);

/* Publishes under the path by the protocol of docs/PROTOCOL.md, and fills
 * plan->header.generation. Whatever the failure, a snapshot that was there
 * before is still there. The failures of draft_create(), draft_write() and
 * draft_publish(), and STATUS_NO_MEMORY. */
enum status
publish_to_segment(struct snapshot_plan *plan, const char *path,
                   const struct publish_options *options);

#endif
