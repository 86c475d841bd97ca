/* core/compact.c
 *
 *     lock to compact --> version A, pinned --> new base, in a draft
 *                               |
 *         others publish:       +--> version B
 *                               |
 *     lock to publish --> what changed from A to B --> one delta over the base
 *                     --> mark, rename
 *
 * The first part takes as long as copying the map, the second as long as an
 * update of what was published meanwhile.
 *
 * Generation and id stay those of A for the base and of B for the delta, so
 * that a reader who moves to the new file has the version that it had.
 *
 * Not here: when to compact (publish.c); the steps on files (segment/append.c,
 * segment/publish.c).
 */
#include "core/compact.h"

#include "core/base/memory.h"
#include "core/publish.h"
#include "core/snapshot/delta_log.h"
#include "core/snapshot/version.h"

struct compaction {
    const char *path;  // borrowed
    const struct lock_options *options;
    struct slice label;
    struct holder compactor;
    struct segment segment;             // of the compactor's file
    struct version version;             // that was pinned
    struct publish_options publishing;  // borrowed by the draft
    struct draft draft;
    struct snapshot_plan plan;
};

static void
take_identity(struct snapshot_header *header, const struct version *version)
{
    header->generation = version->generation;
    memcpy(header->unique_id, version->unique_id, sizeof(header->unique_id));
    header->published_at = version->published_at;
}

/* Writes the pinned version to the draft, as a base. */
static enum status
write_base(struct compaction *compaction, const struct entry *entries)
{
    const struct version *version = &compaction->version;
    struct snapshot_options layout = {
        .label = compaction->label,
        .index =
            snapshot_has_hash_index(&version->base) ? INDEX_HASH : INDEX_TREE,
    };
    struct snapshot_plan *plan = &compaction->plan;
    enum status status =
        publish_plan(plan, entries, version->entry_count, &layout);
    if (status != STATUS_OK) {
        return status;
    }
    publish_leave_room(plan);
    take_identity(&plan->header, version);
    compaction->publishing = (struct publish_options){
        .lock = *compaction->options,
        .mode = compaction->compactor.mode,
    };
    status = draft_create(&compaction->draft, compaction->path,
                          plan->header.total_size, &compaction->publishing);
    return status == STATUS_OK
               ? publish_write_draft(&compaction->draft, plan,
                                     &compaction->options->interrupt)
               : status;
}

/* The same, and collects the entries before. */
static enum status
flatten(struct compaction *compaction)
{
    const struct version *version = &compaction->version;
    struct changes nothing = {.puts = NULL};
    bool is_changed;
    size_t count;
    // Damage must not be published again with a checksum that fits it.
    enum status status =
        version_verify_checksum(version, &compaction->options->interrupt);
    if (status != STATUS_OK) {
        return status;
    }
    struct entry *entries =
        memory_allocate_array(version->entry_count, sizeof(*entries));
    if (entries == NULL) {
        return STATUS_NO_MEMORY;
    }
    status = merge_changes(version, &nothing, entries, &count, &is_changed,
                           &compaction->options->interrupt);
    if (status == STATUS_OK) {
        status = write_base(compaction, entries);
    }
    memory_release(entries);
    return status;
}

/* Makes a delta over the new base of what was published since it was begun. */
static enum status
catch_up(struct compaction *compaction, const struct version *present,
         struct version_update *newer)
{
    struct segment written = SEGMENT_EMPTY;
    struct version version;
    struct delta_log log;
    struct version_identity identity = {
        .generation = present->generation,
        .published_at = present->published_at,
    };
    memcpy(identity.unique_id, present->unique_id, sizeof(identity.unique_id));
    enum status status = draft_map(
        &compaction->draft, compaction->plan.header.total_size, &written);
    if (status == STATUS_OK) {
        status = version_open(&version, written.bytes, written.size, 0);
    }
    if (status == STATUS_OK) {
        status = delta_log_read(&log, &compaction->version, present);
        if (status == STATUS_OK) {
            status = version_update_prepare(newer, &version, &log.changes,
                                            &identity, COPY_IF_IT_PAYS, NULL);
        }
        delta_log_clear(&log);
    }
    segment_close(&written);
    return status;
}

/* Under the lock of the name: catches up, and takes the name. */
static enum status
replace(struct compaction *compaction, struct holder *holder)
{
    struct segment segment = SEGMENT_EMPTY;
    struct version_update newer = {.step = STEP_NONE};
    struct version present;
    // Untested: a file system would have to be mounted over the directory.
    if (holder->device != compaction->compactor.device
        || holder->inode != compaction->compactor.inode)
    {
        return STATUS_OK;
    }
    enum status status = holder_map(holder, compaction->path, &segment);
    if (status == STATUS_OK && !holder_can_append(holder, &segment)) {
        // A publisher was killed while it replaced the file: the next update
        // repairs that.
        segment_close(&segment);
        return STATUS_OK;
    }
    if (status == STATUS_OK) {
        status =
            version_open(&present, segment.bytes, segment.size, segment.head);
    }
    if (status == STATUS_OK && present.head != compaction->version.head) {
        status = catch_up(compaction, &present, &newer);
    }
    if (status == STATUS_OK && newer.step == STEP_NONE) {
        // What was published meanwhile, if anything, was undone again.
        take_identity(&compaction->plan.header, &present);
    }
    // So much may have been published that it needs a base of its own.
    if (status == STATUS_OK && newer.step != STEP_COPY) {
        status = holder_compact(holder, &compaction->draft, compaction->path,
                                &compaction->plan.header, &newer);
    }
    version_update_release(&newer);
    segment_close(&segment);
    return status;
}

/* With the right to compact. */
static enum status
compact(struct compaction *compaction)
{
    struct holder holder;
    enum status status = holder_map(&compaction->compactor, compaction->path,
                                    &compaction->segment);
    if (status == STATUS_OK) {
        status =
            version_open(&compaction->version, compaction->segment.bytes,
                         compaction->segment.size, compaction->segment.head);
    }
    if (status == STATUS_OK
        && (segment_is_marked(&compaction->segment)
            || compaction->version.delta_count == 0
            || segment_space(compaction->path)
                   < compaction->version.base.header.total_size))
    {
        return STATUS_OK;
    }
    if (status == STATUS_OK) {
        status = flatten(compaction);
    }
    if (status == STATUS_OK) {
        status = holder_lock(&holder, compaction->path, compaction->options);
        if (status == STATUS_OK) {
            status = replace(compaction, &holder);
            holder_close(&holder);
        }
    }
    return status == STATUS_NO_SPACE || status == STATUS_NAME_ABSENT
               ? STATUS_OK
               : status;
}

enum status
compact_segment(const char *path, struct slice label,
                const struct lock_options *options)
{
    bool is_ours = false;
    struct compaction compaction = {
        .path = path,
        .options = options,
        .label = label,
        .compactor = HOLDER_EMPTY,
        .segment = SEGMENT_EMPTY,
        .draft = DRAFT_EMPTY,
    };
    enum status status = holder_begin_compaction(
        &compaction.compactor, path, &is_ours, &options->interrupt);
    if (status == STATUS_OK && is_ours) {
        status = compact(&compaction);
    }
    draft_close(&compaction.draft);
    segment_close(&compaction.segment);
    holder_close(&compaction.compactor);
    return status == STATUS_NAME_ABSENT ? STATUS_OK : status;
}
