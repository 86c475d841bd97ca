/* core/snapshot/writer.c
 *
 * The plan needs only the sizes of the records: all offsets follow from them.
 * Then one pass over the entries writes the records and keeps the input of the
 * indices, 16 bytes for an entry:
 *
 *     entries --> records ------> | buffer, 1 MiB | --> checksum --> sink
 *             --> references ---> sorted index
 *             --> hashes -------> hash index
 *
 * The bytes of sorted entries are anywhere in memory. They are prefetched some
 * entries ahead; otherwise each entry would cost two cache misses.
 *
 * The header goes last, when the checksum is known.
 *
 * Not here: trees and files. The layout of a record is in format.h.
 */
#include "core/snapshot/writer.h"

#include <string.h>

#include "core/base/hash.h"
#include "core/base/memory.h"
#include "core/snapshot/hash_index.h"
#include "core/snapshot/header.h"
#include "core/snapshot/record_shape.h"

/* ---- the plan ----------------------------------------------------------- */

/* Lays out a region behind the last one. */
static struct snapshot_region
append_region(uint64_t *end, uint64_t size)
{
    struct snapshot_region region = {*end, size};
    *end = snapshot_align(*end + size);
    return region;
}

/* Fills the size of all records, and whether one has a container. False above
 * 2^62 bytes: all of them are in memory, but many may borrow the same bytes. */
static bool
measure_records(const struct entry *entries, size_t entry_count,
                uint64_t alignment, uint64_t *size, bool *has_containers)
{
    *size = 0;
    *has_containers = false;
    for (size_t i = 0; i < entry_count; i++) {
        struct record_shape shape;
        record_shape_fill(&shape, &entries[i], *size);
        *size += record_lead(&shape, &entries[i], *size, alignment);
        *size += shape.size;
        *has_containers |= entries[i].value.type == VALUE_CONTAINER;
        if (*size > UINT64_C(1) << 62) {
            return false;
        }
    }
    return true;
}

enum status
snapshot_plan(struct snapshot_plan *plan, const struct entry *entries,
              size_t entry_count, const struct snapshot_options *options)
{
    uint64_t records_size;
    bool has_containers;
    if (options->label.size > SNAPSHOT_LABEL_SIZE) {
        return STATUS_LABEL_TOO_LONG;
    }
    if (!measure_records(entries, entry_count, options->value_alignment,
                         &records_size, &has_containers))
    {
        return STATUS_TOO_LARGE;
    }
    bool is_wide = options->is_wide || records_size > UINT32_MAX;
    struct snapshot_header header = {
        .magic = SNAPSHOT_MAGIC,
        .version = SNAPSHOT_VERSION,
        .header_size = SNAPSHOT_HEADER_SIZE,
        .kind = SNAPSHOT_KIND_SORTED_MAP,
        .flags = has_containers ? SNAPSHOT_FLAG_CONTAINERS : 0,
        .entry_count = entry_count,
        .reference_size = is_wide ? 8 : 4,
        .label_size = (uint16_t)options->label.size,
        .value_alignment = options->value_alignment,
    };
    uint64_t end = SNAPSHOT_HEADER_SIZE;
    header.records = append_region(&end, records_size);
    header.sorted_index =
        append_region(&end, (uint64_t)entry_count * header.reference_size);
    if (options->index == INDEX_HASH) {
        header.flags |= SNAPSHOT_FLAG_HASH_INDEX;
        header.hash_index = append_region(
            &end, hash_index_bucket_count(entry_count, is_wide) * BUCKET_SIZE);
    }
    header.total_size = end;
    slice_copy(header.label, options->label);

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

/* The buffer is full except for the last time, so blocks keep their size. */
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
            interrupt_is_due(output->sink->interrupt)
                ? STATUS_INTERRUPTED
                : output->sink->write(output->sink->context, output->offset,
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
    // At most SNAPSHOT_ALIGNMENT.
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
    output_append_zeros(output, snapshot_align(position) - position);
}

/* ---- regions ------------------------------------------------------------ */

enum { AHEAD = 8 };

/* What the pass over the entries collects for the indices. */
struct indices {
    uint64_t *references;  // owned
    uint64_t *hashes;      // owned; NULL without a hash index
};

static void
indices_clear(struct indices *indices)
{
    memory_release(indices->references);
    memory_release(indices->hashes);
}

static bool
indices_allocate(struct indices *indices, const struct snapshot_plan *plan)
{
    size_t count = plan->entry_count;
    bool has_hash = (plan->header.flags & SNAPSHOT_FLAG_HASH_INDEX) != 0;
    *indices = (struct indices){
        .references = memory_allocate_array(count, sizeof(uint64_t)),
        .hashes =
            has_hash ? memory_allocate_array(count, sizeof(uint64_t)) : NULL,
    };
    return indices->references != NULL
           && (!has_hash || indices->hashes != NULL);
}

static inline void
prefetch_bytes(struct slice bytes)
{
    __builtin_prefetch(bytes.bytes);
    if (bytes.size > 0) {
        __builtin_prefetch(bytes.bytes + bytes.size - 1);
    }
}

static void
append_record(struct output *output, const struct record_shape *shape,
              const struct entry *entry)
{
    if (shape->size > OUTPUT_SIZE - output->used) {
        // It continues in the next buffer, or is longer than one.
        output_append(output, (struct slice){shape->head, shape->head_size});
        output_append(output, entry->key);
        output_append_zeros(output, shape->padding);
        output_append(output, entry->value.bytes);
        return;
    }
    record_write(output->buffer + output->used, shape, entry);
    output->used += shape->size;
}

static void
write_records(struct output *output, const struct snapshot_plan *plan,
              struct indices *indices)
{
    uint64_t start = output_position(output);
    for (size_t i = 0; output->status == STATUS_OK && i < plan->entry_count;
         i++)
    {
        const struct entry *entry = &plan->entries[i];
        if (i + AHEAD < plan->entry_count) {
            prefetch_bytes(entry[AHEAD].key);
            prefetch_bytes(entry[AHEAD].value.bytes);
        }
        struct record_shape shape;
        uint64_t position = output_position(output);
        record_shape_fill(&shape, entry, position);
        unsigned lead =
            record_lead(&shape, entry, position, plan->header.value_alignment);
        if (lead > 0) {
            output_append_zeros(output, lead);
        }
        indices->references[i] = position + lead - start;
        if (indices->hashes != NULL) {
            indices->hashes[i] = hash_bytes(entry->key.bytes, entry->key.size,
                                            plan->header.hash_seed);
        }
        append_record(output, &shape, entry);
    }
    output_align(output);
}

static void
write_sorted_index(struct output *output, const struct snapshot_plan *plan,
                   const struct indices *indices)
{
    const size_t size = plan->header.reference_size;
    unsigned char chunk[512 * sizeof(uint64_t)];
    size_t used = 0;
    for (size_t i = 0; i < plan->entry_count; i++) {
        // Little-endian: the low bytes come first. The next reference
        // overwrites the bytes that are too many; the last has room for them.
        memcpy(chunk + used, &indices->references[i], sizeof(uint64_t));
        used += size;
        if (used > sizeof(chunk) - sizeof(uint64_t)) {
            output_append(output, (struct slice){chunk, used});
            used = 0;
        }
    }
    output_append(output, (struct slice){chunk, used});
    output_align(output);
}

/* Seeds are tried in turn. One of the first spreads any keys, except those
 * that were forged to collide under all seeds; those get no hash index. */
enum { SEED_LIMIT = 16 };

/* Entries between two questions to the interrupt: a few milliseconds. */
enum { UNINTERRUPTED = 16384 };

/* Hashes entries again, under another seed than write_records() did. */
static void
hash_again(const struct snapshot_plan *plan, struct indices *indices,
           size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++) {
        struct slice key = plan->entries[i].key;
        indices->hashes[i] =
            hash_bytes(key.bytes, key.size, plan->header.hash_seed);
    }
}

/* Fills whether all entries have found room under the plan's seed. */
static enum status
fill_buckets_once(unsigned char *buckets, const struct snapshot_plan *plan,
                  struct indices *indices, const struct interrupt *interrupt,
                  bool *is_filled)
{
    uint64_t size = plan->header.hash_index.size;
    bool is_wide = plan->header.reference_size == 8;
    size_t first = 0;
    memset(buckets, 0, size);
    *is_filled = true;
    while (*is_filled && first < plan->entry_count) {
        size_t left = plan->entry_count - first;
        size_t count = left < UNINTERRUPTED ? left : UNINTERRUPTED;
        if (interrupt_is_due(interrupt)) {
            return STATUS_INTERRUPTED;
        }
        if (plan->header.hash_seed > 0) {
            hash_again(plan, indices, first, count);
        }
        *is_filled = hash_index_add(buckets, size / BUCKET_SIZE, is_wide,
                                    indices->hashes + first,
                                    indices->references + first, count);
        first += count;
    }
    return STATUS_OK;
}

/* Fills whether one of the seeds has spread the keys. */
static enum status
fill_buckets(unsigned char *buckets, struct snapshot_plan *plan,
             struct indices *indices, const struct interrupt *interrupt,
             bool *is_filled)
{
    for (;;) {
        enum status status =
            fill_buckets_once(buckets, plan, indices, interrupt, is_filled);
        if (status != STATUS_OK || *is_filled) {
            return status;
        }
        plan->header.hash_seed += 1;
        if (plan->header.hash_seed == SEED_LIMIT) {
            return STATUS_OK;
        }
    }
}

static enum status
write_hash_index(struct output *output, struct snapshot_plan *plan,
                 struct indices *indices)
{
    uint64_t size = plan->header.hash_index.size;
    unsigned char *buckets = memory_allocate(size);
    if (buckets == NULL) {
        return STATUS_NO_MEMORY;
    }
    bool is_filled;
    enum status status = fill_buckets(buckets, plan, indices,
                                      output->sink->interrupt, &is_filled);
    if (status == STATUS_OK && is_filled) {
        output_append(output, (struct slice){buckets, size});
    }
    else if (status == STATUS_OK) {
        plan->header.flags &= ~SNAPSHOT_FLAG_HASH_INDEX;
        plan->header.hash_index = (struct snapshot_region){0, 0};
        plan->header.hash_seed = 0;
    }
    memory_release(buckets);
    return status;
}

static enum status
write_regions(struct output *output, struct snapshot_plan *plan)
{
    struct indices indices;
    enum status status = STATUS_NO_MEMORY;
    if (indices_allocate(&indices, plan)) {
        write_records(output, plan, &indices);
        status = output->status;
        // What was interrupted must not ask again.
        if (status == STATUS_OK) {
            write_sorted_index(output, plan, &indices);
            status = output->status;
        }
        if (status == STATUS_OK && indices.hashes != NULL) {
            status = write_hash_index(output, plan, &indices);
        }
        // Fills the room that was planned for a hash index and not used.
        while (status == STATUS_OK
               && output_position(output) < plan->header.total_size)
        {
            output_append_zeros(output, SNAPSHOT_ALIGNMENT);
        }
        if (status == STATUS_OK) {
            output_flush(output);
        }
    }
    indices_clear(&indices);
    return status != STATUS_OK ? status : output->status;
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
    enum status status = write_regions(&output, plan);
    memory_release(output.buffer);
    if (status != STATUS_OK) {
        return status;
    }
    plan->header.content_checksum = output.checksum;
    snapshot_header_seal(&plan->header);
    return sink->write(sink->context, 0, &plan->header, sizeof(plan->header));
}
