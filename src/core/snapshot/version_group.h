/* core/snapshot/version_group.h
 *
 * Looks up a group of keys. One after the other each would wait several times
 * for memory; a group waits once.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_VERSION_GROUP_H
#define SHAREDMAP_CORE_SNAPSHOT_VERSION_GROUP_H

#include "core/snapshot/version.h"
#include "core/snapshot/version_filter.h"

/* How many keys are prefetched at the same time: enough to hide the latency of
 * memory, few enough that prefetched lines are still in the cache. */
enum { VERSION_GROUP = 32 };

struct version_group {
    struct snapshot_probe probes[VERSION_GROUP];  // the caller sets the keys
    uint8_t deltas[VERSION_GROUP];  // a bit for each that may have the key
};

/* Prefetches what version_group_find() reads for the first `count` keys, and
 * finds out which deltas it need not read. `filter` is one of the version, or
 * NULL. */
void
version_group_probe(const struct version *version,
                    const struct version_filter *filter,
                    struct version_group *group, size_t count);

/* version_find_slot() for one of these keys. */
static inline enum status
version_group_find(const struct version *version, struct version_group *group,
                   size_t index, struct entry *entry, bool *is_found)
{
    struct snapshot_probe *probe = &group->probes[index];
    unsigned deltas = group->deltas[index];
    return deltas == 0
               ? snapshot_probe_find(&version->base, probe, entry, is_found)
               : version_find_beneath(version, deltas, probe, entry, is_found);
}

#endif
