/* tests/core/test_arena.c
 *
 * Copies that stay where they are until all of them go.
 */
#include "core/base/arena.h"

#include "core/base/memory.h"
#include "core/check.h"
#include "core/snapshots.h"

static void
test_empty_arena_owns_nothing(void)
{
    struct arena arena = {0};
    arena_clear(&arena);
    arena_clear(&arena);
    CHECK_EQUAL(memory_outstanding(), 0);
}

static void
test_slice_points_to_a_copy(void)
{
    struct arena arena = {0};
    unsigned char bytes[] = "bytes";
    struct slice slice = {bytes, 5};
    CHECK_STATUS(arena_keep(&arena, &slice), STATUS_OK);
    CHECK(slice.bytes != bytes);
    memset(bytes, 'x', 5);
    CHECK(slice_equals(slice, SLICE("bytes")));
    arena_clear(&arena);
    CHECK_EQUAL(memory_outstanding(), 0);
}

static void
test_nothing_can_be_kept_too(void)
{
    struct arena arena = {0};
    struct slice slice = {NULL, 0};
    CHECK_STATUS(arena_keep(&arena, &slice), STATUS_OK);
    CHECK_EQUAL(slice.size, 0);
    CHECK(slice.bytes != NULL);
    arena_clear(&arena);
}

/* Sizes of all magnitudes, together far more than a chunk. */
static void
test_copies_stay_where_they_are(void)
{
    enum { COUNT = 3000 };
    static const size_t sizes[] = {0,     1,     7,      100,    65000,
                                   65520, 65536, 100000, 200000, 1500000};
    static unsigned char source[1500000 + COUNT];
    static struct slice kept[COUNT], originals[COUNT];
    uint64_t random = 1;
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof(source); i++) {
        source[i] = (unsigned char)next_random(&random);
    }
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = i % 30 == 0 ? sizes[i / 30 % 10] : i % 500;
        originals[i] = kept[i] = (struct slice){source + i, size};
        CHECK_STATUS(arena_keep(&arena, &kept[i]), STATUS_OK);
        CHECK_EQUAL(kept[i].size, size);
    }
    for (size_t i = 0; i < COUNT; i++) {
        CHECK(slice_equals(kept[i], originals[i]));
    }
    arena_clear(&arena);
    CHECK_EQUAL(memory_outstanding(), 0);
}

static void
test_small_copies_share_their_memory(void)
{
    struct arena arena = {0};
    for (int i = 0; i < 1600; i++) {
        struct slice slice = SLICE("0123456789");
        CHECK_STATUS(arena_keep(&arena, &slice), STATUS_OK);
    }
    CHECK_EQUAL(memory_outstanding(), 1);
    // Later ones in ever larger chunks.
    for (int i = 0; i < 1000000; i++) {
        struct slice slice = SLICE("0123456789");
        CHECK_STATUS(arena_keep(&arena, &slice), STATUS_OK);
    }
    CHECK(memory_outstanding() < 12);
    arena_clear(&arena);
}

/* A chunk that is not yet full is at most 16 MiB. */
static void
test_large_copies_leave_little_memory_unused(void)
{
    static unsigned char bytes[12 << 20];
    const size_t quarter = (4 << 20) - 64;
    struct arena arena = {0};
    struct slice slice = {bytes, sizeof(bytes)};
    CHECK_STATUS(arena_keep(&arena, &slice), STATUS_OK);
    CHECK_EQUAL(memory_outstanding(), 1);
    for (int i = 0; i < 8; i++) {
        slice = (struct slice){bytes, quarter};
        CHECK_STATUS(arena_keep(&arena, &slice), STATUS_OK);
        CHECK_EQUAL(memory_outstanding(), 2 + i / 4);
    }
    arena_clear(&arena);
}

static void
test_arena_can_be_filled_again_after_clearing(void)
{
    struct arena arena = {0};
    for (int round = 0; round < 3; round++) {
        struct slice slice = SLICE("again");
        CHECK_STATUS(arena_keep(&arena, &slice), STATUS_OK);
        CHECK(slice_equals(slice, SLICE("again")));
        arena_clear(&arena);
        CHECK_EQUAL(memory_outstanding(), 0);
    }
}

static void
test_keep_without_memory_leaves_the_slice_alone(void)
{
    static unsigned char large[3000000];
    struct arena arena = {0};
    struct slice kept = SLICE("kept");
    CHECK_STATUS(arena_keep(&arena, &kept), STATUS_OK);
    struct slice slice = {large, sizeof(large)};
    memory_fail_after(0, false);
    CHECK_STATUS(arena_keep(&arena, &slice), STATUS_NO_MEMORY);
    CHECK(slice.bytes == large);
    CHECK_EQUAL(slice.size, sizeof(large));

    // A size that no memory has, whoever asks; not a byte of it is read.
    static volatile size_t largest = SIZE_MAX;  // the compiler must not know
    slice = (struct slice){large, largest};
    CHECK_STATUS(arena_keep(&arena, &slice), STATUS_NO_MEMORY);
    slice = (struct slice){large, largest - 8};
    CHECK_STATUS(arena_keep(&arena, &slice), STATUS_NO_MEMORY);

    // What was kept is still there, and so is the room behind it.
    memory_fail_after(0, true);
    slice = SLICE("more");
    CHECK_STATUS(arena_keep(&arena, &slice), STATUS_OK);
    memory_fail_after(-1, false);
    CHECK(slice_equals(slice, SLICE("more")));
    CHECK(slice_equals(kept, SLICE("kept")));
    arena_clear(&arena);
}

static const struct test tests[] = {
    TEST(test_empty_arena_owns_nothing),
    TEST(test_slice_points_to_a_copy),
    TEST(test_nothing_can_be_kept_too),
    TEST(test_copies_stay_where_they_are),
    TEST(test_small_copies_share_their_memory),
    TEST(test_large_copies_leave_little_memory_unused),
    TEST(test_arena_can_be_filled_again_after_clearing),
    TEST(test_keep_without_memory_leaves_the_slice_alone),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
