/* Values that begin at multiples of more than 8, as share(align=) asks for. */
#include "core/snapshot/writer.h"

#include "core/check.h"
#include "core/snapshot/snapshot.h"
#include "core/snapshots.h"

enum { ALIGNED_COUNT = 600 };

/* All types in turn, keys and values of all lengths. */
static void
fill_lengths(struct entry *entries, unsigned char *text)
{
    static const enum value_type types[] = {VALUE_BYTES, VALUE_STR,
                                            VALUE_ENCODED};
    memset(text, 'x', 2 * ALIGNED_COUNT);
    for (size_t i = 0; i < ALIGNED_COUNT; i++) {
        entries[i] =
            (struct entry){{text, i}, {{text, i * 7 % 300}, types[i % 3]}};
    }
}

static void
test_values_are_aligned_as_the_options_say(void)
{
    static struct entry entries[ALIGNED_COUNT];
    static unsigned char text[2 * ALIGNED_COUNT];
    fill_lengths(entries, text);
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        for (unsigned alignment = 16; alignment <= 64; alignment *= 2) {
            struct snapshot_options options = flavours[i];
            options.value_alignment = (uint16_t)alignment;
            struct image image =
                image_of_entries(entries, ALIGNED_COUNT, &options);
            struct snapshot view;
            CHECK_EQUAL(image_header(&image)->value_alignment, alignment);
            CHECK_STATUS(snapshot_open(&view, image.bytes, image.size),
                         STATUS_OK);
            CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_OK);
            for (size_t at = 0; at < ALIGNED_COUNT; at++) {
                struct entry entry;
                CHECK_STATUS(snapshot_at(&view, at, &entry), STATUS_OK);
                CHECK(slice_equals(entry.key, entries[at].key));
                CHECK(
                    slice_equals(entry.value.bytes, entries[at].value.bytes));
                CHECK_EQUAL(entry.value.type, entries[at].value.type);
                size_t offset =
                    (size_t)(entry.value.bytes.bytes - image.bytes);
                CHECK(entry.value.type == VALUE_STR
                      || offset % alignment == 0);
            }
            image_destroy(&image);
        }
    }
}

static void
test_values_that_are_not_aligned_follow_each_other(void)
{
    static struct numbered numbered;
    struct entry *entries = fill_numbered(&numbered, 100);
    struct snapshot_options options = *TREE;
    options.value_alignment = 64;
    struct image plain = image_of_entries(entries, 100, TREE);
    struct image aligned = image_of_entries(entries, 100, &options);
    CHECK_EQUAL(aligned.size, plain.size);
    CHECK(memcmp(aligned.bytes + 512, plain.bytes + 512, plain.size - 512)
          == 0);
    image_destroy(&aligned);
    image_destroy(&plain);
}

static const struct test tests[] = {
    TEST(test_values_are_aligned_as_the_options_say),
    TEST(test_values_that_are_not_aligned_follow_each_other),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
