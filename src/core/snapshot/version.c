/* core/snapshot/version.c
 *
 * Reading a base through its deltas, from the newest down.
 *
 *     find    the first layer that has the key decides; a tombstone says no
 *     seek    each layer adds what it shifts the ranks of those beneath by
 *     at      the other way round: each layer has the entry with that rank,
 *             or takes its shift off
 *
 *     rank in the version    0  1  2  3  4  5
 *     delta, shift              b' -c +d                  b replaced, c
 *                               0  -1  0                  removed, d added
 *     rank beneath           0  1  2  .  3  4  5
 *
 * The ranks in a delta are not trusted: whatever they say, a search ends, and
 * what it comes to is compared with the number of entries.
 *
 * Not here: the deep check (version_verify.c); one layer (find.c, search.c).
 */
#include "core/snapshot/version.h"

#include <string.h>

#include "core/snapshot/record.h"

/* ---- opening ------------------------------------------------------------ */

static enum status
open_deltas(struct version *version, uint64_t room_size)
{
    struct delta *deltas = version->deltas;
    enum status status =
        delta_open(&deltas[0], &version->base, version->head, room_size);
    if (status != STATUS_OK || deltas[0].header.beneath == 0) {
        version->delta_count = 1;
        return status;
    }
    deltas[1] = deltas[0];
    version->delta_count = 2;
    status = delta_open(&deltas[0], &version->base, deltas[1].header.beneath,
                        room_size);
    if (status != STATUS_OK) {
        return status;
    }
    return deltas[0].header.beneath == 0 && deltas[0].end <= deltas[1].begin
               ? STATUS_OK
               : STATUS_BAD_DELTA;
}

/* The lengths, with which at() and seek() compare, are bounded by the counts of
 * entries. */
static bool
lengths_are_possible(const struct version *version)
{
    uint64_t length = version->base.entry_count;
    bool are_possible = true;
    for (unsigned i = 0; i < version->delta_count; i++) {
        const struct delta *delta = &version->deltas[i];
        are_possible =
            are_possible
            && delta->header.length <= length + delta->view.entry_count;
        length = delta->header.length;
    }
    return are_possible;
}

/* Fills the version over a base that is open. */
static enum status
open_over(struct version *version, const struct snapshot *base, size_t size,
          uint32_t head)
{
    const struct snapshot_header *header = &base->header;
    version->base = *base;
    version->head = head & ~HEAD_SUPERSEDED;
    version->delta_count = 0;
    version->entry_count = base->entry_count;
    version->records_size = base->records_size;
    version->generation = header->generation;
    memcpy(version->unique_id, header->unique_id, sizeof(version->unique_id));
    version->published_at = header->published_at;
    if (version->head == 0) {
        return STATUS_OK;
    }
    enum status status = open_deltas(version, size - header->total_size);
    if (status != STATUS_OK) {
        return status;
    }
    const struct delta *top = version_top(version);
    version->entry_count = top->header.length;
    version->records_size += top->view.records_size;
    version->generation = top->header.generation;
    memcpy(version->unique_id, top->header.unique_id,
           sizeof(version->unique_id));
    version->published_at = top->header.published_at;
    return lengths_are_possible(version) ? STATUS_OK : STATUS_BAD_DELTA;
}

enum status
version_open(struct version *version, const void *bytes, size_t size,
             uint32_t head)
{
    struct snapshot base;
    enum status status = snapshot_open(&base, bytes, size);
    return status == STATUS_OK ? open_over(version, &base, size, head)
                               : status;
}

enum status
version_open_newest(struct version *version, const void *bytes, size_t size)
{
    struct snapshot base;
    enum status status = snapshot_open(&base, bytes, size);
    return status == STATUS_OK
               ? open_over(version, &base, size, base.header.head)
               : status;
}

void
version_copy(const struct version *version, void *bytes)
{
    memcpy(bytes, version->base.bytes, version_size(version));
    memcpy((char *)bytes + offsetof(struct snapshot_header, head),
           &version->head, sizeof(version->head));
}

/* ---- by index ----------------------------------------------------------- */

/* How many entries of the delta have a rank that is not above `rank`; `hint`
 * is tried first, and the next one. */
static uint64_t
count_passed(const struct delta *delta, uint64_t rank, uint64_t hint)
{
    const uint64_t count = delta->view.entry_count;
    for (uint64_t near = hint; near <= count && near - hint < 2; near++) {
        if ((near == 0 || delta_rank(delta, near - 1) <= rank)
            && (near == count || delta_rank(delta, near) > rank))
        {
            return near;
        }
    }
    uint64_t low = 0, high = count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (delta_rank(delta, middle) <= rank) {
            low = middle + 1;
        }
        else {
            high = middle;
        }
    }
    return low;
}

static uint64_t
count_beneath(const struct version *version, unsigned delta)
{
    return delta > 0 ? version->deltas[delta - 1].header.length
                     : version->base.entry_count;
}

enum status
version_at(const struct version *version, struct version_cursor *cursor,
           uint64_t index, struct entry *entry)
{
    for (unsigned i = version->delta_count; i-- > 0;) {
        const struct delta *delta = &version->deltas[i];
        uint64_t passed = count_passed(delta, index, cursor->passed[i]);
        cursor->passed[i] = passed;
        if (passed > 0 && delta_rank(delta, passed - 1) == index
            && delta_step(delta, passed - 1) >= 0)
        {
            enum status status = record_at(&delta->view, passed - 1, entry);
            return status == STATUS_OK && entry_is_tombstone(entry)
                       ? STATUS_BAD_RANK
                       : status;
        }
        index -= delta_shift(delta, passed);
        if (index >= count_beneath(version, i)) {
            return STATUS_BAD_RANK;
        }
    }
    return record_at(&version->base, index, entry);
}

/* ---- by key ------------------------------------------------------------- */

/* What one layer, a delta or with 0 the base, says of a key whose index there
 * is `index`. `is_final` is false when those beneath it have to be asked: then
 * `below` is what has to be added to their answer. */
static enum status
locate_in_layer(const struct version *version, unsigned number,
                struct slice key, uint64_t index,
                struct version_position *position, bool *is_final)
{
    const struct delta *delta =
        number > 0 ? &version->deltas[number - 1] : NULL;
    const struct snapshot *layer =
        delta != NULL ? &delta->view : &version->base;
    position->is_found = false;
    if (index < layer->entry_count) {
        enum status status = record_at(layer, index, &position->entry);
        // Rarely tested: the search has read this entry, so its bytes must
        // have changed since.
        if (status != STATUS_OK) {
            return status;
        }
        position->is_found = slice_equals(position->entry.key, key);
    }
    *is_final = delta == NULL || position->is_found;
    if (!*is_final) {
        position->below += delta_shift(delta, index);
        return STATUS_OK;
    }
    position->below += delta != NULL ? delta_rank(delta, index) : index;
    position->is_found =
        position->is_found && !entry_is_tombstone(&position->entry);
    return STATUS_OK;
}

enum status
version_locate(const struct version *version, unsigned delta_count,
               struct slice key, struct version_position *position)
{
    bool is_final = false;
    position->below = 0;
    for (unsigned i = delta_count; !is_final; i--) {
        const struct snapshot *layer =
            i > 0 ? &version->deltas[i - 1].view : &version->base;
        uint64_t index;
        enum status status = snapshot_seek(layer, key, &index);
        if (status == STATUS_OK) {
            status =
                locate_in_layer(version, i, key, index, position, &is_final);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return position->below <= count_beneath(version, delta_count)
               ? STATUS_OK
               : STATUS_BAD_RANK;
}

enum status
version_locate_group(const struct version *version, unsigned delta_count,
                     const struct slice *keys, size_t count,
                     struct version_position *positions)
{
    struct slice left[SEEK_GROUP];  // the keys that no layer has decided on
    uint64_t indices[SEEK_GROUP];
    size_t numbers[SEEK_GROUP], left_count = count;
    if (count == 1) {
        return version_locate(version, delta_count, keys[0], positions);
    }
    for (size_t i = 0; i < count; i++) {
        positions[i].below = 0;
        left[i] = keys[i];
        numbers[i] = i;
    }
    for (unsigned layer = delta_count; left_count > 0; layer--) {
        size_t kept = 0;
        enum status status = snapshot_seek_group(
            layer > 0 ? &version->deltas[layer - 1].view : &version->base,
            left, left_count, indices);
        for (size_t i = 0; status == STATUS_OK && i < left_count; i++) {
            bool is_final = false;
            status = locate_in_layer(version, layer, left[i], indices[i],
                                     &positions[numbers[i]], &is_final);
            left[kept] = left[i];
            numbers[kept] = numbers[i];
            kept += !is_final;
        }
        if (status != STATUS_OK) {
            return status;
        }
        left_count = kept;
    }
    for (size_t i = 0; i < count; i++) {
        if (positions[i].below > count_beneath(version, delta_count)) {
            return STATUS_BAD_RANK;
        }
    }
    return STATUS_OK;
}

enum status
version_seek(const struct version *version, struct slice key, uint64_t *index)
{
    if (version->delta_count == 0) {
        return snapshot_seek(&version->base, key, index);
    }
    struct version_position position;
    enum status status =
        version_locate(version, version->delta_count, key, &position);
    if (status == STATUS_OK) {
        *index = position.below;
    }
    return status;
}

enum status
version_find_beneath(const struct version *version, unsigned deltas,
                     struct snapshot_probe *probe, struct entry *entry,
                     bool *is_found)
{
    for (unsigned i = version->delta_count; i-- > 0;) {
        if ((deltas >> i & 1) == 0) {
            continue;
        }
        enum status status = snapshot_probe_find(&version->deltas[i].view,
                                                 probe, entry, is_found);
        if (status != STATUS_OK) {
            return status;
        }
        if (*is_found) {
            probe->slot = VERSION_NO_SLOT;
            *is_found = !entry_is_tombstone(entry);
            return STATUS_OK;
        }
    }
    return snapshot_probe_find(&version->base, probe, entry, is_found);
}
