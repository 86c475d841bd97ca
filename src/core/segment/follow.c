/* core/segment/follow.c
 *
 * The states of a handle that follows a name:
 *
 *                 superseded                    newer, or the same file
 *     current ---------------> stale hint ------------------------------+
 *        ^                      |      ^                                |
 *        |              absent  v      | refused, failed                |
 *        |                     lost ---+                                |
 *        +--------------------------------------------------------------+
 *
 * `superseded` is a hint: it comes a moment before the name leads to the new
 * file. A reader that finds nothing new checks again with each operation, or
 * it would miss what is published meanwhile. But the hint stays where the name
 * was removed or the publisher killed: once it has come to nothing for longer
 * than publishing takes, one check every millisecond is enough.
 *
 * A name that was lost is a hint of its own: nothing marks the segment that a
 * reader still has when the name comes back. A file that is not to be trusted,
 * or a check that failed, does not end that.
 *
 * Not here: the word that is loaded and slept on (wait.c); opening (open.c).
 */
#include "core/segment/follow.h"

// Nanoseconds.
static const int64_t LONGEST_PUBLICATION = 1000000000;
static const int64_t CHECK_INTERVAL = 1000000;
static const int64_t LONGEST_SLEEP = 500000000;

void
follow_note(struct follow *follow, const struct segment *seen,
            enum status status, int64_t now)
{
    if (status == STATUS_NAME_ABSENT) {
        atomic_store(&follow->is_lost, true);
    }
    else if (status == STATUS_OK || status == STATUS_UNCHANGED) {
        atomic_store(&follow->is_lost, false);
    }
    if (status == STATUS_OK || !follow_is_hinted(follow, seen)) {
        // The next hint is a new one.
        atomic_store(&follow->hint_since, 0);
        atomic_store(&follow->next_check, 0);
        return;
    }
    int64_t since = atomic_load(&follow->hint_since);
    if (since == 0) {
        atomic_store(&follow->hint_since, now);
    }
    else if (now - since > LONGEST_PUBLICATION) {
        atomic_store(&follow->next_check, now + CHECK_INTERVAL);
    }
}

void
follow_sleep(const struct follow *follow, const struct segment *seen,
             int64_t left, struct backoff *backoff)
{
    if (follow_is_hinted(follow, seen)) {
        int64_t pause = backoff_next(backoff);
        segment_pause(left < pause ? left : pause);
    }
    else {
        segment_wait(seen, left < LONGEST_SLEEP ? left : LONGEST_SLEEP);
    }
}
