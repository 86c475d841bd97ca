/* tests/core/test_rbtree.c
 *
 * The tree against a dumb oracle: an array that is kept sorted by moving
 * everything that stands behind the place.
 *
 * Both hold generated keys and values; check_same() asks the tree all its
 * questions and compares the answers. rbtree_check() runs after each step
 * while trees are small. That it can fail is shown in test_rbtree_check.c.
 */
#include "core/rbtree.h"

#include "core/check.h"
#include "core/memory.h"

#define SLICE(literal) \
    ((struct slice){(const unsigned char *)(literal), sizeof(literal) - 1})

/* ---- the oracle --------------------------------------------------------- */

struct pair {
    unsigned char key[8];
    size_t key_size;
    unsigned char *value;  // owned
    size_t value_size;
    enum value_type type;
};

enum { ORACLE_CAPACITY = 20000 };

struct oracle {
    struct pair pairs[ORACLE_CAPACITY];
    size_t count;
};

static struct oracle oracle;

static struct slice
pair_key(const struct pair *pair)
{
    return (struct slice){pair->key, pair->key_size};
}

/* The first place whose key is not below `key`. One after the other: a dumb
 * oracle has no search that could be wrong. */
static size_t
oracle_seek(struct slice key)
{
    size_t place = 0;
    while (place < oracle.count
           && slice_compare(pair_key(&oracle.pairs[place]), key) < 0)
    {
        place += 1;
    }
    return place;
}

static bool
oracle_has(size_t place, struct slice key)
{
    return place < oracle.count
           && slice_equals(pair_key(&oracle.pairs[place]), key);
}

static void
oracle_put(struct slice key, struct value value)
{
    size_t place = oracle_seek(key);
    struct pair *pair = &oracle.pairs[place];
    if (oracle_has(place, key)) {
        free(pair->value);
    }
    else {
        CHECK(oracle.count < ORACLE_CAPACITY);
        memmove(pair + 1, pair, (oracle.count - place) * sizeof(*pair));
        oracle.count += 1;
        slice_copy(pair->key, key);
        pair->key_size = key.size;
    }
    pair->value = malloc(value.bytes.size + 1);
    CHECK(pair->value != NULL);
    slice_copy(pair->value, value.bytes);
    pair->value_size = value.bytes.size;
    pair->type = value.type;
}

static bool
oracle_remove(struct slice key)
{
    size_t place = oracle_seek(key);
    if (!oracle_has(place, key)) {
        return false;
    }
    struct pair *pair = &oracle.pairs[place];
    free(pair->value);
    oracle.count -= 1;
    memmove(pair, pair + 1, (oracle.count - place) * sizeof(*pair));
    return true;
}

static void
oracle_clear(void)
{
    while (oracle.count > 0) {
        oracle.count -= 1;
        free(oracle.pairs[oracle.count].value);
    }
}

/* ---- both --------------------------------------------------------------- */

static struct rbtree *
new_tree(void)
{
    struct rbtree *tree = NULL;
    CHECK_STATUS(rbtree_create(&tree), STATUS_OK);
    return tree;
}

static void
check_rules(const struct rbtree *tree)
{
    const char *broken = rbtree_check(tree);
    if (broken != NULL) {
        printf("      %s\n", broken);
    }
    CHECK(broken == NULL);
}

static void
check_entry(struct entry entry, const struct pair *pair)
{
    CHECK(slice_equals(entry.key, pair_key(pair)));
    CHECK(slice_equals(entry.value.bytes,
                       (struct slice){pair->value, pair->value_size}));
    CHECK_EQUAL(entry.value.type, pair->type);
}

static void
check_same(const struct rbtree *tree)
{
    CHECK_EQUAL(rbtree_count(tree), oracle.count);

    const struct rbtree_node *node = rbtree_first(tree);
    for (size_t i = 0; i < oracle.count; i++) {
        CHECK(node != NULL);
        check_entry(rbtree_entry(node), &oracle.pairs[i]);
        CHECK(rbtree_find(tree, pair_key(&oracle.pairs[i])) == node);
        CHECK(rbtree_seek(tree, pair_key(&oracle.pairs[i])) == node);
        node = rbtree_next(node);
    }
    CHECK(node == NULL);

    node = rbtree_last(tree);
    for (size_t i = oracle.count; i > 0; i--) {
        CHECK(node != NULL);
        check_entry(rbtree_entry(node), &oracle.pairs[i - 1]);
        node = rbtree_previous(node);
    }
    CHECK(node == NULL);

    struct entry *entries = calloc(oracle.count + 1, sizeof(*entries));
    CHECK(entries != NULL);
    rbtree_entries(tree, entries);
    for (size_t i = 0; i < oracle.count; i++) {
        check_entry(entries[i], &oracle.pairs[i]);
    }
    free(entries);
}

/* Keys in the order of their numbers. */
static struct slice
number_key(uint64_t number, unsigned char room[8])
{
    for (int i = 0; i < 8; i++) {
        room[i] = (unsigned char)(number >> 8 * (7 - i));
    }
    return (struct slice){room, 8};
}

static struct value
str_value(struct slice bytes)
{
    return (struct value){bytes, VALUE_STR};
}

static void
put_both(struct rbtree *tree, struct slice key, struct value value)
{
    CHECK_STATUS(rbtree_put(tree, key, value), STATUS_OK);
    oracle_put(key, value);
}

static void
put_number(struct rbtree *tree, uint64_t number)
{
    unsigned char room[8];
    struct slice key = number_key(number, room);
    put_both(tree, key, str_value(key));
}

static void
remove_number(struct rbtree *tree, uint64_t number)
{
    unsigned char room[8];
    struct slice key = number_key(number, room);
    CHECK_EQUAL(rbtree_remove(tree, key), oracle_remove(key));
    CHECK(rbtree_find(tree, key) == NULL);
}

static void
end_both(struct rbtree *tree)
{
    rbtree_destroy(tree);
    oracle_clear();
}

static void
shuffle(size_t *numbers, size_t count, uint64_t *random)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = random_below(random, i);
        size_t number = numbers[i - 1];
        numbers[i - 1] = numbers[j];
        numbers[j] = number;
    }
}

/* ---- empty -------------------------------------------------------------- */

static void
check_is_empty(const struct rbtree *tree)
{
    CHECK_EQUAL(rbtree_count(tree), 0);
    CHECK(rbtree_first(tree) == NULL);
    CHECK(rbtree_last(tree) == NULL);
    CHECK(rbtree_find(tree, SLICE("")) == NULL);
    CHECK(rbtree_find(tree, SLICE("a")) == NULL);
    CHECK(rbtree_seek(tree, SLICE("")) == NULL);
    rbtree_entries(tree, NULL);
    check_rules(tree);
}

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
        CHECK_EQUAL(memory_outstanding(), outstanding);
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
        put_with_failures(tree, SLICE("root"), shorter, forever);
        for (uint64_t i = 0; i < 20; i++) {
            put_number(tree, i * 11 % 20);
        }
        CHECK_EQUAL(put_with_failures(tree, SLICE("a"), shorter, forever), 1);
        CHECK_EQUAL(put_with_failures(tree, SLICE("b"), longer, forever), 2);
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
    TEST(test_new_tree_is_empty),
    TEST(test_destroy_accepts_null),
    TEST(test_clear_leaves_a_tree_that_can_be_filled_again),
    TEST(test_small_trees_grow_and_shrink_in_every_order),
    TEST(test_all_orders_of_seven_keys_and_one_removal),
    TEST(test_large_trees_grow_and_shrink_in_every_order),
    TEST(test_absent_keys_are_not_found_and_seek_goes_on_to_the_next),
    TEST(test_seek_compares_prefixes_like_the_order_of_keys),
    TEST(test_random_operations_agree_with_the_oracle),
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
