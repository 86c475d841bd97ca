/* core/snapshot/version_filter.h
 *
 * Which keys are surely in no delta of a version: a Bloom filter of the deltas'
 * keys, in memory of its own. Two bits of one word for each key:
 *
 *     hash     | index of the word ...        | bit | bit |
 *     words    | 64 bits | 64 bits | ...
 *
 * A delta's own hash index answers that, too, but each delta has one, and that
 * of a large one is farther away than the filter.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_VERSION_FILTER_H
#define SHAREDMAP_CORE_SNAPSHOT_VERSION_FILTER_H

#include "core/snapshot/version.h"

struct version_filter {
    unsigned shift;  // of a hash, to the index of its word
    uint64_t words[];
};

/* Whether a filter is worth making for a version in which so many keys have
 * been looked up in groups. */
bool
version_filter_pays(const struct version *version, uint64_t looked_up);

/* A filter of the version, to be given to memory_release(). NULL without
 * memory, and where the deltas are damaged. O(size of the deltas). */
struct version_filter *
version_filter_make(const struct version *version);

static inline const uint64_t *
version_filter_word(const struct version_filter *filter, uint64_t hash)
{
    return &filter->words[hash >> filter->shift];
}

/* The bits of a key in its word. */
static inline uint64_t
version_filter_bits(uint64_t hash)
{
    return UINT64_C(1) << hash % 64 | UINT64_C(1) << hash / 64 % 64;
}

#endif
