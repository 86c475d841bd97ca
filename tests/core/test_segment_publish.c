/* tests/core/test_segment_publish.c
 *
 * Publishing and removing: alone, against things that are in the way, against
 * other publishers, across forks. One test waits for the lock's five seconds;
 * all the others are quick.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "core/check.h"
#include "core/files.h"
#include "core/segment.h"

static double
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void
nap(long milliseconds)
{
    struct timespec pause = {.tv_nsec = milliseconds * 1000000};
    while (nanosleep(&pause, &pause) < 0) {
    }
}

/* Publishes without asking for memory, as the child of a fork must: another
 * thread may have held malloc's lock at that moment. glibc copes with that,
 * the address sanitizer does not. */
static enum status
publish_image(const char *path, bool force, const struct image *image)
{
    struct draft draft;
    struct snapshot_header header = *image_header(image);
    enum status status = draft_create(&draft, path, image->size, 0600);
    if (status == STATUS_OK) {
        status = draft_write(&draft, 0, image->bytes, image->size);
    }
    if (status == STATUS_OK) {
        status = draft_publish(&draft, path, force, &header);
    }
    draft_close(&draft);
    return status;
}

/* ---- drafts ------------------------------------------------------------- */

static void
test_draft_is_a_whole_file_without_a_name(void)
{
    struct draft draft;
    struct stat file;
    CHECK_STATUS(draft_create(&draft, scratch_path("map"), 3000000, 0640),
                 STATUS_OK);
    CHECK_EQUAL(scratch_file_count(), 0);
    CHECK_EQUAL(fstat(draft.descriptor, &file), 0);
    CHECK_EQUAL(file.st_nlink, 0);
    CHECK_EQUAL(file.st_size, 3000000);
    CHECK_EQUAL(file.st_mode & 07777, 0640);
    CHECK(file.st_blocks * 512 >= 3000000);  // no holes
    CHECK_EQUAL(fcntl(draft.descriptor, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    draft_close(&draft);
    CHECK_EQUAL(scratch_file_count(), 0);
}

static void
test_draft_close_accepts_what_is_closed(void)
{
    struct draft draft = DRAFT_EMPTY;
    draft_close(&draft);
    CHECK_STATUS(draft_create(&draft, scratch_path("map"), 64, 0600),
                 STATUS_OK);
    draft_close(&draft);
    CHECK_EQUAL(draft.descriptor, -1);
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
                draft_create(&drafts[j], scratch_path("map"), 64, 0600),
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
    CHECK_STATUS(draft_create(&draft, scratch_path("no/such/map"), 64, 0600),
                 STATUS_SYSTEM);
    CHECK_EQUAL(errno, ENOENT);
    CHECK_EQUAL(draft.descriptor, -1);

    memset(path, 'x', sizeof(path));
    path[0] = path[4500] = '/';
    path[4999] = '\0';
    CHECK_STATUS(draft_create(&draft, path, 64, 0600), STATUS_SYSTEM);
    CHECK_EQUAL(errno, ENAMETOOLONG);
    draft_close(&draft);
}

static void
test_draft_of_an_impossible_size_fails(void)
{
    static const uint64_t sizes[] = {UINT64_C(1) << 63, UINT64_MAX};
    for (int i = 0; i < 2; i++) {
        struct draft draft;
        CHECK_STATUS(draft_create(&draft, scratch_path("map"), sizes[i], 0600),
                     STATUS_SYSTEM);
        CHECK_EQUAL(errno, EFBIG);
        CHECK_EQUAL(draft.descriptor, -1);
    }
}

static void
test_path_without_a_slash_is_in_the_working_directory(void)
{
    pid_t child = start_child();
    if (child == 0) {
        CHECK_EQUAL(chdir(scratch.path), 0);
        CHECK_STATUS(publish_number("map", false, 0600, 1), STATUS_OK);
        CHECK_STATUS(publish_number("map", true, 0600, 2), STATUS_OK);
        check_published("map", 2, 2);
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_STATUS(segment_remove("map"), STATUS_OK);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
}

/* ---- first, again, forced ----------------------------------------------- */

static void
test_first_publication_has_generation_one(void)
{
    const char *path = scratch_path("map");
    for (int force = 0; force < 2; force++) {
        CHECK(!segment_exists(path));
        CHECK_STATUS(publish_number(path, force, 0600, 7), STATUS_OK);
        CHECK(segment_exists(path));
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_EQUAL(stat_of(path).st_nlink, 1);
        check_published(path, 7, 1);
        CHECK_STATUS(segment_remove(path), STATUS_OK);
        CHECK(!segment_exists(path));
        CHECK_EQUAL(scratch_file_count(), 0);
    }
}

static void
test_taken_name_is_not_taken_again_without_force(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct stat before = stat_of(path);
    CHECK_STATUS(publish_number(path, false, 0600, 2), STATUS_NAME_TAKEN);

    // The same without the early look at the name.
    struct image image = image_of_entries(NULL, 0, SLICE(""), false);
    CHECK_STATUS(publish_image(path, false, &image), STATUS_NAME_TAKEN);
    image_destroy(&image);

    CHECK_EQUAL(stat_of(path).st_ino, before.st_ino);
    CHECK_EQUAL(scratch_file_count(), 1);
    check_published(path, 1, 1);
    CHECK_STATUS(segment_remove(path), STATUS_OK);
}

static void
test_force_replaces_and_counts_generations(void)
{
    const char *path = scratch_path("map");
    struct segment old = SEGMENT_EMPTY;
    for (int number = 1; number <= 20; number++) {
        CHECK_STATUS(publish_number(path, true, 0600, number), STATUS_OK);
        check_published(path, number, (uint64_t)number);
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_EQUAL(stat_of(path).st_nlink, 1);
        if (old.bytes != NULL) {
            // It knows, and answers as it always did.
            CHECK_EQUAL(header_in(&old)->superseded, 1);
            CHECK_EQUAL(number_in(&old), number - 1);
            segment_close(&old);
        }
        old = open_segment(path);
        CHECK_EQUAL(header_in(&old)->superseded, 0);
    }
    segment_close(&old);
    CHECK_STATUS(segment_remove(path), STATUS_OK);
}

static void
test_every_publication_has_a_unique_id_of_its_own(void)
{
    const char *path = scratch_path("map");
    unsigned char before[16] = {0};
    for (int i = 0; i < 10; i++) {
        CHECK_STATUS(publish_number(path, true, 0600, 7), STATUS_OK);
        struct segment segment = open_segment(path);
        CHECK(memcmp(header_in(&segment)->unique_id, before, 16) != 0);
        memcpy(before, header_in(&segment)->unique_id, 16);
        segment_close(&segment);
    }
    CHECK_STATUS(segment_remove(path), STATUS_OK);
}

static void
test_generations_begin_again_after_removal(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, true, 0600, 1), STATUS_OK);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    CHECK_STATUS(segment_remove(path), STATUS_OK);
    CHECK_STATUS(publish_number(path, true, 0600, 3), STATUS_OK);
    check_published(path, 3, 1);
    CHECK_STATUS(segment_remove(path), STATUS_OK);
}

static void
test_mode_is_what_was_asked_for_whatever_the_umask(void)
{
    static const mode_t umasks[] = {0, 022, 077, 0777};
    static const mode_t modes[] = {0600, 0644, 0640, 0666, 0400, 0444};
    const char *path = scratch_path("map");
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 6; j++) {
            mode_t before = umask(umasks[i]);
            enum status status = publish_number(path, false, modes[j], 1);
            umask(before);
            CHECK_STATUS(status, STATUS_OK);
            CHECK_EQUAL(stat_of(path).st_mode & 07777, modes[j]);
            CHECK_EQUAL(unlink(path), 0);
        }
    }
}

/* ---- removal ------------------------------------------------------------ */

static void
test_remove_tells_open_readers(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    struct segment segment = open_segment(path);
    CHECK_STATUS(segment_remove(path), STATUS_OK);
    CHECK_EQUAL(header_in(&segment)->superseded, 1);
    CHECK_EQUAL(number_in(&segment), 7);
    CHECK_EQUAL(scratch_file_count(), 0);
    segment_close(&segment);
}

static void
test_remove_of_an_absent_name_says_so(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(segment_remove(path), STATUS_NAME_ABSENT);
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    CHECK_STATUS(segment_remove(path), STATUS_OK);
    CHECK_STATUS(segment_remove(path), STATUS_NAME_ABSENT);
}

/* ---- things in the way -------------------------------------------------- */

/* Neither published over nor removed; still there afterwards. */
static void
check_stays(const char *path, mode_t type)
{
    struct stat before = stat_of(path);
    CHECK_EQUAL(before.st_mode & S_IFMT, type);
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_NAME_TAKEN);
    CHECK_STATUS(publish_number(path, true, 0600, 1), STATUS_NOT_REGULAR);
    CHECK_STATUS(segment_remove(path), STATUS_NOT_REGULAR);
    CHECK_EQUAL(stat_of(path).st_ino, before.st_ino);
    CHECK_EQUAL(scratch_file_count(), 1);
}

static void
test_what_is_no_regular_file_is_left_alone(void)
{
    const char *path = scratch_path("map");
    alarm(5);
    CHECK_EQUAL(mkfifo(path, 0600), 0);
    check_stays(path, S_IFIFO);
    CHECK_EQUAL(unlink(path), 0);

    CHECK_EQUAL(mkdir(path, 0700), 0);
    check_stays(path, S_IFDIR);
    CHECK_EQUAL(rmdir(path), 0);

    CHECK_EQUAL(symlink("/nowhere", path), 0);
    check_stays(path, S_IFLNK);
    CHECK_EQUAL(unlink(path), 0);

    CHECK_EQUAL(mknod(path, S_IFSOCK | 0600, 0), 0);
    check_stays(path, S_IFSOCK);
    CHECK_EQUAL(unlink(path), 0);
    alarm(0);
}

static void
test_link_to_a_map_is_not_followed(void)
{
    const char *map = scratch_path("map");
    const char *link = scratch_path("link");
    CHECK_STATUS(publish_number(map, false, 0600, 7), STATUS_OK);
    CHECK_EQUAL(symlink(map, link), 0);
    CHECK_STATUS(publish_number(link, true, 0600, 8), STATUS_NOT_REGULAR);
    CHECK_STATUS(segment_remove(link), STATUS_NOT_REGULAR);
    check_published(map, 7, 1);
    CHECK_EQUAL(unlink(link), 0);
    CHECK_STATUS(segment_remove(map), STATUS_OK);
}

static void
test_junk_is_replaced_only_by_force(void)
{
    static unsigned char junk[4096];
    static const size_t sizes[] = {0, 5, 511, 512, 4096};
    const char *path = scratch_path("map");
    for (size_t i = 0; i < 5; i++) {
        write_file(path, junk, sizes[i]);
        CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_NAME_TAKEN);
        CHECK_EQUAL(stat_of(path).st_size, sizes[i]);
        CHECK_STATUS(publish_number(path, true, 0600, 7), STATUS_OK);
        check_published(path, 7, 1);
        CHECK_STATUS(segment_remove(path), STATUS_OK);

        write_file(path, junk, sizes[i]);
        CHECK_STATUS(segment_remove(path), STATUS_OK);
        CHECK_EQUAL(scratch_file_count(), 0);
    }
}

/* What a later version means by our word is not ours to write. */
static void
test_snapshot_of_another_version_is_replaced_unwritten(void)
{
    const char *path = scratch_path("map");
    struct image image = image_of_entries(NULL, 0, SLICE(""), false);
    image_header(&image)->version = 2;
    image_header(&image)->generation = 41;
    image_reseal(&image);
    write_file(path, image.bytes, image.size);
    int descriptor = open(path, O_RDONLY);
    CHECK(descriptor >= 0);
    CHECK_STATUS(publish_number(path, true, 0600, 7), STATUS_OK);
    check_published(path, 7, 1);
    unsigned char bytes[512];
    CHECK_EQUAL(pread(descriptor, bytes, sizeof(bytes), 0), sizeof(bytes));
    CHECK(memcmp(bytes, image.bytes, sizeof(bytes)) == 0);
    close(descriptor);
    image_destroy(&image);
    CHECK_STATUS(segment_remove(path), STATUS_OK);
}

static void
test_leftover_of_a_killed_publisher_is_cleared(void)
{
    const char *path = scratch_path("map");
    const char *leftover = scratch_path("map~");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    write_file(leftover, "half a map", 10);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    CHECK_EQUAL(scratch_file_count(), 1);
    check_published(path, 2, 2);

    write_file(leftover, "half a map", 10);
    CHECK_STATUS(segment_remove(path), STATUS_OK);
    CHECK_EQUAL(scratch_file_count(), 0);
}

static void
test_squatted_temporary_name_is_avoided(void)
{
    const char *path = scratch_path("map");
    const char *squatter = scratch_path("map~");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK_EQUAL(mkdir(squatter, 0700), 0);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    check_published(path, 2, 2);
    CHECK_EQUAL(scratch_file_count(), 2);
    CHECK_STATUS(segment_remove(path), STATUS_OK);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_EQUAL(rmdir(squatter), 0);
}

/* ---- other users -------------------------------------------------------- */

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
        CHECK_STATUS(segment_remove(path), STATUS_SYSTEM);
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
        CHECK_STATUS(segment_remove(path), STATUS_FOREIGN_OWNER);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(bob), 0);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_EQUAL(chown(path, 0, 0), 0);
    CHECK_EQUAL(chmod(path, 0644), 0);
    check_published(path, 7, 1);
    CHECK_STATUS(segment_remove(path), STATUS_OK);
}

static void
test_root_publishes_for_the_owner(void)
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
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    CHECK_EQUAL(stat_of(path).st_uid, ALICE);
    CHECK_EQUAL(stat_of(path).st_gid, ALICE);
    CHECK_EQUAL(stat_of(path).st_mode & 07777, 0600);
    alice = start_child();
    if (alice == 0) {
        CHECK_EQUAL(setresuid(ALICE, ALICE, ALICE), 0);
        check_published(path, 2, 2);
        CHECK_STATUS(publish_number(path, true, 0600, 3), STATUS_OK);
        check_published(path, 3, 3);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(alice), 0);
    CHECK_STATUS(segment_remove(path), STATUS_OK);
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
        CHECK_STATUS(segment_remove(path), STATUS_OK);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(alice), 0);
    CHECK_EQUAL(stat_of(squatter).st_size, 4);
    CHECK_EQUAL(unlink(squatter), 0);
}

/* ---- limits of the system ----------------------------------------------- */

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
        CHECK_STATUS(draft_create(&draft, path, SIZE, 0600), STATUS_OK);
        CHECK_STATUS(draft_write(&draft, 0, bytes, SIZE), STATUS_OK);
        draft_close(&draft);
        for (int i = 1; i <= 500; i++) {
            CHECK_STATUS(publish_number(path, true, 0600, i), STATUS_OK);
        }
        CHECK_STATUS(segment_remove(path), STATUS_OK);
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
                CHECK_STATUS(segment_remove(path), STATUS_SYSTEM);
                CHECK_EQUAL(errno, EMFILE);
            }
        }
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK_EQUAL(scratch_file_count(), 1);
    check_published(path, 1, 1);
    CHECK_STATUS(segment_remove(path), STATUS_OK);
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
        CHECK_STATUS(draft_create(&draft, scratch_path("map"), 2 << 20, 0600),
                     STATUS_SYSTEM);
        CHECK_EQUAL(errno, EFBIG);
        CHECK_EQUAL(draft.descriptor, -1);
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
            CHECK_STATUS(draft_create(&draft, path, size, 0600),
                         STATUS_NO_SPACE);
            CHECK_EQUAL(errno, ENOSPC);
            CHECK_EQUAL(segment_space(path), space);
        }
        // To the last byte it works.
        CHECK_STATUS(draft_create(&draft, path, space, 0600), STATUS_OK);
        CHECK_EQUAL(segment_space(path), 0);
        CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_NO_SPACE);
        draft_close(&draft);
        CHECK_EQUAL(number_in(&old), 1);
        CHECK_EQUAL(header_in(&old)->superseded, 0);
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
                CHECK_EQUAL(header_in(&old)->superseded, is_replaced);
                check_published(path, is_replaced ? 2 : 1,
                                is_replaced ? 2 : 1);
            }
            else {
                CHECK(!segment_exists(path));
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

/* ---- waiting readers ---------------------------------------------------- */

/* Sleeps until somebody wakes those who wait for the word to change. */
static void *
sleep_on_superseded(void *context)
{
    const struct segment *segment = context;
    struct timespec timeout = {.tv_sec = 10};
    syscall(SYS_futex, &header_in(segment)->superseded, FUTEX_WAIT, 0,
            &timeout, NULL, 0);
    return NULL;
}

static void
check_wakes(const char *path, enum status (*act)(const char *path))
{
    struct segment segment = open_segment(path);
    pthread_t sleeper;
    double start = now();
    CHECK_EQUAL(pthread_create(&sleeper, NULL, sleep_on_superseded, &segment),
                0);
    nap(50);  // it is asleep, or too late and does not sleep at all
    CHECK_STATUS(act(path), STATUS_OK);
    CHECK_EQUAL(pthread_join(sleeper, NULL), 0);
    CHECK(now() - start < 5);
    CHECK_EQUAL(header_in(&segment)->superseded, 1);
    segment_close(&segment);
}

static enum status
publish_two(const char *path)
{
    return publish_number(path, true, 0600, 2);
}

static void
test_publication_and_removal_wake_who_sleeps_on_the_word(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    check_wakes(path, publish_two);
    check_wakes(path, segment_remove);
}

/* ---- the lock ----------------------------------------------------------- */

/* A process that takes the lock on the path and keeps it until it dies. */
static pid_t
start_locker(const char *path, int flags, short type)
{
    int ready[2];
    char byte;
    CHECK_EQUAL(pipe(ready), 0);
    pid_t locker = start_child();
    if (locker == 0) {
        struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
        int descriptor = open(path, flags);
        CHECK(descriptor >= 0);
        CHECK_EQUAL(fcntl(descriptor, F_OFD_SETLK, &lock), 0);
        CHECK_EQUAL(write(ready[1], "", 1), 1);
        for (;;) {
            pause();
        }
    }
    CHECK_EQUAL(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return locker;
}

static void
kill_locker(pid_t locker)
{
    kill(locker, SIGKILL);
    CHECK_EQUAL(end_of_child(locker), 1000 + SIGKILL);
}

static void
test_held_lock_ends_in_a_timeout_after_five_seconds(void)
{
    const char *path = scratch_path("map");
    const char *other = scratch_path("other");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK_STATUS(publish_number(other, false, 0600, 1), STATUS_OK);
    pid_t locker = start_locker(path, O_RDWR, F_WRLCK);
    // A reader's lock stops a publisher just the same.
    pid_t read_locker = start_locker(other, O_RDONLY, F_RDLCK);

    // All three wait at the same time.
    double start = now();
    pid_t remover = start_child();
    if (remover == 0) {
        CHECK_STATUS(segment_remove(path), STATUS_LOCK_TIMEOUT);
        _exit(0);
    }
    pid_t publisher = start_child();
    if (publisher == 0) {
        CHECK_STATUS(publish_number(other, true, 0600, 2),
                     STATUS_LOCK_TIMEOUT);
        _exit(0);
    }
    struct segment old = open_segment(path);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_LOCK_TIMEOUT);
    CHECK(now() - start > 4.9);
    CHECK(now() - start < 8);
    CHECK_EQUAL(end_of_child(remover), 0);
    CHECK_EQUAL(end_of_child(publisher), 0);

    CHECK_EQUAL(header_in(&old)->superseded, 0);
    segment_close(&old);
    check_published(path, 1, 1);
    check_published(other, 1, 1);
    CHECK_EQUAL(scratch_file_count(), 2);

    // Opening and publishing elsewhere never waited, and now nobody does.
    kill_locker(locker);
    kill_locker(read_locker);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    check_published(path, 2, 2);
    CHECK_STATUS(segment_remove(path), STATUS_OK);
    CHECK_STATUS(segment_remove(other), STATUS_OK);
}

static void
test_publisher_waits_for_a_lock_that_is_freed(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    pid_t locker = start_locker(path, O_RDWR, F_WRLCK);
    pid_t publisher = start_child();
    if (publisher == 0) {
        CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
        _exit(0);
    }
    nap(100);
    check_published(path, 1, 1);
    kill_locker(locker);
    CHECK_EQUAL(end_of_child(publisher), 0);
    check_published(path, 2, 2);
    CHECK_STATUS(segment_remove(path), STATUS_OK);
}

/* The holder of the lock replaces the map meanwhile: what the publisher
 * waited for is no longer what the name points to. */
static void
test_publisher_notices_that_the_name_moved_on(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK_STATUS(publish_number(scratch_path("next"), false, 0600, 5),
                 STATUS_OK);
    pid_t locker = start_locker(path, O_RDWR, F_WRLCK);
    pid_t publisher = start_child();
    if (publisher == 0) {
        CHECK_STATUS(publish_number(path, true, 0600, 6), STATUS_OK);
        _exit(0);
    }
    nap(50);
    struct segment first = open_segment(path);
    CHECK_EQUAL(rename(scratch_path("next"), path), 0);
    CHECK_EQUAL(end_of_child(publisher), 0);
    // It replaced what it found, and did not touch what was gone.
    check_published(path, 6, 2);
    CHECK_EQUAL(header_in(&first)->superseded, 0);
    segment_close(&first);
    kill_locker(locker);
    CHECK_STATUS(segment_remove(path), STATUS_OK);
}

/* ---- many at once ------------------------------------------------------- */

enum { PUBLISHERS = 3, PUBLICATIONS = 300 };

static void
test_no_publication_of_many_processes_is_lost(void)
{
    const char *path = scratch_path("map");
    pid_t publishers[PUBLISHERS];
    CHECK_STATUS(publish_number(path, false, 0600, 0), STATUS_OK);
    for (int i = 0; i < PUBLISHERS; i++) {
        publishers[i] = start_child();
        if (publishers[i] == 0) {
            for (int j = 0; j < PUBLICATIONS; j++) {
                CHECK_STATUS(
                    publish_number(path, true, 0600, i * PUBLICATIONS + j),
                    STATUS_OK);
            }
            _exit(0);
        }
    }
    // Readers see whole maps, and never an older one after a newer one.
    double start = now();
    uint64_t generation = 0;
    int files = 0;
    for (int ended = 0; ended < PUBLISHERS;) {
        struct segment segment = open_segment(path);
        CHECK(number_in(&segment) >= 0);
        CHECK(header_in(&segment)->generation >= generation);
        generation = header_in(&segment)->generation;
        segment_close(&segment);
        int now_files = scratch_file_count();
        files = now_files > files ? now_files : files;
        CHECK(now() - start < 60);
        if (generation == 1 + PUBLISHERS * PUBLICATIONS) {
            for (; ended < PUBLISHERS; ended++) {
                CHECK_EQUAL(end_of_child(publishers[ended]), 0);
            }
        }
    }
    CHECK(files <= 2);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_EQUAL(generation, 1 + PUBLISHERS * PUBLICATIONS);
    CHECK_STATUS(segment_remove(path), STATUS_OK);
}

struct contest {
    const char *path;
    atomic_int winners;
};

static void *
take_the_name(void *context)
{
    struct contest *contest = context;
    enum status status = publish_number(contest->path, false, 0600, 1);
    CHECK(status == STATUS_OK || status == STATUS_NAME_TAKEN);
    atomic_fetch_add(&contest->winners, status == STATUS_OK);
    return NULL;
}

static void
test_only_one_thread_gets_a_free_name(void)
{
    struct contest contest = {.path = scratch_path("map")};
    for (int round = 0; round < 50; round++) {
        pthread_t threads[4];
        atomic_store(&contest.winners, 0);
        for (int i = 0; i < 4; i++) {
            CHECK_EQUAL(
                pthread_create(&threads[i], NULL, take_the_name, &contest), 0);
        }
        for (int i = 0; i < 4; i++) {
            CHECK_EQUAL(pthread_join(threads[i], NULL), 0);
        }
        CHECK_EQUAL(atomic_load(&contest.winners), 1);
        CHECK_STATUS(segment_remove(contest.path), STATUS_OK);
    }
}

/* In memory that processes share. */
struct race {
    atomic_int round;
    atomic_int finished;
};

/* Two racers wait for the start without sleeping, so that each now and then
 * finds the name taken that it saw free. */
static void
test_forced_publications_of_a_free_name_all_succeed(void)
{
    enum { RACERS = 2, ROUNDS = 150 };
    const char *path = scratch_path("map");
    struct race *race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(race != MAP_FAILED);
    pid_t racers[RACERS];
    for (int i = 0; i < RACERS; i++) {
        racers[i] = start_child();
        for (int round = 1; racers[i] == 0 && round <= ROUNDS; round++) {
            while (atomic_load(&race->round) != round) {
            }
            CHECK_STATUS(publish_number(path, true, 0600, i), STATUS_OK);
            atomic_fetch_add(&race->finished, 1);
        }
        if (racers[i] == 0) {
            _exit(0);
        }
    }
    double start = now();
    for (int round = 1; round <= ROUNDS; round++) {
        atomic_store(&race->round, round);
        while (atomic_load(&race->finished) != RACERS * round) {
            CHECK(now() - start < 20);
            sched_yield();
        }
        struct segment segment = open_segment(path);
        CHECK_EQUAL(header_in(&segment)->generation, RACERS);
        segment_close(&segment);
        CHECK_STATUS(segment_remove(path), STATUS_OK);
    }
    for (int i = 0; i < RACERS; i++) {
        CHECK_EQUAL(end_of_child(racers[i]), 0);
    }
    munmap(race, sizeof(*race));
}

static void
test_publishing_and_removing_at_once_leaves_nothing_behind(void)
{
    const char *path = scratch_path("map");
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = start_child();
        for (int j = 0; children[i] == 0 && j < 1000; j++) {
            enum status status = i == 0 ? segment_remove(path)
                                        : publish_number(path, true, 0600, j);
            CHECK(status == STATUS_OK
                  || (i == 0 && status == STATUS_NAME_ABSENT));
        }
        if (children[i] == 0) {
            _exit(0);
        }
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(end_of_child(children[i]), 0);
    }
    CHECK(scratch_file_count() <= 1);
    segment_remove(path);
    CHECK_EQUAL(scratch_file_count(), 0);
}

/* ---- forks -------------------------------------------------------------- */

static void
test_child_of_a_fork_has_no_drafts(void)
{
    struct draft drafts[3];
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(draft_create(&drafts[i], scratch_path("map"), 64, 0600),
                     STATUS_OK);
    }
    draft_close(&drafts[1]);
    pid_t child = start_child();
    if (child == 0) {
        CHECK_EQUAL(fcntl(drafts[0].descriptor, F_GETFD), -1);
        CHECK_EQUAL(errno, EBADF);
        CHECK_EQUAL(fcntl(drafts[2].descriptor, F_GETFD), -1);
        CHECK_EQUAL(errno, EBADF);
        // And can make its own.
        CHECK_STATUS(publish_number(scratch_path("child"), false, 0600, 1),
                     STATUS_OK);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    check_published(scratch_path("child"), 1, 1);
    CHECK_STATUS(segment_remove(scratch_path("child")), STATUS_OK);

    // The parent's drafts are as they were.
    struct image image = image_of_entries(NULL, 0, SLICE(""), false);
    CHECK_STATUS(draft_write(&drafts[0], 0, image.bytes, 64), STATUS_OK);
    image_destroy(&image);
    draft_close(&drafts[0]);
    draft_close(&drafts[2]);
}

struct press {
    const char *path;
    atomic_bool is_done;
    int count;
};

static void *
keep_publishing(void *context)
{
    struct press *press = context;
    while (!atomic_load(&press->is_done)) {
        press->count += 1;
        CHECK_STATUS(publish_number(press->path, true, 0600, press->count),
                     STATUS_OK);
    }
    return NULL;
}

static void
test_fork_during_a_publication_disturbs_nobody(void)
{
    struct press press = {.path = scratch_path("map")};
    struct image image = image_of_entries(NULL, 0, SLICE(""), false);
    pthread_t thread;
    CHECK_EQUAL(pthread_create(&thread, NULL, keep_publishing, &press), 0);
    pid_t idle[20];
    for (int i = 0; i < 20; i++) {
        // Lives on for a while: what it inherited, it would keep locked.
        idle[i] = start_child();
        if (idle[i] == 0) {
            pause();
        }
        pid_t child = start_child();
        if (child == 0) {
            char name[32];
            snprintf(name, sizeof(name), "child%d", i);
            const char *path = scratch_path(name);
            CHECK_STATUS(publish_image(path, false, &image), STATUS_OK);
            CHECK_STATUS(publish_image(path, true, &image), STATUS_OK);
            CHECK_STATUS(segment_remove(path), STATUS_OK);
            _exit(0);
        }
        CHECK_EQUAL(end_of_child(child), 0);
    }
    double start = now();
    CHECK_STATUS(publish_number(press.path, true, 0600, 1), STATUS_OK);
    CHECK(now() - start < 4);
    atomic_store(&press.is_done, true);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    for (int i = 0; i < 20; i++) {
        kill_locker(idle[i]);
    }
    struct segment segment = open_segment(press.path);
    CHECK_EQUAL(header_in(&segment)->generation, press.count + 1);
    segment_close(&segment);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_STATUS(segment_remove(press.path), STATUS_OK);
    image_destroy(&image);
}

static void
test_open_segment_survives_a_fork(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    struct segment segment = open_segment(path);
    pid_t child = start_child();
    if (child == 0) {
        CHECK_EQUAL(number_in(&segment), 7);
        segment_close(&segment);
        CHECK_STATUS(segment_remove(path), STATUS_OK);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK_EQUAL(number_in(&segment), 7);
    CHECK_EQUAL(header_in(&segment)->superseded, 1);
    segment_close(&segment);
}

static const struct test tests[] = {
    TEST(test_draft_is_a_whole_file_without_a_name),
    TEST(test_draft_close_accepts_what_is_closed),
    TEST(test_drafts_close_in_any_order),
    TEST(test_draft_in_no_directory_fails),
    TEST(test_draft_of_an_impossible_size_fails),
    TEST(test_path_without_a_slash_is_in_the_working_directory),
    TEST(test_first_publication_has_generation_one),
    TEST(test_taken_name_is_not_taken_again_without_force),
    TEST(test_force_replaces_and_counts_generations),
    TEST(test_every_publication_has_a_unique_id_of_its_own),
    TEST(test_generations_begin_again_after_removal),
    TEST(test_mode_is_what_was_asked_for_whatever_the_umask),
    TEST(test_remove_tells_open_readers),
    TEST(test_remove_of_an_absent_name_says_so),
    TEST(test_what_is_no_regular_file_is_left_alone),
    TEST(test_link_to_a_map_is_not_followed),
    TEST(test_junk_is_replaced_only_by_force),
    TEST(test_snapshot_of_another_version_is_replaced_unwritten),
    TEST(test_leftover_of_a_killed_publisher_is_cleared),
    TEST(test_squatted_temporary_name_is_avoided),
    TEST(test_nobody_publishes_over_the_map_of_another),
    TEST(test_root_publishes_for_the_owner),
    TEST(test_temporary_name_of_another_user_is_avoided),
    TEST(test_signals_do_not_disturb_a_publication),
    TEST(test_no_descriptor_left_is_an_error_and_nothing_else),
    TEST(test_file_size_limit_is_an_error_and_nothing_else),
    TEST(test_full_file_system_is_no_space_and_the_old_map_stays),
    TEST(test_file_system_without_inodes_is_no_space_and_the_old_map_stays),
    TEST(test_publication_and_removal_wake_who_sleeps_on_the_word),
    TEST(test_publisher_waits_for_a_lock_that_is_freed),
    TEST(test_publisher_notices_that_the_name_moved_on),
    TEST(test_no_publication_of_many_processes_is_lost),
    TEST(test_only_one_thread_gets_a_free_name),
    TEST(test_forced_publications_of_a_free_name_all_succeed),
    TEST(test_publishing_and_removing_at_once_leaves_nothing_behind),
    TEST(test_child_of_a_fork_has_no_drafts),
    TEST(test_fork_during_a_publication_disturbs_nobody),
    TEST(test_open_segment_survives_a_fork),
    TEST(test_held_lock_ends_in_a_timeout_after_five_seconds),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
