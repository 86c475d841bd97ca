/* core/rbtree_node.h
 *
 * A node of the red-black tree and what it holds. For rbtree.c; everybody else
 * knows nodes by their names only.
 */
#ifndef SHAREDMAP_CORE_RBTREE_NODE_H
#define SHAREDMAP_CORE_RBTREE_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/entry.h"
#include "core/status.h"

enum side { LEFT = 0, RIGHT = 1 };

struct rbtree_node {
    unsigned char *value;  // into bytes[], or owned
    size_t value_size;
    struct rbtree_node *parent;  // NULL for the root
    // What a search reads lies together, up to the beginning of the key.
    struct rbtree_node *child[2];
    size_t key_size;
    uint32_t value_room;  // behind the key
    uint8_t value_type;
    bool is_red;
    unsigned char bytes[];
};

/* Fills a new red node without relatives that owns copies of both.
 * STATUS_NO_MEMORY. */
enum status
rbtree_node_create(struct rbtree_node **node, struct slice key,
                   struct value value);

void
rbtree_node_destroy(struct rbtree_node *node);

/* On STATUS_NO_MEMORY the node keeps the value that it had. */
enum status
rbtree_node_set_value(struct rbtree_node *node, struct value value);

/* Bytes of memory that it takes. */
size_t
rbtree_node_memory(struct rbtree_node *node);

static inline struct slice
rbtree_node_key(const struct rbtree_node *node)
{
    return (struct slice){node->bytes, node->key_size};
}

#endif
