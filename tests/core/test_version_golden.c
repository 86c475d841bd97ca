/* tests/core/test_version_golden.c
 *
 * A base with two deltas, byte for byte as it was written when the format got
 * them. To write it again, after a change of the format:
 *
 *     test_version_golden --write-golden
 */
#include "core/check.h"
#include "core/snapshot/version_update.h"
#include "core/snapshots.h"
#include "core/views.h"

enum { BASE_COUNT = 64, ROOM = 1024 };

static const char *const GOLDEN = "v1-deltas.snapshot";

/* Keys "00" to "63", whose values are these numbers. */
static struct image
golden_base(void)
{
    static char keys[BASE_COUNT][3];
    static unsigned char numbers[BASE_COUNT];
    struct entry entries[BASE_COUNT];
    struct snapshot_options options = {.label = SLICE("example"),
                                       .index = INDEX_HASH};
    struct snapshot_plan plan;
    for (int i = 0; i < BASE_COUNT; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%c%c", '0' + i / 10, '0' + i % 10);
        numbers[i] = (unsigned char)i;
        entries[i] = (struct entry){{(unsigned char *)keys[i], 2},
                                    {{&numbers[i], 1}, VALUE_INT}};
    }
    CHECK_STATUS(snapshot_plan(&plan, entries, BASE_COUNT, &options),
                 STATUS_OK);
    plan.header.generation = 1;
    plan.header.published_at = UINT64_C(1000000000);
    plan.header.limit = plan.header.total_size + ROOM;
    memset(plan.header.unique_id, 0xA0, sizeof(plan.header.unique_id));
    return image_of_plan(&plan);
}

/* The file with what an update appends to it, `number` versions later. */
static void
append(struct image *file, const struct changes *changes, uint64_t number)
{
    struct version version;
    struct version_update update;
    struct version_identity identity = {
        .generation = 1 + number,
        .published_at = (1 + number) * UINT64_C(1000000000),
    };
    memset(identity.unique_id, (int)(0xA0 + number),
           sizeof(identity.unique_id));
    CHECK_STATUS(version_open_newest(&version, file->bytes, file->size),
                 STATUS_OK);
    CHECK_STATUS(version_update_prepare(&update, &version, changes, &identity,
                                        COPY_IF_IT_PAYS, NULL),
                 STATUS_OK);
    CHECK_EQUAL(update.step, STEP_APPEND);
    struct image grown = image_create(file->size + update.size);
    memcpy(grown.bytes, file->bytes, file->size);
    memcpy(grown.bytes + file->size, update.bytes, update.size);
    image_header(&grown)->head = update.head;
    version_update_release(&update);
    image_destroy(file);
    *file = grown;
}

/* The example of docs/FORMAT.md. */
static struct image
golden_image(void)
{
    const struct entry old[] = {
        {SLICE("-"), {SLICE("added"), VALUE_STR}},
        {SLICE("05"), {SLICE("five"), VALUE_STR}},
        {SLICE("05x"), {SLICE(""), VALUE_NONE}},
        {SLICE("30"), {SLICE("\x00\xFF\x80"), VALUE_BYTES}},
        {SLICE("64"), {SLICE("\x40"), VALUE_INT}},
    };
    const struct entry removed[] = {{.key = SLICE("10")},
                                    {.key = SLICE("20")}};
    const struct entry young[] = {{SLICE("10"), {SLICE("\x01"), VALUE_BOOL}}};
    const struct changes first = {old, 5, removed, 2};
    const struct changes second = {young, 1, NULL, 0};
    struct image file = golden_base();
    append(&file, &first, 1);
    append(&file, &second, 2);
    return file;
}

static void
test_golden_file_is_what_updates_write(void)
{
    unsigned char golden[4096];
    struct image image = golden_image();
    FILE *file = open_golden(GOLDEN, "rb");
    CHECK(file != NULL);
    size_t size = fread(golden, 1, sizeof(golden), file);
    fclose(file);
    CHECK_EQUAL(image.size, size);
    for (size_t at = 0; at < size; at++) {
        if (image.bytes[at] != golden[at]) {
            printf("      at offset %zu\n", at);
        }
        CHECK_EQUAL(image.bytes[at], golden[at]);
    }
    image_destroy(&image);
}

static void
test_golden_file_has_an_old_and_a_young_delta(void)
{
    struct image image = golden_image();
    struct version version;
    CHECK_STATUS(version_open_newest(&version, image.bytes, image.size),
                 STATUS_OK);
    CHECK_EQUAL(version.delta_count, 2);
    CHECK_EQUAL(version.entry_count, BASE_COUNT + 2);
    CHECK_EQUAL(version.generation, 3);
    CHECK_EQUAL(version_size(&version), image.size);
    CHECK_STATUS(version_verify(&version, NULL), STATUS_OK);
    image_destroy(&image);
}

static int
write_golden(void)
{
    struct image image = golden_image();
    FILE *file = open_golden(GOLDEN, "wb");
    bool is_written =
        file != NULL && fwrite(image.bytes, 1, image.size, file) == image.size;
    is_written = file != NULL && fclose(file) == 0 && is_written;
    image_destroy(&image);
    return is_written ? EXIT_SUCCESS : EXIT_FAILURE;
}

static const struct test tests[] = {
    TEST(test_golden_file_is_what_updates_write),
    TEST(test_golden_file_has_an_old_and_a_young_delta),
};

int
main(int count, char **words)
{
    if (count == 2 && strcmp(words[1], "--write-golden") == 0) {
        return write_golden();
    }
    return RUN_TESTS(tests, count, words);
}
