/* core/segment/publish.c
 *
 * Giving a name to a finished file, taking a name away.
 *
 *     draft (no name) --------------------- link ---> name      name was free
 *
 *     draft (no name) --- link ---> name~ - rename -> name      name was held
 *                                  holder: superseded = 1, just before
 *
 * What the name points to is the truth; `superseded` is only a hint to check
 * the name again. A hint that comes early costs its reader one check. One
 * that came late would leave a reader on the old snapshot for ever, if we
 * were killed in between: hence first the store, then the rename.
 *
 * Two publishers must not replace the same holder. The lock is on the holder
 * itself: there is no lock file to leave behind, and the system drops the
 * lock with the process. The publisher that got the lock checks whether the
 * name still points to what was locked.
 *
 * Such a lock belongs to the open file, which a forked child would share; so
 * the holder is a file that children close (fork.c).
 *
 * Not here: the draft until it is finished; see draft.c. What is in
 * the file; see core/publish.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/segment/backoff.h"
#include "core/segment/fork.h"
#include "core/segment/segment.h"
#include "core/segment/system.h"
#include "core/snapshot/header.h"

/* ---- attempts ----------------------------------------------------------- */

struct attempts {
    int64_t deadline;  // of segment_clock()
    struct backoff backoff;
};

// Nanoseconds.
static const int64_t LOCK_TIMEOUT = INT64_C(5000000000);
#define LOCK_BACKOFF ((struct backoff){.next = 20000, .longest = 2560000})

static struct attempts
attempts_begin(void)
{
    return (struct attempts){segment_clock() + LOCK_TIMEOUT, LOCK_BACKOFF};
}

/* Sleeps a little longer each time; false when the time is over. */
static bool
attempts_wait(struct attempts *attempts)
{
    if (segment_clock() >= attempts->deadline) {
        return false;
    }
    (void)segment_pause(backoff_next(&attempts->backoff));
    return true;
}

/* ---- the holder of a name ----------------------------------------------- */

void
holder_close(struct holder *holder)
{
    // A forked child has neither the file nor the mapping.
    if (holder->file.descriptor >= 0 && holder->header != NULL) {
        munmap(holder->header, sizeof(struct snapshot_header));
    }
    holder->header = NULL;
    if (holder->file.descriptor >= 0) {
        // A copy of the descriptor, on its way through a child's exec(), would
        // keep the lock a little longer.
        struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
        int saved_errno = errno;
        (void)fcntl(holder->file.descriptor, F_OFD_SETLK, &lock);
        errno = saved_errno;
        fork_closed_close_last(&holder->file);
    }
}

/* Opens the regular file that has the name, of any owner. */
static enum status
holder_open(struct holder *holder, const char *path, bool *is_ours)
{
    struct stat file;
    *holder = HOLDER_EMPTY;
    if (!fork_closed_open(&holder->file, path,
                          O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY))
    {
        return system_open_failure();
    }
    if (fstat(holder->file.descriptor, &file) < 0) {
        return STATUS_SYSTEM;
    }
    if (!S_ISREG(file.st_mode)) {
        return STATUS_NOT_REGULAR;
    }
    *is_ours = file.st_uid == geteuid();
    holder->size = (uint64_t)file.st_size;
    holder->device = file.st_dev;
    holder->inode = file.st_ino;
    holder->mode = file.st_mode & 0777;
    return STATUS_OK;
}

/* Reads what the holder says of itself and maps its header to write. A file
 * of ours that is not a snapshot has nothing to say and may be replaced. */
static enum status
holder_map_header(struct holder *holder)
{
    struct snapshot_header header;
    enum status status = system_read_header(holder->file.descriptor, &header);
    if (status == STATUS_SYSTEM) {
        return status;
    }
    if (status != STATUS_OK
        || snapshot_header_check(&header, holder->size) != STATUS_OK)
    {
        return STATUS_OK;
    }
    holder->generation = header.generation;
    // No reader opens a file that others may write, so none is to be told.
    if (system_others_may_write(holder->mode)) {
        return STATUS_OK;
    }
    void *bytes =
        fork_closed_map(&holder->file, sizeof(header), PROT_READ | PROT_WRITE);
    if (bytes == NULL) {
        return STATUS_SYSTEM;
    }
    holder->header = bytes;
    return STATUS_OK;
}

/* Whether the path still leads to the file that is open. STATUS_SYSTEM. */
static enum status
holder_check_named(const struct holder *holder, const char *path,
                   bool *is_named)
{
    struct stat named;
    *is_named = false;
    if (lstat(path, &named) < 0) {
        return errno == ENOENT ? STATUS_OK : STATUS_SYSTEM;
    }
    *is_named =
        named.st_dev == holder->device && named.st_ino == holder->inode;
    return STATUS_OK;
}

/* Locks the open file; `is_busy` says that another publisher has the lock, or
 * that the name led elsewhere before we had it: try again later. */
static enum status
holder_set_lock(const struct holder *holder, const char *path, bool *is_busy)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(holder->file.descriptor, F_OFD_SETLK, &lock) < 0) {
        *is_busy = errno == EAGAIN || errno == EACCES || errno == EINTR;
        return STATUS_SYSTEM;
    }
    bool is_named;
    enum status status = holder_check_named(holder, path, &is_named);
    if (status == STATUS_OK && !is_named) {
        *is_busy = true;
        status = STATUS_SYSTEM;
    }
    return status;
}

/* One attempt to open and lock what we may replace. */
static enum status
holder_try_lock(struct holder *holder, const char *path, bool *is_busy)
{
    bool is_ours = false;
    *is_busy = false;
    enum status status = holder_open(holder, path, &is_ours);
    // Not even root: it would hand its data to a user who squats the name.
    if (status == STATUS_OK && !is_ours) {
        status = STATUS_FOREIGN_OWNER;
    }
    if (status == STATUS_OK) {
        status = holder_set_lock(holder, path, is_busy);
    }
    if (status == STATUS_OK) {
        status = holder_map_header(holder);
    }
    if (status != STATUS_OK) {
        holder_close(holder);
    }
    return status;
}

static enum status
holder_lock_until(struct holder *holder, const char *path,
                  struct attempts *attempts)
{
    for (;;) {
        bool is_busy;
        enum status status = holder_try_lock(holder, path, &is_busy);
        if (!is_busy) {
            return status;
        }
        if (!attempts_wait(attempts)) {
            return STATUS_LOCK_TIMEOUT;
        }
    }
}

enum status
holder_lock(struct holder *holder, const char *path)
{
    struct attempts attempts = attempts_begin();
    return holder_lock_until(holder, path, &attempts);
}

static _Atomic uint32_t *
superseded_word(const struct holder *holder)
{
    return holder->header == NULL
               ? NULL
               : (void *)((char *)holder->header
                          + offsetof(struct snapshot_header, superseded));
}

static void
holder_mark_superseded(const struct holder *holder)
{
    _Atomic uint32_t *word = superseded_word(holder);
    if (word != NULL) {
        atomic_store_explicit(word, 1, memory_order_release);
    }
}

static void
holder_wake_readers(const struct holder *holder)
{
    _Atomic uint32_t *word = superseded_word(holder);
    if (word != NULL) {
        system_wake(word);
    }
}

/* ---- steps of publishing ------------------------------------------------ */

static enum status
stamp(struct draft *draft, uint64_t generation,
      const struct publish_options *options, struct snapshot_header *header)
{
    header->generation = generation;
    snapshot_header_seal(header);
    enum status status = draft_write(draft, 0, header, sizeof(*header));
    if (status == STATUS_OK && options->is_durable) {
        status = system_sync(draft->file.descriptor);
    }
    return status;
}

/* Gives the draft a path, which must be free; false with errno of link(). */
static bool
link_draft(const struct draft *draft, const char *path)
{
    return draft->temporary != NULL
               ? link(draft->temporary, path) == 0
               : system_link(draft->file.descriptor, path);
}

/* Links the draft to a temporary name beside the name, and fills that path. A
 * leftover of a killed publisher is cleared: we hold the lock, so it is not in
 * use. If it cannot be cleared it is not ours; then random digits follow the
 * tilde. So they do where a name is too long to have a
 * temporary one of its own: another name's publisher may be using that. */
static enum status
link_temporary(struct draft *draft, const char *path,
               const struct publish_options *options,
               char temporary[TEMPORARY_PATH_SIZE])
{
    if (system_temporary_path(path, options->is_durable ? SAVED_MARK : "~",
                              temporary))
    {
        unlink(temporary);
        if (link_draft(draft, temporary)) {
            return STATUS_OK;
        }
        if (errno != EEXIST) {
            return system_failure();
        }
    }
    enum status status = system_random_path(path, temporary);
    if (status == STATUS_OK && !link_draft(draft, temporary)) {
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
    // Untested: link() or rename() has refused a path that is as long.
    if (!system_directory(path, directory)) {
        return STATUS_SYSTEM;
    }
    // The name is published already: that it is absent would be untrue.
    if (system_open(directory, O_RDONLY | O_DIRECTORY, &descriptor)
        != STATUS_OK)
    {
        return STATUS_SYSTEM;
    }
    enum status status = system_sync(descriptor);
    system_close(descriptor);
    return status;
}

/* 0 is for what never had a name, even after the last number there is. */
static uint64_t
generation_after(uint64_t generation)
{
    return generation == UINT64_MAX ? 1 : generation + 1;
}

/* STATUS_STALE, with what was found in the header, unless it is expected. */
static enum status
check_expected(uint64_t generation, const struct publish_options *options,
               struct snapshot_header *header)
{
    if (!options->has_expected || generation == options->expected) {
        return STATUS_OK;
    }
    header->generation = generation;
    return STATUS_STALE;
}

enum status
holder_replace(struct holder *holder, struct draft *draft, const char *path,
               const struct publish_options *options,
               struct snapshot_header *header)
{
    char temporary[TEMPORARY_PATH_SIZE];
    enum status status = check_expected(holder->generation, options, header);
    if (status == STATUS_OK && options->has_expected && options->expected == 0)
    {
        // The name was expected to be free, and is not, if by no snapshot.
        return STATUS_NAME_TAKEN;
    }
    if (status != STATUS_OK) {
        return status;
    }
    status =
        stamp(draft, generation_after(holder->generation), options, header);
    if (status != STATUS_OK) {
        return status;
    }
    status = link_temporary(draft, path, options, temporary);
    if (status != STATUS_OK) {
        return status;
    }
    holder_mark_superseded(holder);
    if (rename(temporary, path) < 0) {
        status = system_failure();
        system_unlink(temporary);
        return status;
    }
    holder_wake_readers(holder);
    return options->is_durable ? sync_directory(path) : STATUS_OK;
}

/* The name was free a moment ago. */
static enum status
take_free_name(struct draft *draft, const char *path,
               const struct publish_options *options,
               struct snapshot_header *header)
{
    enum status status = check_expected(0, options, header);
    if (status == STATUS_OK) {
        status = stamp(draft, 1, options, header);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (!link_draft(draft, path)) {
        return errno == EEXIST ? STATUS_NAME_TAKEN : system_failure();
    }
    return options->is_durable ? sync_directory(path) : STATUS_OK;
}

enum status
draft_publish(struct draft *draft, const char *path,
              const struct publish_options *options,
              struct snapshot_header *header)
{
    // The long wait for the disk comes before the lock; under it only the
    // header is new.
    enum status synced =
        options->is_durable ? system_sync(draft->file.descriptor) : STATUS_OK;
    if (synced != STATUS_OK) {
        return synced;
    }
    if (!options->force && !options->has_expected) {
        return take_free_name(draft, path, options, header);
    }
    struct attempts attempts = attempts_begin();
    for (;;) {
        struct holder holder;
        enum status status = holder_lock_until(&holder, path, &attempts);
        if (status == STATUS_OK) {
            status = holder_replace(&holder, draft, path, options, header);
            holder_close(&holder);
            return status;
        }
        if (status != STATUS_NAME_ABSENT) {
            return status;
        }
        status = take_free_name(draft, path, options, header);
        if (status != STATUS_NAME_TAKEN) {
            return status;
        }
        // Another publisher was faster: now there is a holder.
        if (!attempts_wait(&attempts)) {
            return STATUS_LOCK_TIMEOUT;
        }
    }
}

enum status
segment_remove(const char *path)
{
    struct holder holder;
    char temporary[TEMPORARY_PATH_SIZE];
    enum status status = holder_lock(&holder, path);
    if (status != STATUS_OK) {
        return status;
    }
    if (system_temporary_path(path, "~", temporary)) {
        unlink(temporary);
    }
    holder_mark_superseded(&holder);
    if (unlink(path) < 0) {
        status = STATUS_SYSTEM;
    }
    else {
        holder_wake_readers(&holder);
    }
    holder_close(&holder);
    return status;
}

/* Fills the path of the map whose temporary file that is, and the temporary
 * file's own; false for every other file. */
static bool
paths_of_leftover(const char *file_name, char path[SEGMENT_PATH_SIZE],
                  char temporary[TEMPORARY_PATH_SIZE])
{
    unsigned char name[256];
    char owner[256];
    size_t size;
    const char *mark = strrchr(file_name, '~');
    if (mark == NULL || (size_t)(mark - file_name) >= sizeof(owner)) {
        return false;
    }
    size_t digits = strspn(mark + 1, "0123456789abcdef");
    if (mark[1 + digits] != '\0' || (digits != 0 && digits != 16)) {
        return false;
    }
    memcpy(owner, file_name, (size_t)(mark - file_name));
    owner[mark - file_name] = '\0';
    if (!segment_decode_name(owner, name, &size)) {
        return false;
    }
    // What was decoded can be encoded, and every name has room for a mark.
    (void)segment_path((struct slice){name, size}, path);
    (void)system_temporary_path(path, mark, temporary);
    return true;
}

enum status
segment_clear_leftover(const char *file_name, bool *is_cleared)
{
    char path[SEGMENT_PATH_SIZE], temporary[TEMPORARY_PATH_SIZE];
    struct holder holder;
    bool is_ours = false, is_busy = false;
    *is_cleared = false;
    if (!paths_of_leftover(file_name, path, temporary)) {
        return STATUS_OK;
    }
    // A holder that is not ours is locked, but neither written nor replaced.
    enum status status = holder_open(&holder, path, &is_ours);
    if (status == STATUS_OK) {
        status = holder_set_lock(&holder, path, &is_busy);
    }
    // Without a holder no publisher has a temporary name.
    if (status == STATUS_OK || status == STATUS_NAME_ABSENT) {
        // The name's next publisher may have been faster.
        *is_cleared = unlink(temporary) == 0 || errno == ENOENT;
        status = *is_cleared ? STATUS_OK : STATUS_SYSTEM;
    }
    holder_close(&holder);
    return is_busy ? STATUS_OK : status;
}
