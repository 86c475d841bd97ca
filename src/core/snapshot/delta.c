/* core/snapshot/delta.c
 *
 * Opens a delta in the room behind its base.
 *
 *     head --> | header | records | sorted index | ranks | hash index |
 *                 |                 ^              ^       ^
 *                 +- copied, checked, turned into pointers
 *
 * As for a base only the copy of the header is used. A reference leads from
 * the room's beginning to the end of the delta's own records at most, so the
 * view says that all of this is its records.
 *
 * Not here: what several deltas and their base are together (version.c); how
 * a delta is made (delta_writer.c).
 */
#include "core/snapshot/delta.h"

#include <string.h>

#include "core/base/hash.h"
#include "core/snapshot/record_shape.h"

static const unsigned char magic[] = DELTA_MAGIC;

bool
delta_layout_fill(struct delta_layout *layout, uint64_t entry_count,
                  uint64_t records_size, uint8_t reference_size)
{
    // Nothing overflows below: the sum is less than ten times of this.
    const uint64_t most = UINT64_C(1) << 56;
    if (entry_count > most || records_size > most) {
        return false;
    }
    layout->sorted_index = DELTA_HEADER_SIZE + snapshot_align(records_size);
    layout->ranks =
        layout->sorted_index + snapshot_align(entry_count * reference_size);
    layout->hash_index =
        layout->ranks + snapshot_align((entry_count + 1) * 2 * reference_size);
    return true;
}

/* The content is one block, however large: a delta is written at once. */
static uint64_t
content_checksum(const unsigned char *bytes, uint64_t size)
{
    return hash_bytes(bytes + DELTA_HEADER_SIZE, size - DELTA_HEADER_SIZE, 0);
}

static uint64_t
header_checksum(const struct delta_header *header)
{
    struct delta_header stable = *header;
    stable.header_checksum = 0;
    return hash_bytes(&stable, sizeof(stable), 0);
}

void
delta_seal(unsigned char *bytes)
{
    struct delta_header header;
    memcpy(&header, bytes, sizeof(header));
    header.content_checksum = content_checksum(bytes, header.size);
    header.header_checksum = header_checksum(&header);
    memcpy(bytes, &header, sizeof(header));
}

bool
delta_header_is_intact(const struct delta_header *header)
{
    return memcmp(header->magic, magic, sizeof(magic)) == 0
           && header->header_checksum == header_checksum(header);
}

enum status
delta_open(struct delta *delta, const struct snapshot *base, uint32_t head,
           uint64_t size)
{
    const unsigned char *room = base->bytes + base->header.total_size;
    const uint64_t begin = delta_begin(head);
    const uint64_t room_size = delta_room(size);
    struct delta_header header;
    struct delta_layout layout;
    if (room_size < sizeof(header) || begin > room_size - sizeof(header)) {
        return STATUS_BAD_DELTA;
    }
    memcpy(&header, room + begin, sizeof(header));
    if (!delta_header_is_intact(&header) || header.size > room_size - begin
        || header.size % SNAPSHOT_ALIGNMENT != 0
        || (header.beneath & HEAD_SUPERSEDED) != 0
        || !delta_layout_fill(&layout, header.entry_count, header.records_size,
                              base->reference_size)
        || layout.hash_index > header.size
        || (layout.hash_index < header.size) != (base->buckets != NULL))
    {
        return STATUS_BAD_DELTA;
    }
    *delta = (struct delta){
        .view =
            {
                .bytes = room,
                .sorted_index = room + begin + layout.sorted_index,
                .records = room,
                .buckets = base->buckets != NULL
                               ? room + begin + layout.hash_index
                               : NULL,
                .bucket_count =
                    (header.size - layout.hash_index) / BUCKET_SIZE,
                .hash_seed = base->hash_seed,
                .records_size =
                    begin + DELTA_HEADER_SIZE + header.records_size,
                .entry_count = header.entry_count,
                .reference_size = base->reference_size,
                .reference_shift = base->reference_shift,
                .has_containers = base->has_containers,
                .has_tombstones = true,
            },
        .ranks = room + begin + layout.ranks,
        .begin = begin,
        .end = begin + header.size,
        .header = header,
    };
    return STATUS_OK;
}

enum status
delta_verify_checksum(const struct delta *delta)
{
    uint64_t checksum =
        content_checksum(delta->view.bytes + delta->begin, delta->header.size);
    return checksum == delta->header.content_checksum ? STATUS_OK
                                                      : STATUS_BAD_CHECKSUM;
}
