/* core/snapshot/snapshot.h
 *
 * A checked, read-only view on the bytes of a snapshot.
 *
 * The view borrows the bytes and must not outlive them; it owns nothing and
 * never writes, so any number of threads may use one. The bytes are not
 * trusted: another process may even change them at any time. Still every
 * function ends, reads nothing outside the snapshot, and returns an entry that
 * lies inside it or the status of the check that failed.
 *
 * A hostile writer can still change the bytes of an entry. Copy them first and
 * check the copy.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_SNAPSHOT_H
#define SHAREDMAP_CORE_SNAPSHOT_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/entry.h"
#include "core/base/interrupt.h"
#include "core/base/status.h"
#include "core/snapshot/format.h"

struct snapshot {
    const unsigned char *bytes;  // borrowed
    const unsigned char *sorted_index;
    const unsigned char *records;
    const unsigned char *buckets;  // of the hash index; NULL without one
    uint64_t bucket_count;
    uint64_t hash_seed;
    uint64_t records_size;
    uint64_t entry_count;
    uint8_t reference_size;
    uint8_t reference_shift;
    bool has_containers;            // some values may be,
    bool has_tombstones;            // and so may be some records
    struct snapshot_header header;  // as it was when the view was made
};

/* Fills the view after checking the header. O(1). */
enum status
snapshot_open(struct snapshot *view, const void *bytes, size_t size);

/* The name that the snapshot was made for; borrowed from the view. */
struct slice
snapshot_label(const struct snapshot *view);

static inline bool
snapshot_has_hash_index(const struct snapshot *view)
{
    return view->buckets != NULL;
}

/* Fills the entry at `index`, which is below entry_count, in key order. O(1).
 */
enum status
snapshot_at(const struct snapshot *view, uint64_t index, struct entry *entry);

/* Counts an entry, for a caller that goes over each entry once: `left` begins
 * with records_size. Records of a valid snapshot do not overlap, so together
 * they are at most as large as their region; a hostile one of some kilobytes
 * would have the caller read and allocate gigabytes. STATUS_RECORDS_OVERLAP.
 */
static inline enum status
snapshot_count_entry(uint64_t *left, const struct entry *entry)
{
    // Both lie in one record, so the sum is the size of something mapped.
    uint64_t size =
        RECORD_HEAD_SIZE + entry->key.size + entry->value.bytes.size;
    if (size > *left) {
        return STATUS_RECORDS_OVERLAP;
    }
    *left -= size;
    return STATUS_OK;
}

/* Fills the index of the first entry whose key is not below `key`, entry_count
 * when all are. O(log n). */
enum status
snapshot_seek(const struct snapshot *view, struct slice key, uint64_t *index);

enum { SEEK_GROUP = 32 };

/* The same for `count` keys, SEEK_GROUP at most, which together wait for
 * memory about as often as one does alone. */
enum status
snapshot_seek_group(const struct snapshot *view, const struct slice *keys,
                    size_t count, uint64_t *indices);

/* Fills the entry and `is_found`. O(1) with a hash index, O(log n) without. */
enum status
snapshot_find(const struct snapshot *view, struct slice key,
              struct entry *entry, bool *is_found);

struct snapshot_probe {
    struct slice key;  // set by the caller
    uint64_t hash;
    uint64_t slot;  // of the entry that was found
};

/* The same, and fills probe.slot and probe.hash as well. */
enum status
snapshot_find_slot(const struct snapshot *view, struct snapshot_probe *probe,
                   struct entry *entry, bool *is_found);

/* The number of slots. Each entry has a slot of its own: that of the hash
 * index which refers to it, or without a hash index its rank. Our writer makes
 * few more slots than entries, so a cache for each entry can be an array. A
 * hostile writer can make as many as the file has room for, and give two
 * entries the same slot. */
static inline uint64_t
snapshot_slot_count(const struct snapshot *view)
{
    return view->buckets == NULL
               ? view->entry_count
               : view->bucket_count
                     * (view->reference_size == 8 ? WIDE_SLOTS : NARROW_SLOTS);
}

/* Whether the snapshot fits into the cache of a core: then prefetching is not
 * worth its instructions. */
static inline bool
snapshot_is_near(const struct snapshot *view)
{
    return view->header.total_size <= 512 * 1024;
}

/* snapshot_find_slot() in two steps, for a caller that has something to do
 * until the bucket is there. Without a hash index the first does nothing. */
void
snapshot_probe_bucket(const struct snapshot *view,
                      struct snapshot_probe *probe);
enum status
snapshot_probe_find(const struct snapshot *view, struct snapshot_probe *probe,
                    struct entry *entry, bool *is_found);

/* The part of the deep check that finds damage, but not forgery. O(size), at
 * memory bandwidth. STATUS_INTERRUPTED; `interrupt` may be NULL. */
enum status
snapshot_verify_checksum(const struct snapshot *view,
                         const struct interrupt *interrupt);

/* The part of it that checks one entry: valid text, a value that fits its
 * type. O(size of the entry). */
enum status
snapshot_check_entry(const struct entry *entry);

/* The part of it that checks one entry's way through the hash index, if there
 * is one: from the key to the same record. */
enum status
snapshot_verify_indexed(const struct snapshot *view,
                        const struct entry *entry);

/* And that the hash index leads to nothing else: it has as many slots in use
 * as there are entries. O(slots). STATUS_INTERRUPTED; `interrupt` may be NULL.
 */
enum status
snapshot_verify_slot_count(const struct snapshot *view,
                           const struct interrupt *interrupt);

/* The deep check: the checksum of the contents, padding included, then every
 * reference, record and value, the order of the keys, and both indices.
 * O(size). STATUS_INTERRUPTED; `interrupt` may be NULL. */
enum status
snapshot_verify(const struct snapshot *view,
                const struct interrupt *interrupt);

#endif
