/* core/snapshot/search.c
 *
 * Entries in key order: by index, and by key. The sorted index is an implicit
 * balanced tree: the root of the entries [low, high) is the middle one, its
 * children are the roots of the two halves.
 *
 *     sorted index   |  ...  |  ...  | middle |  ...  |  ...  |
 *                    low         ^                ^           high
 *                           one of these is the next middle
 *
 * As in record.h the bytes are not trusted: if the keys are not in order, a
 * search may miss one, but it ends, with an index inside the map.
 *
 * Not here: lookup by the hash index; see find.c.
 */
#include "core/snapshot/record.h"
#include "core/snapshot/snapshot.h"

enum status
snapshot_at(const struct snapshot *view, uint64_t index, struct entry *entry)
{
    return record_at(view, index, entry);
}

static inline void
prefetch_reference(const struct snapshot *view, uint64_t index)
{
    __builtin_prefetch(view->sorted_index + index * view->reference_size);
}

enum status
snapshot_seek(const struct snapshot *view, struct slice key, uint64_t *index)
{
    uint64_t low = 0, high = view->entry_count;
    // Entries before `low` are below the key, entries from `high` on are not.
    // The distance halves each time, so 64 steps are enough for any snapshot.
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        prefetch_reference(view, low + (middle - low) / 2);
        prefetch_reference(view, middle + 1 + (high - middle - 1) / 2);
        struct entry entry;
        enum status status = record_at(view, middle, &entry);
        if (status != STATUS_OK) {
            return status;
        }
        if (slice_compare(entry.key, key) < 0) {
            low = middle + 1;
            // Keeps the branch a branch. The processor guesses the half and
            // loads ahead; a conditional move would wait for the comparison,
            // and a search for twice as long.
            __asm__ volatile("");
        }
        else {
            high = middle;
        }
    }
    *index = low;
    return STATUS_OK;
}
