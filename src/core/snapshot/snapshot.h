/* core/snapshot/snapshot.h
 *
 * A checked, read-only view on the bytes of a snapshot.
 *
 * The view borrows the bytes and must not outlive them; it owns nothing and
 * never writes, so any number of threads may use one. The bytes are not
 * trusted: whatever they hold, and even while somebody changes them, every
 * function ends, reads nothing outside the snapshot, and answers with an
 * entry that lies inside it or with the name of the check that failed.
 *
 * The bytes of an entry can still change under a hostile writer. Copy them
 * first and look at the copy.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_SNAPSHOT_H
#define SHAREDMAP_CORE_SNAPSHOT_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/entry.h"
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

/* Fills the index of the first entry whose key is not below `key`, entry_count
 * when all are. O(log n). */
enum status
snapshot_seek(const struct snapshot *view, struct slice key, uint64_t *index);

/* Fills the entry and `is_found`. O(1) with a hash index, O(log n) without. */
enum status
snapshot_find(const struct snapshot *view, struct slice key,
              struct entry *entry, bool *is_found);

struct snapshot_probe {
    struct slice key;  // set by the caller
    uint64_t hash;
    uint64_t place;  // of the entry that was found
};

/* The same, for a caller that wants to know the place of the entry as well. */
enum status
snapshot_find_place(const struct snapshot *view, struct snapshot_probe *probe,
                    struct entry *entry, bool *is_found);

/* Each entry has a place of its own below this: where the hash index refers to
 * it, or else its index. Our writer makes this not much larger than the number
 * of entries, so what is kept for each entry can be kept in an array; a
 * hostile one can make it as large as the file allows, and give an entry
 * another one's place. */
static inline uint64_t
snapshot_place_count(const struct snapshot *view)
{
    return view->buckets == NULL
               ? view->entry_count
               : view->bucket_count
                     * (view->reference_size == 8 ? WIDE_SLOTS : NARROW_SLOTS);
}

/* Whether the whole of it fits into a core's own cache: then nothing is on its
 * way for long enough to be worth asking for. */
static inline bool
snapshot_is_near(const struct snapshot *view)
{
    return view->header.total_size <= 512 * 1024;
}

/* snapshot_find_place() in three steps, for a caller that looks up many keys:
 * between the steps of one key, the memory that its next step needs is on its
 * way while others have theirs. Without a hash index the first two do nothing.
 */
void
snapshot_probe_bucket(const struct snapshot *view,
                      struct snapshot_probe *probe);
void
snapshot_probe_record(const struct snapshot *view,
                      const struct snapshot_probe *probe);
enum status
snapshot_probe_find(const struct snapshot *view, struct snapshot_probe *probe,
                    struct entry *entry, bool *is_found);

/* The part of the deep check that finds damage, but not forgery. O(size), at
 * the speed of memory. */
enum status
snapshot_verify_checksum(const struct snapshot *view);

/* The part of it that looks at one entry: text that is none, a value that does
 * not fit its type. O(size of the entry). */
enum status
snapshot_check_entry(const struct entry *entry);

/* The deep check: the checksum of the contents, padding included, then every
 * reference, record and value, the order of the keys, and what both indices
 * lead to. O(size). */
enum status
snapshot_verify(const struct snapshot *view);

#endif
