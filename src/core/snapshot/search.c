/* core/snapshot/search.c
 *
 * Entries in key order: by index, and by key. The balanced tree is in the
 * sorted index without being stored: the root of the entries [low, high) is
 * the middle one, its children are the roots of the two halves. The order
 * index spares the upper part of the way, where each step would touch a page
 * of its own:
 *
 *     order index    a node for each four levels, a cache line each
 *     sorted index   the last seven levels, side by side
 *
 * The nodes leave out what their keys have in common, so they are believed on
 * the way down, and what they lead to is compared with its neighbours in the
 * end. Keys of the map are always led right. A key that is not in the map can
 * be led astray where it differs in what was left out; then the search begins
 * anew, without the index.
 *
 * What record.h says of bytes that are not trusted goes for these, too: a node
 * can lead to a wrong place, but not out of the map.
 *
 * Not here: what a node is made of; see order_index.c.
 */
#include "core/base/load.h"
#include "core/snapshot/order_index.h"
#include "core/snapshot/record.h"
#include "core/snapshot/snapshot.h"

enum status
snapshot_at(const struct snapshot *view, uint64_t index, struct entry *entry)
{
    return record_at(view, index, entry);
}

/* Fills the index of the first entry in [low, high) whose key is not below
 * `key`; `high` when all are. */
static enum status
search(const struct snapshot *view, struct slice key, uint64_t low,
       uint64_t high, uint64_t *index)
{
    // Entries before `low` are below the key, entries from `high` on are not.
    // The distance halves each time, so 64 steps are enough for any snapshot.
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct entry entry;
        enum status status = record_at(view, middle, &entry);
        if (status != STATUS_OK) {
            return status;
        }
        if (slice_compare(entry.key, key) < 0) {
            low = middle + 1;
        }
        else {
            high = middle;
        }
    }
    *index = low;
    return STATUS_OK;
}

/* Which child of the node the key is below: as many as begin at or before it,
 * but for the first. */
static enum status
choose_child(const struct snapshot *view, struct slice key, unsigned level,
             uint64_t number, unsigned *child)
{
    const struct order_levels *levels = &view->order_levels;
    const unsigned char *node =
        view->order_index
        + (levels->level[level].first + number) * sizeof(struct order_node);
    uint64_t end = (view->entry_count - 1)
                   >> (ORDER_STEP_BITS + ORDER_FANOUT_BITS * level);
    uint64_t left = end - number * ORDER_FANOUT;
    unsigned count =
        left < ORDER_FANOUT - 1 ? (unsigned)left : ORDER_FANOUT - 1;
    uint32_t piece = order_piece(key, load_u32(node));
    unsigned below = 0, not_above = 0;
    for (unsigned i = 0; i < count; i++) {
        uint32_t other = load_u32(node + 4 + (size_t)i * 4);
        below += other < piece;
        not_above += other <= piece;
    }
    // Children whose pieces are equal are told apart by their keys.
    while (below < not_above) {
        unsigned middle = below + (not_above - below) / 2;
        struct entry entry;
        enum status status = record_at(
            view,
            order_first_entry(level, number, middle + 1, view->entry_count),
            &entry);
        if (status != STATUS_OK) {
            return status;
        }
        if (slice_compare(entry.key, key) <= 0) {
            below = middle + 1;
        }
        else {
            not_above = middle;
        }
    }
    *child = below;
    return STATUS_OK;
}

/* Whether the entry at `index` is below the key. */
static enum status
is_below(const struct snapshot *view, uint64_t index, struct slice key,
         bool *answer)
{
    struct entry entry;
    enum status status = record_at(view, index, &entry);
    *answer = status == STATUS_OK && slice_compare(entry.key, key) < 0;
    return status;
}

/* Narrows [low, high), which is the whole map, to what a node of the lowest
 * level leads to. */
static enum status
descend(const struct snapshot *view, struct slice key, uint64_t *low,
        uint64_t *high)
{
    uint64_t number = 0;
    for (unsigned level = view->order_levels.count; level-- > 0;) {
        unsigned child;
        enum status status = choose_child(view, key, level, number, &child);
        if (status != STATUS_OK) {
            return status;
        }
        number = number * ORDER_FANOUT + child;
    }
    *low = number * ORDER_STEP;
    if (*high - *low > ORDER_STEP) {
        *high = *low + ORDER_STEP;
    }
    return STATUS_OK;
}

enum status
snapshot_seek(const struct snapshot *view, struct slice key, uint64_t *index)
{
    const uint64_t count = view->entry_count;
    uint64_t low = 0, high = count;
    if (view->order_index == NULL) {
        return search(view, key, low, high, index);
    }
    enum status status = descend(view, key, &low, &high);
    if (status == STATUS_OK) {
        status = search(view, key, low, high, index);
    }
    // Inside, both neighbours were compared. At the edges one was not.
    bool before_is_below = true, next_is_below = false;
    if (status == STATUS_OK && *index == low && low > 0) {
        status = is_below(view, low - 1, key, &before_is_below);
    }
    if (status == STATUS_OK && *index == high && high < count) {
        status = is_below(view, high, key, &next_is_below);
    }
    if (status == STATUS_OK && !before_is_below) {
        return search(view, key, 0, low - 1, index);
    }
    if (status == STATUS_OK && next_is_below) {
        return search(view, key, high + 1, count, index);
    }
    return status;
}
