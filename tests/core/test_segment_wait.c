/* tests/core/test_segment_wait.c
 *
 * Noticing that a name has moved on: looking, sleeping, watching.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/inotify.h>
#include <sys/syscall.h>

#include "core/check.h"
#include "core/files.h"
#include "core/segment/segment.h"

static const int64_t SECOND = INT64_C(1000000000);
static const int64_t HOUR = INT64_C(3600000000000);

/* ---- looking ------------------------------------------------------------ */

static void
test_look_tells_whether_the_name_moved_on(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct segment segment = open_segment(path);
    CHECK(!segment_is_superseded(&segment));
    CHECK_STATUS(segment_check_current(&segment, path, STRICT),
                 STATUS_UNCHANGED);

    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    CHECK(segment_is_superseded(&segment));
    CHECK_STATUS(segment_check_current(&segment, path, STRICT), STATUS_OK);

    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_STATUS(segment_check_current(&segment, path, STRICT),
                 STATUS_NAME_ABSENT);
    CHECK_EQUAL(number_in(&segment), 1);
    segment_close(&segment);
}

/* The truth is in the name: who removes a file by hand marks nothing. */
static void
test_look_sees_what_the_mark_does_not_say(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct segment segment = open_segment(path);
    CHECK_EQUAL(unlink(path), 0);
    CHECK(!segment_is_superseded(&segment));
    CHECK_STATUS(segment_check_current(&segment, path, STRICT),
                 STATUS_NAME_ABSENT);
    CHECK_STATUS(publish_number(path, false, 0600, 2), STATUS_OK);
    CHECK_STATUS(segment_check_current(&segment, path, STRICT), STATUS_OK);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_look_follows_links_where_the_rules_do(void)
{
    static const struct open_options following = {.follows_links = true};
    const char *path = scratch_path("map");
    const char *link = scratch_path("link");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK_EQUAL(symlink(path, link), 0);
    struct segment segment = SEGMENT_EMPTY;
    CHECK_STATUS(segment_open(&segment, link, STRICT, NULL),
                 STATUS_NOT_REGULAR);
    CHECK_STATUS(segment_open(&segment, link, following, NULL), STATUS_OK);
    CHECK_STATUS(segment_check_current(&segment, link, following),
                 STATUS_UNCHANGED);
    CHECK_STATUS(segment_check_current(&segment, link, STRICT), STATUS_OK);
    segment_close(&segment);
    CHECK_EQUAL(unlink(link), 0);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* On different devices two files may have the same number. */
static void
test_file_of_the_same_number_on_another_device_is_another(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct segment segment = open_segment(path);
    struct segment elsewhere = segment;
    elsewhere.device += 1;
    CHECK_STATUS(segment_check_current(&segment, path, STRICT),
                 STATUS_UNCHANGED);
    CHECK_STATUS(segment_check_current(&elsewhere, path, STRICT), STATUS_OK);
    struct segment opened = SEGMENT_EMPTY;
    CHECK_STATUS(segment_open(&opened, path, STRICT, &elsewhere), STATUS_OK);
    segment_close(&opened);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_known_segment_is_not_opened_again(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct segment known = open_segment(path);
    struct segment segment = SEGMENT_EMPTY;
    CHECK_STATUS(segment_open(&segment, path, STRICT, &known),
                 STATUS_UNCHANGED);
    CHECK(segment.bytes == NULL);

    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    CHECK_STATUS(segment_open(&segment, path, STRICT, &known), STATUS_OK);
    CHECK_EQUAL(number_in(&segment), 2);
    segment_close(&segment);

    // What is new is checked like everything that is opened.
    CHECK_EQUAL(chmod(path, 0622), 0);
    CHECK_STATUS(segment_open(&segment, path, STRICT, &known),
                 STATUS_OTHERS_MAY_WRITE);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_STATUS(segment_open(&segment, path, STRICT, &known),
                 STATUS_NAME_ABSENT);
    segment_close(&known);
}

/* ---- sleeping ----------------------------------------------------------- */

struct sleeper {
    struct segment segment;
    const char *path;
    atomic_int thread;  // as the system numbers it; 0 before it runs
    enum segment_wake wake;
};

static void *
sleep_on_segment(void *context)
{
    struct sleeper *sleeper = context;
    atomic_store(&sleeper->thread, (int)syscall(SYS_gettid));
    sleeper->wake = segment_wait(&sleeper->segment, sleeper->path, HOUR);
    return NULL;
}

static enum status
remove_name(const char *path)
{
    return segment_remove(path, NULL);
}

/* Some cannot open the file by its path any more: so they poll. */
static void
check_wakes(const char *path, enum status (*act)(const char *path))
{
    struct sleeper sleepers[5];
    pthread_t threads[5];
    const char *elsewhere[] = {"/dev/null", "/dev/null/absent"};
    only_events_wake(true);
    for (int i = 0; i < 5; i++) {
        atomic_init(&sleepers[i].thread, 0);
        sleepers[i].segment = open_segment(path);
        sleepers[i].path = i < 3 ? path : elsewhere[i - 3];
        CHECK_EQUAL(
            pthread_create(&threads[i], NULL, sleep_on_segment, &sleepers[i]),
            0);
    }
    for (int i = 0; i < 5; i++) {
        while (atomic_load(&sleepers[i].thread) == 0) {
            nap(1);
        }
        wait_until_asleep(getpid(), atomic_load(&sleepers[i].thread), "futex");
    }
    CHECK_STATUS(act(path), STATUS_OK);
    for (int i = 0; i < 5; i++) {
        CHECK_EQUAL(pthread_join(threads[i], NULL), 0);
        CHECK_EQUAL(sleepers[i].wake, WAKE_SUPERSEDED);
        CHECK(segment_is_superseded(&sleepers[i].segment));
        segment_close(&sleepers[i].segment);
    }
    only_events_wake(false);
}

static enum status
publish_two(const char *path)
{
    return publish_number(path, true, 0600, 2);
}

static enum status
publish_in_a_child(const char *path)
{
    pid_t child = start_child();
    if (child == 0) {
        CHECK_STATUS(publish_two(path), STATUS_OK);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    return STATUS_OK;
}

static void
test_publication_and_removal_wake_all_who_sleep(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    check_wakes(path, publish_two);
    check_wakes(path, publish_in_a_child);
    check_wakes(path, remove_name);
}

static void
test_nobody_sleeps_on_what_is_superseded(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct segment segment = open_segment(path);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_EQUAL(segment_wait(&segment, path, HOUR), WAKE_SUPERSEDED);
    segment_close(&segment);
}

static void
test_sleep_ends_with_its_time(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct segment segment = open_segment(path);
    CHECK_EQUAL(segment_wait(&segment, path, 0), WAKE_TIMEOUT);
    double start = now();
    CHECK_EQUAL(segment_wait(&segment, path, SECOND / 20), WAKE_TIMEOUT);
    CHECK(now() - start >= 0.05);
    start = now();
    CHECK(segment_pause(SECOND / 20));
    CHECK(now() - start >= 0.05);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
ignore_signal(int number)
{
}

static void
test_signal_ends_a_sleep(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    pid_t child = start_child();
    if (child == 0) {
        struct sigaction action = {.sa_handler = ignore_signal};
        CHECK_EQUAL(sigaction(SIGUSR1, &action, NULL), 0);
        struct segment segment = open_segment(path);
        CHECK_EQUAL(segment_wait(&segment, path, HOUR), WAKE_SIGNAL);
        CHECK(!segment_pause(HOUR));
        segment_close(&segment);
        _exit(0);
    }
    // Again and again: an emulator sleeps now and then on its own account.
    siginfo_t ended = {0};
    do {
        if (is_asleep(child, child, "futex")
            || is_asleep(child, child, "nanosleep"))
        {
            kill(child, SIGUSR1);
        }
        nap(1);
        CHECK_EQUAL(
            waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT),
            0);
    } while (ended.si_pid == 0);
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Killed between the mark and the rename, a publisher leaves the old map
 * marked: whoever looks finds the same file, and the next publication is one
 * like any other. */
static void
test_mark_without_a_newer_map_is_only_a_hint(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct segment segment = open_segment(path);
    int descriptor = open(path, O_RDWR);
    uint32_t mark = 1;
    CHECK_EQUAL(pwrite(descriptor, &mark, sizeof(mark),
                       offsetof(struct snapshot_header, head)),
                sizeof(mark));
    close(descriptor);
    CHECK(segment_is_superseded(&segment));
    CHECK_STATUS(segment_check_current(&segment, path, STRICT),
                 STATUS_UNCHANGED);
    struct segment again = open_segment(path);
    CHECK(segment_is_superseded(&again));
    segment_close(&again);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    CHECK_STATUS(segment_check_current(&segment, path, STRICT), STATUS_OK);
    check_published(path, 2, 2);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_clock_never_goes_back(void)
{
    int64_t before = segment_clock();
    for (int i = 0; i < 100000; i++) {
        int64_t after = segment_clock();
        CHECK(after >= before);
        before = after;
    }
}

/* ---- watching ----------------------------------------------------------- */

/* A name of this program's own, and where its map lives. */
static struct slice
own_name(char path[SEGMENT_PATH_SIZE])
{
    static char name[64];
    int size = snprintf(name, sizeof(name), "watch/%s", scratch.path + 9);
    struct slice slice = {(unsigned char *)name, (size_t)size};
    CHECK_STATUS(segment_path(slice, path), STATUS_OK);
    return slice;
}

/* How often the watch names it until there is nothing to read any more. */
static int
count_events(int descriptor, struct slice name, bool *is_everything)
{
    static struct segment_watch watch;
    struct slice next;
    int count = 0;
    *is_everything = false;
    while (segment_watch_read(&watch, descriptor)) {
        while (segment_watch_next(&watch, &next)) {
            count += slice_equals(next, name);
            *is_everything = *is_everything || next.size == 0;
        }
    }
    return count;
}

static bool
is_readable(int descriptor)
{
    struct pollfd poller = {.fd = descriptor, .events = POLLIN};
    return poll(&poller, 1, 0) == 1;
}

static void
test_watch_names_what_is_published_and_removed(void)
{
    char path[SEGMENT_PATH_SIZE];
    struct slice name = own_name(path);
    bool is_everything;
    int descriptor;
    CHECK_STATUS(segment_watch_open(&descriptor), STATUS_OK);
    CHECK_EQUAL(fcntl(descriptor, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(count_events(descriptor, name, &is_everything), 0);

    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK(is_readable(descriptor));
    CHECK(count_events(descriptor, name, &is_everything) >= 1);
    // The temporary name, through which the second one comes, is nobody's.
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    CHECK(count_events(descriptor, name, &is_everything) >= 1);
    CHECK_EQUAL(count_events(descriptor, name, &is_everything), 0);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK(count_events(descriptor, name, &is_everything) >= 1);
    CHECK(!is_everything);
    segment_watch_close(descriptor);
}

/* Other files of the directory are not maps. */
static void
test_watch_is_silent_about_other_files(void)
{
    char path[SEGMENT_PATH_SIZE], other[SEGMENT_PATH_SIZE + 8];
    struct slice name = own_name(path), nothing = {NULL, 0};
    bool is_everything;
    int descriptor;
    CHECK_STATUS(segment_watch_open(&descriptor), STATUS_OK);
    snprintf(other, sizeof(other), "%s~", path);
    write_file(other, "x", 1);
    CHECK_EQUAL(unlink(other), 0);
    CHECK_EQUAL(count_events(descriptor, name, &is_everything), 0);
    CHECK_EQUAL(count_events(descriptor, nothing, &is_everything), 0);
    segment_watch_close(descriptor);
}

/* As the system sends them of the directory itself. */
static void
test_event_without_a_name_is_nobodys(void)
{
    static struct segment_watch watch;
    static const struct inotify_event event = {.mask = IN_IGNORED};
    static const char behind[] = "sharedmap.name";
    struct slice name;
    memcpy(watch.events, &event, sizeof(event));
    memcpy(watch.events + sizeof(event), behind, sizeof(behind));
    watch.size = sizeof(event);
    CHECK(!segment_watch_next(&watch, &name));
}

static void
test_watch_that_lost_count_says_so(void)
{
    char path[SEGMENT_PATH_SIZE], limit[16] = "";
    struct slice name = own_name(path);
    bool is_everything;
    int descriptor;
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    if (file == NULL || fgets(limit, sizeof(limit), file) == NULL
        || atol(limit) > 100000)
    {
        skip_test("the queue is too long to be filled");
    }
    else {
        CHECK_STATUS(segment_watch_open(&descriptor), STATUS_OK);
        for (long i = 0; i < atol(limit); i++) {
            write_file(path, "x", 1);
            CHECK_EQUAL(unlink(path), 0);
        }
        count_events(descriptor, name, &is_everything);
        CHECK(is_everything);
        segment_watch_close(descriptor);
    }
    if (file != NULL) {
        fclose(file);
    }
}

static const struct test tests[] = {
    TEST(test_look_tells_whether_the_name_moved_on),
    TEST(test_look_sees_what_the_mark_does_not_say),
    TEST(test_look_follows_links_where_the_rules_do),
    TEST(test_file_of_the_same_number_on_another_device_is_another),
    TEST(test_known_segment_is_not_opened_again),
    TEST(test_publication_and_removal_wake_all_who_sleep),
    TEST(test_nobody_sleeps_on_what_is_superseded),
    TEST(test_sleep_ends_with_its_time),
    TEST(test_signal_ends_a_sleep),
    TEST(test_mark_without_a_newer_map_is_only_a_hint),
    TEST(test_clock_never_goes_back),
    TEST_LINUX(test_watch_names_what_is_published_and_removed),
    TEST_LINUX(test_watch_is_silent_about_other_files),
    TEST_LINUX(test_event_without_a_name_is_nobodys),
    TEST_LINUX(test_watch_that_lost_count_says_so),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
