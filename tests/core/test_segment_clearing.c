/* tests/core/test_segment_clearing.c
 *
 * What killed publishers left is cleared, and what is in use is not, whatever
 * the system answers meanwhile. Who clears what in the directory of names is
 * in test_segment_leftover.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/faults.h"

#include "core/check.h"
#include "core/files.h"
#include "core/segment/segment.h"

/* A draft with a name in a child that ends by being killed. */
static pid_t
start_filling(const char *path, size_t written)
{
    struct draft draft;
    struct image image = image_of_entries(NULL, 0, TREE);
    int ready[2];
    char byte;
    CHECK_EQUAL(pipe(ready), 0);
    pid_t child = start_child();
    if (child == 0) {
        faults_reset();
        faults.tmpfile_error = EOPNOTSUPP;
        CHECK_STATUS(draft_create(&draft, path, image.size, &UNFORCED),
                     STATUS_OK);
        CHECK_STATUS(draft_write(&draft, 0, image.bytes, written), STATUS_OK);
        CHECK_EQUAL(write(ready[1], "", 1), 1);
        for (;;) {
            pause();
        }
    }
    CHECK_EQUAL(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    image_destroy(&image);
    return child;
}

static void
test_draft_of_a_killed_publisher_is_cleared_by_the_next(void)
{
    const char *path = scratch_path("map");
    const struct publish_options *const options[] = {&UNFORCED, &DURABLE};
    for (size_t i = 0; i < 4; i++) {
        // Before the header was written, and after.
        pid_t publisher = start_filling(path, i % 2 * 512);
        faults_reset();
        faults.tmpfile_error = EOPNOTSUPP;
        // The file stays as long as it is in use.
        CHECK_STATUS(publish_number_on(path, options[i / 2], 1), STATUS_OK);
        CHECK_EQUAL(scratch_file_count(), 2);
        // Also beside a map, which is another file.
        CHECK_STATUS(publish_number_on(path, &FORCED, 1), STATUS_OK);
        CHECK_EQUAL(scratch_file_count(), 2);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
        CHECK_EQUAL(scratch_file_count(), 1);
        kill_child(publisher);
        CHECK_STATUS(publish_number_on(path, options[i / 2], 2), STATUS_OK);
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    }
}

/* Of other paths, without 16 digits, or not begun by a publisher. */
static void
test_only_drafts_of_the_path_are_cleared(void)
{
    static const char *const names[] = {
        "other~0123456789abcdef", "map~0123456789abcde",
        "map~0123456789abcdefg",  "map~0123456789abcdef",
        "map0123456789abcdef",    "map~0123456789abcde0",
    };
    char path[512];
    snprintf(path, sizeof(path), "%s", scratch_path("map"));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *file = scratch_path(names[i]);
        write_file(file, i < 5 ? "notes" : "\x89SMAP", i < 5 ? 5 : 0);
    }
    char notes[600] = "notes that are longer than a header";
    write_file(scratch_path("map~0123456789abcdef"), notes, sizeof(notes));
    CHECK_EQUAL(mkdir(scratch_path("map~00000000000000ff"), 0700), 0);
    faults_reset();
    faults.tmpfile_error = EOPNOTSUPP;
    CHECK_STATUS(publish_number_on(path, &UNFORCED, 1), STATUS_OK);
    // The last one is empty, as a draft is at first.
    CHECK_EQUAL(scratch_file_count(), 1 + 5 + 1);
    // Where the directory cannot be read, nothing is cleared.
    fail_only("O", 0, EACCES);
    faults.tmpfile_error = EOPNOTSUPP;
    CHECK_STATUS(publish_number_on(path, &FORCED, 2), STATUS_OK);
    CHECK_EQUAL(faults.failed, 'O');
    faults_reset();
    for (size_t i = 0; i < 5; i++) {
        CHECK_EQUAL(unlink(scratch_path(names[i])), 0);
    }
    CHECK_EQUAL(rmdir(scratch_path("map~00000000000000ff")), 0);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_drafts_of_a_path_without_a_directory_are_cleared(void)
{
    CHECK_EQUAL(chdir(scratch.path), 0);
    write_file("map~0123456789abcdef", "", 0);
    faults_reset();
    faults.tmpfile_error = EOPNOTSUPP;
    CHECK_STATUS(publish_number_on("map", &DURABLE, 1), STATUS_OK);
    faults_reset();
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_EQUAL(unlink("map"), 0);
    CHECK_EQUAL(chdir("/"), 0);
}

/* Another publisher took it for a leftover before it was locked. */
static void
test_draft_that_is_lost_before_it_is_locked_is_made_again(void)
{
    const char *path = scratch_path("map");
    fail_only("k", 0, EAGAIN);
    faults.tmpfile_error = EOPNOTSUPP;
    CHECK_STATUS(publish_number_on(path, &UNFORCED, 1), STATUS_OK);
    CHECK_EQUAL(faults.failed, 'k');
    // What that one was about to remove.
    CHECK_EQUAL(scratch_file_count(), 2);
    faults_reset();
    faults.tmpfile_error = EOPNOTSUPP;
    CHECK_STATUS(publish_number_on(path, &FORCED, 2), STATUS_OK);
    CHECK_EQUAL(scratch_file_count(), 1);
    // Without locks nothing is cleared, and no draft is lost.
    fail_only("k", 0, ENOLCK);
    faults.tmpfile_error = EOPNOTSUPP;
    CHECK_STATUS(publish_number_on(path, &FORCED, 3), STATUS_OK);
    CHECK_EQUAL(faults.failed, 'k');
    faults_reset();
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* A publisher that had linked its draft to the free name was killed before it
 * had unlinked the other name, which leads to the map then: the next publisher, which
 * has locked the map, clears it all the same. */
static void
test_second_name_of_the_map_is_cleared_and_the_map_stays(void)
{
    char path[SEGMENT_PATH_SIZE], second[SEGMENT_PATH_SIZE + 32];
    struct slice name = {(const unsigned char *)scratch.path + 9,
                         strlen(scratch.path) - 9};
    bool is_cleared = false;
    CHECK_STATUS(segment_path(name, path), STATUS_OK);
    snprintf(second, sizeof(second), "%s~0123456789abcdef", path);
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK_EQUAL(link(path, second), 0);
    CHECK_STATUS(segment_clear_leftover(strrchr(second, '/') + 1, &is_cleared),
                 STATUS_OK);
    CHECK(is_cleared);
    CHECK_STATUS(segment_check_free(second, NULL), STATUS_OK);
    check_published(path, 1, 1);
    // Another publisher has locked the map; the draft has a name.
    CHECK_EQUAL(link(path, second), 0);
    struct holder holder;
    CHECK_STATUS(holder_lock(&holder, path, &UNFORCED.lock), STATUS_OK);
    faults_reset();
    faults.tmpfile_error = EOPNOTSUPP;
    struct publish_options options = FORCED;
    options.lock.timeout = 0;
    CHECK_STATUS(publish_number_on(path, &options, 2), STATUS_LOCK_TIMEOUT);
    faults_reset();
    CHECK_STATUS(segment_check_free(second, NULL), STATUS_OK);
    holder_close(&holder);
    check_published(path, 1, 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* The end of such a name gives way to a mark, so without digits it may be that
 * of another map. */
static void
test_draft_of_a_long_name_leaves_the_temporary_names_of_others(void)
{
    char name[250];
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    const char *path = scratch_path(name);
    faults_reset();
    faults.tmpfile_error = EOPNOTSUPP;
    CHECK_STATUS(publish_number_on(path, &FORCED, 1), STATUS_OK);
    CHECK_STATUS(publish_number_on(path, &DURABLE, 2), STATUS_OK);
    faults_reset();
    check_published(path, 2, 2);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_draft_that_can_never_be_locked_is_an_error(void)
{
    const char *path = scratch_path("map");
    fail_only("k", 0, EACCES);
    faults.is_endless = true;
    faults.tmpfile_error = EOPNOTSUPP;
    CHECK_STATUS(publish_number_on(path, &UNFORCED, 1), STATUS_SYSTEM);
    CHECK_EQUAL(errno, EAGAIN);
    CHECK_EQUAL(faults.failed, 'k');
    CHECK_EQUAL(scratch_file_count(), 16);
    // They are cleared where locks work again.
    faults_reset();
    faults.tmpfile_error = EOPNOTSUPP;
    CHECK_STATUS(publish_number_on(path, &UNFORCED, 1), STATUS_OK);
    CHECK_EQUAL(scratch_file_count(), 1);
    faults_reset();
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static struct {
    char path[SEGMENT_PATH_SIZE];
    bool is_cleared;
} doctor;

/* Clears as if the name had been free a moment ago. */
static void
clear_what_is_in_use(void)
{
    char leftover[SEGMENT_PATH_SIZE + 1];
    snprintf(leftover, sizeof(leftover), "%s~", strrchr(doctor.path, '/') + 1);
    fail_only("o", 0, ENOENT);
    CHECK_STATUS(segment_clear_leftover(leftover, &doctor.is_cleared),
                 STATUS_OK);
    CHECK_EQUAL(faults.failed, 'o');
    faults_reset();
}

/* Two publications come between finding that the name is free and clearing: the
 * second one is about to rename what is to be cleared. */
static void
test_publisher_keeps_what_was_taken_for_a_leftover(void)
{
    struct slice name = {(const unsigned char *)scratch.path + 9,
                         strlen(scratch.path) - 9};
    CHECK_STATUS(segment_path(name, doctor.path), STATUS_OK);
    doctor.is_cleared = true;
    faults_reset();
    CHECK_STATUS(publish_number_on(doctor.path, &UNFORCED, 1), STATUS_OK);
    faults.renaming = clear_what_is_in_use;
    enum status status = publish_number_on(doctor.path, &FORCED, 2);
    faults_reset();
    check_published(doctor.path, 2, 2);
    CHECK_STATUS(segment_remove(doctor.path, NULL), STATUS_OK);
    CHECK_STATUS(status, STATUS_OK);
    CHECK(!doctor.is_cleared);
}

/* Looking at the map, locking it, looking at the name; the same with the
 * leftover; clearing. */
static void
test_failure_of_any_call_while_clearing_is_an_error(void)
{
    char path[SEGMENT_PATH_SIZE], leftover[SEGMENT_PATH_SIZE + 1];
    struct slice name = {(const unsigned char *)scratch.path + 9,
                         strlen(scratch.path) - 9};
    CHECK_STATUS(segment_path(name, path), STATUS_OK);
    snprintf(leftover, sizeof(leftover), "%s~", path);
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    write_file(leftover, "left", 4);
    for (long left = 0; left < 9; left++) {
        bool is_cleared = true;
        int descriptors = count_descriptors();
        fail_only("osktu", left, EIO);
        CHECK_STATUS(
            segment_clear_leftover(strrchr(leftover, '/') + 1, &is_cleared),
            STATUS_SYSTEM);
        CHECK_EQUAL(errno, EIO);
        CHECK_EQUAL(faults.failed, "osktosktu"[left]);
        faults_reset();
        CHECK(!is_cleared);
        CHECK_STATUS(segment_check_free(leftover, NULL), STATUS_NAME_TAKEN);
        CHECK_EQUAL(count_descriptors(), descriptors);
    }
    // Meanwhile the name of the leftover has come to lead elsewhere.
    bool is_cleared = true;
    fail_only("t", 1, 0);
    CHECK_STATUS(
        segment_clear_leftover(strrchr(leftover, '/') + 1, &is_cleared),
        STATUS_OK);
    CHECK_EQUAL(faults.failed, 't');
    faults_reset();
    CHECK(!is_cleared);
    CHECK_STATUS(segment_check_free(leftover, NULL), STATUS_NAME_TAKEN);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_STATUS(segment_check_free(leftover, NULL), STATUS_OK);
}

/* A signal that is to end a publication does not wait until what killed
 * publishers left is cleared. */
static void
test_signal_that_stops_does_so_in_any_call_that_clears(void)
{
    char path[512], leftover[600], draft[600];
    int questions = 0;
    struct publish_options options = FORCED;
    options.lock.interrupt = (struct interrupt){
        .is_due = is_never_due,
        .context = &questions,
        .is_due_now = count_and_stop,
    };
    snprintf(path, sizeof(path), "%s", scratch_path("map"));
    snprintf(leftover, sizeof(leftover), "%s~", path);
    snprintf(draft, sizeof(draft), "%s~0123456789abcdef", path);
    for (int i = 3; i >= 0; i--) {
        const bool is_due = i / 2, has_name = i % 2;
        options.lock.interrupt.is_due_now =
            is_due ? count_and_stop : is_never_due;
        for (long left = 0;; left++) {
            faults_reset();
            CHECK_STATUS(publish_number_on(path, &FORCED, 1), STATUS_OK);
            write_file(leftover, "left", 4);
            write_file(draft, "", 0);
            fail_only("Oostru", left, EINTR);
            faults.tmpfile_error = has_name ? EOPNOTSUPP : 0;
            enum status status = publish_number_on(path, &options, 2);
            bool has_failed = faults.failed != 0;
            faults_reset();
            bool is_interrupted = is_due && has_failed;
            // The temporary name of the draft itself goes in spite of signals.
            CHECK(status == STATUS_OK
                  || (is_interrupted && status == STATUS_INTERRUPTED));
            struct segment segment = open_segment(path);
            CHECK_EQUAL(number_in(&segment), status == STATUS_OK ? 2 : 1);
            segment_close(&segment);
            (void)unlink(leftover);
            (void)unlink(draft);
            CHECK_EQUAL(scratch_file_count(), 1);
            CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
            if (!has_failed) {
                CHECK(left > (has_name ? 12 : 8));
                break;
            }
        }
    }
}

static void
test_signal_that_stops_does_so_beside_a_name_that_is_squatted(void)
{
    const char *path = scratch_path("map"), *squatter = scratch_path("map~");
    int questions = 0;
    struct publish_options options = FORCED;
    options.lock.interrupt = (struct interrupt){
        .is_due = is_never_due,
        .context = &questions,
        .is_due_now = count_and_stop,
    };
    faults_reset();
    CHECK_STATUS(publish_number_on(path, &FORCED, 1), STATUS_OK);
    CHECK_EQUAL(mkdir(squatter, 0700), 0);
    fail_only("O", 0, EINTR);
    CHECK_STATUS(publish_number_on(path, &options, 2), STATUS_INTERRUPTED);
    CHECK_EQUAL(questions, 1);
    faults_reset();
    CHECK_EQUAL(rmdir(squatter), 0);
    check_published(path, 1, 1);
    // A name is removed in spite of signals that end nothing.
    fail_only("u", 0, EINTR);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_EQUAL(faults.failed, 'u');
    faults_reset();
    CHECK_EQUAL(scratch_file_count(), 0);
}

static const struct test tests[] = {
    TEST(test_draft_of_a_killed_publisher_is_cleared_by_the_next),
    TEST(test_only_drafts_of_the_path_are_cleared),
    TEST(test_drafts_of_a_path_without_a_directory_are_cleared),
    TEST(test_draft_that_is_lost_before_it_is_locked_is_made_again),
    TEST(test_draft_of_a_long_name_leaves_the_temporary_names_of_others),
    TEST(test_draft_that_can_never_be_locked_is_an_error),
    TEST(test_second_name_of_the_map_is_cleared_and_the_map_stays),
    TEST_LINUX(test_publisher_keeps_what_was_taken_for_a_leftover),
    TEST(test_signal_that_stops_does_so_in_any_call_that_clears),
    TEST(test_signal_that_stops_does_so_beside_a_name_that_is_squatted),
    TEST(test_failure_of_any_call_while_clearing_is_an_error),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
