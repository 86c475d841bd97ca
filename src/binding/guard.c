/* binding/guard.c
 *
 * Publishing takes long, so it releases the GIL, and a fork can happen in the
 * middle of it. A guard that is held for publishing listens for that.
 *
 * Not here: what the guard is held for; see rbtree_publish.c.
 */
#include "binding/guard.h"

/* The thread that published is not in the child, and the old lock is lost with
 * it. */
static void
free_in_child(struct fork_listener *listener)
{
    struct guard *guard = (struct guard *)listener;
#ifdef Py_GIL_DISABLED
    guard->mutex = (PyMutex){0};
#else
    guard->publish_lock = PyThread_allocate_lock();
    guard->is_publishing = false;
#endif
}

static void
begin_listening(struct guard *guard)
{
    guard->listener.in_child = free_in_child;
    fork_list_lock();
    fork_list_add(&guard->listener);
    fork_list_unlock();
}

static void
end_listening(struct guard *guard)
{
    fork_list_lock();
    (void)fork_list_remove(&guard->listener);
    fork_list_unlock();
}

#ifdef Py_GIL_DISABLED

int
guard_init(struct guard *guard)
{
    guard->mutex = (PyMutex){0};
    return 0;
}

void
guard_clear(struct guard *guard)
{
    (void)guard;
}

void
guard_begin_publish(struct guard *guard)
{
    PyMutex_Lock(&guard->mutex);
    begin_listening(guard);
}

void
guard_end_publish(struct guard *guard)
{
    end_listening(guard);
    PyMutex_Unlock(&guard->mutex);
}

void
guard_wait_for_publisher(struct guard *guard)
{
    PyMutex_Lock(&guard->mutex);
    PyMutex_Unlock(&guard->mutex);
}

#else

int
guard_init(struct guard *guard)
{
    guard->is_publishing = false;
    guard->publish_lock = PyThread_allocate_lock();
    if (guard->publish_lock == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void
guard_clear(struct guard *guard)
{
    if (guard->publish_lock != NULL) {
        PyThread_free_lock(guard->publish_lock);
        guard->publish_lock = NULL;
    }
}

void
guard_begin_publish(struct guard *guard)
{
    Py_BEGIN_ALLOW_THREADS
    PyThread_acquire_lock(guard->publish_lock, WAIT_LOCK);
    Py_END_ALLOW_THREADS
    guard->is_publishing = true;
    begin_listening(guard);
}

void
guard_end_publish(struct guard *guard)
{
    end_listening(guard);
    guard->is_publishing = false;
    PyThread_release_lock(guard->publish_lock);
}

void
guard_wait_for_publisher(struct guard *guard)
{
    // The next publisher may be quicker than we are: look again.
    while (guard->is_publishing) {
        Py_BEGIN_ALLOW_THREADS
        PyThread_acquire_lock(guard->publish_lock, WAIT_LOCK);
        PyThread_release_lock(guard->publish_lock);
        Py_END_ALLOW_THREADS
    }
}

#endif
