/* core/snapshot/hash_index.h
 *
 * Building and probing the hash index. The layout of a bucket is in format.h.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_HASH_INDEX_H
#define SHAREDMAP_CORE_SNAPSHOT_HASH_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/hash.h"
#include "core/snapshot/format.h"

/* How many buckets for so many entries: enough that few are full. */
uint64_t
hash_index_bucket_count(uint64_t entry_count, bool is_wide);

/* Adds entries to buckets, which are all zero before the first. False when one
 * would be too far from its home: then the hashes need another seed. O(n). */
bool
hash_index_add(unsigned char *buckets, uint64_t bucket_count, bool is_wide,
               const uint64_t *hashes, const uint64_t *references,
               size_t count);

static inline uint64_t
hash_index_home(uint64_t hash, uint64_t bucket_count)
{
    uint64_t home;
    (void)hash_multiply(hash, bucket_count, &home);
    return home;
}

static inline uint8_t
hash_index_fingerprint(uint64_t hash)
{
    uint8_t fingerprint = (uint8_t)hash;
    return fingerprint != 0 ? fingerprint : 1;
}

/* The high bit of each byte of `word` that equals the fingerprint. Above the
 * lowest match there may be a false one, so the caller compares keys. */
static inline uint64_t
hash_index_equal_bytes(uint64_t word, uint8_t fingerprint)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t difference = word ^ ones * fingerprint;
    return (difference - ones) & ~difference & ones << 7;
}

#endif
