/* tests/core/test_publish_update.c
 *
 * Changes to what is published, under the lock: nobody's are lost, and nothing
 * else changes.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/base/memory.h"
#include "core/check.h"
#include "core/compact.h"
#include "core/files.h"
#include "core/publish.h"
#include "core/update.h"

static struct publish_update
update_of(const struct entry *puts, size_t put_count,
          const struct entry *removals, size_t removal_count)
{
    return (struct publish_update){
        .label = SLICE("label"),
        .changes = {puts, put_count, removals, removal_count},
    };
}

static void
publish_samples(const char *path, const struct snapshot_options *layout,
                unsigned mode)
{
    struct entry entries[SAMPLE_COUNT];
    struct snapshot_plan plan;
    struct publish_options options = {.mode = mode};
    fill_samples(entries);
    CHECK_STATUS(publish_plan(&plan, entries, SAMPLE_COUNT, layout),
                 STATUS_OK);
    CHECK_STATUS(publish_to_segment(&plan, path, &options), STATUS_OK);
}

static struct snapshot
view_of(const struct segment *segment)
{
    struct snapshot view;
    CHECK_STATUS(snapshot_open(&view, segment->bytes, segment->size),
                 STATUS_OK);
    CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_OK);
    return view;
}

static void
check_value(const struct snapshot *view, struct slice key,
            const struct value *value)
{
    struct entry entry;
    bool is_found;
    CHECK_STATUS(snapshot_find(view, key, &entry, &is_found), STATUS_OK);
    CHECK_EQUAL(is_found, value != NULL);
    if (value != NULL) {
        CHECK(slice_equals(entry.value.bytes, value->bytes));
        CHECK_EQUAL(entry.value.type, value->type);
    }
}

static const struct value NEW = {SLICE("new"), VALUE_BYTES};

static void
test_changes_are_made_and_nothing_else(void)
{
    const char *path = scratch_path("map");
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        const struct entry puts[] = {{SLICE("aaa"), NEW}, {SLICE("zzz"), NEW}};
        const struct entry removals[] = {{.key = SLICE("absent")},
                                         {.key = SLICE("int")}};
        struct publish_update update = update_of(puts, 2, removals, 2);
        publish_samples(path, &flavours[i], 0640);
        struct segment old = open_segment(path);
        CHECK_STATUS(publish_update(&update, path), STATUS_OK);
        CHECK_EQUAL(update.generation, 2);
        CHECK(segment_is_superseded(&old));
        segment_close(&old);

        struct segment segment = open_segment(path);
        struct snapshot view = view_of(&segment);
        CHECK_EQUAL(view.entry_count, SAMPLE_COUNT);
        check_value(&view, SLICE("aaa"), &NEW);
        check_value(&view, SLICE("zzz"), &NEW);
        check_value(&view, SLICE("int"), NULL);
        check_value(&view, SLICE(""),
                    &(struct value){SLICE("the empty key"), VALUE_STR});
        CHECK_EQUAL(stat_of(path).st_mode & 07777, 0640);
        CHECK_EQUAL(snapshot_has_hash_index(&view),
                    flavours[i].index == INDEX_HASH);
        CHECK_EQUAL(view.header.generation, 2);
        CHECK_EQUAL(segment.size, update.needed);
        CHECK(slice_equals(snapshot_label(&view), SLICE("label")));
        segment_close(&segment);
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    }
}

/* In a map without room for deltas, however large it is. */
static void
test_update_keeps_the_alignment_of_values(void)
{
    const char *path = scratch_path("map");
    struct snapshot_options layout = *HASH;
    layout.value_alignment = 64;
    publish_roomy(path, &layout);
    for (uint64_t generation = 2; generation < 5; generation++) {
        const struct entry put = {SLICE("aaa"), NEW};
        struct publish_update update = update_of(&put, 1, NULL, 0);
        CHECK_STATUS(publish_update(&update, path), STATUS_OK);
        struct segment segment = open_segment(path);
        struct snapshot view = view_of(&segment);
        struct entry entry;
        bool is_found;
        CHECK_EQUAL(view.header.value_alignment, 64);
        CHECK_EQUAL(view.header.limit, 0);
        CHECK_STATUS(snapshot_find(&view, put.key, &entry, &is_found),
                     STATUS_OK);
        CHECK_EQUAL((uintptr_t)entry.value.bytes.bytes % 64, 0);
        segment_close(&segment);
        const struct entry removal = {.key = SLICE("aaa")};
        update = update_of(NULL, 0, &removal, 1);
        CHECK_STATUS(publish_update(&update, path), STATUS_OK);
        CHECK_EQUAL(update.generation, ++generation);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_update_that_changes_nothing_publishes_nothing(void)
{
    const char *path = scratch_path("map");
    struct entry samples[SAMPLE_COUNT];
    const struct entry removal = {.key = SLICE("absent")};
    fill_samples(samples);
    publish_samples(path, HASH, 0600);
    struct segment segment = open_segment(path);
    struct publish_update updates[] = {
        update_of(NULL, 0, NULL, 0),
        update_of(samples, SAMPLE_COUNT, NULL, 0),
        update_of(NULL, 0, &removal, 1),
    };
    for (int i = 0; i < 3; i++) {
        // It has the lock, so what a killed publisher left is cleared.
        write_file(scratch_path("map~"), "left", 4);
        CHECK_STATUS(publish_update(&updates[i], path), STATUS_OK);
        CHECK_EQUAL(updates[i].generation, 1);
        CHECK_EQUAL(scratch_file_count(), 1);
    }
    CHECK(!segment_is_superseded(&segment));
    CHECK_STATUS(segment_check_current(&segment, path, STRICT),
                 STATUS_UNCHANGED);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* A publisher was killed between mark and rename: its readers check the name
 * again and again until there is something newer. */
static void
test_update_that_changes_nothing_repairs_a_mark(void)
{
    const char *path = scratch_path("map");
    publish_samples(path, HASH, 0600);
    struct holder holder;
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    ((struct snapshot_header *)holder.header)->head = 1;
    holder_close(&holder);
    struct publish_update update = update_of(NULL, 0, NULL, 0);
    CHECK_STATUS(publish_update(&update, path), STATUS_OK);
    CHECK_EQUAL(update.generation, 2);
    struct segment segment = open_segment(path);
    CHECK(!segment_is_superseded(&segment));
    CHECK_EQUAL(view_of(&segment).entry_count, SAMPLE_COUNT);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_map_may_become_empty_and_grow_again(void)
{
    const char *path = scratch_path("map");
    struct entry samples[SAMPLE_COUNT];
    fill_samples(samples);
    publish_samples(path, HASH, 0600);
    struct publish_update update = update_of(NULL, 0, samples, SAMPLE_COUNT);
    CHECK_STATUS(publish_update(&update, path), STATUS_OK);
    struct segment segment = open_segment(path);
    CHECK_EQUAL(view_of(&segment).entry_count, 0);
    segment_close(&segment);
    update = update_of(samples, SAMPLE_COUNT, NULL, 0);
    CHECK_STATUS(publish_update(&update, path), STATUS_OK);
    segment = open_segment(path);
    CHECK_EQUAL(view_of(&segment).entry_count, SAMPLE_COUNT);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- what cannot be updated --------------------------------------------- */

static void
test_update_of_an_absent_name_says_so(void)
{
    struct publish_update update = update_of(NULL, 0, NULL, 0);
    CHECK_STATUS(publish_update(&update, scratch_path("map")),
                 STATUS_NAME_ABSENT);
    CHECK_EQUAL(scratch_file_count(), 0);
}

/* What is wrong with the file stays the file's own affair: it is not published
 * again with a checksum that fits. */
static void
check_refused(const char *path, enum status expected)
{
    const struct entry put = {SLICE("aaa"), NEW};
    struct publish_update update = update_of(&put, 1, NULL, 0);
    struct stat before = stat_of(path);
    CHECK_STATUS(publish_update(&update, path), expected);
    CHECK_EQUAL(stat_of(path).st_ino, before.st_ino);
    CHECK_EQUAL(scratch_file_count(), 1);
}

static void
test_damaged_map_is_not_updated(void)
{
    const char *path = scratch_path("map");
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct entry entries[SAMPLE_COUNT];
        fill_samples(entries);
        struct image image =
            image_of_entries(entries, SAMPLE_COUNT, &flavours[i]);
        for (size_t at = 0; at < image.size; at++) {
            bool is_free = (at >= 136 && at < 152) || (at >= 192 && at < 196)
                           || (at >= 200 && at < 208);
            if (is_free) {
                continue;
            }
            image.bytes[at] ^= 1;
            write_file(path, image.bytes, image.size);
            image.bytes[at] ^= 1;
            check_refused(path, at < 8     ? STATUS_NOT_A_SNAPSHOT
                                : at < 12  ? STATUS_OTHER_VERSION
                                : at < 24  ? STATUS_BAD_HEADER_CHECKSUM
                                : at < 32  ? STATUS_TRUNCATED
                                : at < 512 ? STATUS_BAD_HEADER_CHECKSUM
                                           : STATUS_BAD_CHECKSUM);
        }
        image_destroy(&image);
        CHECK_EQUAL(unlink(path), 0);
    }
}

/* Damage that a foreign program has sealed: it shows when it is read. */
static void
test_map_whose_records_lead_nowhere_is_not_updated(void)
{
    const char *path = scratch_path("map");
    static const uint64_t references[] = {0, 5};
    struct image image = image_by_hand(SLICE("\x00\x02"
                                             "a"),
                                       references, 2, 4, 0);
    write_file(path, image.bytes, image.size);
    CHECK_STATUS(status_of_open(path), STATUS_OK);
    check_refused(path, STATUS_BAD_REFERENCE);
    image_destroy(&image);
    CHECK_EQUAL(unlink(path), 0);
}

static void
test_more_changes_than_can_be_counted_are_no_memory(void)
{
    const char *path = scratch_path("map");
    struct publish_update update = update_of(NULL, SIZE_MAX, NULL, 0);
    publish_samples(path, HASH, 0600);
    CHECK_STATUS(publish_update(&update, path), STATUS_NO_MEMORY);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_what_is_no_map_is_not_updated(void)
{
    const char *path = scratch_path("map");
    write_file(path, "junk", 4);
    check_refused(path, STATUS_NOT_A_SNAPSHOT);
    CHECK_EQUAL(unlink(path), 0);
    CHECK_EQUAL(mkdir(path, 0700), 0);
    check_refused(path, STATUS_NOT_REGULAR);
    CHECK_EQUAL(rmdir(path), 0);
    CHECK_EQUAL(symlink("/nowhere", path), 0);
    check_refused(path, STATUS_NOT_REGULAR);
    CHECK_EQUAL(unlink(path), 0);
}

static void
test_label_that_is_too_long_changes_nothing(void)
{
    static const unsigned char label[257] = {0};
    const char *path = scratch_path("map");
    const struct entry put = {SLICE("aaa"), NEW};
    struct publish_update update = update_of(&put, 1, NULL, 0);
    update.label = (struct slice){label, sizeof(label)};
    publish_samples(path, HASH, 0600);
    CHECK_STATUS(publish_update(&update, path), STATUS_LABEL_TOO_LONG);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_update_without_memory_changes_nothing(void)
{
    const char *path = scratch_path("map");
    const struct entry put = {SLICE("aaa"), NEW};
    for (int forever = 0; forever < 2; forever++) {
        publish_samples(path, HASH, 0600);
        struct segment old = open_segment(path);
        int descriptors = count_descriptors();
        long outstanding = memory_outstanding();
        for (long successes = 0;; successes++) {
            struct publish_update update = update_of(&put, 1, NULL, 0);
            memory_fail_after(successes, forever);
            enum status status = publish_update(&update, path);
            memory_fail_after(-1, false);
            CHECK_EQUAL(memory_outstanding(), outstanding);
            CHECK_EQUAL(count_descriptors(), descriptors);
            CHECK_EQUAL(scratch_file_count(), 1);
            CHECK_EQUAL(segment_is_superseded(&old), status == STATUS_OK);
            if (status == STATUS_OK) {
                // The merged entries and the writer's four.
                CHECK_EQUAL(successes, 5);
                break;
            }
            CHECK_STATUS(status, STATUS_NO_MEMORY);
        }
        segment_close(&old);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    }
}

/* ---- maps with room for deltas ------------------------------------------ */

static void
test_change_of_nothing_to_a_map_with_deltas_publishes_nothing(void)
{
    const char *path = scratch_path("map");
    publish_roomy(path, HASH);
    for (int number = 2; number < 5; number++) {
        CHECK_STATUS(update_number(path, number, 20), STATUS_OK);
        struct segment segment = open_segment(path);
        CHECK_STATUS(update_number(path, number, 20), STATUS_OK);
        struct publish_update update = update_of(NULL, 0, NULL, 0);
        CHECK_STATUS(publish_update(&update, path), STATUS_OK);
        CHECK_EQUAL(update.generation, number);
        CHECK(!segment_is_superseded(&segment));
        segment_close(&segment);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* How many of the others are updated so that it is an append, an append that
 * is compacted, and a copy. */
static const int ways[] = {3, 550, ROOMY_COUNT / 7};

enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

static void
test_update_of_a_map_with_deltas_without_memory_changes_nothing(void)
{
    const char *path = scratch_path("map");
    for (int i = 0; i < 2 * WAYS; i++) {
        bool forever = i % 2 == 1;
        bool is_done = false;
        for (long successes = 0; !is_done; successes++) {
            publish_roomy(path, HASH);
            CHECK_STATUS(update_number(path, 2, 3), STATUS_OK);
            struct segment old = open_segment(path);
            struct stat before = stat_of(path);
            int descriptors = count_descriptors();
            long outstanding = memory_outstanding();
            memory_fail_after(successes, forever);
            enum status status = update_number(path, 3, ways[i / 2]);
            memory_fail_after(-1, false);
            // What was published stays it, compacted or not.
            is_done = status == STATUS_OK
                      && (i / 2 == 0 || stat_of(path).st_ino != before.st_ino);
            CHECK_EQUAL(memory_outstanding(), outstanding);
            CHECK_EQUAL(count_descriptors(), descriptors);
            CHECK_EQUAL(scratch_file_count(), 1);
            CHECK_EQUAL(segment_is_superseded(&old), status == STATUS_OK);
            segment_close(&old);
            old = open_segment(path);
            CHECK_EQUAL(number_in(&old), status == STATUS_OK ? 3 : 2);
            segment_close(&old);
            if (status != STATUS_OK) {
                CHECK_STATUS(status, STATUS_NO_MEMORY);
            }
            CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
        }
    }
}

/* At each question. After a change that was published its compaction may be
 * interrupted, which leaves the change. */
static void
test_interrupted_update_changes_nothing_or_all(void)
{
    const char *path = scratch_path("map");
    int interrupted[2] = {0};
    for (int i = 0; i < WAYS; i++) {
        enum status status = STATUS_INTERRUPTED;
        for (int at = 1; status != STATUS_OK; at++) {
            struct numbered *numbered = malloc(sizeof(*numbered));
            CHECK(numbered != NULL);
            publish_roomy(path, HASH);
            int left = at;
            struct entry *entries = fill_numbered(numbered, 1000);
            for (int j = 0; j < ways[i]; j++) {
                entries[j].value = NEW;
            }
            struct publish_update update =
                update_of(entries, (size_t)ways[i], NULL, 0);
            update.lock.interrupt =
                (struct interrupt){.is_due = is_due_at_last, .context = &left};
            struct segment old = open_segment(path);
            status = publish_update(&update, path);
            CHECK_EQUAL(left <= 0, status == STATUS_INTERRUPTED);
            bool is_published = segment_is_superseded(&old);
            segment_close(&old);
            struct segment segment = open_segment(path);
            struct version version = version_of_segment(&segment);
            struct entry found;
            bool is_found;
            CHECK_EQUAL(version.generation, 1 + is_published);
            CHECK_STATUS(
                version_find(&version, entries[0].key, &found, &is_found),
                STATUS_OK);
            CHECK_EQUAL(is_found && value_equals(&found.value, &NEW),
                        is_published);
            if (status == STATUS_INTERRUPTED) {
                interrupted[is_published] += 1;
                CHECK(!is_published || ways[i] == 550);
            }
            segment_close(&segment);
            CHECK_EQUAL(scratch_file_count(), 1);
            CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
            free(numbered);
        }
    }
    CHECK(interrupted[false] > 4);
    CHECK(interrupted[true] > 4);
}

/* A byte here and there, in the file of a map that has deltas. */
static void
test_damaged_delta_is_not_published_again(void)
{
    const char *path = scratch_path("map");
    uint64_t random = 1;
    int refused = 0;
    publish_roomy(path, HASH);
    CHECK_STATUS(update_number(path, 2, 300), STATUS_OK);
    CHECK_STATUS(update_number(path, 3, 5), STATUS_OK);
    struct segment segment = open_segment(path);
    struct version version = version_of_segment(&segment);
    size_t begin = version.base.header.total_size;
    size_t size = version_size(&version);
    struct image image = image_copy(segment.bytes, size);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    for (int i = 0; i < 400; i++) {
        size_t at = begin + random_below(&random, size - begin);
        unsigned char mask = (unsigned char)(1U << random_below(&random, 8));
        image.bytes[at] ^= mask;
        write_file(path, image.bytes, size);
        image.bytes[at] ^= mask;
        // Copying reads everything; appending only what it copies.
        CHECK(update_number(path, 4, ROOMY_COUNT / 7) != STATUS_OK);
        enum status appended = update_number(path, 4, 5);
        refused += appended != STATUS_OK;
        struct segment after = SEGMENT_EMPTY;
        if (segment_open(&after, path, STRICT, NULL) == STATUS_OK) {
            struct version newest;
            CHECK_STATUS(
                version_open(&newest, after.bytes, after.size, after.head),
                STATUS_OK);
            CHECK(version_verify(&newest, NULL) != STATUS_OK);
        }
        segment_close(&after);
        CHECK_EQUAL(unlink(path), 0);
    }
    // The young delta, and the header of the old one.
    CHECK(refused > 10);
    image_destroy(&image);
}

/* ---- at the same time --------------------------------------------------- */

enum { UPDATERS = 3, UPDATES = 100 };

/* Each process adds keys of its own, removes some of them again, and counts in
 * one key that it reads from nobody. */
static void
keep_updating(const char *path, int updater)
{
    for (int i = 0; i < UPDATES; i++) {
        char key[32], gone[32];
        int size = snprintf(key, sizeof(key), "%d/%03d", updater, i);
        int gone_size =
            snprintf(gone, sizeof(gone), "%d/%03d", updater, i - 1);
        const struct entry put = {
            {(unsigned char *)key, (size_t)size},
            {{(unsigned char *)key, (size_t)size}, VALUE_STR}};
        const struct entry removal = {
            .key = {(unsigned char *)gone, (size_t)gone_size}};
        // Every second one is removed by the next.
        struct publish_update update =
            update_of(&put, 1, &removal, (size_t)(i % 2));
        CHECK_STATUS(publish_update(&update, path), STATUS_OK);
    }
}

static void
check_no_update_is_lost(const char *path, uint64_t others, pid_t compactor)
{
    pid_t updaters[UPDATERS];
    for (int i = 0; i < UPDATERS; i++) {
        updaters[i] = start_child();
        if (updaters[i] == 0) {
            keep_updating(path, i);
            _exit(0);
        }
    }
    for (int i = 0; i < UPDATERS; i++) {
        CHECK_EQUAL(end_of_child(updaters[i]), 0);
    }
    if (compactor != 0) {
        kill_child(compactor);
    }
    struct segment segment = open_segment(path);
    struct version version = version_of_segment(&segment);
    CHECK_EQUAL(version.generation, 1 + UPDATERS * UPDATES);
    CHECK_EQUAL(version.entry_count, others + UPDATERS * UPDATES / 2);
    for (int i = 0; i < UPDATERS * UPDATES; i++) {
        char key[32];
        int size =
            snprintf(key, sizeof(key), "%d/%03d", i / UPDATES, i % UPDATES);
        struct value value = {{(unsigned char *)key, (size_t)size}, VALUE_STR};
        struct entry entry;
        bool is_found;
        CHECK_STATUS(version_find(&version, value.bytes, &entry, &is_found),
                     STATUS_OK);
        CHECK_EQUAL(is_found, i % 2 == 1);
        CHECK(!is_found || value_equals(&entry.value, &value));
    }
    segment_close(&segment);
    CHECK(compactor != 0 || scratch_file_count() == 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_EQUAL(scratch_file_count(), 0);
}

static void
test_no_update_of_many_processes_is_lost(void)
{
    const char *path = scratch_path("map");
    struct snapshot_plan plan;
    CHECK_STATUS(publish_plan(&plan, NULL, 0, HASH), STATUS_OK);
    CHECK_STATUS(publish_to_segment(&plan, path, &UNFORCED), STATUS_OK);
    check_no_update_is_lost(path, 0, 0);
}

/* While the deltas of all of them are compacted, again and again: what one
 * has written is in the way of the next. */
static void
test_no_update_of_many_processes_to_a_map_with_deltas_is_lost(void)
{
    const char *path = scratch_path("map");
    publish_roomy(path, HASH);
    pid_t compactor = start_child();
    if (compactor == 0) {
        const struct lock_options options = {0};
        for (;;) {
            CHECK_STATUS(compact_segment(path, SLICE("label"), &options),
                         STATUS_OK);
        }
    }
    check_no_update_is_lost(path, ROOMY_COUNT + 1, compactor);
}

static void
test_updates_pause_while_another_process_compacts(void)
{
    const char *path = scratch_path("map");
    struct holder compactor;
    bool is_ours = false;
    publish_roomy(path, HASH);
    struct stat before = stat_of(path);
    CHECK_STATUS(holder_begin_compaction(&compactor, path, &is_ours, NULL),
                 STATUS_OK);
    CHECK(is_ours);
    // A few of these fit into the room. So it pauses for some part of 1.5 ms,
    // which is more than compacting 5,000 entries takes.
    int64_t begin = segment_clock();
    CHECK_STATUS(update_number(path, 2, 550), STATUS_OK);
    CHECK(segment_clock() - begin > 150000);
    CHECK_EQUAL(stat_of(path).st_ino, before.st_ino);
    holder_close(&compactor);
    // It was full, so the next one compacts it.
    CHECK_STATUS(update_number(path, 3, 550), STATUS_OK);
    CHECK(stat_of(path).st_ino != before.st_ino);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* An updater that is killed leaves the map as it was, and nobody waits. */
static void
test_killed_updater_holds_nobody_up(void)
{
    const char *path = scratch_path("map");
    publish_samples(path, HASH, 0600);
    for (int round = 0; round < 40; round++) {
        pid_t updater = start_child();
        if (updater == 0) {
            const struct entry put = {SLICE("aaa"), NEW};
            for (;;) {
                struct publish_update update = update_of(&put, 1, NULL, 0);
                CHECK_STATUS(publish_update(&update, path), STATUS_OK);
            }
        }
        nap(1 + round % 5);
        kill_child(updater);
        struct publish_update update = update_of(NULL, 0, NULL, 0);
        CHECK_STATUS(publish_update(&update, path), STATUS_OK);
        CHECK_EQUAL(scratch_file_count(), 1);
        struct segment segment = open_segment(path);
        CHECK_EQUAL(view_of(&segment).header.generation, update.generation);
        segment_close(&segment);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static const struct test tests[] = {
    TEST(test_changes_are_made_and_nothing_else),
    TEST(test_update_keeps_the_alignment_of_values),
    TEST(test_update_that_changes_nothing_publishes_nothing),
    TEST(test_update_that_changes_nothing_repairs_a_mark),
    TEST(test_map_may_become_empty_and_grow_again),
    TEST(test_update_of_an_absent_name_says_so),
    TEST(test_damaged_map_is_not_updated),
    TEST(test_map_whose_records_lead_nowhere_is_not_updated),
    TEST(test_more_changes_than_can_be_counted_are_no_memory),
    TEST(test_what_is_no_map_is_not_updated),
    TEST(test_label_that_is_too_long_changes_nothing),
    TEST_LINUX(test_update_without_memory_changes_nothing),
    TEST(test_change_of_nothing_to_a_map_with_deltas_publishes_nothing),
    TEST(test_update_of_a_map_with_deltas_without_memory_changes_nothing),
    TEST(test_interrupted_update_changes_nothing_or_all),
    TEST(test_damaged_delta_is_not_published_again),
    TEST(test_no_update_of_many_processes_is_lost),
    TEST(test_no_update_of_many_processes_to_a_map_with_deltas_is_lost),
    TEST(test_updates_pause_while_another_process_compacts),
    TEST(test_killed_updater_holds_nobody_up),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
