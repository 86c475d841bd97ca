/* core/segment/system.h
 *
 * What the files of core/segment share; nobody else includes it.
 */
#ifndef SHAREDMAP_CORE_SEGMENT_SYSTEM_H
#define SHAREDMAP_CORE_SEGMENT_SYSTEM_H

#include <stdbool.h>

#include "core/base/status.h"
#include "core/segment/segment.h"
#include "core/snapshot/format.h"

/* Where names live. */
#define SEGMENT_NAME_DIRECTORY "/dev/shm"

enum {
    SEGMENT_DIRECTORY_SIZE = 4096,
    // A path, what marks it as temporary, 16 digits, a NUL.
    TEMPORARY_PATH_SIZE = SEGMENT_DIRECTORY_SIZE + 16 + 16 + 1,
};

/* Fills the name that a file name stands for; false for one that no name
 * would ever get, a temporary one among others. */
bool
system_decode_name(const char *file_name, unsigned char name[256],
                   size_t *size);

/* Whoever else may write to a file can cut it short while it is mapped. */
bool
system_others_may_write(unsigned mode);

/* Opens a file that a forked child will not have; see fork.c. False
 * with errno. The struct must not move while the file is open. */
bool
unforked_open(struct unforked *file, const char *path, int flags);

/* Maps an open file; a forked child has no copy of the mapping, which would
 * keep the file, and so its lock, as a descriptor does. NULL with errno. */
void *
unforked_map(const struct unforked *file, size_t size, int protection);

/* Leaves errno alone. No fork happens meanwhile. */
void
unforked_close(struct unforked *file);

/* The same for who may be the last to have a large file: two calls more, and
 * forks do not wait for its memory to be freed. Accepts one that is not open,
 * like what a child has of its parent's. */
void
unforked_close_last(struct unforked *file);

/* STATUS_NO_SPACE or STATUS_SYSTEM, as errno says. */
enum status
system_failure(void);

/* What became of an open() that failed, as errno says: STATUS_NAME_ABSENT,
 * STATUS_NOT_REGULAR, STATUS_SYSTEM. */
enum status
system_open_failure(void);

/* Fills the descriptor, which the caller owns; neither creates nor blocks, and
 * follows no symbolic link unless the flags lack O_NOFOLLOW.
 * STATUS_NAME_ABSENT, STATUS_NOT_REGULAR, STATUS_SYSTEM. */
enum status
system_open(const char *path, int flags, int *descriptor);

/* Maps a file to read, aligned for huge pages if it is large enough for one.
 * MAP_FAILED with errno. */
void *
system_map(int descriptor, uint64_t size);

/* Keeps a mapping that was made this moment, while forks are held off, from
 * children; where that is refused it is unmapped. MAP_FAILED, like what is
 * given, with errno. */
void *
system_hide(void *bytes, size_t size);

/* Leaves errno alone. */
void
system_close(int descriptor);

/* Leaves errno alone. */
void
system_unlink(const char *path);

/* What the temporary name of a saved file ends in; in /dev/shm a tilde does,
 * which is part of no map's name. */
#define SAVED_MARK ".sharedmap~"

/* Fills the path with a mark at the end of its name. False when the end of the
 * name had to give way, because no name can be so long: then what is filled is
 * not this path's alone. */
bool
system_temporary_path(const char *path, const char *mark,
                      char temporary[TEMPORARY_PATH_SIZE]);

/* Fills a temporary name for the path that nobody can guess. STATUS_SYSTEM. */
enum status
system_random_path(const char *path, char temporary[TEMPORARY_PATH_SIZE]);

/* Gives the draft a path, which must be free; false with errno of linkat(). */
bool
system_link_draft(const struct draft *draft, const char *path);

/* Puts what was written on the disk. STATUS_SYSTEM. */
enum status
system_sync(int descriptor);

/* Wakes who sleeps on the word, in whatever process. */
void
system_wake(_Atomic uint32_t *word);

/* Fills the header, unchecked. STATUS_TRUNCATED, STATUS_SYSTEM. */
enum status
system_read_header(int descriptor, struct snapshot_header *header);

/* Fills the directory part of a path; false with errno when that path is
 * longer than any path can be. */
bool
system_directory(const char *path, char directory[SEGMENT_DIRECTORY_SIZE]);

#endif
