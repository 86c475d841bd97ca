/* tests/core/test_segment_follow.c
 *
 * When a handle that follows a name has to check it. Time is an argument, so
 * nothing here waits for it to pass.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/check.h"
#include "core/files.h"
#include "core/segment/follow.h"

static const int64_t MILLISECOND = INT64_C(1000000);
static const int64_t SECOND = INT64_C(1000000000);
static const int64_t HOUR = INT64_C(3600000000000);

/* Any point in time but 0, which no clock shows twice. */
static const int64_t START = INT64_C(5000000000);

static struct segment
published(const char *path)
{
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    return open_segment(path);
}

/* ---- hints -------------------------------------------------------------- */

static void
test_current_segment_has_no_hint_and_is_always_due(void)
{
    const char *path = scratch_path("map");
    struct segment seen = published(path);
    struct follow follow = {0};
    CHECK(!follow_is_hinted(&follow, &seen));
    CHECK(follow_is_due(&follow, START));
    follow_note(&follow, &seen, STATUS_UNCHANGED, START);
    CHECK(!follow_is_hinted(&follow, &seen));
    CHECK(follow_is_due(&follow, START));
    segment_close(&seen);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_superseded_segment_is_hinted_whatever_is_noted(void)
{
    const char *path = scratch_path("map");
    struct segment seen = published(path);
    struct follow follow = {0};
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    CHECK(follow_is_hinted(&follow, &seen));
    follow_note(&follow, &seen, STATUS_UNCHANGED, START);
    CHECK(follow_is_hinted(&follow, &seen));
    segment_close(&seen);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Removing a file by hand marks nothing, so the name itself is the only
 * one to tell when it comes back. */
static void
test_lost_name_is_a_hint_until_something_good_has_it(void)
{
    static const enum status nothing_good[] = {
        STATUS_SYSTEM,         STATUS_FOREIGN_OWNER, STATUS_NOT_REGULAR,
        STATUS_NOT_A_SNAPSHOT, STATUS_TRUNCATED,     STATUS_NO_MEMORY,
    };
    static const enum status good[] = {STATUS_OK, STATUS_UNCHANGED};
    const char *path = scratch_path("map");
    struct segment seen = published(path);
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct follow follow = {0};
        follow_note(&follow, &seen, STATUS_NAME_ABSENT, START);
        CHECK(follow_is_hinted(&follow, &seen));
        for (size_t k = 0; k < sizeof(nothing_good) / sizeof(*nothing_good);
             k++)
        {
            follow_note(&follow, &seen, nothing_good[k], START);
            CHECK(follow_is_hinted(&follow, &seen));
        }
        follow_note(&follow, &seen, good[i], START);
        CHECK(!follow_is_hinted(&follow, &seen));
    }
    segment_close(&seen);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* What it would have found may be newer, and nothing will say so again. */
static void
test_failed_attempt_is_a_hint_until_one_succeeds(void)
{
    static const enum status successes[] = {STATUS_OK, STATUS_UNCHANGED};
    const char *path = scratch_path("map");
    struct segment seen = published(path);
    for (size_t i = 0; i < sizeof(successes) / sizeof(*successes); i++) {
        struct follow follow = {0};
        follow_note(&follow, &seen, STATUS_SYSTEM, START);
        follow_note(&follow, &seen, STATUS_FOREIGN_OWNER, START);
        CHECK(follow_is_hinted(&follow, &seen));
        follow_note(&follow, &seen, successes[i], START + 1);
        CHECK(!follow_is_hinted(&follow, &seen));
        CHECK(follow_is_due(&follow, START + 1));
    }
    segment_close(&seen);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- backoff ------------------------------------------------------------ */

static void
test_hint_is_checked_each_time_for_as_long_as_publishing_takes(void)
{
    const char *path = scratch_path("map");
    struct segment seen = published(path);
    struct follow follow = {0};
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    for (int64_t now = START; now <= START + SECOND; now += SECOND / 100) {
        follow_note(&follow, &seen, STATUS_NAME_ABSENT, now);
        CHECK(follow_is_due(&follow, now));
    }
    segment_close(&seen);
}

static void
test_hint_that_came_to_nothing_for_long_is_checked_every_millisecond(void)
{
    const char *path = scratch_path("map");
    struct segment seen = published(path);
    struct follow follow = {0};
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    follow_note(&follow, &seen, STATUS_NAME_ABSENT, START);
    for (int64_t now = START + 2 * SECOND; now < START + 3 * SECOND;
         now += SECOND / 10)
    {
        follow_note(&follow, &seen, STATUS_NAME_ABSENT, now);
        CHECK(!follow_is_due(&follow, now));
        CHECK(!follow_is_due(&follow, now + MILLISECOND - 1));
        CHECK(follow_is_due(&follow, now + MILLISECOND));
    }
    segment_close(&seen);
}

/* Without this, what is published next would be seen a millisecond late. */
static void
test_backoff_ends_with_its_hint(void)
{
    static const enum status ends[] = {STATUS_OK, STATUS_UNCHANGED};
    const char *path = scratch_path("map");
    struct segment seen = published(path);
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        struct follow follow = {0};
        const int64_t late = START + 2 * SECOND;
        follow_note(&follow, &seen, STATUS_NAME_ABSENT, START);
        follow_note(&follow, &seen, STATUS_NAME_ABSENT, late);
        CHECK(!follow_is_due(&follow, late));
        follow_note(&follow, &seen, ends[i], late);
        CHECK(follow_is_due(&follow, late));
        // The next hint is a new one: it gets a second of its own.
        follow_note(&follow, &seen, STATUS_NAME_ABSENT, late);
        CHECK(follow_is_due(&follow, late));
    }
    segment_close(&seen);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* The same file is still there, but marked: its publisher was killed. */
static void
test_backoff_goes_on_while_the_mark_stays(void)
{
    const char *path = scratch_path("map");
    struct segment seen = published(path);
    struct follow follow = {0};
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    follow_note(&follow, &seen, STATUS_UNCHANGED, START);
    follow_note(&follow, &seen, STATUS_UNCHANGED, START + 2 * SECOND);
    CHECK(!follow_is_due(&follow, START + 2 * SECOND));
    segment_close(&seen);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* 10 ms, twice as long each time, and never more than a second. */
static void
test_failed_attempt_is_made_again_with_backoff(void)
{
    static const int64_t pauses[] = {10,  20,  40,   80,   160,
                                     320, 640, 1000, 1000, 1000};
    const char *path = scratch_path("map");
    struct segment seen = published(path);
    struct follow follow = {0};
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    int64_t now = START;
    for (size_t i = 0; i < sizeof(pauses) / sizeof(*pauses); i++) {
        follow_note(&follow, &seen, STATUS_SYSTEM, now);
        // Another thread that failed at the same time prolongs nothing.
        follow_note(&follow, &seen, STATUS_SYSTEM, now);
        CHECK(!follow_is_due(&follow, now + pauses[i] * MILLISECOND - 1));
        CHECK(!follow_may_check(&follow, now + pauses[i] * MILLISECOND - 1));
        now += pauses[i] * MILLISECOND;
        CHECK(follow_is_due(&follow, now));
        CHECK(follow_may_check(&follow, now));
    }
    segment_close(&seen);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_backoff_after_failures_ends_with_them(void)
{
    static const enum status answers[] = {STATUS_OK, STATUS_UNCHANGED,
                                          STATUS_NAME_ABSENT};
    const char *path = scratch_path("map");
    struct segment seen = published(path);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        struct follow follow = {0};
        for (int64_t now = START; now < START + HOUR; now += SECOND) {
            follow_note(&follow, &seen, STATUS_SYSTEM, now);
        }
        follow_note(&follow, &seen, answers[i], START + HOUR);
        CHECK(follow_is_due(&follow, START + HOUR));
        // The next failure begins with the shortest pause.
        follow_note(&follow, &seen, STATUS_SYSTEM, START + HOUR);
        CHECK(follow_is_due(&follow, START + HOUR + 10 * MILLISECOND));
    }
    segment_close(&seen);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* A name that was removed, and one whose publisher was killed, are checked by
 * each reader that waits: only failures are not to be repeated at once. */
static void
test_waiting_reader_checks_a_hint_that_came_to_nothing(void)
{
    const char *path = scratch_path("map");
    struct segment seen = published(path);
    struct follow follow = {0};
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    follow_note(&follow, &seen, STATUS_NAME_ABSENT, START);
    follow_note(&follow, &seen, STATUS_NAME_ABSENT, START + 2 * SECOND);
    CHECK(!follow_is_due(&follow, START + 2 * SECOND));
    CHECK(follow_may_check(&follow, START + 2 * SECOND));
    segment_close(&seen);
}

static void
test_each_backoff_is_twice_the_last_up_to_its_longest(void)
{
    struct backoff backoff = {.next = 3, .longest = 20};
    static const int64_t expected[] = {3, 6, 12, 20, 20};
    for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
        CHECK_EQUAL(backoff_next(&backoff), expected[i]);
    }
}

/* ---- sleeping ----------------------------------------------------------- */

static void
test_sleep_with_a_hint_takes_the_backoff_and_no_more_than_is_left(void)
{
    const char *path = scratch_path("map");
    struct segment seen = published(path);
    struct follow follow = {0};
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    struct backoff backoff = FOLLOW_BACKOFF;
    int64_t first = backoff.next;
    int64_t before = segment_clock();
    follow_sleep(&follow, &seen, path, HOUR, &backoff);
    CHECK(segment_clock() - before >= first);
    CHECK_EQUAL(backoff.next, 2 * first);
    backoff = (struct backoff){.next = HOUR, .longest = HOUR};
    follow_sleep(&follow, &seen, path, 1,
                 &backoff);  // an hour would be noticed
    segment_close(&seen);
}

static void
test_sleep_after_a_failure_lasts_until_the_next_attempt(void)
{
    const char *path = scratch_path("map");
    struct segment seen = published(path);
    struct follow follow = {0};
    struct backoff backoff = FOLLOW_BACKOFF;
    int64_t before = segment_clock();
    follow_note(&follow, &seen, STATUS_SYSTEM, before);
    follow_sleep(&follow, &seen, path, HOUR, &backoff);
    CHECK(follow_may_check(&follow, segment_clock()));
    CHECK(segment_clock() - before >= 10 * MILLISECOND);
    segment_close(&seen);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Its turn has come, so there is nothing to wait for but the usual pause. */
static void
test_sleep_after_an_overdue_attempt_takes_the_backoff(void)
{
    const char *path = scratch_path("map");
    struct segment seen = published(path);
    struct follow follow = {0};
    struct backoff backoff = FOLLOW_BACKOFF;
    int64_t first = backoff.next;
    int64_t before = segment_clock();
    follow_note(&follow, &seen, STATUS_SYSTEM, before - SECOND);
    CHECK(follow_is_hinted(&follow, &seen));
    CHECK(follow_may_check(&follow, before));
    follow_sleep(&follow, &seen, path, HOUR, &backoff);
    CHECK(segment_clock() - before >= first);
    CHECK_EQUAL(backoff.next, 2 * first);
    segment_close(&seen);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_sleep_without_a_hint_leaves_the_backoff_and_ends_by_itself(void)
{
    const char *path = scratch_path("map");
    struct segment seen = published(path);
    struct follow follow = {0};
    struct backoff backoff = {.next = HOUR, .longest = HOUR};
    follow_sleep(&follow, &seen, path, MILLISECOND, &backoff);
    // Half a second later, though no publisher wakes it and an hour is left.
    follow_sleep(&follow, &seen, path, HOUR, &backoff);
    CHECK_EQUAL(backoff.next, HOUR);
    segment_close(&seen);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- all of them -------------------------------------------------------- */

static const struct test tests[] = {
    TEST(test_current_segment_has_no_hint_and_is_always_due),
    TEST(test_superseded_segment_is_hinted_whatever_is_noted),
    TEST(test_lost_name_is_a_hint_until_something_good_has_it),
    TEST(test_failed_attempt_is_a_hint_until_one_succeeds),
    TEST(test_hint_is_checked_each_time_for_as_long_as_publishing_takes),
    TEST(test_hint_that_came_to_nothing_for_long_is_checked_every_millisecond),
    TEST(test_backoff_ends_with_its_hint),
    TEST(test_backoff_goes_on_while_the_mark_stays),
    TEST(test_failed_attempt_is_made_again_with_backoff),
    TEST(test_backoff_after_failures_ends_with_them),
    TEST(test_waiting_reader_checks_a_hint_that_came_to_nothing),
    TEST(test_each_backoff_is_twice_the_last_up_to_its_longest),
    TEST(test_sleep_with_a_hint_takes_the_backoff_and_no_more_than_is_left),
    TEST(test_sleep_after_a_failure_lasts_until_the_next_attempt),
    TEST(test_sleep_after_an_overdue_attempt_takes_the_backoff),
    TEST(test_sleep_without_a_hint_leaves_the_backoff_and_ends_by_itself),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
