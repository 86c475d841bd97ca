/* core/tree/rbtree_search.c
 *
 * Finding nodes, and going from one to the next:
 *
 *              d                 successor of b: the leftmost of its right
 *            /   \               subtree, c; of c: the first ancestor that
 *          b       e             is to the right, d.
 *        /   \
 *       a     c
 *
 * Nothing here changes a tree, so any number of threads may do it at a time.
 *
 * Not here: changes; see rbtree.c.
 */
#include "core/tree/rbtree_inside.h"

/* ---- search ------------------------------------------------------------- */

const struct rbtree_node *
rbtree_find(const struct rbtree *tree, struct slice key)
{
    const struct rbtree_node *node = tree->root;
    while (node != NULL) {
        prefetch_children(node);
        int order = slice_compare(key, rbtree_node_key(node));
        if (order == 0) {
            return node;
        }
        node = node->child[order < 0 ? LEFT : RIGHT];
    }
    return NULL;
}

/* The first node, towards `side`, whose key is `key` or beyond it. */
static const struct rbtree_node *
seek(const struct rbtree *tree, struct slice key, enum side side)
{
    const struct rbtree_node *node = tree->root;
    const struct rbtree_node *best = NULL;
    while (node != NULL) {
        int order = slice_compare(rbtree_node_key(node), key);
        if (side == RIGHT ? order < 0 : order > 0) {
            node = node->child[side];
        }
        else {
            best = node;
            node = node->child[opposite(side)];
        }
    }
    return best;
}

const struct rbtree_node *
rbtree_seek(const struct rbtree *tree, struct slice key)
{
    return seek(tree, key, RIGHT);
}

const struct rbtree_node *
rbtree_seek_back(const struct rbtree *tree, struct slice key)
{
    return seek(tree, key, LEFT);
}

/* ---- iteration ---------------------------------------------------------- */

static const struct rbtree_node *
outermost(const struct rbtree_node *node, enum side side)
{
    while (node != NULL && node->child[side] != NULL) {
        node = node->child[side];
    }
    return node;
}

/* The successor (RIGHT) or predecessor (LEFT): the nearest node of that side's
 * subtree, or else the first ancestor on that side. */
static const struct rbtree_node *
adjacent(const struct rbtree_node *node, enum side side)
{
    if (node->child[side] != NULL) {
        return outermost(node->child[side], opposite(side));
    }
    while (node->parent != NULL && side_of(node) == side) {
        node = node->parent;
    }
    return node->parent;
}

const struct rbtree_node *
rbtree_first(const struct rbtree *tree)
{
    return outermost(tree->root, LEFT);
}

const struct rbtree_node *
rbtree_last(const struct rbtree *tree)
{
    return outermost(tree->root, RIGHT);
}

const struct rbtree_node *
rbtree_next(const struct rbtree_node *node)
{
    return adjacent(node, RIGHT);
}

const struct rbtree_node *
rbtree_previous(const struct rbtree_node *node)
{
    return adjacent(node, LEFT);
}

enum status
rbtree_distance(const struct rbtree_node *first, const struct rbtree_node *end,
                size_t *distance, const struct interrupt *interrupt)
{
    *distance = 0;
    while (first != end) {
        if (is_interrupted(*distance, interrupt)) {
            return STATUS_INTERRUPTED;
        }
        first = rbtree_next(first);
        *distance += 1;
    }
    return STATUS_OK;
}

enum status
rbtree_at(const struct rbtree *tree, size_t index,
          const struct rbtree_node **node, const struct interrupt *interrupt)
{
    const enum side side = index < tree->count / 2 ? RIGHT : LEFT;
    const size_t steps = side == RIGHT ? index : tree->count - 1 - index;
    *node = outermost(tree->root, opposite(side));
    for (size_t done = 0; done < steps; done++) {
        if (is_interrupted(done, interrupt)) {
            return STATUS_INTERRUPTED;
        }
        *node = adjacent(*node, side);
    }
    return STATUS_OK;
}

struct entry
rbtree_entry(const struct rbtree_node *node)
{
    return (struct entry){
        .key = rbtree_node_key(node),
        .value = rbtree_node_value(node),
    };
}

enum status
rbtree_entries(const struct rbtree *tree, struct entry *entries,
               const struct interrupt *interrupt)
{
    size_t done = 0;
    for (const struct rbtree_node *node = rbtree_first(tree); node != NULL;
         node = rbtree_next(node))
    {
        if (is_interrupted(done, interrupt)) {
            return STATUS_INTERRUPTED;
        }
        entries[done++] = rbtree_entry(node);
    }
    return STATUS_OK;
}
