/* core/tree/rbtree_inside.h
 *
 * The tree's struct, for the files that implement it.
 */
#ifndef SHAREDMAP_CORE_TREE_RBTREE_INSIDE_H
#define SHAREDMAP_CORE_TREE_RBTREE_INSIDE_H

#include "core/tree/rbtree.h"
#include "core/tree/rbtree_node.h"

/* The size of a batch: enough misses to fill the latency of memory. With 8,
 * inserting 100 k random keys takes 1.2 times as long. */
enum { RBTREE_DEFERRED = 32 };

struct rbtree {
    struct rbtree_node *root;
    size_t count;
    uint64_t version;
    struct node_memory memory;
    // Owned, in the order of the puts; see rbtree_deferred.c.
    struct rbtree_node *deferred[RBTREE_DEFERRED];
    size_t deferred_count;
};

static inline bool
is_red(const struct rbtree_node *node)
{
    return node != NULL && node->is_red;
}

/* Prefetches what a search reads of a node; NULL is harmless. */
static inline void
rbtree_prefetch(const struct rbtree_node *node)
{
    __builtin_prefetch(
        (const void *)((uintptr_t)node + offsetof(struct rbtree_node, child)));
}

/* Inserts an unlinked node, or gives its value to the node that has the key.
 * Cannot fail. */
void
rbtree_put_node(struct rbtree *tree, struct rbtree_node *node);

#endif
