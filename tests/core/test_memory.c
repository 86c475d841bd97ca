/* tests/core/test_memory.c
 *
 * The source of private memory, and the fault that other tests rely on.
 */
#include "core/base/memory.h"

#include "core/check.h"

/* The address sanitizer would take a size that nobody has for a bug. */
const char *
__asan_default_options(void);

const char *
__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void
test_allocate_zero_bytes_gives_an_address(void)
{
    void *first = memory_allocate(0);
    void *second = memory_allocate(0);
    CHECK(first != NULL);
    CHECK(second != NULL);
    CHECK(first != second);
    memory_release(first);
    memory_release(second);
}

static void
test_allocate_array_refuses_sizes_that_overflow(void)
{
    CHECK(memory_allocate_array(SIZE_MAX / 8 + 1, 8) == NULL);
    CHECK(memory_allocate_array(8, SIZE_MAX / 8 + 1) == NULL);
    CHECK(memory_allocate_array(SIZE_MAX, SIZE_MAX) == NULL);
    CHECK_EQUAL(memory_outstanding(), 0);
}

/* Of whatever size; large blocks come from elsewhere. */
static void
test_memory_that_is_not_there_is_no_address(void)
{
    CHECK(memory_allocate(SIZE_MAX / 2) == NULL);
    CHECK(memory_allocate_array(SIZE_MAX / 16, 8) == NULL);
    CHECK_EQUAL(memory_outstanding(), 0);
}

static void
test_allocate_array_has_room_for_all_items(void)
{
    unsigned char *items = memory_allocate_array(10, 100);
    CHECK(items != NULL);
    memset(items, 1, 1000);  // the address sanitizer looks on
    memory_release(items);

    void *none = memory_allocate_array(0, 100);
    CHECK(none != NULL);
    memory_release(none);
}

static void
test_outstanding_counts_blocks(void)
{
    void *first = memory_allocate(1);
    CHECK_EQUAL(memory_outstanding(), 1);
    void *second = memory_allocate_array(1, 1);
    CHECK_EQUAL(memory_outstanding(), 2);
    memory_release(first);
    CHECK_EQUAL(memory_outstanding(), 1);
    memory_release(second);
    memory_release(NULL);
    CHECK_EQUAL(memory_outstanding(), 0);
}

static void
test_fault_fails_once_after_some_successes(void)
{
    memory_fail_after(2, false);
    void *blocks[] = {memory_allocate(1), memory_allocate(1),
                      memory_allocate(1), memory_allocate(1)};
    CHECK(blocks[0] != NULL);
    CHECK(blocks[1] != NULL);
    CHECK(blocks[2] == NULL);
    CHECK(blocks[3] != NULL);
    CHECK_EQUAL(memory_outstanding(), 3);
    for (int i = 0; i < 4; i++) {
        memory_release(blocks[i]);
    }
}

static void
test_fault_lasts_until_switched_off(void)
{
    memory_fail_after(0, true);
    for (int i = 0; i < 3; i++) {
        CHECK(memory_allocate(1) == NULL);
        CHECK(memory_allocate_array(1, 1) == NULL);
    }
    memory_fail_after(-1, false);
    void *block = memory_allocate(1);
    CHECK(block != NULL);
    memory_release(block);
}

static const struct test tests[] = {
    TEST(test_allocate_zero_bytes_gives_an_address),
    TEST(test_allocate_array_refuses_sizes_that_overflow),
    TEST(test_memory_that_is_not_there_is_no_address),
    TEST(test_allocate_array_has_room_for_all_items),
    TEST(test_outstanding_counts_blocks),
    TEST(test_fault_fails_once_after_some_successes),
    TEST(test_fault_lasts_until_switched_off),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
