/* core/compact.h
 *
 * Makes a new base of a base and its deltas, while others read and publish.
 */
#ifndef SHAREDMAP_CORE_COMPACT_H
#define SHAREDMAP_CORE_COMPACT_H

#include "core/base/status.h"
#include "core/segment/segment.h"

/* Replaces the file that has the name by one with the same version in it, as a
 * base alone: readers move over and find nothing new. Others publish meanwhile,
 * and wait for the last step only. Without a change, and STATUS_OK, where
 * another process is at it, the name has gone, there is no space for it, or the
 * file is marked. STATUS_INTERRUPTED, STATUS_NO_MEMORY, STATUS_SYSTEM, what is
 * wrong with the map; whatever it is, nothing is lost. O(n). */
enum status
compact_segment(const char *path, struct slice label,
                const struct lock_options *options);

#endif
