/* core/segment/mapping.c
 *
 *     segment --+
 *     segment --+--> mapping --> bytes        kept_count     2
 *     segment --+       |                     opening_count  1
 *                       v
 *     buckets[hash] --> mapping --> NULL
 *
 * A reference that is kept belongs to something that a forked child has a copy
 * of. One that is not belongs to a thread that is opening or publishing, and
 * which a child does not have. So a child drops all of the latter, and unmaps
 * what has no other reference; that is why it may get a copy of each mapping.
 * The segment of such a reference knows by the number of forks that it is
 * stale.
 *
 * The table is guarded by the lock of the fork list, under which nothing that
 * can block is done. A mapping and its entry come and go in the same step of
 * the fork list, so that no fork sees one without the other:
 *
 *     | step: map, list | ... | step: take off, keep from children | unmap
 *
 * Unmapping is not part of the step: it frees the memory of a file that has no
 * name any more, for which no fork should have to wait.
 *
 * A file that has grown is mapped again by the next segment that is opened.
 * Those opened before keep the mapping that they have. The longer one is in
 * front, and is found from then on.
 *
 * Not here: which files can be mapped (open.c); the lock and the steps
 * (fork_list.c).
 */
#define _GNU_SOURCE
#include "core/segment/mapping.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/hash.h"
#include "core/base/memory.h"
#include "core/segment/fork_list.h"
#include "core/segment/system.h"

struct mapping {
    struct mapping *next;  // in the bucket
    uint64_t path;         // by which it was opened first
    struct mapping_key key;
    void *bytes;  // owned
    size_t size;
    size_t kept_count;  // references that a forked child has, too
    size_t opening_count;
};

/* The system allows 65,530 mappings unless told otherwise: 64 a bucket. */
enum { BUCKET_BITS = 10, BUCKET_COUNT = 1 << BUCKET_BITS };

static struct mapping *buckets[BUCKET_COUNT];  // guarded by the fork list

static void
drop_in_child(struct fork_listener *listener);

/* A publisher that has an older file open, whose handle will advance at its next
 * use, keeps what it updates mapped: else each update would map it anew, and
 * read it through page faults. One for the process, until the handle advances;
 * what others have replaced by then is of no more use. Guarded likewise. */
static struct segment retained = {.bytes = NULL};
static uint64_t retained_path;

static struct fork_listener listener = {.in_child = drop_in_child};
static bool is_listed;  // the listener; guarded likewise

/* ---- the table, between lock and unlock --------------------------------- */

static struct mapping **
bucket_of(const struct mapping_key *key)
{
    // Inode numbers are often consecutive: 2^64 divided by the golden ratio
    // spreads them.
    uint64_t hash =
        (key->inode ^ key->device << 32) * UINT64_C(0x9E3779B97F4A7C15);
    return &buckets[hash >> (64 - BUCKET_BITS)];
}

static struct mapping *
find(const struct mapping_key *key, size_t size)
{
    struct mapping *mapping = *bucket_of(key);
    while (mapping != NULL
           && !(mapping->size >= size && mapping->key.inode == key->inode
                && mapping->key.device == key->device
                && memcmp(mapping->key.unique_id, key->unique_id,
                          sizeof(key->unique_id))
                       == 0))
    {
        mapping = mapping->next;
    }
    return mapping;
}

static void
insert(struct mapping *mapping)
{
    struct mapping **bucket = bucket_of(&mapping->key);
    mapping->next = *bucket;
    *bucket = mapping;
    if (!is_listed) {
        fork_list_add(&listener);
        is_listed = true;
    }
}

static void
take_off(struct mapping *mapping)
{
    struct mapping **link = bucket_of(&mapping->key);
    while (*link != mapping) {
        link = &(*link)->next;
    }
    *link = mapping->next;
}

static bool
is_unused(const struct mapping *mapping)
{
    return mapping->kept_count == 0 && mapping->opening_count == 0;
}

static void
drop_in_child(struct fork_listener *dropped)
{
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        struct mapping **link = &buckets[i];
        while (*link != NULL) {
            struct mapping *mapping = *link;
            mapping->opening_count = 0;
            if (is_unused(mapping)) {
                *link = mapping->next;
                munmap(mapping->bytes, mapping->size);
                memory_release(mapping);
            }
            else {
                link = &mapping->next;
            }
        }
    }
    retained = SEGMENT_EMPTY;
    fork_list_add(dropped);
}

/* Whether a file other than `except`, opened by the path, has a handle. */
static bool
is_open_besides(uint64_t path, const struct mapping *except)
{
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        const struct mapping *mapping = buckets[i];
        while (mapping != NULL) {
            if (mapping->path == path && mapping != except
                && mapping->kept_count > 0)
            {
                return true;
            }
            mapping = mapping->next;
        }
    }
    return false;
}

/* ---- references --------------------------------------------------------- */

/* Fills the segment with a reference, between lock and unlock. */
static void
refer(struct segment *segment, struct mapping *mapping, size_t size)
{
    mapping->opening_count += 1;
    *segment = (struct segment){
        .bytes = mapping->bytes,
        .size = size,
        .device = mapping->key.device,
        .inode = mapping->key.inode,
        .mapping = mapping,
        .generation = fork_list_generation(),
    };
}

bool
mapping_find(struct segment *segment, const struct mapping_key *key,
             uint64_t size)
{
    fork_list_lock();
    struct mapping *mapping = find(key, size);
    if (mapping != NULL) {
        refer(segment, mapping, size);
    }
    fork_list_unlock();
    return mapping != NULL;
}

/* Maps the file and lists it, or finds that another thread was faster. False
 * with errno. What is not used of `made` is left to the caller. */
static bool
map_and_list(struct segment *segment, struct mapping **made, int descriptor,
             uint64_t size)
{
    struct fork_step step;
    fork_step_begin(&step);
    void *bytes = system_map(descriptor, size);
    fork_list_lock();
    struct mapping *mapping = find(&(*made)->key, size);
    if (mapping == NULL && bytes != MAP_FAILED) {
        mapping = *made;
        mapping->bytes = bytes;
        mapping->size = size;
        insert(mapping);
        *made = NULL;
    }
    if (mapping != NULL) {
        refer(segment, mapping, size);
    }
    fork_list_unlock();
    if (*made != NULL && bytes != MAP_FAILED) {
        munmap(bytes, size);
    }
    fork_list_lock();
    fork_step_end(&step);
    fork_list_unlock();
    return mapping != NULL;
}

enum status
mapping_acquire(struct segment *segment, const struct mapping_key *key,
                uint64_t path, int descriptor, uint64_t size)
{
    if (mapping_find(segment, key, size)) {
        return STATUS_OK;
    }
    struct mapping *made = memory_allocate(sizeof(*made));
    if (made == NULL) {
        return STATUS_NO_MEMORY;
    }
    *made = (struct mapping){.key = *key, .path = path};
    bool is_mapped = map_and_list(segment, &made, descriptor, size);
    int saved_errno = errno;
    memory_release(made);
    errno = saved_errno;
    return is_mapped ? STATUS_OK : STATUS_SYSTEM;
}

/* Whether a fork took the reference away from the segment. */
static bool
is_stale(const struct segment *segment)
{
    return !segment->is_kept && segment->generation != fork_list_generation();
}

bool
mapping_share(struct segment *segment, const struct segment *known)
{
    if (known->mapping == NULL || is_stale(known)) {
        return false;
    }
    fork_list_lock();
    refer(segment, known->mapping, known->size);
    fork_list_unlock();
    return true;
}

bool
mapping_keep(struct segment *segment)
{
    if (is_stale(segment)) {
        return false;
    }
    fork_list_lock();
    if (!segment->is_kept) {
        segment->mapping->opening_count -= 1;
        segment->mapping->kept_count += 1;
        segment->is_kept = true;
    }
    fork_list_unlock();
    return true;
}

uint64_t
mapping_path(const char *path)
{
    return hash_bytes(path, strlen(path), 0);
}

bool
mapping_is_open(uint64_t path)
{
    fork_list_lock();
    bool is_open = is_open_besides(path, NULL);
    fork_list_unlock();
    return is_open;
}

void
mapping_retain(struct segment *segment, uint64_t path)
{
    fork_list_lock();
    struct segment before = *segment;
    // In a child that was forked meanwhile there is nothing to retain, and what
    // has a handle stays mapped without that.
    if (!is_stale(segment) && segment->mapping->kept_count == 0
        && retained.mapping != segment->mapping
        // Rarely tested: another thread has to close the last handle meanwhile.
        && is_open_besides(path, segment->mapping))
    {
        before = retained;
        retained = *segment;
        retained_path = path;
    }
    fork_list_unlock();
    *segment = SEGMENT_EMPTY;
    if (before.mapping != NULL) {
        mapping_release(&before);
    }
}

/* Gives the reference back, and hands out the one that was retained for it, or
 * that is of no use any more. */
static void
give_back(const struct segment *segment, struct segment *retained_for_it)
{
    if (is_stale(segment)) {
        return;
    }
    struct mapping *mapping = segment->mapping;
    struct fork_step step;
    fork_step_begin(&step);
    fork_list_lock();
    *(segment->is_kept ? &mapping->kept_count : &mapping->opening_count) -= 1;
    bool is_last = is_unused(mapping);
    if (is_last) {
        take_off(mapping);
    }
    if (segment->is_kept && mapping->kept_count == 0 && retained.bytes != NULL
        && retained_path == mapping->path
        && (!is_open_besides(mapping->path, retained.mapping)
            || segment_is_marked(&retained)))
    {
        *retained_for_it = retained;
        retained = SEGMENT_EMPTY;
    }
    fork_list_unlock();
    int saved_errno = errno;
    if (is_last) {
        // Where that is refused, a child that is forked now keeps memory.
        (void)system_hide_from_children(mapping->bytes, mapping->size);
    }
    fork_list_lock();
    fork_step_end(&step);
    fork_list_unlock();
    if (is_last) {
        munmap(mapping->bytes, mapping->size);
        memory_release(mapping);
    }
    errno = saved_errno;
}

void
mapping_release(struct segment *segment)
{
    struct segment successor = SEGMENT_EMPTY, none;
    give_back(segment, &successor);
    if (successor.mapping != NULL) {
        // What is retained is not kept, so nothing is retained for it.
        give_back(&successor, &none);
    }
}
