/* tests/core/test_slab.c
 *
 * Blocks do not overlap, are aligned as a search needs it, and are reused.
 */
#include "core/tree/slab.h"

#include <stdint.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/check.h"

static void
test_empty_slab_owns_nothing(void)
{
    struct slab slab = {0};
    slab_clear(&slab);
    CHECK_EQUAL(memory_outstanding(), 0);
}

/* Blocks of all sizes; each is filled with a number of its own. */
static void
test_blocks_do_not_overlap_and_begin_before_a_line(void)
{
    enum { COUNT = 5000 };
    static unsigned char *blocks[COUNT];
    struct slab slab = {0};
    for (size_t i = 0; i < COUNT; i++) {
        size_t lines = 1 + i * 7 % SLAB_LARGEST_LINES;
        blocks[i] = slab_take(&slab, lines);
        CHECK(blocks[i] != NULL);
        CHECK_EQUAL(((uintptr_t)blocks[i] + SLAB_SKEW) % SLAB_LINE, 0);
        memset(blocks[i], (int)(i % 251), lines * SLAB_LINE);
    }
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = (1 + i * 7 % SLAB_LARGEST_LINES) * SLAB_LINE;
        CHECK_EQUAL(blocks[i][0], i % 251);
        CHECK_EQUAL(blocks[i][size - 1], i % 251);
    }
    slab_clear(&slab);
    CHECK_EQUAL(memory_outstanding(), 0);
}

static void
test_returned_blocks_are_used_again(void)
{
    struct slab slab = {0};
    unsigned char *first = slab_take(&slab, 2);
    unsigned char *second = slab_take(&slab, 2);
    slab_give(&slab, first, 2);
    slab_give(&slab, second, 2);
    CHECK(slab_take(&slab, 3) != first);
    CHECK(slab_take(&slab, 2) == second);
    CHECK(slab_take(&slab, 2) == first);
    for (int i = 0; i < 100000; i++) {
        slab_give(&slab, slab_take(&slab, 5), 5);
    }
    CHECK_EQUAL(memory_outstanding(), 1);
    slab_clear(&slab);
}

static void
test_many_blocks_share_few_allocations(void)
{
    struct slab slab = {0};
    for (int i = 0; i < 100000; i++) {
        CHECK(slab_take(&slab, 2) != NULL);
    }
    CHECK(memory_outstanding() < 16);
    slab_clear(&slab);
}

/* A block of memory that is not yet used up is at most 16 MiB. */
static void
test_many_blocks_leave_little_memory_unused(void)
{
    const size_t size = SLAB_LARGEST_LINES * SLAB_LINE;
    struct slab slab = {0};
    long allocations = 0;
    size_t taken = 0;
    // Twice as much each time, until it is 16 MiB: 15 times, 32 MiB in all.
    while (allocations < 17) {
        CHECK(slab_take(&slab, SLAB_LARGEST_LINES) != NULL);
        taken += size;
        if (memory_outstanding() > allocations) {
            allocations = memory_outstanding();
            CHECK(slab.room < 16 << 20);
        }
    }
    CHECK(taken < 49 << 20);
    slab_clear(&slab);
}

static void
test_cleared_slab_can_be_used_again(void)
{
    struct slab slab = {0};
    for (int round = 0; round < 3; round++) {
        slab_give(&slab, slab_take(&slab, 1), 1);
        CHECK(slab_take(&slab, SLAB_LARGEST_LINES) != NULL);
        slab_clear(&slab);
        CHECK_EQUAL(memory_outstanding(), 0);
    }
}

static void
test_take_without_memory_leaves_the_slab_as_it_was(void)
{
    struct slab slab = {0};
    memory_fail_after(0, true);
    CHECK(slab_take(&slab, 1) == NULL);
    memory_fail_after(-1, false);
    unsigned char *block = slab_take(&slab, 1);
    CHECK(block != NULL);

    // There is still room, and what came back, if there is no memory.
    memory_fail_after(0, true);
    unsigned char *next = slab_take(&slab, 1);
    CHECK(next != NULL && next != block);
    CHECK(slab_take(&slab, SLAB_LARGEST_LINES) == NULL);
    slab_give(&slab, block, 1);
    CHECK(slab_take(&slab, 1) == block);
    memory_fail_after(-1, false);
    slab_clear(&slab);
}

static const struct test tests[] = {
    TEST(test_empty_slab_owns_nothing),
    TEST(test_blocks_do_not_overlap_and_begin_before_a_line),
    TEST(test_returned_blocks_are_used_again),
    TEST(test_many_blocks_share_few_allocations),
    TEST(test_many_blocks_leave_little_memory_unused),
    TEST(test_cleared_slab_can_be_used_again),
    TEST(test_take_without_memory_leaves_the_slab_as_it_was),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
