/* tests/core/test_segment_owner.c
 *
 * Other users. Only root can act as somebody else, so for others these tests
 * have nothing to do.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/check.h"
#include "core/files.h"
#include "core/segment/segment.h"
#include "core/update.h"

enum { ALICE = 41001, BOB = 41002 };

static void
test_nobody_publishes_over_the_map_of_another(void)
{
    const char *path = scratch_path("map");
    if (geteuid() != 0) {
        skip_test("only root can act as somebody else");
        return;
    }
    CHECK_STATUS(publish_number(path, false, 0644, 7), STATUS_OK);
    CHECK_EQUAL(chown(path, ALICE, ALICE), 0);
    pid_t bob = start_child();
    if (bob == 0) {
        CHECK_EQUAL(setresuid(BOB, BOB, BOB), 0);
        CHECK_STATUS(publish_number(path, false, 0600, 8), STATUS_NAME_TAKEN);
        CHECK_STATUS(publish_number(path, true, 0600, 8), STATUS_SYSTEM);
        CHECK_EQUAL(errno, EACCES);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_SYSTEM);
        CHECK_EQUAL(errno, EACCES);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(bob), 0);

    // Even where the other lets everybody write.
    CHECK_EQUAL(chmod(path, 0666), 0);
    bob = start_child();
    if (bob == 0) {
        CHECK_EQUAL(setresuid(BOB, BOB, BOB), 0);
        CHECK_STATUS(publish_number(path, true, 0600, 8),
                     STATUS_FOREIGN_OWNER);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_FOREIGN_OWNER);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(bob), 0);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_EQUAL(chown(path, 0, 0), 0);
    CHECK_EQUAL(chmod(path, 0644), 0);
    check_published(path, 7, 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Root could, but would hand its data to whoever took the name first. */
static void
test_root_neither_replaces_nor_removes_the_map_of_another(void)
{
    const char *path = scratch_path("map");
    if (geteuid() != 0) {
        skip_test("only root can act as somebody else");
        return;
    }
    pid_t alice = start_child();
    if (alice == 0) {
        CHECK_EQUAL(setresgid(ALICE, ALICE, ALICE), 0);
        CHECK_EQUAL(setresuid(ALICE, ALICE, ALICE), 0);
        CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(alice), 0);
    struct publish_update update = {.label = SLICE("")};
    struct holder holder;
    CHECK_STATUS(publish_number(path, false, 0600, 2), STATUS_NAME_TAKEN);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_FOREIGN_OWNER);
    CHECK_STATUS(publish_update(&update, path), STATUS_FOREIGN_OWNER);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_FOREIGN_OWNER);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_FOREIGN_OWNER);
    CHECK_EQUAL(scratch_file_count(), 1);

    // A squatter need not even have published a map.
    CHECK_EQUAL(unlink(path), 0);
    write_file(path, "mine", 4);
    CHECK_EQUAL(chown(path, BOB, BOB), 0);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_FOREIGN_OWNER);
    CHECK_EQUAL(stat_of(path).st_size, 4);
    CHECK_EQUAL(unlink(path), 0);
}

static void
test_temporary_name_of_another_user_is_avoided(void)
{
    const char *path = scratch_path("map");
    const char *squatter = scratch_path("map~");
    if (geteuid() != 0) {
        skip_test("only root can act as somebody else");
        return;
    }
    write_file(squatter, "mine", 4);
    CHECK_EQUAL(chown(squatter, BOB, BOB), 0);
    pid_t alice = start_child();
    if (alice == 0) {
        CHECK_EQUAL(setresuid(ALICE, ALICE, ALICE), 0);
        CHECK_STATUS(publish_number(path, true, 0600, 1), STATUS_OK);
        CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
        check_published(path, 2, 2);
        CHECK_EQUAL(scratch_file_count(), 2);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(alice), 0);
    CHECK_EQUAL(stat_of(squatter).st_size, 4);
    CHECK_EQUAL(unlink(squatter), 0);
}

static const struct test tests[] = {
    TEST(test_nobody_publishes_over_the_map_of_another),
    TEST(test_root_neither_replaces_nor_removes_the_map_of_another),
    TEST(test_temporary_name_of_another_user_is_avoided),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
