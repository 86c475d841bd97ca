/* tests/core/versions.h
 *
 * Versions for tests: a base with room behind it, and deltas that are written
 * there whether they would pay or not. A struct layers owns its bytes.
 *
 *     layers_begin      | base |          room            |
 *     layers_append     | base | old | young |            |
 *     layers_cut        | base | old | young |
 *
 * The last is a piece of memory that is exactly as large: the address sanitizer
 * sees whoever reads beside it.
 */
#ifndef SHAREDMAP_TESTS_CORE_VERSIONS_H
#define SHAREDMAP_TESTS_CORE_VERSIONS_H

#include "core/check.h"
#include "core/snapshot/delta_writer.h"
#include "core/snapshot/version.h"
#include "core/snapshot/version_update.h"
#include "core/snapshots.h"
#include "core/views.h"

struct layers {
    struct image file;
    uint32_t head;
    uint64_t generation;
};

static inline void
layers_begin(struct layers *layers, const struct entry *entries, size_t count,
             const struct snapshot_options *options, size_t room)
{
    struct image image = image_of_entries(entries, count, options);
    image_header(&image)->limit = image.size + room;
    image_header(&image)->generation = layers->generation;
    snapshot_header_seal(image_header(&image));
    image_destroy(&layers->file);
    layers->file = image_create(image.size + room);
    memcpy(layers->file.bytes, image.bytes, image.size);
    // Nothing may be read behind the newest delta.
    memset(layers->file.bytes + image.size, 0xEE, room);
    layers->head = 0;
    image_destroy(&image);
}

static inline void
layers_destroy(struct layers *layers)
{
    image_destroy(&layers->file);
}

static inline struct version
layers_version(const struct layers *layers)
{
    struct version version;
    CHECK_STATUS(version_open(&version, layers->file.bytes, layers->file.size,
                              layers->head),
                 STATUS_OK);
    return version;
}

/* The bytes of the room from there on. */
static inline unsigned char *
layers_room(const struct layers *layers, uint64_t begin)
{
    return layers->file.bytes + image_header(&layers->file)->total_size
           + begin;
}

static inline struct delta_header *
layers_delta(const struct layers *layers, uint32_t head)
{
    return (struct delta_header *)layers_room(layers, delta_begin(head));
}

/* Makes the checksum of a header right again. Its contents' one is left, so
 * that its size can be any. */
static inline void
delta_seal_header(struct delta_header *header)
{
    header->header_checksum = 0;
    header->header_checksum = hash_bytes(header, sizeof(*header), 0);
}

/* Makes the checksums of the delta that begins there in the file right, as far
 * as its header says how large it is. */
static inline void
delta_reseal(const struct image *file, size_t begin)
{
    struct delta_header header;
    if (file->size < sizeof(header) || begin > file->size - sizeof(header)) {
        return;
    }
    memcpy(&header, file->bytes + begin, sizeof(header));
    if (header.size >= sizeof(header) && header.size <= file->size - begin) {
        delta_seal(file->bytes + begin);
    }
    else {
        delta_seal_header(&header);
        memcpy(file->bytes + begin, &header, sizeof(header));
    }
}

enum layer { YOUNG, OLD };

/* Writes the changes as a young delta, over the old one if there is one; or
 * folds all there is into a new old one. */
static inline void
layers_append(struct layers *layers, const struct changes *changes,
              enum layer layer)
{
    struct version version = layers_version(layers);
    const struct delta *top = version_top(&version);
    bool is_young = layer == YOUNG && version.delta_count > 0;
    size_t most = changes->put_count + changes->removal_count;
    for (unsigned i = 0; i < version.delta_count; i++) {
        most += version.deltas[i].view.entry_count;
    }
    struct delta_entry *young = malloc((most + 1) * sizeof(*young));
    struct delta_entry *folded = malloc((most + 1) * sizeof(*folded));
    size_t count;
    bool is_changed;
    CHECK(young != NULL && folded != NULL);
    CHECK_STATUS(delta_merge_changes(&version, changes, young, &count,
                                     &is_changed, NULL),
                 STATUS_OK);
    if (!is_young) {
        CHECK_STATUS(delta_fold(&version, young, count, folded, &count, NULL),
                     STATUS_OK);
    }
    struct delta_plan plan;
    CHECK_STATUS(delta_plan(&plan, &version.base,
                            is_young ? version.deltas[0].header.length
                                     : version.base.entry_count,
                            top != NULL ? top->end : 0,
                            is_young ? young : folded, count),
                 STATUS_OK);
    layers->generation += 1;
    plan.header.generation = layers->generation;
    plan.header.beneath = is_young ? delta_head(version.deltas[0].begin) : 0;
    // Exactly as large, for the sanitizer; it goes over bytes of the base, so
    // a byte that the writer forgets is not zero by chance.
    struct image delta = image_create(plan.header.size);
    memset(delta.bytes, 0xEE, delta.size);
    CHECK_STATUS(delta_write(&plan, delta.bytes), STATUS_OK);
    CHECK(version_size(&version) + delta.size <= layers->file.size);
    memcpy(layers_room(layers, plan.begin), delta.bytes, delta.size);
    layers->head = delta_head(plan.begin);
    image_destroy(&delta);
    free(young);
    free(folded);
    version = layers_version(layers);
    CHECK_EQUAL(version.delta_count, is_young ? 2 : 1);
}

/* The file ends where the newest delta does, and its limit is there. */
static inline void
layers_cut(struct layers *layers)
{
    struct version version = layers_version(layers);
    struct image cut = image_copy(layers->file.bytes, version_size(&version));
    image_header(&cut)->limit = cut.size;
    image_header(&cut)->head = layers->head;
    snapshot_header_seal(image_header(&cut));
    image_destroy(&layers->file);
    layers->file = cut;
}

/* The samples, with an old and a young delta, of which each puts, replaces and
 * removes; and the young one puts back and removes what the old one did. */
static inline struct layers
sample_layers(const struct snapshot_options *options)
{
    static const struct entry old_puts[] = {
        {SLICE("aaa"), {SLICE("new"), VALUE_BYTES}},
        {SLICE("between"), {SLICE("old"), VALUE_STR}},
        {SLICE("c"), {SLICE(""), VALUE_NONE}},
    };
    static const struct entry old_removals[] = {{.key = SLICE("int")}};
    static const struct entry young_puts[] = {
        {SLICE("between"), {SLICE("young"), VALUE_ENCODED}},
        {SLICE("int"), {SLICE("\x02"), VALUE_INT}},
        {SLICE("zzz"), {SLICE("\x01"), VALUE_BOOL}},
    };
    static const struct entry young_removals[] = {{.key = SLICE("bytes")},
                                                  {.key = SLICE("c")}};
    static const struct changes old = {old_puts, 3, old_removals, 1};
    static const struct changes young = {young_puts, 3, young_removals, 2};
    struct entry samples[SAMPLE_COUNT];
    struct layers layers = {.generation = 1};
    fill_samples(samples);
    layers_begin(&layers, samples, SAMPLE_COUNT, options, 4096);
    layers_append(&layers, &old, OLD);
    layers_append(&layers, &young, YOUNG);
    layers_cut(&layers);
    return layers;
}

#endif
