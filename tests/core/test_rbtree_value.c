/* tests/core/test_rbtree_value.c
 *
 * What the nodes of a tree own: values of every size in place of each other,
 * the version that tells whether a node may still be used, and what is left
 * when there is no memory.
 */
#include "core/base/memory.h"
#include "core/check.h"
#include "core/oracle.h"
#include "core/tree/rbtree.h"

/* ---- values ------------------------------------------------------------- */

static const size_t value_sizes[] = {0, 1, 5, 255, 256, 257, 1000, 70000};

enum { SIZE_COUNT = sizeof(value_sizes) / sizeof(value_sizes[0]) };

static void
fill(unsigned char *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)(i * 7 + seed);
    }
}

static void
test_values_are_replaced_by_shorter_and_longer_ones(void)
{
    static unsigned char bytes[70000];
    for (int i = 0; i < SIZE_COUNT; i++) {
        for (int j = 0; j < SIZE_COUNT; j++) {
            for (int k = 0; k < SIZE_COUNT; k++) {
                struct rbtree *tree = new_tree();
                const int way[] = {i, j, k};
                const struct rbtree_node *node = NULL;
                for (unsigned step = 0; step < 3; step++) {
                    size_t size = value_sizes[way[step]];
                    fill(bytes, size, step);
                    struct value value = {{bytes, size},
                                          (enum value_type)(step + 3)};
                    CHECK_STATUS(rbtree_put(tree, SLICE("key"), value),
                                 STATUS_OK);
                    CHECK(step == 0 || rbtree_first(tree) == node);
                    node = rbtree_first(tree);
                    struct entry entry = rbtree_entry(node);
                    CHECK(slice_equals(entry.value.bytes, value.bytes));
                    CHECK(slice_equals(entry.key, SLICE("key")));
                    CHECK_EQUAL(entry.value.type, value.type);
                    CHECK_EQUAL(rbtree_count(tree), 1);
                    check_rules(tree);
                }
                rbtree_destroy(tree);
                CHECK_EQUAL(memory_outstanding(), 0);
            }
        }
    }
}

static void
test_overwriting_one_key_needs_no_more_memory(void)
{
    static unsigned char bytes[1000];
    struct rbtree *tree = new_tree();
    for (size_t i = 0; i < 10000; i++) {
        struct slice value = {bytes, i * 37 % sizeof(bytes)};
        CHECK_STATUS(rbtree_put(tree, SLICE("key"), str_value(value)),
                     STATUS_OK);
        // The tree, the node and at most one value outside of it.
        CHECK(memory_outstanding() <= 3);
    }
    CHECK_EQUAL(rbtree_count(tree), 1);
    rbtree_destroy(tree);
}

static void
test_tree_copies_what_it_is_given(void)
{
    unsigned char key[] = "key", value[] = "value";
    struct rbtree *tree = new_tree();
    CHECK_STATUS(rbtree_put(tree, (struct slice){key, 3},
                            str_value((struct slice){value, 5})),
                 STATUS_OK);
    memset(key, 'x', 3);
    memset(value, 'x', 5);
    struct entry entry = rbtree_entry(rbtree_first(tree));
    CHECK(slice_equals(entry.key, SLICE("key")));
    CHECK(slice_equals(entry.value.bytes, SLICE("value")));
    rbtree_destroy(tree);
}

static void
test_put_accepts_bytes_of_its_own_nodes(void)
{
    static unsigned char bytes[1000];
    fill(bytes, sizeof(bytes), 1);
    for (int i = 0; i < SIZE_COUNT - 1; i++) {
        for (size_t cut = 0; cut <= value_sizes[i]; cut += 1 + cut) {
            struct rbtree *tree = new_tree();
            struct slice whole = {bytes, value_sizes[i]};
            CHECK_STATUS(rbtree_put(tree, SLICE("key"), str_value(whole)),
                         STATUS_OK);
            struct entry entry = rbtree_entry(rbtree_first(tree));
            struct slice tail = {entry.value.bytes.bytes + cut,
                                 entry.value.bytes.size - cut};
            CHECK_STATUS(rbtree_put(tree, entry.key, str_value(tail)),
                         STATUS_OK);
            entry = rbtree_entry(rbtree_first(tree));
            CHECK(slice_equals(
                entry.value.bytes,
                (struct slice){bytes + cut, value_sizes[i] - cut}));
            rbtree_destroy(tree);
        }
    }
}

static void
test_null_slices_are_empty_keys_and_values(void)
{
    struct slice nothing = {NULL, 0};
    struct rbtree *tree = new_tree();
    put_both(tree, nothing, str_value(nothing));
    put_both(tree, SLICE("a"), str_value(nothing));
    put_both(tree, nothing, (struct value){nothing, VALUE_NONE});
    check_same(tree);
    CHECK(rbtree_find(tree, SLICE("")) == rbtree_first(tree));
    CHECK(rbtree_remove(tree, nothing));
    CHECK_EQUAL(rbtree_count(tree), 1);
    end_both(tree);
}

static void
test_long_keys_keep_every_byte(void)
{
    static unsigned char bytes[100000];
    struct rbtree *tree = new_tree();
    fill(bytes, sizeof(bytes), 0);
    // Each is a prefix of the next.
    for (size_t size = 0; size <= sizeof(bytes); size += 12500) {
        struct slice key = {bytes, size};
        CHECK_STATUS(rbtree_put(tree, key, str_value(key)), STATUS_OK);
    }
    check_rules(tree);
    CHECK_EQUAL(rbtree_count(tree), 9);
    size_t size = 0;
    for (const struct rbtree_node *node = rbtree_first(tree); node != NULL;
         node = rbtree_next(node))
    {
        struct slice key = {bytes, size};
        CHECK(slice_equals(rbtree_entry(node).key, key));
        CHECK(slice_equals(rbtree_entry(node).value.bytes, key));
        size += 12500;
    }
    rbtree_destroy(tree);
}

/* ---- version ------------------------------------------------------------ */

static void
test_version_changes_when_nodes_come_or_go(void)
{
    struct rbtree *tree = new_tree();
    uint64_t version = rbtree_version(tree);
    for (uint64_t i = 0; i < 100; i++) {
        put_number(tree, i);
        CHECK(rbtree_version(tree) != version);
        version = rbtree_version(tree);
    }
    for (uint64_t i = 0; i < 50; i++) {
        remove_number(tree, i);
        CHECK(rbtree_version(tree) != version);
        version = rbtree_version(tree);
    }
    rbtree_clear(tree);
    CHECK(rbtree_version(tree) != version);
    end_both(tree);
}

static void
test_version_stays_when_no_node_comes_or_goes(void)
{
    static unsigned char bytes[1000];
    struct rbtree *tree = new_tree();
    put_number(tree, 1);
    put_number(tree, 2);
    uint64_t version = rbtree_version(tree);
    unsigned char room[8];
    struct slice key = number_key(1, room);
    for (size_t size = 0; size <= sizeof(bytes); size += 250) {
        put_both(tree, key, str_value((struct slice){bytes, size}));
    }
    remove_number(tree, 3);
    CHECK(rbtree_find(tree, key) != NULL);
    CHECK(rbtree_seek(tree, SLICE("")) != NULL);
    check_same(tree);
    CHECK_EQUAL(rbtree_version(tree), version);
    end_both(tree);
}

/* ---- no memory ---------------------------------------------------------- */

static void
test_create_without_memory_fails(void)
{
    struct rbtree *tree = NULL;
    memory_fail_after(0, false);
    CHECK_STATUS(rbtree_create(&tree), STATUS_NO_MEMORY);
    CHECK(tree == NULL);
}

/* Puts the value with the first, the second, ... request failing until it
 * succeeds. The answer is how often it failed. */
static long
put_with_failures(struct rbtree *tree, struct slice key, struct value value,
                  bool forever)
{
    for (long successes = 0;; successes++) {
        long outstanding = memory_outstanding();
        uint64_t version = rbtree_version(tree);
        memory_fail_after(successes, forever);
        enum status status = rbtree_put(tree, key, value);
        memory_fail_after(-1, false);
        if (status == STATUS_OK) {
            oracle_put(key, value);
            check_same(tree);
            return successes;
        }
        CHECK_STATUS(status, STATUS_NO_MEMORY);
        // Memory for nodes comes in large pieces and stays for the next one.
        CHECK(memory_outstanding() <= outstanding + (successes > 0));
        CHECK_EQUAL(rbtree_version(tree), version);
        check_rules(tree);
        check_same(tree);
    }
}

static void
test_put_without_memory_changes_nothing(void)
{
    static unsigned char bytes[1000];
    fill(bytes, sizeof(bytes), 5);
    struct value shorter = str_value((struct slice){bytes, 100});
    struct value longer = str_value((struct slice){bytes, 1000});
    for (int forever = 0; forever < 2; forever++) {
        struct rbtree *tree = new_tree();
        CHECK_EQUAL(put_with_failures(tree, SLICE("b"), longer, forever), 2);
        for (uint64_t i = 0; i < 20; i++) {
            put_number(tree, i * 11 % 20);
        }
        CHECK(put_with_failures(tree, SLICE("a"), shorter, forever) <= 1);
        CHECK_EQUAL(put_with_failures(tree, SLICE("a"), longer, forever), 1);
        CHECK_EQUAL(put_with_failures(tree, SLICE("b"), longer, forever), 1);
        // What fits into the node needs no memory and so cannot fail.
        CHECK_EQUAL(put_with_failures(tree, SLICE("a"), shorter, forever), 0);
        end_both(tree);
    }
}

static void
test_put_of_an_impossible_size_changes_nothing(void)
{
    struct rbtree *tree = new_tree();
    // Together with the node it overflows; not a byte of it is read.
    struct slice endless = {(const unsigned char *)"", SIZE_MAX};
    CHECK_STATUS(rbtree_put(tree, endless, str_value(SLICE("v"))),
                 STATUS_NO_MEMORY);
    check_is_empty(tree);
    rbtree_destroy(tree);
}

/* Removing asks for no memory: what was filled can always be emptied. */
static void
test_remove_needs_no_memory(void)
{
    struct rbtree *tree = new_tree();
    for (uint64_t i = 0; i < 100; i++) {
        put_number(tree, i);
    }
    memory_fail_after(0, true);
    for (uint64_t i = 0; i < 100; i += 2) {
        remove_number(tree, i);
    }
    rbtree_clear(tree);
    memory_fail_after(-1, false);
    end_both(tree);
}

static const struct test tests[] = {
    TEST(test_values_are_replaced_by_shorter_and_longer_ones),
    TEST(test_overwriting_one_key_needs_no_more_memory),
    TEST(test_tree_copies_what_it_is_given),
    TEST(test_put_accepts_bytes_of_its_own_nodes),
    TEST(test_null_slices_are_empty_keys_and_values),
    TEST(test_long_keys_keep_every_byte),
    TEST(test_version_changes_when_nodes_come_or_go),
    TEST(test_version_stays_when_no_node_comes_or_goes),
    TEST(test_create_without_memory_fails),
    TEST(test_put_without_memory_changes_nothing),
    TEST(test_put_of_an_impossible_size_changes_nothing),
    TEST(test_remove_needs_no_memory),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
