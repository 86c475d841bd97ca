/* tests/core/faults.h
 *
 * Calls of the system that fail when a test wants them to, and tell what was
 * called. A program that includes this has functions of these names of its
 * own, which the linker takes for the core's calls, too.
 *
 *     faults_reset();  faults.left = 3;   the fourth call fails with EIO
 *     faults_reset();  faults.tmpfile_error = EISDIR;
 *     fail_only("tk", 1, EIO);            the second of these calls fails
 *
 * Include it in one file of a program only.
 */
#ifndef SHAREDMAP_TESTS_CORE_FAULTS_H
#define SHAREDMAP_TESTS_CORE_FAULTS_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* What is written and in which order: those of all calls that matter to it. */
static const char CALLS_THAT_WRITE[] = "oamwrFDLR";

static struct {
    int tmpfile_error;  // as on a file system that knows no nameless files
    bool has_no_links;  // nor hard links
    bool has_no_proc;   // /proc is not mounted
    bool is_unmapped;   // the user, as is the owner of each file
    bool is_endless;    // one that fails goes on failing
    const char *only;   // the letters of the calls that count
    long left;          // calls until one fails; negative: none does
    int error;          // what that one fails with
    long hurry;         // seconds by which the clock goes faster with a look
    long sync_time;     // seconds that the disk takes for a file
    void (*advised)(void *bytes, int advice);  // called before it is taken
    void (*mapping)(void);   // called before something is mapped
    void (*renaming)(void);  // and before something is renamed
    void (*writing)(void);   // and before something is written
    int stores;              // mappings of files that can be stored into
    size_t longest;          // bytes that are read or written at once; 0: all
    bool writes_nothing;     // and has no error
    uintptr_t place;  // of large reservations; 0: where the system wants
    bool is_masked;   // files are of `owner`, and we are `user`
    const char *overflow_uid;  // files that are opened instead of the
    const char *uid_map;       // system's
    uid_t owner;
    uid_t user;
    char failed;       // the letter of the call that failed
    char calls[256];   // a letter for each call that succeeded
    char linked[512];  // what was linked last
} faults = {.only = CALLS_THAT_WRITE, .left = -1, .error = EIO};

static inline void
faults_reset(void)
{
    memset(&faults, 0, sizeof(faults));
    faults.only = CALLS_THAT_WRITE;
    faults.left = -1;
    faults.error = EIO;
}

static inline void
fail_only(const char *letters, long left, int error)
{
    faults_reset();
    faults.only = letters;
    faults.left = left;
    faults.error = error;
}

/* Whether this call must fail; notes its letter. */
static inline bool
fault_is_due(char letter)
{
    if (strchr(faults.only, letter) == NULL) {
        return false;
    }
    if (faults.left == 0) {
        faults.left = faults.is_endless ? 0 : -1;
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
    if (faults.tmpfile_error != 0 && (flags & O_TMPFILE) == O_TMPFILE) {
        return fail_with(faults.tmpfile_error);
    }
    if (fault_is_due('o')) {
        return fail_with(faults.error);
    }
    if (faults.uid_map != NULL && strcmp(path, "/proc/self/uid_map") == 0) {
        path = faults.uid_map;
    }
    if (faults.overflow_uid != NULL
        && strcmp(path, "/proc/sys/kernel/overflowuid") == 0)
    {
        path = faults.overflow_uid;
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

static inline size_t
shortened(size_t size)
{
    return faults.longest > 0 && size > faults.longest ? faults.longest : size;
}

/* An error of 0 means: it succeeds, but has written only half. */
ssize_t
pwrite(int descriptor, const void *bytes, size_t size, off_t offset)
{
    if (faults.writing != NULL) {
        faults.writing();
    }
    if (faults.writes_nothing) {
        return 0;
    }
    if (fault_is_due('w')) {
        if (faults.error != 0) {
            return fail_with(faults.error);
        }
        size = (size + 1) / 2;
    }
    return syscall(SYS_pwrite64, descriptor, bytes, shortened(size), offset);
}

ssize_t
pread(int descriptor, void *bytes, size_t size, off_t offset)
{
    return fault_is_due('r') ? fail_with(faults.error)
                             : syscall(SYS_pread64, descriptor, bytes,
                                       shortened(size), offset);
}

/* By how many seconds the clock is ahead of the system's. */
static long clock_ahead;

/* A file and a directory have letters of their own. */
int
fsync(int descriptor)
{
    struct stat file;
    bool is_directory = fstatat(descriptor, "", &file, AT_EMPTY_PATH) == 0
                        && S_ISDIR(file.st_mode);
    clock_ahead += is_directory ? 0 : faults.sync_time;
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
    if (faults.renaming != NULL) {
        faults.renaming();
    }
    return fault_is_due('R') ? fail_with(faults.error)
                             : renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int
unlink(const char *path)
{
    return fault_is_due('u') ? fail_with(faults.error)
                             : unlinkat(AT_FDCWD, path, 0);
}

/* ---- files and locks ---------------------------------------------------- */

int
fstat(int descriptor, struct stat *file)
{
    if (fault_is_due('s')) {
        return fail_with(faults.error);
    }
    int result = fstatat(descriptor, "", file, AT_EMPTY_PATH);
    if (faults.is_masked) {
        file->st_uid = faults.owner;
    }
    return result;
}

uid_t
geteuid(void)
{
    return faults.is_masked ? faults.user : (uid_t)syscall(SYS_geteuid);
}

/* An error of 0 means: it succeeds, and is a file of another device. */
int
lstat(const char *path, struct stat *file)
{
    bool is_due = fault_is_due('t');
    if (is_due && faults.error != 0) {
        return fail_with(faults.error);
    }
    int result = fstatat(AT_FDCWD, path, file, AT_SYMLINK_NOFOLLOW);
    file->st_dev += is_due;
    return result;
}

/* An error of 0 means: it succeeds, and is no directory. */
int
stat(const char *path, struct stat *file)
{
    bool is_due = fault_is_due('S');
    if (is_due && faults.error != 0) {
        return fail_with(faults.error);
    }
    int result = fstatat(AT_FDCWD, path, file, 0);
    if (is_due) {
        file->st_mode = S_IFREG;
    }
    return result;
}

/* Asking for the owner and asking who has a lock have letters of their own. */
int
fcntl(int descriptor, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (command == F_SETFL && faults.is_unmapped) {
        return fail_with(EPERM);
    }
    char letter = command == F_SETFL       ? 'f'
                  : command == F_OFD_GETLK ? 'K'
                                           : 'k';
    return fault_is_due(letter)
               ? fail_with(faults.error)
               : (int)syscall(SYS_fcntl, descriptor, command, argument);
}

int
statvfs(const char *path, struct statvfs *space)
{
    return fault_is_due('v') ? fail_with(faults.error)
                             : statvfs64(path, (struct statvfs64 *)space);
}

/* An error of 0 means: it succeeds, and the file system has no limit. */
int
fstatvfs(int descriptor, struct statvfs *space)
{
    bool is_due = fault_is_due('V');
    if (is_due && faults.error != 0) {
        return fail_with(faults.error);
    }
    int result = fstatvfs64(descriptor, (struct statvfs64 *)space);
    if (is_due) {
        space->f_blocks = space->f_bfree = space->f_bavail = 0;
    }
    return result;
}

int
access(const char *path, int mode)
{
    return faults.has_no_proc
               ? fail_with(ENOENT)
               : (int)syscall(SYS_faccessat, AT_FDCWD, path, mode);
}

/* ---- memory ------------------------------------------------------------- */

/* How much the program has mapped with the two below. */
static long mapped_pages;

static inline long
pages_of(size_t size)
{
    return (long)((size + 4095) / 4096);
}

void *
mmap(void *address, size_t size, int protection, int flags, int descriptor,
     off_t offset)
{
    if (faults.mapping != NULL) {
        faults.mapping();
    }
    if (fault_is_due('p')) {
        errno = faults.error;
        return MAP_FAILED;
    }
    faults.stores += descriptor >= 0 && (protection & PROT_WRITE) != 0;
    if (descriptor < 0 && faults.place != 0) {
        address = (void *)faults.place;  // NOLINT(performance-no-int-to-ptr)
    }
    void *bytes = (void *)syscall(SYS_mmap, address, size, protection, flags,
                                  descriptor, offset);
    if (bytes != MAP_FAILED && (flags & MAP_FIXED) == 0) {
        mapped_pages += pages_of(size);
    }
    return bytes;
}

int
munmap(void *address, size_t size)
{
    mapped_pages -= pages_of(size);
    return (int)syscall(SYS_munmap, address, size);
}

int
madvise(void *address, size_t size, int advice)
{
    if (faults.advised != NULL) {
        faults.advised(address, advice);
    }
    return fault_is_due('d')
               ? fail_with(faults.error)
               : (int)syscall(SYS_madvise, address, size, advice);
}

/* ---- the rest ----------------------------------------------------------- */

ssize_t
getrandom(void *bytes, size_t size, unsigned flags)
{
    return fault_is_due('g') ? fail_with(faults.error)
                             : syscall(SYS_getrandom, bytes, size, flags);
}

DIR *
opendir(const char *path)
{
    if (fault_is_due('O')) {
        errno = faults.error;
        return NULL;
    }
    int descriptor =
        openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return descriptor < 0 ? NULL : fdopendir(descriptor);
}

struct dirent *
readdir(DIR *directory)
{
    if (fault_is_due('N')) {
        errno = faults.error;
        return NULL;
    }
    return (struct dirent *)readdir64(directory);
}

int
inotify_init1(int flags)
{
    return fault_is_due('i') ? fail_with(faults.error)
                             : (int)syscall(SYS_inotify_init1, flags);
}

int
inotify_add_watch(int descriptor, const char *path, uint32_t events)
{
    return fault_is_due('I')
               ? fail_with(faults.error)
               : (int)syscall(SYS_inotify_add_watch, descriptor, path, events);
}

ssize_t
read(int descriptor, void *bytes, size_t size)
{
    return fault_is_due('e') ? fail_with(faults.error)
                             : syscall(SYS_read, descriptor, bytes, size);
}

int
clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    clock_ahead += faults.hurry;
    time->tv_sec += clock_ahead;
    return result;
}

/* For an interrupt whose context is an int: due once a call has failed, and
 * counts how often it said so. */
static inline bool
count_and_stop(void *context)
{
    *(int *)context += faults.failed != 0;
    return faults.failed != 0;
}

#endif
