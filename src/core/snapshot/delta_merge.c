/* core/snapshot/delta_merge.c
 *
 *     young       a'       d -   e'        newest first; - is a tombstone
 *     changes          c'  d'        f -
 *     ------------------------------
 *     new young   a'   c'  d'    e'  f -   c' and f are looked up beneath, if
 *                                          young does not mention them
 *     old         a'' b''        e -
 *     ------------------------------
 *     new old     a'  b''  c' d' e'  f -   nothing is looked up in the base
 *
 * A key that a delta has mentioned keeps its rank there, and whether it is
 * beneath, because what is beneath does not change.
 *
 * A tombstone of a key that is not beneath says nothing, and is dropped once
 * its record is written.
 *
 * Not here: the bytes (delta_writer.c); merging into a new base (merge.c).
 */
#include "core/snapshot/delta_merge.h"

#include "core/snapshot/record.h"

/* Entries between two questions to the interrupt. Each may be two searches in
 * a map that is in no cache, some microseconds. */
enum { UNINTERRUPTED = 256 };

/* How many entries ahead of the one that is taken a record is prefetched. */
enum { AHEAD = 12 };

static const struct value TOMBSTONE = {
    .bytes = {NULL, 0},
    .type = (enum value_type)RECORD_TOMBSTONE,
};

/* ---- the entries of a delta --------------------------------------------- */

/* Fills an entry that has been published. */
static enum status
take_entry(const struct delta *delta, uint64_t index,
           struct delta_entry *taken)
{
    uint64_t ahead;
    enum status status = record_offset_at(&delta->view, index, &taken->record);
    if (status == STATUS_OK) {
        status = record_read(&delta->view, taken->record, &taken->entry);
    }
    if (status != STATUS_OK) {
        return status;
    }
    // The records are in the order of their publication.
    if (index + AHEAD < delta->view.entry_count
        && record_offset_at(&delta->view, index + AHEAD, &ahead) == STATUS_OK)
    {
        __builtin_prefetch(delta->view.records + ahead);
    }
    // A step that no entry takes, or a tombstone of a key that is not beneath,
    // would be written again with a checksum that fits it.
    // Any two ranks may be there, so this is reckoned without a sign.
    uint64_t beneath = (uint64_t)!entry_is_tombstone(&taken->entry)
                       - (uint64_t)delta_step(delta, index);
    taken->below = delta_below(delta, index);
    taken->is_beneath = beneath == 1;
    return beneath == taken->is_beneath && !delta_entry_is_void(taken)
               ? STATUS_OK
               : STATUS_BAD_RANK;
}

/* ---- young and changes -------------------------------------------------- */

/* The changes in the order of their keys. */
struct feed {
    const struct changes *changes;
    size_t put;
    size_t removal;
};

/* Fills the next change; false at the end. */
static bool
feed_peek(const struct feed *feed, struct entry *change, bool *is_put)
{
    const struct changes *changes = feed->changes;
    bool has_put = feed->put < changes->put_count;
    bool has_removal = feed->removal < changes->removal_count;
    *is_put = has_put
              && (!has_removal
                  || slice_compare(changes->puts[feed->put].key,
                                   changes->removals[feed->removal].key)
                         < 0);
    if (*is_put) {
        *change = changes->puts[feed->put];
    }
    else if (has_removal) {
        change->key = changes->removals[feed->removal].key;
        change->value = TOMBSTONE;
    }
    return has_put || has_removal;
}

static void
feed_advance(struct feed *feed, bool is_put)
{
    feed->put += is_put;
    feed->removal += !is_put;
}

/* What is being merged, and into what. */
struct merge {
    const struct version *version;
    unsigned beneath;  // how many deltas lie beneath the merged one
    struct delta_entry *merged;
    size_t count;
    bool is_changed;
    size_t pending[SEEK_GROUP];  // merged entries that are not located yet
    size_t pending_count;
};

/* A change of a key that the young delta mentions. */
static void
change_known(struct merge *merge, const struct entry *change,
             const struct delta_entry *known)
{
    struct delta_entry *entry = &merge->merged[merge->count];
    *entry = *known;
    if (value_equals(&change->value, &known->entry.value)) {
        merge->count += 1;
        return;
    }
    merge->is_changed = true;
    entry->entry = *change;
    entry->record = RECORD_NEW;
    merge->count += 1;
}

/* Looks up the pending changes beneath, and drops those that change nothing.
 */
static enum status
locate_pending(struct merge *merge)
{
    struct slice keys[SEEK_GROUP];
    struct version_position positions[SEEK_GROUP];
    const size_t pending_count = merge->pending_count;
    if (pending_count == 0) {
        return STATUS_OK;
    }
    for (size_t i = 0; i < pending_count; i++) {
        keys[i] = merge->merged[merge->pending[i]].entry.key;
    }
    enum status status = version_locate_group(merge->version, merge->beneath,
                                              keys, pending_count, positions);
    if (status != STATUS_OK) {
        return status;
    }
    size_t to = merge->pending[0], next = 0;
    for (size_t from = to; from < merge->count; from++) {
        struct delta_entry *entry = &merge->merged[from];
        if (next < pending_count && merge->pending[next] == from) {
            const struct version_position *position = &positions[next++];
            entry->below = position->below;
            entry->is_beneath = position->is_found;
            if (position->is_found
                    ? value_equals(&position->entry.value, &entry->entry.value)
                    : entry_is_tombstone(&entry->entry))
            {
                continue;
            }
            merge->is_changed = true;
        }
        merge->merged[to] = *entry;
        to += 1;
    }
    merge->count = to;
    merge->pending_count = 0;
    return STATUS_OK;
}

/* A change of one that it does not mention: searched with others, because each
 * would wait for memory some twenty times. */
static enum status
change_beneath(struct merge *merge, const struct entry *change)
{
    merge->pending[merge->pending_count++] = merge->count;
    merge->merged[merge->count++] =
        (struct delta_entry){.entry = *change, .record = RECORD_NEW};
    return merge->pending_count == SEEK_GROUP ? locate_pending(merge)
                                              : STATUS_OK;
}

enum status
delta_merge_changes(const struct version *version,
                    const struct changes *changes, struct delta_entry *merged,
                    size_t *count, bool *is_changed,
                    const struct interrupt *interrupt)
{
    const bool has_young = version->delta_count == VERSION_DELTAS;
    const struct delta *young = has_young ? version_top(version) : NULL;
    const uint64_t young_count = has_young ? young->view.entry_count : 0;
    struct merge merge = {
        .version = version,
        .beneath = has_young ? VERSION_DELTAS - 1 : version->delta_count,
        .merged = merged,
    };
    struct feed feed = {.changes = changes};
    struct entry change;
    bool is_put, has_change = feed_peek(&feed, &change, &is_put);
    uint64_t index = 0, steps = 0;
    struct delta_entry known;
    enum status status = STATUS_OK;
    if (has_young && young_count > 0) {
        status = take_entry(young, 0, &known);
    }
    // Invariant: `known` is entry `index` of the young delta, `change` the
    // next change, and all that is below both is merged.
    while (status == STATUS_OK && (has_change || index < young_count)) {
        if (++steps % UNINTERRUPTED == 0 && interrupt_is_due(interrupt)) {
            return STATUS_INTERRUPTED;
        }
        int order = !has_change ? -1
                    : index == young_count
                        ? 1
                        : slice_compare(known.entry.key, change.key);
        if (order < 0) {
            merged[merge.count++] = known;
        }
        else if (order == 0) {
            change_known(&merge, &change, &known);
        }
        else {
            status = change_beneath(&merge, &change);
        }
        if (order >= 0) {
            feed_advance(&feed, is_put);
            has_change = feed_peek(&feed, &change, &is_put);
        }
        if (order <= 0 && ++index < young_count) {
            status = take_entry(young, index, &known);
        }
    }
    if (status == STATUS_OK) {
        status = locate_pending(&merge);
    }
    *count = merge.count;
    *is_changed = merge.is_changed;
    return status;
}

/* ---- folding ------------------------------------------------------------ */

enum status
delta_fold(const struct version *version, const struct delta_entry *young,
           size_t young_count, struct delta_entry *folded, size_t *count,
           const struct interrupt *interrupt)
{
    const struct delta *old = &version->deltas[0];
    const uint64_t old_count =
        version->delta_count > 0 ? old->view.entry_count : 0;
    uint64_t index = 0;
    size_t next = 0, filled = 0, steps = 0;
    struct delta_entry known;
    enum status status =
        old_count > 0 ? take_entry(old, 0, &known) : STATUS_OK;
    while (status == STATUS_OK && (next < young_count || index < old_count)) {
        if (++steps % UNINTERRUPTED == 0 && interrupt_is_due(interrupt)) {
            return STATUS_INTERRUPTED;
        }
        int order =
            next == young_count ? -1
            : index == old_count
                ? 1
                : slice_compare(known.entry.key, young[next].entry.key);
        if (order < 0) {
            folded[filled++] = known;
        }
        else {
            struct delta_entry *entry = &folded[filled];
            *entry = young[next++];
            if (order == 0) {
                entry->below = known.below;
                entry->is_beneath = known.is_beneath;
            }
            else if (version->delta_count > 0) {
                entry->below -= delta_shift(old, index);
            }
            filled +=
                entry->record == RECORD_NEW || !delta_entry_is_void(entry);
        }
        if (order <= 0 && ++index < old_count) {
            status = take_entry(old, index, &known);
        }
    }
    *count = filled;
    return status;
}
