/* core/snapshot/reader.c
 *
 *     sorted index                      records
 *     | 0 | 1 | 2 | ... |    +--------> | head | key | value | head | ...
 *           |                |    +------------------------------^
 *           +----------------+    |
 *                                 |  checked on the way, every time
 *     hash index                  |
 *     | bucket | bucket | ... | --+
 *
 * Every number is loaded once (base/load.h), compared with what the mapping has
 * room for, and used from where it was checked. `assert` has no place here:
 * bytes from outside are never our own invariant.
 *
 * Not here: searching in key order (search.c); where the bytes come
 * from (segment/open.c).
 */
#include "core/snapshot/reader.h"

#include "core/base/hash.h"
#include "core/base/load.h"
#include "core/base/utf8.h"
#include "core/snapshot/hash_index.h"
#include "core/snapshot/header.h"

enum status
snapshot_open(struct snapshot *view, const void *bytes, size_t size)
{
    struct snapshot_header header;
    if (size < sizeof(header)) {
        return STATUS_TRUNCATED;
    }
    memcpy(&header, bytes, sizeof(header));
    enum status status = snapshot_header_check(&header, size);
    if (status != STATUS_OK) {
        return status;
    }
    const unsigned char *start = bytes;
    *view = (struct snapshot){
        .bytes = start,
        .sorted_index = start + header.sorted_index.offset,
        .records = start + header.records.offset,
        .buckets = header.hash_index.size > 0
                       ? start + header.hash_index.offset
                       : NULL,
        .bucket_count = header.hash_index.size / BUCKET_SIZE,
        .hash_seed = header.hash_seed,
        .records_size = header.records.size,
        .entry_count = header.entry_count,
        .reference_size = header.reference_size,
        .reference_shift = header.reference_shift,
        .order_index = header.order_index.size > 0
                           ? start + header.order_index.offset
                           : NULL,
        .header = header,
    };
    if (view->order_index != NULL) {
        order_levels_init(&view->order_levels, view->entry_count);
    }
    return STATUS_OK;
}

struct slice
snapshot_label(const struct snapshot *view)
{
    return (struct slice){view->header.label, view->header.label_size};
}

/* ---- one record --------------------------------------------------------- */

/* What is left of the records, from `at` on. */
struct cursor {
    const unsigned char *at;
    uint64_t left;
};

/* Fills `size` from its code, and from the bytes behind the head when the
 * code says so. */
static inline bool
take_size(struct cursor *cursor, unsigned code, unsigned escape,
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
take_bytes(struct cursor *cursor, uint64_t size, struct slice *bytes)
{
    if (cursor->left < size) {
        return false;
    }
    *bytes = (struct slice){cursor->at, (size_t)size};
    cursor->at += size;
    cursor->left -= size;
    return true;
}

/* Reads the record at `offset` of the records and fills the entry. */
static inline enum status
read_record(const struct snapshot *view, uint64_t offset, struct entry *entry)
{
    if (view->records_size < RECORD_HEAD_SIZE
        || offset > view->records_size - RECORD_HEAD_SIZE)
    {
        return STATUS_BAD_REFERENCE;
    }
    struct cursor cursor = {view->records + offset + RECORD_HEAD_SIZE,
                            view->records_size - offset - RECORD_HEAD_SIZE};
    unsigned head = load_u16(view->records + offset);
    unsigned type = head & ((1U << RECORD_TYPE_BITS) - 1);
    unsigned value_code =
        head >> RECORD_VALUE_SIZE_SHIFT & ((1U << RECORD_VALUE_SIZE_BITS) - 1);
    unsigned key_code = head >> RECORD_KEY_SIZE_SHIFT;
    uint64_t key_size, value_size;
    struct slice padding;

    if (type >= VALUE_TYPE_COUNT) {
        return STATUS_BAD_VALUE;
    }
    entry->value.type = (enum value_type)type;
    if (key_code < RECORD_KEY_SIZE_ESCAPE
        && value_code < RECORD_VALUE_SIZE_ESCAPE
        && !value_type_is_aligned(entry->value.type))
    {
        // The common case: everything is said by the head.
        if (cursor.left < key_code + value_code) {
            return STATUS_BAD_RECORD;
        }
        entry->key = (struct slice){cursor.at, key_code};
        entry->value.bytes = (struct slice){cursor.at + key_code, value_code};
        return STATUS_OK;
    }
    if (!take_size(&cursor, key_code, RECORD_KEY_SIZE_ESCAPE, &key_size)
        || !take_size(&cursor, value_code, RECORD_VALUE_SIZE_ESCAPE,
                      &value_size)
        || !take_bytes(&cursor, key_size, &entry->key))
    {
        return STATUS_BAD_RECORD;
    }
    if (value_type_is_aligned(entry->value.type)) {
        uint64_t value_offset = view->records_size - cursor.left;
        if (!take_bytes(&cursor, -value_offset % SNAPSHOT_VALUE_ALIGNMENT,
                        &padding))
        {
            return STATUS_BAD_RECORD;
        }
    }
    if (!take_bytes(&cursor, value_size, &entry->value.bytes)) {
        return STATUS_BAD_RECORD;
    }
    return STATUS_OK;
}

/* Fills where a record begins, or says that it cannot be inside the records.
 */
static inline enum status
resolve(const struct snapshot *view, uint64_t reference, uint64_t *offset)
{
    if (reference > view->records_size >> view->reference_shift) {
        return STATUS_BAD_REFERENCE;
    }
    *offset = reference << view->reference_shift;
    return STATUS_OK;
}

enum status
snapshot_at(const struct snapshot *view, uint64_t index, struct entry *entry)
{
    uint64_t reference = view->reference_size == 4
                             ? load_u32(view->sorted_index + index * 4)
                             : load_u64(view->sorted_index + index * 8);
    uint64_t offset;
    enum status status = resolve(view, reference, &offset);
    if (status != STATUS_OK) {
        return status;
    }
    return read_record(view, offset, entry);
}

/* ---- one key ------------------------------------------------------------- */

static enum status
find_by_order(const struct snapshot *view, struct snapshot_probe *probe,
              struct entry *entry, bool *is_found)
{
    uint64_t index;
    enum status status = snapshot_seek(view, probe->key, &index);
    if (status != STATUS_OK) {
        return status;
    }
    if (index < view->entry_count) {
        probe->place = index;
        status = snapshot_at(view, index, entry);
        // Rarely tested: the search has read this entry, so its bytes must
        // have changed meanwhile.
        if (status != STATUS_OK) {
            return status;
        }
        *is_found = slice_equals(entry->key, probe->key);
    }
    return STATUS_OK;
}

/* ---- the hash index ----------------------------------------------------- */

/* A bit for each slot whose fingerprint may be the one; bit 8 * s + 7 for slot
 * s, in two words because a narrow bucket has more than eight. */
struct matches {
    uint64_t low;
    uint64_t high;
};

static inline struct matches
match_bucket(const unsigned char *bucket, bool is_wide, uint8_t fingerprint)
{
    uint64_t low = hash_index_equal_bytes(load_u64(bucket), fingerprint);
    if (is_wide) {
        // The eighth byte is the reach.
        return (struct matches){low & UINT64_MAX >> 8, 0};
    }
    // The upper half holds the reach and zeros.
    uint64_t high = hash_index_equal_bytes(load_u32(bucket + 8), fingerprint);
    return (struct matches){low, high & UINT32_MAX};
}

/* The lowest slot of the matches, which are not empty, leaving it out. */
static inline size_t
take_slot(struct matches *matches)
{
    size_t slot;
    if (matches->low != 0) {
        slot = (size_t)__builtin_ctzll(matches->low) / 8;
        matches->low &= matches->low - 1;
    }
    else {
        slot = 8 + (size_t)__builtin_ctzll(matches->high) / 8;
        matches->high &= matches->high - 1;
    }
    return slot;
}

static inline uint64_t
slot_reference(const unsigned char *bucket, bool is_wide, size_t slot)
{
    return is_wide ? load_u64(bucket + WIDE_REFERENCES + slot * 8)
                   : load_u32(bucket + NARROW_REFERENCES + slot * 4);
}

/* Looks for the key in the bucket with the number `at`. */
static inline enum status
find_in_bucket(const struct snapshot *view, uint64_t at,
               struct snapshot_probe *probe, struct entry *entry,
               bool *is_found)
{
    const unsigned char *bucket = view->buckets + at * BUCKET_SIZE;
    bool is_wide = view->reference_size == 8;
    struct matches matches =
        match_bucket(bucket, is_wide, hash_index_fingerprint(probe->hash));
    while ((matches.low | matches.high) != 0) {
        uint64_t offset;
        size_t slot = take_slot(&matches);
        enum status status =
            resolve(view, slot_reference(bucket, is_wide, slot), &offset);
        if (status == STATUS_OK) {
            status = read_record(view, offset, entry);
        }
        if (status != STATUS_OK) {
            return status;
        }
        if (slice_equals(entry->key, probe->key)) {
            probe->place = at * (is_wide ? WIDE_SLOTS : NARROW_SLOTS) + slot;
            *is_found = true;
            return STATUS_OK;
        }
    }
    return STATUS_OK;
}

static inline enum status
find_by_hash(const struct snapshot *view, struct snapshot_probe *probe,
             struct entry *entry, bool *is_found)
{
    uint64_t at = hash_index_home(probe->hash, view->bucket_count);
    unsigned reach =
        load_u8(view->buckets + at * BUCKET_SIZE
                + (view->reference_size == 8 ? WIDE_REACH : NARROW_REACH));
    // One byte of reach: 256 buckets at most, whatever it says.
    for (;;) {
        enum status status = find_in_bucket(view, at, probe, entry, is_found);
        if (status != STATUS_OK || *is_found || reach == 0) {
            return status;
        }
        reach -= 1;
        at = at + 1 < view->bucket_count ? at + 1 : 0;
    }
}

void
snapshot_probe_bucket(const struct snapshot *view,
                      struct snapshot_probe *probe)
{
    if (view->buckets != NULL) {
        probe->hash =
            hash_bytes(probe->key.bytes, probe->key.size, view->hash_seed);
        __builtin_prefetch(view->buckets
                           + hash_index_home(probe->hash, view->bucket_count)
                                 * BUCKET_SIZE);
    }
}

void
snapshot_probe_record(const struct snapshot *view,
                      const struct snapshot_probe *probe)
{
    if (view->buckets == NULL) {
        return;
    }
    bool is_wide = view->reference_size == 8;
    const unsigned char *bucket =
        view->buckets
        + hash_index_home(probe->hash, view->bucket_count) * BUCKET_SIZE;
    struct matches matches =
        match_bucket(bucket, is_wide, hash_index_fingerprint(probe->hash));
    uint64_t offset;
    if ((matches.low | matches.high) != 0
        && resolve(view, slot_reference(bucket, is_wide, take_slot(&matches)),
                   &offset)
               == STATUS_OK)
    {
        // Most records lie in two cache lines.
        __builtin_prefetch(view->records + offset);
        __builtin_prefetch(view->records + offset + 64);
    }
}

/* For who has the hash already; in both callers, so that neither pays for a
 * call on the way to the bucket. */
static inline enum status
find_probe(const struct snapshot *view, struct snapshot_probe *probe,
           struct entry *entry, bool *is_found)
{
    *is_found = false;
    return view->buckets != NULL ? find_by_hash(view, probe, entry, is_found)
                                 : find_by_order(view, probe, entry, is_found);
}

enum status
snapshot_probe_find(const struct snapshot *view, struct snapshot_probe *probe,
                    struct entry *entry, bool *is_found)
{
    return find_probe(view, probe, entry, is_found);
}

enum status
snapshot_find_place(const struct snapshot *view, struct snapshot_probe *probe,
                    struct entry *entry, bool *is_found)
{
    if (view->buckets != NULL) {
        probe->hash =
            hash_bytes(probe->key.bytes, probe->key.size, view->hash_seed);
    }
    return find_probe(view, probe, entry, is_found);
}

enum status
snapshot_find(const struct snapshot *view, struct slice key,
              struct entry *entry, bool *is_found)
{
    struct snapshot_probe probe = {.key = key};
    return snapshot_find_place(view, &probe, entry, is_found);
}

/* ---- the deep check ----------------------------------------------------- */

static bool
value_fits_its_type(const struct value *value)
{
    // Untested: a record of another type has been refused by snapshot_at().
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
        return true;
    }
    return false;
}

/* Of two records with equal keys. One may begin within the other and have the
 * same key there; then type and size of the value tell them apart. */
static bool
is_same_record(const struct entry *one, const struct entry *other)
{
    return one->key.bytes == other->key.bytes
           && one->value.type == other->value.type
           && one->value.bytes.size == other->value.bytes.size;
}

/* Whether the slot has the fingerprint of the key that was found in it: a
 * match can be one too many, and then the slot may even be free. */
static bool
has_fingerprint(const struct snapshot *view,
                const struct snapshot_probe *probe)
{
    size_t slots = view->reference_size == 8 ? WIDE_SLOTS : NARROW_SLOTS;
    const unsigned char *bucket =
        view->buckets + probe->place / slots * BUCKET_SIZE;
    return load_u8(bucket + probe->place % slots)
           == hash_index_fingerprint(probe->hash);
}

/* Whether the hash index, if there is one, leads from the key to the same
 * record. */
static enum status
verify_hash_index(const struct snapshot *view, const struct entry *entry)
{
    struct snapshot_probe probe = {.key = entry->key};
    struct entry found;
    bool is_found;
    if (view->buckets == NULL) {
        return STATUS_OK;
    }
    enum status status = snapshot_find_place(view, &probe, &found, &is_found);
    if (status != STATUS_OK) {
        return status;
    }
    return is_found && is_same_record(&found, entry)
                   && has_fingerprint(view, &probe)
               ? STATUS_OK
               : STATUS_BAD_HASH_INDEX;
}

/* Whether the hash index leads to nothing else: it has as many slots in use as
 * there are entries. */
static enum status
verify_slot_count(const struct snapshot *view)
{
    size_t slots = view->reference_size == 8 ? WIDE_SLOTS : NARROW_SLOTS;
    uint64_t used = 0;
    for (uint64_t at = 0; at < view->bucket_count; at++) {
        const unsigned char *bucket = view->buckets + at * BUCKET_SIZE;
        for (size_t slot = 0; slot < slots; slot++) {
            used += load_u8(bucket + slot) != 0;
        }
    }
    return view->buckets == NULL || used == view->entry_count
               ? STATUS_OK
               : STATUS_BAD_HASH_INDEX;
}

/* Whether a node of the order index is made of the keys that it stands for. */
static enum status
verify_node(const struct snapshot *view, unsigned level, uint64_t number)
{
    const struct order_levels *levels = &view->order_levels;
    const uint64_t count = view->entry_count;
    struct slice keys[ORDER_FANOUT];
    struct slice first = {NULL, 0}, last = {NULL, 0};
    struct order_node node;
    unsigned pieces = 0;
    uint64_t index = 0;
    // The first key of each child, then the first behind them, or the last.
    for (unsigned child = 0; child <= ORDER_FANOUT && index < count; child++) {
        struct entry entry;
        index = order_first_entry(level, number, child, count);
        enum status status =
            snapshot_at(view, index < count ? index : count - 1, &entry);
        // Rarely tested: each record could be read a moment ago, so its bytes
        // must have changed meanwhile.
        if (status != STATUS_OK) {
            return status;
        }
        if (child == 0) {
            first = entry.key;
        }
        else if (child < ORDER_FANOUT && index < count) {
            keys[pieces++] = entry.key;
        }
        last = entry.key;
    }
    order_node_fill(&node, keys, pieces, first, last);
    const unsigned char *stored =
        view->order_index
        + (levels->level[level].first + number) * sizeof(node);
    return memcmp(&node, stored, sizeof(node)) == 0 ? STATUS_OK
                                                    : STATUS_BAD_ORDER_INDEX;
}

static enum status
verify_order_index(const struct snapshot *view)
{
    for (unsigned level = 0; level < view->order_levels.count; level++) {
        uint64_t nodes = view->order_levels.level[level].nodes;
        for (uint64_t number = 0; number < nodes; number++) {
            enum status status = verify_node(view, level, number);
            if (status != STATUS_OK) {
                return status;
            }
        }
    }
    return STATUS_OK;
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
    return value_fits_its_type(&entry->value) ? STATUS_OK : STATUS_BAD_VALUE;
}

static enum status
verify_entries(const struct snapshot *view)
{
    struct entry previous = {.key = {NULL, 0}}, entry;
    for (uint64_t index = 0; index < view->entry_count; index++) {
        enum status status = snapshot_at(view, index, &entry);
        if (status == STATUS_OK) {
            status = snapshot_check_entry(&entry);
        }
        if (status != STATUS_OK) {
            return status;
        }
        if (index > 0 && slice_compare(previous.key, entry.key) >= 0) {
            return STATUS_BAD_ORDER;
        }
        status = verify_hash_index(view, &entry);
        if (status != STATUS_OK) {
            return status;
        }
        previous = entry;
    }
    return STATUS_OK;
}

enum status
snapshot_verify_checksum(const struct snapshot *view)
{
    uint64_t checksum = 0;
    uint64_t at = SNAPSHOT_HEADER_SIZE;
    while (at < view->header.total_size) {
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
snapshot_verify(const struct snapshot *view)
{
    enum status status = snapshot_verify_checksum(view);
    if (status == STATUS_OK) {
        status = verify_entries(view);
    }
    if (status == STATUS_OK) {
        status = verify_order_index(view);
    }
    return status == STATUS_OK ? verify_slot_count(view) : status;
}
