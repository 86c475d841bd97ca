/* core/tree/rbtree.c
 *
 * A red-black tree.
 *
 *   1  A red node has no red child.
 *   2  Every path from the root to a NULL has the same number of black nodes.
 *
 * Together they keep the longest path at most twice as long as the shortest.
 * Inserting can only break 1, removing only leaves some paths one black node
 * short of 2. Each repair climbs until its rule holds again. rbtree_check()
 * verifies both.
 *
 * Left and right are child[LEFT] and child[RIGHT], so each repair is written
 * once for a side and its opposite. In the pictures the side is the left, red
 * nodes are in (parentheses), and ? stands for either colour.
 *
 * Not here: what a node holds (rbtree_node.c); search and iteration
 * (rbtree_search.c); deferred puts (rbtree_deferred.c); the check
 * (rbtree_check.c); locks and Python. The caller keeps writers away from all
 * other threads.
 */
#include "core/tree/rbtree.h"

#include <assert.h>

#include "core/base/memory.h"
#include "core/tree/rbtree_inside.h"

/* ---- shape -------------------------------------------------------------- */

/* Sets the link to `node` to `heir`, which may be NULL. */
static void
replace_child(struct rbtree *tree, struct rbtree_node *node,
              struct rbtree_node *heir)
{
    if (node->parent == NULL) {
        tree->root = heir;
    }
    else {
        node->parent->child[side_of(node)] = heir;
    }
    if (heir != NULL) {
        heir->parent = node->parent;
    }
}

/* Sinks `top` to `side`; its other child rises:
 *
 *        top                 riser
 *       /   \               /     \
 *      a    riser    ->   top      c
 *           /   \        /   \
 *          b     c      a     b
 */
static void
rotate(struct rbtree *tree, struct rbtree_node *top, enum side side)
{
    struct rbtree_node *riser = top->child[opposite(side)];
    struct rbtree_node *inner = riser->child[side];

    replace_child(tree, top, riser);
    riser->child[side] = top;
    top->parent = riser;
    top->child[opposite(side)] = inner;
    if (inner != NULL) {
        inner->parent = top;
    }
}

/* ---- insertion ---------------------------------------------------------- */

/* `node` is red. Loop invariant: the tree obeys both rules, except that
 * node's parent may be red too. */
static void
repair_after_insertion(struct rbtree *tree, struct rbtree_node *node)
{
    while (node->parent != NULL && node->parent->is_red) {
        struct rbtree_node *parent = node->parent;
        struct rbtree_node *grandparent = parent->parent;
        if (grandparent == NULL) {
            // Case 1: the parent is the root, and a root may be black.
            parent->is_red = false;
            return;
        }
        enum side side = side_of(parent);
        struct rbtree_node *uncle = grandparent->child[opposite(side)];
        if (is_red(uncle)) {
            /* Case 2: push the grandparent's black down; it becomes the red
             * node that may have a red parent.
             *
             *          g                 (g)
             *        /   \              /   \
             *      (p)   (u)    ->     p     u
             *      /                  /
             *    (n)                (n)
             */
            parent->is_red = false;
            uncle->is_red = false;
            grandparent->is_red = true;
            node = grandparent;
            continue;
        }
        if (node == parent->child[opposite(side)]) {
            /* Case 3: turn the inner grandchild outwards, then case 4.
             *
             *        g              g
             *       /              /
             *     (p)     ->     (n)
             *       \            /
             *       (n)        (p)
             */
            rotate(tree, parent, side);
            parent = node;
        }
        /* Case 4: the parent rises and takes the grandparent's black.
         *
         *          g              p
         *         /             /   \
         *       (p)     ->    (n)   (g)
         *       /
         *     (n)
         */
        parent->is_red = false;
        grandparent->is_red = true;
        rotate(tree, grandparent, opposite(side));
        return;
    }
}

/* The link of a key: the child of `parent` on `side`, or the root. */
struct link {
    struct rbtree_node *node;    // NULL when the key is not there
    struct rbtree_node *parent;  // NULL for the root
    enum side side;
};

static struct link
find_link(const struct rbtree *tree, struct slice key)
{
    struct link link = {.node = tree->root};
    while (link.node != NULL) {
        prefetch_children(link.node);
        int order = slice_compare(key, rbtree_node_key(link.node));
        if (order == 0) {
            break;
        }
        link.parent = link.node;
        link.side = order < 0 ? LEFT : RIGHT;
        link.node = link.node->child[link.side];
    }
    return link;
}

/* Sets a link that is NULL to a new node. */
static void
link_node(struct rbtree *tree, struct rbtree_node *node, struct link link)
{
    node->parent = link.parent;
    *(link.parent == NULL ? &tree->root : &link.parent->child[link.side]) =
        node;
    repair_after_insertion(tree, node);
    tree->count += 1;
    tree->version += 1;
}

/* Inserts a new node, or fills `found` with the node that has the key and does
 * not change it. */
static enum status
insert_or_find(struct rbtree *tree, struct slice key, struct value value,
               struct rbtree_node **found)
{
    struct link link = find_link(tree, key);
    struct rbtree_node *node;
    *found = link.node;
    if (link.node != NULL) {
        return STATUS_OK;
    }
    enum status status = rbtree_node_create(&tree->memory, &node, key, value);
    if (status == STATUS_OK) {
        link_node(tree, node, link);
    }
    return status;
}

void
rbtree_put_node(struct rbtree *tree, struct rbtree_node *node)
{
    struct link link = find_link(tree, rbtree_node_key(node));
    if (link.node == NULL) {
        link_node(tree, node, link);
    }
    else {
        rbtree_node_take_value(&tree->memory, link.node, node);
    }
}

enum status
rbtree_put(struct rbtree *tree, struct slice key, struct value value)
{
    struct rbtree_node *node;
    enum status status = insert_or_find(tree, key, value, &node);
    if (status == STATUS_OK && node != NULL) {
        status = rbtree_node_set_value(&tree->memory, node, value);
    }
    return status;
}

/* ---- many at once ------------------------------------------------------- */

/* What is left to do for one entry when all that could fail is done. */
struct replacement {
    struct rbtree_node *node;  // borrowed; NULL: the entry was inserted
    unsigned char *storage;    // owned, unless so; for the value, or NULL
};

static enum status
put_or_prepare(struct rbtree *tree, const struct entry *entry,
               struct replacement *to_do)
{
    enum status status =
        insert_or_find(tree, entry->key, entry->value, &to_do->node);
    return status != STATUS_OK || to_do->node == NULL
               ? status
               : rbtree_node_reserve(to_do->node, entry->value.bytes.size,
                                     &to_do->storage);
}

/* Takes back what was prepared, except for what was inserted. */
static void
drop_replacements(const struct replacement *replacements, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (replacements[i].node != NULL) {
            memory_release(replacements[i].storage);
        }
    }
}

/* Fills how many of the entries were put or prepared. */
static enum status
prepare_all(struct rbtree *tree, const struct entry *entries, size_t count,
            struct replacement *replacements, size_t *done,
            const struct interrupt *interrupt)
{
    for (*done = 0; *done < count; *done += 1) {
        if (is_interrupted(*done, interrupt)) {
            return STATUS_INTERRUPTED;
        }
        enum status status =
            put_or_prepare(tree, &entries[*done], &replacements[*done]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* Gives the nodes their new values; fills how many. */
static enum status
replace_all(struct rbtree *tree, const struct entry *entries, size_t count,
            const struct replacement *replacements, size_t *done,
            const struct interrupt *interrupt)
{
    for (*done = 0; *done < count; *done += 1) {
        const struct replacement *to_do = &replacements[*done];
        if (is_interrupted(*done, interrupt)) {
            return STATUS_INTERRUPTED;
        }
        if (to_do->node != NULL) {
            rbtree_node_give_value(&tree->memory, to_do->node,
                                   entries[*done].value, to_do->storage);
        }
    }
    return STATUS_OK;
}

enum status
rbtree_put_all(struct rbtree *tree, const struct entry *entries, size_t count,
               const struct interrupt *interrupt)
{
    struct replacement *replacements =
        memory_allocate_array(count, sizeof(*replacements));
    if (replacements == NULL) {
        return STATUS_NO_MEMORY;
    }
    const uint64_t version = tree->version;
    size_t prepared, replaced = 0;
    enum status status =
        prepare_all(tree, entries, count, replacements, &prepared, interrupt);
    if (status == STATUS_OK) {
        status = replace_all(tree, entries, count, replacements, &replaced,
                             interrupt);
    }
    drop_replacements(replacements + replaced, prepared - replaced);
    if (status == STATUS_NO_MEMORY) {
        for (size_t i = 0; i < prepared; i++) {
            if (replacements[i].node == NULL) {
                rbtree_remove(tree, entries[i].key);
            }
        }
        // Nodes that were inserted and removed again had no readers.
        tree->version = version;
    }
    memory_release(replacements);
    return status;
}

/* ---- building from sorted entries --------------------------------------- */

struct building {
    struct rbtree *tree;
    const struct interrupt *interrupt;
    size_t created;  // nodes
};

/* The middle entry is the root of its subtree, the halves are its children's:
 * all levels are full but the deepest. Black nodes on the full levels and red
 * ones on the deepest obey both rules. Fills `top`, also on failure, with what
 * there is to destroy; recursion is as deep as the tree is high. */
static enum status
build_subtree(struct building *building, const struct entry *entries,
              size_t count, unsigned levels, struct rbtree_node *parent,
              struct rbtree_node **top)
{
    *top = NULL;
    if (count == 0) {
        return STATUS_OK;
    }
    if (is_interrupted(building->created++, building->interrupt)) {
        return STATUS_INTERRUPTED;
    }
    size_t middle = count / 2;
    enum status status =
        rbtree_node_create(&building->tree->memory, top, entries[middle].key,
                           entries[middle].value);
    if (status != STATUS_OK) {
        return status;
    }
    struct rbtree_node *node = *top;
    node->parent = parent;
    node->is_red = levels == 0;
    status = build_subtree(building, entries, middle, levels - 1, node,
                           &node->child[LEFT]);
    if (status != STATUS_OK) {
        return status;
    }
    return build_subtree(building, entries + middle + 1, count - middle - 1,
                         levels - 1, node, &node->child[RIGHT]);
}

enum status
rbtree_build(struct rbtree *tree, const struct entry *entries, size_t count,
             const struct interrupt *interrupt)
{
    struct building building = {.tree = tree, .interrupt = interrupt};
    assert(tree->count == 0);
    // How many levels are full, the root's among them: floor(log2(count + 1)).
    unsigned levels = 0;
    for (size_t rest = count + 1; rest > 1; rest /= 2) {
        levels += 1;
    }
    enum status status =
        build_subtree(&building, entries, count, levels, NULL, &tree->root);
    if (status != STATUS_OK) {
        rbtree_clear(tree);
        return status;
    }
    tree->count = count;
    tree->version += count > 0;
    return STATUS_OK;
}

/* ---- removal ------------------------------------------------------------ */

/* Loop invariant: both rules hold, except that every path through
 * parent->child[side] is one black node short. */
static void
repair_after_removal(struct rbtree *tree, struct rbtree_node *parent,
                     enum side side)
{
    for (;;) {
        enum side far_side = opposite(side);
        // Paths through the sibling are longer, so there is one.
        struct rbtree_node *sibling = parent->child[far_side];
        assert(sibling != NULL);
        if (sibling->is_red) {
            /* Case 1: bring up a black sibling.
             *
             *        p                  s
             *      /   \              /   \
             *     n    (s)    ->    (p)    d
             *         /   \        /   \
             *        c     d      n     c
             */
            sibling->is_red = false;
            parent->is_red = true;
            rotate(tree, parent, side);
            sibling = parent->child[far_side];
            assert(sibling != NULL);
        }
        if (!is_red(sibling->child[LEFT]) && !is_red(sibling->child[RIGHT])) {
            /* Case 2: shorten the sibling's side as well; now all paths
             * through the parent are one short.
             *
             *        p?                 p?
             *      /   \              /   \
             *     n     s     ->     n    (s)
             *          / \                / \
             *         c   d              c   d
             */
            sibling->is_red = true;
            if (parent->is_red || parent->parent == NULL) {
                // Either its black makes up for it, or all paths of the tree
                // are one shorter.
                parent->is_red = false;
                return;
            }
            side = side_of(parent);
            parent = parent->parent;
            continue;
        }
        if (!is_red(sibling->child[far_side])) {
            /* Case 3: turn the near red nephew outwards, then case 4.
             *
             *      s              c
             *     / \              \
             *   (c)  d     ->      (s)
             *                        \
             *                         d
             */
            sibling->child[side]->is_red = false;
            sibling->is_red = true;
            rotate(tree, sibling, far_side);
            sibling = parent->child[far_side];
        }
        /* Case 4: the sibling rises in the parent's colour; the parent's
         * black makes up for what is missing.
         *
         *        p?                 s?
         *      /   \              /   \
         *     n     s     ->     p     d
         *          / \          / \
         *         c?  (d)      n   c?
         */
        sibling->is_red = parent->is_red;
        parent->is_red = false;
        sibling->child[far_side]->is_red = false;
        rotate(tree, parent, side);
        return;
    }
}

static void
unlink_node(struct rbtree *tree, struct rbtree_node *node)
{
    if (node->child[LEFT] != NULL && node->child[RIGHT] != NULL) {
        /* Two children: the successor, which has no left child, first swaps
         * its position and colour with the node.
         *
         *        n                  s
         *      /   \              /   \
         *     a     b     ->     a     b
         *          /                  /
         *         s                  n
         *          \                  \
         *           c                  c
         */
        struct rbtree_node *successor = node->child[RIGHT];
        while (successor->child[LEFT] != NULL) {
            successor = successor->child[LEFT];
        }
        struct rbtree_node *orphan = successor->child[RIGHT];
        struct rbtree_node *above = successor->parent;
        bool successor_is_red = successor->is_red;

        replace_child(tree, node, successor);
        successor->is_red = node->is_red;
        successor->child[LEFT] = node->child[LEFT];
        successor->child[LEFT]->parent = successor;
        if (above == node) {
            successor->child[RIGHT] = node;
            node->parent = successor;
        }
        else {
            successor->child[RIGHT] = node->child[RIGHT];
            successor->child[RIGHT]->parent = successor;
            above->child[LEFT] = node;
            node->parent = above;
        }
        node->is_red = successor_is_red;
        node->child[LEFT] = NULL;
        node->child[RIGHT] = orphan;
    }
    struct rbtree_node *parent = node->parent;
    enum side side = parent != NULL ? side_of(node) : LEFT;
    struct rbtree_node *only_child =
        node->child[node->child[LEFT] == NULL ? RIGHT : LEFT];
    replace_child(tree, node, only_child);
    if (only_child != NULL) {
        // By rule 2 an only child is red and its parent black: it inherits.
        only_child->is_red = false;
    }
    else if (!node->is_red && parent != NULL) {
        repair_after_removal(tree, parent, side);
    }
}

bool
rbtree_remove(struct rbtree *tree, struct slice key)
{
    struct rbtree_node *node = (struct rbtree_node *)rbtree_find(tree, key);
    if (node == NULL) {
        return false;
    }
    unlink_node(tree, node);
    tree->count -= 1;
    tree->version += 1;
    rbtree_node_destroy(&tree->memory, node);
    return true;
}

/* ---- the tree itself --------------------------------------------------- */

enum status
rbtree_create(struct rbtree **created)
{
    struct rbtree *tree = memory_allocate(sizeof(*tree));
    if (tree == NULL) {
        return STATUS_NO_MEMORY;
    }
    *tree = (struct rbtree){.root = NULL};
    *created = tree;
    return STATUS_OK;
}

/* Deferred nodes are not linked to the tree yet. */
static void
drop_deferred(struct rbtree *tree)
{
    for (size_t i = 0; i < tree->deferred_count; i++) {
        rbtree_node_destroy(&tree->memory, tree->deferred[i]);
    }
    tree->deferred_count = 0;
}

void
rbtree_clear(struct rbtree *tree)
{
    drop_deferred(tree);
    // Children first, without a stack: climb by the parent links.
    // Nodes without allocations of their own need no visit.
    struct rbtree_node *node =
        tree->memory.allocations > 0 ? tree->root : NULL;
    while (node != NULL) {
        if (node->child[LEFT] != NULL) {
            node = node->child[LEFT];
        }
        else if (node->child[RIGHT] != NULL) {
            node = node->child[RIGHT];
        }
        else {
            struct rbtree_node *parent = node->parent;
            if (parent != NULL) {
                parent->child[side_of(node)] = NULL;
            }
            rbtree_node_destroy(&tree->memory, node);
            node = parent;
        }
    }
    slab_clear(&tree->memory.slab);
    tree->memory.bytes = 0;
    tree->root = NULL;
    // Iterators over an empty tree have missed nothing.
    tree->version += tree->count > 0;
    tree->count = 0;
}

void
rbtree_destroy(struct rbtree *tree)
{
    if (tree != NULL) {
        rbtree_clear(tree);
        memory_release(tree);
    }
}

size_t
rbtree_count(const struct rbtree *tree)
{
    return tree->count;
}

size_t
rbtree_memory(const struct rbtree *tree)
{
    return sizeof(*tree) + tree->memory.bytes;
}

uint64_t
rbtree_version(const struct rbtree *tree)
{
    return tree->version;
}
