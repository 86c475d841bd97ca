/* core/segment/system_linux.c
 *
 * What only Linux has: unnamed files, futexes, inotify, huge pages, user
 * namespaces.
 *
 * Not here: what every POSIX system has (system.c), and what stands in for the
 * rest elsewhere (system_portable.c).
 */
#define _GNU_SOURCE
#include "core/segment/system_platform.h"

#if SYSTEM_IS_LINUX
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* From linux/futex.h, which is not everywhere where there is a C library. */
enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1 };

/* ---- names and files ---------------------------------------------------- */

const char *
system_platform(void)
{
    return "linux";
}

const char *
system_name_directory(void)
{
    return "/dev/shm";
}

const char *
system_name_advice(bool is_full)
{
    return is_full ? "enlarge /dev/shm (containers: --shm-size)"
                   : "mount a tmpfs there";
}

bool
system_prepare_names(void)
{
    return true;
}

int
system_unnamed_flag(void)
{
    return O_TMPFILE;
}

#define OPEN_FILES "/proc/self/fd"

bool
system_can_link(void)
{
    return access(OPEN_FILES, X_OK) == 0;
}

bool
system_link(int descriptor, const char *path)
{
    char from[32];
    snprintf(from, sizeof(from), OPEN_FILES "/%d", descriptor);
    return linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0;
}

int
system_reserve(int descriptor, uint64_t offset, uint64_t size)
{
    return posix_fallocate(descriptor, (off_t)offset, (off_t)size);
}

int
system_sync_once(int descriptor)
{
    return fsync(descriptor);
}

/* ---- users -------------------------------------------------------------- */

bool
system_is_ours(int descriptor, uint32_t owner)
{
    // In a user namespace all users that are not mapped have the number 65534,
    // and so may we. The system itself tells them apart: it lets only the
    // owner say that reading leaves no trace.
    return owner == geteuid()
           && (fcntl(descriptor, F_SETFL, O_NONBLOCK | O_NOATIME) == 0
               || errno != EPERM);
}

/* Fills the beginning of a short text of the system, with a NUL; false with
 * errno. */
static bool
read_text(const char *path, char *text, size_t room)
{
    ssize_t size;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return false;
    }
    do {
        size = read(descriptor, text, room - 1);
    } while (size < 0 && errno == EINTR);
    text[size < 0 ? 0 : size] = '\0';
    int saved_errno = errno;
    close(descriptor);
    errno = saved_errno;
    return size >= 0;
}

bool
system_is_any_user(uint32_t owner)
{
    char text[256];
    unsigned long first, outside, count, overflow = 65534;
    if (read_text("/proc/sys/kernel/overflowuid", text, sizeof(text))) {
        overflow = strtoul(text, NULL, 10);
    }
    if (owner != overflow) {
        return false;
    }
    if (!read_text("/proc/self/uid_map", text, sizeof(text))) {
        // A system without user namespaces has no such file.
        return errno != ENOENT || !system_can_link();
    }
    // Where each user is mapped to itself, none appears to be another.
    char *rest;
    first = strtoul(text, &rest, 10);
    outside = strtoul(rest, &rest, 10);
    count = strtoul(rest, &rest, 10);
    return first != 0 || outside != 0 || count < UINT32_MAX;
}

/* ---- mappings ----------------------------------------------------------- */

/* Larger pages can only be used where file and memory are aligned alike. */
static const uint64_t HUGE_PAGE = UINT64_C(2) << 20;

void *
system_map(int descriptor, uint64_t size)
{
    if (size < HUGE_PAGE) {
        return mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, 0);
    }
    // Reserve more than enough, map the file at the right address in it, and
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

bool
system_hide_from_children(void *bytes, size_t size)
{
    return madvise(bytes, size, MADV_DONTFORK) == 0;
}

// Since Linux 6.1; older headers do not know it, older systems refuse it.
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

void
system_use_huge_pages(void *bytes, size_t size)
{
    (void)madvise(bytes, size, MADV_COLLAPSE);
}

/* ---- waiting ------------------------------------------------------------ */

bool
system_sleep_on(const _Atomic uint32_t *word, uint32_t expected,
                int64_t nanoseconds, const struct word_file *file)
{
    (void)file;
    const struct timespec timeout = {
        .tv_sec = (time_t)(nanoseconds / 1000000000),
        .tv_nsec = (long)(nanoseconds % 1000000000),
    };
    return syscall(SYS_futex, word, FUTEX_WAIT, expected, &timeout, NULL, 0)
           == 0;
}

void
system_wake(_Atomic uint32_t *word, int count, int descriptor)
{
    (void)descriptor;
    syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

int
system_watch(const char *directory)
{
    int descriptor = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (descriptor < 0) {
        return -1;
    }
    // A first publication is a link, another file a rename. A delta is written
    // into the file, which is closed when it is published.
    if (inotify_add_watch(descriptor, directory,
                          IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_CLOSE_WRITE
                              | IN_ONLYDIR)
        < 0)
    {
        int saved_errno = errno;
        close(descriptor);
        errno = saved_errno;
        return -1;
    }
    return descriptor;
}

const char *
system_watch_event(const unsigned char *events, size_t *at,
                   bool *is_everything)
{
    const struct inotify_event *event = (const void *)(events + *at);
    *at += sizeof(*event) + event->len;
    *is_everything = (event->mask & IN_Q_OVERFLOW) != 0;
    return event->len > 0 ? event->name : NULL;
}

/* ---- random bytes ------------------------------------------------------- */

bool
system_random(unsigned char bytes[16])
{
    // Up to 256 bytes arrive all at once or not at all.
    ssize_t size;
    do {
        size = getrandom(bytes, 16, 0);
    } while (size < 0 && errno == EINTR);
    return size == 16;
}

#endif
