/* core/segment/open.c
 *
 * Opening a segment. Who opens trusts nothing that the file system says of a
 * name until it has been looked at through the descriptor:
 *
 *     open    never creates, never waits for a FIFO, follows links only if
 *             the rules say so
 *     fstat   a regular file, of somebody we trust, writable by no other
 *     pread   the header, checked before a page is mapped
 *     mmap    read-only, and of no use to a child that is forked before somebody
 *             owns it; the descriptor is closed, the mapping keeps the file
 *
 * Not here: publishing and removing; see publish.c. What the header
 * means; see snapshot/header.c.
 */
#define _GNU_SOURCE
#include "core/segment/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/segment/fork_list.h"
#include "core/segment/system.h"
#include "core/snapshot/header.h"

enum status
system_open_failure(void)
{
    switch (errno) {
    case ENOENT:
        return STATUS_NAME_ABSENT;
    case ELOOP:  // a symbolic link
    case ENXIO:  // a socket
    case ENODEV:
    case EISDIR:  // a directory, opened to write
        return STATUS_NOT_REGULAR;
    default:
        return STATUS_SYSTEM;
    }
}

enum status
system_open(const char *path, int flags, int *descriptor)
{
    do {
        *descriptor = open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    } while (*descriptor < 0 && errno == EINTR);
    return *descriptor >= 0 ? STATUS_OK : system_open_failure();
}

enum status
system_read_header(int descriptor, struct snapshot_header *header)
{
    ssize_t size;
    do {
        size = pread(descriptor, header, sizeof(*header), 0);
    } while (size < 0 && errno == EINTR);
    if (size < 0) {
        return STATUS_SYSTEM;
    }
    return size == sizeof(*header) ? STATUS_OK : STATUS_TRUNCATED;
}

bool
system_others_may_write(unsigned mode)
{
    return (mode & (S_IWGRP | S_IWOTH)) != 0;
}

static enum status
check_file(const struct stat *file, struct segment_rules rules)
{
    if (!S_ISREG(file->st_mode)) {
        return STATUS_NOT_REGULAR;
    }
    if (file->st_uid != geteuid() && file->st_uid != 0
        && !(rules.has_owner && file->st_uid == rules.owner))
    {
        return STATUS_FOREIGN_OWNER;
    }
    if (system_others_may_write(file->st_mode)) {
        return STATUS_OTHERS_MAY_WRITE;
    }
    return STATUS_OK;
}

/* Larger pages can only be used where file and memory are aligned alike. */
static const uint64_t HUGE_PAGE = UINT64_C(2) << 20;

void *
system_map(int descriptor, uint64_t size)
{
    if (size < HUGE_PAGE) {
        return mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, 0);
    }
    // Reserve more than enough, map the file at the right place in it, and
    // give the rest back:   | rest | file ......... | rest |
    uint64_t reserved = size + HUGE_PAGE;
    char *start = mmap(NULL, reserved, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        return MAP_FAILED;
    }
    char *aligned = start + (-(uintptr_t)start & (HUGE_PAGE - 1));
    void *bytes =
        mmap(aligned, size, PROT_READ, MAP_SHARED | MAP_FIXED, descriptor, 0);
    if (bytes == MAP_FAILED) {
        munmap(start, reserved);
        return MAP_FAILED;
    }
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    char *end = aligned + ((size + page - 1) & ~(page - 1));
    if (aligned > start) {
        munmap(start, (size_t)(aligned - start));
    }
    // At least a byte: both roundings skip less than a huge page together.
    munmap(end, (size_t)(start + reserved - end));
    return bytes;
}

/* Maps an open file whose header can be believed, as far as a header can. A
 * forked child does not get the mapping. */
static enum status
map_file(struct segment *segment, int descriptor, const struct stat *file)
{
    struct snapshot_header header;
    uint64_t size = (uint64_t)file->st_size;
    enum status status = system_read_header(descriptor, &header);
    if (status == STATUS_OK) {
        status = snapshot_header_check(&header, size);
    }
    if (status != STATUS_OK) {
        return status;
    }
    // No fork may come in between.
    fork_list_lock();
    void *bytes = system_hide(system_map(descriptor, size), size);
    fork_list_unlock();
    if (bytes == MAP_FAILED) {
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
segment_look(const struct segment *segment, const char *path,
             struct segment_rules rules)
{
    struct stat file;
    int result = rules.follows_links ? stat(path, &file) : lstat(path, &file);
    if (result < 0) {
        return system_open_failure();
    }
    return is_same_file(segment, &file) ? STATUS_UNCHANGED : STATUS_OK;
}

enum status
segment_open(struct segment *segment, const char *path,
             struct segment_rules rules, const struct segment *known)
{
    // A child that is forked meanwhile would keep the file for ever, whether
    // by its descriptor or by its mapping.
    struct unforked opened;
    int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
    if (!unforked_open(&opened, path,
                       rules.follows_links ? flags : flags | O_NOFOLLOW))
    {
        return system_open_failure();
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
        status = check_file(&file, rules);
    }
    if (status == STATUS_OK) {
        status = map_file(segment, opened.descriptor, &file);
    }
    unforked_close(&opened);
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

void
system_close(int descriptor)
{
    // The caller may be about to report an earlier failure.
    int saved_errno = errno;
    close(descriptor);
    errno = saved_errno;
}

enum status
system_sync(int descriptor)
{
    int result;
    do {
        result = fsync(descriptor);
    } while (result < 0 && errno == EINTR);
    return result == 0 ? STATUS_OK : STATUS_SYSTEM;
}

void
system_unlink(const char *path)
{
    int saved_errno = errno;
    unlink(path);
    errno = saved_errno;
}

enum status
system_failure(void)
{
    return errno == ENOSPC || errno == EDQUOT ? STATUS_NO_SPACE
                                              : STATUS_SYSTEM;
}

uint64_t
segment_space(const char *path)
{
    char directory[SEGMENT_DIRECTORY_SIZE];
    struct statvfs space;
    if (!system_directory(path, directory) || statvfs(directory, &space) < 0) {
        return 0;
    }
    return (uint64_t)space.f_bavail * space.f_frsize;
}

bool
system_temporary_path(const char *path, const char *mark,
                      char temporary[TEMPORARY_PATH_SIZE])
{
    const char *slash = strrchr(path, '/');
    size_t folder = slash != NULL ? (size_t)(slash + 1 - path) : 0;
    size_t name = strlen(path + folder);
    size_t room = NAME_MAX - strlen(mark);
    size_t kept = name < room ? name : room;
    snprintf(temporary, TEMPORARY_PATH_SIZE, "%.*s%s", (int)(folder + kept),
             path, mark);
    return kept == name;
}

bool
system_directory(const char *path, char directory[SEGMENT_DIRECTORY_SIZE])
{
    const char *slash = strrchr(path, '/');
    if (strlen(path) >= SEGMENT_DIRECTORY_SIZE) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (slash == NULL) {
        memcpy(directory, ".", 2);
        return true;
    }
    // The root directory keeps its slash.
    size_t size = slash == path ? 1 : (size_t)(slash - path);
    memcpy(directory, path, size);
    directory[size] = '\0';
    return true;
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
    return map_file(segment, holder->file.descriptor, &file);
}

enum status
segment_unique_id(unsigned char id[16])
{
    // Up to 256 bytes arrive whole or not at all.
    ssize_t size;
    do {
        size = getrandom(id, 16, 0);
    } while (size < 0 && errno == EINTR);
    return size == 16 ? STATUS_OK : STATUS_SYSTEM;
}
