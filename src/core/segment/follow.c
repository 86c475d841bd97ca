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
 * reader still has when the name comes back. So is an attempt that failed
 * (no descriptor left, no permission, a damaged file): what is published may
 * be newer than what the reader has, and nothing will tell it again. Until an
 * attempt succeeds the next one is due 10 ms later, then 20 ms, up to 1 s; so
 * a reader in trouble does not call the system with each operation.
 *
 * Not here: the word that is loaded and slept on (wait.c); opening (open.c).
 */
#include "core/segment/follow.h"

// Nanoseconds.
static const int64_t LONGEST_PUBLICATION = 1000000000;
static const int64_t CHECK_INTERVAL = 1000000;
static const int64_t LONGEST_SLEEP = 500000000;
static const int64_t FIRST_PAUSE = 10000000;
static const int64_t LONGEST_PAUSE = 1000000000;

static int64_t
smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Of several threads that fail at the same moment one prolongs the pause. */
static void
note_failure(struct follow *follow, int64_t now)
{
    int64_t pause = atomic_load(&follow->next_pause);
    atomic_store(&follow->is_behind, true);
    if (pause != 0 && !follow_is_due(follow, now)) {
        return;
    }
    struct backoff backoff = {
        .next = pause != 0 ? pause : FIRST_PAUSE,
        .longest = LONGEST_PAUSE,
    };
    atomic_store(&follow->next_check, now + backoff_next(&backoff));
    atomic_store(&follow->next_pause, backoff.next);
}

void
follow_note(struct follow *follow, const struct segment *seen,
            enum status status, int64_t now)
{
    if (follow_is_failure(status)) {
        note_failure(follow, now);
        return;
    }
    atomic_store(&follow->is_behind, status == STATUS_NAME_ABSENT);
    if (atomic_exchange(&follow->next_pause, 0) != 0) {
        atomic_store(&follow->next_check, 0);
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
             const char *path, int64_t left, struct backoff *backoff)
{
    if (follow_is_hinted(follow, seen)) {
        int64_t pause = backoff_next(backoff);
        if (atomic_load(&follow->next_pause) != 0) {
            int64_t rest = atomic_load(&follow->next_check) - segment_clock();
            pause = rest > pause ? smaller(rest, LONGEST_SLEEP) : pause;
        }
        segment_pause(smaller(left, pause));
    }
    else {
        segment_wait(seen, path, smaller(left, LONGEST_SLEEP));
    }
}
