/* tests/core/test_snapshot_writer.c
 *
 * The writer's bytes, compared with bytes that this file puts together from
 * the words of docs/FORMAT.md, and with snapshots that were written when the
 * format was new. To write those again, after a change of the format:
 *
 *     test_snapshot_writer --write-golden
 */
#include "core/snapshot/writer.h"

#include "core/base/memory.h"
#include "core/check.h"
#include "core/snapshots.h"

/* ---- layout ------------------------------------------------------------- */

/* The room from the end of a region to the next multiple of 64. */
static size_t
check_zeros_behind(const struct image *image, struct snapshot_region region)
{
    size_t end = region.offset + region.size;
    for (size_t at = end; at < round_up(end); at++) {
        CHECK_EQUAL(image->bytes[at], 0);
    }
    return round_up(end);
}

static void
check_layout(const struct image *image, size_t entry_count,
             const struct snapshot_options *options)
{
    const struct snapshot_header *header = image_header(image);
    bool has_hash_index = options->index == INDEX_HASH;
    CHECK(memcmp(header->magic, "\x89SMAP\r\n\x1a", 8) == 0);
    CHECK_EQUAL(header->version, 1);
    CHECK_EQUAL(header->header_size, 512);
    CHECK_EQUAL(header->kind, 1);
    CHECK_EQUAL(header->flags & ~SNAPSHOT_FLAG_CONTAINERS, has_hash_index);
    CHECK_EQUAL(header->total_size, image->size);
    CHECK_EQUAL(header->entry_count, entry_count);
    CHECK_EQUAL(header->reference_size, options->is_wide ? 8 : 4);
    CHECK_EQUAL(header->reference_shift, 0);
    CHECK_EQUAL(header->value_alignment, 0);
    CHECK_EQUAL(header->reserved_0, 0);
    CHECK_EQUAL(header->reserved_1[0], 0);
    CHECK_EQUAL(header->reserved_1[1], 0);
    CHECK_EQUAL(header->hash_seed, 0);
    CHECK_EQUAL(header->content_checksum, content_checksum(image));
    CHECK_EQUAL(header->records.offset, 512);
    size_t end = check_zeros_behind(image, header->records);
    CHECK_EQUAL(header->sorted_index.offset, end);
    CHECK_EQUAL(header->sorted_index.size,
                entry_count * header->reference_size);
    end = check_zeros_behind(image, header->sorted_index);
    CHECK_EQUAL(header->hash_index.offset, has_hash_index ? end : 0);
    // 9.2 and 5.3 entries a bucket, and one bucket more.
    size_t buckets = entry_count * 10 / (options->is_wide ? 53 : 92) + 1;
    CHECK_EQUAL(header->hash_index.size, has_hash_index ? buckets * 64 : 0);
    CHECK_EQUAL(image->size, has_hash_index ? end + buckets * 64 : end);
    CHECK_EQUAL(header->generation, 0);
    CHECK_EQUAL(header->head, 0);
    CHECK_STATUS(snapshot_header_check(header, image->size), STATUS_OK);
}

static void
test_regions_lie_where_the_format_says(void)
{
    static struct numbered numbered;
    static const size_t more[] = {127, 128, 129, 2048, 2049, 5000};
    for (size_t k = 0; k < 101 + sizeof(more) / sizeof(*more); k++) {
        size_t count = k < 101 ? k : more[k - 101];
        for (int i = 0; i < FLAVOUR_COUNT; i++) {
            struct image image = image_of_entries(
                fill_numbered(&numbered, count), count, &flavours[i]);
            check_layout(&image, count, &flavours[i]);
            image_destroy(&image);
        }
    }
}

static void
test_empty_map_is_a_header_and_at_most_one_bucket(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct image image = image_of_entries(NULL, 0, &flavours[i]);
        CHECK_EQUAL(image.size,
                    flavours[i].index == INDEX_HASH ? 512 + 64 : 512);
        check_layout(&image, 0, &flavours[i]);
        image_destroy(&image);
    }
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
                    image_of_entries(&entry, 1, &flavours[j % 4]);
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
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct image image = image_of_entries(entries, 300, &flavours[i]);
        check_layout(&image, 300, &flavours[i]);
        const struct snapshot_header *header = image_header(&image);
        const unsigned char *records = image.bytes + header->records.offset;
        const unsigned char *index = image.bytes + header->sorted_index.offset;
        size_t at = 0;
        for (size_t j = 0; j < 300; j++) {
            uint64_t reference = 0;
            memcpy(&reference, index + j * header->reference_size,
                   header->reference_size);
            CHECK_EQUAL(reference, at);
            CHECK_EQUAL(records[at] & 7, entries[j].value.type);
            const unsigned char *value =
                records + at + 2 + entries[j].key.size;
            CHECK(memcmp(records + at + 2, entries[j].key.bytes,
                         entries[j].key.size)
                  == 0);
            if (entries[j].value.type == VALUE_BYTES
                || entries[j].value.type == VALUE_ENCODED)
            {
                while ((value - image.bytes) % 8 != 0) {
                    CHECK_EQUAL(*value++, 0);
                }
            }
            CHECK(memcmp(value, "abcdefghijkl", j % 13) == 0);
            at = (size_t)(value - records) + j % 13;
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
    CHECK_STATUS(snapshot_plan(&plan, &entry, 1, TREE), STATUS_OK);
    CHECK_EQUAL(plan.header.records.size, UINT32_MAX);
    CHECK_EQUAL(plan.header.reference_size, 4);

    entry = claimed_entry(UINT32_MAX - 8);
    CHECK_STATUS(snapshot_plan(&plan, &entry, 1, TREE), STATUS_OK);
    CHECK_EQUAL(plan.header.records.size, UINT64_C(1) << 32);
    CHECK_EQUAL(plan.header.reference_size, 8);
    CHECK_EQUAL(plan.header.sorted_index.size, 8);

    // The hash index is made for the references that there are.
    CHECK_STATUS(snapshot_plan(&plan, &entry, 1, HASH), STATUS_OK);
    CHECK_EQUAL(plan.header.reference_size, 8);
    CHECK_EQUAL(plan.header.hash_index.size, 64);

    // A value of 4 GiB needs its size in eight bytes.
    entry = claimed_entry((size_t)1 << 32);
    CHECK_STATUS(snapshot_plan(&plan, &entry, 1, TREE), STATUS_OK);
    CHECK_EQUAL(plan.header.records.size, (UINT64_C(1) << 32) + 2 + 8 + 3);
}

static void
test_plan_refuses_sizes_that_are_out_of_this_world(void)
{
    struct snapshot_plan plan;
    struct entry entries[4] = {
        claimed_entry((size_t)1 << 60), claimed_entry((size_t)1 << 61),
        claimed_entry((size_t)1 << 61), claimed_entry((size_t)1 << 62)};
    CHECK_STATUS(snapshot_plan(&plan, entries, 2, TREE), STATUS_OK);
    CHECK_STATUS(snapshot_plan(&plan, entries, 3, TREE), STATUS_TOO_LARGE);
    CHECK_STATUS(snapshot_plan(&plan, entries + 3, 1, TREE), STATUS_TOO_LARGE);
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
        struct snapshot_options options = labelled(label);
        struct image image = image_of_entries(NULL, 0, &options);
        CHECK_EQUAL(image_header(&image)->label_size, size);
        CHECK(memcmp(image.bytes + 256, text, size) == 0);
        for (size_t at = 256 + size; at < 512; at++) {
            CHECK_EQUAL(image.bytes[at], 0);
        }
        image_destroy(&image);
    }
    struct snapshot_options options = labelled((struct slice){text, 257});
    CHECK_STATUS(snapshot_plan(&plan, NULL, 0, &options),
                 STATUS_LABEL_TOO_LONG);
    options.label = (struct slice){NULL, 0};
    CHECK_STATUS(snapshot_plan(&plan, NULL, 0, &options), STATUS_OK);
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
    struct image image = image_of_entries(big_entries(), BIG_COUNT, HASH);
    check_layout(&image, BIG_COUNT, HASH);
    const struct entry *entries = big_entries();
    for (size_t i = 0; i < BIG_COUNT; i++) {
        uint32_t reference;
        memcpy(&reference,
               image.bytes + image_header(&image)->sorted_index.offset + 4 * i,
               4);
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
    struct image first = image_of_entries(entries, SAMPLE_COUNT, HASH);

    // The same bytes elsewhere in memory.
    struct image copies[2 * SAMPLE_COUNT];
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct slice *slices[] = {&entries[i].key, &entries[i].value.bytes};
        for (size_t j = 0; j < 2; j++) {
            copies[2 * i + j] = image_copy(slices[j]->bytes, slices[j]->size);
            slices[j]->bytes = copies[2 * i + j].bytes;
        }
    }
    struct image second = image_of_entries(entries, SAMPLE_COUNT, HASH);
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
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct snapshot_plan plan;
        struct entry entries[SAMPLE_COUNT];
        fill_samples(entries);
        CHECK_STATUS(snapshot_plan(&plan, entries, SAMPLE_COUNT, &flavours[i]),
                     STATUS_OK);
        struct image first = image_of_plan(&plan);
        struct image second = image_of_plan(&plan);
        CHECK(memcmp(first.bytes, second.bytes, first.size) == 0);
        image_destroy(&first);
        image_destroy(&second);
    }
}

/* The index is all that differs: same records, same order of them. */
static void
test_both_kinds_of_index_come_with_the_same_records(void)
{
    struct entry entries[SAMPLE_COUNT];
    fill_samples(entries);
    for (int i = 0; i < 2; i++) {
        struct image tree =
            image_of_entries(entries, SAMPLE_COUNT, &flavours[i]);
        struct image hash =
            image_of_entries(entries, SAMPLE_COUNT, &flavours[i + 2]);
        CHECK_EQUAL(image_header(&hash)->hash_index.offset, tree.size);
        CHECK(memcmp(tree.bytes + 512, hash.bytes + 512, tree.size - 512)
              == 0);
        image_destroy(&tree);
        image_destroy(&hash);
    }
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
    CHECK_STATUS(snapshot_plan(&plan, big_entries(), BIG_COUNT, TREE),
                 STATUS_OK);
    struct refuser counter = {.accepted = 1000};
    struct snapshot_sink sink = {refuse, &counter, NULL};
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

static enum status
count_headers(void *context, uint64_t offset, const void *bytes, size_t size)
{
    *(int *)context += offset == 0;
    return STATUS_OK;
}

/* While records are written, and while the hash index is built. */
static void
test_write_ends_at_each_question_of_an_interrupt(void)
{
    enum { COUNT = 100000, PARTS = (COUNT + 16383) / 16384 };
    static char keys[COUNT][8];
    static struct entry entries[COUNT];
    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%07d", i);
        entries[i].key = (struct slice){(unsigned char *)keys[i], 7};
    }
    enum status status = STATUS_INTERRUPTED;
    uint64_t size = 0;
    int due;
    for (due = 1; status == STATUS_INTERRUPTED; due++) {
        struct snapshot_plan plan;
        int headers = 0, questions = due;
        struct interrupt interrupt = {.is_due = is_due_at_last,
                                      .context = &questions};
        struct snapshot_sink sink = {count_headers, &headers, &interrupt};
        CHECK_STATUS(snapshot_plan(&plan, entries, COUNT, HASH), STATUS_OK);
        size = plan.header.total_size - SNAPSHOT_HEADER_SIZE;
        status = snapshot_write(&plan, &sink);
        CHECK_EQUAL(headers, status == STATUS_OK);
        // The answer was final: it may tell what to do after the end.
        CHECK(status == STATUS_OK || questions == 0);
        CHECK_EQUAL(memory_outstanding(), 0);
    }
    CHECK_STATUS(status, STATUS_OK);
    CHECK_EQUAL(due - 2, PARTS + (size + (1 << 20) - 1) / (1 << 20));
}

/* How many requests for memory a snapshot needs. */
static long
write_with_failures(const struct snapshot_options *options, bool forever)
{
    struct entry entries[SAMPLE_COUNT];
    fill_samples(entries);
    for (long successes = 0;; successes++) {
        struct snapshot_plan plan;
        int headers = 0;
        struct snapshot_sink sink = {count_headers, &headers, NULL};
        CHECK_STATUS(snapshot_plan(&plan, entries, SAMPLE_COUNT, options),
                     STATUS_OK);
        memory_fail_after(successes, forever);
        enum status status = snapshot_write(&plan, &sink);
        memory_fail_after(-1, false);
        CHECK_EQUAL(memory_outstanding(), 0);
        CHECK_EQUAL(headers, status == STATUS_OK);
        if (status == STATUS_OK) {
            return successes;
        }
        CHECK_STATUS(status, STATUS_NO_MEMORY);
        // The plan is as good as before.
        CHECK_STATUS(snapshot_write(&plan, &sink), STATUS_OK);
        CHECK_EQUAL(headers, 1);
    }
}

static void
test_write_without_memory_never_sends_the_header(void)
{
    for (int forever = 0; forever < 2; forever++) {
        CHECK_EQUAL(write_with_failures(TREE, forever), 2);
        CHECK_EQUAL(write_with_failures(HASH, forever), 4);
    }
}

static void
test_flag_says_whether_there_are_containers(void)
{
    struct entry entries[SAMPLE_COUNT + CONTAINER_COUNT];
    fill_samples(entries);
    fill_containers(entries + SAMPLE_COUNT);
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        for (size_t first = 0; first <= CONTAINER_COUNT;
             first += CONTAINER_COUNT)
        {
            struct image image =
                image_of_entries(entries + first, SAMPLE_COUNT, &flavours[i]);
            bool has_containers = first > 0;
            CHECK_EQUAL(image_header(&image)->flags >> 2, has_containers);
            image_destroy(&image);
        }
    }
}

/* ---- the golden files --------------------------------------------------- */

static const struct {
    const char *name;
    enum snapshot_index index;
    bool has_containers;
} goldens[] = {
    {"v1-tree.snapshot", INDEX_TREE, false},
    {"v1-hash.snapshot", INDEX_HASH, false},
    {"v1-containers.snapshot", INDEX_HASH, true},
};

enum { GOLDEN_COUNT = sizeof(goldens) / sizeof(goldens[0]) };

/* The examples of docs/FORMAT.md. */
static struct image
golden_image(int number)
{
    struct snapshot_plan plan;
    struct entry entries[SAMPLE_COUNT];
    struct snapshot_options options = {.label = SLICE("example"),
                                       .index = goldens[number].index};
    size_t count =
        goldens[number].has_containers ? CONTAINER_COUNT : SAMPLE_COUNT;
    if (goldens[number].has_containers) {
        fill_containers(entries);
    }
    else {
        fill_samples(entries);
    }
    CHECK_STATUS(snapshot_plan(&plan, entries, count, &options), STATUS_OK);
    for (size_t i = 0; i < sizeof(plan.header.unique_id); i++) {
        plan.header.unique_id[i] = (unsigned char)(0xA0 + i);
    }
    return image_of_plan(&plan);
}

static void
test_golden_files_are_what_the_writer_writes(void)
{
    for (int i = 0; i < GOLDEN_COUNT; i++) {
        unsigned char golden[4096];
        struct image image = golden_image(i);
        FILE *file = open_golden(goldens[i].name, "rb");
        CHECK(file != NULL);
        size_t size = fread(golden, 1, sizeof(golden), file);
        fclose(file);
        CHECK_EQUAL(image.size, size);
        for (size_t at = 0; at < size; at++) {
            if (image.bytes[at] != golden[at]) {
                printf("      %s, at offset %zu\n", goldens[i].name, at);
            }
            CHECK_EQUAL(image.bytes[at], golden[at]);
        }
        image_destroy(&image);
    }
}

static int
write_golden(int number)
{
    struct image image = golden_image(number);
    FILE *file = open_golden(goldens[number].name, "wb");
    bool is_written =
        file != NULL && fwrite(image.bytes, 1, image.size, file) == image.size;
    is_written = file != NULL && fclose(file) == 0 && is_written;
    image_destroy(&image);
    return is_written ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
write_goldens(void)
{
    int result = EXIT_SUCCESS;
    for (int i = 0; i < GOLDEN_COUNT; i++) {
        result |= write_golden(i);
    }
    return result;
}

static const struct test tests[] = {
    TEST(test_regions_lie_where_the_format_says),
    TEST(test_empty_map_is_a_header_and_at_most_one_bucket),
    TEST(test_records_are_laid_out_as_the_format_says_at_all_boundaries),
    TEST(test_records_follow_each_other_and_values_are_aligned),
    TEST(test_plan_widens_references_beyond_four_gigabytes),
    TEST(test_plan_refuses_sizes_that_are_out_of_this_world),
    TEST(test_label_may_have_256_bytes_and_no_more),
    TEST(test_large_snapshots_are_written_whole),
    TEST(test_same_entries_give_the_same_bytes),
    TEST(test_plan_may_be_written_more_than_once),
    TEST(test_both_kinds_of_index_come_with_the_same_records),
    TEST(test_sink_that_fails_is_not_called_again),
    TEST(test_write_ends_at_each_question_of_an_interrupt),
    TEST(test_write_without_memory_never_sends_the_header),
    TEST(test_flag_says_whether_there_are_containers),
    TEST(test_golden_files_are_what_the_writer_writes),
};

int
main(int count, char **words)
{
    if (count == 2 && strcmp(words[1], "--write-golden") == 0) {
        return write_goldens();
    }
    return RUN_TESTS(tests, count, words);
}
