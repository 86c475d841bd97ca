/* core/segment/system.h
 *
 * The calls of the system as the files of core/segment share them. For those
 * files only; others use segment.h.
 */
#ifndef SHAREDMAP_CORE_SEGMENT_SYSTEM_H
#define SHAREDMAP_CORE_SEGMENT_SYSTEM_H

#include <stdbool.h>

#include "core/base/interrupt.h"
#include "core/base/status.h"
#include "core/segment/segment.h"
#include "core/segment/system_platform.h"
#include "core/snapshot/format.h"

enum {
    SEGMENT_DIRECTORY_SIZE = 4096,
    // A path, what marks it as temporary, 16 digits, a NUL.
    TEMPORARY_PATH_SIZE = SEGMENT_DIRECTORY_SIZE + 16 + 16 + 1,
};

/* Whether users besides the owner may write to a file, and so truncate it
 * while it is mapped. */
bool
system_others_may_write(unsigned mode);

/* Whether a call that failed is to be made again: a signal interrupted it, and
 * the interrupt is not due. Keeps errno. The interrupt may be NULL. */
bool
system_repeats(const struct interrupt *interrupt);

/* STATUS_NO_SPACE, STATUS_SYSTEM, or STATUS_INTERRUPTED where system_repeats()
 * did not want the call again, as errno says. */
enum status
system_failure(void);

/* What became of an open() that failed, as errno says: STATUS_NAME_ABSENT,
 * STATUS_NOT_REGULAR, STATUS_INTERRUPTED, STATUS_SYSTEM. */
enum status
system_open_failure(void);

/* The same for a path that is known: it may be a name's, STATUS_SHM_ABSENT
 * where there is no directory of names at all; or of a socket or a device,
 * STATUS_NOT_REGULAR. Keeps errno. */
enum status
system_name_failure(const char *path);

/* What became of a call on the directory of names that failed, as errno says:
 * STATUS_SHM_ABSENT, STATUS_SYSTEM. */
enum status
system_names_failure(void);

struct stat;

/* fstat() and lstat(), with errno and again after a signal. */
bool
system_stat(int descriptor, struct stat *file,
            const struct interrupt *interrupt);

bool
system_stat_path(const char *path, struct stat *file,
                 const struct interrupt *interrupt);

/* Keeps a mapping that was made this moment, while forks are held off, from
 * children; where that is refused it is unmapped. MAP_FAILED, like what is
 * given, with errno. */
void *
system_dont_fork(void *bytes, size_t size);

/* Reserves the pages of that part of the file, beyond its end if need be: a
 * full file system is an answer here. Where the file system cannot do that,
 * `is_allocated` is false, and writing allocates. STATUS_NO_SPACE,
 * STATUS_SYSTEM, STATUS_INTERRUPTED. */
enum status
system_allocate(int descriptor, uint64_t offset, uint64_t size,
                const struct interrupt *interrupt, bool *is_allocated);

/* Whether the file's file system has so many bytes left for us, as far as it
 * says. STATUS_NO_SPACE with errno, STATUS_INTERRUPTED. */
enum status
system_check_space(int descriptor, uint64_t size,
                   const struct interrupt *interrupt);

/* Writes all of the bytes at the offset. STATUS_NO_SPACE, STATUS_SYSTEM,
 * STATUS_INTERRUPTED. */
enum status
system_write(int descriptor, uint64_t offset, const void *bytes, size_t size,
             const struct interrupt *interrupt);

/* Leaves errno alone. */
void
system_close(int descriptor);

/* What is locked: publishing, or compacting, beside which others publish. */
enum lock_byte { LOCK_PUBLISH, LOCK_COMPACT };

/* One attempt to lock the open file for writing, without waiting; `is_busy`
 * says that another process or thread has a lock. STATUS_SYSTEM. */
enum status
system_lock(int descriptor, enum lock_byte byte, bool *is_busy);

/* Whether another process or thread has that lock. */
bool
system_is_locked(int descriptor, enum lock_byte byte);

/* Leaves errno alone. */
void
system_unlock(int descriptor);

/* Unlinks what is not wanted any more, if it is there, in spite of signals.
 * Leaves errno alone. */
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

/* Fills a temporary name for the path with random digits. STATUS_SYSTEM. */
enum status
system_random_path(const char *path, char temporary[TEMPORARY_PATH_SIZE]);

/* Puts what was written on the disk. STATUS_NO_SPACE, STATUS_SYSTEM,
 * STATUS_INTERRUPTED. */
enum status
system_sync(int descriptor, const struct interrupt *interrupt);

/* The time of day, in nanoseconds since 1970 UTC. */
uint64_t
system_time(void);

/* Fills all of the bytes from the offset. STATUS_TRUNCATED where the file ends
 * before, STATUS_SYSTEM, STATUS_INTERRUPTED. */
enum status
system_read(int descriptor, uint64_t offset, void *bytes, size_t size,
            const struct interrupt *interrupt);

/* Fills the header, unchecked. STATUS_SYSTEM, STATUS_INTERRUPTED, and for a
 * file that is shorter what snapshot_header_check_short() says of it. */
enum status
system_read_header(int descriptor, struct snapshot_header *header,
                   const struct interrupt *interrupt);

/* Fills the directory part of a path; false with errno when that path is
 * longer than any path can be. */
bool
system_directory(const char *path, char directory[SEGMENT_DIRECTORY_SIZE]);

#endif
