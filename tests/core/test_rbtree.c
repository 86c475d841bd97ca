/* tests/core/test_rbtree.c
 *
 * The shape of the tree, and what it finds, against the oracle in oracle.h.
 * rbtree_check() runs after each step while trees are small. That it can fail
 * is shown in test_rbtree_check.c.
 */
#include "core/tree/rbtree.h"

#include "core/base/memory.h"
#include "core/check.h"
#include "core/oracle.h"

static void
test_new_tree_is_empty(void)
{
    struct rbtree *tree = new_tree();
    check_is_empty(tree);
    CHECK(!rbtree_remove(tree, SLICE("")));
    CHECK(!rbtree_remove(tree, SLICE("a")));
    rbtree_destroy(tree);
}

static void
test_destroy_accepts_null(void)
{
    rbtree_destroy(NULL);
}

static void
test_clear_leaves_a_tree_that_can_be_filled_again(void)
{
    struct rbtree *tree = new_tree();
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 100; i++) {
            put_number(tree, i);
        }
        check_same(tree);
        rbtree_clear(tree);
        oracle_clear();
        check_is_empty(tree);
        CHECK_EQUAL(memory_outstanding(), 1);
    }
    rbtree_clear(tree);
    check_is_empty(tree);
    end_both(tree);
}

/* ---- orders of insertion and removal ------------------------------------ */

enum order { ASCENDING, DESCENDING, INWARDS, RANDOM, ORDER_COUNT };

/* Fills 0 .. count - 1 in some order. */
static void
arrange(size_t *numbers, size_t count, enum order order, uint64_t *random)
{
    for (size_t i = 0; i < count; i++) {
        switch (order) {
        case DESCENDING:
            numbers[i] = count - 1 - i;
            break;
        case INWARDS:
            numbers[i] = i % 2 == 0 ? i / 2 : count - 1 - i / 2;
            break;
        default:
            numbers[i] = i;
        }
    }
    if (order == RANDOM) {
        shuffle(numbers, count, random);
    }
}

static void
test_small_trees_grow_and_shrink_in_every_order(void)
{
    uint64_t random = 1;
    for (size_t count = 1; count <= 40; count++) {
        for (int in = 0; in < ORDER_COUNT; in++) {
            for (int out = 0; out < ORDER_COUNT; out++) {
                struct rbtree *tree = new_tree();
                size_t numbers[40];
                arrange(numbers, count, (enum order)in, &random);
                for (size_t i = 0; i < count; i++) {
                    put_number(tree, numbers[i]);
                    check_rules(tree);
                }
                check_same(tree);
                arrange(numbers, count, (enum order)out, &random);
                for (size_t i = 0; i < count; i++) {
                    remove_number(tree, numbers[i]);
                    check_rules(tree);
                    check_same(tree);
                }
                check_is_empty(tree);
                end_both(tree);
            }
        }
    }
}

/* Fills the next order of the numbers by the alphabet; false after the last.
 */
static bool
next_permutation(size_t *numbers, size_t count)
{
    size_t i = count - 1;
    while (i > 0 && numbers[i - 1] >= numbers[i]) {
        i -= 1;
    }
    if (i == 0) {
        return false;
    }
    size_t j = count - 1;
    while (numbers[j] <= numbers[i - 1]) {
        j -= 1;
    }
    size_t number = numbers[i - 1];
    numbers[i - 1] = numbers[j];
    numbers[j] = number;
    for (j = count - 1; i < j; i++, j--) {
        number = numbers[i];
        numbers[i] = numbers[j];
        numbers[j] = number;
    }
    return true;
}

/* Every tree that 7 insertions can build, and each of its removals. */
static void
test_all_orders_of_seven_keys_and_one_removal(void)
{
    size_t numbers[] = {0, 1, 2, 3, 4, 5, 6};
    do {
        for (size_t removed = 0; removed < 7; removed++) {
            struct rbtree *tree = new_tree();
            unsigned char room[8];
            for (size_t i = 0; i < 7; i++) {
                struct slice key = number_key(numbers[i], room);
                CHECK_STATUS(rbtree_put(tree, key, str_value(key)), STATUS_OK);
            }
            check_rules(tree);
            CHECK(rbtree_remove(tree, number_key(removed, room)));
            check_rules(tree);
            const struct rbtree_node *node = rbtree_first(tree);
            for (size_t i = 0; i < 7; i++) {
                if (i != removed) {
                    struct slice key = number_key(i, room);
                    CHECK(slice_equals(rbtree_entry(node).key, key));
                    node = rbtree_next(node);
                }
            }
            CHECK(node == NULL);
            rbtree_destroy(tree);
        }
    } while (next_permutation(numbers, 7));
}

static void
test_large_trees_grow_and_shrink_in_every_order(void)
{
    enum { LARGE = 100000 };
    static size_t numbers[LARGE];
    uint64_t random = 2;
    unsigned char room[8];
    for (int order = 0; order < ORDER_COUNT; order++) {
        struct rbtree *tree = new_tree();
        arrange(numbers, LARGE, (enum order)order, &random);
        for (size_t i = 0; i < LARGE; i++) {
            struct slice key = number_key(numbers[i], room);
            CHECK_STATUS(rbtree_put(tree, key, str_value(key)), STATUS_OK);
            if (i % 20000 == 0) {
                check_rules(tree);
            }
        }
        check_rules(tree);
        const struct rbtree_node *node = rbtree_first(tree);
        for (size_t i = 0; i < LARGE; i++, node = rbtree_next(node)) {
            struct slice key = number_key(i, room);
            CHECK(slice_equals(rbtree_entry(node).key, key));
        }
        CHECK(node == NULL);
        arrange(numbers, LARGE, (enum order)(ORDER_COUNT - 1 - order),
                &random);
        for (size_t i = 0; i < LARGE; i++) {
            CHECK(rbtree_remove(tree, number_key(numbers[i], room)));
            if (i % 20000 == 0) {
                check_rules(tree);
            }
        }
        check_is_empty(tree);
        rbtree_destroy(tree);
    }
}

/* ---- gaps --------------------------------------------------------------- */

static void
test_absent_keys_are_not_found_and_seek_goes_on_to_the_next(void)
{
    struct rbtree *tree = new_tree();
    unsigned char room[8];
    for (uint64_t i = 0; i < 200; i++) {
        put_number(tree, 10 * (i * 77 % 200) + 5);
    }
    for (uint64_t number = 0; number < 2010; number++) {
        struct slice key = number_key(number, room);
        size_t place = oracle_seek(key);
        const struct rbtree_node *found = rbtree_find(tree, key);
        const struct rbtree_node *next = rbtree_seek(tree, key);
        CHECK_EQUAL(found != NULL, number % 10 == 5 && number < 2000);
        CHECK_EQUAL(next != NULL, place < oracle.count);
        if (next != NULL) {
            check_entry(rbtree_entry(next), &oracle.pairs[place]);
            const struct rbtree_node *before = rbtree_previous(next);
            CHECK_EQUAL(before != NULL, place > 0);
            if (before != NULL) {
                check_entry(rbtree_entry(before), &oracle.pairs[place - 1]);
            }
        }
        if (found == NULL) {
            CHECK(!rbtree_remove(tree, key));
        }
    }
    check_same(tree);
    end_both(tree);
}

static void
test_seek_compares_prefixes_like_the_order_of_keys(void)
{
    struct rbtree *tree = new_tree();
    put_both(tree, SLICE("b"), str_value(SLICE("1")));
    put_both(tree, SLICE("ba"), str_value(SLICE("2")));
    put_both(tree, SLICE("b\0"), str_value(SLICE("3")));
    put_both(tree, SLICE("c"), str_value(SLICE("4")));
    put_both(tree, SLICE(""), str_value(SLICE("5")));
    put_both(tree, SLICE("\xFF"), str_value(SLICE("6")));
    check_same(tree);
    static const struct {
        const char *sought, *expected;
    } cases[] = {{"a", "1"},    {"b", "1"}, {"b\x01", "2"}, {"ba", "2"},
                 {"baa", "4"},  {"c", "4"}, {"c\x01", "6"}, {"\x7F", "6"},
                 {"\xFE", "6"}, {"", "5"},  {"\xFF", "6"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice key = {(const unsigned char *)cases[i].sought,
                            strlen(cases[i].sought)};
        const struct rbtree_node *node = rbtree_seek(tree, key);
        CHECK(node != NULL);
        CHECK_EQUAL(rbtree_entry(node).value.bytes.bytes[0],
                    cases[i].expected[0]);
    }
    CHECK(rbtree_seek(tree, SLICE("\xFF\0")) == NULL);
    end_both(tree);
}

/* ---- random ------------------------------------------------------------- */

/* Few different keys, so that each is put, replaced and removed often. Their
 * sizes are 0 to 3, so that some are prefixes of others. */
static struct slice
random_key(uint64_t *random, unsigned char room[8])
{
    static const unsigned char alphabet[] = {0, 'a', 'b', 0x80, 0xFF};
    size_t size = random_below(random, 4);
    for (size_t i = 0; i < size; i++) {
        room[i] = alphabet[random_below(random, sizeof(alphabet))];
    }
    return (struct slice){room, size};
}

static struct value
random_value(uint64_t *random, unsigned char room[1000])
{
    static const size_t limits[] = {1, 8, 300, 1000};
    size_t size = random_below(random, limits[random_below(random, 4)]);
    memset(room, (int)random_below(random, 256), size);
    return (struct value){
        {room, size}, (enum value_type)random_below(random, VALUE_TYPE_COUNT)};
}

static void
test_random_operations_agree_with_the_oracle(void)
{
    uint64_t random = 3;
    unsigned char key_room[8], value_room[1000];
    struct rbtree *tree = new_tree();
    for (int step = 0; step < 40000; step++) {
        struct slice key = random_key(&random, key_room);
        // Now the tree tends to grow, now to shrink.
        size_t removals = step / 1000 % 2 == 0 ? 3 : 7;
        if (random_below(&random, 10) < removals) {
            CHECK_EQUAL(rbtree_remove(tree, key), oracle_remove(key));
        }
        else {
            put_both(tree, key, random_value(&random, value_room));
        }
        check_rules(tree);
        if (step % 50 == 0) {
            check_same(tree);
        }
    }
    check_same(tree);
    end_both(tree);
}

static const struct test tests[] = {
    TEST(test_new_tree_is_empty),
    TEST(test_destroy_accepts_null),
    TEST(test_clear_leaves_a_tree_that_can_be_filled_again),
    TEST(test_small_trees_grow_and_shrink_in_every_order),
    TEST(test_all_orders_of_seven_keys_and_one_removal),
    TEST(test_large_trees_grow_and_shrink_in_every_order),
    TEST(test_absent_keys_are_not_found_and_seek_goes_on_to_the_next),
    TEST(test_seek_compares_prefixes_like_the_order_of_keys),
    TEST(test_random_operations_agree_with_the_oracle),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
