/* tests/hostile/interrogate.h
 *
 * Asks a view everything that snapshot/snapshot.h has to ask, and says whether
 * the answers are allowed: each lies inside the snapshot, and all of its
 * bytes are read, so that the address sanitizer sees one that does not.
 *
 *     any bytes          nothing outside is read, everything ends
 *     verify() says OK   besides, one answer for each key in whatever way
 *
 * A check that fails ends the program (check.h).
 */
#ifndef SHAREDMAP_TESTS_HOSTILE_INTERROGATE_H
#define SHAREDMAP_TESTS_HOSTILE_INTERROGATE_H

#include "core/check.h"
#include "core/snapshot/merge.h"
#include "core/snapshot/snapshot.h"
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

static inline void
digest_entry(struct digest *digest, const struct snapshot *view,
             const struct entry *entry)
{
    CHECK(is_inside(view, entry->key));
    CHECK(is_inside(view, entry->value.bytes));
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

static inline void
interrogate_key(struct digest *digest, const struct snapshot *view,
                struct slice key)
{
    struct entry entry;
    uint64_t index = 0;
    bool is_found = false;
    enum status status = snapshot_seek(view, key, &index);
    digest_number(digest, status);
    if (status == STATUS_OK) {
        CHECK(index <= view->entry_count);
        digest_number(digest, index);
    }
    status = snapshot_find(view, key, &entry, &is_found);
    digest_number(digest, status);
    if (status == STATUS_OK && is_found) {
        CHECK(slice_equals(entry.key, key));
        digest_entry(digest, view, &entry);
    }
    bool is_found_in_steps = false;
    CHECK_STATUS(find_in_steps(view, key, &entry, &is_found_in_steps), status);
    if (status == STATUS_OK) {
        CHECK_EQUAL(is_found_in_steps, is_found);
    }
    if (is_found_in_steps) {
        CHECK(slice_equals(entry.key, key));
        digest_entry(digest, view, &entry);
    }
}

/* Forged entry counts are bounded by the size, so this is, too. */
static inline void
interrogate_merge(struct digest *digest, const struct snapshot *view,
                  bool is_written)
{
    static const struct entry puts[] = {
        {SLICE("aaa"), {SLICE("new"), VALUE_STR}},
        {SLICE("between"), {SLICE(""), VALUE_NONE}},
        {SLICE("\xFF"), {SLICE("\xFF"), VALUE_BYTES}},
    };
    static const struct entry removals[] = {
        {SLICE(""), {SLICE(""), VALUE_NONE}},
        {SLICE("int"), {SLICE(""), VALUE_NONE}},
    };
    struct changes changes = {puts, 3, removals, 2};
    size_t count = 0;
    struct entry *merged = malloc((view->entry_count + 3) * sizeof(*merged));
    CHECK(merged != NULL);
    bool is_changed;
    enum status status =
        merge_changes(view, &changes, merged, &count, &is_changed, NULL);
    digest_number(digest, status);
    if (status == STATUS_OK) {
        CHECK(count <= view->entry_count + 3);
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

/* What docs/FORMAT.md promises of a snapshot that passes: keys in order, and
 * one answer for each, in whatever way it is asked. */
static inline void
check_consistent(const struct snapshot *view)
{
    struct entry before = {.key = {NULL, 0}}, entry, found;
    for (uint64_t i = 0; i < view->entry_count; i++) {
        uint64_t index;
        bool is_found;
        CHECK_STATUS(snapshot_at(view, i, &entry), STATUS_OK);
        CHECK(i == 0 || slice_compare(before.key, entry.key) < 0);
        CHECK_STATUS(snapshot_seek(view, entry.key, &index), STATUS_OK);
        CHECK_EQUAL(index, i);
        CHECK_STATUS(snapshot_find(view, entry.key, &found, &is_found),
                     STATUS_OK);
        CHECK(is_found);
        check_entry(&found, &entry);
        before = entry;
    }
    for (int i = 0; i < PROBED_COUNT; i++) {
        uint64_t index;
        bool is_found;
        CHECK_STATUS(snapshot_seek(view, probed_keys[i], &index), STATUS_OK);
        bool is_there = index < view->entry_count
                        && snapshot_at(view, index, &entry) == STATUS_OK
                        && slice_equals(entry.key, probed_keys[i]);
        CHECK_STATUS(snapshot_find(view, probed_keys[i], &found, &is_found),
                     STATUS_OK);
        CHECK_EQUAL(is_found, is_there);
    }
}

/* Everything. Fills what verify says; `is_written` also writes what an update
 * would make of it. */
static inline struct digest
interrogate(const struct snapshot *view, enum status *verdict, bool is_written)
{
    struct digest digest = {0};
    struct entry entry;
    digest_bytes(&digest, snapshot_label(view));
    digest_number(&digest, snapshot_has_hash_index(view));
    digest_number(&digest, view->entry_count);
    for (uint64_t i = 0; i < view->entry_count; i++) {
        enum status status = snapshot_at(view, i, &entry);
        digest_number(&digest, status);
        if (status == STATUS_OK) {
            digest_entry(&digest, view, &entry);
            interrogate_key(&digest, view, entry.key);
        }
    }
    for (int i = 0; i < PROBED_COUNT; i++) {
        interrogate_key(&digest, view, probed_keys[i]);
    }
    enum status checksum = snapshot_verify_checksum(view, NULL);
    interrogate_merge(&digest, view, is_written && checksum == STATUS_OK);
    *verdict = snapshot_verify(view, NULL);
    if (*verdict == STATUS_OK) {
        CHECK_STATUS(checksum, STATUS_OK);
        check_consistent(view);
    }
    return digest;
}

#endif
