/* core/snapshot/version_verify.c
 *
 * The deep check of a version: first each part for itself, then what the
 * deltas say of what lies beneath them.
 *
 *     base, checksum and all -> every delta's checksum, used or not, since
 *     their records may be -> each entry of the two deltas -> their ranks,
 *     by a search beneath
 *
 * Not here: the checks that make every other access safe (version.c, record.h).
 */
#include "core/base/utf8.h"
#include "core/snapshot/record.h"
#include "core/snapshot/version.h"

enum { UNINTERRUPTED = 1024 };

/* Deltas follow each other without a gap, so those that are not used any more
 * are found by their sizes; and the others have to be among them. */
static enum status
verify_delta_checksums(const struct version *version,
                       const struct interrupt *interrupt)
{
    uint64_t at = 0;
    unsigned met = 0;
    // Ends where the newest one does: delta_open() finds none behind it.
    while (met < version->delta_count) {
        struct delta delta;
        if (interrupt_is_due(interrupt)) {
            return STATUS_INTERRUPTED;
        }
        enum status status = delta_open(&delta, &version->base, delta_head(at),
                                        version_top(version)->end);
        if (status == STATUS_OK) {
            status = delta_verify_checksum(&delta);
        }
        if (status != STATUS_OK) {
            return status;
        }
        met += at == version->deltas[met].begin;
        at = delta.end;
    }
    return STATUS_OK;
}

enum status
version_verify_checksum(const struct version *version,
                        const struct interrupt *interrupt)
{
    enum status status = snapshot_verify_checksum(&version->base, interrupt);
    return status == STATUS_OK ? verify_delta_checksums(version, interrupt)
                               : status;
}

/* An entry of a delta, whose key was looked up beneath. */
static enum status
verify_rank(const struct delta *delta, uint64_t index,
            const struct entry *entry, const struct version_position *beneath)
{
    int64_t step = delta_step(delta, index);
    if (delta_below(delta, index) != beneath->below
        || step != !entry_is_tombstone(entry) - beneath->is_found)
    {
        return STATUS_BAD_RANK;
    }
    return STATUS_OK;
}

static enum status
verify_delta_entry(const struct version *version, unsigned number,
                   uint64_t index, struct entry *entry)
{
    const struct delta *delta = &version->deltas[number];
    struct version_position beneath;
    enum status status = record_at(&delta->view, index, entry);
    if (status != STATUS_OK) {
        return status;
    }
    if (!entry_is_tombstone(entry)) {
        status = snapshot_check_entry(entry);
    }
    else if (!utf8_is_valid(entry->key)) {
        return STATUS_BAD_TEXT;
    }
    if (status == STATUS_OK) {
        status = version_locate(version, number, entry->key, &beneath);
    }
    return status == STATUS_OK ? verify_rank(delta, index, entry, &beneath)
                               : status;
}

static enum status
verify_delta(const struct version *version, unsigned number,
             const struct interrupt *interrupt)
{
    const struct delta *delta = &version->deltas[number];
    const uint64_t count = delta->view.entry_count;
    const uint64_t beneath = number > 0
                                 ? version->deltas[number - 1].header.length
                                 : version->base.entry_count;
    struct entry previous = {.key = {NULL, 0}}, entry;
    uint64_t left = delta->view.records_size;
    for (uint64_t index = 0; index < count; index++) {
        if (index % UNINTERRUPTED == UNINTERRUPTED - 1
            && interrupt_is_due(interrupt))
        {
            return STATUS_INTERRUPTED;
        }
        enum status status =
            verify_delta_entry(version, number, index, &entry);
        if (status == STATUS_OK) {
            status = snapshot_count_entry(&left, &entry);
        }
        if (status == STATUS_OK) {
            status = snapshot_verify_indexed(&delta->view, &entry);
        }
        if (status != STATUS_OK) {
            return status;
        }
        if (index > 0 && slice_compare(previous.key, entry.key) >= 0) {
            return STATUS_BAD_ORDER;
        }
        previous = entry;
    }
    // The steps are right, so the shift at the end is, if that at the
    // beginning was.
    if (delta_shift(delta, 0) != 0 || delta_below(delta, count) != beneath
        || delta_rank(delta, count) != delta->header.length)
    {
        return STATUS_BAD_RANK;
    }
    return snapshot_verify_slot_count(&delta->view, interrupt);
}

enum status
version_verify_deltas(const struct version *version,
                      const struct interrupt *interrupt)
{
    enum status status = verify_delta_checksums(version, interrupt);
    for (unsigned i = 0; status == STATUS_OK && i < version->delta_count; i++)
    {
        status = verify_delta(version, i, interrupt);
    }
    return status;
}

enum status
version_verify(const struct version *version,
               const struct interrupt *interrupt)
{
    enum status status = snapshot_verify(&version->base, interrupt);
    return status == STATUS_OK ? version_verify_deltas(version, interrupt)
                               : status;
}
