/* core/snapshot/version_diff.c
 *
 * A merge of sources in key order; what has the lowest key is compared:
 *
 *     another base    old  a  b  c  -        the key is in one source only:
 *                     new  a  b' -  d        added or removed; in both: the
 *                                            values are compared
 *
 *     the same base   old's deltas  -  b  -  the key is looked up in both
 *                     new's deltas  -  b' d  versions: most are in a delta
 *                                            that both have
 *
 * No source is trusted to be in order: each step takes an entry of one, so the
 * steps are as many as the entries, and their bytes no more than the records'.
 */
#include "core/snapshot/version_diff.h"

enum { UNINTERRUPTED = 1024 };

enum { OLD = 0, NEW = 1 };

/* ---- sources ------------------------------------------------------------ */

static enum status
advance_source(struct diff_source *source)
{
    const uint64_t count = source->version != NULL
                               ? source->version->entry_count
                               : source->delta->view.entry_count;
    if (source->next >= count) {
        source->is_at_end = true;
        return STATUS_OK;
    }
    enum status status =
        source->version != NULL
            ? version_at(source->version, &source->cursor, source->next,
                         &source->entry)
            : snapshot_at(&source->delta->view, source->next, &source->entry);
    source->next += 1;
    return status == STATUS_OK
               ? snapshot_count_entry(&source->left, &source->entry)
               : status;
}

static void
add_version(struct version_diff *diff, const struct version *version)
{
    diff->sources[diff->source_count++] = (struct diff_source){
        .version = version,
        .left = version->records_size,
    };
}

static void
add_deltas(struct version_diff *diff, const struct version *version)
{
    for (unsigned i = 0; i < version->delta_count; i++) {
        const struct delta *delta = &version->deltas[i];
        diff->sources[diff->source_count++] = (struct diff_source){
            .delta = delta,
            .left = delta->view.records_size,
        };
    }
}

enum status
version_diff_begin(struct version_diff *diff, const struct version *old,
                   const struct version *new)
{
    *diff = (struct version_diff){
        .old = old,
        .new = new,
        .is_by_delta = old->base.bytes == new->base.bytes,
        .left = {old->records_size, new->records_size},
    };
    if (diff->is_by_delta) {
        add_deltas(diff, old);
        add_deltas(diff, new);
    }
    else {
        add_version(diff, old);
        add_version(diff, new);
    }
    for (unsigned i = 0; i < diff->source_count; i++) {
        enum status status = advance_source(&diff->sources[i]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* The source with the lowest key; NULL at the end of all. */
static struct diff_source *
lowest_source(struct version_diff *diff)
{
    struct diff_source *lowest = NULL;
    for (unsigned i = 0; i < diff->source_count; i++) {
        struct diff_source *source = &diff->sources[i];
        if (!source->is_at_end
            && (lowest == NULL
                || slice_compare(source->entry.key, lowest->entry.key) < 0))
        {
            lowest = source;
        }
    }
    return lowest;
}

/* ---- one key ------------------------------------------------------------ */

/* What both versions have of a key. */
struct sides {
    struct entry entries[2];
    bool are_found[2];
};

/* Finds the key in both versions. */
static enum status
find_sides(struct version_diff *diff, struct slice key, struct sides *sides)
{
    const struct version *versions[] = {[OLD] = diff->old, [NEW] = diff->new};
    for (int i = OLD; i <= NEW; i++) {
        struct entry *entry = &sides->entries[i];
        enum status status =
            version_find(versions[i], key, entry, &sides->are_found[i]);
        if (status == STATUS_OK && sides->are_found[i]) {
            status = snapshot_count_entry(&diff->left[i], entry);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* Takes the key from each source that has it. Where the sources are the
 * versions, what they have is what the versions have. */
static enum status
take_key(struct version_diff *diff, struct slice key, struct sides *sides)
{
    *sides = (struct sides){.are_found = {false, false}};
    for (unsigned i = 0; i < diff->source_count; i++) {
        struct diff_source *source = &diff->sources[i];
        if (source->is_at_end || slice_compare(source->entry.key, key) != 0) {
            continue;
        }
        if (!diff->is_by_delta) {
            sides->entries[i] = source->entry;
            sides->are_found[i] = true;
        }
        enum status status = advance_source(source);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return diff->is_by_delta ? find_sides(diff, key, sides) : STATUS_OK;
}

/* Whether the versions differ in the key, and how. */
static bool
differ(const struct sides *sides, enum difference_kind *kind)
{
    if (sides->are_found[OLD] && sides->are_found[NEW]) {
        *kind = DIFFERENCE_CHANGED;
        return !value_equals(&sides->entries[OLD].value,
                             &sides->entries[NEW].value);
    }
    *kind = sides->are_found[NEW] ? DIFFERENCE_ADDED : DIFFERENCE_REMOVED;
    return sides->are_found[OLD] || sides->are_found[NEW];
}

enum status
version_diff_next(struct version_diff *diff, struct difference *differences,
                  size_t capacity, size_t *count,
                  const struct interrupt *interrupt)
{
    struct diff_source *lowest;
    *count = 0;
    for (size_t step = 1;
         *count < capacity && (lowest = lowest_source(diff)) != NULL; step++)
    {
        struct difference *difference = &differences[*count];
        struct sides sides;
        if (step % UNINTERRUPTED == 0 && interrupt_is_due(interrupt)) {
            return STATUS_INTERRUPTED;
        }
        difference->key = lowest->entry.key;
        enum status status = take_key(diff, difference->key, &sides);
        if (status != STATUS_OK) {
            return status;
        }
        *count += differ(&sides, &difference->kind);
    }
    return STATUS_OK;
}
