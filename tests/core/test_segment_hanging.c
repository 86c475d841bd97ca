/* tests/core/test_segment_hanging.c
 *
 * A file system that hangs: opening, mapping or closing one of its files never
 * comes back, or only when a test lets it. Everything else goes on.
 *
 * A program that has functions of these names has them called by the core.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "core/check.h"
#include "core/files.h"
#include "core/segment/segment.h"

enum call { NO_CALL, OPEN, OPENED, MAP, CLOSE, CLOSED };

/* What hangs, in the thread that is to hang. */
static _Thread_local enum call hanging;
static atomic_bool is_hanging, may_go_on;

static void
hang(enum call call)
{
    if (hanging == call) {
        atomic_store(&is_hanging, true);
        while (!atomic_load(&may_go_on)) {
            nap(1);
        }
    }
}

int
open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0
                      ? (mode_t)va_arg(rest, unsigned)
                      : 0;
    va_end(rest);
    hang(OPEN);
    int descriptor = openat(AT_FDCWD, path, flags, mode);
    hang(OPENED);
    return descriptor;
}

void *
mmap(void *start, size_t size, int protection, int flags, int descriptor,
     off_t offset)
{
    hang(MAP);
    return (void *)syscall(SYS_mmap, start, size, protection, flags,
                           descriptor, offset);
}

int
close(int descriptor)
{
    hang(CLOSE);
    int result = (int)syscall(SYS_close, descriptor);
    hang(CLOSED);
    return result;
}

struct victim {
    const char *path;
    enum call call;
    pthread_t thread;
    struct segment segment;
    enum status status;
};

static void *
open_and_hang(void *context)
{
    struct victim *victim = context;
    hanging = victim->call;
    victim->status = segment_open(&victim->segment, victim->path,
                                  (struct open_options){0}, NULL);
    return NULL;
}

/* A thread that opens the file, up to where it hangs. */
static void
start_hanging(struct victim *victim, const char *path, enum call call)
{
    *victim = (struct victim){.path = path, .call = call};
    atomic_store(&is_hanging, false);
    atomic_store(&may_go_on, false);
    CHECK_EQUAL(pthread_create(&victim->thread, NULL, open_and_hang, victim),
                0);
    while (!atomic_load(&is_hanging)) {
        nap(1);
    }
}

static void
end_hanging(struct victim *victim)
{
    atomic_store(&may_go_on, true);
    CHECK_EQUAL(pthread_join(victim->thread, NULL), 0);
    CHECK_STATUS(victim->status, STATUS_OK);
    CHECK_EQUAL(number_in(&victim->segment), 1);
    segment_close(&victim->segment);
}

/* Whether a descriptor leads to the file. Without memory, as in any child. */
static bool
has_open(const struct stat *file)
{
    struct stat other;
    for (int descriptor = 0; descriptor < 64; descriptor++) {
        if (fstat(descriptor, &other) == 0 && other.st_ino == file->st_ino
            && other.st_dev == file->st_dev)
        {
            return true;
        }
    }
    return false;
}

static void
check_nothing_else_hangs(enum call call)
{
    const char *path = scratch_path("map"), *other = scratch_path("other");
    struct victim victim;
    struct image image = image_of_entries(NULL, 0, TREE);
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct stat file = stat_of(path);
    start_hanging(&victim, path, call);
    // Before any fork, and after one has waited in vain.
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(publish_number(other, true, 0600, 2 + i), STATUS_OK);
        struct segment segment = open_segment(other);
        CHECK_EQUAL(number_in(&segment), 2 + i);
        segment_close(&segment);
        pid_t child = start_child();
        if (child == 0) {
            CHECK(!has_open(&file));
            // The child does not wait for what hangs in its parent.
            CHECK_STATUS(publish_image(scratch_path("child"), &FORCED, &image),
                         STATUS_OK);
            _exit(0);
        }
        CHECK_EQUAL(end_of_child(child), 0);
    }
    end_hanging(&victim);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_STATUS(segment_remove(other, NULL), STATUS_OK);
    CHECK_STATUS(segment_remove(scratch_path("child"), NULL), STATUS_OK);
    image_destroy(&image);
}

static void
test_open_that_hangs_stops_neither_forks_nor_other_opens(void)
{
    check_nothing_else_hangs(OPEN);
}

static void
test_mapping_that_hangs_stops_neither_forks_nor_other_opens(void)
{
    check_nothing_else_hangs(MAP);
}

static void
test_close_that_hangs_stops_neither_forks_nor_other_opens(void)
{
    check_nothing_else_hangs(CLOSED);
}

/* What close() gives back at once is soon somebody else's number. */
static void
test_child_does_not_close_the_number_of_a_close_that_hangs(void)
{
    const char *path = scratch_path("map");
    struct victim victim;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    int number = dup(0);
    CHECK_EQUAL(syscall(SYS_close, number), 0);
    start_hanging(&victim, path, CLOSED);
    CHECK_EQUAL(dup(0), number);
    pid_t child = start_child();
    if (child == 0) {
        CHECK(fcntl(number, F_GETFD) >= 0);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK_EQUAL(syscall(SYS_close, number), 0);
    end_hanging(&victim);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void *
let_go_on_soon(void *context)
{
    (void)context;
    nap(50);
    atomic_store(&may_go_on, true);
    return NULL;
}

/* Between opening a file and listing it, or taking it off the list and closing
 * it, there is no fork. */
static void
test_fork_waits_for_a_step_that_ends(void)
{
    const char *path = scratch_path("map");
    const enum call calls[] = {OPENED, CLOSE};
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct stat file = stat_of(path);
    for (size_t i = 0; i < 2; i++) {
        struct victim victim;
        pthread_t timer;
        start_hanging(&victim, path, calls[i]);
        CHECK(has_open(&file));
        CHECK_EQUAL(pthread_create(&timer, NULL, let_go_on_soon, NULL), 0);
        pid_t child = start_child();
        if (child == 0) {
            CHECK(!has_open(&file));
            _exit(0);
        }
        CHECK(atomic_load(&may_go_on));
        CHECK_EQUAL(end_of_child(child), 0);
        CHECK_EQUAL(pthread_join(timer, NULL), 0);
        end_hanging(&victim);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static const struct test tests[] = {
    TEST(test_open_that_hangs_stops_neither_forks_nor_other_opens),
    TEST(test_mapping_that_hangs_stops_neither_forks_nor_other_opens),
    TEST(test_close_that_hangs_stops_neither_forks_nor_other_opens),
    TEST(test_child_does_not_close_the_number_of_a_close_that_hangs),
    TEST(test_fork_waits_for_a_step_that_ends),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
