/* core/snapshot/delta_log.h
 *
 * What has been published since a version: the records of the deltas behind
 * it, each of which its publisher wrote for one change. They are copied: what
 * is sorted must not be bytes that another process may write to.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_DELTA_LOG_H
#define SHAREDMAP_CORE_SNAPSHOT_DELTA_LOG_H

#include "core/base/arena.h"
#include "core/snapshot/merge.h"
#include "core/snapshot/version.h"

struct delta_log {
    struct arena arena;      // copies of all keys and values
    struct entry *entries;   // owned; what the changes point into
    struct changes changes;  // sorted
};

/* Fills what changed from one version to a later one of the same file. The
 * caller clears the log whatever the answer. STATUS_NO_MEMORY, what is wrong
 * with the deltas between them. O(changes * log). */
enum status
delta_log_read(struct delta_log *log, const struct version *from,
               const struct version *to);

void
delta_log_clear(struct delta_log *log);

#endif
