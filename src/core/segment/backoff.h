/* core/segment/backoff.h
 *
 * How long to wait before the next attempt: twice as long each time, up to a
 * limit. All retrying in core/segment goes by this.
 */
#ifndef SHAREDMAP_CORE_SEGMENT_BACKOFF_H
#define SHAREDMAP_CORE_SEGMENT_BACKOFF_H

#include <stdint.h>

struct backoff {
    int64_t next;     // nanoseconds
    int64_t longest;  // nanoseconds
};

/* The nanoseconds to wait now. */
static inline int64_t
backoff_next(struct backoff *backoff)
{
    int64_t now = backoff->next;
    if (now < backoff->longest) {
        backoff->next =
            now * 2 < backoff->longest ? now * 2 : backoff->longest;
    }
    return now;
}

#endif
