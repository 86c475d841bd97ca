/* tests/core/faults.h
 *
 * Calls of the system that fail when a test wants them to, and tell what was
 * called. A program that includes this has functions of these names of its
 * own, which the linker takes for the core's calls, too.
 *
 *     faults_reset();  faults.left = 3;   the fourth call fails with EIO
 *     faults_reset();  faults.has_no_tmpfile = true;
 *
 * Include it in one file of a program only.
 */
#ifndef SHAREDMAP_TESTS_CORE_FAULTS_H
#define SHAREDMAP_TESTS_CORE_FAULTS_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    bool has_no_tmpfile;  // as on a file system that knows no nameless files
    bool has_no_links;    // nor hard links
    long left;            // calls until one fails; negative: none does
    int error;            // what that one fails with
    char failed;          // the letter of the call that failed
    char calls[256];      // a letter for each call that succeeded
    char linked[512];     // what was linked last
} faults = {.left = -1, .error = EIO};

static inline void
faults_reset(void)
{
    memset(&faults, 0, sizeof(faults));
    faults.left = -1;
    faults.error = EIO;
}

/* Whether this call must fail; notes its letter. */
static inline bool
fault_is_due(char letter)
{
    if (faults.left == 0) {
        faults.left = -1;
        faults.failed = letter;
        return true;
    }
    faults.left -= faults.left > 0;
    size_t size = strlen(faults.calls);
    if (size + 1 < sizeof(faults.calls)) {
        faults.calls[size] = letter;
    }
    return false;
}

static inline int
fail_with(int error)
{
    errno = error;
    return -1;
}

int
open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0
                      ? (mode_t)va_arg(rest, unsigned)
                      : 0;
    va_end(rest);
    if (faults.has_no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
        return fail_with(EOPNOTSUPP);
    }
    if (fault_is_due('o')) {
        return fail_with(faults.error);
    }
    return openat(AT_FDCWD, path, flags, mode);
}

int
posix_fallocate(int descriptor, off_t offset, off_t size)
{
    if (fault_is_due('a')) {
        return faults.error;
    }
    return syscall(SYS_fallocate, descriptor, 0, offset, size) == 0 ? 0
                                                                    : errno;
}

int
fchmod(int descriptor, mode_t mode)
{
    return fault_is_due('m') ? fail_with(faults.error)
                             : (int)syscall(SYS_fchmod, descriptor, mode);
}

ssize_t
pwrite(int descriptor, const void *bytes, size_t size, off_t offset)
{
    return fault_is_due('w')
               ? fail_with(faults.error)
               : syscall(SYS_pwrite64, descriptor, bytes, size, offset);
}

ssize_t
pread(int descriptor, void *bytes, size_t size, off_t offset)
{
    return fault_is_due('r')
               ? fail_with(faults.error)
               : syscall(SYS_pread64, descriptor, bytes, size, offset);
}

/* A file and a directory have letters of their own. */
int
fsync(int descriptor)
{
    struct stat file;
    bool is_directory = fstat(descriptor, &file) == 0 && S_ISDIR(file.st_mode);
    return fault_is_due(is_directory ? 'D' : 'F')
               ? fail_with(faults.error)
               : (int)syscall(SYS_fsync, descriptor);
}

int
linkat(int from_folder, const char *from, int to_folder, const char *to,
       int flags)
{
    if (faults.has_no_links) {
        return fail_with(EPERM);
    }
    if (fault_is_due('L')) {
        return fail_with(faults.error);
    }
    snprintf(faults.linked, sizeof(faults.linked), "%s", to);
    return (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
}

int
link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
rename(const char *from, const char *to)
{
    return fault_is_due('R') ? fail_with(faults.error)
                             : renameat(AT_FDCWD, from, AT_FDCWD, to);
}

#endif
