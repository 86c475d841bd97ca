/* tests/core/test_segment_limits.c
 *
 * Publishing where the system sets limits: signals, descriptors, sizes, space,
 * inodes, and calls that fail for no reason at all.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "core/check.h"
#include "core/files.h"
#include "core/segment/segment.h"

static void
ignore_signal(int number)
{
}

static void
test_signals_do_not_disturb_a_publication(void)
{
    enum { SIZE = 64 << 20 };
    const char *path = scratch_path("map");
    pid_t child = start_child();
    if (child == 0) {
        // Without SA_RESTART any system call may end early, with EINTR.
        struct sigaction action = {.sa_handler = ignore_signal};
        struct itimerval often = {.it_interval.tv_usec = 200,
                                  .it_value.tv_usec = 200};
        struct draft draft;
        unsigned char *bytes = calloc(1, SIZE);
        CHECK(bytes != NULL);
        CHECK_EQUAL(sigaction(SIGALRM, &action, NULL), 0);
        CHECK_EQUAL(setitimer(ITIMER_REAL, &often, NULL), 0);
        CHECK_STATUS(draft_create(&draft, path, SIZE, &UNFORCED), STATUS_OK);
        CHECK_STATUS(draft_write(&draft, 0, bytes, SIZE), STATUS_OK);
        draft_close(&draft);
        for (int i = 1; i <= 500; i++) {
            CHECK_STATUS(publish_number(path, true, 0600, i), STATUS_OK);
        }
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK_EQUAL(scratch_file_count(), 0);
}

static void
test_no_descriptor_left_is_an_error_and_nothing_else(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    pid_t child = start_child();
    if (child == 0) {
        // One after the other of the calls that need a descriptor fails.
        for (rlim_t left = 0; left < 2; left++) {
            int lowest_free = dup(0);
            close(lowest_free);
            struct rlimit limit = {(rlim_t)lowest_free + left,
                                   (rlim_t)lowest_free + 10};
            CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
            CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_SYSTEM);
            CHECK_EQUAL(errno, EMFILE);
            if (left == 0) {
                CHECK_STATUS(status_of_open(path), STATUS_SYSTEM);
                CHECK_STATUS(segment_remove(path, NULL), STATUS_SYSTEM);
                CHECK_EQUAL(errno, EMFILE);
            }
        }
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK_EQUAL(scratch_file_count(), 1);
    check_published(path, 1, 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_file_size_limit_is_an_error_and_nothing_else(void)
{
    pid_t child = start_child();
    if (child == 0) {
        struct rlimit limit = {1 << 20, 1 << 20};
        struct draft draft;
        signal(SIGXFSZ, SIG_IGN);
        CHECK_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
        CHECK_STATUS(
            draft_create(&draft, scratch_path("map"), 2 << 20, &UNFORCED),
            STATUS_SYSTEM);
        CHECK_EQUAL(errno, EFBIG);
        CHECK_EQUAL(draft.file.descriptor, -1);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK_EQUAL(scratch_file_count(), 0);
}

/* Mounts a small file system over the scratch directory, which only this
 * process sees; false when the system does not allow it. */
static bool
mount_small(const char *options)
{
    return unshare(CLONE_NEWNS) == 0
           && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0
           && mount("none", scratch.path, "tmpfs", 0, options) == 0;
}

enum { NOT_ALLOWED = 77 };

static void
test_full_file_system_is_no_space_and_the_old_map_stays(void)
{
    pid_t child = start_child();
    if (child == 0) {
        if (!mount_small("size=1m")) {
            _exit(NOT_ALLOWED);
        }
        const char *path = scratch_path("map");
        struct draft draft;
        CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
        struct segment old = open_segment(path);
        uint64_t space = segment_space(path);
        for (uint64_t size = space + 1; size < 8 * space; size *= 2) {
            CHECK_STATUS(draft_create(&draft, path, size, &UNFORCED),
                         STATUS_NO_SPACE);
            CHECK_EQUAL(errno, ENOSPC);
            CHECK_EQUAL(segment_space(path), space);
        }
        // To the last byte it works.
        CHECK_STATUS(draft_create(&draft, path, space, &UNFORCED), STATUS_OK);
        CHECK_EQUAL(segment_space(path), 0);
        CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_NO_SPACE);
        draft_close(&draft);
        CHECK_EQUAL(number_in(&old), 1);
        CHECK_EQUAL(header_in(&old)->head, 0);
        check_published(path, 1, 1);
        CHECK_EQUAL(scratch_file_count(), 1);
        _exit(0);
    }
    int end = end_of_child(child);
    if (end == NOT_ALLOWED) {
        skip_test("mounting is not allowed");
        return;
    }
    CHECK_EQUAL(end, 0);
}

/* Inodes and names count as well: each step that needs one fails once. */
static void
test_file_system_without_inodes_is_no_space_and_the_old_map_stays(void)
{
    bool has_failed = false, has_succeeded = false;
    for (int inodes = 2; inodes <= 6; inodes++) {
        pid_t child = start_child();
        if (child == 0) {
            char options[32];
            snprintf(options, sizeof(options), "size=1m,nr_inodes=%d", inodes);
            if (!mount_small(options)) {
                _exit(NOT_ALLOWED);
            }
            const char *path = scratch_path("map");
            enum status status = publish_number(path, false, 0600, 1);
            if (status == STATUS_OK) {
                struct segment old = open_segment(path);
                status = publish_number(path, true, 0600, 2);
                bool is_replaced = status == STATUS_OK;
                CHECK_EQUAL(header_in(&old)->head, is_replaced);
                check_published(path, is_replaced ? 2 : 1,
                                is_replaced ? 2 : 1);
            }
            else {
                CHECK_STATUS(segment_check_free(path, NULL), STATUS_OK);
            }
            CHECK(scratch_file_count() <= 1);
            if (status != STATUS_OK) {
                CHECK_STATUS(status, STATUS_NO_SPACE);
            }
            _exit(status == STATUS_OK ? 0 : 1);
        }
        int end = end_of_child(child);
        if (end == NOT_ALLOWED) {
            skip_test("mounting is not allowed");
            return;
        }
        has_succeeded = has_succeeded || end == 0;
        has_failed = has_failed || (end == 1 && !has_succeeded);
        CHECK(end == 0 || end == 1);
    }
    CHECK(has_failed);
    CHECK(has_succeeded);
}

static const struct test tests[] = {
    TEST(test_signals_do_not_disturb_a_publication),
    TEST(test_no_descriptor_left_is_an_error_and_nothing_else),
    TEST(test_file_size_limit_is_an_error_and_nothing_else),
    TEST(test_full_file_system_is_no_space_and_the_old_map_stays),
    TEST(test_file_system_without_inodes_is_no_space_and_the_old_map_stays),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
