/* tests/core/test_slice.c
 *
 * The order of keys.
 */
#include "core/base/slice.h"

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

static int
compare_byte_by_byte(struct slice left, struct slice right)
{
    for (size_t i = 0; i < left.size && i < right.size; i++) {
        if (left.bytes[i] != right.bytes[i]) {
            return left.bytes[i] < right.bytes[i] ? -1 : 1;
        }
    }
    return left.size < right.size ? -1 : left.size > right.size;
}

/* Around every size at which another way of comparing begins. */
static void
test_compare_agrees_with_a_look_at_each_byte(void)
{
    uint64_t random = 1;
    for (size_t size = 0; size <= 80; size++) {
        for (size_t other = size < 9 ? 0 : size - 9; other <= size; other++) {
            for (int round = 0; round < 60; round++) {
                unsigned char *left = malloc(size + 1);
                unsigned char *right = malloc(other + 1);
                CHECK(left != NULL && right != NULL);
                struct slice one = {left + 1, size};
                struct slice two = {right + 1, other};
                memset(left + 1, 0x80, size);
                memset(right + 1, 0x80, other);
                // Two places that differ, or none: the first one counts.
                for (int i = 0; i < round % 3 && other > 0; i++) {
                    right[1 + random_below(&random, other)] =
                        (unsigned char)next_random(&random);
                }
                int expected = compare_byte_by_byte(one, two);
                CHECK_EQUAL(sign(slice_compare(one, two)), expected);
                CHECK_EQUAL(sign(slice_compare(two, one)), -expected);
                CHECK_EQUAL(slice_equals(one, two), expected == 0);
                free(left);
                free(right);
            }
        }
    }
}

/* Words of a short comparison overlap; no byte may be left out. */
static void
test_equal_slices_differ_in_no_byte(void)
{
    for (size_t size = 0; size <= 80; size++) {
        // Pieces that end with their bytes: the address sanitizer looks on.
        unsigned char *left = malloc(size + 1);
        unsigned char *right = malloc(size + 3);
        CHECK(left != NULL && right != NULL);
        memset(left, 0x5A, size + 1);
        memset(right, 0x5A, size + 3);
        struct slice one = {left + 1, size}, other = {right + 3, size};
        CHECK(slice_equals(one, other));
        for (size_t at = 0; at < size; at++) {
            for (int bit = 0; bit < 8; bit++) {
                right[3 + at] ^= (unsigned char)(1 << bit);
                CHECK(!slice_equals(one, other));
                CHECK(!slice_equals(other, one));
                right[3 + at] ^= (unsigned char)(1 << bit);
            }
        }
        free(left);
        free(right);
    }
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
    CHECK(slice_copy(NULL, nothing) == NULL);
}

static void
test_copy_takes_exactly_the_bytes(void)
{
    for (size_t size = 0; size <= 80; size++) {
        // Pieces that end with their bytes: the address sanitizer looks on.
        unsigned char *from = malloc(size + 1), *to = malloc(size + 3);
        CHECK(from != NULL && to != NULL);
        for (size_t at = 0; at <= size; at++) {
            from[at] = (unsigned char)(at + 100);
        }
        memset(to, 0x5A, 3);
        CHECK(slice_copy(to + 3, (struct slice){from + 1, size})
              == to + 3 + size);
        CHECK(size == 0 || memcmp(to + 3, from + 1, size) == 0);
        CHECK(memcmp(to, "ZZZ", 3) == 0);
        free(from);
        free(to);
    }
}

static const struct test tests[] = {
    TEST(test_compare_orders_by_unsigned_bytes_then_size),
    TEST(test_compare_looks_at_bytes_not_at_addresses),
    TEST(test_compare_agrees_with_a_look_at_each_byte),
    TEST(test_equal_slices_differ_in_no_byte),
    TEST(test_empty_slice_may_be_null),
    TEST(test_copy_takes_exactly_the_bytes),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
