/* tests/core/test_segment_leftover.c
 *
 * Temporary files of publishers that were killed: who clears them, and when
 * they must stay. They belong to names, so these tests lie in /dev/shm itself.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/check.h"
#include "core/files.h"
#include "core/segment/segment.h"

enum { ALICE = 41001 };

static const char *const marks[] = {"~", "~0123456789abcdef"};

/* The map of this test program, and a temporary file of it. */
struct scene {
    char path[SEGMENT_PATH_SIZE];
    char leftover[SEGMENT_PATH_SIZE + 32];
};

static struct scene
make_scene(const char *mark)
{
    char text[96];
    struct scene scene;
    int size = snprintf(text, sizeof(text), "left/over%s", scratch.path + 9);
    struct slice name = {(unsigned char *)text, (size_t)size};
    CHECK_STATUS(segment_path(name, scene.path), STATUS_OK);
    snprintf(scene.leftover, sizeof(scene.leftover), "%s%s", scene.path, mark);
    return scene;
}

static const char *
file_name_of(const char *path)
{
    return strrchr(path, '/') + 1;
}

static bool
clear(const char *path)
{
    bool is_cleared;
    CHECK_STATUS(segment_clear_leftover(file_name_of(path), &is_cleared),
                 STATUS_OK);
    return is_cleared;
}

static void
test_leftover_is_cleared_and_the_map_stays(void)
{
    for (int i = 0; i < 2; i++) {
        struct scene scene = make_scene(marks[i]);
        CHECK_STATUS(publish_number(scene.path, false, 0640, 7), STATUS_OK);
        write_file(scene.leftover, "half a map", 10);
        CHECK(clear(scene.leftover));
        CHECK_STATUS(segment_check_free(scene.leftover, NULL), STATUS_OK);
        // The lock is given back, and nobody was told of anything.
        check_published(scene.path, 7, 1);
        CHECK_STATUS(publish_number(scene.path, true, 0640, 8), STATUS_OK);
        CHECK_STATUS(segment_remove(scene.path, NULL), STATUS_OK);
    }
}

static void
test_leftover_of_a_name_that_is_free_is_cleared(void)
{
    for (int i = 0; i < 2; i++) {
        struct scene scene = make_scene(marks[i]);
        write_file(scene.leftover, "half a map", 10);
        CHECK(clear(scene.leftover));
        CHECK_STATUS(segment_check_free(scene.leftover, NULL), STATUS_OK);
        // The name's next publisher may have been faster.
        CHECK(clear(scene.leftover));
    }
}

static void
test_nothing_is_cleared_while_somebody_publishes(void)
{
    for (int i = 0; i < 2; i++) {
        struct scene scene = make_scene(marks[i]);
        CHECK_STATUS(publish_number(scene.path, false, 0600, 1), STATUS_OK);
        write_file(scene.leftover, "half a map", 10);
        pid_t locker = start_locker(scene.path, O_RDWR, F_WRLCK);
        CHECK(!clear(scene.leftover));
        CHECK_STATUS(segment_check_free(scene.leftover, NULL),
                     STATUS_NAME_TAKEN);
        // The lock goes with the process.
        kill_child(locker);
        CHECK(clear(scene.leftover));
        CHECK_STATUS(segment_check_free(scene.leftover, NULL), STATUS_OK);
        CHECK_STATUS(segment_remove(scene.path, NULL), STATUS_OK);
    }
}

/* A publisher locks what it uses: a draft that is being filled is under no lock
 * of the name, and the name may have been free a moment ago. */
static void
test_file_that_a_publisher_is_using_is_not_cleared(void)
{
    for (int i = 0; i < 4; i++) {
        struct scene scene = make_scene(marks[i % 2]);
        if (i >= 2) {
            CHECK_STATUS(publish_number(scene.path, false, 0600, 1),
                         STATUS_OK);
        }
        write_file(scene.leftover, "half a map", 10);
        pid_t locker = start_locker(scene.leftover, O_RDWR, F_WRLCK);
        CHECK(!clear(scene.leftover));
        CHECK_STATUS(segment_check_free(scene.leftover, NULL),
                     STATUS_NAME_TAKEN);
        kill_child(locker);
        CHECK(clear(scene.leftover));
        CHECK_STATUS(segment_check_free(scene.leftover, NULL), STATUS_OK);
        if (i >= 2) {
            CHECK_STATUS(segment_remove(scene.path, NULL), STATUS_OK);
        }
    }
}

/* Where it is cleared at this moment, or another user has it. */
static void
test_temporary_name_that_is_locked_is_avoided(void)
{
    struct scene scene = make_scene("~");
    CHECK_STATUS(publish_number(scene.path, false, 0600, 1), STATUS_OK);
    write_file(scene.leftover, "half a map", 10);
    pid_t locker = start_locker(scene.leftover, O_RDWR, F_WRLCK);
    CHECK_STATUS(publish_number(scene.path, true, 0600, 2), STATUS_OK);
    check_published(scene.path, 2, 2);
    CHECK_STATUS(segment_check_free(scene.leftover, NULL), STATUS_NAME_TAKEN);
    kill_child(locker);
    CHECK_STATUS(publish_number(scene.path, true, 0600, 3), STATUS_OK);
    CHECK_STATUS(segment_check_free(scene.leftover, NULL), STATUS_OK);
    // A link has no lock; under that of the name it is cleared.
    CHECK_EQUAL(symlink("/dev/null", scene.leftover), 0);
    CHECK_STATUS(publish_number(scene.path, true, 0600, 4), STATUS_OK);
    CHECK_STATUS(segment_check_free(scene.leftover, NULL), STATUS_OK);
    CHECK_STATUS(segment_remove(scene.path, NULL), STATUS_OK);
}

static void
test_what_is_no_leftover_stays(void)
{
    static const char *const ends[] = {
        "",                    // the map itself
        "~1",                  // neither none nor 16 digits
        "~0123456789abcde",    // 15
        "~0123456789abcdef0",  // 17
        "~0123456789ABCDEF",   // ours are lower case
        "~0123456789abcdeg",
        "~~",    // a tilde that is part of no name
        "%41~",  // of a name that would be encoded otherwise
        ".sharedmap~~",
        "~.orig",
    };
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct scene scene = make_scene(ends[i]);
        write_file(scene.leftover, "mine", 4);
        bool is_cleared = clear(scene.leftover);
        CHECK_EQUAL(unlink(scene.leftover), 0);
        CHECK(!is_cleared);
    }
    // Of no map, or in another directory.
    const char *backup = scratch_path("notes.txt~");
    char above[600];
    write_file(backup, "mine", 4);
    snprintf(above, sizeof(above), "sharedmap./../%s", backup + 9);
    const char *names[] = {backup, backup + 9, above, "", "~", "sharedmap.~"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        bool is_cleared = true;
        CHECK_STATUS(segment_clear_leftover(names[i], &is_cleared), STATUS_OK);
        CHECK(!is_cleared);
    }
    CHECK_STATUS(segment_check_free(backup, NULL), STATUS_NAME_TAKEN);
    CHECK_EQUAL(unlink(backup), 0);
}

static void
test_file_name_that_is_too_long_is_no_leftover(void)
{
    char file_name[400] = "sharedmap.";
    size_t size = strlen(file_name);
    bool is_cleared;
    memset(file_name + size, 'x', 228);
    strcpy(file_name + size + 228, "~0123456789abcdef");
    // The longest that can be one, although there is no such file.
    CHECK_STATUS(segment_clear_leftover(file_name, &is_cleared), STATUS_OK);
    CHECK(is_cleared);
    memset(file_name + size, 'x', 229);
    strcpy(file_name + size + 229, "~");
    CHECK_STATUS(segment_clear_leftover(file_name, &is_cleared), STATUS_OK);
    CHECK(!is_cleared);
    memset(file_name + size, 'x', 300);
    strcpy(file_name + size + 300, "~");
    CHECK_STATUS(segment_clear_leftover(file_name, &is_cleared), STATUS_OK);
    CHECK(!is_cleared);
}

static void
test_what_cannot_be_cleared_is_an_error(void)
{
    struct scene scene = make_scene("~");
    const char *file_name = file_name_of(scene.leftover);
    bool is_cleared = true;
    CHECK_EQUAL(mkdir(scene.leftover, 0700), 0);
    enum status status = segment_clear_leftover(file_name, &is_cleared);
    int error = errno;
    CHECK_EQUAL(rmdir(scene.leftover), 0);
    CHECK_STATUS(status, STATUS_NOT_REGULAR);
    CHECK_EQUAL(error, EISDIR);
    CHECK_EQUAL(mkfifo(scene.leftover, 0600), 0);
    status = segment_clear_leftover(file_name, &is_cleared);
    CHECK_EQUAL(unlink(scene.leftover), 0);
    CHECK_STATUS(status, STATUS_NOT_REGULAR);
    CHECK(!is_cleared);

    // A link under the name is somebody's trick.
    CHECK_EQUAL(symlink("/dev/null", scene.path), 0);
    write_file(scene.leftover, "left", 4);
    is_cleared = true;
    status = segment_clear_leftover(file_name, &is_cleared);
    CHECK_EQUAL(unlink(scene.path), 0);
    CHECK_EQUAL(unlink(scene.leftover), 0);
    CHECK_STATUS(status, STATUS_NOT_REGULAR);
    CHECK(!is_cleared);
}

/* In /dev/shm, as in every directory with a sticky bit. */
static void
test_leftover_of_another_user_is_for_root_to_clear(void)
{
    struct scene scene = make_scene("~");
    if (geteuid() != 0) {
        skip_test("only root can act as somebody else");
        return;
    }
    CHECK_STATUS(publish_number(scene.path, false, 0644, 7), STATUS_OK);
    write_file(scene.leftover, "left", 4);
    for (int is_readable = 0; is_readable < 2; is_readable++) {
        pid_t alice = start_child();
        if (alice == 0) {
            bool is_cleared = true;
            CHECK_EQUAL(setresuid(ALICE, ALICE, ALICE), 0);
            CHECK_STATUS(segment_clear_leftover(file_name_of(scene.leftover),
                                                &is_cleared),
                         STATUS_SYSTEM);
            CHECK(errno == EACCES || errno == EPERM);
            CHECK(!is_cleared);
            _exit(0);
        }
        CHECK_EQUAL(end_of_child(alice), 0);
        CHECK_STATUS(segment_check_free(scene.leftover, NULL),
                     STATUS_NAME_TAKEN);
        CHECK_EQUAL(chmod(scene.path, 0666), 0);
    }
    // Root clears it under the lock of a map that it may not replace.
    CHECK_EQUAL(chmod(scene.path, 0600), 0);
    CHECK_EQUAL(chown(scene.path, ALICE, ALICE), 0);
    CHECK_EQUAL(chown(scene.leftover, ALICE, ALICE), 0);
    CHECK(clear(scene.leftover));
    CHECK_STATUS(segment_check_free(scene.leftover, NULL), STATUS_OK);
    CHECK_EQUAL(stat_of(scene.path).st_uid, ALICE);
    CHECK_EQUAL(chown(scene.path, 0, 0), 0);
    check_published(scene.path, 7, 1);
    CHECK_STATUS(segment_remove(scene.path, NULL), STATUS_OK);
}

/* A publisher whose temporary file is cleared cannot rename it. */
static void
test_publishers_lose_nothing_to_who_clears(void)
{
    enum { PUBLISHERS = 2, PUBLICATIONS = 3000 };
    struct scene scene = make_scene("~");
    pid_t publishers[PUBLISHERS];
    CHECK_STATUS(publish_number(scene.path, false, 0600, 0), STATUS_OK);
    for (int i = 0; i < PUBLISHERS; i++) {
        publishers[i] = start_child();
        for (int j = 0; publishers[i] == 0 && j < PUBLICATIONS; j++) {
            CHECK_STATUS(publish_number(scene.path, true, 0600, j), STATUS_OK);
        }
        if (publishers[i] == 0) {
            _exit(0);
        }
    }
    uint64_t generation = 0;
    while (generation < 1 + PUBLISHERS * PUBLICATIONS) {
        (void)clear(scene.leftover);
        struct segment segment = open_segment(scene.path);
        generation = header_in(&segment)->generation;
        segment_close(&segment);
        for (int i = 0; i < PUBLISHERS; i++) {
            // One that has failed will not come to its last generation.
            siginfo_t ended = {.si_pid = 0};
            CHECK_EQUAL(waitid(P_PID, (id_t)publishers[i], &ended,
                               WEXITED | WNOHANG | WNOWAIT),
                        0);
            CHECK(ended.si_pid == 0 || ended.si_status == 0);
        }
    }
    for (int i = 0; i < PUBLISHERS; i++) {
        CHECK_EQUAL(end_of_child(publishers[i]), 0);
    }
    CHECK_STATUS(segment_check_free(scene.leftover, NULL), STATUS_OK);
    CHECK_STATUS(segment_remove(scene.path, NULL), STATUS_OK);
}

static const struct test tests[] = {
    TEST(test_leftover_is_cleared_and_the_map_stays),
    TEST(test_leftover_of_a_name_that_is_free_is_cleared),
    TEST(test_nothing_is_cleared_while_somebody_publishes),
    TEST(test_file_that_a_publisher_is_using_is_not_cleared),
    TEST(test_temporary_name_that_is_locked_is_avoided),
    TEST(test_what_is_no_leftover_stays),
    TEST(test_file_name_that_is_too_long_is_no_leftover),
    TEST(test_what_cannot_be_cleared_is_an_error),
    TEST(test_leftover_of_another_user_is_for_root_to_clear),
    TEST(test_publishers_lose_nothing_to_who_clears),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
