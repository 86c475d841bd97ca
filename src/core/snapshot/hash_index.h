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
#include "core/base/load.h"
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

/* A bit for each slot whose fingerprint may match; bit 8 * s + 7 for slot s,
 * in two words because a narrow bucket has more than eight. */
struct hash_index_matches {
    uint64_t low;
    uint64_t high;
};

static inline struct hash_index_matches
hash_index_match(const unsigned char *bucket, bool is_wide,
                 uint8_t fingerprint)
{
    uint64_t low = hash_index_equal_bytes(load_u64(bucket), fingerprint);
    if (is_wide) {
        // The eighth byte is the max probe distance.
        return (struct hash_index_matches){low & UINT64_MAX >> 8, 0};
    }
    // The upper half holds the max probe distance and zeros.
    uint64_t high = hash_index_equal_bytes(load_u32(bucket + 8), fingerprint);
    return (struct hash_index_matches){low, high & UINT32_MAX};
}

/* Removes the lowest slot from the matches, which are not empty. */
static inline size_t
hash_index_take_slot(struct hash_index_matches *matches)
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
hash_index_reference(const unsigned char *bucket, bool is_wide, size_t slot)
{
    return is_wide ? load_u64(bucket + WIDE_REFERENCES + slot * 8)
                   : load_u32(bucket + NARROW_REFERENCES + slot * 4);
}

static inline uint8_t
hash_index_max_probe(const unsigned char *bucket, bool is_wide)
{
    return load_u8(bucket + (is_wide ? WIDE_MAX_PROBE : NARROW_MAX_PROBE));
}

/* Not zero if a slot of this home bucket may match, or a key of it is in
 * another bucket. Without a branch, for a caller that asks of many keys. */
static inline uint64_t
hash_index_may_lead(const unsigned char *bucket, bool is_wide,
                    uint8_t fingerprint)
{
    // The max probe distance may match, too: then it is not zero.
    uint64_t low = load_u64(bucket);
    if (is_wide) {
        return hash_index_equal_bytes(low, fingerprint)
               | low >> WIDE_MAX_PROBE * 8;
    }
    uint64_t high = load_u64(bucket + 8);
    return hash_index_equal_bytes(low, fingerprint)
           | hash_index_equal_bytes(high, fingerprint)
           | high >> (NARROW_MAX_PROBE - 8) * 8;
}

#endif
