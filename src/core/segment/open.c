/* core/segment/open.c
 *
 * Opening a segment. Nothing that the file system says of a name is trusted
 * until it has been checked through the descriptor:
 *
 *     open    never creates, never waits for a FIFO, follows links only if
 *             the options say so
 *     fstat   a regular file, of an owner we trust, writable by no other user
 *     pread   the header, checked before a page is mapped
 *     mmap    read-only, and not for a child that is forked before a handle
 *             owns it; the descriptor is closed, the mapping keeps the file
 *
 * Not here: publishing and removing; see publish.c. What the header
 * means; see snapshot/header.c.
 */
#define _GNU_SOURCE
#include "core/segment/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/segment/fork.h"
#include "core/segment/system.h"
#include "core/snapshot/header.h"

static enum status
check_file(int descriptor, const struct stat *file,
           struct open_options options)
{
    if (!S_ISREG(file->st_mode)) {
        return STATUS_NOT_REGULAR;
    }
    if (!system_is_ours(descriptor, file->st_uid) && file->st_uid != 0
        && !(options.has_owner && file->st_uid == options.owner))
    {
        return STATUS_FOREIGN_OWNER;
    }
    if (system_others_may_write(file->st_mode)) {
        return STATUS_OTHERS_MAY_WRITE;
    }
    return STATUS_OK;
}

/* Maps an open file whose header can be believed, as far as a header can. A
 * forked child does not get the mapping. */
static enum status
map_file(struct segment *segment, const struct fork_closed *opened,
         const struct stat *file)
{
    struct snapshot_header header;
    uint64_t size = (uint64_t)file->st_size;
    enum status status = system_read_header(opened->descriptor, &header);
    if (status == STATUS_OK) {
        status = snapshot_header_check(&header, size);
    }
    if (status != STATUS_OK) {
        return status;
    }
    void *bytes = fork_closed_map_whole(opened, size);
    if (bytes == NULL) {
        return STATUS_SYSTEM;
    }
    *segment = (struct segment){
        .bytes = bytes,
        .size = size,
        .device = file->st_dev,
        .inode = file->st_ino,
    };
    return STATUS_OK;
}

enum status
segment_keep(struct segment *segment)
{
    return madvise((void *)segment->bytes, segment->size, MADV_DOFORK) == 0
               ? STATUS_OK
               : STATUS_SYSTEM;
}

static bool
is_same_file(const struct segment *segment, const struct stat *file)
{
    // A file that is mapped keeps its number, however often it is unlinked.
    return segment->device == file->st_dev && segment->inode == file->st_ino;
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
    return is_same_file(segment, &file) ? STATUS_UNCHANGED : STATUS_OK;
}

enum status
segment_open(struct segment *segment, const char *path,
             struct open_options options, const struct segment *known)
{
    // A child that is forked meanwhile would keep the file for ever, whether
    // by its descriptor or by its mapping.
    struct fork_closed opened;
    int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
    if (!fork_closed_open(&opened, path,
                          options.follows_links ? flags : flags | O_NOFOLLOW))
    {
        return system_name_failure(path);
    }
    enum status status = STATUS_OK;
    struct stat file;
    if (fstat(opened.descriptor, &file) < 0) {
        status = STATUS_SYSTEM;
    }
    else if (known != NULL && is_same_file(known, &file)) {
        status = STATUS_UNCHANGED;
    }
    else {
        status = check_file(opened.descriptor, &file, options);
    }
    if (status == STATUS_OK) {
        status = map_file(segment, &opened, &file);
    }
    fork_closed_close(&opened);
    return status;
}

void
segment_close(struct segment *segment)
{
    if (segment->bytes != NULL) {
        munmap((void *)segment->bytes, segment->size);
        *segment = SEGMENT_EMPTY;
    }
}

bool
segment_exists(const char *path)
{
    struct stat file;
    return lstat(path, &file) == 0;
}

enum status
holder_map(const struct holder *holder, struct segment *segment)
{
    struct stat file;
    if (fstat(holder->file.descriptor, &file) < 0) {
        return STATUS_SYSTEM;
    }
    if (system_others_may_write(file.st_mode)) {
        return STATUS_OTHERS_MAY_WRITE;
    }
    // A copy of the mapping in a forked child would keep the lock.
    return map_file(segment, &holder->file, &file);
}
