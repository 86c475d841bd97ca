/* tests/core/test_sort.c
 *
 * The sort against a dumb oracle: an insertion of each entry at its rank, which
 * overwrites an entry with an equal key, as a dict does.
 */
#include "core/base/sort.h"

#include "core/base/memory.h"
#include "core/check.h"
#include "core/snapshots.h"

enum { CAPACITY = 4000, KEY_ROOM = 48, STEPPED = 30000 };

/* Many entries of few keys; the value says which of them came when. */
struct batch {
    unsigned char keys[CAPACITY][KEY_ROOM];
    uint32_t stamps[CAPACITY];
    struct entry entries[CAPACITY];
    struct entry expected[CAPACITY];
    size_t count;
    size_t expected_count;
};

static void
expect(struct batch *batch, const struct entry *entry)
{
    size_t at = 0;
    while (at < batch->expected_count
           && slice_compare(batch->expected[at].key, entry->key) < 0)
    {
        at += 1;
    }
    struct entry *place = &batch->expected[at];
    if (at == batch->expected_count || !slice_equals(place->key, entry->key)) {
        memmove(place + 1, place,
                (batch->expected_count - at) * sizeof(*place));
        batch->expected_count += 1;
    }
    *place = *entry;
}

/* Fills the value; the caller has filled the first bytes of the key. */
static void
add_key(struct batch *batch, size_t key_size)
{
    size_t at = batch->count++;
    batch->stamps[at] = (uint32_t)at;
    batch->entries[at] = (struct entry){
        .key = {batch->keys[at], key_size},
        .value = {{(unsigned char *)&batch->stamps[at], 4}, VALUE_BYTES},
    };
    expect(batch, &batch->entries[at]);
}

static void
add(struct batch *batch, uint32_t number)
{
    unsigned char *key = batch->keys[batch->count];
    for (int i = 0; i < 4; i++) {
        key[i] = (unsigned char)(number >> 8 * (3 - i));
    }
    add_key(batch, 4);
}

static void
check_sorted(struct batch *batch)
{
    size_t count = batch->count;
    CHECK_STATUS(sort_array(batch->entries, &count), STATUS_OK);
    CHECK_EQUAL(count, batch->expected_count);
    for (size_t i = 0; i < count; i++) {
        CHECK(slice_equals(batch->entries[i].key, batch->expected[i].key));
        // The very same entry, not only one with an equal key.
        CHECK(batch->entries[i].value.bytes.bytes
              == batch->expected[i].value.bytes.bytes);
        CHECK_EQUAL(batch->entries[i].value.type, VALUE_BYTES);
    }
    batch->count = batch->expected_count = 0;
}

/* Of few letters, among them the zero that a short key must not be taken to
 * end with, behind a beginning that all or many have in common. */
static void
add_random(struct batch *batch, uint64_t *random, size_t common,
           size_t letters)
{
    static const unsigned char alphabet[] = {'a', 0x00, 0xFF, 'b', 'c', 'd'};
    unsigned char *key = batch->keys[batch->count];
    size_t size = random_below(random, KEY_ROOM - common);
    memset(key, 'p', common);
    // Some lose the end of what they have in common.
    if (random_below(random, 10) == 0) {
        common = random_below(random, common + 1);
    }
    // Half of them end within the first prefix words.
    if (random_below(random, 2) == 0) {
        size %= 10;
    }
    for (size_t i = 0; i < size; i++) {
        key[common + i] = alphabet[random_below(random, letters)];
    }
    add_key(batch, common + size);
}

static struct batch batch;

static void
test_nothing_is_sorted_already(void)
{
    struct entry *entries = NULL;
    size_t count = 0;
    CHECK_STATUS(sort_entries(&entries, &count, NULL), STATUS_OK);
    CHECK_EQUAL(count, 0);
    CHECK(entries == NULL);
}

static void
test_every_order_of_small_batches_is_sorted(void)
{
    for (uint32_t count = 1; count <= 70; count++) {
        for (uint32_t i = 0; i < count; i++) {
            add(&batch, i);
        }
        check_sorted(&batch);
        for (uint32_t i = 0; i < count; i++) {
            add(&batch, count - i);
        }
        check_sorted(&batch);
        for (uint32_t i = 0; i < count; i++) {
            add(&batch, i % 2 == 0 ? i : 1000 - i);
        }
        check_sorted(&batch);
    }
}

static void
test_last_of_equal_keys_stays(void)
{
    // One key; then two that take turns, far apart and side by side.
    for (uint32_t count = 1; count <= 100; count++) {
        for (uint32_t i = 0; i < count; i++) {
            add(&batch, 7);
        }
        check_sorted(&batch);
        for (uint32_t i = 0; i < count; i++) {
            add(&batch, i % 2);
        }
        check_sorted(&batch);
        for (uint32_t i = 0; i < count; i++) {
            add(&batch, i / 2);
        }
        check_sorted(&batch);
    }
}

static void
test_random_batches_are_sorted(void)
{
    static const size_t sizes[] = {2,   5,    12,   13,      30,
                                   300, 1023, 1024, CAPACITY};
    uint64_t random = 1;
    for (size_t common = 0; common <= 24; common += 4) {
        for (size_t letters = 1; letters <= 6; letters++) {
            for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                for (size_t j = 0; j < sizes[i]; j++) {
                    add_random(&batch, &random, common, letters);
                }
                check_sorted(&batch);
            }
        }
    }
}

/* All bytes are equal, or all but the zeros at the end. */
static void
test_keys_that_begin_each_other_are_sorted(void)
{
    static const unsigned char letters[] = {0x00, 'a', 0xFF};
    uint64_t random = 3;
    for (size_t i = 0; i < sizeof(letters); i++) {
        for (int round = 0; round < 3; round++) {
            for (int j = 0; j < CAPACITY; j++) {
                memset(batch.keys[batch.count], letters[i], KEY_ROOM);
                add_key(&batch, random_below(&random, KEY_ROOM));
            }
            check_sorted(&batch);
        }
    }
}

/* Orders that quicksorts are known to be slow for, with and without a part
 * that is the same in all keys. */
static void
test_awkward_orders_are_sorted(void)
{
    for (size_t common = 0; common <= 16; common += 8) {
        for (int order = 0; order < 5; order++) {
            for (uint32_t i = 0; i < 1000; i++) {
                const uint32_t numbers[] = {
                    1000 - i,                         // descending
                    i < 500 ? 2 * i : 2 * (999 - i),  // up and down
                    i % 2 == 0 ? i : 999 - i,         // from both ends
                    i % 7,                            // few
                    i < 998 ? i : 0,                  // all but the last
                };
                unsigned char *key = batch.keys[batch.count];
                memset(key, 'p', common);
                key[common] = (unsigned char)(numbers[order] >> 8);
                key[common + 1] = (unsigned char)numbers[order];
                add_key(&batch, common + 2);
            }
            check_sorted(&batch);
        }
    }
}

enum { UNLUCKY_COUNT = 500 };  // fewer than are sorted by radix

/* A row in which the second smallest is the median of the first, the middle
 * and the last, and so it is in what a division into below, equal and above
 * leaves: each step of a quicksort gets rid of two. It is made from its end,
 * two more with each step back. */
static void
fill_unlucky(uint32_t numbers[UNLUCKY_COUNT])
{
    static size_t places[UNLUCKY_COUNT];
    static uint32_t above[UNLUCKY_COUNT];
    for (size_t count = 2; count <= UNLUCKY_COUNT; count += 2) {
        size_t middle = count / 2;
        for (size_t i = 0; i < count; i++) {
            places[i] = i;
        }
        // Where the division finds those that are above: the smallest is first
        // and stays, each of the others changes places with the last one.
        for (size_t at = 1, end = count; at < end;) {
            size_t place = places[at];
            if (place == middle) {
                at += 1;
                continue;
            }
            places[at] = places[--end];
            places[end] = place;
        }
        memcpy(above, numbers, (count - 2) * sizeof(*above));
        numbers[0] = (uint32_t)(UNLUCKY_COUNT - count);
        numbers[middle] = numbers[0] + 1;
        for (size_t i = 2; i < count; i++) {
            numbers[places[i]] = above[i - 2];
        }
    }
}

static void
test_unlucky_order_is_sorted(void)
{
    static uint32_t numbers[UNLUCKY_COUNT];
    fill_unlucky(numbers);
    for (size_t i = 0; i < UNLUCKY_COUNT; i++) {
        add(&batch, numbers[i]);
    }
    check_sorted(&batch);
}

static void
test_empty_keys_may_be_null(void)
{
    struct slice nothing = {NULL, 0};
    struct entry entries[] = {
        {SLICE("b"), {SLICE("1"), VALUE_STR}},
        {nothing, {SLICE("2"), VALUE_STR}},
        {SLICE("a"), {SLICE("3"), VALUE_STR}},
        {nothing, {SLICE("4"), VALUE_STR}},
        {SLICE(""), {SLICE("5"), VALUE_STR}},
    };
    size_t count = 5;
    CHECK_STATUS(sort_array(entries, &count), STATUS_OK);
    CHECK_EQUAL(count, 3);
    CHECK_EQUAL(entries[0].value.bytes.bytes[0], '5');
    CHECK_EQUAL(entries[1].value.bytes.bytes[0], '3');
    CHECK_EQUAL(entries[2].value.bytes.bytes[0], '1');
}

static int
compare_entries(const void *left, const void *right)
{
    return slice_compare(((const struct entry *)left)->key,
                         ((const struct entry *)right)->key);
}

static void
test_large_batch_is_sorted(void)
{
    enum { LARGE = 300000 };
    static char keys[LARGE][40];
    static struct entry entries[LARGE], expected[LARGE];
    uint64_t random = 2;
    for (size_t i = 0; i < LARGE; i++) {
        // Of 2^64 numbers none comes twice.
        int size = snprintf(keys[i], sizeof(keys[i]), "/path/%zu/%016" PRIx64,
                            random_below(&random, 3), next_random(&random));
        entries[i].key =
            (struct slice){(unsigned char *)keys[i], (size_t)size};
    }
    memcpy(expected, entries, sizeof(entries));
    qsort(expected, LARGE, sizeof(*expected), compare_entries);
    size_t count = LARGE;
    CHECK_STATUS(sort_array(entries, &count), STATUS_OK);
    CHECK_EQUAL(count, LARGE);
    for (size_t i = 0; i < LARGE; i++) {
        CHECK(entries[i].key.bytes == expected[i].key.bytes);
    }
}

/* What most keys have in common is told from a sample of them. Here it is 20
 * bytes, and one key that is in no sample goes another way. */
static void
test_one_key_without_the_common_part_is_sorted(void)
{
    enum { COUNT = 1000, COMMON = 20 };
    static const struct {
        size_t size;
        size_t at;  // where its byte is another one
        unsigned char byte;
    } others[] = {
        {30, 8, 'o'},          {30, 8, 'q'},
        {30, COMMON - 1, 'o'}, {30, COMMON - 1, 0xFF},
        {30, 3, 'q'},          {COMMON, 0, 'p'},
        {COMMON + 1, 0, 'p'},  {9, 0, 'p'},
        {8, 0, 'p'},           {COMMON, COMMON - 1, 0},
        {12, 11, 0},
    };
    static const uint32_t places[] = {1, COUNT - 2};
    for (size_t i = 0; i < 2 * sizeof(others) / sizeof(others[0]); i++) {
        for (uint32_t j = 0; j < COUNT; j++) {
            unsigned char *key = batch.keys[batch.count];
            memset(key, 'p', KEY_ROOM);
            if (j == places[i % 2]) {
                key[others[i / 2].at] = others[i / 2].byte;
                add_key(&batch, others[i / 2].size);
            }
            else {
                key[COMMON] = (unsigned char)(j * 7 % COUNT >> 8);
                key[COMMON + 1] = (unsigned char)(j * 7 % COUNT);
                add_key(&batch, COMMON + 2 + j % 3);
            }
        }
        check_sorted(&batch);
    }
}

/* The keys i * step modulo count behind a prefix of 8 bytes at most, in an array
 * that sort_entries() may take. Behind a prefix the first byte is the lowest, so
 * that they share nothing else. */
static struct entry *
prefixed_entries(const char *prefix, uint32_t count, uint32_t step)
{
    static unsigned char keys[STEPPED][12];
    const size_t size = strlen(prefix);
    CHECK(count <= STEPPED);
    struct entry *entries = memory_allocate_array(count, sizeof(*entries));
    CHECK(entries != NULL);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = i * step % count;
        number = size > 0 ? number : __builtin_bswap32(number);
        memcpy(keys[i], prefix, size);
        memcpy(keys[i] + size, &number, 4);
        entries[i] = (struct entry){.key = {keys[i], size + 4}};
    }
    return entries;
}

static struct entry *
stepped_entries(uint32_t count, uint32_t step)
{
    return prefixed_entries("", count, step);
}

static void
test_sorted_entries_stay_where_they_are(void)
{
    struct entry *entries = stepped_entries(1000, 1);
    struct entry *before = entries;
    size_t count = 1000;
    memory_fail_after(0, true);  // and need no memory
    CHECK_STATUS(sort_entries(&entries, &count, NULL), STATUS_OK);
    memory_fail_after(-1, false);
    CHECK(entries == before);
    CHECK_EQUAL(count, 1000);
    memory_release(entries);
}

static void
test_array_is_owned_by_the_caller_before_and_after(void)
{
    struct entry *entries = stepped_entries(1000, 7);
    size_t count = 1000;
    CHECK_STATUS(sort_entries(&entries, &count, NULL), STATUS_OK);
    CHECK_EQUAL(memory_outstanding(), 1);
    memory_release(entries);
}

static void
test_sort_without_memory_changes_nothing(void)
{
    static struct entry before[1000];
    struct entry *entries = stepped_entries(1000, 500);  // of two keys
    struct entry *address = entries;
    memcpy(before, entries, sizeof(before));
    for (int forever = 0; forever < 2; forever++) {
        for (long successes = 0; successes < 2; successes++) {
            size_t count = 1000;
            memory_fail_after(successes, forever);
            CHECK_STATUS(sort_entries(&entries, &count, NULL),
                         STATUS_NO_MEMORY);
            memory_fail_after(-1, false);
            CHECK_EQUAL(memory_outstanding(), 1);
            CHECK_EQUAL(count, 1000);
            CHECK(entries == address);
            CHECK(memcmp(before, entries, sizeof(before)) == 0);
        }
    }
    size_t count = 1000;
    CHECK_STATUS(sort_entries(&entries, &count, NULL), STATUS_OK);
    CHECK_EQUAL(count, 2);
    memory_release(entries);
}

/* More than is sorted without a question. */
static void
interrupt_sort_of(const char *prefix)
{
    enum { COUNT = STEPPED };
    static struct entry before[COUNT];
    struct entry *entries = prefixed_entries(prefix, COUNT, 7);
    struct entry *address = entries;
    size_t count = COUNT;
    memcpy(before, entries, sizeof(before));
    enum status status = STATUS_INTERRUPTED;
    int due;
    for (due = 1; status == STATUS_INTERRUPTED; due++) {
        CHECK_EQUAL(memory_outstanding(), 1);
        CHECK_EQUAL(count, COUNT);
        CHECK(entries == address);
        CHECK(memcmp(before, entries, sizeof(before)) == 0);
        int questions = due;
        struct interrupt interrupt = {.is_due = is_due_at_last,
                                      .context = &questions};
        status = sort_entries(&entries, &count, &interrupt);
    }
    CHECK_STATUS(status, STATUS_OK);
    // At least once in each pass over the entries: before and after sorting.
    CHECK(due - 2 > 2 * (COUNT / 16384));
    memory_release(entries);
}

static void
test_interrupted_sort_changes_nothing(void)
{
    interrupt_sort_of("");
    // The first word of all keys is the same: there is a pass for the next.
    interrupt_sort_of("prefix: ");
}

static const struct test tests[] = {
    TEST(test_nothing_is_sorted_already),
    TEST(test_every_order_of_small_batches_is_sorted),
    TEST(test_last_of_equal_keys_stays),
    TEST(test_random_batches_are_sorted),
    TEST(test_keys_that_begin_each_other_are_sorted),
    TEST(test_awkward_orders_are_sorted),
    TEST(test_unlucky_order_is_sorted),
    TEST(test_empty_keys_may_be_null),
    TEST(test_large_batch_is_sorted),
    TEST(test_one_key_without_the_common_part_is_sorted),
    TEST(test_sorted_entries_stay_where_they_are),
    TEST(test_array_is_owned_by_the_caller_before_and_after),
    TEST(test_sort_without_memory_changes_nothing),
    TEST(test_interrupted_sort_changes_nothing),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
