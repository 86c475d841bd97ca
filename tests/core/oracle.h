/* tests/core/oracle.h
 *
 * A dumb oracle for the tree: an array that is kept sorted by moving
 * everything that stands behind the place.
 *
 * Both hold generated keys and values; check_same() asks the tree all its
 * questions and compares the answers.
 */
#ifndef SHAREDMAP_TESTS_CORE_ORACLE_H
#define SHAREDMAP_TESTS_CORE_ORACLE_H

#include "core/base/memory.h"
#include "core/check.h"
#include "core/snapshots.h"
#include "core/tree/rbtree.h"

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

static inline struct slice
pair_key(const struct pair *pair)
{
    return (struct slice){pair->key, pair->key_size};
}

/* The first place whose key is not below `key`. One after the other: a dumb
 * oracle has no search that could be wrong. */
static inline size_t
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

static inline bool
oracle_has(size_t place, struct slice key)
{
    return place < oracle.count
           && slice_equals(pair_key(&oracle.pairs[place]), key);
}

static inline void
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

static inline bool
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

static inline void
oracle_clear(void)
{
    while (oracle.count > 0) {
        oracle.count -= 1;
        free(oracle.pairs[oracle.count].value);
    }
}

/* ---- both --------------------------------------------------------------- */

static inline struct rbtree *
new_tree(void)
{
    struct rbtree *tree = NULL;
    CHECK_STATUS(rbtree_create(&tree), STATUS_OK);
    return tree;
}

static inline void
check_rules(const struct rbtree *tree)
{
    const char *broken = rbtree_check(tree);
    if (broken != NULL) {
        printf("      %s\n", broken);
    }
    CHECK(broken == NULL);
}

static inline void
check_entry(struct entry entry, const struct pair *pair)
{
    CHECK(slice_equals(entry.key, pair_key(pair)));
    CHECK(slice_equals(entry.value.bytes,
                       (struct slice){pair->value, pair->value_size}));
    CHECK_EQUAL(entry.value.type, pair->type);
}

static inline void
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
    CHECK_STATUS(rbtree_entries(tree, entries, NULL), STATUS_OK);
    for (size_t i = 0; i < oracle.count; i++) {
        check_entry(entries[i], &oracle.pairs[i]);
    }
    free(entries);
}

/* Keys in the order of their numbers. */
static inline struct slice
number_key(uint64_t number, unsigned char room[8])
{
    for (int i = 0; i < 8; i++) {
        room[i] = (unsigned char)(number >> 8 * (7 - i));
    }
    return (struct slice){room, 8};
}

static inline struct value
str_value(struct slice bytes)
{
    return (struct value){bytes, VALUE_STR};
}

static inline void
put_both(struct rbtree *tree, struct slice key, struct value value)
{
    CHECK_STATUS(rbtree_put(tree, key, value), STATUS_OK);
    oracle_put(key, value);
}

static inline void
put_number(struct rbtree *tree, uint64_t number)
{
    unsigned char room[8];
    struct slice key = number_key(number, room);
    put_both(tree, key, str_value(key));
}

static inline void
remove_number(struct rbtree *tree, uint64_t number)
{
    unsigned char room[8];
    struct slice key = number_key(number, room);
    CHECK_EQUAL(rbtree_remove(tree, key), oracle_remove(key));
    CHECK(rbtree_find(tree, key) == NULL);
}

static inline void
end_both(struct rbtree *tree)
{
    rbtree_destroy(tree);
    oracle_clear();
}

static inline void
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

static inline void
check_is_empty(const struct rbtree *tree)
{
    CHECK_EQUAL(rbtree_count(tree), 0);
    CHECK(rbtree_first(tree) == NULL);
    CHECK(rbtree_last(tree) == NULL);
    CHECK(rbtree_find(tree, SLICE("")) == NULL);
    CHECK(rbtree_find(tree, SLICE("a")) == NULL);
    CHECK(rbtree_seek(tree, SLICE("")) == NULL);
    CHECK_STATUS(rbtree_entries(tree, NULL, NULL), STATUS_OK);
    check_rules(tree);
}

#endif
