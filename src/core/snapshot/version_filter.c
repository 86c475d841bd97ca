/* core/snapshot/version_filter.c
 *
 * Eight to sixteen bits for each key, of which one or two are set: some three
 * keys in a hundred are taken for one of a delta, and looked up there in vain.
 */
#include "core/snapshot/version_filter.h"

#include <string.h>

#include "core/base/hash.h"
#include "core/base/memory.h"
#include "core/snapshot/snapshot.h"

enum { KEYS_OF_A_WORD = 8, LEAST_BITS = 4 };

static uint64_t
count_entries(const struct version *version)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < version->delta_count; i++) {
        count += version->deltas[i].view.entry_count;
    }
    return count;
}

bool
version_filter_pays(const struct version *version, uint64_t looked_up)
{
    // To add a key takes 6 ns and a lookup saves 13: as with what is rented
    // until the rent has paid for it, neither choice costs twice the best.
    return version->delta_count > 0 && version->base.buckets != NULL
           && looked_up > count_entries(version) / 2;
}

/* False if the delta is damaged. */
static bool
add_delta(struct version_filter *filter, const struct snapshot *delta)
{
    uint64_t left = delta->records_size;
    for (uint64_t i = 0; i < delta->entry_count; i++) {
        struct entry entry;
        if (snapshot_at(delta, i, &entry) != STATUS_OK
            || snapshot_count_entry(&left, &entry) != STATUS_OK)
        {
            return false;
        }
        uint64_t hash =
            hash_bytes(entry.key.bytes, entry.key.size, delta->hash_seed);
        filter->words[hash >> filter->shift] |= version_filter_bits(hash);
    }
    return true;
}

struct version_filter *
version_filter_make(const struct version *version)
{
    const uint64_t count = count_entries(version) / KEYS_OF_A_WORD;
    unsigned bits = LEAST_BITS;
    while (UINT64_C(1) << bits < count) {
        bits += 1;
    }
    const size_t size = sizeof(uint64_t) << bits;
    struct version_filter *filter = memory_allocate(sizeof(*filter) + size);
    if (filter == NULL) {
        return NULL;
    }
    filter->shift = 64 - bits;
    memset(filter->words, 0, size);
    for (unsigned i = 0; i < version->delta_count; i++) {
        if (!add_delta(filter, &version->deltas[i].view)) {
            memory_release(filter);
            return NULL;
        }
    }
    return filter;
}
