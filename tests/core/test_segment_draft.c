/* tests/core/test_segment_draft.c
 *
 * Files that are being filled and have no name yet.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "core/check.h"
#include "core/files.h"
#include "core/segment/segment.h"

static void
test_draft_is_a_whole_file_without_a_name(void)
{
    struct draft draft;
    struct stat file;
    struct publish_options options = {.mode = 0640};
    CHECK_STATUS(draft_create(&draft, scratch_path("map"), 3000000, &options),
                 STATUS_OK);
    CHECK(draft.temporary == NULL);
    CHECK_EQUAL(scratch_file_count(), 0);
    CHECK_EQUAL(fstat(draft.file.descriptor, &file), 0);
    CHECK_EQUAL(file.st_nlink, 0);
    CHECK_EQUAL(file.st_size, 3000000);
    CHECK_EQUAL(file.st_mode & 07777, 0640);
    CHECK(file.st_blocks * 512 >= 3000000);  // no holes
    CHECK_EQUAL(fcntl(draft.file.descriptor, F_GETFD) & FD_CLOEXEC,
                FD_CLOEXEC);
    draft_close(&draft);
    CHECK_EQUAL(scratch_file_count(), 0);
}

static void
test_draft_close_accepts_what_is_closed(void)
{
    struct draft draft = DRAFT_EMPTY;
    draft_close(&draft);
    CHECK_STATUS(draft_create(&draft, scratch_path("map"), 64, &UNFORCED),
                 STATUS_OK);
    draft_close(&draft);
    CHECK_EQUAL(draft.file.descriptor, -1);
    draft_close(&draft);
}

static void
test_drafts_close_in_any_order(void)
{
    struct draft drafts[3];
    static const int orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2}};
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            CHECK_STATUS(
                draft_create(&drafts[j], scratch_path("map"), 64, &UNFORCED),
                STATUS_OK);
        }
        for (int j = 0; j < 3; j++) {
            draft_close(&drafts[orders[i][j]]);
        }
    }
}

static void
test_draft_in_no_directory_fails(void)
{
    struct draft draft;
    char path[5000];
    CHECK_STATUS(
        draft_create(&draft, scratch_path("no/such/map"), 64, &UNFORCED),
        STATUS_SYSTEM);
    CHECK_EQUAL(errno, ENOENT);
    CHECK_EQUAL(draft.file.descriptor, -1);

    memset(path, 'x', sizeof(path));
    path[0] = path[4500] = '/';
    path[4999] = '\0';
    CHECK_STATUS(draft_create(&draft, path, 64, &UNFORCED), STATUS_SYSTEM);
    CHECK_EQUAL(errno, ENAMETOOLONG);
    draft_close(&draft);
}

static void
test_draft_of_an_impossible_size_fails(void)
{
    static const uint64_t sizes[] = {UINT64_C(1) << 63, UINT64_MAX};
    for (int i = 0; i < 2; i++) {
        struct draft draft;
        CHECK_STATUS(
            draft_create(&draft, scratch_path("map"), sizes[i], &UNFORCED),
            STATUS_SYSTEM);
        CHECK_EQUAL(errno, EFBIG);
        CHECK_EQUAL(draft.file.descriptor, -1);
    }
}

static const struct test tests[] = {
    TEST_LINUX(test_draft_is_a_whole_file_without_a_name),
    TEST(test_draft_close_accepts_what_is_closed),
    TEST(test_drafts_close_in_any_order),
    TEST(test_draft_in_no_directory_fails),
    TEST(test_draft_of_an_impossible_size_fails),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
