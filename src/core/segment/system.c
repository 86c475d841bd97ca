/* core/segment/system.c
 *
 * The calls of the system as the files of core/segment want them: again after
 * a signal, with errno kept where an earlier failure is about to be reported,
 * and with an answer that is a status code.
 *
 *     open, mapping, name, draft, publish, wait, fork
 *        |     |        |     |      |      |     |
 *        +-----+--------+-----+--+---+------+-----+
 *                        v
 *                     system ---> system_linux or system_portable
 *
 * Not here: what any of it is for; each caller says that. Nor the calls in
 * which platforms differ (system_platform.h).
 */
#define _GNU_SOURCE
#include "core/segment/system.h"
#include "core/snapshot/header.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* ---- what errno says ---------------------------------------------------- */

bool
system_repeats(const struct interrupt *interrupt)
{
    if (errno != EINTR) {
        return false;
    }
    // What a signal means is found by calling the system.
    bool stops = interrupt_is_due_now(interrupt);
    errno = EINTR;
    return !stops;
}

enum status
system_failure(void)
{
    switch (errno) {
    case ENOSPC:
    case EDQUOT:
        return STATUS_NO_SPACE;
    case EINTR:
        return STATUS_INTERRUPTED;
    default:
        return STATUS_SYSTEM;
    }
}

enum status
system_open_failure(void)
{
    switch (errno) {
    case ENOENT:
        return STATUS_NAME_ABSENT;
    case ELOOP:   // a symbolic link
    case EISDIR:  // a directory, opened to write
        return STATUS_NOT_REGULAR;
    case EINTR:
        return STATUS_INTERRUPTED;
    default:
        return STATUS_SYSTEM;
    }
}

/* Sockets cannot be opened, devices may be absent; but a file system that has
 * lost its own device says the same of every file. */
static bool
is_special_file(const char *path)
{
    struct stat file;
    int error = errno;
    bool is_special = (error == ENXIO || error == ENODEV)
                      && stat(path, &file) == 0 && !S_ISREG(file.st_mode);
    errno = error;
    return is_special;
}

enum status
system_name_failure(const char *path)
{
    const char *names = system_name_directory();
    size_t prefix = strlen(names);
    struct stat directory;
    int error = errno;
    if ((error == ENOENT || error == ENOTDIR)
        && strncmp(path, names, prefix) == 0 && path[prefix] == '/'
        && (stat(names, &directory) < 0 || !S_ISDIR(directory.st_mode)))
    {
        return STATUS_SHM_ABSENT;
    }
    errno = error;
    return is_special_file(path) ? STATUS_NOT_REGULAR : system_open_failure();
}

enum status
system_names_failure(void)
{
    return errno == ENOENT || errno == ENOTDIR ? STATUS_SHM_ABSENT
                                               : STATUS_SYSTEM;
}

/* ---- descriptors -------------------------------------------------------- */

bool
system_stat(int descriptor, struct stat *file,
            const struct interrupt *interrupt)
{
    int result;
    do {
        result = fstat(descriptor, file);
    } while (result < 0 && system_repeats(interrupt));
    return result == 0;
}

bool
system_stat_path(const char *path, struct stat *file,
                 const struct interrupt *interrupt)
{
    int result;
    do {
        result = lstat(path, file);
    } while (result < 0 && system_repeats(interrupt));
    return result == 0;
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
system_read_header(int descriptor, struct snapshot_header *header,
                   const struct interrupt *interrupt)
{
    // Some file systems answer with less than there is.
    size_t done = 0;
    ssize_t size;
    do {
        size = pread(descriptor, (unsigned char *)header + done,
                     sizeof(*header) - done, (off_t)done);
        done += size > 0 ? (size_t)size : 0;
    } while (size > 0 ? done < sizeof(*header)
                      : size < 0 && system_repeats(interrupt));
    if (size < 0) {
        return errno == EINTR ? STATUS_INTERRUPTED : STATUS_SYSTEM;
    }
    return done == sizeof(*header) ? STATUS_OK
                                   : snapshot_header_check_short(header, done);
}

enum status
system_read(int descriptor, uint64_t offset, void *bytes, size_t size,
            const struct interrupt *interrupt)
{
    unsigned char *to = bytes;
    while (size > 0) {
        ssize_t taken = pread(descriptor, to, size, (off_t)offset);
        if (taken < 0 && system_repeats(interrupt)) {
            continue;
        }
        if (taken <= 0) {
            return taken < 0 ? system_failure() : STATUS_TRUNCATED;
        }
        to += taken;
        offset += (uint64_t)taken;
        size -= (size_t)taken;
    }
    return STATUS_OK;
}

enum status
system_allocate(int descriptor, uint64_t offset, uint64_t size,
                const struct interrupt *interrupt, bool *is_allocated)
{
    int error;
    do {
        error = system_reserve(descriptor, offset, size);
        errno = error;
    } while (error == EINTR && system_repeats(interrupt));
    *is_allocated = error == 0;
    return error == 0 || error == EOPNOTSUPP || error == ENOSYS
                   || error == EINVAL
               ? STATUS_OK
               : system_failure();
}

enum status
system_write(int descriptor, uint64_t offset, const void *bytes, size_t size,
             const struct interrupt *interrupt)
{
    const unsigned char *from = bytes;
    while (size > 0) {
        ssize_t written = pwrite(descriptor, from, size, (off_t)offset);
        if (written < 0) {
            if (system_repeats(interrupt)) {
                continue;
            }
            return system_failure();
        }
        if (written == 0) {
            // It would be for ever; no error says why.
            errno = EIO;
            return STATUS_SYSTEM;
        }
        from += written;
        offset += (uint64_t)written;
        size -= (size_t)written;
        // A signal that comes in the middle is told by less, not by EINTR.
        if (size > 0 && interrupt_is_due_now(interrupt)) {
            errno = EINTR;
            return STATUS_INTERRUPTED;
        }
    }
    return STATUS_OK;
}

enum status
system_sync(int descriptor, const struct interrupt *interrupt)
{
    int result;
    do {
        result = system_sync_once(descriptor);
    } while (result < 0 && system_repeats(interrupt));
    return result == 0 ? STATUS_OK : system_failure();
}

#ifdef F_OFD_SETLK
/* The lock, on one byte of the file. */
static struct flock
lock_of(enum lock_byte byte)
{
    return (struct flock){
        .l_type = F_WRLCK,
        .l_whence = SEEK_SET,
        .l_start = byte,
        .l_len = 1,
    };
}

enum status
system_lock(int descriptor, enum lock_byte byte, bool *is_busy)
{
    struct flock lock = lock_of(byte);
    *is_busy = false;
    if (fcntl(descriptor, F_OFD_SETLK, &lock) < 0) {
        *is_busy = errno == EAGAIN || errno == EACCES || errno == EINTR;
        return STATUS_SYSTEM;
    }
    return STATUS_OK;
}

bool
system_is_locked(int descriptor, enum lock_byte byte)
{
    struct flock lock = lock_of(byte);
    return fcntl(descriptor, F_OFD_GETLK, &lock) == 0
           && lock.l_type != F_UNLCK;
}

void
system_unlock(int descriptor)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};  // all
    int saved_errno = errno;
    (void)fcntl(descriptor, F_OFD_SETLK, &lock);
    errno = saved_errno;
}
#else
#include <sys/file.h>

/* A file has one lock only, so nothing is compacted: where a map has no room
 * left, an update copies it. */
enum status
system_lock(int descriptor, enum lock_byte byte, bool *is_busy)
{
    *is_busy = byte == LOCK_COMPACT;
    if (!*is_busy && flock(descriptor, LOCK_EX | LOCK_NB) < 0) {
        *is_busy = errno == EWOULDBLOCK || errno == EINTR;
        return STATUS_SYSTEM;
    }
    return *is_busy ? STATUS_SYSTEM : STATUS_OK;
}

bool
system_is_locked(int descriptor, enum lock_byte byte)
{
    bool is_busy;
    if (byte == LOCK_COMPACT) {
        return false;
    }
    if (system_lock(descriptor, byte, &is_busy) == STATUS_OK) {
        system_unlock(descriptor);
    }
    return is_busy;
}

void
system_unlock(int descriptor)
{
    int saved_errno = errno;
    (void)flock(descriptor, LOCK_UN);
    errno = saved_errno;
}
#endif

bool
system_others_may_write(unsigned mode)
{
    return (mode & (S_IWGRP | S_IWOTH)) != 0;
}

/* ---- mappings ----------------------------------------------------------- */

void *
system_dont_fork(void *bytes, size_t size)
{
    if (bytes == MAP_FAILED || system_hide_from_children(bytes, size)) {
        return bytes;
    }
    int saved_errno = errno;
    munmap(bytes, size);
    errno = saved_errno;
    return MAP_FAILED;
}

/* ---- paths -------------------------------------------------------------- */

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

enum status
system_random_path(const char *path, char temporary[TEMPORARY_PATH_SIZE])
{
    unsigned char id[16];
    uint64_t digits;
    enum status status = segment_unique_id(id);
    if (status == STATUS_OK) {
        memcpy(&digits, id, sizeof(digits));
        char mark[1 + 16 + 1];
        snprintf(mark, sizeof(mark), "~%016" PRIx64, digits);
        system_temporary_path(path, mark, temporary);
    }
    return status;
}

/* Some file systems answer EINTR for ever. */
enum { UNLINK_ATTEMPTS = 16 };

void
system_unlink(const char *path)
{
    int saved_errno = errno;
    int attempts_left = UNLINK_ATTEMPTS;
    while (unlink(path) < 0 && errno == EINTR && --attempts_left > 0) {
    }
    errno = saved_errno;
}

enum status
system_check_space(int descriptor, uint64_t size,
                   const struct interrupt *interrupt)
{
    struct statvfs space;
    int result;
    do {
        result = fstatvfs(descriptor, &space);
    } while (result < 0 && system_repeats(interrupt));
    if (result < 0) {
        return errno == EINTR ? STATUS_INTERRUPTED : STATUS_OK;
    }
    // Some file systems keep a reserve for root.
    uint64_t blocks = geteuid() == 0 ? space.f_bfree : space.f_bavail;
    // A tmpfs without a limit has no blocks.
    if (space.f_blocks == 0 || size <= blocks * space.f_frsize) {
        return STATUS_OK;
    }
    errno = ENOSPC;
    return STATUS_NO_SPACE;
}

uint64_t
segment_space(const char *path)
{
    char directory[SEGMENT_DIRECTORY_SIZE];
    struct statvfs space;
    int saved_errno = errno;
    bool is_told =
        system_directory(path, directory) && statvfs(directory, &space) == 0;
    errno = saved_errno;
    return is_told ? (uint64_t)space.f_bavail * space.f_frsize : 0;
}

void
segment_inspect_access(const char *path, struct segment_access *found)
{
    char directory[SEGMENT_DIRECTORY_SIZE];
    struct stat file;
    *found = (struct segment_access){.user = geteuid()};
    if (lstat(path, &file) == 0) {
        found->exists = true;
        found->owner = file.st_uid;
        found->mode = file.st_mode & 07777;
    }
    // Untested: no path that long has got here.
    if (!system_directory(path, directory)) {
        return;
    }
    if (stat(directory, &file) == 0) {
        found->has_directory = true;
        found->directory_owner = file.st_uid;
        found->directory_mode = file.st_mode & 07777;
    }
    found->may_write_directory =
        faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) == 0;
}

/* ---- time and waiting --------------------------------------------------- */

static struct timespec
timespec_of(int64_t nanoseconds)
{
    return (struct timespec){
        .tv_sec = (time_t)(nanoseconds / 1000000000),
        .tv_nsec = (long)(nanoseconds % 1000000000),
    };
}

int64_t
segment_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

uint64_t
system_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

bool
segment_pause(int64_t nanoseconds)
{
    struct timespec pause = timespec_of(nanoseconds);
    return nanosleep(&pause, NULL) == 0;
}

enum status
segment_unique_id(unsigned char id[16])
{
    return system_random(id) ? STATUS_OK : STATUS_SYSTEM;
}
