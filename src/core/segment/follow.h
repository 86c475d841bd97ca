/* core/segment/follow.h
 *
 * Following a name: when a handle has to check whether its segment is still
 * the current one.
 *
 * The state belongs to a handle, which embeds it and zeroes it; it owns
 * nothing. Any number of threads may use it at once: each field is atomic, and
 * what two of them make of the same moment differs by one check at most. It
 * never decides what the handle has: the caller opens the newer segment and
 * tells the outcome with follow_note().
 *
 * Points in time are those of segment_clock(), and come from the caller.
 */
#ifndef SHAREDMAP_CORE_SEGMENT_FOLLOW_H
#define SHAREDMAP_CORE_SEGMENT_FOLLOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/segment/backoff.h"
#include "core/segment/segment.h"

struct follow {
    // The name was absent or not to be opened, and nothing good since.
    atomic_bool is_behind;
    _Atomic int64_t hint_since;  // a stale hint first came to nothing; 0: none
    _Atomic int64_t next_check;  // before this there is no need to check
    // The pause after the next failure; 0: the last attempt did not fail.
    _Atomic int64_t next_pause;
};

/* Whether a status code says that an attempt failed, and that another one is
 * due later. An absent name is an answer. */
static inline bool
follow_is_failure(enum status status)
{
    return status != STATUS_OK && status != STATUS_UNCHANGED
           && status != STATUS_NAME_ABSENT;
}

/* Whether there is a stale hint: `seen` is superseded, its name was lost, or
 * the last attempt failed. Two loads, no system call. */
static inline bool
follow_is_hinted(const struct follow *follow, const struct segment *seen)
{
    return segment_is_superseded(seen) || atomic_load(&follow->is_behind);
}

/* Whether a reader that sees a stale hint should check the name now: always,
 * unless the last attempt failed or hints have come to nothing for a while. */
static inline bool
follow_is_due(const struct follow *follow, int64_t now)
{
    return now >= atomic_load(&follow->next_check);
}

/* Whether a waiting reader may check the name now. It checks any hint, but
 * keeps to the backoff after a failure. */
static inline bool
follow_may_check(const struct follow *follow, int64_t now)
{
    return atomic_load(&follow->next_pause) == 0 || follow_is_due(follow, now);
}

/* Remembers what checking the name, or opening it again, came to: STATUS_OK if
 * something newer was found, else what segment_open() or
 * segment_check_current() answered. */
void
follow_note(struct follow *follow, const struct segment *seen,
            enum status status, int64_t now);

/* The backoff of a follower that sleeps between checks. */
#define FOLLOW_BACKOFF ((struct backoff){.next = 1000000, .longest = 32000000})

/* Sleeps until there is reason to check again, for `left` nanoseconds at most:
 * as long as the backoff says while there is a stale hint, and after a failure
 * until the next attempt; else until the segment is superseded. Half a second
 * at most, in case no publisher wakes us. A signal ends it early. */
void
follow_sleep(const struct follow *follow, const struct segment *seen,
             const char *path, int64_t left, struct backoff *backoff);

#endif
