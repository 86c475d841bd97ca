/* core/segment_publish.c
 *
 * Giving a name to a finished file, taking a name away.
 *
 *     draft (no name) --------------------- link ---> name      name was free
 *
 *     draft (no name) --- link ---> name~ - rename -> name      name was held
 *                                  holder: superseded = 1, just before
 *
 * What the name points to is the truth; `superseded` is only a hint to look
 * at the name again. A hint that comes early costs its reader one look. One
 * that came late would leave a reader on the old snapshot for ever, if we
 * were killed in between: hence first the store, then the rename.
 *
 * Two publishers must not replace the same holder. The lock is on the holder
 * itself: there is no lock file to leave behind, and the system drops the
 * lock with the process. Who got the lock looks whether the name still points
 * to what was locked.
 *
 * Such a lock belongs to the open file, and a child that is forked shares it.
 * So within one process a mutex is held around the few microseconds between
 * lock and unlock, and fork() waits for that mutex. Nobody sleeps holding it.
 * Drafts are listed under the same mutex, for the child to close: the memory
 * of a file without a name is freed when its last descriptor is closed.
 *
 * Not here: what is in the file; see publish.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/segment.h"
#include "core/segment_system.h"
#include "core/snapshot_header.h"

/* ---- the process's own lock --------------------------------------------- */

static pthread_mutex_t process_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fork_handlers_once = PTHREAD_ONCE_INIT;
static struct draft *open_drafts;  // guarded by process_mutex

static void
before_fork(void)
{
    pthread_mutex_lock(&process_mutex);
}

static void
after_fork_in_parent(void)
{
    pthread_mutex_unlock(&process_mutex);
}

static void
after_fork_in_child(void)
{
    for (struct draft *draft = open_drafts; draft != NULL; draft = draft->next)
    {
        system_close(draft->descriptor);
    }
    open_drafts = NULL;
    pthread_mutex_unlock(&process_mutex);
}

static void
install_fork_handlers(void)
{
    // Fails only without memory; then a fork in the wrong microsecond could
    // delay another publisher, but nothing is lost.
    (void)pthread_atfork(before_fork, after_fork_in_parent,
                         after_fork_in_child);
}

static void
process_lock(void)
{
    pthread_once(&fork_handlers_once, install_fork_handlers);
    pthread_mutex_lock(&process_mutex);
}

static void
process_unlock(void)
{
    pthread_mutex_unlock(&process_mutex);
}

/* ---- the draft ---------------------------------------------------------- */

static enum status
system_failure(void)
{
    return errno == ENOSPC || errno == EDQUOT ? STATUS_NO_SPACE
                                              : STATUS_SYSTEM;
}

/* Reserves all pages now, so that a full file system is an answer here and
 * not a signal later, and no hole is left for a reader to fall into. A signal
 * that arrives undoes one piece, not all of them, so this ends however many
 * signals a timer sends. */
static enum status
reserve(int descriptor, uint64_t size)
{
    const uint64_t piece = UINT64_C(1) << 20;
    if (size > INT64_MAX) {
        errno = EFBIG;
        return STATUS_SYSTEM;
    }
    for (uint64_t at = 0; at < size; at += piece) {
        uint64_t left = size - at;
        int error;
        do {
            error = posix_fallocate(descriptor, (off_t)at,
                                    (off_t)(left < piece ? left : piece));
        } while (error == EINTR);
        if (error != 0) {
            errno = error;
            return system_failure();
        }
    }
    return STATUS_OK;
}

enum status
draft_create(struct draft *draft, const char *path, uint64_t size,
             unsigned mode)
{
    char directory[SEGMENT_DIRECTORY_SIZE];
    *draft = DRAFT_EMPTY;
    if (!system_directory(path, directory)) {
        errno = ENAMETOOLONG;
        return STATUS_SYSTEM;
    }
    process_lock();
    int descriptor = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor >= 0) {
        draft->descriptor = descriptor;
        draft->next = open_drafts;
        open_drafts = draft;
    }
    process_unlock();
    if (descriptor < 0) {
        return system_failure();
    }
    enum status status = reserve(descriptor, size);
    // The umask had its say in the mode of open(), not in that of fchmod().
    if (status == STATUS_OK && fchmod(descriptor, (mode_t)mode) < 0) {
        status = STATUS_SYSTEM;
    }
    if (status != STATUS_OK) {
        draft_close(draft);
    }
    return status;
}

enum status
draft_write(struct draft *draft, uint64_t offset, const void *bytes,
            size_t size)
{
    const unsigned char *from = bytes;
    while (size > 0) {
        ssize_t written = pwrite(draft->descriptor, from, size, (off_t)offset);
        if (written < 0) {
            if (errno == EINTR) {
                continue;
            }
            return system_failure();
        }
        from += written;
        offset += (uint64_t)written;
        size -= (size_t)written;
    }
    return STATUS_OK;
}

void
draft_close(struct draft *draft)
{
    if (draft->descriptor < 0) {
        return;
    }
    process_lock();
    struct draft **link = &open_drafts;
    while (*link != draft) {
        link = &(*link)->next;
    }
    *link = draft->next;
    system_close(draft->descriptor);
    process_unlock();
    *draft = DRAFT_EMPTY;
}

/* ---- the holder of a name ----------------------------------------------- */

/* The file that a name points to, open and locked. */
struct holder {
    int descriptor;  // owned; -1 when there is none
    struct stat file;
    uint64_t generation;           // 0 when it is no readable snapshot
    _Atomic uint32_t *superseded;  // in an owned mapping; NULL if no snapshot
};

static void
holder_close(struct holder *holder)
{
    if (holder->superseded != NULL) {
        char *header = (char *)holder->superseded
                       - offsetof(struct snapshot_header, superseded);
        munmap(header, sizeof(struct snapshot_header));
    }
    if (holder->descriptor >= 0) {
        // A child that somebody else forked may share the open file; closing
        // alone would leave the lock with it.
        struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
        int saved_errno = errno;
        (void)fcntl(holder->descriptor, F_OFD_SETLK, &lock);
        errno = saved_errno;
        system_close(holder->descriptor);
    }
    *holder = (struct holder){.descriptor = -1};
}

/* Reads what the holder says of itself and maps its header to write. A file
 * of ours that is no snapshot has nothing to say and may be replaced. */
static enum status
holder_map_header(struct holder *holder)
{
    struct snapshot_header header;
    enum status status = system_read_header(holder->descriptor, &header);
    if (status == STATUS_SYSTEM) {
        return status;
    }
    if (status != STATUS_OK
        || snapshot_header_check(&header, (uint64_t)holder->file.st_size)
               != STATUS_OK)
    {
        return STATUS_OK;
    }
    void *bytes = mmap(NULL, sizeof(header), PROT_READ | PROT_WRITE,
                       MAP_SHARED, holder->descriptor, 0);
    if (bytes == MAP_FAILED) {
        return STATUS_SYSTEM;
    }
    holder->generation = header.generation;
    holder->superseded =
        (void *)((char *)bytes + offsetof(struct snapshot_header, superseded));
    return STATUS_OK;
}

/* Opens and locks what the path names. `is_busy` says that somebody else has
 * the lock or that the name moved on meanwhile: try again later. */
static enum status
holder_open(struct holder *holder, const char *path, bool *is_busy)
{
    *holder = (struct holder){.descriptor = -1};
    *is_busy = false;
    enum status status = system_open(path, O_RDWR, &holder->descriptor);
    if (status != STATUS_OK) {
        return status;
    }
    if (fstat(holder->descriptor, &holder->file) < 0) {
        status = STATUS_SYSTEM;
        goto fail;
    }
    if (!S_ISREG(holder->file.st_mode)) {
        status = STATUS_NOT_REGULAR;
        goto fail;
    }
    if (holder->file.st_uid != geteuid() && geteuid() != 0) {
        status = STATUS_FOREIGN_OWNER;
        goto fail;
    }
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(holder->descriptor, F_OFD_SETLK, &lock) < 0) {
        *is_busy = errno == EAGAIN || errno == EACCES || errno == EINTR;
        status = STATUS_SYSTEM;
        goto fail;
    }
    struct stat named;
    if (lstat(path, &named) < 0 || named.st_dev != holder->file.st_dev
        || named.st_ino != holder->file.st_ino)
    {
        *is_busy = true;
        status = STATUS_SYSTEM;
        goto fail;
    }
    status = holder_map_header(holder);
    if (status != STATUS_OK) {
        goto fail;
    }
    return STATUS_OK;

fail:
    holder_close(holder);
    return status;
}

static void
holder_mark_superseded(struct holder *holder)
{
    if (holder->superseded != NULL) {
        atomic_store_explicit(holder->superseded, 1, memory_order_release);
    }
}

/* Wakes who sleeps on the word, in whatever process. */
static void
holder_wake(struct holder *holder)
{
    if (holder->superseded != NULL) {
        syscall(SYS_futex, holder->superseded, FUTEX_WAKE, INT_MAX, NULL, NULL,
                0);
    }
}

/* ---- one attempt -------------------------------------------------------- */

static enum status
stamp(struct draft *draft, uint64_t generation, struct snapshot_header *header)
{
    header->generation = generation;
    snapshot_header_seal(header);
    return draft_write(draft, 0, header, sizeof(*header));
}

/* Fills where a nameless file can be linked from. */
static void
descriptor_path(const struct draft *draft, char path[32])
{
    snprintf(path, 32, "/proc/self/fd/%d", draft->descriptor);
}

enum { TEMPORARY_PATH_SIZE = SEGMENT_DIRECTORY_SIZE + 256 + 18 };

/* Links the draft to the name with a tilde behind it, and fills that path. A
 * leftover of a killed publisher is cleared: we hold the lock, so nobody is
 * using it. If it cannot be cleared it is not ours; then digits that nobody
 * can guess follow the tilde. */
static enum status
link_temporary(struct draft *draft, const char *path,
               char temporary[TEMPORARY_PATH_SIZE])
{
    char from[32];
    descriptor_path(draft, from);
    snprintf(temporary, TEMPORARY_PATH_SIZE, "%s~", path);
    unlink(temporary);
    if (linkat(AT_FDCWD, from, AT_FDCWD, temporary, AT_SYMLINK_FOLLOW) == 0) {
        return STATUS_OK;
    }
    if (errno != EEXIST) {
        return system_failure();
    }
    unsigned char id[16];
    uint64_t digits;
    enum status status = segment_unique_id(id);
    if (status != STATUS_OK) {
        return status;
    }
    memcpy(&digits, id, sizeof(digits));
    snprintf(temporary, TEMPORARY_PATH_SIZE, "%s~%016" PRIx64, path, digits);
    if (linkat(AT_FDCWD, from, AT_FDCWD, temporary, AT_SYMLINK_FOLLOW) < 0) {
        return system_failure();
    }
    return STATUS_OK;
}

/* The holder is locked and stays the holder until the rename. */
static enum status
replace_holder(struct draft *draft, const char *path, struct holder *holder,
               struct snapshot_header *header)
{
    char temporary[TEMPORARY_PATH_SIZE];
    // Root may publish for a user, but must not take the name away from him.
    if (holder->file.st_uid != geteuid()
        && fchown(draft->descriptor, holder->file.st_uid, holder->file.st_gid)
               < 0)
    {
        return STATUS_SYSTEM;
    }
    enum status status = stamp(draft, holder->generation + 1, header);
    if (status != STATUS_OK) {
        return status;
    }
    status = link_temporary(draft, path, temporary);
    if (status != STATUS_OK) {
        return status;
    }
    holder_mark_superseded(holder);
    if (rename(temporary, path) < 0) {
        status = system_failure();
        int saved_errno = errno;
        unlink(temporary);
        errno = saved_errno;
        return status;
    }
    holder_wake(holder);
    return STATUS_OK;
}

/* The name was free a moment ago. */
static enum status
take_free_name(struct draft *draft, const char *path, bool force,
               struct snapshot_header *header, bool *is_busy)
{
    char from[32];
    enum status status = stamp(draft, 1, header);
    if (status != STATUS_OK) {
        return status;
    }
    descriptor_path(draft, from);
    if (linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0) {
        return STATUS_OK;
    }
    if (errno != EEXIST) {
        return system_failure();
    }
    *is_busy = force;
    return STATUS_NAME_TAKEN;
}

static enum status
try_publish(struct draft *draft, const char *path, bool force,
            struct snapshot_header *header, bool *is_busy)
{
    struct holder holder;
    *is_busy = false;
    if (!force) {
        return take_free_name(draft, path, force, header, is_busy);
    }
    enum status status = holder_open(&holder, path, is_busy);
    if (status == STATUS_NAME_ABSENT) {
        return take_free_name(draft, path, force, header, is_busy);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = replace_holder(draft, path, &holder, header);
    holder_close(&holder);
    return status;
}

static enum status
try_remove(const char *path, bool *is_busy)
{
    struct holder holder;
    char temporary[TEMPORARY_PATH_SIZE];
    enum status status = holder_open(&holder, path, is_busy);
    if (status != STATUS_OK) {
        return status;
    }
    snprintf(temporary, sizeof(temporary), "%s~", path);
    unlink(temporary);
    holder_mark_superseded(&holder);
    if (unlink(path) < 0) {
        status = STATUS_SYSTEM;
    }
    else {
        holder_wake(&holder);
    }
    holder_close(&holder);
    return status;
}

/* ---- attempts until a deadline ------------------------------------------ */

struct patience {
    struct timespec deadline;
    long pause;  // nanoseconds
};

enum { LOCK_SECONDS = 5, FIRST_PAUSE = 20000, LONGEST_PAUSE = 2000000 };

static struct patience
patience_begin(void)
{
    struct patience patience = {.pause = FIRST_PAUSE};
    clock_gettime(CLOCK_MONOTONIC, &patience.deadline);
    patience.deadline.tv_sec += LOCK_SECONDS;
    return patience;
}

/* Sleeps a little longer each time; false when the time is over. */
static bool
patience_wait(struct patience *patience)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec > patience->deadline.tv_sec
        || (now.tv_sec == patience->deadline.tv_sec
            && now.tv_nsec >= patience->deadline.tv_nsec))
    {
        return false;
    }
    struct timespec pause = {.tv_nsec = patience->pause};
    nanosleep(&pause, NULL);
    if (patience->pause < LONGEST_PAUSE) {
        patience->pause *= 2;
    }
    return true;
}

enum status
draft_publish(struct draft *draft, const char *path, bool force,
              struct snapshot_header *header)
{
    struct patience patience = patience_begin();
    for (;;) {
        bool is_busy;
        process_lock();
        enum status status = try_publish(draft, path, force, header, &is_busy);
        process_unlock();
        if (!is_busy) {
            return status;
        }
        if (!patience_wait(&patience)) {
            return STATUS_LOCK_TIMEOUT;
        }
    }
}

enum status
segment_remove(const char *path)
{
    struct patience patience = patience_begin();
    for (;;) {
        bool is_busy;
        process_lock();
        enum status status = try_remove(path, &is_busy);
        process_unlock();
        if (!is_busy) {
            return status;
        }
        if (!patience_wait(&patience)) {
            return STATUS_LOCK_TIMEOUT;
        }
    }
}
