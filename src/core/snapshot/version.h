/* core/snapshot/version.h
 *
 * A checked, read-only view on one version of a map: the base, and up to two
 * deltas over it.
 *
 *     young   -    d'   -  f           put or removed since the last fold
 *     old     a'   d    e' -           the same, since the base was published
 *     base    a  b c    e              a snapshot
 *     -----------------------
 *     version a' b c d' e' f           - here: not mentioned
 *
 * Everything that snapshot.h promises of a view is true of a version: it
 * borrows the bytes, owns nothing, never writes, and trusts nothing. What can
 * be asked of a snapshot can be asked of it, with the same answers as from one
 * snapshot that holds all of it.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_VERSION_H
#define SHAREDMAP_CORE_SNAPSHOT_VERSION_H

#include "core/snapshot/delta.h"
#include "core/snapshot/snapshot.h"

enum { VERSION_DELTAS = 2 };

struct version {
    struct snapshot base;
    struct delta deltas[VERSION_DELTAS];  // each lies over those before it
    unsigned delta_count;
    uint32_t head;  // without HEAD_SUPERSEDED
    uint64_t entry_count;
    uint64_t records_size;  // of all records, for snapshot_count_entry()
    uint64_t generation;
    unsigned char unique_id[16];
    uint64_t published_at;
};

/* Fills the version that `head` leads to, in bytes that reach to the limit in
 * the base's header. STATUS_BAD_DELTA, and what is wrong with the base. O(1).
 */
enum status
version_open(struct version *version, const void *bytes, size_t size,
             uint32_t head);

/* The same with the head that is in the bytes. */
enum status
version_open_newest(struct version *version, const void *bytes, size_t size);

/* The delta that was published last, or NULL. */
static inline const struct delta *
version_top(const struct version *version)
{
    return version->delta_count > 0
               ? &version->deltas[version->delta_count - 1]
               : NULL;
}

/* Bytes from the beginning of the base to the end of the newest delta. */
static inline uint64_t
version_size(const struct version *version)
{
    return version->base.header.total_size
           + (version->delta_count > 0 ? version_top(version)->end : 0);
}

/* Copies these bytes. Of the head, which may lead further by now, the copy has
 * what it was for this version. */
void
version_copy(const struct version *version, void *bytes);

/* Where the last access was: the next one, if it is not far away, needs no
 * search. Of any value; begins with all zero. */
struct version_cursor {
    uint64_t passed[VERSION_DELTAS];
};

/* Fills the entry at `index`, which is below entry_count, in key order.
 * STATUS_BAD_RANK and the failures of snapshot_at(). O(1) near the cursor's
 * last index, else O(log of the deltas' entries). */
enum status
version_at(const struct version *version, struct version_cursor *cursor,
           uint64_t index, struct entry *entry);

/* Fills the index of the first entry whose key is not below `key`, entry_count
 * when all are. STATUS_BAD_RANK and the failures of snapshot_seek().
 * O(log n). */
enum status
version_seek(const struct version *version, struct slice key, uint64_t *index);

/* What the version has of a key. */
struct version_position {
    uint64_t below;  // how many entries have a lower key
    struct entry entry;
    bool is_found;
};

/* Fills the position of a key in the base and the first `delta_count` deltas.
 * O(log n). */
enum status
version_locate(const struct version *version, unsigned delta_count,
               struct slice key, struct version_position *position);

/* The same for `count` keys, SEEK_GROUP at most. */
enum status
version_locate_group(const struct version *version, unsigned delta_count,
                     const struct slice *keys, size_t count,
                     struct version_position *positions);

/* The slot of an entry that is in a delta: it has none. */
#define VERSION_NO_SLOT UINT64_MAX

/* One bit for each delta, from the oldest on. */
#define VERSION_ALL_DELTAS ((1U << VERSION_DELTAS) - 1)

/* snapshot_probe_find() for a version with deltas: for the base, and those of
 * them that `deltas` has a bit of. */
enum status
version_find_beneath(const struct version *version, unsigned deltas,
                     struct snapshot_probe *probe, struct entry *entry,
                     bool *is_found);

/* Fills the entry and `is_found`, and of the probe the hash and the slot in
 * the base, which is VERSION_NO_SLOT for an entry of a delta. O(1) with a hash
 * index, O(log n) without. */
static inline enum status
version_find_slot(const struct version *version, struct snapshot_probe *probe,
                  struct entry *entry, bool *is_found)
{
    if (version->delta_count == 0) {
        return snapshot_find_slot(&version->base, probe, entry, is_found);
    }
    snapshot_probe_bucket(&version->base, probe);
    return version_find_beneath(version, VERSION_ALL_DELTAS, probe, entry,
                                is_found);
}

static inline enum status
version_find(const struct version *version, struct slice key,
             struct entry *entry, bool *is_found)
{
    struct snapshot_probe probe = {.key = key};
    return version_find_slot(version, &probe, entry, is_found);
}

/* The part of the deep check that finds damage, but not forgery: the checksums
 * of the base and of every delta. O(size). STATUS_INTERRUPTED; `interrupt` may
 * be NULL. */
enum status
version_verify_checksum(const struct version *version,
                        const struct interrupt *interrupt);

/* The deep check of each delta, and of what they say of what is beneath, for
 * a base that has been checked before. O(size of the deltas).
 * STATUS_INTERRUPTED; `interrupt` may be NULL. */
enum status
version_verify_deltas(const struct version *version,
                      const struct interrupt *interrupt);

/* The deep check of the base, of each delta, and of what they say of each
 * other. O(size). STATUS_INTERRUPTED; `interrupt` may be NULL. */
enum status
version_verify(const struct version *version,
               const struct interrupt *interrupt);

#endif
