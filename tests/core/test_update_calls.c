/* tests/core/test_update_calls.c
 *
 * Each call of the system that an update of a map with room makes fails once,
 * whether it appends, folds, copies, repairs or compacts: that is an error with
 * the errno of the call, or it does not matter; nothing is left open or mapped,
 * and the next update works.
 *
 * Not here: each call for maps without room, and for all but updates; see
 * test_system_calls.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/faults.h"

#include "core/check.h"
#include "core/files.h"
#include "core/segment/segment.h"
#include "core/update.h"

static const char ALL_CALLS[] = "oamwrsktpdLRg";

/* A map that is marked may still have its name. */
static void
check_found(const char *path, int number)
{
    struct segment segment = open_segment(path);
    CHECK_EQUAL(number_in(&segment), number);
    segment_close(&segment);
}

/* A map that is updated by each of the ways: its first delta, a young one, a
 * fold, a copy of more than an eighth, and of what was marked. */
enum way { FIRST, YOUNG_DELTA, FOLD, COPY, REPAIR, COMPACT };

/* How many of the other entries go with "number". */
static int
others_of(enum way way)
{
    return way == COPY ? ROOMY_COUNT / 7 : way == COMPACT ? 550 : 0;
}

static void
prepare_for(enum way way, const char *path)
{
    publish_roomy(path, HASH);
    if (way != FIRST && way != COMPACT) {
        // "number" is 1 and was 2 meanwhile.
        CHECK_STATUS(update_number(path, 2, way == FOLD ? 0 : 200), STATUS_OK);
        CHECK_STATUS(update_number(path, 1, way == FOLD ? 0 : 1), STATUS_OK);
    }
    if (way == REPAIR) {
        struct holder holder;
        CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
        ((struct snapshot_header *)holder.header)->head |= HEAD_SUPERSEDED;
        holder_close(&holder);
    }
}

/* Fails each of the calls of an update, and lastly none: it is an error, and the
 * old version stays; behind a minus it changes nothing. */
static void
fail_each_call_of_an_update(enum way way, const char *calls)
{
    const char *path = scratch_path("map");
    bool is_last = false;
    for (long left = 0; !is_last; left++) {
        bool is_error = *calls != '-' && *calls != '\0';
        calls += *calls == '-';
        const char expected = *calls;
        is_last = expected == '\0';
        calls += !is_last;
        faults_reset();
        prepare_for(way, path);
        struct segment old = open_segment(path);
        long pages = mapped_pages;
        int descriptors = count_descriptors();
        long outstanding = memory_outstanding();
        fail_only(ALL_CALLS, left, EIO);
        errno = 0;
        enum status status = update_number(path, 3, others_of(way));
        int error = errno;
        char letter = faults.failed;
        faults_reset();
        CHECK_EQUAL(letter, expected);
        CHECK_EQUAL(count_descriptors(), descriptors);
        CHECK_EQUAL(memory_outstanding(), outstanding);
        CHECK_EQUAL(mapped_pages, pages);
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_EQUAL(number_in(&old), 1);
        CHECK_STATUS(status, is_error ? STATUS_SYSTEM : STATUS_OK);
        CHECK(!is_error || error == EIO);
        CHECK_EQUAL(segment_is_superseded(&old),
                    !is_error || letter == 'R' || way == REPAIR);
        segment_close(&old);
        check_found(path, is_error ? 1 : 3);
        // Whatever it was, the next one works.
        CHECK_STATUS(update_number(path, 4, 0), STATUS_OK);
        check_found(path, 4);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    }
}

static void
test_failure_of_any_call_of_each_way_to_update_is_an_error_or_none(void)
{
    // Holder: open, kind and owner, header, pages, none for children, lock,
    // name; the delta that is the newest. The mapping that there is: size,
    // and size again. An id; room for the delta, its bytes.
    fail_each_call_of_an_update(FIRST, "osrpdktsg-oaw-k");
    fail_each_call_of_an_update(YOUNG_DELTA, "osrpdktrssgaw-k");
    fail_each_call_of_an_update(FOLD, "osrpdktrssg-oaw-k");
    fail_each_call_of_an_update(COPY, "osrpdktrssggoamwww-kLR-k-p-d-k");
    fail_each_call_of_an_update(REPAIR, "osrpdktrssgoamwww-kLR-k-p-d-k");
    // What is published stays it, whatever becomes of its compaction.
    fail_each_call_of_an_update(
        COMPACT, "osrpdktsg-oaw-k-o-s-r-p-d-k-t-s-s-g-o-a-m-w-w-p-d-s-o"
                 "-s-r-p-d-k-t-r-s-w-k-L-R-k-k-p-d-p-d-k-p-d");
}

/* Of a map without room, of one whose room is too small for the change, and
 * where there is no space for a delta either. */
static void
test_copy_without_space_is_tried_once(void)
{
    static const struct {
        bool is_small;
        int others;
        bool is_endless;
    } cases[] = {
        {true, 0, false},
        {false, ROOMY_COUNT, false},
        {false, ROOMY_COUNT / 7, true},
    };
    const char *path = scratch_path("map");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cases[i].is_small) {
            CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
        }
        else {
            publish_roomy(path, HASH);
        }
        fail_only("a", 0, ENOSPC);
        faults.is_endless = cases[i].is_endless;
        CHECK_STATUS(update_number(path, 2, cases[i].others), STATUS_NO_SPACE);
        faults_reset();
        check_found(path, 1);
        CHECK_STATUS(update_number(path, 2, cases[i].others), STATUS_OK);
        check_found(path, 2);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    }
}

static const struct test tests[] = {
    TEST_LINUX(
        test_failure_of_any_call_of_each_way_to_update_is_an_error_or_none),
    TEST_LINUX(test_copy_without_space_is_tried_once),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
