/* tests/core/test_segment_race.c
 *
 * Publishers and removers against each other. One test waits for the lock's
 * five seconds; all the others are quick.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "core/check.h"
#include "core/files.h"
#include "core/segment/segment.h"

/* ---- the lock ----------------------------------------------------------- */

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
        CHECK_STATUS(segment_remove(path, NULL), STATUS_LOCK_TIMEOUT);
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
    // Had they waited much longer, start_child()'s alarm would have come.
    CHECK_EQUAL(end_of_child(remover), 0);
    CHECK_EQUAL(end_of_child(publisher), 0);

    CHECK_EQUAL(header_in(&old)->head, 0);
    segment_close(&old);
    check_published(path, 1, 1);
    check_published(other, 1, 1);
    CHECK_EQUAL(scratch_file_count(), 2);

    // Opening and publishing elsewhere never waited, and now nobody does.
    kill_child(locker);
    kill_child(read_locker);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    check_published(path, 2, 2);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_STATUS(segment_remove(other, NULL), STATUS_OK);
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
    wait_until_asleep(publisher, publisher, "nanosleep");
    check_published(path, 1, 1);
    kill_child(locker);
    CHECK_EQUAL(end_of_child(publisher), 0);
    check_published(path, 2, 2);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
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
    wait_until_asleep(publisher, publisher, "nanosleep");
    struct segment first = open_segment(path);
    CHECK_EQUAL(rename(scratch_path("next"), path), 0);
    CHECK_EQUAL(end_of_child(publisher), 0);
    // It replaced what it found, and did not touch what was gone.
    check_published(path, 6, 2);
    CHECK_EQUAL(header_in(&first)->head, 0);
    segment_close(&first);
    kill_child(locker);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
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
        if (generation == 1 + PUBLISHERS * PUBLICATIONS) {
            for (; ended < PUBLISHERS; ended++) {
                CHECK_EQUAL(end_of_child(publishers[ended]), 0);
            }
        }
    }
    CHECK(files <= (DRAFTS_HAVE_NAMES ? 1 + PUBLISHERS : 2));
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_EQUAL(generation, 1 + PUBLISHERS * PUBLICATIONS);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
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
        CHECK_STATUS(segment_remove(contest.path, NULL), STATUS_OK);
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
    for (int round = 1; round <= ROUNDS; round++) {
        atomic_store(&race->round, round);
        while (atomic_load(&race->finished) != RACERS * round) {
            sched_yield();
        }
        struct segment segment = open_segment(path);
        CHECK_EQUAL(header_in(&segment)->generation, RACERS);
        segment_close(&segment);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
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
            enum status status = i == 0 ? segment_remove(path, NULL)
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
    segment_remove(path, NULL);
    CHECK_EQUAL(scratch_file_count(), 0);
}

static const struct test tests[] = {
    TEST(test_publisher_waits_for_a_lock_that_is_freed),
    TEST(test_publisher_notices_that_the_name_moved_on),
    TEST(test_no_publication_of_many_processes_is_lost),
    TEST(test_only_one_thread_gets_a_free_name),
    TEST(test_forced_publications_of_a_free_name_all_succeed),
    TEST(test_publishing_and_removing_at_once_leaves_nothing_behind),
    TEST(test_held_lock_ends_in_a_timeout_after_five_seconds),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
