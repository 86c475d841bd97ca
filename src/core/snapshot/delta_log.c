/* core/snapshot/delta_log.c
 *
 *     room   | delta | delta | delta: records ... | delta: records ... |
 *                    from    ^        a' b -          b c'             to
 *
 *     log    b put, c put, a put, and of two changes of a key the later one
 *
 * Deltas follow each other without a gap, and so do the records of one.
 *
 * Not here: writing them (delta_writer.c).
 */
#include "core/snapshot/delta_log.h"

#include "core/base/memory.h"
#include "core/base/sort.h"
#include "core/snapshot/record.h"

/* Copies of the entries that are found, in an array that grows. */
struct list {
    struct arena *arena;    // borrowed
    struct entry *entries;  // owned
    size_t count;
    size_t room;
};

static enum status
list_add(struct list *list, const struct entry *entry)
{
    if (list->count == list->room) {
        size_t room = list->room > 0 ? list->room * 2 : 64;
        struct entry *grown = memory_allocate_array(room, sizeof(*grown));
        if (grown == NULL) {
            return STATUS_NO_MEMORY;
        }
        for (size_t i = 0; i < list->count; i++) {
            grown[i] = list->entries[i];
        }
        memory_release(list->entries);
        list->entries = grown;
        list->room = room;
    }
    struct entry *copy = &list->entries[list->count];
    *copy = *entry;
    enum status status = arena_keep(list->arena, &copy->key);
    if (status == STATUS_OK) {
        status = arena_keep(list->arena, &copy->value.bytes);
    }
    list->count += status == STATUS_OK;
    return status;
}

static enum status
read_records(struct list *list, const struct delta *delta)
{
    uint64_t at = delta->begin + DELTA_HEADER_SIZE;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && at < delta->view.records_size) {
        struct entry entry;
        status = record_read(&delta->view, at, &entry);
        if (status == STATUS_OK) {
            status = list_add(list, &entry);
            at = record_end(&delta->view, &entry);
        }
    }
    return status;
}

/* Moves the removals behind the puts; both stay in order. */
static enum status
split(struct delta_log *log, size_t count)
{
    struct entry *removals = memory_allocate_array(count, sizeof(*removals));
    size_t put_count = 0, removal_count = 0;
    if (removals == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        if (entry_is_tombstone(&log->entries[i])) {
            removals[removal_count++] = log->entries[i];
        }
        else {
            log->entries[put_count++] = log->entries[i];
        }
    }
    for (size_t i = 0; i < removal_count; i++) {
        log->entries[put_count + i] = removals[i];
    }
    memory_release(removals);
    log->changes = (struct changes){
        .puts = log->entries,
        .put_count = put_count,
        .removals = log->entries + put_count,
        .removal_count = removal_count,
    };
    return STATUS_OK;
}

enum status
delta_log_read(struct delta_log *log, const struct version *from,
               const struct version *to)
{
    const struct delta *first = version_top(from), *last = version_top(to);
    const uint64_t end = last != NULL ? last->end : 0;
    uint64_t at = first != NULL ? first->end : 0;
    *log = (struct delta_log){.entries = NULL};
    struct list list = {.arena = &log->arena};
    enum status status = STATUS_OK;
    while (status == STATUS_OK && at < end) {
        struct delta delta;
        status = delta_open(&delta, &to->base, delta_head(at), end);
        if (status == STATUS_OK) {
            status = delta_verify_checksum(&delta);
        }
        if (status == STATUS_OK) {
            status = read_records(&list, &delta);
            at = delta.end;
        }
    }
    if (status == STATUS_OK && list.count > 0) {
        status = sort_entries(&list.entries, &list.count, NULL);
    }
    log->entries = list.entries;
    return status == STATUS_OK && list.count > 0 ? split(log, list.count)
                                                 : status;
}

void
delta_log_clear(struct delta_log *log)
{
    memory_release(log->entries);
    log->entries = NULL;
    arena_clear(&log->arena);
}
