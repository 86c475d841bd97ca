/* tests/core/test_segment.c
 *
 * Opening: what is believed, what is refused, and that a mapping is what it
 * was whatever becomes of the name.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/segment/segment.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "core/check.h"
#include "core/files.h"

/* ---- reading ------------------------------------------------------------ */

static void
test_open_gives_the_file_that_was_published(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    struct segment segment = open_segment(path);
    struct stat file = stat_of(path);
    CHECK_EQUAL(number_in(&segment), 7);
    CHECK_EQUAL(segment.size, file.st_size);
    CHECK_EQUAL(segment.device, file.st_dev);
    CHECK_EQUAL(segment.inode, file.st_ino);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_close_accepts_what_is_closed(void)
{
    const char *path = scratch_path("map");
    struct segment segment = SEGMENT_EMPTY;
    segment_close(&segment);
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    segment = open_segment(path);
    segment_close(&segment);
    CHECK(segment.bytes == NULL);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_segment_outlives_its_name(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    struct segment segment = open_segment(path);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_STATUS(status_of_open(path), STATUS_NAME_ABSENT);
    CHECK_EQUAL(number_in(&segment), 7);
    segment_close(&segment);
}

static void
test_mapping_cannot_be_written(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    struct segment segment = open_segment(path);
    pid_t child = start_child();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);  // not the sanitizer's
        *(volatile unsigned char *)segment.bytes = 0;
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 1000 + SIGSEGV);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_open_keeps_no_descriptor(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    int before = count_descriptors();
    struct segment segment = open_segment(path);
    CHECK_EQUAL(count_descriptors(), before);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- what is no map ----------------------------------------------------- */

static void
test_absent_name_is_absent(void)
{
    CHECK_STATUS(status_of_open(scratch_path("absent")), STATUS_NAME_ABSENT);
    CHECK_STATUS(status_of_open(scratch_path("no/such/folder")),
                 STATUS_NAME_ABSENT);
    CHECK_STATUS(segment_check_free(scratch_path("absent"), NULL), STATUS_OK);
}

static void
make_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CHECK(strlen(path) < sizeof(address.sun_path));
    strcpy(address.sun_path, path);
    int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(descriptor >= 0);
    CHECK_EQUAL(bind(descriptor, (struct sockaddr *)&address, sizeof(address)),
                0);
    close(descriptor);
}

/* None of these may block; the alarm says so if one does. */
static void
test_open_refuses_what_is_no_regular_file(void)
{
    const char *map = scratch_path("map");
    const char *other = scratch_path("other");
    CHECK_STATUS(publish_number(map, false, 0600, 7), STATUS_OK);
    alarm(5);

    CHECK_EQUAL(mkfifo(other, 0600), 0);
    CHECK_STATUS(status_of_open(other), STATUS_NOT_REGULAR);
    CHECK_STATUS(segment_check_free(other, NULL), STATUS_NAME_TAKEN);
    CHECK_EQUAL(unlink(other), 0);

    CHECK_EQUAL(mkdir(other, 0700), 0);
    CHECK_STATUS(status_of_open(other), STATUS_NOT_REGULAR);
    CHECK_STATUS(segment_check_free(other, NULL), STATUS_NAME_TAKEN);
    CHECK_EQUAL(rmdir(other), 0);

    make_socket(other);
    CHECK_STATUS(status_of_open(other), STATUS_NOT_REGULAR);
    CHECK_STATUS(segment_check_free(other, NULL), STATUS_NAME_TAKEN);
    CHECK_EQUAL(unlink(other), 0);

    CHECK_EQUAL(symlink(map, other), 0);  // even to a good map
    CHECK_STATUS(status_of_open(other), STATUS_NOT_REGULAR);
    CHECK_STATUS(segment_check_free(other, NULL), STATUS_NAME_TAKEN);
    CHECK_EQUAL(unlink(other), 0);

    CHECK_EQUAL(symlink("/nowhere", other), 0);
    CHECK_STATUS(status_of_open(other), STATUS_NOT_REGULAR);
    CHECK_STATUS(segment_check_free(other, NULL), STATUS_NAME_TAKEN);
    CHECK_EQUAL(unlink(other), 0);

    CHECK_STATUS(status_of_open("/dev/null"), STATUS_NOT_REGULAR);
    alarm(0);
    CHECK_STATUS(segment_remove(map, NULL), STATUS_OK);
}

static void
test_open_refuses_files_that_are_no_snapshot(void)
{
    static unsigned char junk[4096];
    const char *path = scratch_path("junk");
    write_file(path, "", 0);
    CHECK_STATUS(status_of_open(path), STATUS_EMPTY);
    write_file(path, "hello", 5);
    CHECK_STATUS(status_of_open(path), STATUS_NOT_A_SNAPSHOT);
    write_file(path, junk, 511);
    CHECK_STATUS(status_of_open(path), STATUS_NOT_A_SNAPSHOT);
    write_file(path, junk, 512);
    CHECK_STATUS(status_of_open(path), STATUS_NOT_A_SNAPSHOT);
    write_file(path, junk, sizeof(junk));
    CHECK_STATUS(status_of_open(path), STATUS_NOT_A_SNAPSHOT);
    CHECK_EQUAL(unlink(path), 0);
}

static void
test_open_refuses_snapshots_that_are_cut_or_damaged(void)
{
    const char *path = scratch_path("map");
    struct image image = image_of_entries(NULL, 0, TREE);
    write_file(path, image.bytes, image.size);
    CHECK_STATUS(status_of_open(path), STATUS_OK);
    write_file(path, image.bytes, image.size - 1);
    CHECK_STATUS(status_of_open(path), STATUS_TRUNCATED);
    image_header(&image)->total_size += 64;
    image_reseal(&image);
    write_file(path, image.bytes, image.size);
    CHECK_STATUS(status_of_open(path), STATUS_TRUNCATED);
    image_header(&image)->total_size -= 64;
    image_header(&image)->version = 2;
    image_reseal(&image);
    write_file(path, image.bytes, image.size);
    CHECK_STATUS(status_of_open(path), STATUS_OTHER_VERSION);
    image_header(&image)->version = 1;
    write_file(path, image.bytes, image.size);
    CHECK_STATUS(status_of_open(path), STATUS_BAD_HEADER_CHECKSUM);
    image_destroy(&image);
    CHECK_EQUAL(unlink(path), 0);
}

/* ---- whom to believe ---------------------------------------------------- */

static void
test_open_refuses_files_that_others_may_write(void)
{
    const char *path = scratch_path("map");
    for (unsigned mode = 0; mode <= 0777; mode++) {
        if ((mode & S_IRUSR) == 0) {
            continue;
        }
        CHECK_STATUS(publish_number(path, true, 0600, 7), STATUS_OK);
        CHECK_EQUAL(chmod(path, mode), 0);
        CHECK_STATUS(status_of_open(path),
                     (mode & 0022) != 0 ? STATUS_OTHERS_MAY_WRITE : STATUS_OK);
        CHECK_EQUAL(chmod(path, 0600), 0);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static enum status
status_of_open_trusting(const char *path, uint32_t owner)
{
    struct segment segment = SEGMENT_EMPTY;
    struct open_options options = {.has_owner = true, .owner = owner};
    enum status status = segment_open(&segment, path, options, NULL);
    segment_close(&segment);
    return status;
}

enum { ALICE = 41001, BOB = 41002 };

static void
test_open_believes_oneself_and_root_and_the_named_owner(void)
{
    const char *path = scratch_path("map");
    if (geteuid() != 0) {
        skip_test("only root can act as somebody else");
        return;
    }
    CHECK_STATUS(publish_number(path, false, 0644, 7), STATUS_OK);
    CHECK_EQUAL(chown(path, ALICE, ALICE), 0);
    CHECK_STATUS(status_of_open(path), STATUS_FOREIGN_OWNER);
    CHECK_STATUS(status_of_open_trusting(path, ALICE), STATUS_OK);
    CHECK_STATUS(status_of_open_trusting(path, BOB), STATUS_FOREIGN_OWNER);

    pid_t alice = start_child();
    if (alice == 0) {
        CHECK_EQUAL(setresuid(ALICE, ALICE, ALICE), 0);
        CHECK_STATUS(status_of_open(path), STATUS_OK);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(alice), 0);

    pid_t bob = start_child();
    if (bob == 0) {
        CHECK_EQUAL(setresuid(BOB, BOB, BOB), 0);
        CHECK_STATUS(status_of_open(path), STATUS_FOREIGN_OWNER);
        CHECK_STATUS(status_of_open_trusting(path, ALICE), STATUS_OK);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(bob), 0);

    CHECK_EQUAL(chown(path, 0, 0), 0);
    bob = start_child();
    if (bob == 0) {
        CHECK_EQUAL(setresuid(BOB, BOB, BOB), 0);
        CHECK_STATUS(status_of_open(path), STATUS_OK);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(bob), 0);

    CHECK_EQUAL(chmod(path, 0600), 0);
    bob = start_child();
    if (bob == 0) {
        CHECK_EQUAL(setresuid(BOB, BOB, BOB), 0);
        CHECK_STATUS(status_of_open(path), STATUS_SYSTEM);
        CHECK_EQUAL(errno, EACCES);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(bob), 0);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- odds and ends ------------------------------------------------------ */

static void
test_unique_ids_are_unique(void)
{
    enum { COUNT = 1000 };
    static unsigned char ids[COUNT][16];
    for (int i = 0; i < COUNT; i++) {
        CHECK_STATUS(segment_unique_id(ids[i]), STATUS_OK);
        for (int j = 0; j < i; j++) {
            CHECK(memcmp(ids[i], ids[j], 16) != 0);
        }
    }
}

static void
test_space_is_what_the_file_system_says(void)
{
    CHECK(segment_space(scratch_path("map")) > 0);
    CHECK(segment_space("/x") > 0);
    CHECK(segment_space("x") > 0);
    CHECK_EQUAL(segment_space(scratch_path("no/such/folder")), 0);
    char path[5000];
    memset(path, 'x', sizeof(path));
    path[0] = path[4500] = '/';
    path[4999] = '\0';
    CHECK_EQUAL(segment_space(path), 0);
}

static void
test_failure_to_open_says_why_in_errno(void)
{
    char path[5000];
    memset(path, 'x', sizeof(path));
    path[4999] = '\0';
    errno = 0;
    CHECK_STATUS(status_of_open(path), STATUS_SYSTEM);
    CHECK_EQUAL(errno, ENAMETOOLONG);
}

static const struct test tests[] = {
    TEST(test_open_gives_the_file_that_was_published),
    TEST(test_close_accepts_what_is_closed),
    TEST(test_segment_outlives_its_name),
    TEST(test_mapping_cannot_be_written),
    TEST(test_open_keeps_no_descriptor),
    TEST(test_absent_name_is_absent),
    TEST(test_open_refuses_what_is_no_regular_file),
    TEST(test_open_refuses_files_that_are_no_snapshot),
    TEST(test_open_refuses_snapshots_that_are_cut_or_damaged),
    TEST(test_open_refuses_files_that_others_may_write),
    TEST(test_open_believes_oneself_and_root_and_the_named_owner),
    TEST(test_unique_ids_are_unique),
    TEST(test_space_is_what_the_file_system_says),
    TEST(test_failure_to_open_says_why_in_errno),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
