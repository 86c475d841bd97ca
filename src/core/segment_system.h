/* core/segment_system.h
 *
 * What the files of core/segment share; nobody else includes it.
 */
#ifndef SHAREDMAP_CORE_SEGMENT_SYSTEM_H
#define SHAREDMAP_CORE_SEGMENT_SYSTEM_H

#include <stdbool.h>

#include "core/segment.h"
#include "core/snapshot_format.h"
#include "core/status.h"

enum {
    SEGMENT_DIRECTORY_SIZE = 4096,
    // A path, a tilde, 16 digits, a NUL.
    TEMPORARY_PATH_SIZE = SEGMENT_DIRECTORY_SIZE + 1 + 16 + 1,
};

/* Held while a descriptor is open that a forked child must not have. Never
 * sleep holding it: fork() waits for it. */
void
system_lock_process(void);
void
system_unlock_process(void);

/* STATUS_NO_SPACE or STATUS_SYSTEM, as errno says. */
enum status
system_failure(void);

/* Fills the descriptor, which the caller owns; neither creates nor blocks, and
 * follows no symbolic link unless the flags lack O_NOFOLLOW.
 * STATUS_NAME_ABSENT, STATUS_NOT_REGULAR, STATUS_SYSTEM. */
enum status
system_open(const char *path, int flags, int *descriptor);

/* Leaves errno alone. */
void
system_close(int descriptor);

/* Leaves errno alone. */
void
system_unlink(const char *path);

/* Fills a temporary name for the path that nobody can guess. STATUS_SYSTEM. */
enum status
system_random_path(const char *path, char temporary[TEMPORARY_PATH_SIZE]);

/* Gives the draft a path, which must be free; false with errno of linkat(). */
bool
system_link_draft(const struct draft *draft, const char *path);

/* Fills the header, unchecked. STATUS_TRUNCATED, STATUS_SYSTEM. */
enum status
system_read_header(int descriptor, struct snapshot_header *header);

/* Fills the directory part of a path; false when it is too long. */
bool
system_directory(const char *path, char directory[SEGMENT_DIRECTORY_SIZE]);

#endif
