/* core/snapshot/version_digest.c
 *
 * Two halves of 64 bits for each entry, of its key and of its value:
 *
 *     low     hash of the value, its seed a hash of the key
 *     high    hash of the key, its seed a hash of the value
 *
 * For a few values hash_bytes() takes no notice of the seed. With one of them
 * the low half would be the same under every key; the high half is not.
 *
 * The size of what is hashed is part of a hash, and the type of the value is
 * part of a seed: "ab", "c" and "a", "bc" differ, and so do 1 and True.
 */
#include "core/snapshot/version_digest.h"

#include "core/base/hash.h"
#include "core/snapshot/version_group.h"

enum { UNINTERRUPTED = 1024 };

/* Some 64-bit words of the fractional part of pi, after those of hash.h. */
static const uint64_t KEY_SEED = UINT64_C(0xBE5466CF34E90C6C);
static const uint64_t VALUE_SEED = UINT64_C(0xC0AC29B7C97C50DD);

static inline void
add_entry(struct version_digest *digest, const struct entry *entry)
{
    const struct slice key = entry->key, value = entry->value.bytes;
    const uint64_t type = (uint64_t)entry->value.type;
    uint64_t of_key = hash_bytes(key.bytes, key.size, KEY_SEED);
    uint64_t of_value = hash_bytes(value.bytes, value.size, VALUE_SEED ^ type);
    uint64_t low = hash_bytes(value.bytes, value.size, of_key ^ type);
    uint64_t high = hash_bytes(key.bytes, key.size, of_value);
    digest->high +=
        high + __builtin_add_overflow(digest->low, low, &digest->low);
}

enum status
version_digest_all(const struct version *version,
                   struct version_digest *digest,
                   const struct interrupt *interrupt)
{
    struct version_cursor cursor = {{0}};
    uint64_t left = version->records_size;
    *digest = (struct version_digest){0};
    for (uint64_t i = 0; i < version->entry_count; i++) {
        struct entry entry;
        if (i % UNINTERRUPTED == 0 && interrupt_is_due(interrupt)) {
            return STATUS_INTERRUPTED;
        }
        enum status status = version_at(version, &cursor, i, &entry);
        if (status == STATUS_OK) {
            status = snapshot_count_entry(&left, &entry);
        }
        if (status != STATUS_OK) {
            return status;
        }
        add_entry(digest, &entry);
    }
    return STATUS_OK;
}

enum status
version_digest_keys(const struct version *version, const struct entry *keys,
                    size_t count, struct version_digest *digest,
                    const struct interrupt *interrupt)
{
    uint64_t left = version->records_size;
    *digest = (struct version_digest){0};
    for (size_t i = 0; i < count; i += VERSION_GROUP) {
        const size_t grouped =
            count - i < VERSION_GROUP ? count - i : VERSION_GROUP;
        struct version_group group;
        if (i % UNINTERRUPTED == 0 && interrupt_is_due(interrupt)) {
            return STATUS_INTERRUPTED;
        }
        for (size_t j = 0; j < grouped; j++) {
            group.probes[j].key = keys[i + j].key;
        }
        version_group_probe(version, NULL, &group, grouped);
        for (size_t j = 0; j < grouped; j++) {
            struct entry entry;
            bool is_found;
            enum status status =
                version_group_find(version, &group, j, &entry, &is_found);
            if (status == STATUS_OK && is_found) {
                status = snapshot_count_entry(&left, &entry);
            }
            if (status != STATUS_OK) {
                return status;
            }
            if (is_found) {
                add_entry(digest, &entry);
            }
        }
    }
    return STATUS_OK;
}
