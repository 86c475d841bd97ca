/* tests/core/test_delta_log.c
 *
 * What has changed from one version to a later one, read from the records of
 * the deltas between them.
 */
#include "core/snapshot/delta_log.h"

#include "core/base/memory.h"
#include "core/check.h"
#include "core/versions.h"

enum { COUNT = 1000 };

static struct numbered numbered;

static void
append(struct layers *layers, size_t first, size_t count, const char *value)
{
    static struct entry puts[COUNT], removals[COUNT];
    struct changes changes = {.puts = puts, .removals = removals};
    for (size_t i = first; i < first + count; i++) {
        if (value == NULL) {
            removals[changes.removal_count++].key = numbered.entries[i].key;
        }
        else {
            struct slice bytes = {(const unsigned char *)value, strlen(value)};
            puts[changes.put_count++] =
                (struct entry){numbered.entries[i].key, {bytes, VALUE_BYTES}};
        }
    }
    layers_append(layers, &changes, layers->generation % 3 == 0 ? OLD : YOUNG);
}

/* Even keys are in the base. */
static struct layers
begin(const struct snapshot_options *options)
{
    struct layers layers = {.generation = 1};
    struct entry entries[COUNT / 2];
    fill_numbered(&numbered, COUNT);
    for (size_t i = 0; i < COUNT / 2; i++) {
        entries[i] = numbered.entries[2 * i];
    }
    layers_begin(&layers, entries, COUNT / 2, options, 1 << 20);
    return layers;
}

static void
test_log_is_the_last_change_of_each_key(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct layers layers = begin(&flavours[i]);
        append(&layers, 0, 10, "before");
        struct version from = layers_version(&layers);
        append(&layers, 5, 300, "first");
        append(&layers, 100, 20, NULL);
        append(&layers, 110, 20, "second");
        append(&layers, 7, 1, NULL);
        struct version to = layers_version(&layers);
        struct delta_log log;
        CHECK_STATUS(delta_log_read(&log, &from, &to), STATUS_OK);
        // Keys 5 to 304: removed are 7 and 100 to 109.
        CHECK_EQUAL(log.changes.put_count, 300 - 11);
        CHECK_EQUAL(log.changes.removal_count, 11);
        CHECK(slice_equals(log.changes.removals[0].key,
                           numbered.entries[7].key));
        size_t put = 0;
        for (size_t number = 5; number < 305; number++) {
            if (number == 7 || (number >= 100 && number < 110)) {
                continue;
            }
            struct entry expected = {numbered.entries[number].key,
                                     {SLICE("first"), VALUE_BYTES}};
            if (number >= 110 && number < 130) {
                expected.value.bytes = SLICE("second");
            }
            check_entry(&log.changes.puts[put++], &expected);
        }
        delta_log_clear(&log);
        layers_destroy(&layers);
    }
}

static void
test_log_from_a_version_to_itself_is_empty(void)
{
    struct layers layers = begin(HASH);
    for (int i = 0; i < 3; i++) {
        struct version version = layers_version(&layers);
        struct delta_log log;
        CHECK_STATUS(delta_log_read(&log, &version, &version), STATUS_OK);
        CHECK_EQUAL(log.changes.put_count + log.changes.removal_count, 0);
        delta_log_clear(&log);
        append(&layers, 0, 10, "new");
    }
    layers_destroy(&layers);
}

static void
test_log_without_memory_leaves_nothing_behind(void)
{
    struct layers layers = begin(HASH);
    struct version from = layers_version(&layers);
    append(&layers, 0, COUNT, "first");
    append(&layers, 5, 300, NULL);
    struct version to = layers_version(&layers);
    bool is_done = false;
    long successes = 0;
    for (; !is_done; successes++) {
        struct delta_log log;
        memory_fail_after(successes, false);
        enum status status = delta_log_read(&log, &from, &to);
        memory_fail_after(-1, false);
        delta_log_clear(&log);
        CHECK_EQUAL(memory_outstanding(), 0);
        is_done = status == STATUS_OK;
        CHECK_STATUS(status, is_done ? STATUS_OK : STATUS_NO_MEMORY);
    }
    CHECK(successes > 8);
    layers_destroy(&layers);
}

/* It is read as a whole before it is believed. */
static void
test_damage_of_any_delta_between_is_found(void)
{
    struct layers layers = begin(TREE);
    struct version from = layers_version(&layers);
    append(&layers, 0, 5, "first");
    append(&layers, 5, 5, "second");
    append(&layers, 10, 5, NULL);
    struct version to = layers_version(&layers);
    struct delta_log log;
    for (uint64_t at = 0; at < version_top(&to)->end; at += 13) {
        unsigned char *byte = layers_room(&layers, at);
        *byte ^= 1;
        enum status status = delta_log_read(&log, &from, &to);
        CHECK(status == STATUS_BAD_DELTA || status == STATUS_BAD_CHECKSUM);
        delta_log_clear(&log);
        *byte ^= 1;
    }
    CHECK_STATUS(delta_log_read(&log, &from, &to), STATUS_OK);
    delta_log_clear(&log);
    layers_destroy(&layers);
}

/* Sealed: the sizes of a record do not lead behind the records. */
static void
test_record_that_does_not_end_is_an_error(void)
{
    struct layers layers = begin(TREE);
    struct version from = layers_version(&layers);
    append(&layers, 0, 5, "first");
    struct version to = layers_version(&layers);
    unsigned char *bytes = layers_room(&layers, 0);
    // The key's size, in the upper bits.
    bytes[DELTA_HEADER_SIZE + 1] = 0xF0;
    delta_seal(bytes);
    struct delta_log log;
    to = layers_version(&layers);
    CHECK_STATUS(delta_log_read(&log, &from, &to), STATUS_BAD_RECORD);
    delta_log_clear(&log);
    layers_destroy(&layers);
}

static const struct test tests[] = {
    TEST(test_log_is_the_last_change_of_each_key),
    TEST(test_log_from_a_version_to_itself_is_empty),
    TEST(test_log_without_memory_leaves_nothing_behind),
    TEST(test_damage_of_any_delta_between_is_found),
    TEST(test_record_that_does_not_end_is_an_error),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
