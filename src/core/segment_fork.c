/* core/segment_fork.c
 *
 * Descriptors that a forked child must not keep.
 *
 * A child gets a copy of every descriptor. A copy of a draft's would keep the
 * memory of a file without a name for as long as the child lives; a copy of a
 * locked file's would keep the lock, if the publisher is killed. Closing on
 * exec() is not enough: workers are forked and never exec.
 *
 *     open_files -> | unforked | -> | unforked | -> NULL
 *
 * So such files are listed from the moment they are opened, and the child
 * closes what is on the list before fork() returns. Opening and listing are
 * one step under a mutex that fork() waits for; it is never held longer.
 *
 * Not here: what the files are for; see segment_draft.c and segment_publish.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#include "core/segment.h"
#include "core/segment_system.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t handlers_once = PTHREAD_ONCE_INIT;
static struct unforked *open_files;  // guarded by the mutex

static void
before_fork(void)
{
    pthread_mutex_lock(&mutex);
}

static void
after_fork_in_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

static void
after_fork_in_child(void)
{
    for (struct unforked *file = open_files; file != NULL; file = file->next) {
        system_close(file->descriptor);
    }
    open_files = NULL;
    pthread_mutex_unlock(&mutex);
}

static void
install_handlers(void)
{
    // Fails only without memory; then a child may keep a lock or a draft for
    // as long as it lives, but nothing is lost.
    (void)pthread_atfork(before_fork, after_fork_in_parent,
                         after_fork_in_child);
}

bool
unforked_open(struct unforked *file, const char *path, int flags)
{
    pthread_once(&handlers_once, install_handlers);
    pthread_mutex_lock(&mutex);
    file->descriptor = open(path, flags | O_CLOEXEC, 0600);
    bool is_open = file->descriptor >= 0;
    if (is_open) {
        file->next = open_files;
        open_files = file;
    }
    pthread_mutex_unlock(&mutex);
    return is_open;
}

void
unforked_close(struct unforked *file)
{
    if (file->descriptor < 0) {
        return;
    }
    pthread_mutex_lock(&mutex);
    struct unforked **link = &open_files;
    while (*link != NULL && *link != file) {
        link = &(*link)->next;
    }
    // Not on the list means that we are a child, and it is closed already.
    bool is_listed = *link == file;
    if (is_listed) {
        *link = file->next;
    }
    pthread_mutex_unlock(&mutex);
    // Outside of the mutex: the last close of a large file takes its time.
    if (is_listed) {
        system_close(file->descriptor);
    }
    file->descriptor = -1;
}
