/* core/segment/open.c
 *
 * Opening a segment. Nothing that the file system says of a name is trusted
 * until it has been checked through the descriptor:
 *
 *     open    never creates, never waits for a FIFO, follows links only if
 *             the options say so
 *     fstat   a regular file, of an owner we trust, writable by no other user
 *     pread   the header, checked before a page is mapped
 *     mmap    read-only, unless this process has a mapping of the file; the
 *             descriptor is closed, the mapping keeps the file
 *
 * Not here: what segments share (mapping.c); publishing and removing
 * (publish.c); what the header means (snapshot/header.c).
 */
#define _GNU_SOURCE
#include "core/segment/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/segment/fork.h"
#include "core/segment/fork_list.h"
#include "core/segment/mapping.h"
#include "core/segment/system.h"
#include "core/snapshot/header.h"

static enum status
check_file(int descriptor, const struct stat *file,
           struct open_options options)
{
    if (!S_ISREG(file->st_mode)) {
        return STATUS_NOT_REGULAR;
    }
    if (!system_is_ours(descriptor, file->st_uid) && file->st_uid != 0) {
        if (!options.has_owner || file->st_uid != options.owner) {
            return STATUS_FOREIGN_OWNER;
        }
        if (system_is_any_user(options.owner)) {
            return STATUS_UNMAPPED_OWNER;
        }
    }
    if (system_others_may_write(file->st_mode)) {
        return STATUS_OTHERS_MAY_WRITE;
    }
    return STATUS_OK;
}

/* For those who open: any signal ends it, and the caller knows what the signal
 * means. */
static bool
is_due_always(void *context)
{
    (void)context;
    return true;
}

static const struct interrupt AT_ANY_SIGNAL = {.is_due = is_due_always};

/* Checks the header of an open file, as far as a header can be checked. Fills
 * the key of its mapping, and how large that is: deltas may follow, up to the
 * limit. */
static enum status
identify(int descriptor, const struct stat *file, struct mapping_key *key,
         uint64_t *size, const struct interrupt *interrupt)
{
    struct snapshot_header header;
    enum status status = system_read_header(descriptor, &header, interrupt);
    if (status == STATUS_OK) {
        status = snapshot_header_check(&header, (uint64_t)file->st_size);
    }
    if (status == STATUS_OK) {
        *key = (struct mapping_key){
            .device = (uint64_t)file->st_dev,
            .inode = file->st_ino,
        };
        memcpy(key->unique_id, header.unique_id, sizeof(key->unique_id));
        *size = header.limit > header.total_size ? header.limit
                                                 : header.total_size;
    }
    return status;
}

enum status
segment_keep(struct segment *segment)
{
    if (mapping_keep(segment)) {
        return STATUS_OK;
    }
    errno = ESTALE;
    return STATUS_SYSTEM;
}

/* Fills which version the newest is, and checks that the file has all of it: a
 * copy may have been cut. The head comes first, as the file may be growing. */
static enum status
take_head(struct segment *segment, int descriptor,
          const struct interrupt *interrupt)
{
    struct version version;
    struct stat file;
    segment->head = segment_load_head(segment);
    if (segment->head == 0) {
        return STATUS_OK;
    }
    if (!system_stat(descriptor, &file, interrupt)) {
        return system_failure();
    }
    size_t size = (uint64_t)file.st_size < segment->size ? (size_t)file.st_size
                                                         : segment->size;
    return version_open(&version, segment->bytes, size, segment->head);
}

/* The version with that head of the file that `known` is a version of. */
static enum status
open_version(struct segment *segment, const struct segment *known,
             uint32_t head)
{
    if (head == known->head) {
        return STATUS_UNCHANGED;
    }
    if (!mapping_share(segment, known)) {
        errno = ESTALE;
        return STATUS_SYSTEM;
    }
    segment->head = head;
    return STATUS_OK;
}

enum status
segment_advance(struct segment *segment, const struct segment *known)
{
    // Marked, the name leads to what is newer still, or soon will.
    return segment_is_marked(known)
               ? STATUS_UNCHANGED
               : open_version(segment, known, segment_load_head(known));
}

static bool
is_same_file(const struct segment *segment, const struct stat *file)
{
    // A file that is mapped keeps its number, however often it is unlinked.
    return segment->device == (uint64_t)file->st_dev
           && segment->inode == file->st_ino;
}

enum status
segment_check_current(const struct segment *segment, const char *path,
                      struct open_options options)
{
    struct stat file;
    int result =
        options.follows_links ? stat(path, &file) : lstat(path, &file);
    if (result < 0) {
        return system_open_failure();
    }
    return is_same_file(segment, &file)
                   && segment_load_head(segment) == segment->head
               ? STATUS_UNCHANGED
               : STATUS_OK;
}

enum status
segment_open(struct segment *segment, const char *path,
             struct open_options options, const struct segment *known)
{
    // A descriptor that a child is forked with would keep the file for ever.
    struct fork_closed opened;
    struct mapping_key key;
    uint64_t size;
    int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
    if (!fork_closed_open(&opened, path,
                          options.follows_links ? flags : flags | O_NOFOLLOW,
                          &AT_ANY_SIGNAL))
    {
        return system_name_failure(path);
    }
    enum status status = STATUS_OK;
    struct stat file;
    if (!system_stat(opened.descriptor, &file, &AT_ANY_SIGNAL)) {
        status = system_failure();
    }
    else if (known != NULL && is_same_file(known, &file)) {
        status = open_version(segment, known, segment_load_head(known));
        fork_closed_close(&opened);
        return status;
    }
    else {
        status = check_file(opened.descriptor, &file, options);
    }
    if (status == STATUS_OK) {
        status =
            identify(opened.descriptor, &file, &key, &size, &AT_ANY_SIGNAL);
    }
    if (status == STATUS_OK) {
        status = mapping_acquire(segment, &key, mapping_path(path),
                                 opened.descriptor, size);
        if (status == STATUS_OK) {
            status = take_head(segment, opened.descriptor, &AT_ANY_SIGNAL);
            if (status != STATUS_OK) {
                int saved_errno = errno;
                segment_close(segment);
                errno = saved_errno;
            }
        }
    }
    fork_closed_close(&opened);
    return status;
}

void
segment_close(struct segment *segment)
{
    if (segment->mapping != NULL) {
        mapping_release(segment);
    }
    else if (segment->bytes != NULL
             && segment->generation == fork_list_generation())
    {
        // A forked child does not have it.
        munmap((void *)segment->bytes, segment->size);
    }
    *segment = SEGMENT_EMPTY;
}

enum status
segment_check_free(const char *path, const struct interrupt *interrupt)
{
    struct stat file;
    if (system_stat_path(path, &file, interrupt)) {
        return STATUS_NAME_TAKEN;
    }
    return errno == EINTR ? STATUS_INTERRUPTED : STATUS_OK;
}

/* Maps the holder for one segment alone. The mapping keeps the lock of the
 * open file: so no other segment may share it, and no child may have it. */
static enum status
map_alone(const struct holder *holder, uint64_t size, struct segment *segment)
{
    void *bytes = fork_closed_map_whole(&holder->file, size);
    if (bytes == NULL) {
        return STATUS_SYSTEM;
    }
    *segment = (struct segment){
        .bytes = bytes,
        .size = size,
        .device = holder->device,
        .inode = holder->inode,
        .generation = fork_list_generation(),
    };
    return STATUS_OK;
}

/* Maps the holder for this and later segments, by a file of its own. False
 * where that is not the holder's file, or fails. */
static bool
map_shared(const struct holder *holder, const char *path,
           struct segment *segment)
{
    struct open_options options = {.follows_links = false};
    if (segment_open(segment, path, options, NULL) != STATUS_OK) {
        return false;
    }
    // Untested: a file system would have to be mounted over the directory.
    if (segment->device == holder->device && segment->inode == holder->inode) {
        return true;
    }
    segment_close(segment);
    return false;
}

void
holder_unmap(struct segment *segment, const char *path)
{
    if (segment->mapping != NULL) {
        mapping_retain(segment, mapping_path(path));
    }
    segment_close(segment);
}

/* identify() by the header that is mapped, which has been checked. What it says
 * may have become untrue since, if others write there; the mapping is not read
 * beyond the file's end, whatever its size. */
static enum status
identify_holder(const struct holder *holder, const struct stat *file,
                struct mapping_key *key, uint64_t *size)
{
    const struct snapshot_header *header = holder->header;
    if (header == NULL) {
        return identify(holder->file.descriptor, file, key, size,
                        holder->interrupt);
    }
    uint64_t limit = load_u64((const unsigned char *)&header->limit);
    *key = (struct mapping_key){
        .device = (uint64_t)file->st_dev,
        .inode = file->st_ino,
    };
    memcpy(key->unique_id, header->unique_id, sizeof(key->unique_id));
    *size = limit > holder->total_size ? limit : holder->total_size;
    return STATUS_OK;
}

enum status
holder_map(const struct holder *holder, const char *path,
           struct segment *segment)
{
    struct mapping_key key;
    struct stat file;
    if (!system_stat(holder->file.descriptor, &file, holder->interrupt)) {
        return system_failure();
    }
    if (system_others_may_write(file.st_mode)) {
        return STATUS_OTHERS_MAY_WRITE;
    }
    uint64_t size;
    enum status status = identify_holder(holder, &file, &key, &size);
    if (status == STATUS_OK && !mapping_find(segment, &key, size)
        && !(mapping_is_open(mapping_path(path))
             && map_shared(holder, path, segment)))
    {
        status = map_alone(holder, size, segment);
    }
    if (status == STATUS_OK) {
        status =
            take_head(segment, holder->file.descriptor, holder->interrupt);
    }
    return status;
}

enum status
holder_refresh(const struct holder *holder, struct segment *segment)
{
    return take_head(segment, holder->file.descriptor, holder->interrupt);
}
