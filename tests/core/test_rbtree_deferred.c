/* tests/core/test_rbtree_deferred.c
 *
 * Deferred puts, against the oracle. In test builds a tree of five nodes is
 * large enough to defer.
 */
#include "core/oracle.h"
#include "core/tree/rbtree_inside.h"

static struct value
str_of(const unsigned char *bytes, size_t size)
{
    return (struct value){{bytes, size}, VALUE_STR};
}

static void
put_deferred(struct rbtree *tree, uint64_t number, struct value value)
{
    unsigned char room[8];
    struct slice key = number_key(number, room);
    CHECK_STATUS(rbtree_put_deferred(tree, key, value), STATUS_OK);
    oracle_put(key, value);
}

/* Large enough to defer. */
static struct rbtree *
tree_of(uint64_t count)
{
    struct rbtree *tree = new_tree();
    for (uint64_t i = 0; i < count; i++) {
        put_number(tree, 2 * i);
    }
    return tree;
}

static void
check_flushed(struct rbtree *tree)
{
    rbtree_flush(tree);
    check_rules(tree);
    check_same(tree);
}

static void
test_small_tree_defers_nothing(void)
{
    struct rbtree *tree = new_tree();
    for (uint64_t number = 0; number < 5; number++) {
        put_deferred(tree, number, str_of(NULL, 0));
        check_rules(tree);
        check_same(tree);
    }
    end_both(tree);
}

static void
test_check_and_count_tell_of_deferred_puts(void)
{
    struct rbtree *tree = tree_of(10);
    put_deferred(tree, 1, str_of(NULL, 0));
    CHECK(rbtree_check(tree) != NULL);
    CHECK_EQUAL(rbtree_count(tree), 10);
    check_flushed(tree);
    CHECK_EQUAL(rbtree_count(tree), 11);
    end_both(tree);
}

/* Up to more than a batch, in random order. */
static void
test_any_number_of_puts_take_effect_in_their_order(void)
{
    uint64_t random = 1;
    for (size_t count = 0; count <= 3 * RBTREE_DEFERRED; count++) {
        struct rbtree *tree = tree_of(6);
        for (size_t i = 0; i < count; i++) {
            // Some are there, some come twice: the last one counts.
            unsigned char stamp = (unsigned char)i;
            put_deferred(tree, random_below(&random, 2 * count),
                         str_of(&stamp, 1));
        }
        check_flushed(tree);
        end_both(tree);
    }
}

static void
test_nothing_is_deferred_after_a_flush(void)
{
    struct rbtree *tree = tree_of(6);
    put_deferred(tree, 1, str_of(NULL, 0));
    rbtree_flush(tree);
    uint64_t version = rbtree_version(tree);
    size_t memory = rbtree_memory(tree);
    rbtree_flush(tree);
    CHECK_EQUAL(rbtree_version(tree), version);
    CHECK_EQUAL(rbtree_memory(tree), memory);
    check_same(tree);
    end_both(tree);
}

/* An iterator that stands on the node stays valid, however long the new value
 * is. */
static void
test_new_value_of_a_key_leaves_its_node_where_it_is(void)
{
    static unsigned char bytes[100000];
    static const size_t sizes[] = {0,   1,   8,     9,   40, 100, 256,
                                   257, 500, 99999, 300, 50, 0,   1000};
    enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
    unsigned char room[8];
    for (size_t i = 0; i < SIZES * SIZES; i++) {
        struct rbtree *tree = tree_of(6);
        size_t outstanding = (size_t)memory_outstanding();
        memset(bytes, (int)i, sizeof(bytes));
        const struct rbtree_node *node =
            rbtree_find(tree, number_key(4, room));
        uint64_t version = rbtree_version(tree);
        // One size, another one, and short again.
        const size_t steps[] = {sizes[i / SIZES], sizes[i % SIZES], 3};
        for (int step = 0; step < 3; step++) {
            put_deferred(tree, 4, str_of(bytes, steps[step]));
            check_flushed(tree);
            CHECK(rbtree_find(tree, number_key(4, room)) == node);
            CHECK_EQUAL(rbtree_version(tree), version);
        }
        // A chunk more for other nodes, perhaps, and no value.
        CHECK((size_t)memory_outstanding() <= outstanding + 4);
        put_both(tree, number_key(4, room), str_of(bytes, 10));
        put_both(tree, number_key(4, room), str_of(bytes, 1000));
        remove_number(tree, 4);
        check_flushed(tree);
        end_both(tree);
        CHECK_EQUAL(memory_outstanding(), 0);
    }
}

/* Nodes of long keys are not a multiple of a line, and long values are outside
 * of their nodes. */
static void
test_long_keys_and_values_are_deferred_as_well(void)
{
    static unsigned char key[3000], value[3000];
    struct rbtree *tree = tree_of(6);
    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 3000; size += 100) {
            memset(value, round, sizeof(value));
            CHECK_STATUS(rbtree_put_deferred(tree,
                                             (struct slice){key, size + 9},
                                             str_of(value, size)),
                         STATUS_OK);
        }
    }
    rbtree_flush(tree);
    check_rules(tree);
    CHECK_EQUAL(rbtree_count(tree), 6 + 30);
    for (size_t size = 0; size < 3000; size += 100) {
        const struct rbtree_node *node =
            rbtree_find(tree, (struct slice){key, size + 9});
        CHECK(node != NULL);
        CHECK(slice_equals(rbtree_entry(node).value.bytes,
                           (struct slice){value, size}));
    }
    end_both(tree);
    CHECK_EQUAL(memory_outstanding(), 0);
}

static void
test_clear_and_destroy_free_deferred_nodes(void)
{
    static const unsigned char value[1000] = {1};
    for (int i = 0; i < 2; i++) {
        struct rbtree *tree = tree_of(6);
        for (uint64_t number = 0; number < 20; number++) {
            put_deferred(tree, number, str_of(value, number * 50));
        }
        if (i == 0) {
            rbtree_clear(tree);
            check_is_empty(tree);
        }
        end_both(tree);
        CHECK_EQUAL(memory_outstanding(), 0);
    }
}

static void
test_put_without_memory_changes_nothing(void)
{
    static const unsigned char value[1000] = {2};
    uint64_t random = 3;
    struct rbtree *tree = tree_of(6);
    long refused = 0;
    for (int i = 0; i < 3000; i++) {
        unsigned char room[8];
        struct slice key = number_key(random_below(&random, 500), room);
        struct value some = str_of(value, random_below(&random, 600));
        memory_fail_after((long)random_below(&random, 3), true);
        enum status status = rbtree_put_deferred(tree, key, some);
        // What was put before takes effect all the same.
        if (random_below(&random, 10) == 0) {
            rbtree_flush(tree);
        }
        memory_fail_after(-1, false);
        if (status == STATUS_OK) {
            oracle_put(key, some);
        }
        else {
            CHECK_STATUS(status, STATUS_NO_MEMORY);
            refused += 1;
        }
    }
    CHECK(refused > 100);
    check_flushed(tree);
    end_both(tree);
    CHECK_EQUAL(memory_outstanding(), 0);
}

static void
test_random_puts_and_removals_agree_with_the_oracle(void)
{
    static unsigned char value[700];
    uint64_t random = 4;
    struct rbtree *tree = new_tree();
    for (int i = 0; i < 20000; i++) {
        uint64_t number = random_below(&random, 400);
        memset(value, i, sizeof(value));
        // Few are long, or all would be.
        size_t size = random_below(&random, 8) == 0
                          ? random_below(&random, sizeof(value))
                          : random_below(&random, 20);
        if (random_below(&random, 20) > 0) {
            put_deferred(tree, number, str_of(value, size));
        }
        else {
            rbtree_flush(tree);
            remove_number(tree, number);
        }
        if (i % 500 == 0) {
            check_flushed(tree);
        }
    }
    check_flushed(tree);
    end_both(tree);
    CHECK_EQUAL(memory_outstanding(), 0);
}

static const struct test tests[] = {
    TEST(test_small_tree_defers_nothing),
    TEST(test_check_and_count_tell_of_deferred_puts),
    TEST(test_any_number_of_puts_take_effect_in_their_order),
    TEST(test_nothing_is_deferred_after_a_flush),
    TEST(test_new_value_of_a_key_leaves_its_node_where_it_is),
    TEST(test_long_keys_and_values_are_deferred_as_well),
    TEST(test_clear_and_destroy_free_deferred_nodes),
    TEST(test_put_without_memory_changes_nothing),
    TEST(test_random_puts_and_removals_agree_with_the_oracle),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
