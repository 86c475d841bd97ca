/* core/snapshot_writer.c
 *
 * Each region is a function of the sorted entries, so the writer walks them
 * once for each region and keeps nothing in between but one buffer:
 *
 *     plan           sum of the record sizes -> where the regions begin
 *     sorted index   running sum of the record sizes, one reference each
 *     records        the bytes themselves
 *
 *     entries -> | buffer, 1 MiB | -> checksum, block by block -> sink
 *
 * The header goes last, when the checksum is known.
 *
 * Not here: trees, files, and the record's picture; see snapshot_format.h.
 */
#include "core/snapshot_writer.h"

#include <string.h>

#include "core/hash.h"
#include "core/memory.h"
#include "core/snapshot_header.h"

/* ---- records ------------------------------------------------------------ */

/* Where the parts of a record lie, from its own beginning. */
struct record_shape {
    unsigned char
        head[RECORD_HEAD_SIZE + 8 + 8];  // with the sizes that follow
    unsigned head_size;
    unsigned padding;  // before the value
    uint64_t size;
};

/* Puts a size that does not fit its field behind the head and returns the
 * code for the field. */
static unsigned
encode_size(struct record_shape *shape, uint64_t size, unsigned escape)
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

/* The record that `entry` becomes at `offset` of the records. */
static void
shape_record(struct record_shape *shape, const struct entry *entry,
             uint64_t offset)
{
    shape->head_size = RECORD_HEAD_SIZE;
    unsigned key_code =
        encode_size(shape, entry->key.size, RECORD_KEY_SIZE_ESCAPE);
    unsigned value_code =
        encode_size(shape, entry->value.bytes.size, RECORD_VALUE_SIZE_ESCAPE);
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

/* ---- the plan ----------------------------------------------------------- */

static uint64_t
align(uint64_t offset)
{
    return (offset + SNAPSHOT_ALIGNMENT - 1) & ~(SNAPSHOT_ALIGNMENT - 1);
}

enum status
snapshot_plan(struct snapshot_plan *plan, const struct entry *entries,
              size_t entry_count, struct slice label, bool wide)
{
    if (label.size > SNAPSHOT_LABEL_SIZE) {
        return STATUS_LABEL_TOO_LONG;
    }
    uint64_t records_size = 0;
    for (size_t i = 0; i < entry_count; i++) {
        struct record_shape shape;
        shape_record(&shape, &entries[i], records_size);
        records_size += shape.size;
        // All the bytes are in memory, so their sum stays far below 2^63;
        // unless many entries borrow the same bytes.
        if (records_size > (uint64_t)1 << 62) {
            return STATUS_TOO_LARGE;
        }
    }
    wide = wide || records_size > UINT32_MAX;
    struct snapshot_header header = {
        .magic = SNAPSHOT_MAGIC,
        .version = SNAPSHOT_VERSION,
        .header_size = SNAPSHOT_HEADER_SIZE,
        .kind = SNAPSHOT_KIND_SORTED_MAP,
        .entry_count = entry_count,
        .reference_size = wide ? 8 : 4,
        .label_size = (uint16_t)label.size,
    };
    header.sorted_index.offset = SNAPSHOT_HEADER_SIZE;
    header.sorted_index.size = (uint64_t)entry_count * header.reference_size;
    header.records.offset =
        align(header.sorted_index.offset + header.sorted_index.size);
    header.records.size = records_size;
    header.total_size = align(header.records.offset + records_size);
    slice_copy(header.label, label);

    plan->entries = entries;
    plan->entry_count = entry_count;
    plan->header = header;
    return STATUS_OK;
}

/* ---- output ------------------------------------------------------------- */

enum { OUTPUT_SIZE = 16 * SNAPSHOT_CHECKSUM_BLOCK };

struct output {
    const struct snapshot_sink *sink;  // borrowed
    unsigned char *buffer;             // owned
    size_t used;
    uint64_t offset;  // of the buffer's first byte in the snapshot
    uint64_t checksum;
    enum status status;  // the first failure; nothing is sent after it
};

/* Always a full buffer but for the last time, so blocks keep their size. */
static void
output_flush(struct output *output)
{
    for (size_t at = 0; at < output->used; at += SNAPSHOT_CHECKSUM_BLOCK) {
        size_t left = output->used - at;
        output->checksum = hash_bytes(
            output->buffer + at,
            left < SNAPSHOT_CHECKSUM_BLOCK ? left : SNAPSHOT_CHECKSUM_BLOCK,
            output->checksum);
    }
    if (output->status == STATUS_OK && output->used > 0) {
        output->status =
            output->sink->write(output->sink->context, output->offset,
                                output->buffer, output->used);
    }
    output->offset += output->used;
    output->used = 0;
}

static void
output_append(struct output *output, struct slice bytes)
{
    while (bytes.size > OUTPUT_SIZE - output->used) {
        size_t room = OUTPUT_SIZE - output->used;
        slice_copy(output->buffer + output->used,
                   (struct slice){bytes.bytes, room});
        output->used = OUTPUT_SIZE;
        output_flush(output);
        bytes.bytes += room;
        bytes.size -= room;
    }
    slice_copy(output->buffer + output->used, bytes);
    output->used += bytes.size;
}

static void
output_append_zeros(struct output *output, uint64_t count)
{
    static const unsigned char zeros[SNAPSHOT_ALIGNMENT];
    // Never more than an alignment's worth.
    output_append(output, (struct slice){zeros, (size_t)count});
}

static uint64_t
output_position(const struct output *output)
{
    return output->offset + output->used;
}

static void
output_align(struct output *output)
{
    uint64_t position = output_position(output);
    output_append_zeros(output, align(position) - position);
}

/* ---- regions ------------------------------------------------------------ */

static void
write_sorted_index(struct output *output, const struct snapshot_plan *plan)
{
    uint64_t reference = 0;
    for (size_t i = 0; i < plan->entry_count; i++) {
        // Little-endian: the low bytes come first, whatever the size.
        output_append(output, (struct slice){(const unsigned char *)&reference,
                                             plan->header.reference_size});
        struct record_shape shape;
        shape_record(&shape, &plan->entries[i], reference);
        reference += shape.size;
    }
    output_align(output);
}

static void
write_records(struct output *output, const struct snapshot_plan *plan)
{
    for (size_t i = 0; i < plan->entry_count; i++) {
        const struct entry *entry = &plan->entries[i];
        struct record_shape shape;
        shape_record(&shape, entry, output_position(output));
        output_append(output, (struct slice){shape.head, shape.head_size});
        output_append(output, entry->key);
        output_append_zeros(output, shape.padding);
        output_append(output, entry->value.bytes);
    }
    output_align(output);
}

enum status
snapshot_write(struct snapshot_plan *plan, const struct snapshot_sink *sink)
{
    struct output output = {
        .sink = sink,
        .buffer = memory_allocate(OUTPUT_SIZE),
        .offset = SNAPSHOT_HEADER_SIZE,
    };
    if (output.buffer == NULL) {
        return STATUS_NO_MEMORY;
    }
    write_sorted_index(&output, plan);
    write_records(&output, plan);
    output_flush(&output);
    memory_release(output.buffer);
    if (output.status != STATUS_OK) {
        return output.status;
    }
    plan->header.content_checksum = output.checksum;
    snapshot_header_seal(&plan->header);
    return sink->write(sink->context, 0, &plan->header, sizeof(plan->header));
}
