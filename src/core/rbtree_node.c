/* core/rbtree_node.c
 *
 * A node and its key are one allocation. A value up to VALUE_ROOM bytes lies
 * behind the key; a longer one is an allocation of its own:
 *
 *     | struct rbtree_node | key bytes | room for a short value |
 *            value ----------------------^
 *            value ---> | a long value |
 *
 * A node therefore stays where it is when its value is replaced, and who
 * stands on it while walking does not fall.
 *
 * Not here: parents and colours; see rbtree.c.
 */
#include "core/rbtree_node.h"

#include "core/memory.h"

/* Short values are replaced in place, and what a node wastes when a long
 * value becomes a short one stays below this many bytes. */
enum { VALUE_ROOM = 256 };

static inline unsigned char *
node_room(struct rbtree_node *node)
{
    return node->bytes + node->key_size;
}

/* The room begins inside the allocation of the node, even if it has no bytes,
 * so no other allocation can be where it is. */
_Static_assert(offsetof(struct rbtree_node, bytes)
                   < sizeof(struct rbtree_node),
               "the allocation is longer than what lies before the room");

static bool
owns_value(struct rbtree_node *node)
{
    return node->value != node_room(node);
}

size_t
rbtree_node_memory(struct rbtree_node *node)
{
    return sizeof(*node) + node->key_size + node->value_room
           + (owns_value(node) ? node->value_size : 0);
}

void
rbtree_node_destroy(struct rbtree_node *node)
{
    if (owns_value(node)) {
        memory_release(node->value);
    }
    memory_release(node);
}

enum status
rbtree_node_set_value(struct rbtree_node *node, struct value value)
{
    unsigned char *place = node_room(node);
    if (value.bytes.size > node->value_room) {
        place = memory_allocate(value.bytes.size);
        if (place == NULL) {
            return STATUS_NO_MEMORY;
        }
    }
    // The new bytes may be the old ones: a tree may be updated from itself.
    if (value.bytes.size > 0) {
        memmove(place, value.bytes.bytes, value.bytes.size);
    }
    if (owns_value(node)) {
        memory_release(node->value);
    }
    node->value = place;
    node->value_size = value.bytes.size;
    node->value_type = (uint8_t)value.type;
    return STATUS_OK;
}

enum status
rbtree_node_create(struct rbtree_node **created, struct slice key,
                   struct value value)
{
    size_t room = value.bytes.size <= VALUE_ROOM ? value.bytes.size : 0;
    size_t size;
    if (__builtin_add_overflow(sizeof(struct rbtree_node) + room, key.size,
                               &size))
    {
        return STATUS_NO_MEMORY;
    }
    struct rbtree_node *node = memory_allocate(size);
    if (node == NULL) {
        return STATUS_NO_MEMORY;
    }
    node->parent = node->child[LEFT] = node->child[RIGHT] = NULL;
    node->is_red = true;
    node->key_size = key.size;
    node->value_room = (uint32_t)room;
    node->value = node->bytes + key.size;
    slice_copy(node->bytes, key);
    enum status status = rbtree_node_set_value(node, value);
    if (status != STATUS_OK) {
        memory_release(node);
        return status;
    }
    *created = node;
    return STATUS_OK;
}
