/* core/update.h
 *
 * Changes to a map that is published.
 */
#ifndef SHAREDMAP_CORE_UPDATE_H
#define SHAREDMAP_CORE_UPDATE_H

#include <stdint.h>

#include "core/base/status.h"
#include "core/segment/segment.h"
#include "core/snapshot/merge.h"

/* What to publish instead of what is published now. */
struct publish_update {
    struct slice label;      // borrowed
    struct changes changes;  // borrowed
    struct lock_options lock;
    struct expectation expected;
    uint64_t needed;      // filled: the size of the new snapshot, also
                          // when there is no space for it
    uint64_t generation;  // filled: what is published now
};

/* Publishes the present snapshot with the changes made to it, under the lock:
 * what others publish meanwhile comes before or after, and is not lost. Mode
 * and index stay what they are. STATUS_NAME_ABSENT, or STATUS_STALE where a
 * version was expected, also of another than the expected one, with the
 * generation that was found; the failures of publish_plan() and publish_to_segment(), and what is wrong with the present
 * snapshot. Changes that change nothing are not published. O(n), without a
 * tree. */
enum status
publish_update(struct publish_update *update, const char *path);

#endif
