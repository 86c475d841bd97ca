/* core/snapshot/merge.c
 *
 *     published   a   c   d       f
 *     puts            c'      e
 *     removals            d
 *                 -----------------
 *     merged      a   c'      e   f
 *
 * Not here: publishing the result; see publish.c.
 */
#include "core/snapshot/merge.h"

/* Entries between two questions to the interrupt: well below a millisecond. */
enum { UNINTERRUPTED = 1024 };

enum status
merge_changes(const struct version *version, const struct changes *changes,
              struct entry *merged, size_t *merged_count, bool *is_changed,
              const struct interrupt *interrupt)
{
    size_t count = 0, put = 0, removal = 0, same = 0;
    struct version_cursor cursor = {.passed = {0}};
    uint64_t left = version->records_size;
    // Invariant: all puts and removals below this entry are done.
    for (uint64_t index = 0; index < version->entry_count; index++) {
        struct entry entry;
        if (index % UNINTERRUPTED == UNINTERRUPTED - 1
            && interrupt_is_due(interrupt))
        {
            return STATUS_INTERRUPTED;
        }
        enum status status = version_at(version, &cursor, index, &entry);
        if (status == STATUS_OK) {
            status = snapshot_count_entry(&left, &entry);
        }
        if (status != STATUS_OK) {
            return status;
        }
        int order = 1;
        while (put < changes->put_count
               && (order = slice_compare(changes->puts[put].key, entry.key))
                      < 0)
        {
            merged[count++] = changes->puts[put++];
        }
        if (put < changes->put_count && order == 0) {
            same += value_equals(&changes->puts[put].value, &entry.value);
            merged[count++] = changes->puts[put++];
            continue;
        }
        while (removal < changes->removal_count
               && (order = slice_compare(changes->removals[removal].key,
                                         entry.key))
                      < 0)
        {
            removal += 1;
        }
        if (removal < changes->removal_count && order == 0) {
            continue;
        }
        merged[count++] = entry;
    }
    while (put < changes->put_count) {
        merged[count++] = changes->puts[put++];
    }
    // As many entries as before, and every put is of a value that was there.
    *is_changed = count != version->entry_count || same != changes->put_count;
    *merged_count = count;
    return STATUS_OK;
}
