/* tests/core/test_rbtree_check.c
 *
 * rbtree_check() must be able to say no. A tree with a broken rule cannot be
 * made through tree/rbtree.h, so this program sees its insides.
 */
#include "core/tree/rbtree_inside.h"

#include "core/check.h"

static void
put(struct rbtree *tree, unsigned char letter)
{
    struct slice key = {&letter, 1};
    CHECK_STATUS(rbtree_put(tree, key, (struct value){.type = VALUE_NONE}),
                 STATUS_OK);
}

/* 31 nodes, some of them red. */
static struct rbtree *
sound_tree(void)
{
    struct rbtree *tree = NULL;
    CHECK_STATUS(rbtree_create(&tree), STATUS_OK);
    for (unsigned char letter = 'A'; letter < 'A' + 31; letter++) {
        put(tree, letter);
    }
    CHECK(rbtree_check(tree) == NULL);
    return tree;
}

/* Sound again, or the test that broke it could not free it. */
static void
destroy(struct rbtree *tree)
{
    CHECK(rbtree_check(tree) == NULL);
    rbtree_destroy(tree);
}

static void
check_says(const struct rbtree *tree, const char *words)
{
    const char *reason = rbtree_check(tree);
    CHECK(reason != NULL);
    CHECK(strstr(reason, words) != NULL);
}

static struct rbtree_node *
next(struct rbtree_node *node)
{
    return (struct rbtree_node *)rbtree_next(node);
}

static struct rbtree_node *
first(struct rbtree *tree)
{
    return (struct rbtree_node *)rbtree_first(tree);
}

static void
test_check_finds_red_below_red(void)
{
    struct rbtree *tree = sound_tree();
    int found = 0;
    for (struct rbtree_node *node = first(tree); node != NULL;
         node = next(node))
    {
        if (node->is_red && node->parent != NULL) {
            // Down here the repainted parent breaks rule 1, with whatever
            // is above it, before anyone counts the black nodes.
            struct rbtree_node *parent = node->parent;
            parent->is_red = true;
            check_says(tree, "red child");
            parent->is_red = false;
            found += 1;
        }
    }
    CHECK(found > 0);
    destroy(tree);
}

static void
test_check_finds_every_repainted_node(void)
{
    struct rbtree *tree = sound_tree();
    for (struct rbtree_node *node = first(tree); node != NULL;
         node = next(node))
    {
        node->is_red = !node->is_red;
        // The root alone may have either colour, if its children are black.
        bool is_free = node == tree->root && !is_red(node->child[LEFT])
                       && !is_red(node->child[RIGHT]);
        CHECK_EQUAL(rbtree_check(tree) == NULL, is_free);
        node->is_red = !node->is_red;
    }
    destroy(tree);
}

static void
test_check_counts_black_nodes_on_every_way(void)
{
    struct rbtree *tree = sound_tree();
    struct rbtree_node *leaf = first(tree);
    CHECK(!leaf->is_red);
    // Cut off, it leaves its side one black node short.
    leaf->parent->child[LEFT] = NULL;
    tree->count -= 1;
    check_says(tree, "black nodes");
    leaf->parent->child[LEFT] = leaf;
    tree->count += 1;
    destroy(tree);
}

static void
test_check_finds_wrong_parent_links(void)
{
    struct rbtree *tree = sound_tree();
    for (struct rbtree_node *node = first(tree); node != NULL;
         node = next(node))
    {
        struct rbtree_node *parent = node->parent;
        node->parent = parent == tree->root ? node : tree->root;
        check_says(tree, "parent");
        node->parent = parent;
    }
    destroy(tree);
}

static void
test_check_finds_a_wrong_count(void)
{
    struct rbtree *tree = sound_tree();
    tree->count += 1;
    check_says(tree, "count");
    tree->count -= 2;
    check_says(tree, "count");
    tree->count += 1;
    destroy(tree);
}

static void
test_check_finds_keys_out_of_order(void)
{
    struct rbtree *tree = sound_tree();
    struct rbtree_node *node = first(tree);
    for (struct rbtree_node *other = next(node); other != NULL;
         node = other, other = next(node))
    {
        unsigned char letter = node->bytes[0];
        node->bytes[0] = (unsigned char)(other->bytes[0] + 1);
        check_says(tree, "order");
        node->bytes[0] = other->bytes[0];  // equal keys are no order either
        check_says(tree, "order");
        node->bytes[0] = letter;
    }
    destroy(tree);
}

static int
height(const struct rbtree_node *node)
{
    if (node == NULL) {
        return 0;
    }
    int left = height(node->child[LEFT]);
    int right = height(node->child[RIGHT]);
    return 1 + (left > right ? left : right);
}

/* What the rules are for: no way down has many more than 2 log2(n) nodes. */
static void
test_height_stays_logarithmic(void)
{
    struct rbtree *tree = NULL;
    CHECK_STATUS(rbtree_create(&tree), STATUS_OK);
    for (size_t i = 0; i < 1U << 16; i++) {
        unsigned char room[2] = {(unsigned char)(i >> 8), (unsigned char)i};
        CHECK_STATUS(rbtree_put(tree, (struct slice){room, 2},
                                (struct value){.type = VALUE_NONE}),
                     STATUS_OK);
        if ((i & (i + 1)) == 0) {
            int bits = __builtin_popcountll(i);  // i + 1 is 1 << bits
            CHECK(height(tree->root) <= 2 * (bits + 1));
        }
    }
    destroy(tree);
}

static const struct test tests[] = {
    TEST(test_check_finds_red_below_red),
    TEST(test_check_finds_every_repainted_node),
    TEST(test_check_counts_black_nodes_on_every_way),
    TEST(test_check_finds_wrong_parent_links),
    TEST(test_check_finds_a_wrong_count),
    TEST(test_check_finds_keys_out_of_order),
    TEST(test_height_stays_logarithmic),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
