/* core/tree/rbtree_node.h
 *
 * A node of the red-black tree and what it holds. For the tree itself; to all
 * other code a node is opaque.
 */
#ifndef SHAREDMAP_CORE_TREE_RBTREE_NODE_H
#define SHAREDMAP_CORE_TREE_RBTREE_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/entry.h"
#include "core/base/status.h"
#include "core/tree/slab.h"

enum side { LEFT = 0, RIGHT = 1 };

/* Where the bytes of a node's value are. */
enum value_location {
    VALUE_INSIDE,   // behind the key
    VALUE_OUTSIDE,  // an allocation of their own
    VALUE_IN_NODE,  // inside or outside of another node, which this one owns
};

struct rbtree_node {
    size_t value_size;
    struct rbtree_node *parent;  // NULL for the root
    // A cache line begins here. It holds what a search reads, with the first
    // 40 bytes of the key.
    struct rbtree_node *child[2];
    uint64_t key_size : 48;  // more than there are addresses
    uint64_t lines : 8;      // of memory; 0 if it is not a multiple of a line
    uint64_t value_type : 3;
    uint64_t is_red : 1;
    uint64_t value_location : 2;
    unsigned char bytes[];
};

/* The memory of all nodes of a tree. Empty when all zero. */
struct node_memory {
    struct slab slab;
    size_t allocations;  // besides: of long nodes and long values
    size_t bytes;        // in use, all together
};

/* Fills an unlinked new red node that owns copies of both.
 * STATUS_NO_MEMORY. */
enum status
rbtree_node_create(struct node_memory *memory, struct rbtree_node **node,
                   struct slice key, struct value value);

void
rbtree_node_destroy(struct node_memory *memory, struct rbtree_node *node);

/* On STATUS_NO_MEMORY the node keeps the value that it had. */
enum status
rbtree_node_set_value(struct node_memory *memory, struct rbtree_node *node,
                      struct value value);

/* The same in two steps, of which only the first can fail. Fills the storage
 * for a value of this size, NULL if the node has room for it. Either give the
 * storage to the node, or release it with memory_release(). */
enum status
rbtree_node_reserve(const struct rbtree_node *node, size_t size,
                    unsigned char **storage);

void
rbtree_node_give_value(struct node_memory *memory, struct rbtree_node *node,
                       struct value value, unsigned char *storage);

/* Gives the node the value of another one, which is unlinked and is destroyed
 * or owned by the node from then on. Cannot fail. */
void
rbtree_node_take_value(struct node_memory *memory, struct rbtree_node *node,
                       struct rbtree_node *other);

struct value
rbtree_node_value(const struct rbtree_node *node);

static inline struct slice
rbtree_node_key(const struct rbtree_node *node)
{
    return (struct slice){node->bytes, node->key_size};
}

#endif
