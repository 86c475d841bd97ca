/* core/snapshot/header.h
 *
 * The writer seals the header of a snapshot, each opener checks it. Both are
 * O(1) and read nothing behind the header.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_HEADER_H
#define SHAREDMAP_CORE_SNAPSHOT_HEADER_H

#include "core/base/status.h"
#include "core/snapshot/format.h"

/* Computes header_checksum over everything but the unique id, which is
 * random, and the words that change. */
void
snapshot_header_seal(struct snapshot_header *header);

/* Checks that the header is intact, of this version and kind, and that each
 * region lies inside `size` bytes, the size of the file or the buffer, which
 * may have deltas behind the base. Before this, no byte is trusted. */
enum status
snapshot_header_check(const struct snapshot_header *header, uint64_t size);

/* What is wrong with bytes that are fewer than a header: STATUS_EMPTY,
 * STATUS_TRUNCATED for the beginning of a snapshot, STATUS_NOT_A_SNAPSHOT. */
enum status
snapshot_header_check_short(const void *bytes, size_t size);

#endif
