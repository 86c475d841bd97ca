/* core/segment/mapping.h
 *
 * One mapping for each file in this process, however many segments are open:
 * in whichever thread or interpreter. A segment owns a counted reference to
 * the mapping that its bytes are in; the last one that is closed unmaps it.
 *
 * For open.c only; others use segment.h.
 */
#ifndef SHAREDMAP_CORE_SEGMENT_MAPPING_H
#define SHAREDMAP_CORE_SEGMENT_MAPPING_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/segment/segment.h"

/* Which file it is. As long as a file is mapped, no other one of its file
 * system should get its inode number; but numbers can wrap around, or be what
 * a server says. So the unique id in the header is compared, too. */
struct mapping_key {
    uint64_t device;
    uint64_t inode;
    unsigned char unique_id[16];
};

/* A number for the path that a file was opened by: the same for the same path,
 * and hardly ever the same for two. */
uint64_t
mapping_path(const char *path);

/* Fills the segment with so many bytes of the file, in a mapping that exists;
 * false if there is none, or a shorter one. No call of the system. */
bool
mapping_find(struct segment *segment, const struct mapping_key *key,
             uint64_t size);

/* The same, mapping what is not mapped yet: the open file, or more than it
 * has by now. STATUS_NO_MEMORY, STATUS_SYSTEM. */
enum status
mapping_acquire(struct segment *segment, const struct mapping_key *key,
                uint64_t path, int descriptor, uint64_t size);

/* Whether a file that was opened by this path is open. */
bool
mapping_is_open(uint64_t path);

/* Takes over the reference, and gives it back when no older file that was
 * opened by this path is open any more, or when it is called again. */
void
mapping_retain(struct segment *segment, uint64_t path);

/* Fills the segment with one more reference to the same mapping. False in a
 * child that was forked before `known` was kept. No call of the system. */
bool
mapping_share(struct segment *segment, const struct segment *known);

/* From now on a forked child has the reference, too. False in a child that was
 * forked before. */
bool
mapping_keep(struct segment *segment);

/* Gives the reference back, whether it is kept or not. In a child that was
 * forked before it was kept there is none. Leaves errno alone. */
void
mapping_release(struct segment *segment);

#endif
