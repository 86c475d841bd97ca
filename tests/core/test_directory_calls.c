/* tests/core/test_directory_calls.c
 *
 * Each call of the system that listing and watching the names makes fails
 * once: that is an error with the errno of the call, or it does not matter;
 * and nothing is left open.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/faults.h"

#include "core/check.h"
#include "core/files.h"
#include "core/segment/segment.h"

static void
test_names_that_cannot_be_read_are_an_error(void)
{
    struct segment_names *names = NULL;
    struct slice name;
    int descriptors = count_descriptors();
    fail_only("O", 0, EMFILE);
    CHECK_STATUS(segment_names_open(&names), STATUS_SYSTEM);
    CHECK_EQUAL(errno, EMFILE);
    CHECK(names == NULL);

    fail_only("O", 0, EINTR);
    CHECK_STATUS(segment_names_open(&names), STATUS_OK);
    fail_only("N", 0, EIO);
    CHECK_STATUS(segment_names_next(names, &name), STATUS_SYSTEM);
    CHECK_EQUAL(errno, EIO);
    CHECK(name.bytes == NULL);
    faults_reset();
    segment_names_close(names);
    CHECK_EQUAL(count_descriptors(), descriptors);
}

static void
test_watch_that_cannot_be_opened_is_an_error(void)
{
    int descriptor;
    int descriptors = count_descriptors();
    fail_only("i", 0, EMFILE);
    CHECK_STATUS(segment_watch_open(&descriptor), STATUS_SYSTEM);
    CHECK_EQUAL(errno, EMFILE);
    fail_only("I", 0, ENOSPC);
    CHECK_STATUS(segment_watch_open(&descriptor), STATUS_SYSTEM);
    CHECK_EQUAL(errno, ENOSPC);
    faults_reset();
    CHECK_EQUAL(count_descriptors(), descriptors);
}

/* In a container that has no /dev/shm, or a file of that name. */
static void
test_absent_directory_of_names_has_a_status_of_its_own(void)
{
    static const int errors[] = {ENOENT, ENOTDIR};
    int descriptors = count_descriptors();
    for (int i = 0; i < 2; i++) {
        struct segment_names *names = NULL;
        int descriptor;
        fail_only("O", 0, errors[i]);
        CHECK_STATUS(segment_names_open(&names), STATUS_SHM_ABSENT);
        CHECK(names == NULL);
        fail_only("I", 0, errors[i]);
        CHECK_STATUS(segment_watch_open(&descriptor), STATUS_SHM_ABSENT);
        CHECK_EQUAL(faults.failed, 'I');
        faults_reset();
        CHECK_EQUAL(count_descriptors(), descriptors);
    }
}

static void
test_watch_goes_on_after_a_signal_and_has_nothing_after_an_error(void)
{
    struct segment_watch watch;
    struct slice name;
    int descriptor;
    CHECK_STATUS(segment_watch_open(&descriptor), STATUS_OK);
    fail_only("e", 0, EIO);
    CHECK(!segment_watch_read(&watch, descriptor));
    CHECK_EQUAL(faults.failed, 'e');
    CHECK(!segment_watch_next(&watch, &name));

    char file[SEGMENT_PATH_SIZE];
    CHECK_STATUS(segment_path(SLICE("sharedmap-test-watch"), file), STATUS_OK);
    faults_reset();
    write_file(file, "x", 1);
    fail_only("e", 0, EINTR);
    CHECK(segment_watch_read(&watch, descriptor));
    CHECK_EQUAL(faults.failed, 'e');
    faults_reset();
    CHECK_EQUAL(unlink(file), 0);
    segment_watch_close(descriptor);
}

static const struct test tests[] = {
    TEST(test_names_that_cannot_be_read_are_an_error),
    TEST_LINUX(test_watch_that_cannot_be_opened_is_an_error),
    TEST_LINUX(test_absent_directory_of_names_has_a_status_of_its_own),
    TEST_LINUX(
        test_watch_goes_on_after_a_signal_and_has_nothing_after_an_error),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
