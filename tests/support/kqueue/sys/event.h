/* tests/support/kqueue/sys/event.h
 *
 * A stand-in for kqueue, made of inotify: as much of it as system_portable.c
 * uses, and one file for each queue. A portable build that finds this header
 * takes Linux for a system with kqueue (`make posix`).
 *
 *     kqueue                          here
 *     NOTE_ATTRIB                     IN_ATTRIB, and the file has a name
 *     NOTE_DELETE                     IN_ATTRIB, and it has none any more
 *     NOTE_WRITE, NOTE_RENAME, ...    EINVAL
 *
 * Like kqueue it does not notice a store into a mapping. Unlike kqueue it is
 * copied for a forked child.
 */
#ifndef SHAREDMAP_TESTS_KQUEUE_H
#define SHAREDMAP_TESTS_KQUEUE_H

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KQUEUE_STAND_IN

enum { EVFILT_VNODE = -4, EV_ADD = 0x1, EV_CLEAR = 0x20 };
enum { NOTE_DELETE = 0x1, NOTE_ATTRIB = 0x8 };

struct kevent {
    uintptr_t ident;
    short filter;
    unsigned short flags;
    unsigned fflags;
    intptr_t data;
    void *udata;
};

#define EV_SET(event, file, ...) \
    (*(event) = (struct kevent){(uintptr_t)(file), __VA_ARGS__})

/* Set by a test: time does not end a wait, so only an event does. */
__attribute__((weak)) atomic_bool kqueue_waits_for_events;

static inline int
kqueue(void)
{
    return inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
}

static inline int
kqueue_add(int queue, const struct kevent *change)
{
    char path[64];
    if (change->filter != EVFILT_VNODE || change->flags != (EV_ADD | EV_CLEAR)
        || change->fflags != (NOTE_ATTRIB | NOTE_DELETE))
    {
        errno = EINVAL;
        return -1;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", (int)change->ident);
    return inotify_add_watch(queue, path, IN_ATTRIB) < 0 ? -1 : 0;
}

static inline int
kevent(int queue, const struct kevent *changes, int change_count,
       struct kevent *events, int event_count, const struct timespec *time)
{
    // Of the one file that is watched nothing is known but that it changed.
    char told[4096];
    if (change_count == 1) {
        return kqueue_add(queue, changes);
    }
    struct pollfd readable = {.fd = queue, .events = POLLIN};
    bool is_patient = atomic_load(&kqueue_waits_for_events);
    int count = ppoll(&readable, 1, is_patient ? NULL : time, NULL);
    if (count <= 0 || event_count == 0) {
        return count;
    }
    if (read(queue, told, sizeof(told)) < 0) {
        return -1;
    }
    *events = (struct kevent){.filter = EVFILT_VNODE};
    return 1;
}

#endif
