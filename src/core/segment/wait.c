/* core/segment/wait.c
 *
 * Noticing that a segment is superseded, by the head in its header.
 *
 *     publisher   head |= 1 ---> rename ---> wake         another file
 *                 head = where the delta is -> wake       the same file
 *                      |                       |
 *     reader      load, any time          asleep on the word
 *
 * The word is 4 bytes at a multiple of 4, because that is what both a reader
 * without any system call and the system's futex can work with. Loading it is
 * one instruction that only reads, so a read-only mapping is enough; the same
 * holds for sleeping on it. A system that wakes by files needs the path, too.
 *
 * An event loop sleeps on descriptors, not on words. For it there is a watch
 * on the directory of all names, one for any number of them.
 *
 * Not here: storing the word and waking; see publish.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include "core/segment/segment.h"
#include "core/segment/system.h"

_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && sizeof(unsigned) == 4,
               "a 32-bit word must be loadable without writing");

static const _Atomic uint32_t *
head_word(const struct segment *segment)
{
    return (const void *)(segment->bytes
                          + offsetof(struct snapshot_header, head));
}

bool
segment_is_superseded(const struct segment *segment)
{
    return atomic_load_explicit(head_word(segment), memory_order_acquire)
           != segment->head;
}

bool
segment_is_marked(const struct segment *segment)
{
    return (atomic_load_explicit(head_word(segment), memory_order_acquire)
            & HEAD_SUPERSEDED)
           != 0;
}

uint32_t
segment_load_head(const struct segment *segment)
{
    return atomic_load_explicit(head_word(segment), memory_order_acquire)
           & ~HEAD_SUPERSEDED;
}

enum segment_wake
segment_wait(const struct segment *segment, const char *path,
             int64_t nanoseconds)
{
    const struct word_file file = {
        .path = path,
        .device = segment->device,
        .inode = segment->inode,
    };
    if (!system_sleep_on(head_word(segment), segment->head, nanoseconds,
                         &file))
    {
        if (errno == ETIMEDOUT) {
            return WAKE_TIMEOUT;
        }
        if (errno == EINTR) {
            return WAKE_SIGNAL;
        }
    }
    // Woken, or the word had changed already.
    return WAKE_SUPERSEDED;
}

/* ---- for event loops ---------------------------------------------------- */

enum status
segment_watch_open(int *descriptor)
{
    *descriptor = system_watch(system_name_directory());
    if (*descriptor < 0) {
        return system_names_failure();
    }
    return STATUS_OK;
}

bool
segment_watch_read(struct segment_watch *watch, int descriptor)
{
    ssize_t size;
    do {
        size = read(descriptor, watch->events, sizeof(watch->events));
    } while (size < 0 && errno == EINTR);
    watch->at = 0;
    watch->size = size > 0 ? (size_t)size : 0;
    return watch->size > 0;
}

bool
segment_watch_next(struct segment_watch *watch, struct slice *name)
{
    while (watch->at < watch->size) {
        bool is_everything;
        size_t size;
        const char *file =
            system_watch_event(watch->events, &watch->at, &is_everything);
        if (is_everything) {
            *name = (struct slice){NULL, 0};
            return true;
        }
        if (file != NULL && segment_decode_name(file, watch->name, &size)) {
            *name = (struct slice){watch->name, size};
            return true;
        }
    }
    return false;
}

void
segment_watch_close(int descriptor)
{
    system_close(descriptor);
}
