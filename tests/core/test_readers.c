/* tests/core/test_readers.c
 *
 * Waiting until no lookup uses what is to be freed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/check.h"
#include "core/files.h"
#include "core/segment/readers.h"

/* ---- one reader, one who waits ------------------------------------------ */

struct waiter {
    pthread_t thread;
    _Atomic pid_t number;  // of the thread, for the system
    _Atomic bool has_returned;
};

static void *
wait_for_readers(void *context)
{
    struct waiter *waiter = context;
    atomic_store(&waiter->number, gettid());
    readers_wait();
    atomic_store(&waiter->has_returned, true);
    return NULL;
}

static void
start(struct waiter *waiter)
{
    *waiter = (struct waiter){.number = 0};
    CHECK_EQUAL(
        pthread_create(&waiter->thread, NULL, wait_for_readers, waiter), 0);
    while (atomic_load(&waiter->number) == 0) {
        nap(1);
    }
}

static void
test_nobody_is_waited_for_where_nobody_reads(void)
{
    readers_counter counter = readers_enter();
    readers_leave(counter);
    readers_wait();
}

static void
test_reader_that_has_entered_is_waited_for(void)
{
    // In either epoch.
    for (int i = 0; i < 3; i++) {
        struct waiter waiter;
        readers_counter counter = readers_enter();
        start(&waiter);
        wait_until_asleep(getpid(), waiter.number, "nanosleep");
        CHECK(!waiter.has_returned);
        readers_leave(counter);
        CHECK_EQUAL(pthread_join(waiter.thread, NULL), 0);
        CHECK(waiter.has_returned);
        atomic_fetch_add(&readers_epoch, 1);
    }
}

/* As many threads would that share a stripe: there is always one. */
static void
test_readers_that_come_meanwhile_hold_up_nobody(void)
{
    struct waiter waiter;
    readers_counter last = readers_enter();
    start(&waiter);
    while (!atomic_load(&waiter.has_returned)) {
        readers_counter next = readers_enter();
        readers_leave(last);
        last = next;
    }
    readers_leave(last);
    CHECK_EQUAL(pthread_join(waiter.thread, NULL), 0);
}

/* The second must not move the epoch on between the rounds of the first. */
static void
test_reader_in_either_epoch_is_waited_for_by_two(void)
{
    struct waiter first, second;
    readers_counter early = readers_enter();
    atomic_fetch_add(&readers_epoch, 1);
    readers_counter late = readers_enter();
    atomic_fetch_add(&readers_epoch, 1);
    CHECK(early != late);
    start(&first);
    wait_until_asleep(getpid(), first.number, "nanosleep");
    start(&second);
    // For the first; if it does not wait for that, for a reader.
    while (!is_asleep(getpid(), second.number, "futex")
           && !is_asleep(getpid(), second.number, "nanosleep"))
    {
        nap(1);
    }
    unsigned epoch = atomic_load(&readers_epoch);
    readers_leave(early);
    while (atomic_load(&readers_epoch) == epoch) {
        nap(1);
    }
    while (!first.has_returned
           && !is_asleep(getpid(), first.number, "nanosleep"))
    {
        nap(1);
    }
    CHECK(!first.has_returned && !second.has_returned);
    readers_leave(late);
    CHECK_EQUAL(pthread_join(first.thread, NULL), 0);
    CHECK_EQUAL(pthread_join(second.thread, NULL), 0);
}

static void
test_threads_have_stripes_of_their_own(void)
{
    readers_counter counter = readers_enter();
    struct readers_stripe *ours = readers_own;
    readers_leave(counter);
    CHECK(ours != readers_join());
    readers_own = ours;
}

/* ---- many readers ------------------------------------------------------- */

enum { READERS = 3, BLOCKS = 3000, SIZE = 16 };

static _Atomic(unsigned char *) current;
static _Atomic bool is_over;

static void *
read_blocks(void *context)
{
    _Atomic uint64_t *mixed = context;
    while (!atomic_load(&is_over)) {
        readers_counter counter = readers_enter();
        const volatile unsigned char *block = atomic_load(&current);
        for (int i = 1; i < SIZE; i++) {
            *mixed += block[i] != block[0] || block[0] == 0;
        }
        readers_leave(counter);
    }
    return NULL;
}

/* What is freed would be given out again; here it is overwritten. */
static void
test_nothing_is_freed_while_it_is_read(void)
{
    static unsigned char blocks[2][SIZE];
    pthread_t threads[READERS];
    _Atomic uint64_t mixed[READERS] = {0};
    memset(blocks[0], 1, SIZE);
    atomic_store(&current, blocks[0]);
    for (int i = 0; i < READERS; i++) {
        CHECK_EQUAL(pthread_create(&threads[i], NULL, read_blocks, &mixed[i]),
                    0);
    }
    for (int i = 1; i < BLOCKS; i++) {
        unsigned char *next = blocks[i % 2];
        for (int j = 0; j < SIZE; j++) {
            ((volatile unsigned char *)next)[j] = (unsigned char)(i % 255 + 1);
        }
        unsigned char *last = atomic_exchange(&current, next);
        readers_wait();
        for (int j = 0; j < SIZE; j++) {
            ((volatile unsigned char *)last)[j] = 0;
        }
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < READERS; i++) {
        CHECK_EQUAL(pthread_join(threads[i], NULL), 0);
        CHECK_EQUAL(mixed[i], 0);
    }
}

/* ---- a child ------------------------------------------------------------ */

static _Atomic bool has_entered, may_leave;

static void *
stay_inside(void *context)
{
    readers_counter counter = readers_enter();
    atomic_store(&has_entered, true);
    while (!atomic_load(&may_leave)) {
        nap(1);
    }
    readers_leave(counter);
    return NULL;
}

static void
test_child_waits_for_no_reader_of_its_parent(void)
{
    pthread_t thread;
    CHECK_EQUAL(pthread_create(&thread, NULL, stay_inside, NULL), 0);
    while (!atomic_load(&has_entered)) {
        nap(1);
    }
    // Nor for a thread that waits for it.
    struct waiter waiter;
    start(&waiter);
    wait_until_asleep(getpid(), waiter.number, "nanosleep");
    pid_t child = start_child();
    if (child == 0) {
        readers_wait();
        // Nor its own child, that of its parent.
        pid_t grandchild = start_child();
        if (grandchild == 0) {
            readers_wait();
            _exit(0);
        }
        _exit(end_of_child(grandchild));
    }
    CHECK_EQUAL(end_of_child(child), 0);
    atomic_store(&may_leave, true);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    CHECK_EQUAL(pthread_join(waiter.thread, NULL), 0);
}

static const struct test tests[] = {
    TEST(test_nobody_is_waited_for_where_nobody_reads),
    TEST(test_reader_that_has_entered_is_waited_for),
    TEST(test_readers_that_come_meanwhile_hold_up_nobody),
    TEST(test_reader_in_either_epoch_is_waited_for_by_two),
    TEST(test_threads_have_stripes_of_their_own),
    TEST(test_nothing_is_freed_while_it_is_read),
    TEST(test_child_waits_for_no_reader_of_its_parent),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
