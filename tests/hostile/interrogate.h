/* tests/hostile/interrogate.h
 *
 * Asks a version everything that snapshot/version.h has to ask, and says
 * whether the answers are allowed: each lies inside the base or the deltas, and
 * all of its bytes are read, so that the address sanitizer sees one that does
 * not. A snapshot is a version without deltas.
 *
 *     any bytes          nothing outside is read, everything ends
 *     verify() says OK   besides, one answer for each key in whatever way
 *
 * A check that fails ends the program (check.h).
 */
#ifndef SHAREDMAP_TESTS_HOSTILE_INTERROGATE_H
#define SHAREDMAP_TESTS_HOSTILE_INTERROGATE_H

#include "core/check.h"
#include "core/snapshot/delta_log.h"
#include "core/snapshot/merge.h"
#include "core/snapshot/version.h"
#include "core/snapshot/version_group.h"
#include "core/snapshot/version_update.h"
#include "core/snapshots.h"
#include "core/views.h"

/* What the answers are folded into: they are the same answers if it is the
 * same number. */
struct digest {
    uint64_t hash;
};

static inline void
digest_bytes(struct digest *digest, struct slice bytes)
{
    digest->hash = hash_bytes(bytes.bytes, bytes.size, digest->hash);
}

static inline void
digest_number(struct digest *digest, uint64_t number)
{
    digest->hash = (digest->hash ^ number) * UINT64_C(0x9E3779B97F4A7C15);
}

/* Both parts of an entry come from one layer. */
static inline bool
is_inside_version(const struct version *version, const struct entry *entry)
{
    bool is_there = is_inside(&version->base, entry->key)
                    && is_inside(&version->base, entry->value.bytes);
    for (unsigned i = 0; i < version->delta_count; i++) {
        const struct snapshot *view = &version->deltas[i].view;
        is_there = is_there
                   || (is_inside(view, entry->key)
                       && is_inside(view, entry->value.bytes));
    }
    return is_there;
}

static inline void
digest_entry(struct digest *digest, const struct version *version,
             const struct entry *entry)
{
    CHECK(is_inside_version(version, entry));
    CHECK((int)entry->value.type < VALUE_TYPE_COUNT);
    digest_bytes(digest, entry->key);
    digest_bytes(digest, entry->value.bytes);
    digest_number(digest, entry->value.type);
}

/* What is asked besides the keys of the snapshot itself: before, between and
 * behind those of the samples, some of them there. */
static const struct slice probed_keys[] = {
    SLICE(""),
    SLICE("\0"),
    SLICE("aaa"),
    SLICE("bytes"),
    SLICE("bytes and more, so that it is compared in words of eight bytes"),
    SLICE("int"),
    SLICE("\xE7\xBA\xA2"),
    SLICE("\xFF"),
};

enum { PROBED_COUNT = sizeof(probed_keys) / sizeof(probed_keys[0]) };

/* A filter lets through what is there. Damaged bytes may have none, or one that
 * lets through too little: it is looked up in the base then. */
static inline void
check_filter(const struct version *version, struct slice key)
{
    struct version_filter *filter =
        version->delta_count > 0 ? version_filter_make(version) : NULL;
    struct version_group group;
    struct entry entry;
    bool is_found;
    group.probes[0].key = key;
    version_group_probe(version, filter, &group, 1);
    if (version_group_find(version, &group, 0, &entry, &is_found) == STATUS_OK
        && is_found)
    {
        CHECK(is_inside_version(version, &entry));
    }
    memory_release(filter);
}

/* version_find() as who looks up many keys does it. Whatever the bytes say, a
 * slot is one of those that there are, or of a delta. */
static inline enum status
find_version_in_steps(const struct version *version, struct slice key,
                      struct entry *entry, bool *is_found)
{
    struct version_group group;
    group.probes[0].key = key;
    check_filter(version, key);
    version_group_probe(version, NULL, &group, 1);
    enum status status =
        version_group_find(version, &group, 0, entry, is_found);
    uint64_t slot = group.probes[0].slot;
    CHECK(status != STATUS_OK || !*is_found
          || slot < snapshot_slot_count(&version->base)
          || (slot == VERSION_NO_SLOT && version->delta_count > 0));
    return status;
}

/* What is beneath a delta, and beneath that. */
static inline void
interrogate_positions(struct digest *digest, const struct version *version,
                      struct slice key)
{
    for (unsigned i = 0; i <= version->delta_count; i++) {
        struct version_position position;
        enum status status = version_locate(version, i, key, &position);
        digest_number(digest, status);
        if (status == STATUS_OK) {
            digest_number(digest, position.below);
        }
        if (status == STATUS_OK && position.is_found) {
            CHECK(slice_equals(position.entry.key, key));
            digest_entry(digest, version, &position.entry);
        }
    }
}

static inline void
interrogate_key(struct digest *digest, const struct version *version,
                struct slice key)
{
    struct entry entry;
    uint64_t index = 0;
    bool is_found = false;
    enum status status = version_seek(version, key, &index);
    digest_number(digest, status);
    if (status == STATUS_OK) {
        CHECK(index <= version->entry_count);
        digest_number(digest, index);
    }
    status = version_find(version, key, &entry, &is_found);
    digest_number(digest, status);
    if (status == STATUS_OK && is_found) {
        CHECK(slice_equals(entry.key, key));
        digest_entry(digest, version, &entry);
    }
    bool is_found_in_steps = false;
    CHECK_STATUS(
        find_version_in_steps(version, key, &entry, &is_found_in_steps),
        status);
    if (status == STATUS_OK) {
        CHECK_EQUAL(is_found_in_steps, is_found);
    }
    if (status == STATUS_OK && is_found_in_steps) {
        CHECK(slice_equals(entry.key, key));
        digest_entry(digest, version, &entry);
    }
    interrogate_positions(digest, version, key);
}

static const struct entry interrogated_puts[] = {
    {SLICE("aaa"), {SLICE("new"), VALUE_STR}},
    {SLICE("between"), {SLICE(""), VALUE_NONE}},
    {SLICE("\xFF"), {SLICE("\xFF"), VALUE_BYTES}},
};

static const struct entry interrogated_removals[] = {
    {SLICE(""), {SLICE(""), VALUE_NONE}},
    {SLICE("int"), {SLICE(""), VALUE_NONE}},
};

static const struct changes interrogated_changes = {interrogated_puts, 3,
                                                    interrogated_removals, 2};

/* Forged entry counts are bounded by the size, so this is, too. */
static inline void
interrogate_merge(struct digest *digest, const struct version *version,
                  bool is_written)
{
    size_t count = 0, most = version->entry_count + 3;
    struct entry *merged = malloc(most * sizeof(*merged));
    CHECK(merged != NULL);
    bool is_changed;
    enum status status = merge_changes(version, &interrogated_changes, merged,
                                       &count, &is_changed, NULL);
    digest_number(digest, status);
    if (status == STATUS_OK) {
        CHECK(count <= most);
        for (size_t i = 0; i < count; i++) {
            digest_bytes(digest, merged[i].key);
            digest_bytes(digest, merged[i].value.bytes);
        }
    }
    // An update writes them down, in whatever order they are.
    if (status == STATUS_OK && is_written) {
        struct image image = image_of_entries(merged, count, HASH);
        struct snapshot written = open_image(&image);
        CHECK_STATUS(snapshot_verify_checksum(&written, NULL), STATUS_OK);
        CHECK_EQUAL(written.entry_count, count);
        image_destroy(&image);
    }
    free(merged);
}

/* What an update would write behind it, and what a compaction reads. */
static inline void
interrogate_update(struct digest *digest, const struct version *version)
{
    static const struct version_identity identity = {.generation = 9};
    struct version roomy = *version;
    struct version_update update;
    // As if there were room behind any of them.
    roomy.base.header.limit = INT64_MAX - 63;
    enum status status =
        version_update_prepare(&update, &roomy, &interrogated_changes,
                               &identity, COPY_IF_NEEDED, NULL);
    digest_number(digest, status);
    digest_number(digest, update.step);
    if (update.step == STEP_APPEND) {
        CHECK_STATUS(status, STATUS_OK);
        digest_bytes(digest, (struct slice){update.bytes, update.size});
    }
    version_update_release(&update);

    struct version oldest = *version;
    struct delta_log log;
    oldest.delta_count = 0;
    status = delta_log_read(&log, &oldest, version);
    digest_number(digest, status);
    for (size_t i = 0; status == STATUS_OK && i < log.changes.put_count; i++) {
        digest_bytes(digest, log.changes.puts[i].key);
        digest_bytes(digest, log.changes.puts[i].value.bytes);
    }
    delta_log_clear(&log);
}

/* What docs/FORMAT.md promises of a version that passes: keys in order, and
 * one answer for each, in whatever way it is asked. */
static inline void
check_consistent(const struct version *version)
{
    struct version_cursor cursor = {.passed = {0}};
    struct entry before = {.key = {NULL, 0}}, entry, found;
    for (uint64_t i = 0; i < version->entry_count; i++) {
        uint64_t index;
        bool is_found;
        CHECK_STATUS(version_at(version, &cursor, i, &entry), STATUS_OK);
        CHECK(i == 0 || slice_compare(before.key, entry.key) < 0);
        CHECK_STATUS(version_seek(version, entry.key, &index), STATUS_OK);
        CHECK_EQUAL(index, i);
        CHECK_STATUS(version_find(version, entry.key, &found, &is_found),
                     STATUS_OK);
        CHECK(is_found);
        check_entry(&found, &entry);
        before = entry;
    }
    for (int i = 0; i < PROBED_COUNT; i++) {
        uint64_t index;
        bool is_found;
        CHECK_STATUS(version_seek(version, probed_keys[i], &index), STATUS_OK);
        bool is_there =
            index < version->entry_count
            && version_at(version, &cursor, index, &entry) == STATUS_OK
            && slice_equals(entry.key, probed_keys[i]);
        CHECK_STATUS(version_find(version, probed_keys[i], &found, &is_found),
                     STATUS_OK);
        CHECK_EQUAL(is_found, is_there);
    }
}

/* Everything. Fills what verify says; `is_written` also writes what an update
 * would make of it. */
static inline struct digest
interrogate(const struct version *version, enum status *verdict,
            bool is_written)
{
    struct digest digest = {0};
    struct version_cursor cursor = {.passed = {0}};
    struct entry entry;
    digest_bytes(&digest, snapshot_label(&version->base));
    digest_number(&digest, snapshot_has_hash_index(&version->base));
    digest_number(&digest, version->entry_count);
    for (uint64_t i = 0; i < version->entry_count; i++) {
        enum status status = version_at(version, &cursor, i, &entry);
        digest_number(&digest, status);
        if (status == STATUS_OK) {
            digest_entry(&digest, version, &entry);
            interrogate_key(&digest, version, entry.key);
        }
    }
    for (int i = 0; i < PROBED_COUNT; i++) {
        interrogate_key(&digest, version, probed_keys[i]);
    }
    enum status checksum = version_verify_checksum(version, NULL);
    interrogate_merge(&digest, version, is_written && checksum == STATUS_OK);
    interrogate_update(&digest, version);
    *verdict = version_verify(version, NULL);
    if (*verdict == STATUS_OK) {
        CHECK_STATUS(checksum, STATUS_OK);
        check_consistent(version);
    }
    return digest;
}

#endif
