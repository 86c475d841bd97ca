/* core/snapshot/version_digest.h
 *
 * A number of 128 bits that tells the content of a version: equal for versions
 * with equal entries, however their bytes are laid out.
 *
 * It is the sum of a hash of each entry, so it can be kept up to date with
 * every change: take away the entries that are replaced or removed, add those
 * that are put. It finds mistakes and damage; it does not withstand entries
 * that are forged on purpose.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_VERSION_DIGEST_H
#define SHAREDMAP_CORE_SNAPSHOT_VERSION_DIGEST_H

#include "core/snapshot/version.h"

struct version_digest {
    uint64_t low;
    uint64_t high;
};

/* Fills the digest of all entries; the order of the keys is not checked.
 * STATUS_INTERRUPTED, STATUS_RECORDS_OVERLAP and the failures of version_at();
 * `interrupt` may be NULL. O(size). */
enum status
version_digest_all(const struct version *version,
                   struct version_digest *digest,
                   const struct interrupt *interrupt);

/* The same of those entries that have one of these keys, each of which is
 * given once; values of `keys` are ignored. O(count), O(count log n) without a
 * hash index, besides the size of the entries. */
enum status
version_digest_keys(const struct version *version, const struct entry *keys,
                    size_t count, struct version_digest *digest,
                    const struct interrupt *interrupt);

#endif
