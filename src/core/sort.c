/* core/sort.c
 *
 * A merge sort, because it is stable: of equal keys, which one came last
 * decides, as it does in a dict.
 *
 *     runs of RUN entries, sorted by insertion
 *     merged in pairs from one array to the other, back and forth
 *
 * Not here: who gathers the entries; see binding/batch.c.
 */
#include "core/sort.h"

#include <stdbool.h>
#include <string.h>

#include "core/memory.h"

enum { RUN = 8 };

static bool
is_ascending(const struct entry *entries, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (slice_compare(entries[i - 1].key, entries[i].key) >= 0) {
            return false;
        }
    }
    return true;
}

static void
sort_run(struct entry *entries, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct entry entry = entries[i];
        size_t at = i;
        while (at > 0 && slice_compare(entries[at - 1].key, entry.key) > 0) {
            entries[at] = entries[at - 1];
            at -= 1;
        }
        entries[at] = entry;
    }
}

/* Merges from[0, middle) and from[middle, count) into `to`. Of equal keys the
 * left one goes first, as it stood first. */
static void
merge(struct entry *to, const struct entry *from, size_t middle, size_t count)
{
    size_t left = 0, right = middle;
    while (left < middle && right < count) {
        bool takes_right = slice_compare(from[left].key, from[right].key) > 0;
        *to++ = from[takes_right ? right++ : left++];
    }
    memcpy(to, from + left, (middle - left) * sizeof(*to));
    to += middle - left;
    memcpy(to, from + right, (count - right) * sizeof(*to));
}

static size_t
drop_all_but_last(struct entry *entries, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && slice_equals(entries[i].key, entries[i + 1].key))
        {
            continue;
        }
        entries[kept++] = entries[i];
    }
    return kept;
}

enum status
sort_entries(struct entry *entries, size_t *count)
{
    if (is_ascending(entries, *count)) {
        return STATUS_OK;
    }
    struct entry *spare = memory_allocate_array(*count, sizeof(*spare));
    if (spare == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t at = 0; at < *count; at += RUN) {
        sort_run(entries + at, *count - at < RUN ? *count - at : RUN);
    }
    struct entry *from = entries, *to = spare;
    for (size_t width = RUN; width < *count; width *= 2) {
        for (size_t at = 0; at < *count; at += 2 * width) {
            size_t left = *count - at;
            merge(to + at, from + at, left < width ? left : width,
                  left < 2 * width ? left : 2 * width);
        }
        struct entry *swap = from;
        from = to;
        to = swap;
    }
    if (from != entries) {
        memcpy(entries, from, *count * sizeof(*entries));
    }
    memory_release(spare);
    *count = drop_all_but_last(entries, *count);
    return STATUS_OK;
}
