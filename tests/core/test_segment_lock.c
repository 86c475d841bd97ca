/* tests/core/test_segment_lock.c
 *
 * Whose turn it is to have the lock of a name. What correctness depends on, the
 * lock itself, is tested in test_segment_race.c and test_segment_holder.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "core/check.h"
#include "core/files.h"
#include "core/segment/lock.h"

static _Atomic uint64_t *
queue_of(const struct holder *holder)
{
    return (void *)((char *)holder->header
                    + offsetof(struct snapshot_header, waiting_since));
}

static void
lock(struct holder *holder, const char *path)
{
    CHECK_STATUS(holder_lock(holder, path, NULL), STATUS_OK);
}

/* Map 1, whose lock is held. */
static void
publish_and_lock(struct holder *holder, const char *path)
{
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    lock(holder, path);
}

static void
wait_until_first(const struct holder *holder)
{
    while (atomic_load(queue_of(holder)) == 0) {
        nap(1);
    }
}

static volatile sig_atomic_t has_come;

static void
note_signal(int number)
{
    has_come = 1;
}

static bool
is_signalled(void *context)
{
    return has_come;
}

/* ---- one after the other ------------------------------------------------ */

enum { WAITERS = 5 };

/* What the processes of a test share. */
struct board {
    _Atomic int count;
    _Atomic int order[WAITERS];
    // A point in time between the arrivals of waiter i - 1 and of waiter i.
    _Atomic int64_t before[WAITERS + 1];
};

static void
wait_for_turn(struct board *board, const char *path, int number)
{
    struct holder holder;
    lock(&holder, path);
    board->order[atomic_fetch_add(&board->count, 1)] = number;
    // Until the next one has said that it waits; those behind it say so, too.
    while (number + 1 < WAITERS) {
        uint64_t first = atomic_load(queue_of(&holder));
        if (first != 0 && first < (uint64_t)board->before[number + 2]) {
            break;
        }
        nap(1);
    }
    holder_close(&holder);
    _exit(0);
}

static void
test_lock_is_given_in_the_order_of_arrival(void)
{
    const char *path = scratch_path("map");
    struct board *board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(board != MAP_FAILED);
    struct holder holder;
    publish_and_lock(&holder, path);
    pid_t children[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        children[i] = start_child();
        if (children[i] == 0) {
            wait_for_turn(board, path, i);
        }
        wait_until_asleep(children[i], children[i],
                          i == 0 ? "nanosleep" : "futex");
        board->before[i + 1] = segment_clock();
    }
    uint64_t first = atomic_load(queue_of(&holder));
    CHECK(first != 0 && first < (uint64_t)board->before[1]);
    holder_close(&holder);
    for (int i = 0; i < WAITERS; i++) {
        CHECK_EQUAL(end_of_child(children[i]), 0);
    }
    CHECK_EQUAL(board->count, WAITERS);
    for (int i = 0; i < WAITERS; i++) {
        CHECK_EQUAL(board->order[i], i);
    }
    // Nobody is left who waits.
    lock(&holder, path);
    CHECK_EQUAL(holder_waiting_since(&holder), 0);
    holder_close(&holder);
    munmap(board, sizeof(*board));
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Else the publisher that has just finished would be the next one, too. */
static void
test_file_that_replaces_another_takes_over_its_queue(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    publish_and_lock(&holder, path);
    atomic_store(queue_of(&holder), UINT64_MAX);  // has just come
    holder_close(&holder);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    struct segment segment = open_segment(path);
    CHECK(header_in(&segment)->waiting_since == UINT64_MAX);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- waking --------------------------------------------------------------- */

/* A publisher that looks once more, and then again after an hour. */
static pid_t
start_sleeper(const char *path, enum status expected)
{
    pid_t child = start_child();
    if (child == 0) {
        struct holder holder;
        struct lock_options options = {.timeout = INT64_C(7200000000000)};
        struct turn turn = turn_begin(&options);
        turn.backoff.next = turn.backoff.longest = options.timeout / 2;
        CHECK_STATUS(holder_lock_in_turn(&holder, path, &turn), expected);
        holder_close(&holder);
        _exit(0);
    }
    wait_until_asleep(child, child, "futex");
    return child;
}

static void
test_publisher_that_gets_the_lock_wakes_the_next(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    publish_and_lock(&holder, path);
    pid_t first = start_child();
    if (first == 0) {
        struct holder other;
        lock(&other, path);
        holder_close(&other);
        _exit(0);
    }
    wait_until_first(&holder);
    pid_t next = start_sleeper(path, STATUS_OK);
    holder_close(&holder);
    CHECK_EQUAL(end_of_child(first), 0);
    CHECK_EQUAL(end_of_child(next), 0);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_publisher_that_gives_up_wakes_the_next(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    publish_and_lock(&holder, path);
    pid_t first = start_child();
    if (first == 0) {
        struct holder other;
        struct lock_options options = {.timeout = INT64_C(3600000000000)};
        options.interrupt.is_due = is_signalled;
        signal(SIGUSR1, note_signal);
        CHECK_STATUS(holder_lock(&other, path, &options), STATUS_INTERRUPTED);
        _exit(0);
    }
    wait_until_first(&holder);
    pid_t next = start_sleeper(path, STATUS_OK);
    kill(first, SIGUSR1);
    CHECK_EQUAL(end_of_child(first), 0);
    // It is the first now, and says so.
    wait_until_first(&holder);
    holder_close(&holder);
    CHECK_EQUAL(end_of_child(next), 0);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* The first in the queue is made up, and wakes none of the others. */
static void
test_file_that_replaces_another_wakes_the_publishers(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    publish_and_lock(&holder, path);
    atomic_store(queue_of(&holder), 7);
    pid_t sleepers[2] = {start_sleeper(path, STATUS_OK),
                         start_sleeper(path, STATUS_OK)};
    atomic_store(queue_of(&holder), 0);
    holder_close(&holder);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    CHECK_EQUAL(end_of_child(sleepers[0]), 0);
    CHECK_EQUAL(end_of_child(sleepers[1]), 0);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_removal_wakes_the_publishers(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    publish_and_lock(&holder, path);
    atomic_store(queue_of(&holder), 7);
    pid_t sleeper = start_sleeper(path, STATUS_NAME_ABSENT);
    atomic_store(queue_of(&holder), 0);
    holder_close(&holder);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_EQUAL(end_of_child(sleeper), 0);
}

/* ---- turns that end otherwise ------------------------------------------- */

/* Nobody came at the time 7, so nobody takes the lock: it is free for all after
 * a while. */
static void
test_waiter_that_was_killed_holds_up_nobody_for_long(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    publish_and_lock(&holder, path);
    atomic_store(queue_of(&holder), 7);
    holder_close(&holder);
    lock(&holder, path);
    CHECK_EQUAL(holder_waiting_since(&holder), 0);
    holder_close(&holder);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static bool
is_due_at_the_third_question(void *context)
{
    int *asked = context;
    *asked += 1;
    return *asked == 3;
}

static void
test_interrupted_wait_ends_and_leaves_the_queue(void)
{
    const char *path = scratch_path("map");
    int asked = 0;
    struct lock_options options = {
        .timeout = INT64_MAX,
        .interrupt = {.is_due = is_due_at_the_third_question,
                      .context = &asked},
    };
    struct holder holder, other;
    publish_and_lock(&holder, path);
    CHECK_STATUS(holder_lock(&other, path, &options), STATUS_INTERRUPTED);
    CHECK_EQUAL(asked, 3);
    CHECK_EQUAL(holder_waiting_since(&holder), 0);
    holder_close(&holder);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static bool
is_due_in_a_child(void *context)
{
    pid_t *child = context;
    if (*child < 0) {
        *child = start_child();
    }
    return *child == 0;
}

/* A child has no header in which it could leave the queue. */
static void
test_child_that_an_interrupt_forks_ends_the_wait(void)
{
    const char *path = scratch_path("map");
    pid_t child = -1;
    struct lock_options options = {
        .timeout = INT64_C(20000000),
        .interrupt = {.is_due = is_due_in_a_child, .context = &child},
    };
    struct holder holder, other;
    publish_and_lock(&holder, path);
    enum status status = holder_lock(&other, path, &options);
    if (child == 0) {
        CHECK_STATUS(status, STATUS_INTERRUPTED);
        _exit(0);
    }
    CHECK_STATUS(status, STATUS_LOCK_TIMEOUT);
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK_EQUAL(holder_waiting_since(&holder), 0);
    holder_close(&holder);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_timeout_is_kept_and_leaves_the_queue(void)
{
    const char *path = scratch_path("map");
    struct lock_options options = {.timeout = INT64_C(20000000)};
    struct holder holder, other;
    publish_and_lock(&holder, path);
    int64_t start = segment_clock();
    CHECK_STATUS(holder_lock(&other, path, &options), STATUS_LOCK_TIMEOUT);
    CHECK(segment_clock() - start >= options.timeout);
    CHECK_EQUAL(holder_waiting_since(&holder), 0);
    holder_close(&holder);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static const struct test tests[] = {
    TEST(test_lock_is_given_in_the_order_of_arrival),
    TEST(test_file_that_replaces_another_takes_over_its_queue),
    TEST(test_publisher_that_gets_the_lock_wakes_the_next),
    TEST(test_publisher_that_gives_up_wakes_the_next),
    TEST(test_file_that_replaces_another_wakes_the_publishers),
    TEST_LINUX(test_removal_wakes_the_publishers),
    TEST(test_waiter_that_was_killed_holds_up_nobody_for_long),
    TEST(test_interrupted_wait_ends_and_leaves_the_queue),
    TEST(test_child_that_an_interrupt_forks_ends_the_wait),
    TEST(test_timeout_is_kept_and_leaves_the_queue),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
