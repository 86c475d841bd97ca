/* core/snapshot/delta_writer.c
 *
 *     entries --> records, only the new ones
 *             --> references ---> sorted index
 *             --> ranks           below is known, rank = below + shift
 *             --> hashes -------> hash index
 *
 * Not here: which entries (delta_merge.c); where the bytes go
 * (segment/append.c).
 */
#include "core/snapshot/delta_writer.h"

#include <string.h>

#include "core/base/hash.h"
#include "core/base/memory.h"
#include "core/snapshot/hash_index.h"
#include "core/snapshot/record_shape.h"

/* References count bytes: a base of another writer may count larger units, for
 * which records would have to be aligned. */
static bool
fits_references(const struct delta_plan *plan)
{
    uint64_t most = plan->begin + plan->header.size;
    uint64_t rank = plan->beneath + plan->entry_count;
    return plan->base->reference_shift == 0
           && (plan->base->reference_size == 8
               || (most <= UINT32_MAX && rank <= UINT32_MAX));
}

enum status
delta_plan(struct delta_plan *plan, const struct snapshot *base,
           uint64_t beneath, uint64_t begin, const struct delta_entry *entries,
           size_t entry_count)
{
    uint64_t records_size = 0, void_count = 0;
    *plan = (struct delta_plan){
        .base = base,
        .entries = entries,
        .entry_count = entry_count,
        .beneath = beneath,
        .begin = begin,
        .header = {.magic = DELTA_MAGIC},
    };
    for (size_t i = 0; i < entry_count; i++) {
        struct record_shape shape;
        if (entries[i].record == RECORD_NEW) {
            record_shape_fill(&shape, &entries[i].entry,
                              begin + DELTA_HEADER_SIZE + records_size);
            records_size += shape.size;
        }
        void_count += delta_entry_is_void(&entries[i]);
        if (records_size > UINT64_C(1) << 50) {
            return STATUS_TOO_LARGE;
        }
    }
    const size_t count = entry_count - void_count;
    // Untested: so many entries do not fit into memory.
    if (!delta_layout_fill(&plan->layout, count, records_size,
                           base->reference_size))
    {
        return STATUS_TOO_LARGE;
    }
    plan->header.entry_count = count;
    plan->header.records_size = records_size;
    plan->header.size = plan->layout.hash_index;
    if (base->buckets != NULL) {
        plan->header.size +=
            hash_index_bucket_count(count, base->reference_size == 8)
            * BUCKET_SIZE;
    }
    return fits_references(plan) ? STATUS_OK : STATUS_TOO_LARGE;
}

/* ---- the parts ---------------------------------------------------------- */

/* Fills the references of the entries that are not void. */
static void
write_records(const struct delta_plan *plan, unsigned char *bytes,
              uint64_t *references)
{
    uint64_t at = DELTA_HEADER_SIZE;
    size_t count = 0;
    for (size_t i = 0; i < plan->entry_count; i++) {
        const struct delta_entry *entry = &plan->entries[i];
        struct record_shape shape;
        uint64_t record = entry->record;
        if (record == RECORD_NEW) {
            record = plan->begin + at;
            record_shape_fill(&shape, &entry->entry, record);
            record_write(bytes + at, &shape, &entry->entry);
            at += shape.size;
        }
        if (!delta_entry_is_void(entry)) {
            references[count++] = record;
        }
    }
}

static void
write_number(unsigned char **to, uint64_t number, size_t size)
{
    memcpy(*to, &number, size);
    *to += size;
}

static void
write_sorted_index(const struct delta_plan *plan, unsigned char *bytes,
                   const uint64_t *references)
{
    unsigned char *to = bytes + plan->layout.sorted_index;
    for (size_t i = 0; i < plan->header.entry_count; i++) {
        write_number(&to, references[i], plan->base->reference_size);
    }
}

/* Fills the length of the version, too. */
static void
write_ranks(struct delta_plan *plan, unsigned char *bytes)
{
    const size_t size = plan->base->reference_size;
    unsigned char *to = bytes + plan->layout.ranks;
    uint64_t shift = 0;
    for (size_t i = 0; i < plan->entry_count; i++) {
        const struct delta_entry *entry = &plan->entries[i];
        if (delta_entry_is_void(entry)) {
            continue;
        }
        write_number(&to, entry->below, size);
        write_number(&to, entry->below + shift, size);
        shift += (uint64_t)!entry_is_tombstone(&entry->entry)
                 - (uint64_t)entry->is_beneath;
    }
    write_number(&to, plan->beneath, size);
    write_number(&to, plan->beneath + shift, size);
    plan->header.length = plan->beneath + shift;
}

static enum status
write_hash_index(const struct delta_plan *plan, unsigned char *bytes,
                 const uint64_t *references)
{
    if (plan->base->buckets == NULL) {
        return STATUS_OK;
    }
    uint64_t *hashes =
        memory_allocate_array(plan->entry_count, sizeof(*hashes));
    if (hashes == NULL) {
        return STATUS_NO_MEMORY;
    }
    size_t count = 0;
    for (size_t i = 0; i < plan->entry_count; i++) {
        struct slice key = plan->entries[i].entry.key;
        if (!delta_entry_is_void(&plan->entries[i])) {
            hashes[count++] =
                hash_bytes(key.bytes, key.size, plan->base->hash_seed);
        }
    }
    uint64_t size = plan->header.size - plan->layout.hash_index;
    bool is_built = hash_index_add(
        bytes + plan->layout.hash_index, size / BUCKET_SIZE,
        plan->base->reference_size == 8, hashes, references, count);
    memory_release(hashes);
    return is_built ? STATUS_OK : STATUS_BAD_HASH_INDEX;
}

enum status
delta_write(struct delta_plan *plan, unsigned char *bytes)
{
    uint64_t *references =
        memory_allocate_array(plan->entry_count, sizeof(*references));
    if (references == NULL) {
        return STATUS_NO_MEMORY;
    }
    memset(bytes, 0, plan->header.size);
    write_records(plan, bytes, references);
    write_sorted_index(plan, bytes, references);
    write_ranks(plan, bytes);
    enum status status = write_hash_index(plan, bytes, references);
    memory_release(references);
    memcpy(bytes, &plan->header, sizeof(plan->header));
    delta_seal(bytes);
    return status;
}
