/* core/segment/lock.h
 *
 * The lock of a name, for the files of core/segment that replace or remove
 * what has the name; others use holder_lock() of segment.h.
 */
#ifndef SHAREDMAP_CORE_SEGMENT_LOCK_H
#define SHAREDMAP_CORE_SEGMENT_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/interrupt.h"
#include "core/base/status.h"
#include "core/segment/backoff.h"
#include "core/segment/segment.h"

/* A publisher's wait for the lock, from its first attempt to its last. */
struct turn {
    int64_t arrival;   // of segment_clock()
    int64_t deadline;  // likewise
    struct backoff backoff;
    const struct interrupt *interrupt;  // borrowed
    bool is_waiting;                    // an attempt has failed
    bool is_durable;                    // what has the name is on a disk
    // The older publisher that stands before us, and since when it could have
    // taken the lock.
    uint64_t older;
    int64_t older_since;
};

struct turn
turn_begin(const struct lock_options *options);

/* Sleeps a little longer each time. STATUS_LOCK_TIMEOUT when the time is over,
 * STATUS_INTERRUPTED. */
enum status
turn_wait(struct turn *turn);

/* Locks what has the name, when it is our turn. The failures of holder_lock().
 */
enum status
holder_lock_in_turn(struct holder *holder, const char *path,
                    struct turn *turn);

/* When the first of those that wait for the lock came; 0 when none waits. */
uint64_t
holder_waiting_since(const struct holder *holder);

/* Opens the regular file that has the name, of any owner. Fills whether
 * that is us. The holder has to be closed whatever the answer, and borrows the
 * interrupt, which may be NULL. */
enum status
holder_open(struct holder *holder, const char *path, bool *is_ours,
            const struct interrupt *interrupt);

/* One attempt to lock the open file; `is_busy` says that another publisher has
 * the lock, or that the name leads elsewhere by now: try again later. */
enum status
holder_try_lock(const struct holder *holder, const char *path, bool *is_busy);

#endif
