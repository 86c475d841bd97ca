/* core/snapshot/header.h
 *
 * A snapshot's header as a whole: sealed by who writes it, checked by who
 * opens it. Both cost O(1) and touch no byte behind the header.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_HEADER_H
#define SHAREDMAP_CORE_SNAPSHOT_HEADER_H

#include "core/base/status.h"
#include "core/snapshot/format.h"

/* Computes header_checksum over everything but the unique id, which is
 * random, and the words that change. */
void
snapshot_header_seal(struct snapshot_header *header);

/* What an opener must know before it believes a word of the snapshot: that
 * the header is whole, of this version and kind, and that each region lies
 * inside `size` bytes, the size of the file or the buffer. */
enum status
snapshot_header_check(const struct snapshot_header *header, uint64_t size);

#endif
