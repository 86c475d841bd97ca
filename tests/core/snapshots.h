/* tests/core/snapshots.h
 *
 * Snapshots for tests: written by the writer, put together by hand, damaged
 * and sealed again. A struct image owns its bytes, in a piece of memory that
 * is exactly as large: the address sanitizer sees whoever reads beside it.
 */
#ifndef SHAREDMAP_TESTS_CORE_SNAPSHOTS_H
#define SHAREDMAP_TESTS_CORE_SNAPSHOTS_H

#include "core/base/entry.h"
#include "core/base/hash.h"
#include "core/base/memory.h"
#include "core/base/sort.h"
#include "core/check.h"
#include "core/snapshot/format.h"
#include "core/snapshot/header.h"
#include "core/snapshot/writer.h"

#define SLICE(literal) \
    ((struct slice){(const unsigned char *)(literal), sizeof(literal) - 1})

struct image {
    unsigned char *bytes;  // owned
    size_t size;
};

static inline struct image
image_create(size_t size)
{
    struct image image = {malloc(size > 0 ? size : 1), size};
    CHECK(image.bytes != NULL);
    memset(image.bytes, 0, size);
    return image;
}

static inline struct image
image_copy(const void *bytes, size_t size)
{
    struct image image = image_create(size);
    slice_copy(image.bytes, (struct slice){bytes, size});
    return image;
}

static inline void
image_destroy(struct image *image)
{
    free(image->bytes);
    *image = (struct image){NULL, 0};
}

static inline struct snapshot_header *
image_header(const struct image *image)
{
    return (struct snapshot_header *)image->bytes;
}

/* ---- written by the writer ---------------------------------------------- */

/* Every kind of snapshot that the writer makes of the same entries. */
static const struct snapshot_options flavours[] = {
    {.index = INDEX_TREE},
    {.index = INDEX_TREE, .is_wide = true},
    {.index = INDEX_HASH},
    {.index = INDEX_HASH, .is_wide = true},
};

enum { FLAVOUR_COUNT = sizeof(flavours) / sizeof(flavours[0]) };

#define TREE (&flavours[0])
#define HASH (&flavours[2])

/* Of the first kind, with a label. */
static inline struct snapshot_options
labelled(struct slice label)
{
    return (struct snapshot_options){.index = INDEX_TREE, .label = label};
}

/* Where a writer's pieces go, and whether they come as promised. */
struct collector {
    struct image image;
    uint64_t next_offset;
    bool has_header;
};

static inline enum status
collect(void *context, uint64_t offset, const void *bytes, size_t size)
{
    struct collector *collector = context;
    CHECK(!collector->has_header);
    if (offset == 0) {
        CHECK_EQUAL(size, SNAPSHOT_HEADER_SIZE);
        CHECK_EQUAL(collector->next_offset, collector->image.size);
        collector->has_header = true;
    }
    else {
        CHECK_EQUAL(offset, collector->next_offset);
        CHECK(size > 0 && size <= collector->image.size - offset);
        collector->next_offset += size;
    }
    memcpy(collector->image.bytes + offset, bytes, size);
    return STATUS_OK;
}

static inline struct image
image_of_plan(struct snapshot_plan *plan)
{
    struct collector collector = {
        .image = image_create(plan->header.total_size),
        .next_offset = SNAPSHOT_HEADER_SIZE,
    };
    // A byte that the writer forgets must not be zero by chance.
    memset(collector.image.bytes, 0xEE, collector.image.size);
    struct snapshot_sink sink = {collect, &collector, NULL};
    CHECK_STATUS(snapshot_write(plan, &sink), STATUS_OK);
    CHECK(collector.has_header);
    return collector.image;
}

static inline struct image
image_of_entries(const struct entry *entries, size_t entry_count,
                 const struct snapshot_options *options)
{
    struct snapshot_plan plan;
    CHECK_STATUS(snapshot_plan(&plan, entries, entry_count, options),
                 STATUS_OK);
    return image_of_plan(&plan);
}

/* ---- put together by hand ----------------------------------------------- */

static inline uint64_t
content_checksum(const struct image *image)
{
    uint64_t checksum = 0;
    uint64_t total_size = image_header(image)->total_size;
    // Behind it there are deltas, which have checksums of their own.
    size_t end = total_size < image->size ? (size_t)total_size : image->size;
    for (size_t at = SNAPSHOT_HEADER_SIZE; at < end; at += 65536) {
        size_t left = end - at;
        checksum = hash_bytes(image->bytes + at, left < 65536 ? left : 65536,
                              checksum);
    }
    return checksum;
}

/* Makes both checksums right again, whatever was done to the bytes. */
static inline void
image_reseal(struct image *image)
{
    image_header(image)->content_checksum = content_checksum(image);
    snapshot_header_seal(image_header(image));
}

static inline size_t
round_up(size_t size)
{
    return (size + 63) / 64 * 64;
}

/* Any records under any references. The index comes before the records, which
 * is not what the writer does: a reader must not mind. */
static inline struct image
image_by_hand(struct slice records, const uint64_t *references,
              size_t entry_count, uint8_t reference_size,
              uint8_t reference_shift)
{
    size_t index_size = entry_count * reference_size;
    size_t records_offset = round_up(SNAPSHOT_HEADER_SIZE + index_size);
    struct image image = image_create(round_up(records_offset + records.size));
    *image_header(&image) = (struct snapshot_header){
        .magic = SNAPSHOT_MAGIC,
        .version = SNAPSHOT_VERSION,
        .header_size = SNAPSHOT_HEADER_SIZE,
        .kind = SNAPSHOT_KIND_SORTED_MAP,
        .total_size = image.size,
        .entry_count = entry_count,
        .reference_size = reference_size,
        .reference_shift = reference_shift,
        .sorted_index = {SNAPSHOT_HEADER_SIZE, index_size},
        .records = {records_offset, records.size},
    };
    for (size_t i = 0; i < entry_count; i++) {
        memcpy(image.bytes + SNAPSHOT_HEADER_SIZE + i * reference_size,
               &references[i], reference_size);
    }
    slice_copy(image.bytes + records_offset, records);
    image_reseal(&image);
    return image;
}

/* ---- entries ------------------------------------------------------------ */

/* One of each type in a row of their keys, and the empty key. */
enum { SAMPLE_COUNT = 8 };

static inline void
fill_samples(struct entry entries[SAMPLE_COUNT])
{
    const struct entry samples[SAMPLE_COUNT] = {
        {SLICE(""), {SLICE("the empty key"), VALUE_STR}},
        {SLICE("aaa"), {SLICE("323"), VALUE_STR}},
        {SLICE("bytes"), {SLICE("\x00\xFF\x80"), VALUE_BYTES}},
        {SLICE("encoded"), {SLICE("[1, 2]"), VALUE_ENCODED}},
        {SLICE("float"), {SLICE("\0\0\0\0\0\0\xF8\x3F"), VALUE_FLOAT}},
        {SLICE("int"), {SLICE("\x00\x01"), VALUE_INT}},
        {SLICE("none"), {SLICE(""), VALUE_NONE}},
        {SLICE("\xE7\xBA\xA2"), {SLICE("\x01"), VALUE_BOOL}},
    };
    memcpy(entries, samples, sizeof(samples));
}

/* Containers, which follow the samples: a dict with all in it that a container
 * can have, a list, and the empty ones. */
enum { CONTAINER_COUNT = 5 };

static inline void
fill_containers(struct entry entries[CONTAINER_COUNT])
{
    const struct entry containers[CONTAINER_COUNT] = {
        {SLICE("\xF0\x9F\x98\x80"
               "dict"),
         {SLICE("\x84\xA4port\xCD\x1F\x90\xA5hosts\x92\xA1"
                "a\xA1"
                "b\xA4rate\xCB\x3F\xF8\x00\x00\x00\x00\x00\x00\xA3top\xC0"),
          VALUE_CONTAINER}},
        {SLICE("\xF0\x9F\x98\x80"
               "empty dict"),
         {SLICE("\x80"), VALUE_CONTAINER}},
        {SLICE("\xF0\x9F\x98\x80"
               "empty list"),
         {SLICE("\x90"), VALUE_CONTAINER}},
        {SLICE("\xF0\x9F\x98\x80"
               "list"),
         {SLICE("\x94\xC3\xC4\x02\xFF\x00\xC7\x09\x01\x00\x00\x00\x00\x00\x00"
                "\x00\x00\x01\x91\xFF"),
          VALUE_CONTAINER}},
        {SLICE("\xF0\x9F\x98\x80"
               "tuple"),
         {SLICE("\x93\xD4\x02\x00\x01\x91\xD4\x02\x00"), VALUE_CONTAINER}},
    };
    memcpy(entries, containers, sizeof(containers));
}

/* sort_entries() for an array that is not from memory_allocate(). */
static inline enum status
sort_array(struct entry *entries, size_t *count)
{
    struct entry *sorted = memory_allocate_array(*count, sizeof(*sorted));
    CHECK(sorted != NULL);
    memcpy(sorted, entries, *count * sizeof(*entries));
    enum status status = sort_entries(&sorted, count, NULL);
    memcpy(entries, sorted, *count * sizeof(*entries));
    memory_release(sorted);
    return status;
}

/* Keys "0000", "0010", "0020", ... with room between them. */
struct numbered {
    char keys[10000][8];
    struct entry entries[10000];
};

static inline struct entry *
fill_numbered(struct numbered *numbered, size_t count)
{
    CHECK(count <= 10000);
    for (size_t i = 0; i < count; i++) {
        snprintf(numbered->keys[i], sizeof(numbered->keys[i]), "%04zu0", i);
        struct slice key = {(unsigned char *)numbered->keys[i], 5};
        numbered->entries[i] = (struct entry){key, {key, VALUE_STR}};
    }
    return numbered->entries;
}

/* ---- golden files ------------------------------------------------------- */

/* Beside this folder, wherever the test runs. */
static inline FILE *
open_golden(const char *name, const char *mode)
{
    char path[4096];
    const char *slash = strrchr(__FILE__, '/');
    int folder_size = slash == NULL ? 0 : (int)(slash + 1 - __FILE__);
    snprintf(path, sizeof(path), "%.*s../golden/%s", folder_size, __FILE__,
             name);
    FILE *file = fopen(path, mode);
    if (file == NULL) {
        perror(path);
    }
    return file;
}

#endif
