/* core/snapshot/header.c
 *
 * The header is checked from the outside in: is it a snapshot, of a version
 * that we read, intact, and only then its fields.
 *
 *     magic -> version -> size -> checksum -> kind, flags -> fields -> regions
 *
 * The header given here is a private copy. A header in shared memory could
 * change between the check and its use.
 *
 * Not here: what the regions contain; see record.h.
 */
#include "core/snapshot/header.h"

#include <stdbool.h>
#include <string.h>

#include "core/base/hash.h"

static const unsigned char magic[] = SNAPSHOT_MAGIC;

static uint64_t
checksum(const struct snapshot_header *header)
{
    struct snapshot_header stable = *header;
    memset(stable.unique_id, 0, sizeof(stable.unique_id));
    stable.header_checksum = 0;
    stable.head = 0;
    stable.waiting_since = 0;
    return hash_bytes(&stable, sizeof(stable), 0);
}

void
snapshot_header_seal(struct snapshot_header *header)
{
    header->header_checksum = checksum(header);
}

static bool
region_fits(const struct snapshot_region *region, uint64_t total_size)
{
    return region->offset % SNAPSHOT_ALIGNMENT == 0
           && region->offset >= SNAPSHOT_HEADER_SIZE
           && region->offset <= total_size
           && region->size <= total_size - region->offset;
}

static bool
region_is_absent(const struct snapshot_region *region)
{
    return region->offset == 0 && region->size == 0;
}

static bool
hash_index_fits(const struct snapshot_region *region, uint64_t total_size)
{
    return region_fits(region, total_size) && region->size > 0
           && region->size % BUCKET_SIZE == 0;
}

enum status
snapshot_header_check_short(const void *bytes, size_t size)
{
    if (size == 0) {
        return STATUS_EMPTY;
    }
    size_t common = size < sizeof(magic) ? size : sizeof(magic);
    return memcmp(bytes, magic, common) == 0 ? STATUS_TRUNCATED
                                             : STATUS_NOT_A_SNAPSHOT;
}

/* Readers map the room, so it must be in proportion to the base. */
static bool
room_is_too_large(const struct snapshot_header *header)
{
    return header->limit > header->total_size
           && header->limit - header->total_size
                  > header->total_size + SNAPSHOT_ROOM_ANYWAY;
}

/* A file may have grown by deltas, up to the limit. */
static bool
size_fits(const struct snapshot_header *header, uint64_t size)
{
    return header->total_size == size
           || (header->total_size < size && size <= header->limit);
}

/* Whether a writer can keep it: nothing else depends on it. */
static bool
alignment_is_known(uint64_t alignment)
{
    return alignment == 0
           || (alignment >= SNAPSHOT_VALUE_ALIGNMENT
               && alignment <= SNAPSHOT_ALIGNMENT
               && (alignment & (alignment - 1)) == 0);
}

enum status
snapshot_header_check(const struct snapshot_header *header, uint64_t size)
{
    if (memcmp(header->magic, magic, sizeof(magic)) != 0) {
        return STATUS_NOT_A_SNAPSHOT;
    }
    if (header->version != SNAPSHOT_VERSION) {
        return STATUS_OTHER_VERSION;
    }
    if (!size_fits(header, size)) {
        return STATUS_TRUNCATED;
    }
    if (header->header_checksum != checksum(header)) {
        return STATUS_BAD_HEADER_CHECKSUM;
    }
    if (header->kind != SNAPSHOT_KIND_SORTED_MAP
        || (header->flags & ~SNAPSHOT_FLAGS_KNOWN) != 0)
    {
        return STATUS_OTHER_KIND;
    }
    if (header->header_size != SNAPSHOT_HEADER_SIZE
        || header->total_size % SNAPSHOT_ALIGNMENT != 0
        || header->limit % SNAPSHOT_ALIGNMENT != 0 || room_is_too_large(header)
        || (header->reference_size != 4 && header->reference_size != 8)
        || header->reference_shift > 6
        || !alignment_is_known(header->value_alignment)
        || header->label_size > SNAPSHOT_LABEL_SIZE)
    {
        return STATUS_BAD_HEADER;
    }
    uint64_t sorted_size;
    bool has_hash_index = (header->flags & SNAPSHOT_FLAG_HASH_INDEX) != 0;
    if (!region_fits(&header->sorted_index, header->total_size)
        || !region_fits(&header->records, header->total_size)
        || !(has_hash_index
                 ? hash_index_fits(&header->hash_index, header->total_size)
                 : region_is_absent(&header->hash_index))
        || __builtin_mul_overflow(header->entry_count, header->reference_size,
                                  &sorted_size)
        || header->sorted_index.size != sorted_size)
    {
        return STATUS_BAD_REGION;
    }
    return STATUS_OK;
}
