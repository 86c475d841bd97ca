/* tests/core/test_fork_list.c
 *
 * Who is listed when a child is forked is told in the child, once.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/segment/fork_list.h"

#include "core/check.h"
#include "core/files.h"

struct counter {
    struct fork_listener listener;
    int calls;
};

static void
count_call(struct fork_listener *listener)
{
    ((struct counter *)listener)->calls += 1;
}

static void
add(struct counter *counter)
{
    *counter = (struct counter){.listener = {.in_child = count_call}};
    fork_list_lock();
    fork_list_add(&counter->listener);
    fork_list_unlock();
}

static bool
take_off(struct counter *counter)
{
    fork_list_lock();
    bool was_listed = fork_list_remove(&counter->listener);
    fork_list_unlock();
    return was_listed;
}

static void
test_listener_is_called_in_the_child_and_only_there(void)
{
    struct counter first, second;
    add(&first);
    add(&second);
    pid_t child = start_child();
    if (child == 0) {
        CHECK_EQUAL(first.calls, 1);
        CHECK_EQUAL(second.calls, 1);
        // It is no longer on the list, which says that this is a child.
        CHECK(!take_off(&first));
        CHECK(!take_off(&second));
        pid_t grandchild = start_child();
        if (grandchild == 0) {
            CHECK_EQUAL(first.calls, 1);
            _exit(0);
        }
        _exit(end_of_child(grandchild));
    }
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK_EQUAL(first.calls, 0);
    CHECK(take_off(&first));
    CHECK(take_off(&second));
}

static void
test_listener_is_taken_off_from_any_place_and_once(void)
{
    enum { COUNT = 3 };
    struct counter counters[COUNT];
    for (int taken = 0; taken < COUNT; taken++) {
        for (int i = 0; i < COUNT; i++) {
            add(&counters[i]);
        }
        CHECK(take_off(&counters[taken]));
        CHECK(!take_off(&counters[taken]));
        pid_t child = start_child();
        if (child == 0) {
            for (int i = 0; i < COUNT; i++) {
                CHECK_EQUAL(counters[i].calls, i != taken);
            }
            _exit(0);
        }
        CHECK_EQUAL(end_of_child(child), 0);
        for (int i = 0; i < COUNT; i++) {
            CHECK_EQUAL(take_off(&counters[i]), i != taken);
        }
    }
}

static void
test_generation_counts_the_forks_on_the_way_down(void)
{
    uint64_t generation = fork_list_generation();
    pid_t child = start_child();
    if (child == 0) {
        CHECK_EQUAL(fork_list_generation(), generation + 1);
        pid_t grandchild = start_child();
        if (grandchild == 0) {
            CHECK_EQUAL(fork_list_generation(), generation + 2);
            _exit(0);
        }
        CHECK_EQUAL(fork_list_generation(), generation + 1);
        _exit(end_of_child(grandchild));
    }
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK_EQUAL(fork_list_generation(), generation);
}

static void
end_step(struct fork_step *step)
{
    fork_list_lock();
    fork_step_end(step);
    fork_list_unlock();
}

/* How many steps a fork would wait for now. */
static int
count_steps(void)
{
    struct fork_step probe;
    int count = 0;
    fork_step_begin(&probe);
    for (struct fork_step *step = probe.next; step != NULL; step = step->next)
    {
        count += 1;
    }
    end_step(&probe);
    return count;
}

static void
test_steps_end_in_any_order(void)
{
    static const int orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2}};
    for (int i = 0; i < 3; i++) {
        struct fork_step steps[3];
        for (int j = 0; j < 3; j++) {
            fork_step_begin(&steps[j]);
        }
        for (int j = 0; j < 3; j++) {
            CHECK_EQUAL(count_steps(), 3 - j);
            end_step(&steps[orders[i][j]]);
        }
        CHECK_EQUAL(count_steps(), 0);
    }
}

/* As where a signal handler forks in it. The child has no steps of its
 * parent's, and gets none by ending one. */
static void
test_step_that_began_in_the_parent_ends_in_the_child_as_well(void)
{
    struct fork_step first, second;
    fork_step_begin(&first);
    fork_step_begin(&second);
    pid_t child = start_child();
    if (child == 0) {
        struct fork_step own;
        fork_step_begin(&own);
        end_step(&second);
        CHECK_EQUAL(count_steps(), 1);
        end_step(&own);
        CHECK_EQUAL(count_steps(), 0);
        _exit(0);
    }
    CHECK_EQUAL(count_steps(), 2);
    end_step(&first);
    end_step(&second);
    CHECK_EQUAL(end_of_child(child), 0);
}

static const struct test tests[] = {
    TEST(test_listener_is_called_in_the_child_and_only_there),
    TEST(test_listener_is_taken_off_from_any_place_and_once),
    TEST(test_steps_end_in_any_order),
    TEST(test_step_that_began_in_the_parent_ends_in_the_child_as_well),
    TEST(test_generation_counts_the_forks_on_the_way_down),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
