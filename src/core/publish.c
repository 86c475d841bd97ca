/* core/publish.c
 *
 *     entries -> plan -> writer -> memory
 *                               -> draft -> name
 *
 * Not here: the bytes (snapshot/writer.c), the names (segment/publish.c).
 */
#include "core/publish.h"

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

/* A smaller map is copied in the time that a delta takes, and all of its values
 * can be cached. One with aligned values is copied, too: the records of a delta
 * follow each other without a gap. */
enum { LEAST_ENTRIES = 4096 };

void
publish_leave_room(struct snapshot_plan *plan)
{
    struct snapshot_header *header = &plan->header;
    if (header->entry_count >= LEAST_ENTRIES && header->value_alignment == 0) {
        header->limit =
            header->total_size
            + header->total_size / 2 / SNAPSHOT_ALIGNMENT * SNAPSHOT_ALIGNMENT;
    }
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

enum status
publish_write_draft(struct draft *draft, struct snapshot_plan *plan,
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
    if (!options->force && expectation_is_any(&options->expected)) {
        status = segment_check_free(path, &options->lock.interrupt);
    }
    if (!options->is_durable) {
        publish_leave_room(plan);
    }
    if (status == STATUS_OK) {
        status = draft_create(&draft, path, plan->header.total_size, options);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = publish_write_draft(&draft, plan, &options->lock.interrupt);
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
