/* core/tree/rbtree_inside.h
 *
 * The tree as the files see it that it consists of.
 */
#ifndef SHAREDMAP_CORE_TREE_RBTREE_INSIDE_H
#define SHAREDMAP_CORE_TREE_RBTREE_INSIDE_H

#include "core/tree/rbtree.h"
#include "core/tree/rbtree_node.h"

/* How many wait for each other: enough to fill the time that memory takes. */
enum { RBTREE_WAITING = 32 };

struct rbtree {
    struct rbtree_node *root;
    size_t count;
    uint64_t version;
    struct node_memory memory;
    // Owned, in the order in which they came; see rbtree_deferred.c.
    struct rbtree_node *waiting[RBTREE_WAITING];
    size_t waiting_count;
};

static inline bool
is_red(const struct rbtree_node *node)
{
    return node != NULL && node->is_red;
}

/* Asks for what a search reads of a node; NULL does no harm. */
static inline void
rbtree_prefetch(const struct rbtree_node *node)
{
    __builtin_prefetch(
        (const void *)((uintptr_t)node + offsetof(struct rbtree_node, child)));
}

/* Lets a node without relatives take its place, or gives its value to the one
 * that has the key. Cannot fail. */
void
rbtree_put_node(struct rbtree *tree, struct rbtree_node *node);

#endif
