/* core/snapshot/hash_index.c
 *
 * Entries go into the first bucket with room, from their home on:
 *
 *     home          home + 1        home + 2
 *     | full |  --> | full |  -->   | room |      max probe of home = 2
 *
 * With 9.2 entries for 12 slots about 4 in 100 are not in their home and 1 in
 * 100 is further away than the next bucket. The index takes 7 bytes an entry.
 *
 * The buckets of consecutive entries are unrelated, so each costs a cache
 * miss. They are prefetched some entries ahead.
 *
 * Not here: lookup; see find.c.
 */
#include "core/snapshot/hash_index.h"

#include "core/base/load.h"

enum { AHEAD = 16, MAX_PROBE_LIMIT = 255 };

uint64_t
hash_index_bucket_count(uint64_t entry_count, bool is_wide)
{
    // 9.2 and 5.3 entries a bucket; in two steps, so that nothing overflows.
    uint64_t tenths = is_wide ? 53 : 92;
    return entry_count / tenths * 10 + (entry_count % tenths * 10) / tenths
           + 1;
}

struct shape {
    size_t slots;
    size_t max_probe;
    size_t references;
    size_t reference_size;
};

static const struct shape NARROW = {NARROW_SLOTS, NARROW_MAX_PROBE,
                                    NARROW_REFERENCES, 4};
static const struct shape WIDE = {WIDE_SLOTS, WIDE_MAX_PROBE, WIDE_REFERENCES,
                                  8};

/* The first slot without a fingerprint; behind the last when all are used. How
 * many are used is random, so a loop over the slots would cost a mispredicted
 * branch. */
static inline size_t
first_free(const unsigned char *bucket)
{
    uint64_t low = hash_index_equal_bytes(load_u64(bucket), 0);
    uint64_t high = hash_index_equal_bytes(load_u64(bucket + 8), 0);
    // The bytes behind the fingerprints may be zero or not.
    return low != 0
               ? (size_t)__builtin_ctzll(low) / 8
               : 8 + (size_t)__builtin_ctzll(high | UINT64_C(1) << 63) / 8;
}

/* False when the bucket is full. */
static bool
put(unsigned char *bucket, struct shape shape, uint8_t fingerprint,
    uint64_t reference)
{
    size_t slot = first_free(bucket);
    if (slot >= shape.slots) {
        return false;
    }
    bucket[slot] = fingerprint;
    memcpy(bucket + shape.references + slot * shape.reference_size, &reference,
           shape.reference_size);
    return true;
}

bool
hash_index_add(unsigned char *buckets, uint64_t bucket_count, bool is_wide,
               const uint64_t *hashes, const uint64_t *references,
               size_t count)
{
    struct shape shape = is_wide ? WIDE : NARROW;
    for (size_t i = 0; i < count; i++) {
        if (i + AHEAD < count) {
            __builtin_prefetch(
                buckets
                    + hash_index_home(hashes[i + AHEAD], bucket_count)
                          * BUCKET_SIZE,
                1);
        }
        uint64_t home = hash_index_home(hashes[i], bucket_count);
        uint8_t fingerprint = hash_index_fingerprint(hashes[i]);
        uint64_t at = home;
        unsigned distance = 0;
        while (!put(buckets + at * BUCKET_SIZE, shape, fingerprint,
                    references[i]))
        {
            at = at + 1 < bucket_count ? at + 1 : 0;
            distance += 1;
            if (distance > MAX_PROBE_LIMIT || at == home) {
                return false;
            }
        }
        unsigned char *max_probe =
            buckets + home * BUCKET_SIZE + shape.max_probe;
        if (distance > *max_probe) {
            *max_probe = (unsigned char)distance;
        }
    }
    return true;
}
