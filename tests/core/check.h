/* tests/core/check.h
 *
 * A condition that says where it failed, and a runner that says in which
 * test. The first failure ends the program, so a test may go on with what it
 * has checked; so does a test that hangs. After each test all memory of the
 * core must be back and as many descriptors open as before.
 *
 *     static const struct test tests[] = {TEST(test_this_does_that), ...};
 *
 *     int
 *     main(int count, char **words)
 *     {
 *         return RUN_TESTS(tests, count, words);
 *     }
 *
 * Words on the command line select the tests whose names contain one of them;
 * to select none is a failure.
 */
#ifndef SHAREDMAP_TESTS_CORE_CHECK_H
#define SHAREDMAP_TESTS_CORE_CHECK_H

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "core/base/status.h"

/* Seconds: so far beyond what any test needs, under an emulator too, that only
 * a hang gets there. */
enum { HANG = 300 };

struct test {
    const char *name;
    void (*run)(void);
};

#define TEST(function) {#function, function}
/* One that scripts or counts calls that only Linux has: see skip_elsewhere(). */
#ifdef SHAREDMAP_PORTABLE
#define TEST_LINUX(function) {#function, true ? skip_elsewhere : function}
enum { DRAFTS_HAVE_NAMES = 1, FUTEX_IS_EMULATED = 1 };
#else
#define TEST_LINUX(function) {#function, function}
enum { DRAFTS_HAVE_NAMES = 0, FUTEX_IS_EMULATED = 0 };
#endif
#define RUN_TESTS(tests, count, words) \
    run_tests(tests, sizeof(tests) / sizeof((tests)[0]), count, words)

#define CHECK(condition) \
    check_condition((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQUAL(actual, expected)                   \
    check_equal((int64_t)(actual), (int64_t)(expected), \
                #actual " == " #expected, __FILE__, __LINE__)
#define CHECK_STATUS(actual, expected) \
    check_status((actual), (expected), #actual, __FILE__, __LINE__)

static inline void
check_condition(bool holds, const char *text, const char *file, int line)
{
    if (!holds) {
        fprintf(stderr, "%s:%d: failed: %s\n", file, line, text);
        exit(EXIT_FAILURE);
    }
}

static inline void
check_equal(int64_t actual, int64_t expected, const char *text,
            const char *file, int line)
{
    if (actual != expected) {
        fprintf(stderr, "  %" PRId64 ", not %" PRId64 "\n", actual, expected);
    }
    check_condition(actual == expected, text, file, line);
}

static inline void
check_status(enum status actual, enum status expected, const char *text,
             const char *file, int line)
{
    if (actual != expected) {
        fprintf(stderr, "  \"%s\", not \"%s\"\n", status_message(actual),
                status_message(expected));
    }
    check_condition(actual == expected, text, file, line);
}

/* For tests that the machine or the user's rights do not allow. */
static inline void
skip_test(const char *reason)
{
    printf("      skipped: %s\n", reason);
}

/* Instead of a test of what only Linux has, where the build is the portable
 * one. */
static inline void
skip_elsewhere(void)
{
    skip_test("only Linux has these calls");
}

/* The same numbers in every run (splitmix64); the state is any number. */
static inline uint64_t
next_random(uint64_t *state)
{
    uint64_t mixed = *state += UINT64_C(0x9E3779B97F4A7C15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ mixed >> 31;
}

/* At least 0, below the limit. */
static inline size_t
random_below(uint64_t *state, size_t limit)
{
    return (size_t)(next_random(state) % limit);
}

static inline int
count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    while (directory != NULL && readdir(directory) != NULL) {
        count += 1;
    }
    if (directory != NULL) {
        closedir(directory);
    }
    return count;
}

static inline bool
is_selected(const char *name, int count, char **words)
{
    bool is_selected = count < 2;
    for (int i = 1; i < count; i++) {
        is_selected = is_selected || strstr(name, words[i]) != NULL;
    }
    return is_selected;
}

static inline int
run_tests(const struct test *tests, size_t test_count, int count, char **words)
{
    bool is_any = false;
    for (const struct test *test = tests; test < tests + test_count; test++) {
        if (!is_selected(test->name, count, words)) {
            continue;
        }
        is_any = true;
        // The name comes first: a crash must not leave it in the buffer.
        printf("    %s\n", test->name);
        fflush(stdout);
        int descriptors = count_descriptors();
        // What waits without a limit of its own is ended by this signal.
        alarm(HANG);
        test->run();
        alarm(0);
        CHECK_EQUAL(memory_outstanding(), 0);
        CHECK_EQUAL(count_descriptors(), descriptors);
    }
    if (!is_any) {
        fprintf(stderr, "no test has such a name\n");
    }
    return is_any ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* For an interrupt: due at the first question, and at every other. */
static inline bool
is_due_at_once(void *context)
{
    (void)context;
    return true;
}

static inline bool
is_never_due(void *context)
{
    (void)context;
    return false;
}

/* For an interrupt whose context is an int: due at that question, the first
 * being 1. */
static inline bool
is_due_at_last(void *context)
{
    int *questions_left = context;
    *questions_left -= 1;
    return *questions_left == 0;
}

#endif
