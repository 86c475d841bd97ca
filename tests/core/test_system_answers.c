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

/* What is no regular file, and what is not known. */
static void
test_absent_device_is_of_a_special_file_or_an_error(void)
{
    static const int errors[] = {ENXIO, ENODEV};
    const char *path = scratch_path("map");
    CHECK_EQUAL(mkfifo(path, 0600), 0);
    for (int i = 0; i < 2; i++) {
        fail_only("o", 0, errors[i]);
        CHECK_STATUS(status_of_open(path), STATUS_NOT_REGULAR);
        fail_only("oS", 0, errors[i]);
        faults.is_endless = true;
        CHECK_STATUS(status_of_open(path), STATUS_SYSTEM);
        CHECK_EQUAL(errno, errors[i]);
    }
    faults_reset();
    CHECK_EQUAL(unlink(path), 0);
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

/* Not for a moment: it would leave no space for all others. */
static void
test_draft_that_cannot_fit_reserves_nothing(void)
{
    struct draft draft;
    faults_reset();
    CHECK_STATUS(draft_create(&draft, scratch_path("map"), UINT64_C(1) << 60,
                              &UNFORCED),
                 STATUS_NO_SPACE);
    CHECK_EQUAL(errno, ENOSPC);
    CHECK(strchr(faults.calls, 'a') == NULL);
    faults_reset();
}

/* Opens the map of another user whose number is said to be 65534, with these
 * texts of the system; one of these calls fails, if `left` is not negative. */
static enum status
status_of_unmapped_owner(const char *path, const char *map, const char *number,
                         const char *letters, long left, int error)
{
    struct segment segment = SEGMENT_EMPTY;
    struct open_options named = {.has_owner = true, .owner = 65534};
    char uid_map[512], overflow_uid[512];
    snprintf(uid_map, sizeof(uid_map), "%s", scratch_path("uid_map"));
    snprintf(overflow_uid, sizeof(overflow_uid), "%s", scratch_path("uid"));
    faults_reset();
    if (map != NULL) {
        write_file(uid_map, map, strlen(map));
    }
    if (number != NULL) {
        write_file(overflow_uid, number, strlen(number));
    }
    fail_only(letters, left, error);
    faults.is_masked = true;
    faults.user = 41001;
    faults.owner = 65534;
    faults.uid_map = uid_map;
    faults.overflow_uid = overflow_uid;
    faults.has_no_proc = map == NULL && number == NULL;
    enum status status = segment_open(&segment, path, named, NULL);
    CHECK(left < 0 || faults.failed != 0);
    segment_close(&segment);
    faults_reset();
    (void)unlink(uid_map);
    (void)unlink(overflow_uid);
    return status;
}

static void
test_owner_who_may_be_any_unmapped_user_is_not_believed(void)
{
    static const char every[] = "         0          0 4294967295\n";
    static const struct {
        const char *map, *number, *letters;
        long left;
        int error;
        enum status status;
    } cases[] = {
        {every, "65534\n", "", -1, 0, STATUS_OK},
        {every, NULL, "", -1, 0, STATUS_OK},
        {"", "65534\n", "", -1, 0, STATUS_UNMAPPED_OWNER},
        {"0 0 65536\n", "65534\n", "", -1, 0, STATUS_UNMAPPED_OWNER},
        {"0 1 4294967295\n", "65534\n", "", -1, 0, STATUS_UNMAPPED_OWNER},
        {"1 0 4294967294\n", NULL, "", -1, 0, STATUS_UNMAPPED_OWNER},
        {"0 0 65536\n", "65533\n", "", -1, 0, STATUS_OK},
        // There are no namespaces; /proc is not mounted.
        {NULL, "65534\n", "", -1, 0, STATUS_OK},
        {NULL, NULL, "", -1, 0, STATUS_UNMAPPED_OWNER},
        // What cannot be found out does not speak for the owner.
        {every, "65534\n", "o", 2, EMFILE, STATUS_UNMAPPED_OWNER},
        {every, "65534\n", "e", 1, EIO, STATUS_UNMAPPED_OWNER},
        {every, "65534\n", "e", 1, EINTR, STATUS_OK},
    };
    char path[512];
    snprintf(path, sizeof(path), "%s", scratch_path("map"));
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_STATUS(status_of_unmapped_owner(
                         path, cases[i].map, cases[i].number, cases[i].letters,
                         cases[i].left, cases[i].error),
                     cases[i].status);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_access_tells_owners_modes_and_who_we_are(void)
{
    const char *path = scratch_path("map");
    struct segment_access access;
    CHECK_EQUAL(chmod(scratch.path, 01700), 0);
    segment_inspect_access(path, &access);
    CHECK(!access.exists);
    CHECK(access.has_directory && access.may_write_directory);
    CHECK_EQUAL(access.directory_mode, 01700);
    CHECK_EQUAL(access.directory_owner, geteuid());
    CHECK_STATUS(publish_number(path, false, 0640, 1), STATUS_OK);
    segment_inspect_access(path, &access);
    CHECK(access.exists);
    CHECK_EQUAL(access.mode, 0640);
    CHECK_EQUAL(access.owner, geteuid());
    CHECK_EQUAL(access.user, geteuid());
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    segment_inspect_access(scratch_path("none/map"), &access);
    CHECK(!access.exists && !access.has_directory);
    CHECK(!access.may_write_directory);
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
    TEST(test_absent_device_is_of_a_special_file_or_an_error),
    TEST(test_refusal_to_make_a_draft_has_the_status_of_its_error),
    TEST_LINUX(test_owner_is_refused_by_no_other_error_than_eperm),
    TEST(test_draft_where_space_is_not_told_is_made),
    TEST(test_draft_that_cannot_fit_reserves_nothing),
    TEST_LINUX(test_owner_who_may_be_any_unmapped_user_is_not_believed),
    TEST(test_access_tells_owners_modes_and_who_we_are),
    TEST(test_draft_that_is_neither_reserved_nor_filled_is_an_error),
    TEST(test_turn_ends_where_the_holder_of_the_lock_is_not_told),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
