/* core/snapshot/version_group.c
 *
 * Most keys are in no delta, and their home bucket there says so at once: no
 * slot has the fingerprint, and no key had to go to another bucket.
 *
 *     hash all keys
 *     prefetch the home buckets, those of the deltas first: they are near
 *     deltas   test all home buckets, without a branch --> doubtful keys
 *              test the other buckets of those ----------> keys to find there
 *     base     prefetch the records
 *
 * With a filter, its words are tested instead of the deltas' home buckets; those
 * of the few doubtful keys are prefetched then, and tested last.
 *
 * Whatever the bytes say or become meanwhile, a key that is not looked up in a
 * delta is looked up in the base, as in a version without deltas.
 *
 * Not here: the lookup of one key; see version.c and find.c.
 */
#include "core/snapshot/version_group.h"

#include <string.h>

#include "core/base/hash.h"
#include "core/snapshot/hash_index.h"
#include "core/snapshot/record.h"

/* The home buckets of a group's keys in one layer. */
struct homes {
    const unsigned char *buckets[VERSION_GROUP];
};

static void
prefetch_homes(const struct snapshot *layer, const struct version_group *group,
               size_t count, struct homes *homes)
{
    const unsigned char *buckets = layer->buckets;
    const uint64_t bucket_count = layer->bucket_count;
    for (size_t i = 0; i < count; i++) {
        uint64_t home = hash_index_home(group->probes[i].hash, bucket_count);
        homes->buckets[i] = buckets + home * BUCKET_SIZE;
        __builtin_prefetch(homes->buckets[i]);
    }
}

/* Prefetches the record that the first of the matches refers to. */
static inline void
prefetch_record(const struct snapshot *layer, const unsigned char *bucket,
                bool is_wide, struct hash_index_matches matches)
{
    size_t slot = hash_index_take_slot(&matches);
    uint64_t offset;
    if (record_offset(layer, hash_index_reference(bucket, is_wide, slot),
                      &offset)
        == STATUS_OK)
    {
        // Most records are within two cache lines.
        __builtin_prefetch(layer->records + offset);
        __builtin_prefetch(layer->records + offset + 64);
        // Without it gcc drops the call, because it does not count prefetching
        // among the effects of a function.
        __asm__ volatile("");
    }
}

static void
prefetch_records(const struct snapshot *layer,
                 const struct version_group *group, size_t count,
                 const struct homes *homes)
{
    const bool is_wide = layer->reference_size == 8;
    for (size_t i = 0; i < count; i++) {
        struct hash_index_matches matches =
            hash_index_match(homes->buckets[i], is_wide,
                             hash_index_fingerprint(group->probes[i].hash));
        if ((matches.low | matches.high) != 0) {
            prefetch_record(layer, homes->buckets[i], is_wide, matches);
        }
    }
}

/* Fills the numbers of the keys that may be in a delta, as far as their home
 * buckets tell, and returns how many they are. */
static inline size_t
sift(const struct version_group *group, size_t count,
     const struct homes *homes, bool is_wide, uint8_t *doubtful)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t may_lead =
            hash_index_may_lead(homes->buckets[i], is_wide,
                                hash_index_fingerprint(group->probes[i].hash));
        // A branch would be mispredicted for every fifth key.
        doubtful[kept] = (uint8_t)i;
        kept += may_lead != 0;
    }
    return kept;
}

/* Whether a slot has the fingerprint of a key whose home bucket is `bucket`;
 * prefetches its record. */
static bool
is_suspect(const struct snapshot *delta, uint64_t hash,
           const unsigned char *bucket)
{
    const bool is_wide = delta->reference_size == 8;
    const unsigned char *end =
        delta->buckets + delta->bucket_count * BUCKET_SIZE;
    unsigned max_probe = hash_index_max_probe(bucket, is_wide);
    // It is one byte: 256 buckets at most, whatever its value.
    for (;;) {
        struct hash_index_matches matches =
            hash_index_match(bucket, is_wide, hash_index_fingerprint(hash));
        if ((matches.low | matches.high) != 0) {
            prefetch_record(delta, bucket, is_wide, matches);
            return true;
        }
        if (max_probe == 0) {
            return false;
        }
        max_probe -= 1;
        bucket += BUCKET_SIZE;
        bucket = bucket < end ? bucket : delta->buckets;
    }
}

/* Notes which of the doubtful keys may be in a delta, the one with this bit. */
static void
examine(const struct snapshot *delta, unsigned bit,
        struct version_group *group, const struct homes *homes,
        const uint8_t *doubtful, size_t kept)
{
    for (size_t i = 0; i < kept; i++) {
        size_t key = doubtful[i];
        if (is_suspect(delta, group->probes[key].hash, homes->buckets[key])) {
            group->deltas[key] |= (uint8_t)bit;
        }
    }
}

/* Finds out which keys may be in a delta, the one with this bit. */
static void
probe_delta(const struct snapshot *delta, unsigned bit,
            struct version_group *group, size_t count,
            const struct homes *homes)
{
    uint8_t doubtful[VERSION_GROUP];
    size_t kept = delta->reference_size == 8
                      ? sift(group, count, homes, true, doubtful)
                      : sift(group, count, homes, false, doubtful);
    examine(delta, bit, group, homes, doubtful, kept);
}

/* Fills the numbers of the keys that the filter lets through, and prefetches
 * their home buckets in the deltas. */
static size_t
filter_keys(const struct version *version, const struct version_filter *filter,
            const struct version_group *group, size_t count,
            struct homes *homes, uint8_t *doubtful)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t hash = group->probes[i].hash;
        uint64_t bits = version_filter_bits(hash);
        doubtful[kept] = (uint8_t)i;
        kept += (*version_filter_word(filter, hash) & bits) == bits;
    }
    for (unsigned i = 0; i < version->delta_count; i++) {
        const struct snapshot *delta = &version->deltas[i].view;
        for (size_t j = 0; j < kept; j++) {
            size_t key = doubtful[j];
            uint64_t home =
                hash_index_home(group->probes[key].hash, delta->bucket_count);
            homes[i].buckets[key] = delta->buckets + home * BUCKET_SIZE;
            __builtin_prefetch(homes[i].buckets[key]);
        }
    }
    return kept;
}

void
version_group_probe(const struct version *version,
                    const struct version_filter *filter,
                    struct version_group *group, size_t count)
{
    const struct snapshot *base = &version->base;
    const uint64_t seed = base->hash_seed;
    const unsigned delta_count = version->delta_count;
    struct homes homes[VERSION_DELTAS], base_homes;
    if (base->buckets == NULL) {
        memset(group->deltas, delta_count > 0 ? VERSION_ALL_DELTAS : 0, count);
        return;
    }
    memset(group->deltas, 0, count);
    for (size_t i = 0; i < count; i++) {
        struct slice key = group->probes[i].key;
        group->probes[i].hash = hash_bytes(key.bytes, key.size, seed);
    }
    size_t kept = 0;
    uint8_t doubtful[VERSION_GROUP] = {0};
    if (filter != NULL) {
        for (size_t i = 0; i < count; i++) {
            __builtin_prefetch(
                version_filter_word(filter, group->probes[i].hash));
        }
        prefetch_homes(base, group, count, &base_homes);
        kept = filter_keys(version, filter, group, count, homes, doubtful);
    }
    else {
        for (unsigned i = 0; i < delta_count; i++) {
            prefetch_homes(&version->deltas[i].view, group, count, &homes[i]);
        }
        prefetch_homes(base, group, count, &base_homes);
        for (unsigned i = 0; i < delta_count; i++) {
            probe_delta(&version->deltas[i].view, 1U << i, group, count,
                        &homes[i]);
        }
    }
    if (!snapshot_is_near(base)) {
        prefetch_records(base, group, count, &base_homes);
    }
    // By now their buckets are there.
    for (unsigned i = 0; kept > 0 && i < delta_count; i++) {
        examine(&version->deltas[i].view, 1U << i, group, &homes[i], doubtful,
                kept);
    }
}
