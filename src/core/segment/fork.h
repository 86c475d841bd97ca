/* core/segment/fork.h
 *
 * Open files that a forked child does not keep: fork-closed files.
 *
 * The struct, of segment.h, is embedded in a draft or a holder and owns the
 * descriptor. It must not move while the file is open.
 */
#ifndef SHAREDMAP_CORE_SEGMENT_FORK_H
#define SHAREDMAP_CORE_SEGMENT_FORK_H

#include <stdbool.h>
#include <stddef.h>

#include "core/segment/segment.h"

/* Opens a file that a forked child will not have; again after a signal, unless
 * the interrupt, which may be NULL, is due. False with errno. The struct must
 * not move while the file is open. */
bool
fork_closed_open(struct fork_closed *file, const char *path, int flags,
                 const struct interrupt *interrupt);

/* Maps an open file; a forked child has no copy of the mapping, which would
 * keep the file, and so its lock, as a descriptor does. NULL with errno. */
void *
fork_closed_map(const struct fork_closed *file, size_t size, int protection);

/* The same of a complete file, to read, aligned as system_map() does. */
void *
fork_closed_map_whole(const struct fork_closed *file, uint64_t size);

/* Leaves errno alone. A fork waits for it. */
void
fork_closed_close(struct fork_closed *file);

/* The same where this may be the last reference to a large file: two calls
 * more, and forks do not wait for its memory to be freed. Accepts one that is
 * not open, like what a child has of its parent's. */
void
fork_closed_close_last(struct fork_closed *file);

#endif
