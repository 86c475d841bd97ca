/* core/snapshot/open.c
 *
 * Creates a view on untrusted bytes.
 *
 *     | header | records | sorted index | hash index |
 *         |         ^          ^              ^
 *         +- copied, checked, turned into pointers
 *
 * The header is copied once and only the copy is used. So the header that was
 * checked is the one in use, whatever happens to the bytes.
 *
 * Not here: what a valid header is (header.c); where the bytes come from
 * (segment/open.c).
 */
#include "core/snapshot/header.h"
#include "core/snapshot/snapshot.h"

enum status
snapshot_open(struct snapshot *view, const void *bytes, size_t size)
{
    struct snapshot_header header;
    if (size < sizeof(header)) {
        return snapshot_header_check_short(bytes, size);
    }
    memcpy(&header, bytes, sizeof(header));
    enum status status = snapshot_header_check(&header, size);
    if (status != STATUS_OK) {
        return status;
    }
    const unsigned char *start = bytes;
    *view = (struct snapshot){
        .bytes = start,
        .sorted_index = start + header.sorted_index.offset,
        .records = start + header.records.offset,
        .buckets = header.hash_index.size > 0
                       ? start + header.hash_index.offset
                       : NULL,
        .bucket_count = header.hash_index.size / BUCKET_SIZE,
        .hash_seed = header.hash_seed,
        .records_size = header.records.size,
        .entry_count = header.entry_count,
        .reference_size = header.reference_size,
        .reference_shift = header.reference_shift,
        .has_containers = (header.flags & SNAPSHOT_FLAG_CONTAINERS) != 0,
        .header = header,
    };
    return STATUS_OK;
}

struct slice
snapshot_label(const struct snapshot *view)
{
    return (struct slice){view->header.label, view->header.label_size};
}
