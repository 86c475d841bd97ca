/* core/segment/draft.c
 *
 * A file that is being filled and has no name yet.
 *
 *     open unnamed -> reserve every page -> mode -> write ... -> (publish)
 *
 * The memory of a file without a name is freed with its last descriptor, so a
 * publisher that is killed leaves nothing.
 *
 * Not here: how a draft gets its name; see publish.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "core/segment/fork.h"
#include "core/segment/leftover.h"
#include "core/segment/segment.h"
#include "core/segment/system.h"

/* ---- the draft ---------------------------------------------------------- */

/* For file systems that cannot reserve: what is written is there. */
static enum status
write_zeros(struct draft *draft, uint64_t at, uint64_t size)
{
    static const unsigned char zeros[65536];
    enum status status = STATUS_OK;
    while (status == STATUS_OK && size > 0) {
        size_t piece = size < sizeof(zeros) ? (size_t)size : sizeof(zeros);
        status = draft_write(draft, at, zeros, piece);
        at += piece;
        size -= piece;
    }
    return status;
}

/* Reserves all pages now, so that a full file system is an answer here and
 * not a signal later, and no hole is left for a reader to fall into. A signal
 * that arrives undoes one step, not all of them, so this ends however many
 * signals a timer sends. */
static enum status
reserve(struct draft *draft, uint64_t size, const struct interrupt *interrupt)
{
    const int descriptor = draft->file.descriptor;
    const uint64_t step = UINT64_C(1) << 20;
    if (size > INT64_MAX) {
        errno = EFBIG;
        return STATUS_SYSTEM;
    }
    // What cannot fit is not tried: for a moment it would leave no space for
    // all others.
    enum status space = system_check_space(descriptor, size, interrupt);
    if (space != STATUS_OK) {
        return space;
    }
    for (uint64_t at = 0; at < size; at += step) {
        if (interrupt_is_due(interrupt)) {
            return STATUS_INTERRUPTED;
        }
        uint64_t left = size - at;
        uint64_t piece = left < step ? left : step;
        bool is_allocated;
        enum status status =
            system_allocate(descriptor, at, piece, interrupt, &is_allocated);
        if (status == STATUS_OK && !is_allocated) {
            status = write_zeros(draft, at, piece);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* What became of an open() that was to make a file in the directory. */
static enum status
draft_failure(const char *directory)
{
    if (strcmp(directory, system_name_directory()) != 0) {
        return system_failure();
    }
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
        return STATUS_SHM_ABSENT;
    case EACCES:
    case EPERM:
    case EROFS:
        return STATUS_SHM_READ_ONLY;
    default:
        return system_failure();
    }
}

bool
draft_lock(struct draft *draft)
{
    bool is_busy;
    draft->is_locked =
        system_lock(draft->file.descriptor, LOCK_PUBLISH, &is_busy)
        == STATUS_OK;
    return !is_busy;
}

void
draft_unlock(struct draft *draft)
{
    if (draft->is_locked) {
        system_unlock(draft->file.descriptor);
        draft->is_locked = false;
    }
}

/* Makes a file under a temporary name and locks it. `is_lost` says that
 * another process took it for a leftover before it was locked. */
static enum status
open_locked(struct draft *draft, const char *path, const char *directory,
            bool *is_lost)
{
    struct stat file;
    *is_lost = false;
    enum status status = system_random_path(path, draft->temporary);
    if (status == STATUS_OK
        && !fork_closed_open(&draft->file, draft->temporary,
                             O_CREAT | O_EXCL | O_RDWR, draft->interrupt))
    {
        status = draft_failure(directory);
    }
    if (status == STATUS_OK) {
        *is_lost = !draft_lock(draft);
    }
    // Rarely tested: it was cleared at this very moment.
    if (status == STATUS_OK && !*is_lost
        && system_stat(draft->file.descriptor, &file, NULL)
        && file.st_nlink == 0)
    {
        *is_lost = true;
    }
    if (*is_lost) {
        draft_unlock(draft);
        fork_closed_close_last(&draft->file);
    }
    return status;
}

/* Some file systems say of every file that it is locked. */
enum { DRAFT_ATTEMPTS = 16 };

/* For file systems without unnamed files, and where /proc is not mounted. */
static enum status
open_named_draft(struct draft *draft, const char *path, const char *directory)
{
    draft->temporary = memory_allocate(TEMPORARY_PATH_SIZE);
    if (draft->temporary == NULL) {
        return STATUS_NO_MEMORY;
    }
    // Drafts of killed publishers are nowhere else cleared.
    enum status status = leftover_clear_digits(path, draft->interrupt);
    bool is_lost = status == STATUS_OK;
    int attempts_left = DRAFT_ATTEMPTS;
    while (is_lost && attempts_left-- > 0) {
        status = open_locked(draft, path, directory, &is_lost);
    }
    if (is_lost) {
        errno = EAGAIN;
        status = STATUS_SYSTEM;
    }
    if (status != STATUS_OK) {
        memory_release(draft->temporary);
        draft->temporary = NULL;
    }
    return status;
}

static enum status
open_draft(struct draft *draft, const char *path)
{
    char directory[SEGMENT_DIRECTORY_SIZE];
    if (!system_directory(path, directory)) {
        return STATUS_SYSTEM;
    }
    // Untested: on Linux there is nothing to prepare.
    if (strcmp(directory, system_name_directory()) == 0
        && !system_prepare_names())
    {
        return draft_failure(directory);
    }
    // Without /proc, what has no name never gets one.
    if (!system_can_link()) {
        return open_named_draft(draft, path, directory);
    }
    if (fork_closed_open(&draft->file, directory,
                         system_unnamed_flag() | O_RDWR, draft->interrupt))
    {
        return STATUS_OK;
    }
    if (errno == EOPNOTSUPP || errno == EISDIR) {
        return open_named_draft(draft, path, directory);
    }
    return draft_failure(directory);
}

/* A publisher that saves the path without the mark clears this one. */
static bool
is_temporary(const char *path)
{
    size_t size = strlen(path), mark = sizeof(SAVED_MARK) - 1;
    return size >= mark && strcmp(path + size - mark, SAVED_MARK) == 0;
}

/* The umask had its say in the mode of open(), not in that of fchmod(). */
static enum status
set_mode(const struct draft *draft, unsigned mode)
{
    int result;
    do {
        result = fchmod(draft->file.descriptor, (mode_t)mode);
    } while (result < 0 && system_repeats(draft->interrupt));
    return result == 0 ? STATUS_OK : system_failure();
}

enum status
draft_create(struct draft *draft, const char *path, uint64_t size,
             const struct publish_options *options)
{
    *draft = DRAFT_EMPTY;
    draft->interrupt = &options->lock.interrupt;
    if (options->is_durable && is_temporary(path)) {
        return STATUS_PATH_RESERVED;
    }
    enum status status = open_draft(draft, path);
    if (status != STATUS_OK) {
        return status;
    }
    status = reserve(draft, size, &options->lock.interrupt);
    if (status == STATUS_OK) {
        status = set_mode(draft, options->mode);
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
    return system_write(draft->file.descriptor, offset, bytes, size,
                        draft->interrupt);
}

enum status
draft_append(struct draft *draft, uint64_t offset, const void *bytes,
             size_t size)
{
    bool is_allocated;
    enum status status = system_allocate(draft->file.descriptor, offset, size,
                                         draft->interrupt, &is_allocated);
    return status == STATUS_OK ? draft_write(draft, offset, bytes, size)
                               : status;
}

enum status
draft_map(const struct draft *draft, uint64_t size, struct segment *segment)
{
    void *bytes = fork_closed_map_whole(&draft->file, size);
    if (bytes == NULL) {
        return STATUS_SYSTEM;
    }
    *segment = (struct segment){
        .bytes = bytes,
        .size = size,
        .generation = fork_list_generation(),
    };
    return STATUS_OK;
}

void
draft_use_huge_pages(struct draft *draft, uint64_t size)
{
    // A copy of the mapping in a forked child would keep the draft's memory.
    void *bytes = fork_closed_map_whole(&draft->file, size);
    if (bytes != NULL) {
        system_use_huge_pages(bytes, size);
        munmap(bytes, size);
    }
}

void
draft_close(struct draft *draft)
{
    // In a forked child the file is closed, and its name is the parent's.
    bool is_ours = draft->file.descriptor >= 0;
    if (is_ours) {
        // A copy of the descriptor, on its way through a child's exec(),
        // would keep the lock.
        draft_unlock(draft);
    }
    fork_closed_close_last(&draft->file);
    if (draft->temporary != NULL) {
        if (is_ours) {
            system_unlink(draft->temporary);
        }
        memory_release(draft->temporary);
        draft->temporary = NULL;
    }
}
