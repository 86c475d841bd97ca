/* tests/core/test_slice.c
 *
 * The order of keys.
 */
#include "core/slice.h"

#include "core/check.h"

#define SLICE(literal) \
    ((struct slice){(const unsigned char *)(literal), sizeof(literal) - 1})

/* Each below all that follow it. */
static struct slice
ascending(size_t index)
{
    const struct slice slices[] = {
        SLICE(""),     SLICE("\0"),     SLICE("\0\0"),     SLICE("\0\x01"),
        SLICE("\x01"), SLICE("A"),      SLICE("a"),        SLICE("a\0"),
        SLICE("a\0b"), SLICE("aa"),     SLICE("ab"),       SLICE("b"),
        SLICE("\x7F"), SLICE("\x80"),   SLICE("\xC3\xA4"), SLICE("\xFE"),
        SLICE("\xFF"), SLICE("\xFF\0"), SLICE("\xFF\xFF"),
    };
    return slices[index];
}

enum { ASCENDING_COUNT = 19 };

static int
sign(int number)
{
    return (number > 0) - (number < 0);
}

static void
test_compare_orders_by_unsigned_bytes_then_size(void)
{
    for (int i = 0; i < ASCENDING_COUNT; i++) {
        for (int j = 0; j < ASCENDING_COUNT; j++) {
            struct slice left = ascending((size_t)i);
            struct slice right = ascending((size_t)j);
            CHECK_EQUAL(sign(slice_compare(left, right)), sign(i - j));
            CHECK_EQUAL(slice_equals(left, right), i == j);
        }
    }
}

static void
test_compare_looks_at_bytes_not_at_addresses(void)
{
    unsigned char copy[] = {'a', 'b', 'c'};
    CHECK_EQUAL(slice_compare(SLICE("abc"), (struct slice){copy, 3}), 0);
    CHECK(slice_equals(SLICE("abc"), (struct slice){copy, 3}));
    CHECK(!slice_equals(SLICE("abc"), (struct slice){copy, 2}));
}

static void
test_empty_slice_may_be_null(void)
{
    struct slice nothing = {NULL, 0};
    CHECK_EQUAL(slice_compare(nothing, nothing), 0);
    CHECK_EQUAL(slice_compare(nothing, SLICE("")), 0);
    CHECK(slice_compare(nothing, SLICE("a")) < 0);
    CHECK(slice_compare(SLICE("a"), nothing) > 0);
    CHECK(slice_equals(nothing, SLICE("")));
    CHECK(!slice_equals(nothing, SLICE("a")));
    slice_copy(NULL, nothing);
}

static void
test_copy_takes_exactly_the_bytes(void)
{
    char to[] = "......";
    slice_copy(to + 1, SLICE("x\0y"));
    CHECK(memcmp(to, ".x\0y..", 7) == 0);
}

static const struct test tests[] = {
    TEST(test_compare_orders_by_unsigned_bytes_then_size),
    TEST(test_compare_looks_at_bytes_not_at_addresses),
    TEST(test_empty_slice_may_be_null),
    TEST(test_copy_takes_exactly_the_bytes),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
