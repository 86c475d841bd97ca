/* binding/guard.c
 *
 * Publishing takes long, so it releases the GIL, and a fork can happen in the
 * middle of it. Guards that are held for publishing are therefore listed, for
 * the child to free them:
 *
 *     publishing -> | guard | -> | guard | -> NULL
 *
 * Not here: what the guard is held for; see rbtree_publish.c.
 */
#include "binding/guard.h"

#include <pthread.h>

static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t handlers_once = PTHREAD_ONCE_INIT;
static struct guard *publishing;  // guarded by list_mutex

static void
before_fork(void)
{
    pthread_mutex_lock(&list_mutex);
}

static void
after_fork_in_parent(void)
{
    pthread_mutex_unlock(&list_mutex);
}

static void
after_fork_in_child(void)
{
    for (struct guard *guard = publishing; guard != NULL;
         guard = guard->next_publishing)
    {
        // The old lock is lost with the thread that held it.
#ifdef Py_GIL_DISABLED
        guard->mutex = (PyMutex){0};
#else
        guard->publish_lock = PyThread_allocate_lock();
        guard->is_publishing = false;
#endif
    }
    publishing = NULL;
    pthread_mutex_unlock(&list_mutex);
}

static void
install_handlers(void)
{
    (void)pthread_atfork(before_fork, after_fork_in_parent,
                         after_fork_in_child);
}

static void
list_add(struct guard *guard)
{
    pthread_once(&handlers_once, install_handlers);
    pthread_mutex_lock(&list_mutex);
    guard->next_publishing = publishing;
    publishing = guard;
    pthread_mutex_unlock(&list_mutex);
}

static void
list_remove(struct guard *guard)
{
    pthread_mutex_lock(&list_mutex);
    struct guard **link = &publishing;
    while (*link != guard) {
        link = &(*link)->next_publishing;
    }
    *link = guard->next_publishing;
    pthread_mutex_unlock(&list_mutex);
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
    list_add(guard);
}

void
guard_end_publish(struct guard *guard)
{
    list_remove(guard);
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
    list_add(guard);
}

void
guard_end_publish(struct guard *guard)
{
    list_remove(guard);
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
