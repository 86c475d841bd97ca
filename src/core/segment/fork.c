/* core/segment/fork.c
 *
 * Descriptors that a forked child must not keep.
 *
 * A child gets a copy of every descriptor. A copy of a draft's would keep the
 * memory of a file without a name for as long as the child lives; a copy of a
 * locked file's would keep the lock, if the publisher is killed. Closing on
 * exec() is not enough: workers are forked and never exec. So such files are
 * listed from the moment they are opened, and the child closes its copies.
 * Between forks they are closed, too; but closing the last reference to a
 * large file frees its memory, for which no fork should have to wait. A
 * mapping that no child gets takes over until forks are allowed again:
 *
 *     map -> | no forks: close | -> unmap
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
    system_close(file->descriptor);
    file->descriptor = -1;
}

bool
fork_closed_open(struct fork_closed *file, const char *path, int flags)
{
    file->listener.in_child = close_in_child;
    do {
        // Opening and listing belong together: no fork in between.
        fork_list_lock();
        file->descriptor = open(path, flags | O_CLOEXEC, 0600);
        if (file->descriptor >= 0) {
            fork_list_add(&file->listener);
        }
        fork_list_unlock();
    } while (file->descriptor < 0 && errno == EINTR);
    return file->descriptor >= 0;
}

void *
fork_closed_map(const struct fork_closed *file, size_t size, int protection)
{
    fork_list_lock();
    void *bytes = system_dont_fork(
        mmap(NULL, size, protection, MAP_SHARED, file->descriptor, 0), size);
    fork_list_unlock();
    return bytes != MAP_FAILED ? bytes : NULL;
}

void
fork_closed_close(struct fork_closed *file)
{
    // Until it is closed it must be listed, and no fork may come in between.
    fork_list_lock();
    (void)fork_list_remove(&file->listener);
    system_close(file->descriptor);
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
