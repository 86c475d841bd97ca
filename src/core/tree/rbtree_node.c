/* core/tree/rbtree_node.c
 *
 * A node, its key and a short value are one block of memory, a multiple of a
 * cache line; so a value has some room to grow. A value that does not fit is
 * an allocation of its own, or in another node that was created for it. Then
 * the node holds that address instead of the value:
 *
 *     | struct rbtree_node | key bytes | value bytes ... room |
 *     | struct rbtree_node | key bytes | address | ...   room |
 *                                           |
 *                                           +-> | a long value |
 *                                           or  | node | key | value |
 *
 * A node therefore keeps its address when its value is replaced, and iterators
 * that stand on it stay valid.
 *
 * Not here: parents and colours; see rbtree.c.
 */
#include "core/tree/rbtree_node.h"

#include <string.h>

#include "core/base/memory.h"

/* Short values are overwritten. What a node wastes when a long value becomes
 * a short one stays below this many bytes and a cache line. */
enum { LARGEST_INSIDE = 256 };

_Static_assert(offsetof(struct rbtree_node, child) == SLAB_SKEW,
               "what a search reads begins a cache line");

/* What the bits of key_size hold: more than there is to address. */
#define LARGEST_KEY ((UINT64_C(1) << 48) - 1)

static size_t
node_size(const struct rbtree_node *node)
{
    return node->lines > 0 ? node->lines * (size_t)SLAB_LINE
                           : sizeof(*node) + node->key_size + sizeof(void *);
}

/* How many bytes of a value the node has room for. */
static size_t
node_room(const struct rbtree_node *node)
{
    return node_size(node) - sizeof(*node) - node->key_size;
}

/* The address that the node holds instead of the value. */
static void *
value_address(const struct rbtree_node *node)
{
    void *address;
    memcpy(&address, node->bytes + node->key_size, sizeof(address));
    return address;
}

struct value
rbtree_node_value(const struct rbtree_node *node)
{
    const unsigned char *bytes = node->bytes + node->key_size;
    if (node->value_location == VALUE_OUTSIDE) {
        bytes = value_address(node);
    }
    else if (node->value_location == VALUE_IN_NODE) {
        bytes = rbtree_node_value(value_address(node)).bytes.bytes;
    }
    return (struct value){
        .bytes = {bytes, node->value_size},
        .type = (enum value_type)node->value_type,
    };
}

/* Frees a value that was outside of the node, or does nothing. */
static void
release_value(struct node_memory *memory, enum value_location location,
              void *address, size_t size)
{
    if (location == VALUE_OUTSIDE) {
        memory_release(address);
        memory->allocations -= 1;
        memory->bytes -= size;
    }
    else if (location == VALUE_IN_NODE) {
        rbtree_node_destroy(memory, address);
    }
}

/* Leaves the node without a value: give it one, or destroy it. */
static void
drop_value(struct node_memory *memory, const struct rbtree_node *node)
{
    if (node->value_location != VALUE_INSIDE) {
        release_value(memory, (enum value_location)node->value_location,
                      value_address(node), node->value_size);
    }
}

enum status
rbtree_node_reserve(const struct rbtree_node *node, size_t size,
                    unsigned char **storage)
{
    *storage = NULL;
    if (size > node_room(node)) {
        *storage = memory_allocate(size);
        if (*storage == NULL) {
            return STATUS_NO_MEMORY;
        }
    }
    return STATUS_OK;
}

void
rbtree_node_give_value(struct node_memory *memory, struct rbtree_node *node,
                       struct value value, unsigned char *storage)
{
    unsigned char *inside = node->bytes + node->key_size;
    enum value_location old_location =
        (enum value_location)node->value_location;
    void *old = old_location != VALUE_INSIDE ? value_address(node) : NULL;
    size_t old_size = node->value_size;
    size_t size = value.bytes.size;
    // The new bytes may be the old ones: a tree may be updated from itself.
    if (storage != NULL) {
        memory->allocations += 1;
        memory->bytes += size;
        memcpy(storage, value.bytes.bytes, size);
        memcpy(inside, &storage, sizeof(storage));
    }
    else if (size > 0) {
        memmove(inside, value.bytes.bytes, size);
    }
    release_value(memory, old_location, old, old_size);
    node->value_size = size;
    node->value_type = (unsigned)value.type & 7;
    node->value_location = storage != NULL ? VALUE_OUTSIDE : VALUE_INSIDE;
}

void
rbtree_node_take_value(struct node_memory *memory, struct rbtree_node *node,
                       struct rbtree_node *other)
{
    struct value value = rbtree_node_value(other);
    if (value.bytes.size <= node_room(node)) {
        rbtree_node_give_value(memory, node, value, NULL);
        rbtree_node_destroy(memory, other);
        return;
    }
    // An allocation could fail; the other node has the memory already.
    drop_value(memory, node);
    void *address = other;
    memcpy(node->bytes + node->key_size, &address, sizeof(address));
    node->value_size = value.bytes.size;
    node->value_type = (unsigned)value.type & 7;
    node->value_location = VALUE_IN_NODE;
}

enum status
rbtree_node_set_value(struct node_memory *memory, struct rbtree_node *node,
                      struct value value)
{
    unsigned char *storage;
    enum status status = rbtree_node_reserve(node, value.bytes.size, &storage);
    if (status == STATUS_OK) {
        rbtree_node_give_value(memory, node, value, storage);
    }
    return status;
}

/* How many lines a node takes; 0 if it is too long for the slab. */
static size_t
choose_lines(size_t key_size, size_t value_size)
{
    // The address of a long value must fit in any case.
    size_t room = value_size > LARGEST_INSIDE || value_size < sizeof(void *)
                      ? sizeof(void *)
                      : value_size;
    size_t size = sizeof(struct rbtree_node) + key_size + room;
    size_t lines = (size + SLAB_LINE - 1) / SLAB_LINE;
    return lines <= SLAB_LARGEST_LINES ? lines : 0;
}

enum status
rbtree_node_create(struct node_memory *memory, struct rbtree_node **created,
                   struct slice key, struct value value)
{
    if (key.size > LARGEST_KEY) {
        return STATUS_NO_MEMORY;
    }
    size_t lines = choose_lines(key.size, value.bytes.size);
    struct rbtree_node *node =
        lines > 0 ? slab_take(&memory->slab, lines)
                  : memory_allocate(sizeof(*node) + key.size + sizeof(void *));
    if (node == NULL) {
        return STATUS_NO_MEMORY;
    }
    memset(node, 0, sizeof(*node));
    node->is_red = true;
    node->key_size = key.size & LARGEST_KEY;
    node->lines = lines & 0xFF;
    slice_copy(node->bytes, key);
    memory->allocations += lines == 0;
    memory->bytes += node_size(node);
    enum status status = rbtree_node_set_value(memory, node, value);
    if (status != STATUS_OK) {
        rbtree_node_destroy(memory, node);
        return status;
    }
    *created = node;
    return STATUS_OK;
}

void
rbtree_node_destroy(struct node_memory *memory, struct rbtree_node *node)
{
    drop_value(memory, node);
    memory->bytes -= node_size(node);
    if (node->lines > 0) {
        slab_give(&memory->slab, node, node->lines);
    }
    else {
        memory_release(node);
        memory->allocations -= 1;
    }
}
