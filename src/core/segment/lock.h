/* core/segment/lock.h
 *
 * The lock of a name, for the files of core/segment that replace or remove
 * what has the name; others use holder_lock() of segment.h.
 */
#ifndef SHAREDMAP_CORE_SEGMENT_LOCK_H
#define SHAREDMAP_CORE_SEGMENT_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/interrupt.h"
#include "core/base/status.h"
#include "core/segment/backoff.h"
#include "core/segment/segment.h"
#include "core/segment/system.h"

/* A publisher's wait for the lock, from its first attempt to its last. */
struct turn {
    int64_t arrival;   // of segment_clock()
    int64_t deadline;  // likewise
    struct backoff backoff;
    const struct interrupt *interrupt;  // borrowed
    bool is_waiting;                    // an attempt has failed
    bool is_first;                      // in the queue, as far as it tells
    bool is_durable;                    // what has the name is on a disk
    // The older publisher that stands before us, and since when it could have
    // taken the lock.
    uint64_t older;
    int64_t older_since;
};

struct turn
turn_begin(const struct lock_options *options);

/* Sleeps a little longer each time, in the queue of the holder if that has one.
 * STATUS_LOCK_TIMEOUT when the time is over, STATUS_INTERRUPTED. */
enum status
turn_wait(struct turn *turn, const struct holder *holder);

/* Locks what has the name, when it is our turn. The failures of holder_lock().
 */
enum status
holder_lock_in_turn(struct holder *holder, const char *path,
                    struct turn *turn);

/* The head of the holder, whose header is mapped. */
static inline _Atomic uint32_t *
holder_head_word(const struct holder *holder)
{
    return (void *)((char *)holder->header
                    + offsetof(struct snapshot_header, head));
}

/* Wakes all that sleep on the head, if the header is mapped. */
void
holder_wake_readers(const struct holder *holder);

/* Wakes these, and the publishers that wait for the lock: the name leads
 * elsewhere now. */
void
holder_wake_all(const struct holder *holder);

/* The number of the version after that one. 0 is for what never had a name,
 * even after the last number there is. */
static inline uint64_t
generation_after(uint64_t generation)
{
    return generation == UINT64_MAX ? 1 : generation + 1;
}

/* When the first of those that wait for the lock came; 0 when none waits. */
uint64_t
holder_waiting_since(const struct holder *holder);

/* Opens the regular file that has the name, of any owner. Fills whether
 * that is us. The holder has to be closed whatever the answer, and borrows the
 * interrupt, which may be NULL. */
enum status
holder_open(struct holder *holder, const char *path, bool *is_ours,
            const struct interrupt *interrupt);

/* Reads what the holder says of itself and maps its header: to write, unless
 * the file is on a disk. A file of ours that is not a snapshot has nothing to
 * say and may be replaced. STATUS_SYSTEM. */
enum status
holder_map_header(struct holder *holder, bool is_durable);

/* One attempt to lock the open file; `is_busy` says that another publisher has
 * the lock, or that the name leads elsewhere by now: try again later. */
enum status
holder_try_lock(const struct holder *holder, const char *path,
                enum lock_byte byte, bool *is_busy);

#endif
