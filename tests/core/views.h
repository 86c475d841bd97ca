/* tests/core/views.h
 *
 * Views on images of snapshots, and what must be true of every one of them.
 */
#ifndef SHAREDMAP_TESTS_CORE_VIEWS_H
#define SHAREDMAP_TESTS_CORE_VIEWS_H

#include "core/check.h"
#include "core/snapshot/version.h"
#include "core/snapshot/version_group.h"
#include "core/snapshots.h"

static inline struct snapshot
open_image(const struct image *image)
{
    struct snapshot view;
    CHECK_STATUS(snapshot_open(&view, image->bytes, image->size), STATUS_OK);
    return view;
}

/* The image as the only layer of a version. */
static inline struct version
version_of_image(const struct image *image)
{
    struct version version;
    CHECK_STATUS(version_open(&version, image->bytes, image->size, 0),
                 STATUS_OK);
    return version;
}

static inline void
check_entry(const struct entry *actual, const struct entry *expected)
{
    CHECK(slice_equals(actual->key, expected->key));
    CHECK(slice_equals(actual->value.bytes, expected->value.bytes));
    CHECK_EQUAL(actual->value.type, expected->value.type);
}

static inline bool
is_inside(const struct snapshot *view, struct slice bytes)
{
    const unsigned char *end = view->records + view->records_size;
    return bytes.bytes >= view->records && bytes.bytes <= end
           && bytes.size <= (size_t)(end - bytes.bytes);
}

/* snapshot_find() as who looks up many keys does it. Whatever the bytes say, a
 * place is one of those that there are. */
static inline enum status
find_in_steps(const struct snapshot *view, struct slice key,
              struct entry *entry, bool *is_found)
{
    struct version version = {.base = *view};
    struct version_group group;
    group.probes[0].key = key;
    version_group_probe(&version, NULL, &group, 1);
    enum status status =
        version_group_find(&version, &group, 0, entry, is_found);
    CHECK(status != STATUS_OK || !*is_found
          || group.probes[0].slot < snapshot_slot_count(view));
    return status;
}

/* Asks the view everything. All answers must lie inside the snapshot. */
static inline void
read_everything(const struct snapshot *view)
{
    static const char *const keys[] = {"", "aaa", "bytes", "int", "\xFF"};
    struct entry entry;
    uint64_t index;
    bool is_found;
    for (uint64_t i = 0; i < view->entry_count; i++) {
        if (snapshot_at(view, i, &entry) == STATUS_OK) {
            CHECK(is_inside(view, entry.key));
            CHECK(is_inside(view, entry.value.bytes));
            CHECK((int)entry.value.type < VALUE_TYPE_COUNT);
        }
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct slice key = {(const unsigned char *)keys[i], strlen(keys[i])};
        if (snapshot_seek(view, key, &index) == STATUS_OK) {
            CHECK(index <= view->entry_count);
        }
        const struct slice pair[] = {key, SLICE("b")};
        uint64_t indices[2];
        if (snapshot_seek_group(view, pair, 2, indices) == STATUS_OK) {
            CHECK(indices[0] <= view->entry_count);
            CHECK(indices[1] <= view->entry_count);
        }
        if (snapshot_find(view, key, &entry, &is_found) == STATUS_OK
            && is_found)
        {
            CHECK(is_inside(view, entry.key));
            CHECK(is_inside(view, entry.value.bytes));
        }
        if (find_in_steps(view, key, &entry, &is_found) == STATUS_OK
            && is_found)
        {
            CHECK(is_inside(view, entry.key));
            CHECK(is_inside(view, entry.value.bytes));
        }
    }
    snapshot_verify(view, NULL);
}

static inline void
check_holds(const struct image *image, const struct entry *entries,
            size_t count)
{
    struct snapshot view = open_image(image);
    CHECK_EQUAL(view.entry_count, count);
    for (size_t i = 0; i < count; i++) {
        struct entry entry;
        bool is_found;
        uint64_t index;
        CHECK_STATUS(snapshot_at(&view, i, &entry), STATUS_OK);
        check_entry(&entry, &entries[i]);
        if (value_type_is_aligned(entry.value.type)) {
            CHECK_EQUAL((entry.value.bytes.bytes - view.bytes) % 8, 0);
        }
        CHECK_STATUS(snapshot_find(&view, entries[i].key, &entry, &is_found),
                     STATUS_OK);
        CHECK(is_found);
        check_entry(&entry, &entries[i]);
        CHECK_STATUS(find_in_steps(&view, entries[i].key, &entry, &is_found),
                     STATUS_OK);
        CHECK(is_found);
        check_entry(&entry, &entries[i]);
        CHECK_STATUS(snapshot_seek(&view, entries[i].key, &index), STATUS_OK);
        CHECK_EQUAL(index, i);
    }
    CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_OK);
}

static inline struct image
sample_image(const struct snapshot_options *options)
{
    struct entry entries[SAMPLE_COUNT];
    fill_samples(entries);
    return image_of_entries(entries, SAMPLE_COUNT, options);
}

#endif
