/* core/publish.c
 *
 *     entries -> plan -> writer -> memory
 *                               -> draft -> name
 *
 *     holder, changes -> merged entries -> plan -> writer -> draft -> name
 *       +------------------- locked all the way ---------------------+
 *
 * Not here: the bytes (snapshot/writer.c), the names (segment/publish.c).
 */
#include "core/publish.h"

#include "core/base/memory.h"
#include "core/snapshot/snapshot.h"

enum status
publish_plan(struct snapshot_plan *plan, const struct entry *entries,
             size_t entry_count, const struct snapshot_options *options)
{
    enum status status = snapshot_plan(plan, entries, entry_count, options);
    if (status != STATUS_OK) {
        return status;
    }
    return segment_unique_id(plan->header.unique_id);
}

static enum status
write_to_memory(void *context, uint64_t offset, const void *bytes, size_t size)
{
    memcpy((unsigned char *)context + offset, bytes, size);
    return STATUS_OK;
}

enum status
publish_to_memory(struct snapshot_plan *plan, void *bytes,
                  const struct interrupt *interrupt)
{
    struct snapshot_sink sink = {write_to_memory, bytes, interrupt};
    return snapshot_write(plan, &sink);
}

static enum status
write_to_draft(void *context, uint64_t offset, const void *bytes, size_t size)
{
    return draft_write(context, offset, bytes, size);
}

static enum status
write_draft(struct draft *draft, struct snapshot_plan *plan,
            const struct interrupt *interrupt)
{
    struct snapshot_sink sink = {write_to_draft, draft, interrupt};
    return snapshot_write(plan, &sink);
}

enum status
publish_to_segment(struct snapshot_plan *plan, const char *path,
                   const struct publish_options *options)
{
    struct draft draft;
    enum status status = STATUS_OK;
    // The name can still be taken later; this only spares a long write.
    if (!options->force && !options->has_expected && !options->has_expected_id)
    {
        status = segment_check_free(path, &options->lock.interrupt);
    }
    if (status == STATUS_OK) {
        status = draft_create(&draft, path, plan->header.total_size, options);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = write_draft(&draft, plan, &options->lock.interrupt);
    if (options->is_written != NULL) {
        *options->is_written = true;
    }
    // Syncing cannot ask, and a disk may hang: if the entries are guarded, that
    // ends before.
    if (status == STATUS_OK && options->is_durable
        && interrupt_is_due_now(&options->lock.interrupt))
    {
        status = STATUS_INTERRUPTED;
    }
    if (status == STATUS_OK && options->huge_pages) {
        draft_use_huge_pages(&draft, plan->header.total_size);
    }
    if (status == STATUS_OK) {
        status = draft_publish(&draft, path, options, &plan->header);
    }
    draft_close(&draft);
    return status;
}

/* ---- updating ----------------------------------------------------------- */

/* Writes the merged entries to a draft and replaces the holder by it. */
static enum status
replace_with(struct holder *holder, const struct entry *entries, size_t count,
             enum snapshot_index index, struct publish_update *update,
             const char *path)
{
    struct snapshot_options layout = {.label = update->label, .index = index};
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
    status = draft_create(&draft, path, plan.header.total_size, &options);
    if (status != STATUS_OK) {
        return status;
    }
    status = write_draft(&draft, &plan, &options.lock.interrupt);
    if (status == STATUS_OK) {
        status = holder_replace(holder, &draft, path, &options, &plan.header);
    }
    draft_close(&draft);
    update->generation = plan.header.generation;
    return status;
}

/* Merges into the bytes that are in `segment`. */
static enum status
update_segment(struct holder *holder, const struct segment *segment,
               struct publish_update *update, const char *path)
{
    struct snapshot view;
    enum status status = snapshot_open(&view, segment->bytes, segment->size);
    // Untested: mapping it has checked the same header, so that it would
    // have to change meanwhile not to be OK.
    if (status == STATUS_OK) {
        // Damage must not be published again with a checksum that fits it.
        status = snapshot_verify_checksum(&view, &update->lock.interrupt);
    }
    if (status != STATUS_OK) {
        return status;
    }
    size_t room, count;
    bool is_changed;
    struct entry *merged = NULL;
    if (!__builtin_add_overflow(view.entry_count, update->changes.put_count,
                                &room))
    {
        merged = memory_allocate_array(room, sizeof(*merged));
    }
    if (merged == NULL) {
        return STATUS_NO_MEMORY;
    }
    status = merge_changes(&view, &update->changes, merged, &count,
                           &is_changed, &update->lock.interrupt);
    // A mark without a newer snapshot is of a publisher that was killed:
    // publishing again repairs it.
    if (status == STATUS_OK && !is_changed && !segment_is_superseded(segment))
    {
        holder_clear_leftover(path);
        update->generation = view.header.generation;
    }
    else if (status == STATUS_OK) {
        status = replace_with(holder, merged, count,
                              snapshot_has_hash_index(&view) ? INDEX_HASH
                                                             : INDEX_TREE,
                              update, path);
    }
    memory_release(merged);
    return status;
}

enum status
publish_update(struct publish_update *update, const char *path)
{
    struct holder holder;
    struct segment segment = SEGMENT_EMPTY;
    enum status status = holder_lock(&holder, path, &update->lock);
    if (status != STATUS_OK) {
        return status;
    }
    status = holder_map(&holder, &segment);
    if (status == STATUS_OK) {
        status = update_segment(&holder, &segment, update, path);
    }
    segment_close(&segment);
    holder_close(&holder);
    return status;
}
