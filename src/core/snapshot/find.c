/* core/snapshot/find.c
 *
 * Looking up one key: by the hash index where there is one, by binary search
 * otherwise.
 *
 *     key -> hash -> home bucket -> slots with the same fingerprint -> records
 *                        |
 *                        +-> the next buckets, up to the home's max probe
 *                            distance
 *
 * A fingerprint may match by chance, so the key of each record is compared.
 *
 * Not here: how buckets are filled (hash_index.c); how a record is read
 * (record.h); search in key order (search.c).
 */
#include "core/base/hash.h"
#include "core/snapshot/hash_index.h"
#include "core/snapshot/record.h"
#include "core/snapshot/snapshot.h"

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
        probe->slot = index;
        status = snapshot_at(view, index, entry);
        // Rarely tested: the search has read this entry, so its bytes must
        // have changed since.
        if (status != STATUS_OK) {
            return status;
        }
        *is_found = slice_equals(entry->key, probe->key);
    }
    return STATUS_OK;
}

/* ---- the hash index ----------------------------------------------------- */

/* Looks up the key in the bucket with the number `at`. */
static inline enum status
find_in_bucket(const struct snapshot *view, uint64_t at,
               struct snapshot_probe *probe, struct entry *entry,
               bool *is_found)
{
    const unsigned char *bucket = view->buckets + at * BUCKET_SIZE;
    bool is_wide = view->reference_size == 8;
    struct hash_index_matches matches =
        hash_index_match(bucket, is_wide, hash_index_fingerprint(probe->hash));
    while ((matches.low | matches.high) != 0) {
        uint64_t offset;
        size_t slot = hash_index_take_slot(&matches);
        enum status status = record_offset(
            view, hash_index_reference(bucket, is_wide, slot), &offset);
        if (status == STATUS_OK) {
            status = record_read(view, offset, entry);
        }
        if (status != STATUS_OK) {
            return status;
        }
        if (slice_equals(entry->key, probe->key)) {
            probe->slot = at * (is_wide ? WIDE_SLOTS : NARROW_SLOTS) + slot;
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
    unsigned max_probe = hash_index_max_probe(view->buckets + at * BUCKET_SIZE,
                                              view->reference_size == 8);
    // It is one byte: 256 buckets at most, whatever its value.
    for (;;) {
        enum status status = find_in_bucket(view, at, probe, entry, is_found);
        if (status != STATUS_OK || *is_found || max_probe == 0) {
            return status;
        }
        max_probe -= 1;
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

/* When the hash is known. Inline, so that neither caller pays for a call on
 * the way to the bucket. */
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
snapshot_find_slot(const struct snapshot *view, struct snapshot_probe *probe,
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
    return snapshot_find_slot(view, &probe, entry, is_found);
}
