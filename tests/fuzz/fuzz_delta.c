/* tests/fuzz/fuzz_delta.c
 *
 * Bytes of the room behind a base, opened as a version and asked everything:
 * as they are, and with the magic and the checksums of its deltas made right.
 * The base is one of the samples, which fuzz_read damages.
 *
 *     input     | kind, 1 | head, 1 | room ...  |
 *     file      | base                | room ...  |
 *                 of that kind          head: leads there
 */
#include "core/versions.h"
#include "fuzz/fuzz.h"
#include "hostile/interrogate.h"

static const unsigned char magic[] = DELTA_MAGIC;

enum { KINDS = 4 };

static const struct snapshot_options kinds[KINDS] = {
    {.index = INDEX_TREE},
    {.index = INDEX_HASH},
    {.index = INDEX_TREE, .is_wide = true},
    {.index = INDEX_HASH, .is_wide = true},
};

/* The base of each kind is always the same. */
static const struct image *
base_of(unsigned kind)
{
    static struct image bases[KINDS];
    if (bases[kind].bytes == NULL) {
        struct image made = sample_image(&kinds[kind]);
        // In memory that is not counted, since it stays.
        bases[kind] = (struct image){malloc(made.size), made.size};
        CHECK(bases[kind].bytes != NULL);
        memcpy(bases[kind].bytes, made.bytes, made.size);
        image_destroy(&made);
    }
    return &bases[kind];
}

static void
read_version(const struct image *file, uint32_t head)
{
    struct version version;
    enum status verdict;
    if (version_open(&version, file->bytes, file->size, head) == STATUS_OK) {
        // Writing what an update would make of it takes long.
        bool is_written = version.generation % 16 == 0;
        interrogate(&version, &verdict, is_written);
    }
}

/* Returns what lies beneath the delta that the head leads to, or 0. */
static uint32_t
forge_delta(const struct image *file, size_t room, uint32_t head)
{
    struct delta_header header;
    size_t begin = room + delta_begin(head);
    if (head == 0 || begin > file->size || file->size - begin < sizeof(header))
    {
        return 0;
    }
    memcpy(file->bytes + begin, magic, sizeof(magic));
    delta_reseal(file, begin);
    memcpy(&header, file->bytes + begin, sizeof(header));
    return header.beneath;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct slice input = {bytes, size};
    const struct image *base = base_of(take_byte(&input) % KINDS);
    uint32_t head = delta_head(take_byte(&input) * SNAPSHOT_ALIGNMENT);
    struct image file = image_create(base->size + input.size);
    memcpy(file.bytes, base->bytes, base->size);
    slice_copy(file.bytes + base->size, input);
    image_header(&file)->limit = round_up(file.size);
    snapshot_header_seal(image_header(&file));
    read_version(&file, head);

    // The old one first: the checksum of the young one is of what it lies in.
    uint32_t beneath = forge_delta(&file, base->size, head);
    forge_delta(&file, base->size, beneath);
    forge_delta(&file, base->size, head);
    read_version(&file, head);
    image_destroy(&file);
    CHECK_EQUAL(memory_outstanding(), 0);
    return 0;
}
