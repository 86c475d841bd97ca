/* tests/core/test_version.c
 *
 * Versions against a dumb oracle: an array of what each key has, and answers
 * that are counted one by one. Histories are random, over few keys so that the
 * deltas meet in every way; each step asks the version everything.
 *
 * Not here: which of the ways an update takes, and what it fails with; see
 * test_version_update.c. Bytes that are wrong; see test_delta_damage.c.
 */
#include "core/snapshot/version.h"

#include "core/base/memory.h"
#include "core/check.h"
#include "core/snapshot/hash_index.h"
#include "core/snapshot/version_group.h"
#include "core/versions.h"

enum { MOST_KEYS = 3000, VALUE_COUNT = 9, ROOM = 1 << 20 };

/* Keys "0000" and so on, some of them long; values of all sizes at which a
 * record looks different. */
static unsigned char key_bytes[MOST_KEYS][300];
static const size_t value_sizes[VALUE_COUNT] = {5,  0,  1,   7,  8,
                                                59, 60, 300, 255};
static unsigned char value_bytes[VALUE_COUNT][300];

static void
fill_words(void)
{
    for (int i = 0; i < MOST_KEYS; i++) {
        memset(key_bytes[i], 'k', sizeof(key_bytes[i]));
        char digits[16];
        snprintf(digits, sizeof(digits), "%04d", i);
        memcpy(key_bytes[i], digits, 4);
    }
    for (int i = 0; i < VALUE_COUNT; i++) {
        memset(value_bytes[i], 'a' + i, sizeof(value_bytes[i]));
    }
}

static struct slice
key_of(int number)
{
    static const size_t sizes[] = {4, 5, 4, 123, 4, 4, 124, 4, 4, 4, 260};
    return (struct slice){key_bytes[number], sizes[number % 11]};
}

static struct value
value_of(int number)
{
    static const enum value_type types[] = {VALUE_STR, VALUE_BYTES,
                                            VALUE_ENCODED};
    return (struct value){{value_bytes[number], value_sizes[number]},
                          types[number % 3]};
}

/* A file with room for deltas, and what it should say. */
struct history {
    int key_count;
    int truth[MOST_KEYS];  // the number of a value; -1: not there
    struct layers layers;
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
    layers_begin(&history->layers, entries, count, options, ROOM);
}

static void
check_aligned(const struct history *history, const struct entry *entry)
{
    if (value_type_is_aligned(entry->value.type)) {
        CHECK_EQUAL(
            (entry->value.bytes.bytes - history->layers.file.bytes) % 8, 0);
    }
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

/* Many keys at once are located as each is alone. */
static void
check_located(const struct version *version, const struct version_group *group,
              size_t count)
{
    struct slice keys[SEEK_GROUP];
    struct version_position together[SEEK_GROUP], alone;
    _Static_assert(VERSION_GROUP <= (int)SEEK_GROUP, "keys of a group");
    for (size_t i = 0; i < count; i++) {
        keys[i] = group->probes[i].key;
    }
    for (unsigned deltas = 0; deltas <= version->delta_count; deltas++) {
        CHECK_STATUS(
            version_locate_group(version, deltas, keys, count, together),
            STATUS_OK);
        for (size_t i = 0; i < count; i++) {
            CHECK_STATUS(version_locate(version, deltas, keys[i], &alone),
                         STATUS_OK);
            CHECK_EQUAL(together[i].below, alone.below);
            CHECK_EQUAL(together[i].is_found, alone.is_found);
            if (alone.is_found) {
                check_entry(&together[i].entry, &alone.entry);
            }
        }
    }
}

/* Many keys at once are found as each is alone. */
static void
check_groups_by(const struct version_filter *filter,
                const struct version *version, const struct history *history)
{
    for (int first = 0; first < history->key_count; first += VERSION_GROUP) {
        struct version_group group;
        size_t count = 0;
        while (count < VERSION_GROUP
               && first + (int)count < history->key_count)
        {
            group.probes[count].key = key_of(first + (int)count);
            count += 1;
        }
        version_group_probe(version, filter, &group, count);
        check_located(version, &group, count);
        for (size_t i = 0; i < count; i++) {
            int number = history->truth[first + (int)i];
            struct entry entry;
            bool is_found;
            CHECK_STATUS(
                version_group_find(version, &group, i, &entry, &is_found),
                STATUS_OK);
            CHECK_EQUAL(is_found, number >= 0);
            if (is_found) {
                struct entry expected = {key_of(first + (int)i),
                                         value_of(number)};
                check_entry(&entry, &expected);
            }
        }
    }
}

/* Without a filter and with one. */
static void
check_groups(const struct version *version, const struct history *history)
{
    check_groups_by(NULL, version, history);
    if (version->delta_count > 0 && version->base.buckets != NULL) {
        struct version_filter *filter = version_filter_make(version);
        CHECK(filter != NULL);
        check_groups_by(filter, version, history);
        memory_release(filter);
    }
}

/* A copy opens as the version that it is of, whatever the file has become. */
static void
check_copy(const struct version *version)
{
    struct image copy = image_create(version_size(version));
    struct version opened;
    version_copy(version, copy.bytes);
    CHECK_STATUS(version_open_newest(&opened, copy.bytes, copy.size),
                 STATUS_OK);
    CHECK_EQUAL(opened.head, version->head);
    CHECK_EQUAL(opened.entry_count, version->entry_count);
    CHECK_STATUS(version_verify(&opened, NULL), STATUS_OK);
    image_destroy(&copy);
}

static void
check_all(const struct history *history)
{
    struct entry entries[MOST_KEYS], entry;
    size_t count = entries_of(history, entries);
    struct version version = layers_version(&history->layers);
    struct version_cursor forward = {.passed = {0}}, back = {.passed = {7, 9}};
    CHECK_EQUAL(version.entry_count, count);
    CHECK_EQUAL(version.generation, history->layers.generation);
    uint64_t left = version.records_size;
    for (size_t i = 0; i < count; i++) {
        CHECK_STATUS(version_at(&version, &forward, i, &entry), STATUS_OK);
        check_entry(&entry, &entries[i]);
        check_aligned(history, &entry);
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
    check_groups(&version, history);
    check_key(&version, (struct slice){NULL, 0}, -1, 0);
    check_key(&version, SLICE("~"), -1, count);
    CHECK_STATUS(version_verify_checksum(&version, NULL), STATUS_OK);
    CHECK_STATUS(version_verify(&version, NULL), STATUS_OK);
    CHECK_STATUS(version_verify_deltas(&version, NULL), STATUS_OK);
    check_copy(&version);
}

/* Changes, and what they make of the truth. */
struct script {
    struct changes changes;
    struct entry puts[MOST_KEYS];
    struct entry removals[MOST_KEYS];
};

static void
script_begin(struct script *script)
{
    script->changes =
        (struct changes){.puts = script->puts, .removals = script->removals};
}

static void
script_put(struct script *script, struct history *history, int number,
           int value)
{
    script->puts[script->changes.put_count++] =
        (struct entry){key_of(number), value_of(value)};
    history->truth[number] = value;
}

static void
script_remove(struct script *script, struct history *history, int number)
{
    script->removals[script->changes.removal_count++].key = key_of(number);
    history->truth[number] = -1;
}

/* Changes to some keys, `gap` apart. */
static void
random_changes(struct history *history, uint64_t *random, int most, int gap,
               struct script *script)
{
    int number = -1;
    script_begin(script);
    while (most-- > 0) {
        number += 1 + (int)random_below(random, (uint64_t)gap);
        if (number >= history->key_count) {
            break;
        }
        if (random_below(random, 5) < 3) {
            script_put(script, history, number,
                       (int)random_below(random, VALUE_COUNT));
        }
        else {
            script_remove(script, history, number);
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

/* As an update does it. */
static void
apply(struct history *history, const struct changes *changes,
      const struct snapshot_options *options, struct steps *steps)
{
    struct layers *layers = &history->layers;
    struct version version = layers_version(layers);
    struct version_identity identity = {.generation = layers->generation + 1};
    struct version_update update;
    CHECK_STATUS(version_update_prepare(&update, &version, changes, &identity,
                                        COPY_IF_IT_PAYS, NULL),
                 STATUS_OK);
    CHECK_EQUAL(update.bytes != NULL, update.step == STEP_APPEND);
    if (update.step == STEP_NONE) {
        steps->none += 1;
        return;
    }
    layers->generation += 1;
    if (update.step == STEP_COPY) {
        steps->copy += 1;
        write_base(history, options);
        return;
    }
    CHECK(update.begin + update.size <= ROOM);
    memcpy(layers_room(layers, update.begin), update.bytes, update.size);
    layers->head = update.head;
    version_update_release(&update);
    version = layers_version(layers);
    steps->young += version.delta_count == 2;
    steps->fold += version.delta_count == 1;
}

static void
begin(struct history *history, uint64_t *random, int key_count,
      uint64_t density, const struct snapshot_options *options)
{
    *history =
        (struct history){.key_count = key_count, .layers.generation = 1};
    for (int i = 0; i < key_count; i++) {
        history->truth[i] = random_below(random, 10) < density
                                ? (int)random_below(random, VALUE_COUNT)
                                : -1;
    }
    write_base(history, options);
}

static void
play(uint64_t seed, const struct snapshot_options *options,
     struct steps *steps)
{
    static const int counts[] = {3, 8, 40, 200, 600};
    struct history history;
    struct script script;
    uint64_t random = seed;
    int key_count = counts[random_below(&random, 5)];
    uint64_t density = random_below(&random, 11);
    begin(&history, &random, key_count, density, options);
    check_all(&history);
    for (int round = 0; round < 12; round++) {
        random_changes(&history, &random, 1 + (int)random_below(&random, 5),
                       key_count / 4 + 1, &script);
        apply(&history, &script.changes, options, steps);
        check_all(&history);
    }
    layers_destroy(&history.layers);
}

static void
test_random_histories_are_what_an_oracle_says(void)
{
    struct steps steps = {0};
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        play(seed, &flavours[seed % FLAVOUR_COUNT], &steps);
    }
    CHECK(steps.none > 100);
    CHECK(steps.young > 1000);
    CHECK(steps.fold > 1000);
    CHECK(steps.copy > 500);
}

/* Many young deltas, of many sizes, between two folds. */
static void
test_long_history_of_a_larger_map_is_what_an_oracle_says(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct steps steps = {0};
        struct history history;
        struct script script;
        uint64_t random = 1000 + (uint64_t)i;
        begin(&history, &random, MOST_KEYS, 7, &flavours[i]);
        for (int round = 0; round < 150; round++) {
            int most =
                1 + (int)random_below(&random, round % 10 == 9 ? 90 : 9);
            random_changes(&history, &random, most, MOST_KEYS / most, &script);
            apply(&history, &script.changes, &flavours[i], &steps);
            if (round % 8 == 0) {
                check_all(&history);
            }
        }
        check_all(&history);
        CHECK(steps.young > 75);
        CHECK(steps.fold > 5);
        CHECK(steps.copy > 0);
        layers_destroy(&history.layers);
    }
}

/* ---- deltas that no update would write ---------------------------------- */

static void
append(struct history *history, const struct script *script, enum layer layer)
{
    layers_append(&history->layers, &script->changes, layer);
    check_all(history);
}

static void
remove_all(struct history *history, struct script *script)
{
    script_begin(script);
    for (int i = 0; i < history->key_count; i++) {
        script_remove(script, history, i);
    }
}

static void
put_all(struct history *history, struct script *script, int value)
{
    script_begin(script);
    for (int i = 0; i < history->key_count; i++) {
        script_put(script, history, i, (value + i) % VALUE_COUNT);
    }
}

static void
test_all_may_be_removed_and_put_back(void)
{
    static const enum layer ways[][4] = {
        {OLD, OLD, OLD, OLD},
        {OLD, YOUNG, YOUNG, YOUNG},
        {OLD, YOUNG, OLD, YOUNG},
        {OLD, OLD, YOUNG, OLD},
    };
    static const uint64_t densities[] = {0, 5, 10};
    for (int i = 0; i < 4 * 3 * FLAVOUR_COUNT; i++) {
        const enum layer *way = ways[i % 4];
        struct history history;
        struct script script;
        uint64_t random = (uint64_t)i;
        begin(&history, &random, 40, densities[i / 4 % 3], &flavours[i / 12]);
        remove_all(&history, &script);
        append(&history, &script, way[0]);
        put_all(&history, &script, i);
        append(&history, &script, way[1]);
        remove_all(&history, &script);
        append(&history, &script, way[2]);
        random_changes(&history, &random, 20, 3, &script);
        append(&history, &script, way[3]);
        layers_destroy(&history.layers);
    }
}

/* What was put into no map and removed again leaves a delta of no entry. */
static void
test_delta_may_be_empty(void)
{
    for (int i = 0; i < 2 * FLAVOUR_COUNT; i++) {
        bool is_empty = i < FLAVOUR_COUNT;
        struct history history;
        struct script script;
        uint64_t random = (uint64_t)i;
        begin(&history, &random, 30, is_empty ? 0 : 5,
              &flavours[i % FLAVOUR_COUNT]);
        int other = 0;
        while (history.truth[other] >= 0) {
            other += 1;
        }
        for (int round = 0; round < 4; round++) {
            script_begin(&script);
            script_put(&script, &history, other, 1);
            append(&history, &script, round % 2 == 0 ? OLD : YOUNG);
            script_begin(&script);
            script_remove(&script, &history, other);
            append(&history, &script, round < 2 ? YOUNG : OLD);
            append(&history, &script, OLD);
            struct version version = layers_version(&history.layers);
            CHECK_EQUAL(version.deltas[0].view.entry_count, 0);
            script_begin(&script);
            append(&history, &script, YOUNG);
            version = layers_version(&history.layers);
            CHECK_EQUAL(version_top(&version)->view.entry_count, 0);
        }
        layers_destroy(&history.layers);
    }
}

/* Keys whose home is the last bucket of the delta, more than it has room for:
 * the others are in the first. */
static void
test_group_finds_keys_behind_the_last_bucket(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct history history;
        struct script script;
        uint64_t random = (uint64_t)i;
        begin(&history, &random, MOST_KEYS, 5, &flavours[i]);
        const struct snapshot base = layers_version(&history.layers).base;
        if (base.buckets == NULL) {
            layers_destroy(&history.layers);
            continue;
        }
        const size_t count = base.reference_size == 8 ? 12 : 20;
        const uint64_t buckets =
            hash_index_bucket_count(count, base.reference_size == 8);
        script_begin(&script);
        for (int j = 0; script.changes.put_count < count; j++) {
            struct slice key = key_of(j);
            CHECK(j < MOST_KEYS);
            uint64_t hash = hash_bytes(key.bytes, key.size, base.hash_seed);
            if (hash_index_home(hash, buckets) == buckets - 1) {
                script_put(&script, &history, j,
                           history.truth[j] == 1 ? 2 : 1);
            }
        }
        append(&history, &script, OLD);
        struct version version = layers_version(&history.layers);
        CHECK_EQUAL(version.deltas[0].view.bucket_count, buckets);
        layers_destroy(&history.layers);
    }
}

/* In a base that is not in the cache, its records are prefetched, too. */
static void
test_groups_are_found_in_a_large_base(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct history history = {.key_count = MOST_KEYS,
                                  .layers.generation = 1};
        struct script script;
        for (int j = 0; j < MOST_KEYS; j++) {
            history.truth[j] = j % 7 == 0 ? -1 : 7;
        }
        write_base(&history, &flavours[i]);
        struct version version = layers_version(&history.layers);
        CHECK(!snapshot_is_near(&version.base));
        check_groups(&version, &history);
        uint64_t random = (uint64_t)i;
        random_changes(&history, &random, 300, 10, &script);
        layers_append(&history.layers, &script.changes, OLD);
        version = layers_version(&history.layers);
        check_groups(&version, &history);
        layers_destroy(&history.layers);
    }
}

/* ---- cursors ------------------------------------------------------------ */

static void
test_any_cursor_leads_to_the_same_entry(void)
{
    static const uint64_t hints[] = {0,
                                     1,
                                     2,
                                     3,
                                     5,
                                     8,
                                     19,
                                     20,
                                     21,
                                     40,
                                     41,
                                     UINT32_MAX,
                                     UINT64_MAX - 1,
                                     UINT64_MAX};
    enum { HINTS = sizeof(hints) / sizeof(hints[0]) };
    struct history history;
    struct script script;
    uint64_t random = 1;
    begin(&history, &random, 60, 5, HASH);
    random_changes(&history, &random, 20, 3, &script);
    append(&history, &script, OLD);
    random_changes(&history, &random, 20, 3, &script);
    append(&history, &script, YOUNG);
    struct entry entries[MOST_KEYS];
    size_t count = entries_of(&history, entries);
    struct version version = layers_version(&history.layers);
    for (size_t i = 0; i < count * HINTS * HINTS; i++) {
        struct version_cursor cursor = {
            .passed = {hints[i % HINTS], hints[i / HINTS % HINTS]}};
        struct entry entry;
        size_t index = i / HINTS / HINTS;
        CHECK_STATUS(version_at(&version, &cursor, index, &entry), STATUS_OK);
        check_entry(&entry, &entries[index]);
    }
    layers_destroy(&history.layers);
}

/* ---- opening ------------------------------------------------------------ */

static void
test_version_of_a_base_is_the_base(void)
{
    struct history history;
    uint64_t random = 1;
    begin(&history, &random, 40, 5, HASH);
    struct version version = layers_version(&history.layers);
    CHECK(version_top(&version) == NULL);
    CHECK_EQUAL(version_size(&version), version.base.header.total_size);
    CHECK_EQUAL(version.records_size, version.base.records_size);
    layers_destroy(&history.layers);
}

static void
test_newest_version_is_the_one_that_the_file_says(void)
{
    struct history history;
    struct script script;
    struct version version;
    uint64_t random = 1;
    begin(&history, &random, 40, 5, HASH);
    const struct image *file = &history.layers.file;
    for (int i = 0; i < 3; i++) {
        // The mark says something of the name, and nothing of the version.
        image_header(file)->head = history.layers.head | HEAD_SUPERSEDED;
        CHECK_STATUS(version_open_newest(&version, file->bytes, file->size),
                     STATUS_OK);
        CHECK_EQUAL(version.head, history.layers.head);
        CHECK_EQUAL(version.delta_count, i);
        CHECK_EQUAL(version.generation, 1 + i);
        image_header(file)->head = 0;
        random_changes(&history, &random, 9, 4, &script);
        append(&history, &script, YOUNG);
    }
    CHECK_STATUS(version_open_newest(&version, file->bytes, 100),
                 STATUS_TRUNCATED);
    layers_destroy(&history.layers);
}

/* An earlier version is still there, behind its own head. */
static void
test_each_head_leads_to_the_version_that_it_led_to(void)
{
    enum { VERSIONS = 12 };
    struct history histories[VERSIONS];
    struct history history;
    struct script script;
    uint64_t random = 1;
    begin(&history, &random, 60, 5, HASH);
    for (int i = 0; i < VERSIONS; i++) {
        histories[i] = history;
        random_changes(&history, &random, 9, 6, &script);
        append(&history, &script, i % 4 == 3 ? OLD : YOUNG);
    }
    for (int i = 0; i < VERSIONS; i++) {
        check_all(&histories[i]);
    }
    layers_destroy(&history.layers);
}

static const struct test tests[] = {
    TEST(test_random_histories_are_what_an_oracle_says),
    TEST(test_long_history_of_a_larger_map_is_what_an_oracle_says),
    TEST(test_all_may_be_removed_and_put_back),
    TEST(test_delta_may_be_empty),
    TEST(test_group_finds_keys_behind_the_last_bucket),
    TEST(test_groups_are_found_in_a_large_base),
    TEST(test_any_cursor_leads_to_the_same_entry),
    TEST(test_version_of_a_base_is_the_base),
    TEST(test_newest_version_is_the_one_that_the_file_says),
    TEST(test_each_head_leads_to_the_version_that_it_led_to),
};

int
main(int count, char **words)
{
    fill_words();
    return RUN_TESTS(tests, count, words);
}
