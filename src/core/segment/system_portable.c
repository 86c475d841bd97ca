/* core/segment/system_portable.c
 *
 * What stands in, on any POSIX system, for what only Linux has:
 *
 *     /dev/shm         a directory of each user, which only that user enters
 *     unnamed files    drafts under a temporary name, as draft.c makes them
 *     fallocate        F_PREALLOCATE of macOS; else zeros are written
 *     futex            kqueue, polling every 100 ms; without it, every 5 ms
 *     inotify          nothing: event loops poll
 *
 * Bytes of files, locks and the order of all steps are those of Linux, so a
 * process of either build can use the maps of the other.
 *
 * Not here: what every POSIX system has (system.c).
 */
#define _GNU_SOURCE
#include "core/segment/system_platform.h"

#if !SYSTEM_IS_LINUX
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <mach/vm_inherit.h>
#endif
#ifdef __has_include
#if __has_include(<sys/event.h>)
#define HAS_KQUEUE
#include <sys/event.h>
#endif
#endif

#include "core/segment/backoff.h"
#include "core/segment/fork.h"
#include "core/segment/system.h"

/* ---- names and files ---------------------------------------------------- */

static char names[4096];
static char full_advice[sizeof(names) + 32];
static pthread_once_t names_once = PTHREAD_ONCE_INIT;

/* Fills the folder for temporary files of this user, or of all. */
static void
find_temporary_folder(char *folder, size_t size)
{
#ifdef _CS_DARWIN_USER_TEMP_DIR
    // TMPDIR is not set in each session of a user, and may differ.
    size_t needed = confstr(_CS_DARWIN_USER_TEMP_DIR, folder, size);
    if (needed > 0 && needed <= size) {
        return;
    }
#endif
    const char *given = getenv("TMPDIR");
    snprintf(folder, size, "%s",
             given != NULL && *given != '\0' ? given : "/tmp");
}

static void
find_names(void)
{
    const char *given = getenv("SHAREDMAP_DIRECTORY");
    char folder[2048];
    if (given != NULL && *given == '/') {
        snprintf(names, sizeof(names), "%s", given);
    }
    else {
        find_temporary_folder(folder, sizeof(folder));
        snprintf(names, sizeof(names), "%s/sharedmap-%lu", folder,
                 (unsigned long)geteuid());
    }
    size_t size = strlen(names);
    while (size > 1 && names[size - 1] == '/') {
        names[--size] = '\0';
    }
    snprintf(full_advice, sizeof(full_advice), "free space in %s", names);
    // A user without maps has an empty directory, rather than none.
    (void)mkdir(names, 0700);
}

const char *
system_platform(void)
{
    return "portable";
}

const char *
system_name_directory(void)
{
    int saved_errno = errno;
    (void)pthread_once(&names_once, find_names);
    errno = saved_errno;
    return names;
}

const char *
system_name_advice(bool is_full)
{
    (void)system_name_directory();
    return is_full ? full_advice
                   : "make it, or set SHAREDMAP_DIRECTORY to another one";
}

bool
system_prepare_names(void)
{
    struct stat found;
    const char *directory = system_name_directory();
    if ((mkdir(directory, 0700) < 0 && errno != EEXIST)
        || lstat(directory, &found) < 0)
    {
        return false;
    }
    bool is_ours = found.st_uid == geteuid();
    bool is_private = is_ours && (found.st_mode & (S_IWGRP | S_IWOTH)) == 0;
    // As in /tmp, others can make files there, but not replace ours.
    bool is_sticky =
        (is_ours || found.st_uid == 0) && (found.st_mode & S_ISVTX) != 0;
    if (S_ISDIR(found.st_mode) && (is_private || is_sticky)) {
        return true;
    }
    errno = S_ISDIR(found.st_mode) ? EACCES : ENOTDIR;
    return false;
}

int
system_unnamed_flag(void)
{
    return 0;
}

bool
system_can_link(void)
{
    return false;
}

bool
system_link(int descriptor, const char *path)
{
    (void)descriptor;
    (void)path;
    errno = ENOTSUP;
    return false;
}

#ifdef F_PREALLOCATE
int
system_reserve(int descriptor, uint64_t offset, uint64_t size)
{
    struct stat file;
    const off_t end = (off_t)(offset + size);
    if (fstat(descriptor, &file) < 0) {
        return errno;
    }
    // What is there was reserved or written before. The rest is counted from
    // the end of the file.
    if (file.st_size >= end) {
        return 0;
    }
    fstore_t rest = {
        .fst_flags = F_ALLOCATEALL,
        .fst_posmode = F_PEOFPOSMODE,
        .fst_length = end - file.st_size,
    };
    if (fcntl(descriptor, F_PREALLOCATE, &rest) < 0) {
        return errno == ENOTSUP || errno == ENOTTY ? EOPNOTSUPP : errno;
    }
    return ftruncate(descriptor, end) == 0 ? 0 : errno;
}
#else
int
system_reserve(int descriptor, uint64_t offset, uint64_t size)
{
#ifdef __FreeBSD__
    return posix_fallocate(descriptor, (off_t)offset, (off_t)size);
#else
    (void)descriptor;
    (void)offset;
    (void)size;
    return EOPNOTSUPP;
#endif
}
#endif

int
system_sync_once(int descriptor)
{
#ifdef F_FULLFSYNC
    // fsync() leaves the data in the cache of the disk; some file systems do
    // not know better.
    if (fcntl(descriptor, F_FULLFSYNC) == 0) {
        return 0;
    }
    if (errno != ENOTSUP && errno != EINVAL && errno != ENOTTY) {
        return -1;
    }
#endif
    return fsync(descriptor);
}

/* ---- users -------------------------------------------------------------- */

bool
system_is_ours(int descriptor, uint32_t owner)
{
    (void)descriptor;
    return owner == geteuid();
}

bool
system_is_any_user(uint32_t owner)
{
    (void)owner;
    return false;
}

/* ---- mappings ----------------------------------------------------------- */

void *
system_map(int descriptor, uint64_t size)
{
    return mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, 0);
}

bool
system_hide_from_children(void *bytes, size_t size)
{
#if defined(VM_INHERIT_NONE)
    return minherit(bytes, size, VM_INHERIT_NONE) == 0;
#elif defined(INHERIT_NONE)
    return minherit(bytes, size, INHERIT_NONE) == 0;
#elif defined(MADV_DONTFORK)
    return madvise(bytes, size, MADV_DONTFORK) == 0;
#else
#error "there is no way to keep a mapping from forked children"
#endif
}

void
system_use_huge_pages(void *bytes, size_t size)
{
    (void)bytes;
    (void)size;
}

/* ---- waiting ------------------------------------------------------------ */

// Nanoseconds.
#define POLLS      ((struct backoff){.next = 20000, .longest = 5000000})
#define RARE_POLLS ((struct backoff){.next = 100000000, .longest = 100000000})

static int64_t
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* A descriptor of kqueue tells what becomes of a file, by calls: that it was
 * written, lost its name, or got other attributes. It tells nothing of a store
 * into a mapping, and that is how a head is changed:
 *
 *     delta         write ---> store the head ---> futimens       NOTE_ATTRIB
 *     replaced      store the mark ---> rename over the file      NOTE_DELETE
 *     removed       store the mark ---> unlink                    NOTE_DELETE
 *
 * So system_wake() sets the times of the file, behind the store. NOTE_WRITE
 * would wake readers before it, for nothing. A publisher that is killed in
 * between tells nothing, nor does one of another build: hence a poll every
 * 100 ms. What kqueue told before the wait is kept, so the word is loaded
 * between registering and waiting.
 *
 * Segments have no descriptor, so each sleep opens the file, and closes it. A
 * forked child keeps neither: the system does not copy a kqueue for it. */
struct waker {
    struct fork_closed file;  // owned, if there is a queue
    int queue;                // owned; -1: there is none
};

#ifdef HAS_KQUEUE
static bool
is_same_file(int descriptor, const struct word_file *file)
{
    struct stat found;
    return fstat(descriptor, &found) == 0
           && (uint64_t)found.st_dev == file->device
           && (uint64_t)found.st_ino == file->inode;
}

/* -1 where the file cannot be watched. */
static int
open_queue(int descriptor)
{
    struct kevent change;
    EV_SET(&change, descriptor, EVFILT_VNODE, EV_ADD | EV_CLEAR,
           NOTE_ATTRIB | NOTE_DELETE, 0, NULL);
    int queue = kqueue();
    if (queue >= 0 && kevent(queue, &change, 1, NULL, 0, NULL) < 0) {
        close(queue);
        queue = -1;
    }
    return queue;
}

static void
waker_open(struct waker *waker, const struct word_file *file)
{
    waker->queue = -1;
    if (file == NULL
        || !fork_closed_open(&waker->file, file->path, O_RDONLY | O_NONBLOCK,
                             NULL))
    {
        return;
    }
    if (is_same_file(waker->file.descriptor, file)) {
        waker->queue = open_queue(waker->file.descriptor);
    }
    if (waker->queue < 0) {
        fork_closed_close(&waker->file);
    }
}

static bool
waker_sleep(const struct waker *waker, const struct timespec *time)
{
    struct kevent event;
    return waker->queue < 0
               ? nanosleep(time, NULL) == 0
               : kevent(waker->queue, NULL, 0, &event, 1, time) >= 0;
}

/* Leaves errno alone. */
static void
waker_close(struct waker *waker)
{
    if (waker->queue >= 0) {
        system_close(waker->queue);
        fork_closed_close(&waker->file);
    }
}
#else
static void
waker_open(struct waker *waker, const struct word_file *file)
{
    (void)file;
    waker->queue = -1;
}

static bool
waker_sleep(const struct waker *waker, const struct timespec *time)
{
    (void)waker;
    return nanosleep(time, NULL) == 0;
}

static void
waker_close(struct waker *waker)
{
    (void)waker;
}
#endif

static bool
sleep_on(const _Atomic uint32_t *word, uint32_t expected, int64_t nanoseconds,
         const struct waker *waker)
{
    struct backoff backoff = waker->queue < 0 ? POLLS : RARE_POLLS;
    int64_t begin = now();
    for (;;) {
        if (atomic_load_explicit(word, memory_order_acquire) != expected) {
            errno = EAGAIN;
            return false;
        }
        int64_t left = nanoseconds - (now() - begin);
        if (left <= 0) {
            errno = ETIMEDOUT;
            return false;
        }
        int64_t pause = backoff_next(&backoff);
        pause = pause < left ? pause : left;
        const struct timespec time = {.tv_nsec = (long)pause};
        if (!waker_sleep(waker, &time)) {
            return false;
        }
    }
}

bool
system_sleep_on(const _Atomic uint32_t *word, uint32_t expected,
                int64_t nanoseconds, const struct word_file *file)
{
    struct waker waker;
    waker_open(&waker, file);
    bool is_woken = sleep_on(word, expected, nanoseconds, &waker);
    waker_close(&waker);
    return is_woken;
}

void
system_wake(_Atomic uint32_t *word, int count, int descriptor)
{
    (void)word;
    (void)count;
#ifdef HAS_KQUEUE
    // Needs no more than the right to write. Where it fails, readers poll.
    if (descriptor >= 0) {
        (void)futimens(descriptor, NULL);
    }
#else
    (void)descriptor;
#endif
}

int
system_watch(const char *directory)
{
    (void)directory;
    errno = ENOTSUP;
    return -1;
}

const char *
system_watch_event(const unsigned char *events, size_t *at,
                   bool *is_everything)
{
    (void)events;
    *at = SIZE_MAX;
    *is_everything = true;
    return NULL;
}

/* ---- random bytes ------------------------------------------------------- */

bool
system_random(unsigned char bytes[16])
{
    return getentropy(bytes, 16) == 0;
}

#endif
