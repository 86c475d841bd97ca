/* core/snapshot/order_index.h
 *
 * The order index: where to begin searching the sorted index, so that a search
 * touches few pages. What a node looks like is in format.h.
 *
 * It knows every ORDER_STEP-th key, the samples. A node has ORDER_FANOUT
 * children and tells them apart by the first samples of all but the first:
 *
 *     level 2                       | node 0 |
 *                                  /          \
 *     level 1            | node 0 |    ...     | node 15 |
 *                       /          \
 *     level 0   | node 0 |   ...   | node 15 |   | node 16 | ...
 *                /    |
 *     samples   0     1    ...                              entry 128 * sample
 *
 * Nothing says where a child is: nodes are numbered, and the levels lie one
 * behind the other, the highest first.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_ORDER_INDEX_H
#define SHAREDMAP_CORE_SNAPSHOT_ORDER_INDEX_H

#include <stdint.h>

#include "core/base/slice.h"
#include "core/snapshot/format.h"

/* Which nodes there are; follows from the number of entries. */
struct order_levels {
    unsigned count;  // 0 without an index
    struct {
        uint64_t nodes;
        uint64_t first;  // how many nodes lie before this level's
    } level[ORDER_LEVELS];
    uint64_t nodes;  // of all levels
};

void
order_levels_init(struct order_levels *levels, uint64_t entry_count);

/* The index of the first entry below a node's child; `child` may be one more
 * than there are, for what comes behind the node. At most entry_count. */
static inline uint64_t
order_first_entry(unsigned level, uint64_t node, unsigned child,
                  uint64_t entry_count)
{
    unsigned shift = ORDER_STEP_BITS + ORDER_FANOUT_BITS * level;
    uint64_t number = node * ORDER_FANOUT + child;
    // Rounding up the entries leaves the last node behind the last entry.
    return number > (entry_count - 1) >> shift ? entry_count : number << shift;
}

/* Four bytes of a key as a number whose order is the order of the bytes; zeros
 * behind its end. */
static inline uint32_t
order_piece(struct slice key, uint32_t skip)
{
    uint32_t piece = 0;
    if (skip < key.size) {
        size_t left = key.size - skip;
        memcpy(&piece, key.bytes + skip, left < 4 ? left : 4);
    }
    return __builtin_bswap32(piece);
}

/* Fills a node from the first keys of its children but the first, in order,
 * and from its first key and the first behind it; or its last one, where no
 * key is behind it. */
void
order_node_fill(struct order_node *node, const struct slice *keys,
                unsigned count, struct slice first, struct slice behind);

#endif
