/* core/compact.c
 *
 *     lock to compact --> version A, pinned --> new base, in a draft
 *                               |
 *         others publish:       +--> version B
 *                               |    what changed from A to B --> delta
 *         and publish:          +--> version C
 *                               |
 *     lock to publish --> what changed from B to C --> delta
 *                     --> mark, rename
 *
 * The first part takes as long as copying the map, and so much may change
 * meanwhile that it takes long to write that, too. Other publishers would wait
 * for it. So the draft catches up while they publish, which takes less each
 * time, and under their lock only with what is left.
 *
 * Generation and id stay those of A for the base and of B or C for the deltas,
 * so that a reader who moves to the new file has the version that it had.
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
    struct version version;             // of it, which the draft's base is
    struct publish_options publishing;  // borrowed by the draft
    struct draft draft;
    struct snapshot_plan plan;
    struct segment written;     // the draft
    struct version copied;      // of the file, which the draft has come to
    struct version draft_base;  // the draft without deltas,
    struct version draft_top;   // and with those that it has
};

/* How often it catches up while others publish. */
enum { CATCH_UPS = 4 };

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

/* Opens the version of the draft that the head leads to. */
static enum status
open_draft(struct compaction *compaction, struct version *version,
           uint32_t head)
{
    return version_open(version, compaction->written.bytes,
                        compaction->written.size, head);
}

static enum status
map_draft(struct compaction *compaction)
{
    const struct snapshot_header *header = &compaction->plan.header;
    enum status status =
        draft_map(&compaction->draft,
                  header->limit > 0 ? header->limit : header->total_size,
                  &compaction->written);
    if (status == STATUS_OK) {
        status = open_draft(compaction, &compaction->draft_base, 0);
    }
    compaction->draft_top = compaction->draft_base;
    compaction->copied = compaction->version;
    return status;
}

/* Opens what was published last in the compactor's file. */
static enum status
open_present(struct compaction *compaction, struct version *present)
{
    struct segment *segment = &compaction->segment;
    enum status status = holder_refresh(&compaction->compactor, segment);
    return status == STATUS_OK ? version_open(present, segment->bytes,
                                              segment->size, segment->head)
                               : status;
}

/* Makes a delta over a version of the draft, of what was published between two
 * of the file. */
static enum status
make_delta(const struct version *over, const struct version *from,
           const struct version *to, struct version_update *newer,
           const struct interrupt *interrupt)
{
    struct delta_log log;
    struct version_identity identity = {
        .generation = to->generation,
        .published_at = to->published_at,
    };
    memcpy(identity.unique_id, to->unique_id, sizeof(identity.unique_id));
    *newer = (struct version_update){.step = STEP_NONE};
    enum status status = delta_log_read(&log, from, to);
    if (status == STATUS_OK) {
        status = version_update_prepare(newer, over, &log.changes, &identity,
                                        COPY_IF_IT_PAYS, interrupt);
    }
    delta_log_clear(&log);
    return status;
}

static enum status
append_to_draft(struct compaction *compaction,
                const struct version_update *newer)
{
    enum status status = draft_append(
        &compaction->draft, compaction->plan.header.total_size + newer->begin,
        newer->bytes, newer->size);
    return status == STATUS_OK
               ? open_draft(compaction, &compaction->draft_top, newer->head)
               : status;
}

/* One step towards what others publish meanwhile. `is_over` says that the
 * draft has come as far as it can without their lock. */
static enum status
come_closer(struct compaction *compaction, bool *is_over)
{
    struct version present;
    struct version_update newer;
    enum status status = open_present(compaction, &present);
    *is_over = true;
    if (status != STATUS_OK || present.head == compaction->copied.head) {
        return status;
    }
    status = make_delta(&compaction->draft_top, &compaction->copied, &present,
                        &newer, &compaction->options->interrupt);
    if (status == STATUS_OK && newer.step == STEP_APPEND) {
        status = append_to_draft(compaction, &newer);
        compaction->copied = present;
        *is_over = false;
    }
    version_update_release(&newer);
    return status;
}

static enum status
catch_up(struct compaction *compaction)
{
    bool is_over = false;
    enum status status = STATUS_OK;
    for (int i = 0; status == STATUS_OK && !is_over && i < CATCH_UPS; i++) {
        status = interrupt_is_due(&compaction->options->interrupt)
                     ? STATUS_INTERRUPTED
                     : come_closer(compaction, &is_over);
    }
    return status;
}

/* Makes the last delta of the draft, for what was published since, and says in
 * the draft's header which versions it has. */
static enum status
catch_up_last(struct compaction *compaction, const struct version *present,
              struct version_update *newer)
{
    struct snapshot_header *header = &compaction->plan.header;
    enum status status = STATUS_OK;
    if (present->head != compaction->copied.head) {
        status = make_delta(&compaction->draft_top, &compaction->copied,
                            present, newer, NULL);
        if (status == STATUS_OK && newer->step == STEP_NONE
            && compaction->draft_top.head != 0)
        {
            // What was published last was undone again. That has an id of its
            // own, which no delta of the draft has.
            compaction->draft_top = compaction->draft_base;
            status = make_delta(&compaction->draft_base, &compaction->version,
                                present, newer, NULL);
        }
    }
    header->head = compaction->draft_top.head;
    if (header->head == 0 && newer->step == STEP_NONE) {
        // What was published meanwhile, if anything, was undone again.
        take_identity(header, present);
    }
    return status;
}

/* Under the lock of the name: catches up, and takes the name. */
static enum status
replace(struct compaction *compaction, struct holder *holder)
{
    struct version_update newer = {.step = STEP_NONE};
    struct version present;
    // Untested: a file system would have to be mounted over the directory.
    if (holder->device != compaction->compactor.device
        || holder->inode != compaction->compactor.inode)
    {
        return STATUS_OK;
    }
    enum status status = open_present(compaction, &present);
    if (status == STATUS_OK
        && !holder_can_append(holder, &compaction->segment))
    {
        // A publisher was killed while it replaced the file: the next update
        // repairs that.
        return STATUS_OK;
    }
    if (status == STATUS_OK) {
        status = catch_up_last(compaction, &present, &newer);
    }
    // So much may have been published that it needs a base of its own.
    if (status == STATUS_OK && newer.step != STEP_COPY) {
        status = holder_compact(holder, &compaction->draft, compaction->path,
                                &compaction->plan.header, &newer);
    }
    version_update_release(&newer);
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
        status = map_draft(compaction);
    }
    if (status == STATUS_OK) {
        status = catch_up(compaction);
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
        .written = SEGMENT_EMPTY,
    };
    enum status status = holder_begin_compaction(
        &compaction.compactor, path, &is_ours, &options->interrupt);
    if (status == STATUS_OK && is_ours) {
        status = compact(&compaction);
    }
    segment_close(&compaction.written);
    draft_close(&compaction.draft);
    segment_close(&compaction.segment);
    holder_close(&compaction.compactor);
    return status == STATUS_NAME_ABSENT ? STATUS_OK : status;
}
