/* tests/core/test_sort_hostile.c
 *
 * Keys that were chosen to make sorting slow. What is compared is counted: a
 * program that has a memcmp() of its own has it called by the core.
 */
#include "core/base/sort.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/check.h"

static size_t compared;  // bytes

int
memcmp(const void *left, const void *right, size_t size)
{
    const unsigned char *one = left, *other = right;
    for (size_t i = 0; i < size; i++) {
        compared += 1;
        if (one[i] != other[i]) {
            return one[i] < other[i] ? -1 : 1;
        }
    }
    return 0;
}

enum { KEYS = 2000, LONG = 4096, SHORT_ONES = 100, BETWEEN = 1880 };

static unsigned char bytes[KEYS][LONG];

/* All keys share all but their last bytes, apart from short ones: each ends one
 * prefix word later than the one before, and all of them lie between the last
 * two samples, where they are found late. */
static struct entry *
keys_with_short_ones_between(void)
{
    struct entry *entries = memory_allocate_array(KEYS, sizeof(*entries));
    CHECK(entries != NULL);
    for (size_t i = 0; i < KEYS; i++) {
        size_t size = LONG;
        memset(bytes[i], 'p', LONG);
        snprintf((char *)bytes[i] + LONG - 8, 8, "%07zu", KEYS - i);
        if (i >= BETWEEN && i < BETWEEN + SHORT_ONES) {
            size = 8 * (i - BETWEEN + 2);
        }
        entries[i] = (struct entry){.key = {bytes[i], size}};
    }
    return entries;
}

static void
test_short_keys_between_the_samples_cost_little(void)
{
    struct entry *entries = keys_with_short_ones_between();
    size_t count = KEYS, total = 0;
    for (size_t i = 0; i < KEYS; i++) {
        total += entries[i].key.size;
    }
    compared = 0;
    CHECK_STATUS(sort_entries(&entries, &count, NULL), STATUS_OK);
    CHECK(compared < 4 * total);
    CHECK_EQUAL(count, KEYS);
    for (size_t i = 1; i < count; i++) {
        CHECK(slice_compare(entries[i - 1].key, entries[i].key) < 0);
    }
    memory_release(entries);
}

static const struct test tests[] = {
    TEST(test_short_keys_between_the_samples_cost_little),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
