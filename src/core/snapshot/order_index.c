/* core/snapshot/order_index.c
 *
 * What a node is made of. All keys below a node begin with what its first key
 * and the first key behind it have in common; so the node skips that, and four
 * bytes more tell most of its children apart, however long the keys are:
 *
 *     /srv/data/projects/index/billing/font-522999.html
 *     /srv/data/projects/invoice/catalogue-284097.json
 *     skip --------------> ^^^^ piece
 *
 * Not here: searching; see search.c.
 */
#include "core/snapshot/order_index.h"

void
order_levels_init(struct order_levels *levels, uint64_t entry_count)
{
    *levels = (struct order_levels){.count = 0};
    // Rounded up without a sum that could overflow.
    uint64_t below = entry_count / ORDER_STEP + (entry_count % ORDER_STEP > 0);
    while (below > 1) {
        below = below / ORDER_FANOUT + (below % ORDER_FANOUT > 0);
        levels->level[levels->count].nodes = below;
        levels->count += 1;
    }
    for (unsigned level = levels->count; level-- > 0;) {
        levels->level[level].first = levels->nodes;
        levels->nodes += levels->level[level].nodes;
    }
}

static uint32_t
common_size(struct slice left, struct slice right)
{
    size_t end = left.size < right.size ? left.size : right.size;
    size_t at = 0;
    end = end < UINT32_MAX ? end : UINT32_MAX;
    while (at < end && left.bytes[at] == right.bytes[at]) {
        at += 1;
    }
    return (uint32_t)at;
}

void
order_node_fill(struct order_node *node, const struct slice *keys,
                unsigned count, struct slice first, struct slice behind)
{
    memset(node, 0, sizeof(*node));
    node->skip = common_size(first, behind);
    for (unsigned i = 0; i < count; i++) {
        node->pieces[i] = order_piece(keys[i], node->skip);
    }
}
