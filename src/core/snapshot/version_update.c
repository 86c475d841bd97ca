/* core/snapshot/version_update.c
 *
 *     changes + young ------------------------> new young     mostly
 *     changes + young + old ------------------> new old       fold
 *     more than an eighth, or no room left,
 *     or the first container -----------------> new base      copy
 *
 * Folding tunes itself: young deltas are written until all of them since the
 * last fold have cost as much as a fold. Then neither is written for more than
 * about the square root of the number of changes between two bases.
 *
 * What is copied from a delta gets a checksum that fits it, so its own is
 * checked before. Of what is only searched each entry is checked as any reader
 * does.
 *
 * Not here: the entries (delta_merge.c), the bytes (delta_writer.c), the file
 * (segment/append.c).
 */
#include "core/snapshot/version_update.h"

#include <string.h>

#include "core/base/memory.h"
#include "core/snapshot/delta_writer.h"

/* With more entries changed than this part of the base, a new base costs less
 * than the deltas and what they cost readers. */
enum { COPY_FRACTION = 8, FULL_FRACTION = 10 };

/* Folding so many entries takes 20 ms, and all other publishers wait for it;
 * for a compaction they do not. */
enum { FULL_COUNT = 350000 };

/* One of the two deltas that are possible. */
struct candidate {
    struct delta_entry *entries;  // owned
    size_t entry_count;
    struct delta_plan plan;
};

struct choice {
    const struct version *version;
    struct candidate young;
    struct candidate fold;
};

static uint64_t
room_of(const struct version *version)
{
    const struct snapshot_header *header = &version->base.header;
    return header->limit > header->total_size
               ? delta_room(header->limit - header->total_size)
               : 0;
}

/* What a young delta lies over: how many entries. */
static uint64_t
count_beneath_young(const struct version *version)
{
    return version->delta_count > 0 ? version->deltas[0].header.length
                                    : version->base.entry_count;
}

static uint64_t
count_of(const struct version *version, unsigned number)
{
    return version->delta_count > number
               ? version->deltas[number].view.entry_count
               : 0;
}

static enum status
plan_young(struct choice *choice, const struct changes *changes,
           uint64_t begin, bool *is_changed, const struct interrupt *interrupt)
{
    const struct version *version = choice->version;
    struct candidate *young = &choice->young;
    size_t room;
    if (__builtin_add_overflow(changes->put_count, changes->removal_count,
                               &room)
        || __builtin_add_overflow(room, count_of(version, 1), &room))
    {
        return STATUS_NO_MEMORY;
    }
    young->entries = memory_allocate_array(room, sizeof(*young->entries));
    if (young->entries == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status =
        delta_merge_changes(version, changes, young->entries,
                            &young->entry_count, is_changed, interrupt);
    return status == STATUS_OK
               ? delta_plan(&young->plan, &version->base,
                            count_beneath_young(version), begin,
                            young->entries, young->entry_count)
               : status;
}

static enum status
plan_fold(struct choice *choice, const struct interrupt *interrupt)
{
    const struct version *version = choice->version;
    struct candidate *fold = &choice->fold;
    fold->entries =
        memory_allocate_array(choice->young.entry_count + count_of(version, 0),
                              sizeof(*fold->entries));
    if (fold->entries == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = delta_verify_checksum(&version->deltas[0]);
    if (status == STATUS_OK) {
        status = delta_fold(version, choice->young.entries,
                            choice->young.entry_count, fold->entries,
                            &fold->entry_count, interrupt);
    }
    return status == STATUS_OK ? delta_plan(&fold->plan, &version->base,
                                            version->base.entry_count,
                                            choice->young.plan.begin,
                                            fold->entries, fold->entry_count)
                               : status;
}

/* Whether only a new base can have what is put: readers that do not know
 * containers have to refuse the file, which the header of the base tells them.
 */
static bool
needs_flag(const struct version *version, const struct changes *changes)
{
    if (version->base.has_containers) {
        return false;
    }
    size_t i = 0;
    while (i < changes->put_count
           && changes->puts[i].value.type != VALUE_CONTAINER)
    {
        i += 1;
    }
    return i < changes->put_count;
}

/* Whether folding costs less than all the young deltas since the last time. */
static bool
is_fold_due(const struct choice *choice, uint64_t since_fold)
{
    struct delta_layout layout;
    const struct version *version = choice->version;
    // As if no key were in both: at most twice what a fold comes to.
    // Untested: more entries than a delta can have do not fit into memory.
    return delta_layout_fill(&layout,
                             choice->young.entry_count + count_of(version, 0),
                             choice->young.plan.header.records_size,
                             version->base.reference_size)
           && since_fold > layout.hash_index;
}

static enum status
write_candidate(struct version_update *update, struct candidate *candidate,
                const struct version_identity *identity)
{
    struct delta_header *header = &candidate->plan.header;
    header->generation = identity->generation;
    memcpy(header->unique_id, identity->unique_id, sizeof(header->unique_id));
    header->published_at = identity->published_at;
    update->bytes = memory_allocate(header->size);
    if (update->bytes == NULL) {
        return STATUS_NO_MEMORY;
    }
    update->size = header->size;
    update->begin = candidate->plan.begin;
    update->head = delta_head(candidate->plan.begin);
    update->is_over_base = header->beneath == 0;
    return delta_write(&candidate->plan, update->bytes);
}

/* Chooses, and writes what was chosen. STATUS_TOO_LARGE and
 * STATUS_BAD_HASH_INDEX when it has to be a base. */
static enum status
write_delta(struct version_update *update, struct choice *choice,
            const struct version_identity *identity,
            enum version_copying copying, const struct interrupt *interrupt)
{
    const struct version *version = choice->version;
    struct candidate *chosen = &choice->young;
    struct delta_header *header = &chosen->plan.header;
    if (version->delta_count > 0) {
        uint64_t since_fold = header->size;
        if (version->delta_count == VERSION_DELTAS) {
            since_fold += version_top(version)->header.since_fold;
        }
        if (is_fold_due(choice, since_fold)) {
            enum status status = plan_fold(choice, interrupt);
            if (status != STATUS_OK) {
                return status;
            }
            chosen = &choice->fold;
        }
        else {
            header->since_fold = since_fold;
            header->beneath = delta_head(version->deltas[0].begin);
        }
    }
    const uint64_t most = version->base.entry_count;
    const uint64_t changed =
        chosen->entry_count
        + (chosen == &choice->young ? count_of(version, 0) : 0);
    const uint64_t room = room_of(version);
    const uint64_t size = chosen->plan.header.size;
    if (size > room || chosen->plan.begin > room - size
        || (copying == COPY_IF_IT_PAYS && changed > most / COPY_FRACTION))
    {
        return STATUS_TOO_LARGE;
    }
    // Untested: FULL_COUNT, for which a map has to be ten times as large.
    update->is_full = changed > most / FULL_FRACTION || changed > FULL_COUNT
                      || chosen->plan.begin + size > room - room / 4;
    return write_candidate(update, chosen, identity);
}

enum status
version_update_prepare(struct version_update *update,
                       const struct version *version,
                       const struct changes *changes,
                       const struct version_identity *identity,
                       enum version_copying copying,
                       const struct interrupt *interrupt)
{
    struct choice choice = {.version = version};
    const struct delta *top = version_top(version);
    bool is_changed = false;
    *update = (struct version_update){.step = STEP_COPY};
    enum status status = version->delta_count == VERSION_DELTAS
                             ? delta_verify_checksum(top)
                             : STATUS_OK;
    if (status == STATUS_OK) {
        status = plan_young(&choice, changes, top != NULL ? top->end : 0,
                            &is_changed, interrupt);
    }
    if (status == STATUS_OK && is_changed) {
        status =
            needs_flag(version, changes)
                ? STATUS_TOO_LARGE
                : write_delta(update, &choice, identity, copying, interrupt);
        if (status == STATUS_OK) {
            update->step = STEP_APPEND;
        }
    }
    else if (status == STATUS_OK) {
        update->step = STEP_NONE;
    }
    memory_release(choice.young.entries);
    memory_release(choice.fold.entries);
    if (update->step != STEP_APPEND) {
        version_update_release(update);
    }
    // A base has room for everything.
    return status == STATUS_TOO_LARGE || status == STATUS_BAD_HASH_INDEX
               ? STATUS_OK
               : status;
}

void
version_update_release(struct version_update *update)
{
    memory_release(update->bytes);
    update->bytes = NULL;
}
