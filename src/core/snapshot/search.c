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

enum status
snapshot_seek_group(const struct snapshot *view, const struct slice *keys,
                    size_t count, uint64_t *indices)
{
    uint64_t high[SEEK_GROUP], offsets[SEEK_GROUP];
    bool is_left = view->entry_count > 0;
    for (size_t i = 0; i < count; i++) {
        indices[i] = 0;
        high[i] = view->entry_count;
    }
    // As snapshot_seek() for each key, `indices` being its `low`. The steps of
    // the other keys are the time that a record takes to come.
    while (is_left) {
        for (size_t i = 0; i < count; i++) {
            if (indices[i] < high[i]) {
                uint64_t middle = indices[i] + (high[i] - indices[i]) / 2;
                enum status status =
                    record_offset_at(view, middle, &offsets[i]);
                if (status != STATUS_OK) {
                    return status;
                }
                __builtin_prefetch(view->records + offsets[i]);
            }
        }
        is_left = false;
        for (size_t i = 0; i < count; i++) {
            if (indices[i] < high[i]) {
                uint64_t middle = indices[i] + (high[i] - indices[i]) / 2;
                struct entry entry;
                enum status status = record_read(view, offsets[i], &entry);
                if (status != STATUS_OK) {
                    return status;
                }
                bool is_below = slice_compare(entry.key, keys[i]) < 0;
                indices[i] = is_below ? middle + 1 : indices[i];
                high[i] = is_below ? high[i] : middle;
                prefetch_reference(view,
                                   indices[i] + (high[i] - indices[i]) / 2);
                is_left = is_left || indices[i] < high[i];
            }
        }
    }
    return STATUS_OK;
}
