/* core/segment/append.c
 *
 * Publishing a delta: the next version, behind the present one in its file.
 *
 *     | header, head | base | delta | delta |           |
 *               |                           ^ allocate, write
 *               +--- then: store where it begins, wake those that sleep
 *
 * Committed bytes never change: a delta begins where the newest one ends, and
 * only the publisher that has the lock writes there. One that is killed before
 * the store leaves bytes that nothing leads to; the next one overwrites them.
 *
 * The file has no hole, and each page that a head leads to is allocated: a
 * reader that falls into a hole allocates a page, or gets a signal where the
 * file system is full.
 *
 * Not here: what is in the delta (snapshot/version_update.c); publishing
 * another file (publish.c).
 */
#define _GNU_SOURCE
#include <stdatomic.h>

#include "core/segment/lock.h"
#include "core/segment/segment.h"
#include "core/segment/system.h"

bool
holder_can_append(const struct holder *holder, const struct segment *segment)
{
    return holder->header != NULL && !holder->is_read_only
           && segment->head == holder->head
           && atomic_load(holder_head_word(holder)) == holder->head;
}

enum status
holder_next_identity(const struct holder *holder,
                     struct version_identity *identity)
{
    identity->generation = generation_after(holder->generation);
    identity->published_at = system_time();
    return segment_unique_id(identity->unique_id);
}

enum status
holder_append(struct holder *holder, const struct version_update *update,
              const char *path)
{
    // A publisher that was killed just before it would mark and replace the
    // file has left a copy of the map. A young delta does not clear it: the call
    // would be a tenth of its time.
    if (update->is_over_base) {
        holder_clear_leftover(path);
    }
    const uint64_t offset = holder->total_size + update->begin;
    bool is_allocated;
    enum status status =
        system_allocate(holder->file.descriptor, offset, update->size,
                        holder->interrupt, &is_allocated);
    if (status == STATUS_OK) {
        status = system_write(holder->file.descriptor, offset, update->bytes,
                              update->size, holder->interrupt);
    }
    if (status != STATUS_OK) {
        return status;
    }
    atomic_store_explicit(holder_head_word(holder), update->head,
                          memory_order_release);
    holder->head = update->head;
    holder_wake_readers(holder);
    return STATUS_OK;
}

enum status
holder_begin_compaction(struct holder *compactor, const char *path,
                        bool *is_ours, const struct interrupt *interrupt)
{
    bool is_busy = false;
    enum status status = holder_open(compactor, path, is_ours, interrupt);
    if (status == STATUS_OK && *is_ours) {
        status = holder_map_header(compactor, false);
    }
    if (status == STATUS_OK && *is_ours && compactor->header != NULL) {
        status = holder_try_lock(compactor, path, LOCK_COMPACT, &is_busy);
    }
    *is_ours = status == STATUS_OK && *is_ours && compactor->header != NULL;
    return is_busy ? STATUS_OK : status;
}

bool
holder_is_compacted(const struct holder *holder)
{
    return system_is_locked(holder->file.descriptor, LOCK_COMPACT);
}
