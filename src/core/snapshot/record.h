/* core/snapshot/record.h
 *
 * Reads one record of an untrusted snapshot.
 *
 *     sorted index or hash index
 *     | ... | reference | ... |
 *                 |  record_offset(): inside the records?
 *                 v
 *     | head | key size | value size | key | zeros | value |
 *        +-- record_read(): does each part end inside the records?
 *
 * Every number is loaded once (base/load.h), compared with the size of the
 * records, and used from the variable that was checked. `assert` is not for
 * these: bytes from outside are never our own invariant.
 *
 * Inline, because each lookup reads one record and would pay for a call. For
 * the files of snapshot/ only; others use snapshot.h.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_RECORD_H
#define SHAREDMAP_CORE_SNAPSHOT_RECORD_H

#include "core/base/load.h"
#include "core/snapshot/snapshot.h"

/* What is left of the records, from `at` on. */
struct record_cursor {
    const unsigned char *at;
    uint64_t left;
};

/* Fills `size` from its code, and from the bytes behind the head when the
 * code says so. */
static inline bool
record_take_size(struct record_cursor *cursor, unsigned code, unsigned escape,
                 uint64_t *size)
{
    if (code < escape) {
        *size = code;
        return true;
    }
    unsigned width = 1U << (code - escape);
    if (cursor->left < width) {
        return false;
    }
    switch (width) {
    case 1:
        *size = load_u8(cursor->at);
        break;
    case 2:
        *size = load_u16(cursor->at);
        break;
    case 4:
        *size = load_u32(cursor->at);
        break;
    default:
        *size = load_u64(cursor->at);
        break;
    }
    cursor->at += width;
    cursor->left -= width;
    return true;
}

static inline bool
record_take_bytes(struct record_cursor *cursor, uint64_t size,
                  struct slice *bytes)
{
    if (cursor->left < size) {
        return false;
    }
    *bytes = (struct slice){cursor->at, (size_t)size};
    cursor->at += size;
    cursor->left -= size;
    return true;
}

/* Whether a container of that size is valid here: without a value it is a
 * tombstone. */
static inline bool
record_may_have(const struct snapshot *view, uint64_t container_size)
{
    return container_size == 0 ? view->has_tombstones : view->has_containers;
}

/* Reads the record at `offset` of the records and fills the entry. */
static inline enum status
record_read(const struct snapshot *view, uint64_t offset, struct entry *entry)
{
    if (view->records_size < RECORD_HEAD_SIZE
        || offset > view->records_size - RECORD_HEAD_SIZE)
    {
        return STATUS_BAD_REFERENCE;
    }
    struct record_cursor cursor = {view->records + offset + RECORD_HEAD_SIZE,
                                   view->records_size - offset
                                       - RECORD_HEAD_SIZE};
    unsigned head = load_u16(view->records + offset);
    unsigned type = head & ((1U << RECORD_TYPE_BITS) - 1);
    unsigned value_code =
        head >> RECORD_VALUE_SIZE_SHIFT & ((1U << RECORD_VALUE_SIZE_BITS) - 1);
    unsigned key_code = head >> RECORD_KEY_SIZE_SHIFT;
    uint64_t key_size, value_size;
    struct slice padding;

    entry->value.type = (enum value_type)type;
    if (key_code < RECORD_KEY_SIZE_ESCAPE
        && value_code < RECORD_VALUE_SIZE_ESCAPE && type < VALUE_BYTES)
    {
        // The common case: the head holds both sizes.
        if (cursor.left < key_code + value_code) {
            return STATUS_BAD_RECORD;
        }
        entry->key = (struct slice){cursor.at, key_code};
        entry->value.bytes = (struct slice){cursor.at + key_code, value_code};
        return STATUS_OK;
    }
    if (!record_take_size(&cursor, key_code, RECORD_KEY_SIZE_ESCAPE, &key_size)
        || !record_take_size(&cursor, value_code, RECORD_VALUE_SIZE_ESCAPE,
                             &value_size)
        || !record_take_bytes(&cursor, key_size, &entry->key))
    {
        return STATUS_BAD_RECORD;
    }
    if (type == VALUE_CONTAINER && !record_may_have(view, value_size)) {
        return STATUS_BAD_VALUE;
    }
    if (value_type_is_aligned(entry->value.type)) {
        uint64_t value_offset = view->records_size - cursor.left;
        if (!record_take_bytes(
                &cursor, -value_offset % SNAPSHOT_VALUE_ALIGNMENT, &padding))
        {
            return STATUS_BAD_RECORD;
        }
    }
    if (!record_take_bytes(&cursor, value_size, &entry->value.bytes)) {
        return STATUS_BAD_RECORD;
    }
    return STATUS_OK;
}

/* Where the record of an entry that was read ends: where the next one begins.
 */
static inline uint64_t
record_end(const struct snapshot *view, const struct entry *entry)
{
    return (uint64_t)(entry->value.bytes.bytes + entry->value.bytes.size
                      - view->records);
}

/* Fills the record offset of a reference. STATUS_BAD_REFERENCE when it is
 * outside the records. */
static inline enum status
record_offset(const struct snapshot *view, uint64_t reference,
              uint64_t *offset)
{
    if (reference > view->records_size >> view->reference_shift) {
        return STATUS_BAD_REFERENCE;
    }
    *offset = reference << view->reference_shift;
    return STATUS_OK;
}

/* Fills the record offset of the entry at `index`, which is below entry_count.
 */
static inline enum status
record_offset_at(const struct snapshot *view, uint64_t index, uint64_t *offset)
{
    uint64_t reference = view->reference_size == 4
                             ? load_u32(view->sorted_index + index * 4)
                             : load_u64(view->sorted_index + index * 8);
    return record_offset(view, reference, offset);
}

/* Fills that entry. */
static inline enum status
record_at(const struct snapshot *view, uint64_t index, struct entry *entry)
{
    uint64_t offset;
    enum status status = record_offset_at(view, index, &offset);
    return status == STATUS_OK ? record_read(view, offset, entry) : status;
}

#endif
