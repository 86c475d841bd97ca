/* core/segment/segment.h
 *
 * A segment is a named, immutable file that processes map to read: in /dev/shm
 * for maps with a name (elsewhere in a directory of the user), anywhere for
 * maps that were saved. This is the only floor that calls the system.
 *
 * Publishing takes a draft, a file that has no name yet. Killed before the
 * last step it leaves nothing; the last step is one link or one rename, so
 * no reader ever opens half a snapshot. docs/PROTOCOL.md has the details.
 *
 *     draft_create -> draft_write ... -> draft_publish -> draft_close
 *
 * What is opened is closed by the same caller; every close accepts what was
 * set to the empty state ({0} is not: use the EMPTY macros). Functions that
 * answer STATUS_SYSTEM or STATUS_NO_SPACE leave errno set.
 */
#ifndef SHAREDMAP_CORE_SEGMENT_SEGMENT_H
#define SHAREDMAP_CORE_SEGMENT_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/interrupt.h"
#include "core/base/slice.h"
#include "core/base/status.h"
#include "core/segment/fork_list.h"
#include "core/snapshot/format.h"
#include "core/snapshot/version_update.h"

/* ---- names -------------------------------------------------------------- */

/* Room for the longest path that a name can have, with its NUL. */
enum { SEGMENT_PATH_SIZE = 512 };

/* Whose calls of the system it makes: "linux", or "portable" for those that
 * every POSIX system has. */
const char *
segment_platform(void);

/* The directory of maps with a name. */
const char *
segment_directory(void);

/* What to do when it is full, or when it is absent. */
const char *
segment_advice(bool is_full);

/* Fills `path` with where the map of this name lives: its bytes behind a
 * prefix, those that cannot be part of a file name percent-encoded.
 * STATUS_NAME_EMPTY, STATUS_NAME_HAS_NUL, STATUS_NAME_TOO_LONG. */
enum status
segment_path(struct slice name, char path[SEGMENT_PATH_SIZE]);

/* Fills the name that a file name stands for; false for one that no name
 * would ever get, a temporary one among others. */
bool
segment_decode_name(const char *file_name, unsigned char name[256],
                    size_t *size);

/* The names that are taken at the moment, one after the other. */
struct segment_names;

/* STATUS_NO_MEMORY, STATUS_SYSTEM. */
enum status
segment_names_open(struct segment_names **names);

/* Fills the next name, borrowed until the next call; one without bytes when
 * there is none left. STATUS_SYSTEM. */
enum status
segment_names_next(struct segment_names *names, struct slice *name);

/* Accepts NULL. */
void
segment_names_close(struct segment_names *names);

/* ---- reading ------------------------------------------------------------ */

struct mapping;

struct segment {
    const unsigned char *bytes;  // in a mapping; NULL when closed
    size_t size;
    uint64_t device;  // with inode: which file this is
    uint64_t inode;
    struct mapping *mapping;  // a counted reference; NULL: it is not shared
    uint64_t generation;      // of forks: in which process it was opened
    uint32_t head;            // which version of the file this is
    bool is_kept;             // a forked child has it, too
};

#define SEGMENT_EMPTY ((struct segment){.bytes = NULL})

struct open_options {
    bool follows_links;  // symbolic ones: for paths, never for names
    bool has_owner;      // believe this owner too, besides ourselves and root
    uint32_t owner;
};

/* Opens and maps what the path names, as far as deltas can go; all segments of one file in the process
 * share one mapping, and none has a descriptor. STATUS_NAME_ABSENT,
 * STATUS_NOT_REGULAR, STATUS_FOREIGN_OWNER, STATUS_UNMAPPED_OWNER,
 * STATUS_OTHERS_MAY_WRITE, STATUS_NO_MEMORY, STATUS_SYSTEM, and what
 * snapshot_header_check() says of its first bytes. With a segment that is
 * `known`, STATUS_UNCHANGED if the path still leads to it, and to the same
 * version. STATUS_INTERRUPTED when a signal interrupted a call of the system:
 * open it again, unless the signal says otherwise. O(1) in the size. A child
 * that is forked does not have it, until segment_keep(). */
enum status
segment_open(struct segment *segment, const char *path,
             struct open_options options, const struct segment *known);

/* From now on a forked child has it, too: call it when the segment belongs to
 * something that the child has and can close it by. Not for what holder_map()
 * fills. STATUS_SYSTEM in a child that was forked since it was opened. */
enum status
segment_keep(struct segment *segment);

/* Fills the newest version of the file that `known` is a version of, in the
 * same mapping. STATUS_UNCHANGED, also when the name is about to lead to
 * another file: then call segment_open(). No system call. */
enum status
segment_advance(struct segment *segment, const struct segment *known);

void
segment_close(struct segment *segment);

/* ---- following ---------------------------------------------------------- */

/* Whether the file has a newer version, or the name has, or is about to get,
 * another file, or nothing any more: a hint to advance, or to open it again.
 * One load; no system call. */
bool
segment_is_superseded(const struct segment *segment);

/* Whether the name leads to another file, or will, or to nothing. One load. */
bool
segment_is_marked(const struct segment *segment);

/* Which version of the file is the newest. One load. */
uint32_t
segment_load_head(const struct segment *segment);

/* What the path leads to, compared with a segment: STATUS_OK if it is another
 * file or version, STATUS_UNCHANGED, STATUS_NAME_ABSENT, STATUS_SYSTEM; and
 * like segment_open() STATUS_INTERRUPTED. */
enum status
segment_check_current(const struct segment *segment, const char *path,
                      struct open_options options);

enum segment_wake { WAKE_SUPERSEDED, WAKE_TIMEOUT, WAKE_SIGNAL };

/* Sleeps until the segment is superseded, for so many nanoseconds at most, or
 * until a signal arrives. The path is the one that it was opened by. A publisher that is killed at the wrong moment wakes
 * no reader, so check the name from time to time. */
enum segment_wake
segment_wait(const struct segment *segment, const char *path,
             int64_t nanoseconds);

/* Sleeps without a segment to wait for; false if a signal arrived. */
bool
segment_pause(int64_t nanoseconds);

/* A descriptor that becomes readable when something happens to a name. The
 * caller owns it and closes it by segment_watch_close(). STATUS_SYSTEM. */
enum status
segment_watch_open(int *descriptor);

/* What has happened since the last time, without waiting: */
struct segment_watch {
    size_t size;  // of what was read
    size_t at;
    unsigned char name[256];
    _Alignas(8) unsigned char events[4096];
};

/* Begins with one read; false when there is nothing to read any more. */
bool
segment_watch_read(struct segment_watch *watch, int descriptor);

/* Fills the next name to which something happened, borrowed until the next
 * call, and an empty one when so much happened that names were dropped: check
 * all of them. False when there is none left in what was read. */
bool
segment_watch_next(struct segment_watch *watch, struct slice *name);

void
segment_watch_close(int descriptor);

/* A clock that never goes back, in nanoseconds. */
int64_t
segment_clock(void);

/* ---- publishing --------------------------------------------------------- */

/* An open file that a forked child closes; part of others. */
struct fork_closed {
    struct fork_listener listener;  // first
    int descriptor;                 // owned; -1 when closed
    bool is_closing;                // its number is no longer ours
};

struct draft {
    struct fork_closed file;
    char *temporary;  // owned; the path it has meanwhile, NULL without one
    const struct interrupt *interrupt;  // borrowed
    bool is_locked;                     // no leftover, whatever its name
};

#define DRAFT_EMPTY ((struct draft){.file.descriptor = -1})

/* How a publisher waits for the lock of a name; instead of a pointer to one,
 * NULL means five seconds, whatever happens. */
struct lock_options {
    int64_t timeout;             // nanoseconds; 0: 5 seconds
    struct interrupt interrupt;  // ends the wait, and any longer work
};

/* The version that is to be replaced or changed, and no other. All zero: any. */
struct expectation {
    bool has_generation;  // 0 expects the name to be free
    bool has_id;
    uint64_t generation;
    unsigned char id[16];
};

static inline bool
expectation_is_any(const struct expectation *expected)
{
    return !expected->has_generation && !expected->has_id;
}

struct publish_options {
    struct lock_options lock;
    unsigned mode;     // permission bits; the umask has no say
    bool huge_pages;   // gather the pages into huge ones, if the system can
    bool force;        // replace the holder of the name
    bool is_durable;   // a file: on the disk before it can be opened
    bool *is_written;  // filled, unless NULL: the entries are not read again
    struct expectation expected;  // implies force
};

/* Makes an unnamed file of `size` bytes, all of them allocated, in the
 * directory of `path`. Where the file system has no unnamed files it has a
 * temporary name, which only a kill leaves behind. STATUS_NO_SPACE,
 * STATUS_NO_MEMORY, STATUS_INTERRUPTED, STATUS_SYSTEM; STATUS_PATH_RESERVED
 * where a draft that is to be durable would be taken for another's leftover.
 * The draft must not move while it is open, and borrows the interrupt of the
 * options. */
enum status
draft_create(struct draft *draft, const char *path, uint64_t size,
             const struct publish_options *options);

/* STATUS_NO_SPACE, STATUS_INTERRUPTED, STATUS_SYSTEM. */
enum status
draft_write(struct draft *draft, uint64_t offset, const void *bytes,
            size_t size);

/* Writes behind what the draft was made for. STATUS_NO_SPACE, STATUS_SYSTEM. */
enum status
draft_append(struct draft *draft, uint64_t offset, const void *bytes,
             size_t size);

/* What was written of the draft, to read; as holder_map() does. */
enum status
draft_map(const struct draft *draft, uint64_t size, struct segment *segment);

/* Asks the system to keep what was written in huge pages, for every reader
 * that maps it. A system that cannot leaves everything as it is. Takes time in
 * the order of writing. */
void
draft_use_huge_pages(struct draft *draft, uint64_t size);

/* Gives the draft the name: under `force` instead of the present holder,
 * whose readers learn that they are superseded, otherwise only if the name is
 * free. Fills the header's generation and writes it, sealed, into the draft.
 * On failure the holder of the name stays.
 *
 * STATUS_NAME_TAKEN, STATUS_NOT_REGULAR, STATUS_FOREIGN_OWNER,
 * STATUS_LOCK_TIMEOUT, STATUS_INTERRUPTED, STATUS_NO_SPACE, STATUS_SYSTEM;
 * STATUS_STALE with the generation that was found in the header. Only when a
 * durable draft has its name and the directory cannot be synced, it is a
 * failure and published: STATUS_SYSTEM, also when a signal was the reason. */
enum status
draft_publish(struct draft *draft, const char *path,
              const struct publish_options *options,
              struct snapshot_header *header);

/* Locks it, so that it is not cleared when it has a temporary name; false if
 * another process is about to clear it. Where the file system has no locks,
 * nothing is ever cleared. Accepts a draft that is locked. */
bool
draft_lock(struct draft *draft);

/* Accepts one that is not locked. */
void
draft_unlock(struct draft *draft);

/* Whether it was published or not. */
void
draft_close(struct draft *draft);

/* STATUS_NAME_TAKEN if anything at all has the name, believed or not; STATUS_OK
 * if nothing has it or the system does not say; STATUS_INTERRUPTED. */
enum status
segment_check_free(const char *path, const struct interrupt *interrupt);

/* Frees the name. Readers keep what they have and learn that it is
 * superseded. STATUS_NAME_ABSENT and the failures of draft_publish(). */
enum status
segment_remove(const char *path, const struct lock_options *options);

/* Removes a temporary file of a map that a killed publisher left in the
 * directory of names, under the lock of the file and that of the name, for
 * which it does not wait. `is_cleared` is false while the file is in use or
 * another process publishes under the name, and for every file that is not a
 * temporary one of a map. STATUS_NOT_REGULAR, STATUS_SYSTEM. */
enum status
segment_clear_leftover(const char *file_name, bool *is_cleared);

/* ---- publishing what depends on the present holder ---------------------- */

/* The file that a name leads to, locked: no other publisher can replace it. */
struct holder {
    struct fork_closed file;
    uint64_t size;
    uint64_t device;
    uint64_t inode;
    unsigned mode;
    uint64_t generation;  // of the newest version; 0: it is not a snapshot
    unsigned char unique_id[16];
    uint32_t head;        // the newest version; not of a file on a disk
    uint64_t total_size;  // of the base
    void *header;         // owned mapping; NULL if it has no readers
    bool is_read_only;    // the mapping: what is stored there is written
    const struct interrupt *interrupt;  // borrowed, of the lock's options
};

#define HOLDER_EMPTY ((struct holder){.file.descriptor = -1})

/* Waits for the lock, which is given in the order of arrival, by and large.
 * STATUS_NAME_ABSENT and the failures of draft_publish().
 * The holder must not move while it is open. */
enum status
holder_lock(struct holder *holder, const char *path,
            const struct lock_options *options);

/* The holder's bytes to read: in the mapping that open segments of the file
 * share, if there is one. What segment_open() answers. */
enum status
holder_map(const struct holder *holder, const char *path,
           struct segment *segment);

/* Moves what holder_map() filled to the newest version of the file, in the same
 * mapping. What it answers of the deltas. */
enum status
holder_refresh(const struct holder *holder, struct segment *segment);

/* Closes what holder_map() filled, locked or not. It stays mapped for the next
 * time, while the process has an older file of the path open. */
void
holder_unmap(struct segment *segment, const char *path);

/* STATUS_STALE unless the holder has the expected version. */
enum status
holder_check_expected(const struct holder *holder,
                      const struct expectation *expected);

/* Whether the next version may be a delta behind the present one: it is what
 * `segment` is, and no publisher was killed while it replaced the file. */
bool
holder_can_append(const struct holder *holder, const struct segment *segment);

/* What the next version is called. STATUS_SYSTEM. */
enum status
holder_next_identity(const struct holder *holder,
                     struct version_identity *identity);

/* Writes the delta of an update behind the present version of what has that
 * path, and publishes it.
 * STATUS_NO_SPACE, STATUS_SYSTEM: the present one stays. */
enum status
holder_append(struct holder *holder, const struct version_update *update,
              const char *path);

/* ---- compacting --------------------------------------------------------- */

/* Opens what has the name, to compact it: `is_ours` is false while another
 * process does that, and for a file that should not be. Others publish
 * meanwhile. The holder has to be closed whatever the answer, and must not move
 * while it is open. STATUS_NAME_ABSENT, STATUS_SYSTEM. */
enum status
holder_begin_compaction(struct holder *compactor, const char *path,
                        bool *is_ours, const struct interrupt *interrupt);

/* Whether another process compacts what has the name. */
bool
holder_is_compacted(const struct holder *holder);

/* Gives the draft the name of a holder that is locked, with the versions that
 * it has: those of the base in the header, and of the delta in `newer`, if
 * there is one. Readers find nothing new in it. STATUS_NO_SPACE,
 * STATUS_SYSTEM: the holder stays. */
enum status
holder_compact(struct holder *holder, struct draft *draft, const char *path,
               struct snapshot_header *header,
               const struct version_update *newer);

/* Like draft_publish(), for a holder that is locked. */
enum status
holder_replace(struct holder *holder, struct draft *draft, const char *path,
               const struct publish_options *options,
               struct snapshot_header *header);

/* Clears what a killed publisher left under the temporary name of a map whose
 * holder is locked, as holder_replace() does. */
void
holder_clear_leftover(const char *path);

/* Gives the lock back. */
void
holder_close(struct holder *holder);

/* The same with three calls of the system less, for a holder that is mapped
 * besides: then closing it does not free the file's memory, for which a fork
 * would have to wait. */
void
holder_close_mapped(struct holder *holder);

/* ---- odds and ends that only the system knows --------------------------- */

/* What decides who may publish under a path or remove it, as it is now. */
struct segment_access {
    bool exists;  // something has the path; its owner and mode:
    uint32_t owner;
    unsigned mode;
    uint32_t user;       // this process, by its effective uid
    bool has_directory;  // and it could be reached; that one's:
    uint32_t directory_owner;
    unsigned directory_mode;
    bool may_write_directory;  // what the system says of this process
};

void
segment_inspect_access(const char *path, struct segment_access *access);

/* Bytes that the path's file system has left; 0 when it does not say. Leaves
 * errno alone. */
uint64_t
segment_space(const char *path);

/* Fills 16 random bytes. STATUS_SYSTEM. */
enum status
segment_unique_id(unsigned char id[16]);

#endif
