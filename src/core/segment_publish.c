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
 *
 * Not here: the draft until it is finished, and the mutex; see
 * segment_draft.c. What is in the file; see publish.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
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
    enum status status =
        system_open(path, O_RDWR | O_NOFOLLOW, &holder->descriptor);
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
stamp(struct draft *draft, uint64_t generation,
      const struct draft_terms *terms, struct snapshot_header *header)
{
    header->generation = generation;
    snapshot_header_seal(header);
    enum status status = draft_write(draft, 0, header, sizeof(*header));
    if (status == STATUS_OK && terms->is_durable
        && fsync(draft->descriptor) < 0)
    {
        status = STATUS_SYSTEM;
    }
    return status;
}

/* Links the draft to the name with a tilde behind it, and fills that path. A
 * leftover of a killed publisher is cleared: we hold the lock, so nobody is
 * using it. If it cannot be cleared it is not ours; then digits that nobody
 * can guess follow the tilde. */
static enum status
link_temporary(struct draft *draft, const char *path,
               char temporary[TEMPORARY_PATH_SIZE])
{
    snprintf(temporary, TEMPORARY_PATH_SIZE, "%s~", path);
    unlink(temporary);
    if (system_link_draft(draft, temporary)) {
        return STATUS_OK;
    }
    if (errno != EEXIST) {
        return system_failure();
    }
    enum status status = system_random_path(path, temporary);
    if (status == STATUS_OK && !system_link_draft(draft, temporary)) {
        status = system_failure();
    }
    return status;
}

/* Makes the last link or rename as durable as the file itself. */
static enum status
sync_directory(const char *path)
{
    char directory[SEGMENT_DIRECTORY_SIZE];
    int descriptor;
    if (!system_directory(path, directory)) {
        errno = ENAMETOOLONG;
        return STATUS_SYSTEM;
    }
    enum status status =
        system_open(directory, O_RDONLY | O_DIRECTORY, &descriptor);
    if (status != STATUS_OK) {
        return status;
    }
    if (fsync(descriptor) < 0) {
        status = STATUS_SYSTEM;
    }
    system_close(descriptor);
    return status;
}

/* The holder is locked and stays the holder until the rename. */
static enum status
replace_holder(struct draft *draft, const char *path, struct holder *holder,
               const struct draft_terms *terms, struct snapshot_header *header)
{
    char temporary[TEMPORARY_PATH_SIZE];
    // Root may publish for a user, but must not take the name away from him.
    if (holder->file.st_uid != geteuid()
        && fchown(draft->descriptor, holder->file.st_uid, holder->file.st_gid)
               < 0)
    {
        return STATUS_SYSTEM;
    }
    enum status status = stamp(draft, holder->generation + 1, terms, header);
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
        system_unlink(temporary);
        return status;
    }
    holder_wake(holder);
    return STATUS_OK;
}

/* The name was free a moment ago. */
static enum status
take_free_name(struct draft *draft, const char *path,
               const struct draft_terms *terms, struct snapshot_header *header,
               bool *is_busy)
{
    enum status status = stamp(draft, 1, terms, header);
    if (status != STATUS_OK) {
        return status;
    }
    if (system_link_draft(draft, path)) {
        return STATUS_OK;
    }
    if (errno != EEXIST) {
        return system_failure();
    }
    *is_busy = terms->force;
    return STATUS_NAME_TAKEN;
}

static enum status
try_publish(struct draft *draft, const char *path,
            const struct draft_terms *terms, struct snapshot_header *header,
            bool *is_busy)
{
    struct holder holder;
    *is_busy = false;
    if (!terms->force) {
        return take_free_name(draft, path, terms, header, is_busy);
    }
    enum status status = holder_open(&holder, path, is_busy);
    if (status == STATUS_NAME_ABSENT) {
        return take_free_name(draft, path, terms, header, is_busy);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = replace_holder(draft, path, &holder, terms, header);
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
draft_publish(struct draft *draft, const char *path,
              const struct draft_terms *terms, struct snapshot_header *header)
{
    struct patience patience = patience_begin();
    // The long wait for the disk comes before the lock; under it only the
    // header is new.
    if (terms->is_durable && fsync(draft->descriptor) < 0) {
        return STATUS_SYSTEM;
    }
    for (;;) {
        bool is_busy;
        system_lock_process();
        enum status status = try_publish(draft, path, terms, header, &is_busy);
        system_unlock_process();
        if (status == STATUS_OK && terms->is_durable) {
            return sync_directory(path);
        }
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
        system_lock_process();
        enum status status = try_remove(path, &is_busy);
        system_unlock_process();
        if (!is_busy) {
            return status;
        }
        if (!patience_wait(&patience)) {
            return STATUS_LOCK_TIMEOUT;
        }
    }
}
