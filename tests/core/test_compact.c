/* tests/core/test_compact.c
 *
 * Compacting a map: the same version in another file, whatever others publish
 * meanwhile. The interrupt of a compaction is asked between its steps, so it
 * is where a test publishes "at the same time".
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/faults.h"

#include "core/base/memory.h"
#include "core/check.h"
#include "core/compact.h"
#include "core/files.h"
#include "core/publish.h"
#include "core/segment/system.h"
#include "core/update.h"

enum { COUNT = 5000, CATCH_UPS_AT_MOST = 4 };

static struct numbered numbered;

static void
publish_numbered(const char *path, const struct snapshot_options *layout)
{
    struct snapshot_plan plan;
    CHECK_STATUS(
        publish_plan(&plan, fill_numbered(&numbered, COUNT), COUNT, layout),
        STATUS_OK);
    CHECK_STATUS(publish_to_segment(&plan, path, &UNFORCED), STATUS_OK);
}

static const struct value NEW = {SLICE("new"), VALUE_BYTES};

static void
put(const char *path, struct slice key)
{
    struct entry entry = {key, NEW};
    struct publish_update update = {.changes = {&entry, 1, NULL, 0}};
    CHECK_STATUS(publish_update(&update, path), STATUS_OK);
}

static void
drop(const char *path, struct slice key)
{
    struct entry entry = {.key = key};
    struct publish_update update = {.changes = {NULL, 0, &entry, 1}};
    CHECK_STATUS(publish_update(&update, path), STATUS_OK);
}

static struct version
version_of(const struct segment *segment)
{
    struct version version;
    CHECK_STATUS(
        version_open(&version, segment->bytes, segment->size, segment->head),
        STATUS_OK);
    CHECK_STATUS(version_verify(&version, NULL), STATUS_OK);
    return version;
}

static bool
has(const struct version *version, struct slice key)
{
    struct entry entry;
    bool is_found;
    CHECK_STATUS(version_find(version, key, &entry, &is_found), STATUS_OK);
    return is_found;
}

static void
check_same_identity(const struct version *left, const struct version *right)
{
    CHECK_EQUAL(left->generation, right->generation);
    CHECK_EQUAL(left->published_at, right->published_at);
    CHECK_EQUAL(memcmp(left->unique_id, right->unique_id, 16), 0);
    CHECK_EQUAL(left->entry_count, right->entry_count);
}

static void
test_compacted_map_is_the_same_version_without_deltas(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        const char *path = scratch_path("map");
        const struct lock_options options = {0};
        publish_numbered(path, &flavours[i]);
        put(path, SLICE("00005"));
        drop(path, SLICE("00100"));
        put(path, SLICE("zzz"));
        struct segment before = open_segment(path);
        struct version old = version_of(&before);
        CHECK(old.delta_count > 0);
        CHECK_STATUS(compact_segment(path, SLICE("label"), &options),
                     STATUS_OK);
        CHECK(segment_is_marked(&before));
        struct segment after = open_segment(path);
        struct version new = version_of(&after);
        CHECK_EQUAL(new.delta_count, 0);
        check_same_identity(&new, &old);
        CHECK(has(&new, SLICE("00005")));
        CHECK(has(&new, SLICE("zzz")));
        CHECK(!has(&new, SLICE("00100")));
        CHECK(slice_equals(snapshot_label(&new.base), SLICE("label")));
        // The old file stays what it was, for those who have it.
        CHECK_STATUS(version_verify(&old, NULL), STATUS_OK);
        segment_close(&before);
        segment_close(&after);
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    }
}

/* What another publisher does while a map is compacted. */
struct other {
    const char *path;
    void (*act)(const char *path);
};

static bool
act_once(void *context)
{
    struct other *other = context;
    if (other->act != NULL) {
        void (*act)(const char *path) = other->act;
        other->act = NULL;
        act(other->path);
    }
    return false;
}

static enum status
compact_beside(const char *path, void (*act)(const char *path))
{
    struct other other = {path, act};
    const struct lock_options options = {.interrupt = {act_once, &other}};
    enum status status = compact_segment(path, SLICE(""), &options);
    CHECK(other.act == NULL);
    return status;
}

static void
put_and_remove(const char *path)
{
    put(path, SLICE("00015"));
    put(path, SLICE("twice"));
    put(path, SLICE("twice"));
    put(path, SLICE("undone"));
    drop(path, SLICE("undone"));
    drop(path, SLICE("00005"));  // put before
    drop(path, SLICE("00200"));
    put(path, SLICE("00100"));  // removed before
}

static void
test_what_is_published_meanwhile_is_not_lost(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        const char *path = scratch_path("map");
        publish_numbered(path, &flavours[i]);
        put(path, SLICE("00005"));
        drop(path, SLICE("00100"));
        struct segment before = open_segment(path);
        CHECK_STATUS(compact_beside(path, put_and_remove), STATUS_OK);
        CHECK(segment_is_marked(&before));
        segment_close(&before);
        struct segment after = open_segment(path);
        struct version new = version_of(&after);
        CHECK_EQUAL(new.delta_count, 1);
        CHECK_EQUAL(new.generation, 10);
        CHECK_EQUAL(new.base.header.generation, 3);
        CHECK(has(&new, SLICE("00015")));
        CHECK(has(&new, SLICE("twice")));
        CHECK(has(&new, SLICE("00100")));
        CHECK(!has(&new, SLICE("undone")));
        CHECK(!has(&new, SLICE("00005")));
        CHECK(!has(&new, SLICE("00200")));
        segment_close(&after);
        put(path, SLICE("later"));
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    }
}

static void
put_and_undo(const char *path)
{
    put(path, SLICE("undone"));
    drop(path, SLICE("undone"));
}

static void
test_what_is_undone_meanwhile_leaves_the_later_version(void)
{
    const char *path = scratch_path("map");
    publish_numbered(path, HASH);
    put(path, SLICE("00005"));
    CHECK_STATUS(compact_beside(path, put_and_undo), STATUS_OK);
    struct segment after = open_segment(path);
    struct version new = version_of(&after);
    CHECK_EQUAL(new.generation, 4);
    CHECK_EQUAL(new.base.header.generation, 4);
    CHECK_EQUAL(new.delta_count, 0);
    segment_close(&after);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Others publish at each question, and once more when something is written
 * after it, for example the delta by which the draft catches up. */
static struct busy {
    const char *path;
    int count;  // of keys that are new
    bool is_asked;
    bool undoes;   // what is published while something is written
    int fails_in;  // so many of these, then memory or space is used up
    bool lacks_space;
    bool is_over;  // nothing is published any more
} busy;

static void
put_another(void)
{
    char key[16];
    int size = snprintf(key, sizeof(key), "busy %04d", busy.count);
    busy.count += 1;
    put(busy.path, (struct slice){(unsigned char *)key, (size_t)size});
}

/* Not while the compaction has the lock, for which we would wait. */
static bool
is_locked(const char *path)
{
    int descriptor = open(path, O_RDONLY);
    CHECK(descriptor >= 0);
    bool is_busy = system_is_locked(descriptor, LOCK_PUBLISH);
    close(descriptor);
    return is_busy;
}

static void
publish_while_writing(void)
{
    if (busy.is_asked && !is_locked(busy.path)) {
        busy.is_asked = false;
        if (busy.undoes) {
            put_and_undo(busy.path);
        }
        else {
            put_another();
        }
        busy.fails_in -= 1;
        busy.is_over = busy.fails_in == 0;
        if (busy.fails_in == 0 && busy.lacks_space) {
            fail_only("a", 0, ENOSPC);
        }
        else if (busy.fails_in == 0) {
            memory_fail_after(0, true);
        }
    }
}

static bool
publish_when_asked(void *context)
{
    busy.is_asked = false;
    if (!busy.is_over && (!busy.undoes || busy.count == 0)) {
        put_another();
    }
    busy.is_asked = !busy.is_over;
    return false;
}

/* Fills the last version of the file that was compacted, and returns that of
 * the new one. */
static struct version
compact_while_busy(const char *path, bool undoes, struct segment *after)
{
    publish_numbered(path, HASH);
    put(path, SLICE("00005"));
    struct segment first = open_segment(path), last;
    const struct lock_options options = {.interrupt = {publish_when_asked}};
    busy = (struct busy){.path = path, .undoes = undoes};
    faults.writing = publish_while_writing;
    CHECK_STATUS(compact_segment(path, SLICE(""), &options), STATUS_OK);
    faults.writing = NULL;
    CHECK(segment_is_marked(&first));
    *after = open_segment(path);
    struct version new = version_of(after);
    CHECK_EQUAL(new.base.header.generation, 2);
    // What the old file has last.
    last = first;
    last.head = segment_load_head(&first);
    struct version old = version_of(&last);
    check_same_identity(&new, &old);
    CHECK_EQUAL(new.entry_count, COUNT + 1 + (uint64_t)busy.count);
    segment_close(&first);
    return new;
}

static void
test_draft_catches_up_while_others_publish_on(void)
{
    const char *path = scratch_path("map");
    struct segment after;
    struct version new = compact_while_busy(path, false, &after);
    CHECK(busy.count > 8);
    CHECK(has(&new, SLICE("busy 0000")));
    segment_close(&after);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Returns whether the map was compacted. */
static bool
fail_while_busy(int fails_in, bool lacks_space)
{
    const char *path = scratch_path("map");
    const struct lock_options options = {.interrupt = {publish_when_asked}};
    publish_numbered(path, HASH);
    put(path, SLICE("00005"));
    struct stat before = stat_of(path);
    int descriptors = count_descriptors();
    long outstanding = memory_outstanding();
    busy = (struct busy){
        .path = path, .fails_in = fails_in, .lacks_space = lacks_space};
    faults.writing = publish_while_writing;
    enum status status = compact_segment(path, SLICE(""), &options);
    memory_fail_after(-1, false);
    faults_reset();
    CHECK(status == STATUS_OK || (status == STATUS_NO_MEMORY && !lacks_space));
    CHECK_EQUAL(count_descriptors(), descriptors);
    CHECK_EQUAL(memory_outstanding(), outstanding);
    CHECK_EQUAL(scratch_file_count(), 1);
    bool is_compacted = stat_of(path).st_ino != before.st_ino;
    struct segment after = open_segment(path);
    struct version version = version_of(&after);
    CHECK_EQUAL(version.generation, 2 + (uint64_t)busy.count);
    CHECK_EQUAL(version.entry_count, COUNT + 1 + (uint64_t)busy.count);
    segment_close(&after);
    put(path, SLICE("later"));
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    return is_compacted;
}

static void
test_compaction_that_fails_while_it_catches_up_loses_nothing(void)
{
    for (int lacks_space = 0; lacks_space < 2; lacks_space++) {
        int fails_in = 1;
        while (!fail_while_busy(fails_in, lacks_space)) {
            fails_in += 1;
        }
        // The last of them failed with the lock of the name.
        CHECK(fails_in > CATCH_UPS_AT_MOST);
    }
}

/* So few entries that the new base gets no room. */
static void
publish_few(const char *path)
{
    struct snapshot_plan plan;
    struct entry *entries = fill_numbered(&numbered, COUNT);
    CHECK_STATUS(publish_plan(&plan, entries, 4096, HASH), STATUS_OK);
    CHECK_STATUS(publish_to_segment(&plan, path, &UNFORCED), STATUS_OK);
    drop(path, entries[7].key);
}

static void
test_map_that_became_small_gets_no_room_and_cannot_catch_up(void)
{
    const char *path = scratch_path("map");
    for (int i = 0; i < 2; i++) {
        publish_few(path);
        CHECK_STATUS(compact_beside(path, i == 0 ? NULL : put_and_remove),
                     STATUS_OK);
        struct segment after = open_segment(path);
        struct version version = version_of(&after);
        CHECK_EQUAL(version.base.header.limit > 0, i == 1);
        CHECK_EQUAL(version.generation, i == 0 ? 2 : 8);
        segment_close(&after);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    }
}

static void
test_what_is_undone_when_the_draft_has_caught_up_leaves_the_later_version(void)
{
    const char *path = scratch_path("map");
    struct segment after;
    struct version new = compact_while_busy(path, true, &after);
    CHECK_EQUAL(busy.count, 1);
    CHECK_EQUAL(new.delta_count, 1);
    CHECK(!has(&new, SLICE("undone")));
    segment_close(&after);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
publish_another(const char *path)
{
    CHECK_STATUS(publish_number(path, true, 0600, 7), STATUS_OK);
}

static void
remove_it(const char *path)
{
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
mark_it(const char *path)
{
    struct holder holder;
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    ((struct snapshot_header *)holder.header)->head |= HEAD_SUPERSEDED;
    holder_close(&holder);
}

static void
compact_it(const char *path)
{
    const struct lock_options options = {0};
    CHECK_STATUS(compact_segment(path, SLICE("other"), &options), STATUS_OK);
}

static void
test_map_that_is_replaced_meanwhile_is_left_alone(void)
{
    static void (*const acts[])(const char *path) = {
        publish_another, remove_it, mark_it, compact_it};
    for (int i = 0; i < 4; i++) {
        const char *path = scratch_path("map");
        publish_numbered(path, HASH);
        put(path, SLICE("00005"));
        struct segment before = open_segment(path);
        CHECK_STATUS(compact_beside(path, acts[i]), STATUS_OK);
        // The second compaction finds the first at work.
        CHECK_EQUAL(segment_is_marked(&before), true);
        segment_close(&before);
        CHECK_EQUAL(scratch_file_count(), acts[i] == remove_it ? 0 : 1);
        if (acts[i] != remove_it) {
            CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
        }
    }
}

static void
replace_by_the_same(const char *path)
{
    struct snapshot_plan plan;
    CHECK_STATUS(
        publish_plan(&plan, fill_numbered(&numbered, COUNT), COUNT, HASH),
        STATUS_OK);
    CHECK_STATUS(publish_to_segment(&plan, path, &FORCED), STATUS_OK);
    put(path, SLICE("00007"));
}

static void
test_map_that_is_replaced_by_one_with_the_same_head_is_left_alone(void)
{
    const char *path = scratch_path("map");
    publish_numbered(path, HASH);
    put(path, SLICE("00005"));
    struct segment before = open_segment(path);
    CHECK_STATUS(compact_beside(path, replace_by_the_same), STATUS_OK);
    struct segment after = open_segment(path);
    CHECK_EQUAL(after.head, before.head);
    struct version version = version_of(&after);
    CHECK_EQUAL(version.generation, 4);
    CHECK(has(&version, SLICE("00007")));
    CHECK(!has(&version, SLICE("00005")));
    segment_close(&before);
    segment_close(&after);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* An update for which there is no space as a copy may be as large as this. */
static void
append_much(const char *path)
{
    static struct numbered others;
    struct entry *entries = fill_numbered(&others, COUNT);
    struct holder holder;
    struct segment segment = SEGMENT_EMPTY;
    struct version_identity identity;
    struct version_update next;
    for (int i = 0; i < COUNT / 4; i++) {
        entries[i].value = NEW;
    }
    struct changes changes = {entries, COUNT / 4, NULL, 0};
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    CHECK_STATUS(holder_map(&holder, path, &segment), STATUS_OK);
    struct version version = version_of(&segment);
    CHECK_STATUS(holder_next_identity(&holder, &identity), STATUS_OK);
    CHECK_STATUS(version_update_prepare(&next, &version, &changes, &identity,
                                        COPY_IF_NEEDED, NULL),
                 STATUS_OK);
    CHECK_EQUAL(next.step, STEP_APPEND);
    CHECK_STATUS(holder_append(&holder, &next, path), STATUS_OK);
    version_update_release(&next);
    holder_unmap(&segment, path);
    holder_close(&holder);
}

static void
test_more_than_a_delta_published_meanwhile_is_no_compaction(void)
{
    const char *path = scratch_path("map");
    publish_numbered(path, HASH);
    put(path, SLICE("00005"));
    struct segment before = open_segment(path);
    CHECK_STATUS(compact_beside(path, append_much), STATUS_OK);
    CHECK(!segment_is_marked(&before));
    segment_close(&before);
    struct segment after = open_segment(path);
    CHECK_EQUAL(version_of(&after).generation, 3);
    CHECK(version_of(&after).delta_count > 0);
    segment_close(&after);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* What fails from when others have published on; negative: nothing. */
static long memory_left, calls_left;

static void
put_and_remove_and_fail(const char *path)
{
    put_and_remove(path);
    memory_fail_after(memory_left, true);
    fail_only("osrpdktgamwLRv", calls_left, EIO);
}

/* Returns whether the map was compacted. */
static bool
check_failing_compaction(enum status expected)
{
    const char *path = scratch_path("map");
    publish_numbered(path, HASH);
    put(path, SLICE("00005"));
    struct segment before = open_segment(path);
    int descriptors = count_descriptors();
    long outstanding = memory_outstanding();
    enum status status = compact_beside(path, put_and_remove_and_fail);
    memory_fail_after(-1, false);
    faults_reset();
    CHECK_EQUAL(memory_outstanding(), outstanding);
    CHECK_EQUAL(count_descriptors(), descriptors);
    CHECK_EQUAL(scratch_file_count(), 1);
    if (status != STATUS_OK) {
        CHECK_STATUS(status, expected);
    }
    segment_close(&before);
    struct segment after = open_segment(path);
    struct version version = version_of(&after);
    bool is_compacted = version.base.header.generation > 1;
    CHECK_EQUAL(version.generation, 9);
    CHECK(has(&version, SLICE("twice")));
    CHECK(!has(&version, SLICE("00005")));
    segment_close(&after);
    // Whatever it was, the next update works.
    put(path, SLICE("later"));
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    return is_compacted;
}

static void
test_compaction_that_fails_at_any_step_loses_nothing(void)
{
    calls_left = -1;
    for (memory_left = 0; !check_failing_compaction(STATUS_NO_MEMORY);) {
        memory_left += 1;
    }
    CHECK(memory_left > 5);
    memory_left = -1;
    // Some of the last calls may fail without consequence.
    for (calls_left = 0; calls_left < 60; calls_left++) {
        check_failing_compaction(STATUS_SYSTEM);
    }
}

static void
check_left_alone(const char *path)
{
    const struct lock_options options = {0};
    struct stat before = stat_of(path);
    CHECK_STATUS(compact_segment(path, SLICE("label"), &options), STATUS_OK);
    CHECK(faults.left < 0);
    faults_reset();
    CHECK_EQUAL(stat_of(path).st_ino, before.st_ino);
    CHECK_EQUAL(scratch_file_count(), 1);
}

static void
test_map_that_cannot_be_compacted_is_left_alone(void)
{
    const char *path = scratch_path("map");
    publish_numbered(path, HASH);
    put(path, SLICE("00005"));
    // No space, as far as the file system can tell; and when it is reserved.
    fail_only("v", 0, EIO);
    check_left_alone(path);
    fail_only("a", 0, ENOSPC);
    check_left_alone(path);
    // Of another user.
    faults.is_masked = faults.is_unmapped = true;
    faults.owner = 12345;
    faults.user = 54321;
    check_left_alone(path);
    mark_it(path);
    check_left_alone(path);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    write_file(path, "no map", 6);
    check_left_alone(path);
    CHECK_EQUAL(unlink(path), 0);
}

static void
test_interrupted_compaction_leaves_everything_as_it_was(void)
{
    const char *path = scratch_path("map");
    const struct lock_options options = {.interrupt = {is_due_at_once, NULL}};
    publish_numbered(path, HASH);
    put(path, SLICE("00005"));
    struct segment before = open_segment(path);
    CHECK_STATUS(compact_segment(path, SLICE(""), &options),
                 STATUS_INTERRUPTED);
    CHECK(!segment_is_superseded(&before));
    CHECK_STATUS(segment_check_current(&before, path, STRICT),
                 STATUS_UNCHANGED);
    segment_close(&before);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_map_without_deltas_is_not_compacted(void)
{
    const char *path = scratch_path("map");
    const struct lock_options options = {0};
    CHECK_STATUS(compact_segment(path, SLICE(""), &options), STATUS_OK);
    publish_numbered(path, HASH);
    struct segment before = open_segment(path);
    CHECK_STATUS(compact_segment(path, SLICE(""), &options), STATUS_OK);
    CHECK(!segment_is_superseded(&before));
    segment_close(&before);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* A name that is so long has no temporary name of its own. */
static const char *
path_of_longest_name(void)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%0255d", scratch.path, 7);
    return path;
}

static void
test_delta_over_the_base_clears_what_a_killed_publisher_left(void)
{
    const char *const paths[] = {scratch_path("map"), path_of_longest_name()};
    char leftover[600];
    for (int i = 0; i < 2; i++) {
        publish_numbered(paths[i], HASH);
        snprintf(leftover, sizeof(leftover), "%s~", paths[i]);
        if (i == 0) {
            write_file(leftover, "a copy", 6);
        }
        put(paths[i], SLICE("zzz"));
        CHECK_STATUS(segment_check_free(leftover, NULL), STATUS_OK);
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_STATUS(segment_remove(paths[i], NULL), STATUS_OK);
    }
}

static const struct test tests[] = {
    TEST(test_compacted_map_is_the_same_version_without_deltas),
    TEST(test_what_is_published_meanwhile_is_not_lost),
    TEST(test_what_is_undone_meanwhile_leaves_the_later_version),
    TEST(test_draft_catches_up_while_others_publish_on),
    TEST(
        test_what_is_undone_when_the_draft_has_caught_up_leaves_the_later_version),
    TEST_LINUX(test_compaction_that_fails_while_it_catches_up_loses_nothing),
    TEST(test_map_that_became_small_gets_no_room_and_cannot_catch_up),
    TEST(test_map_that_is_replaced_meanwhile_is_left_alone),
    TEST(test_map_that_is_replaced_by_one_with_the_same_head_is_left_alone),
    TEST(test_more_than_a_delta_published_meanwhile_is_no_compaction),
    TEST(test_compaction_that_fails_at_any_step_loses_nothing),
    TEST_LINUX(test_map_that_cannot_be_compacted_is_left_alone),
    TEST(test_interrupted_compaction_leaves_everything_as_it_was),
    TEST(test_map_without_deltas_is_not_compacted),
    TEST(test_delta_over_the_base_clears_what_a_killed_publisher_left),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
