/* tests/hostile/kinds.h
 *
 * Small snapshots of each kind that a reader understands: what the writer
 * makes of no entry, one, all types of values and sizes of all widths, what it
 * could make by the format but does not; and with an old and a young delta.
 */
#ifndef SHAREDMAP_TESTS_HOSTILE_KINDS_H
#define SHAREDMAP_TESTS_HOSTILE_KINDS_H

#include "core/snapshot/hash_index.h"
#include "core/snapshots.h"
#include "core/versions.h"
#include "core/views.h"

struct kind {
    const char *name;
    struct image (*make)(const struct snapshot_options *options);
    struct snapshot_options options;
};

static inline struct image
make_empty(const struct snapshot_options *options)
{
    return image_of_entries(NULL, 0, options);
}

static inline struct image
make_one(const struct snapshot_options *options)
{
    struct entry entry = {SLICE("key"), {SLICE("value"), VALUE_STR}};
    return image_of_entries(&entry, 1, options);
}

/* Sizes that stand behind the head, in one byte and in two. */
static inline struct image
make_long(const struct snapshot_options *options)
{
    static unsigned char a[124], b[256];
    memset(a, 'a', sizeof(a));
    memset(b, 'b', sizeof(b));
    struct entry entries[] = {
        {{a, 124}, {{b, 60}, VALUE_BYTES}},
        {{b, 256}, {{a, 1}, VALUE_STR}},
        {SLICE("c"), {{b, 256}, VALUE_ENCODED}},
    };
    return image_of_entries(entries, 3, options);
}

/* All entries of one home: the bucket is full, the last ones are in the next.
 */
static inline struct image
make_crowded(const struct snapshot_options *options)
{
    static char keys[14][11];
    struct entry entries[14];
    size_t count = options->is_wide ? 9 : 14;
    size_t found = 0;
    for (int i = 0; found < count; i++) {
        snprintf(keys[found], sizeof(keys[found]), "%03d", i);
        struct slice key = {(unsigned char *)keys[found], 3};
        uint64_t buckets = hash_index_bucket_count(count, options->is_wide);
        CHECK_EQUAL(buckets, 2);
        if (hash_index_home(hash_bytes(key.bytes, 3, 0), buckets) == 0) {
            entries[found++] =
                (struct entry){key, {{key.bytes, 1}, VALUE_BYTES}};
        }
    }
    struct image image = image_of_entries(entries, count, options);
    size_t max_probe = options->is_wide ? WIDE_MAX_PROBE : NARROW_MAX_PROBE;
    CHECK_EQUAL(
        image.bytes[image_header(&image)->hash_index.offset + max_probe], 1);
    return image;
}

/* A record with both sizes in as many bytes as the codes say. */
static inline size_t
put_record(unsigned char *to, unsigned key_power, unsigned value_power,
           char letter)
{
    uint64_t key_size = 3, value_size = 5;
    uint16_t head = (uint16_t)((RECORD_KEY_SIZE_ESCAPE + key_power)
                                   << RECORD_KEY_SIZE_SHIFT
                               | (RECORD_VALUE_SIZE_ESCAPE + value_power)
                                     << RECORD_VALUE_SIZE_SHIFT
                               | VALUE_STR);
    size_t size = sizeof(head);
    memcpy(to, &head, sizeof(head));
    memcpy(to + size, &key_size, (size_t)1 << key_power);
    size += (size_t)1 << key_power;
    memcpy(to + size, &value_size, (size_t)1 << value_power);
    size += (size_t)1 << value_power;
    memset(to + size, letter, key_size + value_size);
    return size + key_size + value_size;
}

/* Sizes in 1, 2, 4 and 8 bytes each, which the writer takes for large ones
 * only; references count units of 8 bytes; the index stands before the
 * records, which end where the snapshot ends. */
static inline struct image
make_foreign(const struct snapshot_options *options)
{
    unsigned char records[512] = {0};
    uint64_t references[8];
    size_t count = 0, at = 0;
    for (unsigned power = 0; power < 4; power++) {
        references[count++] = at / 8;
        at += put_record(records + at, power, 3 - power, (char)('a' + power));
        at = (at + 7) / 8 * 8;
    }
    struct slice all = {records, round_up(at)};
    return image_by_hand(all, references, count, options->is_wide ? 8 : 4, 3);
}

static inline struct image
make_containers(const struct snapshot_options *options)
{
    struct entry entries[CONTAINER_COUNT];
    fill_containers(entries);
    return image_of_entries(entries, CONTAINER_COUNT, options);
}

static inline struct image
make_sample(const struct snapshot_options *options)
{
    return sample_image(options);
}

static inline struct image
make_layers(const struct snapshot_options *options)
{
    return sample_layers(options).file;
}

static const struct kind kinds[] = {
    {"empty-tree", make_empty, {.index = INDEX_TREE}},
    {"empty-hash", make_empty, {.index = INDEX_HASH}},
    {"one-tree", make_one, {.index = INDEX_TREE, .label = SLICE("label")}},
    {"one-hash", make_one, {.index = INDEX_HASH}},
    {"one-wide", make_one, {.index = INDEX_HASH, .is_wide = true}},
    {"types-tree", make_sample, {.index = INDEX_TREE}},
    {"types-tree-wide", make_sample, {.index = INDEX_TREE, .is_wide = true}},
    {"types-hash", make_sample, {.index = INDEX_HASH}},
    {"types-hash-wide", make_sample, {.index = INDEX_HASH, .is_wide = true}},
    {"types-aligned",
     make_sample,
     {.index = INDEX_HASH, .value_alignment = 64}},
    {"containers-tree", make_containers, {.index = INDEX_TREE}},
    {"containers-hash", make_containers, {.index = INDEX_HASH}},
    {"long", make_long, {.index = INDEX_HASH}},
    {"crowded", make_crowded, {.index = INDEX_HASH}},
    {"crowded-wide", make_crowded, {.index = INDEX_HASH, .is_wide = true}},
    {"foreign", make_foreign, {.index = INDEX_TREE}},
    {"foreign-wide", make_foreign, {.index = INDEX_TREE, .is_wide = true}},
    {"layers-tree", make_layers, {.index = INDEX_TREE}},
    {"layers-tree-wide", make_layers, {.index = INDEX_TREE, .is_wide = true}},
    {"layers-hash", make_layers, {.index = INDEX_HASH}},
    {"layers-hash-wide", make_layers, {.index = INDEX_HASH, .is_wide = true}},
};

enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]) };

#endif
