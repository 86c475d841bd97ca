/* tests/core/test_rbtree_build.c
 *
 * Trees that are built from sorted entries at once, walking to the nearest key
 * below, and the count of a tree's memory.
 */
#include "core/base/memory.h"
#include "core/check.h"
#include "core/oracle.h"
#include "core/tree/rbtree.h"

/* ---- building ----------------------------------------------------------- */

enum { BUILD_LIMIT = 5000 };

struct material {
    unsigned char keys[BUILD_LIMIT][8];
    struct entry entries[BUILD_LIMIT];
};

/* Entries 0, 2, 4, ... with values of many sizes. */
static const struct entry *
fill_material(struct material *material, size_t count)
{
    static const unsigned char bytes[700] = {1, 2, 3};
    for (size_t i = 0; i < count; i++) {
        material->entries[i] = (struct entry){
            .key = number_key(2 * i, material->keys[i]),
            .value = {{bytes, i * 37 % sizeof(bytes)},
                      (enum value_type)(i % VALUE_TYPE_COUNT)},
        };
    }
    return material->entries;
}

static struct material material;

static struct rbtree *
built_tree(size_t count)
{
    struct rbtree *tree = new_tree();
    const struct entry *entries = fill_material(&material, count);
    CHECK_STATUS(rbtree_build(tree, entries, count, NULL), STATUS_OK);
    CHECK_EQUAL(rbtree_count(tree), count);
    check_rules(tree);
    return tree;
}

/* What the oracle would hold after putting them one by one. */
static void
expect_material(size_t count)
{
    oracle_clear();
    for (size_t i = 0; i < count; i++) {
        oracle_put(material.entries[i].key, material.entries[i].value);
    }
}

static void
test_trees_of_every_size_are_built(void)
{
    for (size_t count = 0; count <= 130; count++) {
        struct rbtree *tree = built_tree(count);
        expect_material(count);
        check_same(tree);
        end_both(tree);
    }
    static const size_t sizes[] = {255,  256,  257,  1023,
                                   1024, 4095, 4096, 5000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        rbtree_destroy(built_tree(sizes[i]));
    }
}

static void
test_built_tree_can_be_changed_in_every_place(void)
{
    for (size_t count = 0; count <= 70; count++) {
        for (uint64_t at = 0; at <= 2 * count; at++) {
            // Even numbers are there, odd ones are not.
            struct rbtree *tree = built_tree(count);
            expect_material(count);
            if (at % 2 == 0) {
                remove_number(tree, at);
            }
            else {
                put_number(tree, at);
            }
            check_rules(tree);
            check_same(tree);
            end_both(tree);
        }
    }
}

static void
test_built_tree_can_be_emptied(void)
{
    struct rbtree *tree = built_tree(1000);
    expect_material(1000);
    for (uint64_t i = 0; i < 1000; i++) {
        remove_number(tree, 2 * (i * 77 % 1000));
        check_rules(tree);
    }
    check_is_empty(tree);
    end_both(tree);
}

static void
test_built_tree_owns_copies(void)
{
    unsigned char key[] = "key", value[] = "value";
    struct entry entry = {{key, 3}, {{value, 5}, VALUE_STR}};
    struct rbtree *tree = new_tree();
    CHECK_STATUS(rbtree_build(tree, &entry, 1, NULL), STATUS_OK);
    memset(key, 'x', 3);
    memset(value, 'x', 5);
    entry = rbtree_entry(rbtree_first(tree));
    CHECK(slice_equals(entry.key, SLICE("key")));
    CHECK(slice_equals(entry.value.bytes, SLICE("value")));
    rbtree_destroy(tree);
}

static void
test_tree_that_was_cleared_is_built_like_a_new_one(void)
{
    struct rbtree *tree = new_tree();
    put_number(tree, 7);
    rbtree_clear(tree);
    oracle_clear();
    uint64_t version = rbtree_version(tree);
    CHECK_STATUS(rbtree_build(tree, fill_material(&material, 20), 20, NULL),
                 STATUS_OK);
    CHECK(rbtree_version(tree) != version);
    expect_material(20);
    check_same(tree);
    end_both(tree);
}

static void
test_build_without_memory_leaves_an_empty_tree(void)
{
    const struct entry *entries = fill_material(&material, 40);
    for (int forever = 0; forever < 2; forever++) {
        for (long successes = 0;; successes++) {
            struct rbtree *tree = new_tree();
            memory_fail_after(successes, forever);
            enum status status = rbtree_build(tree, entries, 40, NULL);
            memory_fail_after(-1, false);
            if (status == STATUS_OK) {
                CHECK(successes >= 2);
                rbtree_destroy(tree);
                break;
            }
            CHECK_STATUS(status, STATUS_NO_MEMORY);
            CHECK_EQUAL(memory_outstanding(), 1);
            check_is_empty(tree);
            // And it can be used as if nothing had happened.
            CHECK_STATUS(rbtree_build(tree, entries, 40, NULL), STATUS_OK);
            check_rules(tree);
            rbtree_destroy(tree);
        }
    }
}

/* ---- putting many ------------------------------------------------------- */

/* Keys 0 to 29, those of the material and those in between, with values that
 * will have to grow, to shrink and to stay. Also in the oracle. */
static struct rbtree *
tree_to_put_into(void)
{
    static const unsigned char bytes[900] = {9, 8, 7};
    struct rbtree *tree = new_tree();
    oracle_clear();
    for (uint64_t number = 0; number < 30; number++) {
        unsigned char room[8];
        put_both(tree, number_key(number, room),
                 str_value((struct slice){bytes, number * 71 % 900}));
    }
    return tree;
}

static void
test_put_of_many_is_that_of_one_after_the_other(void)
{
    for (size_t count = 0; count <= 40; count++) {
        struct rbtree *tree = tree_to_put_into();
        const struct rbtree_node *first = rbtree_first(tree);
        const struct entry *entries = fill_material(&material, count);
        CHECK_STATUS(rbtree_put_all(tree, entries, count, NULL), STATUS_OK);
        for (size_t i = 0; i < count; i++) {
            oracle_put(entries[i].key, entries[i].value);
        }
        check_same(tree);
        CHECK(rbtree_first(tree) == first);
        end_both(tree);
    }
}

static void
test_put_of_many_without_memory_changes_nothing(void)
{
    const struct entry *entries = fill_material(&material, 40);
    for (int forever = 0; forever < 2; forever++) {
        for (long successes = 0;; successes++) {
            struct rbtree *tree = tree_to_put_into();
            size_t memory = rbtree_memory(tree);
            uint64_t version = rbtree_version(tree);
            long outstanding = memory_outstanding();
            memory_fail_after(successes, forever);
            enum status status = rbtree_put_all(tree, entries, 40, NULL);
            memory_fail_after(-1, false);
            if (status == STATUS_OK) {
                CHECK(successes >= 26);
                end_both(tree);
                break;
            }
            CHECK_STATUS(status, STATUS_NO_MEMORY);
            check_same(tree);
            CHECK_EQUAL(rbtree_memory(tree), memory);
            CHECK_EQUAL(rbtree_version(tree), version);
            CHECK_EQUAL(memory_outstanding(), outstanding);
            end_both(tree);
        }
    }
}

/* ---- interrupts --------------------------------------------------------- */

enum { ASKED = BUILD_LIMIT / 1024 };  // how often a pass over all entries asks

static void
test_build_ends_at_each_question_of_an_interrupt(void)
{
    const struct entry *entries = fill_material(&material, BUILD_LIMIT);
    for (int due = 1; due <= ASKED + 1; due++) {
        struct rbtree *tree = new_tree();
        uint64_t version = rbtree_version(tree);
        int questions = due;
        struct interrupt interrupt = {.is_due = is_due_at_last,
                                      .context = &questions};
        enum status status =
            rbtree_build(tree, entries, BUILD_LIMIT, &interrupt);
        if (due > ASKED) {
            CHECK_STATUS(status, STATUS_OK);
            CHECK_EQUAL(rbtree_count(tree), BUILD_LIMIT);
        }
        else {
            CHECK_STATUS(status, STATUS_INTERRUPTED);
            CHECK_EQUAL(rbtree_version(tree), version);
            CHECK_EQUAL(memory_outstanding(), 1);
            check_is_empty(tree);
        }
        rbtree_destroy(tree);
    }
}

/* Every other key of the material, with values that are not the material's. */
static struct rbtree *
half_of_the_tree(void)
{
    struct rbtree *tree = new_tree();
    for (size_t i = 0; i < BUILD_LIMIT; i += 2) {
        CHECK_STATUS(
            rbtree_put(tree, material.entries[i].key, str_value(SLICE("old"))),
            STATUS_OK);
    }
    return tree;
}

/* Each key of the material has a new value, or is as it was. How many are new.
 */
static size_t
check_half_or_put(const struct rbtree *tree)
{
    size_t put = 0;
    for (size_t i = 0; i < BUILD_LIMIT; i++) {
        const struct rbtree_node *node =
            rbtree_find(tree, material.entries[i].key);
        struct value expected = material.entries[i].value;
        if (node == NULL) {
            CHECK(i % 2 == 1);
            continue;
        }
        struct value value = rbtree_entry(node).value;
        bool is_put = value.type == expected.type
                      && slice_equals(value.bytes, expected.bytes);
        CHECK(is_put
              || (i % 2 == 0 && slice_equals(value.bytes, SLICE("old"))));
        put += is_put;
    }
    return put;
}

/* Put again, all of them are put, whatever was put before. */
static void
test_put_of_many_ends_at_each_question_of_an_interrupt(void)
{
    const struct entry *entries = fill_material(&material, BUILD_LIMIT);
    size_t put_before = 0;
    for (int due = 1; due <= 2 * ASKED; due++) {
        struct rbtree *tree = half_of_the_tree();
        int questions = due;
        struct interrupt interrupt = {.is_due = is_due_at_last,
                                      .context = &questions};
        CHECK_STATUS(rbtree_put_all(tree, entries, BUILD_LIMIT, &interrupt),
                     STATUS_INTERRUPTED);
        check_rules(tree);
        size_t put = check_half_or_put(tree);
        CHECK(put > put_before && put < BUILD_LIMIT);
        put_before = put;
        // One question more than there are: not due.
        questions = 2 * ASKED + 1;
        CHECK_STATUS(rbtree_put_all(tree, entries, BUILD_LIMIT, &interrupt),
                     STATUS_OK);
        CHECK_EQUAL(questions, 1);
        check_rules(tree);
        CHECK_EQUAL(check_half_or_put(tree), BUILD_LIMIT);
        rbtree_destroy(tree);
    }
}

static void
test_passes_over_a_tree_end_at_each_question_of_an_interrupt(void)
{
    static struct entry entries[BUILD_LIMIT];
    struct rbtree *tree = built_tree(BUILD_LIMIT);
    for (int due = 1; due <= ASKED; due++) {
        size_t distance;
        int questions = due;
        struct interrupt interrupt = {.is_due = is_due_at_last,
                                      .context = &questions};
        CHECK_STATUS(rbtree_entries(tree, entries, &interrupt),
                     STATUS_INTERRUPTED);
        questions = due;
        CHECK_STATUS(
            rbtree_distance(rbtree_first(tree), NULL, &distance, &interrupt),
            STATUS_INTERRUPTED);
    }
    for (int due = 1; due <= BUILD_LIMIT / 2 / 1024; due++) {
        const struct rbtree_node *node;
        int questions = due;
        struct interrupt interrupt = {.is_due = is_due_at_last,
                                      .context = &questions};
        CHECK_STATUS(rbtree_at(tree, BUILD_LIMIT / 2, &node, &interrupt),
                     STATUS_INTERRUPTED);
    }
    rbtree_destroy(tree);
}

/* ---- by position -------------------------------------------------------- */

static void
test_each_node_is_found_at_its_index_and_distance(void)
{
    for (size_t count = 1; count <= 40; count++) {
        struct rbtree *tree = built_tree(count);
        const struct rbtree_node *expected = rbtree_first(tree);
        for (size_t index = 0; index < count; index++) {
            const struct rbtree_node *node;
            size_t distance;
            CHECK_STATUS(rbtree_at(tree, index, &node, NULL), STATUS_OK);
            CHECK(node == expected);
            CHECK_STATUS(
                rbtree_distance(rbtree_first(tree), node, &distance, NULL),
                STATUS_OK);
            CHECK_EQUAL(distance, index);
            CHECK_STATUS(rbtree_distance(node, NULL, &distance, NULL),
                         STATUS_OK);
            CHECK_EQUAL(distance, count - index);
            expected = rbtree_next(expected);
        }
        rbtree_destroy(tree);
    }
}

/* ---- backwards ---------------------------------------------------------- */

static void
test_seek_back_finds_the_nearest_key_below(void)
{
    for (size_t count = 0; count <= 100; count++) {
        struct rbtree *tree = built_tree(count);
        CHECK(rbtree_seek_back(tree, SLICE("")) == NULL);
        for (uint64_t number = 0; number < 2 * count + 3; number++) {
            unsigned char room[8], expected_room[8];
            const struct rbtree_node *node =
                rbtree_seek_back(tree, number_key(number, room));
            CHECK_EQUAL(node != NULL, count > 0);
            if (node == NULL) {
                continue;
            }
            uint64_t last = 2 * (count - 1);
            uint64_t expected = number > last ? last : number / 2 * 2;
            CHECK(slice_equals(rbtree_entry(node).key,
                               number_key(expected, expected_room)));
        }
        rbtree_destroy(tree);
    }
}

static void
test_seek_and_seek_back_meet_at_a_key_and_part_around_a_gap(void)
{
    struct rbtree *tree = built_tree(200);
    unsigned char room[8];
    for (uint64_t number = 0; number < 400; number++) {
        struct slice key = number_key(number, room);
        const struct rbtree_node *below = rbtree_seek_back(tree, key);
        const struct rbtree_node *above = rbtree_seek(tree, key);
        if (number % 2 == 0) {
            CHECK(below == above);
            CHECK(below == rbtree_find(tree, key));
        }
        else {
            CHECK(below != NULL);
            CHECK(rbtree_next(below) == above);
        }
    }
    rbtree_destroy(tree);
}

static void
test_seek_back_compares_prefixes_like_the_order_of_keys(void)
{
    struct rbtree *tree = new_tree();
    put_both(tree, SLICE("b"), str_value(SLICE("1")));
    put_both(tree, SLICE("b\0"), str_value(SLICE("2")));
    put_both(tree, SLICE("ba"), str_value(SLICE("3")));
    put_both(tree, SLICE("\xFF"), str_value(SLICE("4")));
    static const struct {
        const char *sought;
        char expected;
    } cases[] = {{"b", '1'}, {"b\x01", '2'}, {"ba", '3'},   {"baa", '3'},
                 {"c", '3'}, {"\xFE", '3'},  {"\xFF", '4'}, {"\xFF\x01", '4'}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice key = {(const unsigned char *)cases[i].sought,
                            strlen(cases[i].sought)};
        const struct rbtree_node *node = rbtree_seek_back(tree, key);
        CHECK(node != NULL);
        CHECK_EQUAL(rbtree_entry(node).value.bytes.bytes[0],
                    cases[i].expected);
    }
    CHECK(rbtree_seek_back(tree, SLICE("a")) == NULL);
    CHECK(rbtree_seek_back(tree, SLICE("")) == NULL);
    end_both(tree);
}

/* ---- memory ------------------------------------------------------------- */

static void
put_value_of_size(struct rbtree *tree, struct slice key, size_t size)
{
    static const unsigned char bytes[100000] = {1};
    CHECK_STATUS(rbtree_put(tree, key, str_value((struct slice){bytes, size})),
                 STATUS_OK);
}

static void
test_memory_grows_and_shrinks_with_what_is_kept(void)
{
    struct rbtree *tree = new_tree();
    size_t empty = rbtree_memory(tree);
    CHECK(empty > 0);
    put_value_of_size(tree, SLICE("key"), 10);
    size_t small = rbtree_memory(tree);
    CHECK(small >= empty + 13);
    CHECK(small < empty + 13 + 200);
    put_value_of_size(tree, SLICE("key"), 100000);
    CHECK(rbtree_memory(tree) >= small + 100000 - 10);
    put_value_of_size(tree, SLICE("key"), 10);
    CHECK_EQUAL(rbtree_memory(tree), small);
    put_value_of_size(tree, SLICE("other"), 5000);
    CHECK(rbtree_remove(tree, SLICE("other")));
    CHECK(!rbtree_remove(tree, SLICE("other")));
    CHECK_EQUAL(rbtree_memory(tree), small);
    CHECK(rbtree_remove(tree, SLICE("key")));
    CHECK_EQUAL(rbtree_memory(tree), empty);
    put_value_of_size(tree, SLICE("key"), 10);
    rbtree_clear(tree);
    CHECK_EQUAL(rbtree_memory(tree), empty);
    rbtree_destroy(tree);
}

static void
test_memory_does_not_change_when_there_is_none(void)
{
    static const unsigned char bytes[1000] = {1};
    struct rbtree *tree = new_tree();
    put_value_of_size(tree, SLICE("key"), 10);
    size_t before = rbtree_memory(tree);
    struct value value = str_value((struct slice){bytes, sizeof(bytes)});
    memory_fail_after(0, true);
    CHECK_STATUS(rbtree_put(tree, SLICE("key"), value), STATUS_NO_MEMORY);
    CHECK_STATUS(rbtree_put(tree, SLICE("new"), value), STATUS_NO_MEMORY);
    memory_fail_after(-1, false);
    CHECK_EQUAL(rbtree_memory(tree), before);
    rbtree_destroy(tree);
}

static void
test_memory_of_a_built_tree_goes_when_it_is_emptied(void)
{
    struct rbtree *tree = new_tree();
    size_t empty = rbtree_memory(tree);
    CHECK_STATUS(rbtree_build(tree, fill_material(&material, 100), 100, NULL),
                 STATUS_OK);
    CHECK(rbtree_memory(tree) > empty + 100 * 8);
    for (size_t i = 0; i < 100; i++) {
        CHECK(rbtree_remove(tree, material.entries[i].key));
    }
    CHECK_EQUAL(rbtree_memory(tree), empty);
    rbtree_destroy(tree);
}

static const struct test tests[] = {
    TEST(test_trees_of_every_size_are_built),
    TEST(test_built_tree_can_be_changed_in_every_place),
    TEST(test_built_tree_can_be_emptied),
    TEST(test_built_tree_owns_copies),
    TEST(test_tree_that_was_cleared_is_built_like_a_new_one),
    TEST(test_build_without_memory_leaves_an_empty_tree),
    TEST(test_put_of_many_is_that_of_one_after_the_other),
    TEST(test_put_of_many_without_memory_changes_nothing),
    TEST(test_build_ends_at_each_question_of_an_interrupt),
    TEST(test_put_of_many_ends_at_each_question_of_an_interrupt),
    TEST(test_passes_over_a_tree_end_at_each_question_of_an_interrupt),
    TEST(test_each_node_is_found_at_its_index_and_distance),
    TEST(test_seek_back_finds_the_nearest_key_below),
    TEST(test_seek_and_seek_back_meet_at_a_key_and_part_around_a_gap),
    TEST(test_seek_back_compares_prefixes_like_the_order_of_keys),
    TEST(test_memory_grows_and_shrinks_with_what_is_kept),
    TEST(test_memory_does_not_change_when_there_is_none),
    TEST(test_memory_of_a_built_tree_goes_when_it_is_emptied),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
