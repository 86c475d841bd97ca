/* core/segment/fork.c
 *
 * Descriptors that a forked child must not keep.
 *
 * A child gets a copy of every descriptor. A copy of a draft's would keep the
 * memory of a file without a name for as long as the child lives; a copy of a
 * locked file's would keep the lock, if the publisher is killed. Closing on
 * exec() is not enough: workers are forked and never exec. So such files are
 * listed from the moment they are opened, and the child closes its copies.
 * Until a file that was opened is listed, only the thread that opened it
 * knows its number, so no fork may come in between; the same holds for
 * closing. But each of these calls can hang with its file system, and nothing
 * that can hang is done under a lock: opening, mapping and closing are steps
 * (fork_list.h), for which a fork waits a second at most.
 *
 *     | step: open, list | ... | step: map, keep from children |
 *                          ... | step: close, take off the list |
 *
 * Closing the last reference to a large file frees its memory, for which no
 * fork should have to wait. A mapping that no child gets takes over until the
 * step is done:
 *
 *     map -> | step: close | -> unmap
 *
 * Not here: the list (fork_list.c); what the files are for (draft.c,
 * publish.c).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "core/segment/fork.h"
#include "core/segment/system.h"

static void
close_in_child(struct fork_listener *listener)
{
    struct fork_closed *file = (struct fork_closed *)listener;
    // A close() that hangs has given the number back before it began to hang.
    if (!file->is_closing) {
        system_close(file->descriptor);
    }
    file->descriptor = -1;
}

static bool
open_and_list(struct fork_closed *file, const char *path, int flags)
{
    struct fork_step step;
    fork_step_begin(&step);
    file->descriptor = open(path, flags | O_CLOEXEC, 0600);
    fork_list_lock();
    if (file->descriptor >= 0) {
        fork_list_add(&file->listener);
    }
    fork_step_end(&step);
    fork_list_unlock();
    return file->descriptor >= 0;
}

bool
fork_closed_open(struct fork_closed *file, const char *path, int flags,
                 const struct interrupt *interrupt)
{
    *file = (struct fork_closed){.listener.in_child = close_in_child};
    // What a signal means is asked between two steps: it may mean to fork.
    while (!open_and_list(file, path, flags)) {
        if (!system_repeats(interrupt)) {
            return false;
        }
    }
    return true;
}

static void
end_step(struct fork_step *step)
{
    fork_list_lock();
    fork_step_end(step);
    fork_list_unlock();
}

void *
fork_closed_map(const struct fork_closed *file, size_t size, int protection)
{
    struct fork_step step;
    fork_step_begin(&step);
    void *bytes = system_dont_fork(
        mmap(NULL, size, protection, MAP_SHARED, file->descriptor, 0), size);
    end_step(&step);
    return bytes != MAP_FAILED ? bytes : NULL;
}

void *
fork_closed_map_whole(const struct fork_closed *file, uint64_t size)
{
    struct fork_step step;
    fork_step_begin(&step);
    void *bytes = system_dont_fork(system_map(file->descriptor, size), size);
    end_step(&step);
    return bytes != MAP_FAILED ? bytes : NULL;
}

void
fork_closed_close(struct fork_closed *file)
{
    struct fork_step step;
    fork_step_begin(&step);
    file->is_closing = true;
    system_close(file->descriptor);
    fork_list_lock();
    (void)fork_list_remove(&file->listener);
    fork_step_end(&step);
    fork_list_unlock();
    file->descriptor = -1;
}

void
fork_closed_close_last(struct fork_closed *file)
{
    if (file->descriptor < 0) {
        return;
    }
    int saved_errno = errno;
    void *keeper = fork_closed_map(file, 1, PROT_READ);
    fork_closed_close(file);
    if (keeper != NULL) {
        munmap(keeper, 1);
    }
    errno = saved_errno;
}
