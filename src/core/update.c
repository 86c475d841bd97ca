/* core/update.c
 *
 * Publishes the present version with some changes made to it.
 *
 *     version, changes -> delta -------------------> behind the version
 *                      -> merged entries -> draft -> name
 *       +---------------- locked all the way -----------+
 *
 *     deltas that fill the room -> compact.c, with the name unlocked again
 *     ... and another process compacts it already -> pause
 *
 * While a map is compacted, its publishers could fill the rest of the room in
 * less time than the compaction takes. Then one of them would have to copy the
 * map under the lock, and all others wait for it. So each of them pauses a
 * little instead, without the lock, and the longer, the less room is left.
 *
 * Not here: which of the two it is (snapshot/version_update.c); maps that
 * depend on no present one (publish.c).
 */
#include "core/update.h"

#include "core/base/memory.h"
#include "core/compact.h"
#include "core/publish.h"
#include "core/snapshot/version.h"

/* Writes the merged entries to a draft, laid out like the present base, and
 * replaces the holder by it. */
static enum status
replace_with(struct holder *holder, const struct entry *entries, size_t count,
             const struct snapshot *base, struct publish_update *update,
             const char *path)
{
    struct snapshot_options layout = {
        .label = update->label,
        .index = snapshot_has_hash_index(base) ? INDEX_HASH : INDEX_TREE,
        .value_alignment = base->header.value_alignment,
    };
    struct snapshot_plan plan;
    struct draft draft;
    struct publish_options options = {
        .lock = update->lock,
        .mode = holder->mode,
        .force = true,
    };
    enum status status = publish_plan(&plan, entries, count, &layout);
    if (status != STATUS_OK) {
        return status;
    }
    update->needed = plan.header.total_size;
    publish_leave_room(&plan);
    status = draft_create(&draft, path, plan.header.total_size, &options);
    if (status != STATUS_OK) {
        return status;
    }
    status = publish_write_draft(&draft, &plan, &options.lock.interrupt);
    if (status == STATUS_OK) {
        status = holder_replace(holder, &draft, path, &options, &plan.header);
    }
    draft_close(&draft);
    update->generation = plan.header.generation;
    return status;
}

/* Merges everything into a new base. */
static enum status
copy_version(struct holder *holder, const struct segment *segment,
             const struct version *version, struct publish_update *update,
             const char *path)
{
    // Damage must not be published again with a checksum that fits it.
    enum status status =
        version_verify_checksum(version, &update->lock.interrupt);
    if (status != STATUS_OK) {
        return status;
    }
    size_t room, count;
    bool is_changed;
    struct entry *merged = NULL;
    if (!__builtin_add_overflow(version->entry_count,
                                update->changes.put_count, &room))
    {
        merged = memory_allocate_array(room, sizeof(*merged));
    }
    if (merged == NULL) {
        return STATUS_NO_MEMORY;
    }
    status = merge_changes(version, &update->changes, merged, &count,
                           &is_changed, &update->lock.interrupt);
    // A mark without a newer snapshot is of a publisher that was killed:
    // publishing again repairs it.
    if (status == STATUS_OK && !is_changed && !segment_is_superseded(segment))
    {
        holder_clear_leftover(path);
        update->generation = version->generation;
    }
    else if (status == STATUS_OK) {
        status =
            replace_with(holder, merged, count, &version->base, update, path);
    }
    memory_release(merged);
    return status;
}

/* How far an update has come. */
struct progress {
    enum version_copying copying;
    enum version_step step;
    bool is_full;   // the deltas should be compacted
    int64_t pause;  // nanoseconds, if another process is at it
};

/* For each entry a compaction takes less than this, and no pause is longer. */
static const double COMPACTION_TIME = 300, LONGEST_PAUSE = 1e7;

/* If each update that is as large as this one pauses so long, the room lasts as
 * long as a compaction. */
static int64_t
pause_after(const struct version *version, const struct version_update *next)
{
    const struct snapshot_header *base = &version->base.header;
    uint64_t left = base->limit - base->total_size - next->begin - next->size;
    double pause = COMPACTION_TIME * (double)base->entry_count
                   * (double)next->size / (double)(left + 1);
    // Rarely tested: only in a map of many entries, or in a room with hardly a
    // byte left, is a pause that long.
    return (int64_t)(pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE);
}

/* Writes the changes behind the present version, if that pays. */
static enum status
append_changes(struct holder *holder, const struct version *version,
               struct publish_update *update, const char *path,
               struct progress *progress)
{
    struct version_identity identity;
    struct version_update next;
    enum status status = holder_next_identity(holder, &identity);
    if (status != STATUS_OK) {
        return status;
    }
    status =
        version_update_prepare(&next, version, &update->changes, &identity,
                               progress->copying, &update->lock.interrupt);
    progress->step = next.step;
    progress->is_full = next.is_full;
    if (status == STATUS_OK && next.step == STEP_APPEND) {
        update->needed = next.size;
        progress->pause = pause_after(version, &next);
        status = holder_append(holder, &next, path);
    }
    version_update_release(&next);
    update->generation =
        next.step == STEP_APPEND ? identity.generation : version->generation;
    return status;
}

static bool
can_append(const struct holder *holder, const struct segment *segment,
           const struct version *version)
{
    return version->base.header.limit > 0
           && holder_can_append(holder, segment);
}

/* The same, or everything anew where that cannot be. */
static enum status
update_version(struct holder *holder, const struct segment *segment,
               const struct version *version, struct publish_update *update,
               const char *path, struct progress *progress)
{
    enum status status = STATUS_OK;
    progress->step = STEP_COPY;
    if (can_append(holder, segment, version)) {
        status = append_changes(holder, version, update, path, progress);
    }
    return status == STATUS_OK && progress->step == STEP_COPY
               ? copy_version(holder, segment, version, update, path)
               : status;
}

static enum status
update_segment(struct holder *holder, const struct segment *segment,
               struct publish_update *update, const char *path,
               struct progress *progress)
{
    struct version version;
    enum status status =
        version_open(&version, segment->bytes, segment->size, segment->head);
    // Untested: mapping it has checked the same headers, so that they would
    // have to change meanwhile not to be OK.
    if (status != STATUS_OK) {
        return status;
    }
    status = update_version(holder, segment, &version, update, path, progress);
    if (status == STATUS_NO_SPACE && progress->step == STEP_COPY
        && can_append(holder, segment, &version))
    {
        // Not enough for a copy, but the file may have room for a large delta.
        progress->copying = COPY_IF_NEEDED;
        status = append_changes(holder, &version, update, path, progress);
        if (status == STATUS_OK && progress->step == STEP_COPY) {
            status = STATUS_NO_SPACE;
        }
    }
    return status;
}

/* With the name unlocked. */
static enum status
leave_room(const struct publish_update *update, const char *path,
           const struct progress *progress, bool is_compacted)
{
    if (!progress->is_full) {
        return STATUS_OK;
    }
    if (is_compacted) {
        (void)segment_pause(progress->pause);
        return STATUS_OK;
    }
    // The change is published, whatever becomes of this.
    enum status status = compact_segment(path, update->label, &update->lock);
    return status == STATUS_INTERRUPTED ? status : STATUS_OK;
}

/* Locks the name, if it leads to what the caller has seen. */
static enum status
lock_expected(struct holder *holder, const char *path,
              struct publish_update *update)
{
    const struct expectation *expected = &update->expected;
    enum status status = holder_lock(holder, path, &update->lock);
    if (status == STATUS_NAME_ABSENT) {
        update->generation = 0;
        // A free name that is expected to be free still has no map to change.
        return holder_check_expected(&HOLDER_EMPTY, expected) == STATUS_OK
                   ? STATUS_NAME_ABSENT
                   : STATUS_STALE;
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = holder_check_expected(holder, expected);
    if (status != STATUS_OK) {
        update->generation = holder->generation;
        holder_close(holder);
    }
    return status;
}

enum status
publish_update(struct publish_update *update, const char *path)
{
    struct holder holder;
    struct segment segment = SEGMENT_EMPTY;
    struct progress progress = {.copying = COPY_IF_IT_PAYS};
    enum status status = lock_expected(&holder, path, update);
    if (status != STATUS_OK) {
        return status;
    }
    status = holder_map(&holder, path, &segment);
    if (status == STATUS_OK) {
        status = update_segment(&holder, &segment, update, path, &progress);
    }
    bool is_compacted = progress.is_full && holder_is_compacted(&holder);
    // Unmapping may free the memory of a large file, for which no other
    // publisher should have to wait.
    if (segment.bytes != NULL) {
        holder_close_mapped(&holder);
    }
    else {
        holder_close(&holder);
    }
    if (status == STATUS_OK && progress.step == STEP_COPY) {
        segment_close(&segment);  // of a file that has been replaced
    }
    else {
        holder_unmap(&segment, path);
    }
    return status == STATUS_OK
               ? leave_room(update, path, &progress, is_compacted)
               : status;
}
