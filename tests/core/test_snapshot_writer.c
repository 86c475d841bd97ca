/* tests/core/test_snapshot_writer.c
 *
 * The writer's bytes, compared with bytes that this file puts together from
 * the words of docs/FORMAT.md, and with a snapshot that was written when the
 * format was new. To write that one again, after a change of the format:
 *
 *     test_snapshot_writer --write-golden
 */
#include "core/snapshot_writer.h"

#include "core/check.h"
#include "core/memory.h"
#include "core/snapshots.h"

/* ---- layout ------------------------------------------------------------- */

static void
check_layout(const struct image *image, size_t entry_count,
             size_t reference_size)
{
    const struct snapshot_header *header = image_header(image);
    size_t index_end = 512 + entry_count * reference_size;
    CHECK(memcmp(header->magic, "\x89SMAP\r\n\x1a", 8) == 0);
    CHECK_EQUAL(header->version, 1);
    CHECK_EQUAL(header->header_size, 512);
    CHECK_EQUAL(header->kind, 1);
    CHECK_EQUAL(header->flags, 0);
    CHECK_EQUAL(header->total_size, image->size);
    CHECK_EQUAL(header->entry_count, entry_count);
    CHECK_EQUAL(header->reference_size, reference_size);
    CHECK_EQUAL(header->reference_shift, 0);
    CHECK_EQUAL(header->reserved_0, 0);
    CHECK_EQUAL(header->content_checksum, content_checksum(image));
    CHECK_EQUAL(header->sorted_index.offset, 512);
    CHECK_EQUAL(header->sorted_index.size, entry_count * reference_size);
    CHECK_EQUAL(header->hash_index.offset, 0);
    CHECK_EQUAL(header->hash_index.size, 0);
    CHECK_EQUAL(header->order_index.offset, 0);
    CHECK_EQUAL(header->order_index.size, 0);
    CHECK_EQUAL(header->records.offset, round_up(index_end));
    CHECK_EQUAL(image->size,
                round_up(header->records.offset + header->records.size));
    CHECK_EQUAL(header->generation, 0);
    CHECK_EQUAL(header->superseded, 0);
    CHECK_STATUS(snapshot_header_check(header, image->size), STATUS_OK);
    for (size_t at = index_end; at < header->records.offset; at++) {
        CHECK_EQUAL(image->bytes[at], 0);
    }
    for (size_t at = header->records.offset + header->records.size;
         at < image->size; at++)
    {
        CHECK_EQUAL(image->bytes[at], 0);
    }
}

static void
test_regions_lie_where_the_format_says(void)
{
    static struct numbered numbered;
    for (size_t count = 0; count <= 100; count++) {
        for (int wide = 0; wide < 2; wide++) {
            struct image image = image_of_entries(
                fill_numbered(&numbered, count), count, SLICE(""), wide);
            check_layout(&image, count, wide ? 8 : 4);
            image_destroy(&image);
        }
    }
}

static void
test_empty_map_is_a_header_and_nothing_else(void)
{
    struct image image = image_of_entries(NULL, 0, SLICE("label"), false);
    CHECK_EQUAL(image.size, 512);
    check_layout(&image, 0, 4);
    image_destroy(&image);
}

/* ---- records ------------------------------------------------------------ */

static const size_t value_sizes[] = {0,   1,    7,     8,     9,     58,
                                     59,  60,   61,    254,   255,   256,
                                     257, 1000, 65534, 65535, 65536, 65537};
static const size_t key_sizes[] = {0,   1,   2,   3,     4,    5,   6,
                                   7,   8,   122, 123,   124,  125, 254,
                                   255, 256, 257, 65535, 65536};

enum {
    VALUE_SIZE_COUNT = sizeof(value_sizes) / sizeof(value_sizes[0]),
    KEY_SIZE_COUNT = sizeof(key_sizes) / sizeof(key_sizes[0]),
    LARGEST_SIZE = 65537,
    LARGEST_RECORD = 2 * LARGEST_SIZE + 32,
};

/* Appends a size that its code cannot hold, and answers with the code. */
static unsigned
append_size(unsigned char *record, size_t *size, size_t number,
            unsigned direct_limit)
{
    static const size_t largest[] = {0xFF, 0xFFFF, 0xFFFFFFFF};
    if (number < direct_limit) {
        return (unsigned)number;
    }
    unsigned width_code = 0;
    while (width_code < 3 && number > largest[width_code]) {
        width_code += 1;
    }
    for (unsigned i = 0; i < 1U << width_code; i++) {
        record[(*size)++] = (unsigned char)(number >> 8 * i);
    }
    return direct_limit + width_code;
}

/* The record of one entry at the beginning of the records. */
static size_t
expected_record(unsigned char *record, const struct entry *entry)
{
    size_t size = 2;
    unsigned key_code = append_size(record, &size, entry->key.size, 124);
    unsigned value_code =
        append_size(record, &size, entry->value.bytes.size, 60);
    unsigned head = key_code << 9 | value_code << 3 | entry->value.type;
    record[0] = (unsigned char)head;
    record[1] = (unsigned char)(head >> 8);
    slice_copy(record + size, entry->key);
    size += entry->key.size;
    if (entry->value.type == VALUE_BYTES || entry->value.type == VALUE_ENCODED)
    {
        while (size % 8 != 0) {
            record[size++] = 0;
        }
    }
    slice_copy(record + size, entry->value.bytes);
    return size + entry->value.bytes.size;
}

static void
test_records_are_laid_out_as_the_format_says_at_all_boundaries(void)
{
    static unsigned char key[LARGEST_SIZE], value[LARGEST_SIZE];
    static unsigned char expected[LARGEST_RECORD];
    memset(key, 'k', sizeof(key));
    memset(value, 'v', sizeof(value));
    for (int type = 0; type < VALUE_TYPE_COUNT; type++) {
        for (int i = 0; i < KEY_SIZE_COUNT; i++) {
            for (int j = 0; j < VALUE_SIZE_COUNT; j++) {
                struct entry entry = {
                    {key, key_sizes[i]},
                    {{value, value_sizes[j]}, (enum value_type)type}};
                size_t size = expected_record(expected, &entry);
                struct image image =
                    image_of_entries(&entry, 1, SLICE(""), false);
                const struct snapshot_header *header = image_header(&image);
                CHECK_EQUAL(header->records.size, size);
                CHECK(memcmp(image.bytes + header->records.offset, expected,
                             size)
                      == 0);
                image_destroy(&image);
            }
        }
    }
}

static void
test_records_follow_each_other_and_values_are_aligned(void)
{
    static char keys[300][8];
    struct entry entries[300];
    // Every distance of a key's end from a multiple of 8, in all types.
    for (size_t i = 0; i < 300; i++) {
        int size = snprintf(keys[i], sizeof(keys[i]), "%03zu%.*s", i,
                            (int)(i % 5), "abcd");
        entries[i] =
            (struct entry){{(unsigned char *)keys[i], (size_t)size},
                           {{(const unsigned char *)"abcdefghijkl", i % 13},
                            (enum value_type)(i % VALUE_TYPE_COUNT)}};
    }
    for (int wide = 0; wide < 2; wide++) {
        struct image image = image_of_entries(entries, 300, SLICE(""), wide);
        check_layout(&image, 300, wide ? 8 : 4);
        const struct snapshot_header *header = image_header(&image);
        const unsigned char *records = image.bytes + header->records.offset;
        size_t at = 0;
        for (size_t i = 0; i < 300; i++) {
            uint64_t reference = 0;
            memcpy(&reference, image.bytes + 512 + i * header->reference_size,
                   header->reference_size);
            CHECK_EQUAL(reference, at);
            CHECK_EQUAL(records[at] & 7, entries[i].value.type);
            const unsigned char *value =
                records + at + 2 + entries[i].key.size;
            CHECK(memcmp(records + at + 2, entries[i].key.bytes,
                         entries[i].key.size)
                  == 0);
            if (entries[i].value.type == VALUE_BYTES
                || entries[i].value.type == VALUE_ENCODED)
            {
                while ((value - image.bytes) % 8 != 0) {
                    CHECK_EQUAL(*value++, 0);
                }
            }
            CHECK(memcmp(value, "abcdefghijkl", i % 13) == 0);
            at = (size_t)(value - records) + i % 13;
        }
        CHECK_EQUAL(at, header->records.size);
        image_destroy(&image);
    }
}

/* ---- sizes that no test can write --------------------------------------- */

/* The plan reads no byte, so entries may claim any size. */
static struct entry
claimed_entry(size_t value_size)
{
    return (struct entry){
        SLICE("key"), {{(const unsigned char *)"", value_size}, VALUE_STR}};
}

static void
test_plan_widens_references_beyond_four_gigabytes(void)
{
    struct snapshot_plan plan;
    // Head 2, size 4, key 3: the records end exactly at 2^32 - 1.
    struct entry entry = claimed_entry(UINT32_MAX - 9);
    CHECK_STATUS(snapshot_plan(&plan, &entry, 1, SLICE(""), false), STATUS_OK);
    CHECK_EQUAL(plan.header.records.size, UINT32_MAX);
    CHECK_EQUAL(plan.header.reference_size, 4);

    entry = claimed_entry(UINT32_MAX - 8);
    CHECK_STATUS(snapshot_plan(&plan, &entry, 1, SLICE(""), false), STATUS_OK);
    CHECK_EQUAL(plan.header.records.size, UINT64_C(1) << 32);
    CHECK_EQUAL(plan.header.reference_size, 8);
    CHECK_EQUAL(plan.header.sorted_index.size, 8);

    // A value of 4 GiB needs its size in eight bytes.
    entry = claimed_entry((size_t)1 << 32);
    CHECK_STATUS(snapshot_plan(&plan, &entry, 1, SLICE(""), false), STATUS_OK);
    CHECK_EQUAL(plan.header.records.size, (UINT64_C(1) << 32) + 2 + 8 + 3);
}

static void
test_plan_refuses_sizes_that_are_out_of_this_world(void)
{
    struct snapshot_plan plan;
    struct entry entries[4] = {
        claimed_entry((size_t)1 << 60), claimed_entry((size_t)1 << 61),
        claimed_entry((size_t)1 << 61), claimed_entry((size_t)1 << 62)};
    CHECK_STATUS(snapshot_plan(&plan, entries, 2, SLICE(""), false),
                 STATUS_OK);
    CHECK_STATUS(snapshot_plan(&plan, entries, 3, SLICE(""), false),
                 STATUS_TOO_LARGE);
    CHECK_STATUS(snapshot_plan(&plan, entries + 3, 1, SLICE(""), false),
                 STATUS_TOO_LARGE);
}

/* ---- label -------------------------------------------------------------- */

static void
test_label_may_have_256_bytes_and_no_more(void)
{
    unsigned char text[257];
    struct snapshot_plan plan;
    memset(text, 'x', sizeof(text));
    for (size_t size = 0; size <= 256; size++) {
        struct slice label = {text, size};
        struct image image = image_of_entries(NULL, 0, label, false);
        CHECK_EQUAL(image_header(&image)->label_size, size);
        CHECK(memcmp(image.bytes + 256, text, size) == 0);
        for (size_t at = 256 + size; at < 512; at++) {
            CHECK_EQUAL(image.bytes[at], 0);
        }
        image_destroy(&image);
    }
    CHECK_STATUS(
        snapshot_plan(&plan, NULL, 0, (struct slice){text, 257}, false),
        STATUS_LABEL_TOO_LONG);
    CHECK_STATUS(snapshot_plan(&plan, NULL, 0, (struct slice){NULL, 0}, false),
                 STATUS_OK);
}

/* ---- output ------------------------------------------------------------- */

/* Some four megabytes, so that the writer's buffer fills several times. */
enum { BIG_COUNT = 60, BIG_VALUE = 70001 };

static struct entry *
big_entries(void)
{
    static unsigned char value[BIG_VALUE + BIG_COUNT];
    static char keys[BIG_COUNT][4];
    static struct entry entries[BIG_COUNT];
    uint64_t random = 1;
    for (size_t i = 0; i < sizeof(value); i++) {
        value[i] = (unsigned char)next_random(&random);
    }
    for (size_t i = 0; i < BIG_COUNT; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%03zu", i);
        entries[i] = (struct entry){{(unsigned char *)keys[i], 3},
                                    {{value + i, BIG_VALUE}, VALUE_BYTES}};
    }
    return entries;
}

static void
test_large_snapshots_are_written_whole(void)
{
    struct image image =
        image_of_entries(big_entries(), BIG_COUNT, SLICE(""), false);
    check_layout(&image, BIG_COUNT, 4);
    const struct entry *entries = big_entries();
    for (size_t i = 0; i < BIG_COUNT; i++) {
        uint32_t reference;
        memcpy(&reference, image.bytes + 512 + 4 * i, 4);
        const unsigned char *record =
            image.bytes + image_header(&image)->records.offset + reference;
        size_t head = (size_t)(record - image.bytes) + 2 + 4 + 3;
        CHECK(memcmp(image.bytes + (head + 7) / 8 * 8,
                     entries[i].value.bytes.bytes, BIG_VALUE)
              == 0);
    }
    image_destroy(&image);
}

static void
test_same_entries_give_the_same_bytes(void)
{
    struct entry entries[SAMPLE_COUNT];
    fill_samples(entries);
    struct image first =
        image_of_entries(entries, SAMPLE_COUNT, SLICE("label"), false);

    // The same bytes elsewhere in memory.
    struct image copies[2 * SAMPLE_COUNT];
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct slice *slices[] = {&entries[i].key, &entries[i].value.bytes};
        for (size_t j = 0; j < 2; j++) {
            copies[2 * i + j] = image_copy(slices[j]->bytes, slices[j]->size);
            slices[j]->bytes = copies[2 * i + j].bytes;
        }
    }
    struct image second =
        image_of_entries(entries, SAMPLE_COUNT, SLICE("label"), false);
    CHECK_EQUAL(first.size, second.size);
    CHECK(memcmp(first.bytes, second.bytes, first.size) == 0);
    for (size_t i = 0; i < 2 * SAMPLE_COUNT; i++) {
        image_destroy(&copies[i]);
    }
    image_destroy(&first);
    image_destroy(&second);
}

static void
test_plan_may_be_written_more_than_once(void)
{
    struct snapshot_plan plan;
    struct entry entries[SAMPLE_COUNT];
    fill_samples(entries);
    CHECK_STATUS(snapshot_plan(&plan, entries, SAMPLE_COUNT, SLICE(""), false),
                 STATUS_OK);
    struct image first = image_of_plan(&plan);
    struct image second = image_of_plan(&plan);
    CHECK(memcmp(first.bytes, second.bytes, first.size) == 0);
    image_destroy(&first);
    image_destroy(&second);
}

/* Takes some pieces, then refuses one and wants to be left alone. */
struct refuser {
    int accepted;
    int called;
};

static enum status
refuse(void *context, uint64_t offset, const void *bytes, size_t size)
{
    struct refuser *refuser = context;
    refuser->called += 1;
    return refuser->called > refuser->accepted ? STATUS_NO_SPACE : STATUS_OK;
}

static void
test_sink_that_fails_is_not_called_again(void)
{
    struct snapshot_plan plan;
    CHECK_STATUS(
        snapshot_plan(&plan, big_entries(), BIG_COUNT, SLICE(""), false),
        STATUS_OK);
    struct refuser counter = {.accepted = 1000};
    struct snapshot_sink sink = {refuse, &counter};
    CHECK_STATUS(snapshot_write(&plan, &sink), STATUS_OK);
    CHECK(counter.called > 4);  // four megabytes and the header
    for (int accepted = 0; accepted < counter.called; accepted++) {
        struct refuser refuser = {.accepted = accepted};
        sink.context = &refuser;
        CHECK_STATUS(snapshot_write(&plan, &sink), STATUS_NO_SPACE);
        CHECK_EQUAL(refuser.called, accepted + 1);
        CHECK_EQUAL(memory_outstanding(), 0);
    }
}

static void
test_write_without_memory_sends_nothing(void)
{
    struct snapshot_plan plan;
    struct refuser counter = {.accepted = 1000};
    struct snapshot_sink sink = {refuse, &counter};
    CHECK_STATUS(
        snapshot_plan(&plan, big_entries(), BIG_COUNT, SLICE(""), false),
        STATUS_OK);
    memory_fail_after(0, false);
    CHECK_STATUS(snapshot_write(&plan, &sink), STATUS_NO_MEMORY);
    CHECK_EQUAL(counter.called, 0);
    CHECK_STATUS(snapshot_write(&plan, &sink), STATUS_OK);
}

/* ---- the golden file ---------------------------------------------------- */

/* The example of docs/FORMAT.md. */
static struct image
golden_image(void)
{
    struct snapshot_plan plan;
    struct entry entries[SAMPLE_COUNT];
    fill_samples(entries);
    CHECK_STATUS(
        snapshot_plan(&plan, entries, SAMPLE_COUNT, SLICE("example"), false),
        STATUS_OK);
    for (size_t i = 0; i < sizeof(plan.header.unique_id); i++) {
        plan.header.unique_id[i] = (unsigned char)(0xA0 + i);
    }
    return image_of_plan(&plan);
}

/* Beside this folder, wherever the test runs. */
static FILE *
open_golden(const char *mode)
{
    char path[4096];
    const char *slash = strrchr(__FILE__, '/');
    int folder_size = slash == NULL ? 0 : (int)(slash + 1 - __FILE__);
    snprintf(path, sizeof(path), "%.*s../golden/v1-small.snapshot",
             folder_size, __FILE__);
    FILE *file = fopen(path, mode);
    if (file == NULL) {
        perror(path);
    }
    return file;
}

static void
test_golden_file_is_what_the_writer_writes(void)
{
    unsigned char golden[4096];
    struct image image = golden_image();
    FILE *file = open_golden("rb");
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

static int
write_golden(void)
{
    struct image image = golden_image();
    FILE *file = open_golden("wb");
    bool is_written =
        file != NULL && fwrite(image.bytes, 1, image.size, file) == image.size;
    is_written = file != NULL && fclose(file) == 0 && is_written;
    image_destroy(&image);
    return is_written ? EXIT_SUCCESS : EXIT_FAILURE;
}

static const struct test tests[] = {
    TEST(test_regions_lie_where_the_format_says),
    TEST(test_empty_map_is_a_header_and_nothing_else),
    TEST(test_records_are_laid_out_as_the_format_says_at_all_boundaries),
    TEST(test_records_follow_each_other_and_values_are_aligned),
    TEST(test_plan_widens_references_beyond_four_gigabytes),
    TEST(test_plan_refuses_sizes_that_are_out_of_this_world),
    TEST(test_label_may_have_256_bytes_and_no_more),
    TEST(test_large_snapshots_are_written_whole),
    TEST(test_same_entries_give_the_same_bytes),
    TEST(test_plan_may_be_written_more_than_once),
    TEST(test_sink_that_fails_is_not_called_again),
    TEST(test_write_without_memory_sends_nothing),
    TEST(test_golden_file_is_what_the_writer_writes),
};

int
main(int count, char **words)
{
    if (count == 2 && strcmp(words[1], "--write-golden") == 0) {
        return write_golden();
    }
    return RUN_TESTS(tests, count, words);
}
