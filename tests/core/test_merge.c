/* tests/core/test_merge.c
 *
 * Merging against a dumb oracle: a table with a line for each possible key,
 * written by the snapshot, then by the changes.
 */
#include "core/snapshot/merge.h"

#include "core/check.h"
#include "core/snapshots.h"
#include "core/views.h"

enum { KEY_COUNT = 40 };

/* Keys "00" to "39"; a value says who wrote it. */
static struct slice
key_of(int number)
{
    static char keys[KEY_COUNT][16];
    snprintf(keys[number], sizeof(keys[number]), "%02d", number);
    return (struct slice){(unsigned char *)keys[number], 2};
}

static const struct value OLD = {SLICE("old"), VALUE_STR};
static const struct value NEW = {SLICE("new"), VALUE_BYTES};

struct scene {
    struct entry present[KEY_COUNT];
    struct entry puts[KEY_COUNT];
    struct entry removals[KEY_COUNT];
    size_t present_count;
    struct changes changes;
    const struct value *expected[KEY_COUNT];  // NULL: not there
};

static void
arrange(struct scene *scene, uint64_t present, uint64_t puts,
        uint64_t removals)
{
    *scene = (struct scene){.present_count = 0};
    scene->changes.puts = scene->puts;
    scene->changes.removals = scene->removals;
    for (int i = 0; i < KEY_COUNT; i++) {
        uint64_t bit = UINT64_C(1) << i;
        if ((present & bit) != 0) {
            scene->present[scene->present_count++] =
                (struct entry){key_of(i), OLD};
            scene->expected[i] = &OLD;
        }
        if ((puts & bit) != 0) {
            scene->puts[scene->changes.put_count++] =
                (struct entry){key_of(i), NEW};
            scene->expected[i] = &NEW;
        }
        else if ((removals & bit) != 0) {
            scene->removals[scene->changes.removal_count++] =
                (struct entry){.key = key_of(i)};
            scene->expected[i] = NULL;
        }
    }
}

static void
check_merge(uint64_t present, uint64_t puts, uint64_t removals, int flavour)
{
    struct scene scene;
    arrange(&scene, present, puts, removals);
    struct image image = image_of_entries(scene.present, scene.present_count,
                                          &flavours[flavour]);
    struct version view = version_of_image(&image);
    // Exactly as much room as is promised to be enough.
    size_t room = scene.present_count + scene.changes.put_count, count = 99;
    struct entry *merged = malloc(room * sizeof(*merged) + 1);
    CHECK(merged != NULL);
    bool is_changed;
    CHECK_STATUS(merge_changes(&view, &scene.changes, merged, &count,
                               &is_changed, NULL),
                 STATUS_OK);
    // Each put is of another value, so only a removal can come to nothing.
    CHECK_EQUAL(is_changed, puts != 0 || (present & removals) != 0);
    size_t at = 0;
    for (int i = 0; i < KEY_COUNT; i++) {
        if (scene.expected[i] != NULL) {
            struct entry expected = {key_of(i), *scene.expected[i]};
            CHECK(at < count);
            check_entry(&merged[at++], &expected);
        }
    }
    CHECK_EQUAL(count, at);
    free(merged);
    image_destroy(&image);
}

static void
test_every_meeting_of_three_keys_is_merged(void)
{
    for (uint64_t present = 0; present < 8; present++) {
        for (uint64_t puts = 0; puts < 8; puts++) {
            for (uint64_t removals = 0; removals < 8; removals++) {
                if ((puts & removals) == 0) {
                    check_merge(present, puts, removals, 0);
                }
            }
        }
    }
}

static void
test_random_changes_are_merged(void)
{
    uint64_t random = 1;
    const uint64_t all = (UINT64_C(1) << KEY_COUNT) - 1;
    for (int round = 0; round < 20000; round++) {
        uint64_t masks[3];
        for (int i = 0; i < 3; i++) {
            // Sparse ones and dense ones.
            masks[i] = next_random(&random);
            uint64_t thin = next_random(&random);
            masks[i] = random_below(&random, 2) == 0 ? masks[i] & thin
                                                     : masks[i] | thin;
            masks[i] &= all;
        }
        check_merge(masks[0], masks[1], masks[2] & ~masks[1],
                    round % FLAVOUR_COUNT);
    }
}

static void
test_no_changes_give_the_same_entries(void)
{
    struct entry entries[SAMPLE_COUNT], merged[SAMPLE_COUNT];
    fill_samples(entries);
    struct image image = image_of_entries(entries, SAMPLE_COUNT, HASH);
    struct version view = version_of_image(&image);
    struct changes changes = {.puts = NULL};
    size_t count = 0;
    bool is_changed = true;
    CHECK_STATUS(
        merge_changes(&view, &changes, merged, &count, &is_changed, NULL),
        STATUS_OK);
    CHECK(!is_changed);
    CHECK_EQUAL(count, SAMPLE_COUNT);
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        check_entry(&merged[i], &entries[i]);
        CHECK(is_inside(&view.base, merged[i].key));  // borrowed, not copied
    }
    image_destroy(&image);
}

/* Type and bytes: a str is not the bytes that it is made of. */
static void
test_put_of_what_is_there_changes_nothing(void)
{
    struct entry entries[SAMPLE_COUNT], merged[2 * SAMPLE_COUNT];
    fill_samples(entries);
    struct image image = image_of_entries(entries, SAMPLE_COUNT, HASH);
    struct version view = version_of_image(&image);
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct entry puts[SAMPLE_COUNT];
        memcpy(puts, entries, sizeof(puts));
        struct changes changes = {.puts = puts, .put_count = SAMPLE_COUNT};
        size_t count = 0;
        bool is_changed = true;
        CHECK_STATUS(
            merge_changes(&view, &changes, merged, &count, &is_changed, NULL),
            STATUS_OK);
        CHECK(!is_changed);
        puts[i].value.type =
            (enum value_type)((puts[i].value.type + 1) % VALUE_TYPE_COUNT);
        CHECK_STATUS(
            merge_changes(&view, &changes, merged, &count, &is_changed, NULL),
            STATUS_OK);
        CHECK(is_changed);
        puts[i].value.type = entries[i].value.type;
        puts[i].value.bytes = SLICE("other than all samples");
        CHECK_STATUS(
            merge_changes(&view, &changes, merged, &count, &is_changed, NULL),
            STATUS_OK);
        CHECK(is_changed);
    }
    image_destroy(&image);
}

static void
test_merge_ends_at_each_question_of_an_interrupt(void)
{
    enum { COUNT = 5000 };
    static char keys[COUNT][8];
    static struct entry entries[COUNT], merged[COUNT];
    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%07d", i);
        entries[i].key = (struct slice){(unsigned char *)keys[i], 7};
    }
    struct image image = image_of_entries(entries, COUNT, HASH);
    struct version view = version_of_image(&image);
    struct changes changes = {.puts = NULL};
    size_t count;
    bool is_changed;
    enum status status = STATUS_INTERRUPTED;
    int due;
    for (due = 1; status == STATUS_INTERRUPTED; due++) {
        int questions = due;
        struct interrupt interrupt = {.is_due = is_due_at_last,
                                      .context = &questions};
        status = merge_changes(&view, &changes, merged, &count, &is_changed,
                               &interrupt);
    }
    CHECK_STATUS(status, STATUS_OK);
    CHECK_EQUAL(due - 2, COUNT / 1024);
    image_destroy(&image);
}

static void
test_damaged_snapshot_is_not_merged(void)
{
    struct entry entries[SAMPLE_COUNT], merged[SAMPLE_COUNT + 1];
    fill_samples(entries);
    struct entry put = {SLICE("zzz"), NEW};
    struct changes changes = {.puts = &put, .put_count = 1};
    for (size_t damaged = 0; damaged < SAMPLE_COUNT; damaged++) {
        struct image image = image_of_entries(entries, SAMPLE_COUNT, TREE);
        memset(image.bytes + image_header(&image)->sorted_index.offset
                   + 4 * damaged,
               0xFF, 4);
        struct version view = version_of_image(&image);
        size_t count = 0;
        bool is_changed;
        CHECK_STATUS(
            merge_changes(&view, &changes, merged, &count, &is_changed, NULL),
            STATUS_BAD_REFERENCE);
        image_destroy(&image);
    }
}

static const struct test tests[] = {
    TEST(test_every_meeting_of_three_keys_is_merged),
    TEST(test_random_changes_are_merged),
    TEST(test_no_changes_give_the_same_entries),
    TEST(test_put_of_what_is_there_changes_nothing),
    TEST(test_merge_ends_at_each_question_of_an_interrupt),
    TEST(test_damaged_snapshot_is_not_merged),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
