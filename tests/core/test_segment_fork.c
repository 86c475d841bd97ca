/* tests/core/test_segment_fork.c
 *
 * What a forked child has of a publication that its parent is in the middle
 * of: nothing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "core/check.h"
#include "core/files.h"
#include "core/segment/segment.h"

static void
test_child_of_a_fork_has_no_drafts(void)
{
    struct draft drafts[3];
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(
            draft_create(&drafts[i], scratch_path("map"), 64, &UNFORCED),
            STATUS_OK);
    }
    draft_close(&drafts[1]);
    pid_t child = start_child();
    if (child == 0) {
        CHECK_EQUAL(fcntl(drafts[0].file.descriptor, F_GETFD), -1);
        CHECK_EQUAL(errno, EBADF);
        CHECK_EQUAL(fcntl(drafts[2].file.descriptor, F_GETFD), -1);
        CHECK_EQUAL(errno, EBADF);
        // And can make its own.
        CHECK_STATUS(publish_number(scratch_path("child"), false, 0600, 1),
                     STATUS_OK);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    check_published(scratch_path("child"), 1, 1);
    CHECK_STATUS(segment_remove(scratch_path("child"), NULL), STATUS_OK);

    // The parent's drafts are as they were.
    struct image image = image_of_entries(NULL, 0, TREE);
    CHECK_STATUS(draft_write(&drafts[0], 0, image.bytes, 64), STATUS_OK);
    image_destroy(&image);
    draft_close(&drafts[0]);
    draft_close(&drafts[2]);
}

/* The number of a descriptor that was closed is soon somebody else's. */
static void
test_draft_closed_by_a_child_closes_nothing_of_the_child(void)
{
    struct draft draft;
    CHECK_STATUS(draft_create(&draft, scratch_path("map"), 64, &UNFORCED),
                 STATUS_OK);
    int number = draft.file.descriptor;
    pid_t child = start_child();
    if (child == 0) {
        int descriptor = dup(0);
        CHECK_EQUAL(descriptor, number);
        draft_close(&draft);
        CHECK_EQUAL(draft.file.descriptor, -1);
        CHECK(fcntl(descriptor, F_GETFD) >= 0);
        draft_close(&draft);
        // The list of the child has room for drafts of its own.
        CHECK_STATUS(draft_create(&draft, scratch_path("map"), 64, &UNFORCED),
                     STATUS_OK);
        draft_close(&draft);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK(fcntl(draft.file.descriptor, F_GETFD) >= 0);
    draft_close(&draft);
}

static void
test_grandchild_has_no_drafts_of_anybody(void)
{
    struct draft draft, own;
    CHECK_STATUS(draft_create(&draft, scratch_path("map"), 64, &UNFORCED),
                 STATUS_OK);
    pid_t child = start_child();
    if (child == 0) {
        CHECK_STATUS(draft_create(&own, scratch_path("map"), 64, &UNFORCED),
                     STATUS_OK);
        pid_t grandchild = start_child();
        if (grandchild == 0) {
            CHECK_EQUAL(fcntl(own.file.descriptor, F_GETFD), -1);
            draft_close(&own);
            draft_close(&draft);
            _exit(0);
        }
        CHECK_EQUAL(end_of_child(grandchild), 0);
        CHECK(fcntl(own.file.descriptor, F_GETFD) >= 0);
        draft_close(&own);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    draft_close(&draft);
}

/* A publisher locks the holder, forks, and is killed. Its child lives on. */
static void
test_lock_goes_with_the_publisher_though_its_child_lives(void)
{
    const char *path = scratch_path("map");
    int ready[2];
    char byte;
    pid_t idle;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK_EQUAL(pipe(ready), 0);
    pid_t publisher = start_child();
    if (publisher == 0) {
        struct holder holder;
        CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
        idle = start_child();
        if (idle == 0) {
            CHECK_EQUAL(fcntl(holder.file.descriptor, F_GETFD), -1);
            pause();
        }
        CHECK_EQUAL(write(ready[1], &idle, sizeof(idle)), sizeof(idle));
        for (;;) {
            pause();
        }
    }
    CHECK_EQUAL(read(ready[0], &idle, sizeof(idle)), sizeof(idle));
    close(ready[1]);
    kill_child(publisher);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    check_published(path, 2, 2);
    kill(idle, SIGKILL);
    // Somebody else's child by now; its end closes the pipe.
    CHECK_EQUAL(read(ready[0], &byte, 1), 0);
    close(ready[0]);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Closing what a parent locked must not free the parent's lock. */
static void
test_holder_closed_by_a_child_stays_locked(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    pid_t child = start_child();
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        holder_close(&holder);
        int descriptor = open(path, O_RDWR);
        CHECK(descriptor >= 0);
        CHECK_EQUAL(fcntl(descriptor, F_OFD_SETLK, &lock), -1);
        CHECK(errno == EAGAIN || errno == EACCES);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    holder_close(&holder);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_files_are_close_on_exec(void)
{
    const char *path = scratch_path("map");
    struct draft draft;
    struct holder holder;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK_STATUS(draft_create(&draft, path, 64, &UNFORCED), STATUS_OK);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    CHECK_EQUAL(fcntl(draft.file.descriptor, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(fcntl(holder.file.descriptor, F_GETFD), FD_CLOEXEC);
    holder_close(&holder);
    draft_close(&draft);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Threads open drafts while children are forked; a fork that comes between the
 * opening and the listing of one would give it away. */
struct drawer {
    struct draft drafts[40];
    atomic_bool may_close;
};

static void *
keep_drafting(void *context)
{
    struct drawer *drawer = context;
    for (int i = 0; i < 40; i++) {
        CHECK_STATUS(
            draft_create(&drawer->drafts[i], scratch.path, 64, &UNFORCED),
            STATUS_OK);
        nap(1);
    }
    while (!atomic_load(&drawer->may_close)) {
        nap(1);
    }
    for (int i = 0; i < 40; i++) {
        draft_close(&drawer->drafts[i]);
    }
    return NULL;
}

enum { DESCRIPTOR_LIMIT = 200 };

/* Without opendir(), which asks for memory. */
static bool
is_nameless_file(int descriptor)
{
    struct stat file;
    return fstat(descriptor, &file) == 0 && S_ISREG(file.st_mode)
           && file.st_nlink == 0;
}

static void
test_no_child_has_a_draft_whenever_it_is_forked(void)
{
    static struct drawer drawers[3];
    bool was_open[DESCRIPTOR_LIMIT];
    pthread_t threads[3];
    for (int i = 0; i < DESCRIPTOR_LIMIT; i++) {
        was_open[i] = is_nameless_file(i);  // whoever started us has some
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(
            pthread_create(&threads[i], NULL, keep_drafting, &drawers[i]), 0);
    }
    for (int i = 0; i < 150; i++) {
        pid_t child = start_child();
        if (child == 0) {
            for (int j = 0; j < DESCRIPTOR_LIMIT; j++) {
                CHECK_EQUAL(is_nameless_file(j), was_open[j]);
            }
            _exit(0);
        }
        CHECK_EQUAL(end_of_child(child), 0);
    }
    for (int i = 0; i < 3; i++) {
        atomic_store(&drawers[i].may_close, true);
        CHECK_EQUAL(pthread_join(threads[i], NULL), 0);
    }
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
    struct image image = image_of_entries(NULL, 0, TREE);
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
            CHECK_STATUS(publish_image(path, &UNFORCED, &image), STATUS_OK);
            CHECK_STATUS(publish_image(path, &FORCED, &image), STATUS_OK);
            CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
            _exit(0);
        }
        CHECK_EQUAL(end_of_child(child), 0);
    }
    CHECK_STATUS(publish_number(press.path, true, 0600, 1), STATUS_OK);
    atomic_store(&press.is_done, true);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    for (int i = 0; i < 20; i++) {
        kill_child(idle[i]);
    }
    struct segment segment = open_segment(press.path);
    CHECK_EQUAL(header_in(&segment)->generation, press.count + 1);
    segment_close(&segment);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_STATUS(segment_remove(press.path, NULL), STATUS_OK);
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
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK_EQUAL(number_in(&segment), 7);
    CHECK_EQUAL(header_in(&segment)->head, 1);
    segment_close(&segment);
}

/* A mapping that a thread is in the middle of opening would be nobody's in a
 * child, and keep the file's memory for as long as the child lives. */
static bool
is_mapped(const void *bytes, size_t size)
{
    return msync((void *)bytes, size, MS_ASYNC) == 0;
}

static void
test_child_has_no_segment_before_somebody_keeps_it(void)
{
    const char *path = scratch_path("map");
    struct segment segment = SEGMENT_EMPTY;
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    CHECK_STATUS(segment_open(&segment, path, STRICT, NULL), STATUS_OK);
    for (int is_kept = 0; is_kept < 2; is_kept++) {
        pid_t child = start_child();
        if (child == 0) {
            CHECK_EQUAL(is_mapped(segment.bytes, segment.size), is_kept);
            _exit(0);
        }
        CHECK_EQUAL(end_of_child(child), 0);
        CHECK_STATUS(segment_keep(&segment), STATUS_OK);
    }
    CHECK_EQUAL(number_in(&segment), 7);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static const struct test tests[] = {
    TEST(test_child_of_a_fork_has_no_drafts),
    TEST(test_draft_closed_by_a_child_closes_nothing_of_the_child),
    TEST(test_grandchild_has_no_drafts_of_anybody),
    TEST(test_lock_goes_with_the_publisher_though_its_child_lives),
    TEST(test_holder_closed_by_a_child_stays_locked),
    TEST(test_files_are_close_on_exec),
    TEST(test_no_child_has_a_draft_whenever_it_is_forked),
    TEST(test_fork_during_a_publication_disturbs_nobody),
    TEST(test_open_segment_survives_a_fork),
    TEST(test_child_has_no_segment_before_somebody_keeps_it),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
