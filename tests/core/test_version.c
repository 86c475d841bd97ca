/* tests/core/test_version.c
 *
 * Versions against a dumb oracle: an array of what each key has, and answers
 * that are counted one by one. Histories are random, over few keys so that the
 * deltas meet in every way; each step asks the version everything.
 */
#include "core/snapshot/version.h"

#include "core/base/memory.h"
#include "core/check.h"
#include "core/snapshot/version_update.h"
#include "core/snapshots.h"
#include "core/views.h"

enum { MOST_KEYS = 600, ROOM = 1 << 20 };

/* Keys "0000" and so on; a value is a number in five digits, or bytes. */
static unsigned char key_bytes[MOST_KEYS][8];
static unsigned char value_bytes[100][8];

static void
fill_words(void)
{
    for (int i = 0; i < MOST_KEYS; i++) {
        snprintf((char *)key_bytes[i], sizeof(key_bytes[i]), "%04d", i);
    }
    for (int i = 0; i < 100; i++) {
        snprintf((char *)value_bytes[i], sizeof(value_bytes[i]), "%05d", i);
    }
}

static struct slice
key_of(int number)
{
    return (struct slice){key_bytes[number], 4};
}

static struct value
value_of(int number)
{
    return (struct value){{value_bytes[number], 5},
                          number % 2 == 0 ? VALUE_STR : VALUE_BYTES};
}

/* A file with room for deltas, and what it should say. */
struct history {
    int key_count;
    int truth[MOST_KEYS];  // the number of a value; -1: not there
    struct image file;
    uint32_t head;
    uint64_t generation;
};

static size_t
entries_of(const struct history *history, struct entry *entries)
{
    size_t count = 0;
    for (int i = 0; i < history->key_count; i++) {
        if (history->truth[i] >= 0) {
            entries[count++] =
                (struct entry){key_of(i), value_of(history->truth[i])};
        }
    }
    return count;
}

/* Writes a base of what is true, with room behind it. */
static void
write_base(struct history *history, const struct snapshot_options *options)
{
    struct entry entries[MOST_KEYS];
    size_t count = entries_of(history, entries);
    struct image image = image_of_entries(entries, count, options);
    image_header(&image)->limit = image.size + ROOM;
    image_header(&image)->generation = history->generation;
    snapshot_header_seal(image_header(&image));
    image_destroy(&history->file);
    history->file = image_create(image.size + ROOM);
    memcpy(history->file.bytes, image.bytes, image.size);
    // Nothing may be read behind the newest delta.
    memset(history->file.bytes + image.size, 0xEE, ROOM);
    history->head = 0;
    image_destroy(&image);
}

static struct version
open_version(const struct history *history)
{
    struct version version;
    CHECK_STATUS(version_open(&version, history->file.bytes,
                              history->file.size, history->head),
                 STATUS_OK);
    return version;
}

static void
check_key(const struct version *version, struct slice key, int number,
          uint64_t below)
{
    struct entry entry;
    bool is_found;
    uint64_t index;
    CHECK_STATUS(version_find(version, key, &entry, &is_found), STATUS_OK);
    CHECK_EQUAL(is_found, number >= 0);
    if (is_found) {
        struct entry expected = {key, value_of(number)};
        check_entry(&entry, &expected);
    }
    CHECK_STATUS(version_seek(version, key, &index), STATUS_OK);
    CHECK_EQUAL(index, below);
}

static void
check_all(const struct history *history)
{
    struct entry entries[MOST_KEYS], entry;
    size_t count = entries_of(history, entries);
    struct version version = open_version(history);
    struct version_cursor forward = {.passed = {0}}, back = {.passed = {7, 9}};
    CHECK_EQUAL(version.entry_count, count);
    CHECK_EQUAL(version.generation, history->generation);
    uint64_t left = version.records_size;
    for (size_t i = 0; i < count; i++) {
        CHECK_STATUS(version_at(&version, &forward, i, &entry), STATUS_OK);
        check_entry(&entry, &entries[i]);
        CHECK_STATUS(snapshot_count_entry(&left, &entry), STATUS_OK);
        CHECK_STATUS(version_at(&version, &back, count - 1 - i, &entry),
                     STATUS_OK);
        check_entry(&entry, &entries[count - 1 - i]);
    }
    uint64_t below = 0;
    for (int i = 0; i < history->key_count; i++) {
        check_key(&version, key_of(i), history->truth[i], below);
        below += history->truth[i] >= 0;
    }
    check_key(&version, (struct slice){NULL, 0}, -1, 0);
    check_key(&version, SLICE("~"), -1, count);
    CHECK_STATUS(version_verify(&version, NULL), STATUS_OK);
}

/* Changes to some keys, and what they make of the truth. */
static void
random_changes(struct history *history, uint64_t *random, int most,
               struct changes *changes, struct entry *puts,
               struct entry *removals)
{
    *changes = (struct changes){.puts = puts, .removals = removals};
    int number = -1;
    while (most-- > 0) {
        number +=
            1
            + (int)random_below(random, (uint64_t)history->key_count / 4 + 1);
        if (number >= history->key_count) {
            break;
        }
        if (random_below(random, 5) < 3) {
            int value = (int)random_below(random, 9);
            puts[changes->put_count++] =
                (struct entry){key_of(number), value_of(value)};
            history->truth[number] = value;
        }
        else {
            removals[changes->removal_count++].key = key_of(number);
            history->truth[number] = -1;
        }
    }
}

/* Counts what was done, so that a test can say that everything happened. */
struct steps {
    int none;
    int young;
    int fold;
    int copy;
};

static void
apply(struct history *history, const struct changes *changes,
      const struct snapshot_options *options, struct steps *steps)
{
    struct version version = open_version(history);
    struct version_identity identity = {.generation = history->generation + 1};
    struct version_update update;
    CHECK_STATUS(version_update_prepare(&update, &version, changes, &identity,
                                        COPY_IF_IT_PAYS, NULL),
                 STATUS_OK);
    if (update.step == STEP_NONE) {
        steps->none += 1;
        return;
    }
    history->generation += 1;
    if (update.step == STEP_COPY) {
        steps->copy += 1;
        write_base(history, options);
        return;
    }
    CHECK(update.begin + update.size <= ROOM);
    memcpy(history->file.bytes + version.base.header.total_size + update.begin,
           update.bytes, update.size);
    history->head = update.head;
    version_update_release(&update);
    version = open_version(history);
    steps->young += version.delta_count == 2;
    steps->fold += version.delta_count == 1;
}

static void
play(uint64_t seed, const struct snapshot_options *options,
     struct steps *steps)
{
    static const int counts[] = {3, 8, 40, 200, MOST_KEYS};
    struct history history = {.generation = 1};
    struct entry puts[MOST_KEYS], removals[MOST_KEYS];
    struct changes changes;
    uint64_t random = seed;
    history.key_count = counts[random_below(&random, 5)];
    uint64_t density = random_below(&random, 11);
    for (int i = 0; i < history.key_count; i++) {
        history.truth[i] = random_below(&random, 10) < density
                               ? (int)random_below(&random, 9)
                               : -1;
    }
    write_base(&history, options);
    check_all(&history);
    for (int round = 0; round < 12; round++) {
        random_changes(&history, &random, 1 + (int)random_below(&random, 5),
                       &changes, puts, removals);
        apply(&history, &changes, options, steps);
        check_all(&history);
    }
    image_destroy(&history.file);
}

static void
test_random_histories_are_what_an_oracle_says(void)
{
    struct steps steps = {0};
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        play(seed, &flavours[seed % FLAVOUR_COUNT], &steps);
    }
    CHECK(steps.none > 100);
    CHECK(steps.young > 1000);
    CHECK(steps.fold > 1000);
    CHECK(steps.copy > 1000);
}

static const struct test tests[] = {
    TEST(test_random_histories_are_what_an_oracle_says),
};

int
main(int count, char **words)
{
    fill_words();
    return RUN_TESTS(tests, count, words);
}
