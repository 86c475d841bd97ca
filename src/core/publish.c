/* core/publish.c
 *
 *     entries -> plan -> writer -> memory
 *                               -> draft -> name
 *
 * Not here: the bytes (snapshot_writer.c), the names (segment_publish.c).
 */
#include "core/publish.h"

enum status
publish_plan(struct snapshot_plan *plan, const struct entry *entries,
             size_t entry_count, struct slice label)
{
    enum status status =
        snapshot_plan(plan, entries, entry_count, label, false);
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
publish_to_memory(struct snapshot_plan *plan, void *bytes)
{
    struct snapshot_sink sink = {write_to_memory, bytes};
    return snapshot_write(plan, &sink);
}

static enum status
write_to_draft(void *context, uint64_t offset, const void *bytes, size_t size)
{
    return draft_write(context, offset, bytes, size);
}

enum status
publish_to_segment(struct snapshot_plan *plan, const char *path,
                   const struct draft_terms *terms)
{
    struct draft draft;
    // The name can still be taken later; this only spares a long write.
    if (!terms->force && segment_exists(path)) {
        return STATUS_NAME_TAKEN;
    }
    enum status status =
        draft_create(&draft, path, plan->header.total_size, terms);
    if (status != STATUS_OK) {
        return status;
    }
    struct snapshot_sink sink = {write_to_draft, &draft};
    status = snapshot_write(plan, &sink);
    if (status == STATUS_OK) {
        status = draft_publish(&draft, path, terms, &plan->header);
    }
    draft_close(&draft);
    return status;
}
