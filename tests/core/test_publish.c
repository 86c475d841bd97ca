/* tests/core/test_publish.c
 *
 * The way from entries to other processes, in one piece.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/publish.h"

#include "core/base/memory.h"
#include "core/check.h"
#include "core/files.h"

static void
check_holds(const void *bytes, size_t size, const struct entry *entries,
            size_t count)
{
    struct snapshot view;
    CHECK_STATUS(snapshot_open(&view, bytes, size), STATUS_OK);
    CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_OK);
    CHECK_EQUAL(view.entry_count, count);
    for (size_t i = 0; i < count; i++) {
        struct entry entry;
        CHECK_STATUS(snapshot_at(&view, i, &entry), STATUS_OK);
        CHECK(slice_equals(entry.key, entries[i].key));
        CHECK(slice_equals(entry.value.bytes, entries[i].value.bytes));
        CHECK_EQUAL(entry.value.type, entries[i].value.type);
    }
}

static void
plan_samples(struct snapshot_plan *plan, struct entry entries[SAMPLE_COUNT])
{
    struct snapshot_options options = {.label = SLICE("label")};
    fill_samples(entries);
    CHECK_STATUS(publish_plan(plan, entries, SAMPLE_COUNT, &options),
                 STATUS_OK);
}

static void
test_memory_gets_the_snapshot_and_not_a_byte_more(void)
{
    struct entry entries[SAMPLE_COUNT];
    struct snapshot_plan plan;
    plan_samples(&plan, entries);
    struct image image = image_create(plan.header.total_size);
    CHECK_STATUS(publish_to_memory(&plan, image.bytes, NULL), STATUS_OK);
    check_holds(image.bytes, image.size, entries, SAMPLE_COUNT);
    CHECK_EQUAL(image_header(&image)->generation, 0);
    image_destroy(&image);
}

static void
test_two_plans_differ_in_their_unique_id_only(void)
{
    struct entry entries[SAMPLE_COUNT];
    struct image images[2];
    for (int i = 0; i < 2; i++) {
        struct snapshot_plan plan;
        plan_samples(&plan, entries);
        images[i] = image_create(plan.header.total_size);
        CHECK_STATUS(publish_to_memory(&plan, images[i].bytes, NULL),
                     STATUS_OK);
    }
    CHECK_EQUAL(images[0].size, images[1].size);
    unsigned char *ids[] = {image_header(&images[0])->unique_id,
                            image_header(&images[1])->unique_id};
    CHECK(memcmp(ids[0], ids[1], 16) != 0);
    memcpy(ids[0], ids[1], 16);
    CHECK(memcmp(images[0].bytes, images[1].bytes, images[0].size) == 0);
    image_destroy(&images[0]);
    image_destroy(&images[1]);
}

static void
test_segment_holds_what_memory_holds(void)
{
    const char *path = scratch_path("map");
    struct entry entries[SAMPLE_COUNT];
    struct snapshot_plan plan;
    plan_samples(&plan, entries);
    CHECK_STATUS(publish_to_segment(&plan, path, &UNFORCED), STATUS_OK);
    CHECK_EQUAL(plan.header.generation, 1);
    struct segment segment = open_segment(path);
    CHECK_EQUAL(segment.size, plan.header.total_size);
    CHECK(memcmp(segment.bytes, &plan.header, sizeof(plan.header)) == 0);
    check_holds(segment.bytes, segment.size, entries, SAMPLE_COUNT);

    struct snapshot view;
    CHECK_STATUS(snapshot_open(&view, segment.bytes, segment.size), STATUS_OK);
    CHECK(slice_equals(snapshot_label(&view), SLICE("label")));
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_plan_learns_its_generation(void)
{
    const char *path = scratch_path("map");
    struct entry entries[SAMPLE_COUNT];
    for (uint64_t generation = 1; generation <= 5; generation++) {
        struct snapshot_plan plan;
        plan_samples(&plan, entries);
        CHECK_STATUS(publish_to_segment(&plan, path, &FORCED), STATUS_OK);
        CHECK_EQUAL(plan.header.generation, generation);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_empty_map_is_published_and_opened(void)
{
    const char *path = scratch_path("map");
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct snapshot_plan plan;
        CHECK_STATUS(publish_plan(&plan, NULL, 0, &flavours[i]), STATUS_OK);
        CHECK_STATUS(publish_to_segment(&plan, path, &UNFORCED), STATUS_OK);
        struct segment segment = open_segment(path);
        check_holds(segment.bytes, segment.size, NULL, 0);
        segment_close(&segment);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    }
}

/* Larger than the writer's buffer, so that it comes in several pieces. */
static void
test_large_map_arrives_whole(void)
{
    enum { COUNT = 300 };
    static unsigned char value[20000 + COUNT];
    static char keys[COUNT][24];
    static struct entry entries[COUNT];
    const char *path = scratch_path("map");
    uint64_t random = 1;
    for (size_t i = 0; i < sizeof(value); i++) {
        value[i] = (unsigned char)next_random(&random);
    }
    for (size_t i = 0; i < COUNT; i++) {
        int size = snprintf(keys[i], sizeof(keys[i]), "%05zu", i);
        entries[i] = (struct entry){{(unsigned char *)keys[i], (size_t)size},
                                    {{value + i, 20000}, VALUE_BYTES}};
    }
    struct snapshot_plan plan;
    CHECK_STATUS(publish_plan(&plan, entries, COUNT, HASH), STATUS_OK);
    CHECK_STATUS(publish_to_segment(&plan, path, &UNFORCED), STATUS_OK);
    struct segment segment = open_segment(path);
    check_holds(segment.bytes, segment.size, entries, COUNT);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* The name of a map, as the binding will use it, lives in /dev/shm itself. */
static void
test_map_is_found_under_its_name(void)
{
    char name[96], path[SEGMENT_PATH_SIZE];
    snprintf(name, sizeof(name), "core/%s~%d", scratch.path + 9,
             (int)getpid());
    struct slice slice = {(unsigned char *)name, strlen(name)};
    CHECK_STATUS(segment_path(slice, path), STATUS_OK);
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    pid_t child = start_child();
    if (child == 0) {
        check_published(path, 7, 1);
        CHECK_STATUS(publish_number(path, true, 0600, 8), STATUS_OK);
        _exit(0);
    }
    int end = end_of_child(child);
    struct segment segment = open_segment(path);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_EQUAL(end, 0);
    CHECK_EQUAL(number_in(&segment), 8);
    segment_close(&segment);
}

static void
test_label_that_is_too_long_is_refused(void)
{
    unsigned char label[257] = {0};
    struct snapshot_options options = labelled((struct slice){label, 256});
    struct snapshot_plan plan;
    CHECK_STATUS(publish_plan(&plan, NULL, 0, &options), STATUS_OK);
    options.label.size = 257;
    CHECK_STATUS(publish_plan(&plan, NULL, 0, &options),
                 STATUS_LABEL_TOO_LONG);
}

static void
test_without_memory_the_old_map_stays(void)
{
    const char *path = scratch_path("map");
    struct entry entries[SAMPLE_COUNT];
    struct snapshot_plan plan;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct segment old = open_segment(path);
    int descriptors = count_descriptors();
    long outstanding = memory_outstanding();
    for (int forever = 0; forever < 2; forever++) {
        long successes = 0;
        for (;; successes++) {
            plan_samples(&plan, entries);
            memory_fail_after(successes, forever);
            enum status status = publish_to_segment(&plan, path, &FORCED);
            memory_fail_after(-1, false);
            CHECK_EQUAL(memory_outstanding(), outstanding);
            CHECK_EQUAL(count_descriptors(), descriptors);
            CHECK_EQUAL(scratch_file_count(), 1);
            if (status == STATUS_OK) {
                break;
            }
            CHECK_STATUS(status, STATUS_NO_MEMORY);
            if (forever == 0) {
                CHECK_EQUAL(header_in(&old)->head, 0);
                check_published(path, 1, 1);
            }
        }
        CHECK(successes > 0);
    }
    segment_close(&old);

    unsigned char bytes[4096] = {0};
    CHECK(plan.header.total_size <= sizeof(bytes));
    memory_fail_after(0, false);
    CHECK_STATUS(publish_to_memory(&plan, bytes, NULL), STATUS_NO_MEMORY);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Whenever it is interrupted, nothing is published and nothing is left. */
static void
test_interrupted_publication_changes_nothing(void)
{
    static unsigned char megabyte[1 << 20];
    struct entry entry = {SLICE("key"),
                          {{megabyte, sizeof(megabyte)}, VALUE_BYTES}};
    struct snapshot_options layout = {.label = SLICE("")};
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    int descriptors = count_descriptors();
    enum status status = STATUS_INTERRUPTED;
    int due;
    for (due = 1; status == STATUS_INTERRUPTED; due++) {
        int questions = due;
        struct publish_options options = {
            .lock.interrupt = {.is_due = is_due_at_last,
                               .context = &questions},
            .mode = 0600,
            .force = true,
        };
        struct snapshot_plan plan;
        check_published(path, 1, 1);
        CHECK_EQUAL(count_descriptors(), descriptors);
        CHECK_EQUAL(memory_outstanding(), 0);
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_STATUS(publish_plan(&plan, &entry, 1, &layout), STATUS_OK);
        status = publish_to_segment(&plan, path, &options);
        CHECK(status == STATUS_OK || questions == 0);
    }
    CHECK_STATUS(status, STATUS_OK);
    CHECK(due > 4);  // while space is reserved, and while it is written
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* From then on the caller may change what was published. */
static void
test_publisher_learns_that_the_entries_are_written(void)
{
    const char *path = scratch_path("map");
    struct snapshot_options layout = {.label = SLICE("")};
    bool is_written = false;
    struct publish_options options = {.mode = 0600, .is_written = &is_written};
    struct snapshot_plan plan;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK_STATUS(publish_plan(&plan, NULL, 0, &layout), STATUS_OK);
    CHECK_STATUS(publish_to_segment(&plan, path, &options), STATUS_NAME_TAKEN);
    CHECK(!is_written);
    options.force = true;
    CHECK_STATUS(publish_to_segment(&plan, path, &options), STATUS_OK);
    CHECK(is_written);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static const struct test tests[] = {
    TEST(test_memory_gets_the_snapshot_and_not_a_byte_more),
    TEST(test_two_plans_differ_in_their_unique_id_only),
    TEST(test_segment_holds_what_memory_holds),
    TEST(test_plan_learns_its_generation),
    TEST(test_empty_map_is_published_and_opened),
    TEST(test_large_map_arrives_whole),
    TEST(test_map_is_found_under_its_name),
    TEST(test_label_that_is_too_long_is_refused),
    TEST(test_without_memory_the_old_map_stays),
    TEST(test_interrupted_publication_changes_nothing),
    TEST(test_publisher_learns_that_the_entries_are_written),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
