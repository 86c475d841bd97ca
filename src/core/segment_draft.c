/* core/segment_draft.c
 *
 * A file that is being filled and has no name yet.
 *
 *     open O_TMPFILE -> reserve every page -> mode -> write ... -> (publish)
 *
 * The memory of a file without a name is freed with its last descriptor, so a
 * publisher that is killed leaves nothing. A child that is forked meanwhile
 * has the descriptor too and would keep the memory for as long as it lives:
 * hence open drafts are listed, and the child closes them.
 *
 * The list, and what must not be cut in two by a fork in segment_publish.c,
 * is under one mutex that fork() waits for.
 *
 * Not here: how a draft gets its name; see segment_publish.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/memory.h"
#include "core/segment.h"
#include "core/segment_system.h"

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

void
system_lock_process(void)
{
    pthread_once(&fork_handlers_once, install_fork_handlers);
    pthread_mutex_lock(&process_mutex);
}

void
system_unlock_process(void)
{
    pthread_mutex_unlock(&process_mutex);
}

/* ---- the draft ---------------------------------------------------------- */

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
system_random_path(const char *path, char temporary[TEMPORARY_PATH_SIZE])
{
    unsigned char id[16];
    uint64_t digits;
    enum status status = segment_unique_id(id);
    if (status == STATUS_OK) {
        memcpy(&digits, id, sizeof(digits));
        snprintf(temporary, TEMPORARY_PATH_SIZE, "%s~%016" PRIx64, path,
                 digits);
    }
    return status;
}

/* For file systems that know no nameless files. */
static enum status
open_named_draft(struct draft *draft, const char *path)
{
    draft->temporary = memory_allocate(TEMPORARY_PATH_SIZE);
    if (draft->temporary == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = system_random_path(path, draft->temporary);
    if (status == STATUS_OK) {
        draft->descriptor = open(draft->temporary,
                                 O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
        status = draft->descriptor < 0 ? system_failure() : STATUS_OK;
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
    if (strlen(path) >= SEGMENT_DIRECTORY_SIZE
        || !system_directory(path, directory))
    {
        errno = ENAMETOOLONG;
        return STATUS_SYSTEM;
    }
    draft->descriptor = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (draft->descriptor >= 0) {
        return STATUS_OK;
    }
    if (errno == EOPNOTSUPP || errno == EISDIR) {
        return open_named_draft(draft, path);
    }
    return system_failure();
}

enum status
draft_create(struct draft *draft, const char *path, uint64_t size,
             const struct draft_terms *terms)
{
    *draft = DRAFT_EMPTY;
    system_lock_process();
    enum status status = open_draft(draft, path);
    if (status == STATUS_OK) {
        draft->next = open_drafts;
        open_drafts = draft;
    }
    system_unlock_process();
    if (status != STATUS_OK) {
        return status;
    }
    status = reserve(draft->descriptor, size);
    // The umask had its say in the mode of open(), not in that of fchmod().
    if (status == STATUS_OK
        && fchmod(draft->descriptor, (mode_t)terms->mode) < 0)
    {
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
    system_lock_process();
    struct draft **link = &open_drafts;
    while (*link != draft) {
        link = &(*link)->next;
    }
    *link = draft->next;
    system_close(draft->descriptor);
    system_unlock_process();
    if (draft->temporary != NULL) {
        system_unlink(draft->temporary);
        memory_release(draft->temporary);
    }
    *draft = DRAFT_EMPTY;
}

bool
system_link_draft(const struct draft *draft, const char *path)
{
    if (draft->temporary != NULL) {
        return link(draft->temporary, path) == 0;
    }
    char from[32];
    snprintf(from, sizeof(from), "/proc/self/fd/%d", draft->descriptor);
    return linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0;
}
