/* tests/core/test_version_filter.c
 *
 * When there is a filter of a version. That it lets through what the deltas
 * have is tested where groups are, in test_version.c.
 */
#include "core/check.h"
#include "core/snapshot/version_filter.h"

static void
test_filter_pays_where_half_as_many_are_looked_up_as_changed(void)
{
    static const unsigned char buckets[BUCKET_SIZE];
    struct version version = {.base.buckets = buckets};
    version.deltas[0].view.entry_count = 1000;
    version.deltas[1].view.entry_count = 500;
    CHECK(!version_filter_pays(&version, 1000000));
    version.delta_count = 2;
    CHECK(!version_filter_pays(&version, 750));
    CHECK(version_filter_pays(&version, 751));
    version.base.buckets = NULL;
    CHECK(!version_filter_pays(&version, 751));
}

static void
test_filter_without_memory_or_of_a_damaged_delta_is_none(void)
{
    struct version version = {.delta_count = 1};
    memory_fail_after(0, false);
    CHECK(version_filter_make(&version) == NULL);
    memory_fail_after(-1, false);
    // An entry of which there is nothing.
    static const unsigned char bytes[64];
    version.deltas[0].view = (struct snapshot){
        .bytes = bytes,
        .sorted_index = bytes,
        .records = bytes,
        .entry_count = 1,
        .reference_size = 4,
    };
    CHECK(version_filter_make(&version) == NULL);
}

static const struct test tests[] = {
    TEST(test_filter_pays_where_half_as_many_are_looked_up_as_changed),
    TEST(test_filter_without_memory_or_of_a_damaged_delta_is_none),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
