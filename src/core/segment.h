/* core/segment.h
 *
 * A segment is a named, immutable file that processes map to read: in
 * /dev/shm for maps with a name, anywhere for maps that were saved. This is
 * the only floor that calls the system.
 *
 * Publishing takes a draft, a file that has no name yet. Killed before the
 * last step it leaves nothing; the last step is one link or one rename, so
 * nobody ever opens half a snapshot. docs/PROTOCOL.md has the whole story.
 *
 *     draft_create -> draft_write ... -> draft_publish -> draft_close
 *
 * What is opened is closed by the same caller; every close accepts what was
 * set to the empty state ({0} is not: use the EMPTY macros). Functions that
 * answer STATUS_SYSTEM or STATUS_NO_SPACE leave errno set.
 */
#ifndef SHAREDMAP_CORE_SEGMENT_H
#define SHAREDMAP_CORE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/slice.h"
#include "core/snapshot_format.h"
#include "core/status.h"

/* ---- names -------------------------------------------------------------- */

/* Room for the longest path that a name can have, with its NUL. */
enum { SEGMENT_PATH_SIZE = 256 };

/* Fills `path` with where the map of this name lives: its bytes behind a
 * prefix, those that cannot be part of a file name percent-encoded.
 * STATUS_NAME_EMPTY, STATUS_NAME_HAS_NUL, STATUS_NAME_TOO_LONG. */
enum status
segment_path(struct slice name, char path[SEGMENT_PATH_SIZE]);

/* The names that are taken at the moment, one after the other. */
struct segment_names;

/* STATUS_NO_MEMORY, STATUS_SYSTEM. */
enum status
segment_names_open(struct segment_names **names);

/* Fills the next name, borrowed until the next call; false when there is none
 * left. */
bool
segment_names_next(struct segment_names *names, struct slice *name);

/* Accepts NULL. */
void
segment_names_close(struct segment_names *names);

/* ---- reading ------------------------------------------------------------ */

struct segment {
    const unsigned char *bytes;  // owned mapping; NULL when closed
    size_t size;
    uint64_t device;  // with inode: which file this is
    uint64_t inode;
};

#define SEGMENT_EMPTY ((struct segment){.bytes = NULL})

struct segment_rules {
    bool follows_links;  // symbolic ones: for paths, never for names
    bool has_owner;      // believe this owner too, besides ourselves and root
    uint32_t owner;
};

/* Opens and maps what the path names. STATUS_NAME_ABSENT, STATUS_NOT_REGULAR,
 * STATUS_FOREIGN_OWNER, STATUS_OTHERS_MAY_WRITE, STATUS_SYSTEM, and what
 * snapshot_header_check() says of its first bytes. O(1) in the size. */
enum status
segment_open(struct segment *segment, const char *path,
             struct segment_rules rules);

void
segment_close(struct segment *segment);

/* ---- publishing --------------------------------------------------------- */

struct draft {
    int descriptor;   // owned; -1 when closed
    char *temporary;  // owned; the path it has meanwhile, NULL without one
    struct draft *next;
};

#define DRAFT_EMPTY ((struct draft){.descriptor = -1})

struct draft_terms {
    unsigned mode;    // permission bits; the umask has no say
    bool force;       // replace whoever holds the name
    bool is_durable;  // on the disk before anybody can open it
};

/* Makes a nameless file of `size` bytes, all of them really there, in the
 * directory of `path`. Where the file system knows no nameless files it has a
 * temporary name, which only a kill leaves behind. STATUS_NO_SPACE,
 * STATUS_NO_MEMORY, STATUS_SYSTEM. The draft must not move while it is open.
 */
enum status
draft_create(struct draft *draft, const char *path, uint64_t size,
             const struct draft_terms *terms);

/* STATUS_NO_SPACE, STATUS_SYSTEM. */
enum status
draft_write(struct draft *draft, uint64_t offset, const void *bytes,
            size_t size);

/* Gives the draft the name: under `force` in place of the present holder,
 * whose readers learn that they are superseded, otherwise only if the name is
 * free. Fills the header's generation and writes it, sealed, into the draft.
 * On failure whoever holds the name goes on holding it.
 *
 * STATUS_NAME_TAKEN, STATUS_NOT_REGULAR, STATUS_FOREIGN_OWNER,
 * STATUS_LOCK_TIMEOUT after 5 seconds, STATUS_SYSTEM. */
enum status
draft_publish(struct draft *draft, const char *path,
              const struct draft_terms *terms, struct snapshot_header *header);

/* Whether it was published or not. */
void
draft_close(struct draft *draft);

/* Whether anything at all has the name, believed or not. */
bool
segment_exists(const char *path);

/* Frees the name. Readers keep what they have and learn that it is
 * superseded. STATUS_NAME_ABSENT and the failures of draft_publish(). */
enum status
segment_remove(const char *path);

/* ---- odds and ends that only the system knows --------------------------- */

/* Bytes that the path's file system has left; 0 when it does not say. */
uint64_t
segment_space(const char *path);

/* Fills 16 bytes that nobody had before. STATUS_SYSTEM. */
enum status
segment_unique_id(unsigned char id[16]);

#endif
