/* tests/core/test_segment_holder.c
 *
 * The file that has a name, locked: who publishes what depends on it, and who
 * expects to find a certain generation.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/check.h"
#include "core/files.h"
#include "core/segment/segment.h"

/* ---- locking ------------------------------------------------------------ */

static void
test_holder_knows_the_file_that_has_the_name(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_NAME_ABSENT);
    for (uint64_t generation = 1; generation <= 3; generation++) {
        CHECK_STATUS(publish_number(path, true, 0640, 7), STATUS_OK);
        struct stat file = stat_of(path);
        CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
        CHECK_EQUAL(holder.generation, generation);
        CHECK_EQUAL(holder.size, file.st_size);
        CHECK_EQUAL(holder.device, file.st_dev);
        CHECK_EQUAL(holder.inode, file.st_ino);
        CHECK_EQUAL(holder.mode, 0640);
        CHECK(holder.header != NULL);
        holder_close(&holder);
        holder_close(&holder);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* 0 is for what never had a name. */
static void
test_generation_after_the_last_number_is_one(void)
{
    const char *path = scratch_path("map");
    struct segment segment = SEGMENT_EMPTY;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct holder holder;
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    struct snapshot_header *header = holder.header;
    header->generation = UINT64_MAX;
    snapshot_header_seal(header);
    holder_close(&holder);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    segment = open_segment(path);
    CHECK_EQUAL(header_in(&segment)->generation, 1);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_holder_that_is_no_snapshot_has_nothing_to_say(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    struct segment segment = SEGMENT_EMPTY;
    write_file(path, "junk", 4);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    CHECK_EQUAL(holder.generation, 0);
    CHECK(holder.header == NULL);
    CHECK_STATUS(holder_map(&holder, path, &segment), STATUS_NOT_A_SNAPSHOT);
    CHECK(segment.bytes == NULL);
    holder_close(&holder);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Who else may write may have cut it short when it is read. */
static void
test_holder_that_others_may_write_is_replaced_unread(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    struct segment segment = SEGMENT_EMPTY;
    CHECK_STATUS(publish_number(path, false, 0620, 1), STATUS_OK);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    CHECK_EQUAL(holder.generation, 1);
    CHECK(holder.header == NULL);
    CHECK_STATUS(holder_map(&holder, path, &segment), STATUS_OTHERS_MAY_WRITE);
    CHECK(segment.bytes == NULL);
    holder_close(&holder);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    check_published(path, 2, 2);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_holder_is_locked_until_it_is_closed(void)
{
    const char *path = scratch_path("map");
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct holder holder;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    int descriptor = open(path, O_RDWR);
    CHECK(descriptor >= 0);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    CHECK_EQUAL(fcntl(descriptor, F_OFD_SETLK, &lock), -1);
    // Whoever only wants to read is not in anybody's way, nor held up.
    check_published(path, 1, 1);
    holder_close(&holder);
    CHECK_EQUAL(fcntl(descriptor, F_OFD_SETLK, &lock), 0);
    close(descriptor);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_holder_is_mapped_and_replaced(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    struct draft draft;
    struct segment segment = SEGMENT_EMPTY;
    struct image image = image_of_entries(NULL, 0, HASH);
    struct snapshot_header header = *image_header(&image);
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    CHECK_STATUS(holder_map(&holder, path, &segment), STATUS_OK);
    CHECK_EQUAL(number_in(&segment), 7);

    CHECK_STATUS(draft_create(&draft, path, image.size, &FORCED), STATUS_OK);
    CHECK_STATUS(draft_write(&draft, 0, image.bytes, image.size), STATUS_OK);
    CHECK_STATUS(holder_replace(&holder, &draft, path, &FORCED, &header),
                 STATUS_OK);
    CHECK_EQUAL(header.generation, 2);
    CHECK(segment_is_superseded(&segment));
    draft_close(&draft);
    holder_close(&holder);
    segment_close(&segment);

    segment = open_segment(path);
    CHECK_EQUAL(segment.size, image.size);
    CHECK(memcmp(header_in(&segment), &header, sizeof(header)) == 0);
    segment_close(&segment);
    image_destroy(&image);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- expecting a generation --------------------------------------------- */

static enum status
publish_expecting(const char *path, uint64_t expected, int number,
                  uint64_t *generation)
{
    struct image image = image_of_entries(NULL, 0, TREE);
    struct publish_options options = {
        .mode = 0600,
        .expected = {.has_generation = true, .generation = expected}};
    struct draft draft;
    struct snapshot_header header = *image_header(&image);
    // The number is the label's size: something to tell maps apart by.
    header.label_size = (uint16_t)number;
    CHECK_STATUS(draft_create(&draft, path, image.size, &options), STATUS_OK);
    CHECK_STATUS(draft_write(&draft, 0, image.bytes, image.size), STATUS_OK);
    enum status status = draft_publish(&draft, path, &options, &header);
    *generation = header.generation;
    draft_close(&draft);
    image_destroy(&image);
    return status;
}

static void
check_label_size(const char *path, int number, uint64_t generation)
{
    struct segment segment = open_segment(path);
    CHECK_EQUAL(header_in(&segment)->label_size, number);
    CHECK_EQUAL(header_in(&segment)->generation, generation);
    segment_close(&segment);
}

static void
test_expected_generation_is_replaced(void)
{
    const char *path = scratch_path("map");
    uint64_t generation;
    // Nobody is expected, and nobody is there.
    CHECK_STATUS(publish_expecting(path, 0, 1, &generation), STATUS_OK);
    CHECK_EQUAL(generation, 1);
    for (uint64_t expected = 1; expected <= 10; expected++) {
        CHECK_STATUS(
            publish_expecting(path, expected, (int)expected, &generation),
            STATUS_OK);
        CHECK_EQUAL(generation, expected + 1);
        check_label_size(path, (int)expected, expected + 1);
    }
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_other_generation_is_stale_and_stays(void)
{
    static const uint64_t others[] = {0, 1, 2, 4, 5, UINT64_MAX};
    const char *path = scratch_path("map");
    uint64_t generation;
    for (int number = 1; number <= 3; number++) {
        CHECK_STATUS(publish_number(path, true, 0600, number), STATUS_OK);
    }
    struct segment old = open_segment(path);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        CHECK_STATUS(publish_expecting(path, others[i], 9, &generation),
                     STATUS_STALE);
        CHECK_EQUAL(generation, 3);  // what was found
        check_published(path, 3, 3);
        CHECK(!segment_is_superseded(&old));
        CHECK_EQUAL(scratch_file_count(), 1);
    }
    segment_close(&old);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* It has no generation, but it has the name. */
static void
test_nobody_expected_and_junk_there_is_taken(void)
{
    const char *path = scratch_path("map");
    uint64_t generation;
    write_file(path, "junk", 4);
    CHECK_STATUS(publish_expecting(path, 0, 1, &generation),
                 STATUS_NAME_TAKEN);
    CHECK_EQUAL(stat_of(path).st_size, 4);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_STATUS(publish_expecting(path, 1, 1, &generation), STATUS_STALE);
    CHECK_EQUAL(generation, 0);
    CHECK_EQUAL(unlink(path), 0);
}

static void
test_somebody_expected_and_nobody_there_is_stale(void)
{
    const char *path = scratch_path("map");
    uint64_t generation = 99;
    CHECK_STATUS(publish_expecting(path, 1, 1, &generation), STATUS_STALE);
    CHECK_EQUAL(generation, 0);
    CHECK_EQUAL(scratch_file_count(), 0);
}

/* ---- expecting a publication --------------------------------------------- */

/* Publishes 9 where the name is that of the publication with the id, and of
 * the generation where that is not 0. */
static enum status
publish_expecting_id(const char *path, const unsigned char id[16],
                     uint64_t expected, uint64_t *generation)
{
    struct entry entry = {SLICE("number"), {SLICE("9"), VALUE_STR}};
    struct snapshot_options layout = {.label = SLICE("")};
    struct publish_options options = {
        .mode = 0600,
        .expected = {.has_generation = expected != 0,
                     .generation = expected,
                     .has_id = true}};
    struct snapshot_plan plan;
    memcpy(options.expected.id, id, sizeof(options.expected.id));
    CHECK_STATUS(publish_plan(&plan, &entry, 1, &layout), STATUS_OK);
    enum status status = publish_to_segment(&plan, path, &options);
    *generation = plan.header.generation;
    return status;
}

/* Whose id that is, as of the map that has the name now. */
static void
read_id(const char *path, unsigned char id[16])
{
    struct segment segment = open_segment(path);
    memcpy(id, header_in(&segment)->unique_id, 16);
    segment_close(&segment);
}

static void
test_expected_publication_is_replaced_and_no_other(void)
{
    const char *path = scratch_path("map");
    unsigned char first[16], second[16];
    uint64_t generation;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    read_id(path, first);
    CHECK_STATUS(publish_expecting_id(path, first, 0, &generation), STATUS_OK);
    CHECK_EQUAL(generation, 2);
    check_published(path, 9, 2);
    // It is not the first one any more.
    CHECK_STATUS(publish_expecting_id(path, first, 0, &generation),
                 STATUS_STALE);
    CHECK_EQUAL(generation, 2);
    CHECK_STATUS(publish_expecting_id(path, first, 2, &generation),
                 STATUS_STALE);
    read_id(path, second);
    CHECK_STATUS(publish_expecting_id(path, second, 1, &generation),
                 STATUS_STALE);
    check_published(path, 9, 2);
    CHECK_STATUS(publish_expecting_id(path, second, 2, &generation),
                 STATUS_OK);
    check_published(path, 9, 3);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* A map that was removed and made again begins with the same generation. */
static void
test_expected_publication_is_not_another_of_its_generation(void)
{
    const char *path = scratch_path("map");
    unsigned char id[16];
    uint64_t generation;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    read_id(path, id);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_STATUS(publish_number(path, false, 0600, 2), STATUS_OK);
    CHECK_STATUS(publish_expecting_id(path, id, 1, &generation), STATUS_STALE);
    CHECK_EQUAL(generation, 1);
    check_published(path, 2, 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Not even by an id of zeros, which is what no publication has. */
static void
test_expected_publication_is_neither_nobody_nor_junk(void)
{
    static const unsigned char none[16];
    const char *path = scratch_path("map");
    uint64_t generation = 99;
    CHECK_STATUS(publish_expecting_id(path, none, 0, &generation),
                 STATUS_STALE);
    CHECK_EQUAL(generation, 0);
    CHECK_EQUAL(scratch_file_count(), 0);
    write_file(path, "junk", 4);
    generation = 99;
    CHECK_STATUS(publish_expecting_id(path, none, 0, &generation),
                 STATUS_STALE);
    CHECK_EQUAL(generation, 0);
    CHECK_EQUAL(stat_of(path).st_size, 4);
    CHECK_EQUAL(unlink(path), 0);
}

/* ---- publishing again ---------------------------------------------------- */

/* A plan that is refused can be published on the generation that was found. */
static void
test_stale_plan_can_be_published_again(void)
{
    const char *path = scratch_path("map");
    struct entry entry = {SLICE("number"), {SLICE("8"), VALUE_STR}};
    struct snapshot_options layout = {.label = SLICE("")};
    struct publish_options options = {.mode = 0600,
                                      .expected.has_generation = true};
    struct snapshot_plan plan;
    for (int number = 1; number <= 4; number++) {
        CHECK_STATUS(publish_number(path, true, 0600, number), STATUS_OK);
    }
    CHECK_STATUS(publish_plan(&plan, &entry, 1, &layout), STATUS_OK);
    CHECK_STATUS(publish_to_segment(&plan, path, &options), STATUS_STALE);
    CHECK_EQUAL(plan.header.generation, 4);
    options.expected.generation = plan.header.generation;
    CHECK_STATUS(publish_to_segment(&plan, path, &options), STATUS_OK);
    check_published(path, 8, 5);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Processes that count together: each reads, adds one, and publishes on what
 * it read. Without the expectation steps would get lost. */
static void
test_processes_that_expect_what_they_read_lose_no_step(void)
{
    enum { COUNTERS = 3, STEPS = 100 };
    const char *path = scratch_path("map");
    pid_t counters[COUNTERS];
    CHECK_STATUS(publish_number(path, false, 0600, 0), STATUS_OK);
    for (int i = 0; i < COUNTERS; i++) {
        counters[i] = start_child();
        for (int step = 0; counters[i] == 0 && step < STEPS;) {
            struct segment segment = open_segment(path);
            struct publish_options options = {
                .mode = 0600,
                .expected.has_generation = true,
                .expected.generation = header_in(&segment)->generation};
            int number = number_in(&segment);
            segment_close(&segment);
            enum status status = publish_number_on(path, &options, number + 1);
            CHECK(status == STATUS_OK || status == STATUS_STALE);
            step += status == STATUS_OK;
        }
        if (counters[i] == 0) {
            _exit(0);
        }
    }
    for (int i = 0; i < COUNTERS; i++) {
        CHECK_EQUAL(end_of_child(counters[i]), 0);
    }
    check_published(path, COUNTERS * STEPS, 1 + COUNTERS * STEPS);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- updating an expected version ---------------------------------------- */

static const struct entry SEVEN = {SLICE("number"), {SLICE("7"), VALUE_STR}};

static enum status
update_expecting(const char *path, struct expectation expected,
                 uint64_t *generation)
{
    struct publish_update update = {
        .changes = {&SEVEN, 1, NULL, 0},
        .expected = expected,
    };
    enum status status = publish_update(&update, path);
    *generation = update.generation;
    return status;
}

static void
test_only_the_expected_version_is_updated(void)
{
    const struct expectation others[] = {
        {.has_generation = true},
        {.has_generation = true, .generation = 2},
        {.has_id = true},
    };
    const char *path = scratch_path("map");
    uint64_t generation;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct segment segment = open_segment(path);
    struct expectation expected = {.has_id = true};
    memcpy(expected.id, header_in(&segment)->unique_id, sizeof(expected.id));
    segment_close(&segment);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        CHECK_STATUS(update_expecting(path, others[i], &generation),
                     STATUS_STALE);
        CHECK_EQUAL(generation, 1);
        check_published(path, 1, 1);
    }
    CHECK_STATUS(update_expecting(path, expected, &generation), STATUS_OK);
    CHECK_EQUAL(generation, 2);
    check_published(path, 7, 2);
    CHECK_STATUS(update_expecting(path, expected, &generation), STATUS_STALE);
    CHECK_EQUAL(generation, 2);
    CHECK_STATUS(update_expecting(path, others[1], &generation), STATUS_OK);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_free_name_is_not_the_expected_version(void)
{
    struct expectation expected = {.has_generation = true, .generation = 1};
    const char *path = scratch_path("map");
    uint64_t generation = 9;
    CHECK_STATUS(update_expecting(path, expected, &generation), STATUS_STALE);
    CHECK_EQUAL(generation, 0);
    expected.generation = 0;
    CHECK_STATUS(update_expecting(path, expected, &generation),
                 STATUS_NAME_ABSENT);
    CHECK_EQUAL(scratch_file_count(), 0);
}

static const struct test tests[] = {
    TEST(test_holder_knows_the_file_that_has_the_name),
    TEST(test_generation_after_the_last_number_is_one),
    TEST(test_holder_that_is_no_snapshot_has_nothing_to_say),
    TEST(test_holder_that_others_may_write_is_replaced_unread),
    TEST(test_holder_is_locked_until_it_is_closed),
    TEST(test_holder_is_mapped_and_replaced),
    TEST(test_expected_generation_is_replaced),
    TEST(test_other_generation_is_stale_and_stays),
    TEST(test_nobody_expected_and_junk_there_is_taken),
    TEST(test_somebody_expected_and_nobody_there_is_stale),
    TEST(test_expected_publication_is_replaced_and_no_other),
    TEST(test_expected_publication_is_not_another_of_its_generation),
    TEST(test_expected_publication_is_neither_nobody_nor_junk),
    TEST(test_stale_plan_can_be_published_again),
    TEST(test_processes_that_expect_what_they_read_lose_no_step),
    TEST(test_only_the_expected_version_is_updated),
    TEST(test_free_name_is_not_the_expected_version),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
