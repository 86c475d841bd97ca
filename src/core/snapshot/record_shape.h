/* core/snapshot/record_shape.h
 *
 * The layout of a record that is about to be written.
 *
 *     | head, with sizes that do not fit in it | key | zeros | value |
 *       <--------- head, head_size ----------->      <padding>
 *
 * Inline, because writing a snapshot is one pass over millions of records. For
 * the writers of snapshot/ only.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_RECORD_SHAPE_H
#define SHAREDMAP_CORE_SNAPSHOT_RECORD_SHAPE_H

#include <string.h>

#include "core/base/entry.h"
#include "core/snapshot/format.h"

/* The next multiple of the alignment of all parts of a snapshot. */
static inline uint64_t
snapshot_align(uint64_t offset)
{
    return (offset + SNAPSHOT_ALIGNMENT - 1) & ~(SNAPSHOT_ALIGNMENT - 1);
}

/* The layout of a record. */
struct record_shape {
    unsigned char
        head[RECORD_HEAD_SIZE + 8 + 8];  // with the sizes that follow
    unsigned head_size;
    unsigned padding;  // before the value
    uint64_t size;
};

/* Appends a size that does not fit its field to the head. Returns the code for
 * the field. */
static inline unsigned
record_encode_size(struct record_shape *shape, uint64_t size, unsigned escape)
{
    if (size < escape) {
        return (unsigned)size;
    }
    unsigned power = size <= UINT8_MAX    ? 0
                     : size <= UINT16_MAX ? 1
                     : size <= UINT32_MAX ? 2
                                          : 3;
    memcpy(shape->head + shape->head_size, &size, (size_t)1 << power);
    shape->head_size += 1U << power;
    return escape + power;
}

/* The layout of the record of `entry` at `offset` of the records. */
static inline void
record_shape_fill(struct record_shape *shape, const struct entry *entry,
                  uint64_t offset)
{
    shape->head_size = RECORD_HEAD_SIZE;
    unsigned key_code =
        record_encode_size(shape, entry->key.size, RECORD_KEY_SIZE_ESCAPE);
    unsigned value_code = record_encode_size(shape, entry->value.bytes.size,
                                             RECORD_VALUE_SIZE_ESCAPE);
    uint16_t head = (uint16_t)(key_code << RECORD_KEY_SIZE_SHIFT
                               | value_code << RECORD_VALUE_SIZE_SHIFT
                               | (unsigned)entry->value.type);
    memcpy(shape->head, &head, sizeof(head));

    uint64_t value_offset = shape->head_size + entry->key.size;
    shape->padding =
        value_type_is_aligned(entry->value.type)
            ? (unsigned)(-(offset + value_offset) % SNAPSHOT_VALUE_ALIGNMENT)
            : 0;
    shape->size = value_offset + shape->padding + entry->value.bytes.size;
}

/* How many zeros before a record at `offset` of the records align its value,
 * in the snapshot and so in memory. A multiple of 8, so that the shape stays
 * as it is. */
static inline unsigned
record_lead(const struct record_shape *shape, const struct entry *entry,
            uint64_t offset, uint64_t alignment)
{
    if (alignment <= SNAPSHOT_VALUE_ALIGNMENT
        || !value_type_is_aligned(entry->value.type))
    {
        return 0;
    }
    uint64_t value = offset + shape->size - entry->value.bytes.size;
    return (unsigned)(-value & (alignment - 1));
}

/* Writes the record, which has its size of room at `to`. */
static inline void
record_write(unsigned char *to, const struct record_shape *shape,
             const struct entry *entry)
{
    memcpy(to, shape->head, shape->head_size);
    to = slice_copy(to + shape->head_size, entry->key);
    memset(to, 0, shape->padding);
    slice_copy(to + shape->padding, entry->value.bytes);
}

#endif
