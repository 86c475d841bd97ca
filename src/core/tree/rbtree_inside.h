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

static inline enum side
opposite(enum side side)
{
    return side == LEFT ? RIGHT : LEFT;
}

static inline enum side
side_of(const struct rbtree_node *node)
{
    return node->parent->child[LEFT] == node ? LEFT : RIGHT;
}

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

/* Before the comparison: whichever child it chooses is then being loaded. */
static inline void
prefetch_children(const struct rbtree_node *node)
{
    rbtree_prefetch(node->child[LEFT]);
    rbtree_prefetch(node->child[RIGHT]);
}

/* Nodes between two questions to the interrupt: a millisecond at most. */
enum { UNINTERRUPTED = 1024 };

/* Whether work that has done `count` nodes shall stop. */
static inline bool
is_interrupted(size_t count, const struct interrupt *interrupt)
{
    return count % UNINTERRUPTED == UNINTERRUPTED - 1
           && interrupt_is_due(interrupt);
}

/* Inserts an unlinked node, or gives its value to the node that has the key.
 * Cannot fail. */
void
rbtree_put_node(struct rbtree *tree, struct rbtree_node *node);

#endif
