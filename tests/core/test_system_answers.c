/* tests/core/test_system_answers.c
 *
 * What the core makes of certain answers of the system: that /dev/shm is
 * absent, that a file system does not know a call or does not tell its size.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/faults.h"

#include "core/check.h"
#include "core/files.h"
#include "core/segment/lock.h"
#include "core/segment/segment.h"

/* Only what was to be in the directory of the names says that it is absent. */
static void
test_name_in_an_absent_directory_of_names_has_a_status_of_its_own(void)
{
    const char *path = scratch_path("map");
    fail_only("oS", 0, ENOENT);
    faults.is_endless = true;
    CHECK_STATUS(status_of_open(path), STATUS_SHM_ABSENT);
    CHECK_EQUAL(faults.failed, 'S');
    CHECK_STATUS(status_of_open("/dev/shm-not/map"), STATUS_NAME_ABSENT);
    CHECK_EQUAL(faults.failed, 'o');
    fail_only("oS", 0, ENOTDIR);
    faults.is_endless = true;
    CHECK_STATUS(status_of_open(path), STATUS_SHM_ABSENT);
    // The directory is there, or is something else.
    fail_only("o", 0, ENOTDIR);
    CHECK_STATUS(status_of_open(path), STATUS_SYSTEM);
    CHECK_EQUAL(errno, ENOTDIR);
    fail_only("S", 0, 0);
    CHECK_STATUS(status_of_open(path), STATUS_SHM_ABSENT);
    fail_only("S", 1, 0);
    CHECK_STATUS(status_of_open(path), STATUS_NAME_ABSENT);
    faults_reset();
}

/* In the directory of the names; elsewhere they are errors as any other. */
static void
test_refusal_to_make_a_draft_has_the_status_of_its_error(void)
{
    static const struct {
        int error;
        enum status status;
    } cases[] = {
        {ENOENT, STATUS_SHM_ABSENT},    {ENOTDIR, STATUS_SHM_ABSENT},
        {EACCES, STATUS_SHM_READ_ONLY}, {EPERM, STATUS_SHM_READ_ONLY},
        {EROFS, STATUS_SHM_READ_ONLY},  {EMFILE, STATUS_SYSTEM},
        {ENOSPC, STATUS_NO_SPACE},      {EAGAIN, STATUS_SYSTEM},
    };
    char path[SEGMENT_PATH_SIZE];
    CHECK_STATUS(segment_path(SLICE("sharedmap-test-draft"), path), STATUS_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct draft draft;
        fail_only("o", 0, cases[i].error);
        CHECK_STATUS(draft_create(&draft, path, 64, &UNFORCED),
                     cases[i].status);
        CHECK_EQUAL(errno, cases[i].error);
        CHECK_EQUAL(draft.file.descriptor, -1);
        fail_only("o", 0, cases[i].error);
        CHECK_STATUS(draft_create(&draft, scratch_path("map"), 64, &UNFORCED),
                     cases[i].error == ENOSPC ? STATUS_NO_SPACE
                                              : STATUS_SYSTEM);
    }
    faults_reset();
}

/* A file system that knows no such flag says so, to its owner as well. */
static void
test_owner_is_refused_by_no_other_error_than_eperm(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    fail_only("f", 0, EINVAL);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    CHECK_EQUAL(faults.failed, 'f');
    holder_close(&holder);
    fail_only("f", 0, EPERM);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_FOREIGN_OWNER);
    faults_reset();
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* As by a tmpfs without a limit, which has no blocks. */
static void
test_draft_where_space_is_not_told_is_made(void)
{
    static const int errors[] = {0, EIO};
    for (int i = 0; i < 2; i++) {
        struct draft draft;
        fail_only("V", 0, errors[i]);
        CHECK_STATUS(draft_create(&draft, scratch_path("map"), 64, &UNFORCED),
                     STATUS_OK);
        CHECK_EQUAL(faults.failed, 'V');
        faults_reset();
        draft_close(&draft);
    }
}

static void
test_draft_that_is_neither_reserved_nor_filled_is_an_error(void)
{
    struct draft draft;
    fail_only("aw", 0, EOPNOTSUPP);
    faults.is_endless = true;
    CHECK_STATUS(draft_create(&draft, scratch_path("map"), 3 << 20, &UNFORCED),
                 STATUS_SYSTEM);
    CHECK_EQUAL(errno, EOPNOTSUPP);
    CHECK_EQUAL(faults.failed, 'w');
    faults_reset();
    CHECK_EQUAL(draft.file.descriptor, -1);
    CHECK_EQUAL(scratch_file_count(), 0);
}

/* Nobody came at the time 7. Where the system does not tell that nobody has
 * the lock, the turn ends as well. */
static void
test_turn_ends_where_the_holder_of_the_lock_is_not_told(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    struct snapshot_header *header = holder.header;
    CHECK(header != NULL);
    header->waiting_since = 7;
    holder_close(&holder);
    fail_only("K", 0, EINVAL);
    faults.is_endless = true;
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    CHECK_EQUAL(faults.failed, 'K');
    faults_reset();
    CHECK_EQUAL(holder_waiting_since(&holder), 0);
    holder_close(&holder);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static const struct test tests[] = {
    TEST(test_name_in_an_absent_directory_of_names_has_a_status_of_its_own),
    TEST(test_refusal_to_make_a_draft_has_the_status_of_its_error),
    TEST(test_owner_is_refused_by_no_other_error_than_eperm),
    TEST(test_draft_where_space_is_not_told_is_made),
    TEST(test_draft_that_is_neither_reserved_nor_filled_is_an_error),
    TEST(test_turn_ends_where_the_holder_of_the_lock_is_not_told),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
