/* core/snapshot/verify.c
 *
 * The deep check: is a snapshot what FORMAT.md says, down to the last byte?
 *
 *     checksum -> each record, its text and value -> ascending keys
 *              -> both indices lead to each entry, and to nothing else
 *
 * Opening checks only the header, and each lookup only what it reads. Verify
 * reads everything once, in key order.
 *
 * Not here: the checks that make every other access safe; see record.h.
 */
#include "core/base/hash.h"
#include "core/base/load.h"
#include "core/base/msgpack.h"
#include "core/base/utf8.h"
#include "core/snapshot/hash_index.h"
#include "core/snapshot/record.h"
#include "core/snapshot/snapshot.h"

/* Entries or buckets between two questions to the interrupt: less than a
 * millisecond, unless values are large. */
enum { UNINTERRUPTED = 1024 };

static bool
value_fits_its_type(const struct value *value)
{
    // Untested: the caller has msgpack_check() for a container, and three bits
    // have no other type.
    switch (value->type) {
    case VALUE_NONE:
        return value->bytes.size == 0;
    case VALUE_BOOL:
        return value->bytes.size == 1 && load_u8(value->bytes.bytes) <= 1;
    case VALUE_INT:
        return value->bytes.size >= 1;
    case VALUE_FLOAT:
        return value->bytes.size == 8;
    case VALUE_STR:
    case VALUE_BYTES:
    case VALUE_ENCODED:
    case VALUE_CONTAINER:
        return true;
    }
    return false;
}

/* For records with equal keys. One may begin within the other and have the
 * same key there; then type and size of the value tell them apart. */
static bool
is_same_record(const struct entry *one, const struct entry *other)
{
    return one->key.bytes == other->key.bytes
           && one->value.type == other->value.type
           && one->value.bytes.size == other->value.bytes.size;
}

/* Whether the slot has the fingerprint of the key that was found in it: a
 * match can be a false one, and then the slot may even be free. */
static bool
has_fingerprint(const struct snapshot *view,
                const struct snapshot_probe *probe)
{
    size_t slots = view->reference_size == 8 ? WIDE_SLOTS : NARROW_SLOTS;
    const unsigned char *bucket =
        view->buckets + probe->slot / slots * BUCKET_SIZE;
    return load_u8(bucket + probe->slot % slots)
           == hash_index_fingerprint(probe->hash);
}

enum status
snapshot_verify_indexed(const struct snapshot *view, const struct entry *entry)
{
    struct snapshot_probe probe = {.key = entry->key};
    struct entry found;
    bool is_found;
    if (view->buckets == NULL) {
        return STATUS_OK;
    }
    enum status status = snapshot_find_slot(view, &probe, &found, &is_found);
    if (status != STATUS_OK) {
        return status;
    }
    return is_found && is_same_record(&found, entry)
                   && has_fingerprint(view, &probe)
               ? STATUS_OK
               : STATUS_BAD_HASH_INDEX;
}

enum status
snapshot_verify_slot_count(const struct snapshot *view,
                           const struct interrupt *interrupt)
{
    size_t slots = view->reference_size == 8 ? WIDE_SLOTS : NARROW_SLOTS;
    uint64_t used = 0;
    for (uint64_t at = 0; at < view->bucket_count; at++) {
        if (at % UNINTERRUPTED == UNINTERRUPTED - 1
            && interrupt_is_due(interrupt))
        {
            return STATUS_INTERRUPTED;
        }
        const unsigned char *bucket = view->buckets + at * BUCKET_SIZE;
        for (size_t slot = 0; slot < slots; slot++) {
            used += load_u8(bucket + slot) != 0;
        }
    }
    return view->buckets == NULL || used == view->entry_count
               ? STATUS_OK
               : STATUS_BAD_HASH_INDEX;
}

enum status
snapshot_check_entry(const struct entry *entry)
{
    if (!utf8_is_valid(entry->key)
        || (entry->value.type == VALUE_STR
            && !utf8_is_valid(entry->value.bytes)))
    {
        return STATUS_BAD_TEXT;
    }
    if (entry->value.type == VALUE_CONTAINER) {
        return msgpack_check(entry->value.bytes);
    }
    return value_fits_its_type(&entry->value) ? STATUS_OK : STATUS_BAD_VALUE;
}

static enum status
verify_entries(const struct snapshot *view, const struct interrupt *interrupt)
{
    struct entry previous = {.key = {NULL, 0}}, entry;
    uint64_t left = view->records_size;
    for (uint64_t index = 0; index < view->entry_count; index++) {
        if (index % UNINTERRUPTED == UNINTERRUPTED - 1
            && interrupt_is_due(interrupt))
        {
            return STATUS_INTERRUPTED;
        }
        enum status status = snapshot_at(view, index, &entry);
        if (status == STATUS_OK) {
            status = snapshot_count_entry(&left, &entry);
        }
        if (status == STATUS_OK) {
            status = snapshot_check_entry(&entry);
        }
        if (status != STATUS_OK) {
            return status;
        }
        if (index > 0 && slice_compare(previous.key, entry.key) >= 0) {
            return STATUS_BAD_ORDER;
        }
        status = snapshot_verify_indexed(view, &entry);
        if (status != STATUS_OK) {
            return status;
        }
        previous = entry;
    }
    return STATUS_OK;
}

enum status
snapshot_verify_checksum(const struct snapshot *view,
                         const struct interrupt *interrupt)
{
    uint64_t checksum = 0;
    uint64_t at = SNAPSHOT_HEADER_SIZE;
    while (at < view->header.total_size) {
        if (interrupt_is_due(interrupt)) {
            return STATUS_INTERRUPTED;
        }
        uint64_t left = view->header.total_size - at;
        size_t size = left < SNAPSHOT_CHECKSUM_BLOCK ? (size_t)left
                                                     : SNAPSHOT_CHECKSUM_BLOCK;
        checksum = hash_bytes(view->bytes + at, size, checksum);
        at += size;
    }
    return checksum == view->header.content_checksum ? STATUS_OK
                                                     : STATUS_BAD_CHECKSUM;
}

enum status
snapshot_verify(const struct snapshot *view, const struct interrupt *interrupt)
{
    enum status status = snapshot_verify_checksum(view, interrupt);
    if (status == STATUS_OK) {
        status = verify_entries(view, interrupt);
    }
    return status == STATUS_OK ? snapshot_verify_slot_count(view, interrupt)
                               : status;
}
