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

/* Fills the segment with so many bytes of the file, in a mapping that exists;
 * false if there is none, or a shorter one. No call of the system. */
bool
mapping_find(struct segment *segment, const struct mapping_key *key,
             uint64_t size);

/* The same, mapping what is not mapped yet: the open file, or more than it
 * has by now. STATUS_NO_MEMORY, STATUS_SYSTEM. */
enum status
mapping_acquire(struct segment *segment, const struct mapping_key *key,
                int descriptor, uint64_t size);

/* From now on a forked child has the reference, too. False in a child that was
 * forked before. */
bool
mapping_keep(struct segment *segment);

/* Gives the reference back, whether it is kept or not. In a child that was
 * forked before it was kept there is none. Leaves errno alone. */
void
mapping_release(struct segment *segment);

#endif
