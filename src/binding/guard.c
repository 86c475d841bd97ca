/* binding/guard.c
 *
 * Publishing takes long, so it releases the GIL. A fork can happen at any
 * moment of it, also between taking the lock and recording that; without a
 * GIL, at any moment of any operation. Therefore a guard stores the fork
 * generation of the process that used it last.
 *
 * Not here: what the guard is held for; see rbtree_publish.c.
 */
#include "binding/guard.h"

#ifdef Py_GIL_DISABLED

/* Several threads of a child may arrive here at the same time. One of them
 * renews the mutex; the others spin for the few instructions it takes. If a
 * grandchild is forked meanwhile, it does not have that thread: the mark is of
 * another generation there, so the mutex is renewed again. */
void
guard_renew(struct guard *guard)
{
    const uint64_t now = fork_list_generation();
    uint64_t seen = atomic_load(&guard->generation);
    while (seen != now) {
        if (seen != (now | GUARD_IS_RENEWED)
            && atomic_compare_exchange_strong(&guard->generation, &seen,
                                              now | GUARD_IS_RENEWED))
        {
            guard->mutex = (PyMutex){0};
            atomic_store(&guard->generation, now);
            return;
        }
        seen = atomic_load(&guard->generation);
    }
}

void
guard_init(struct guard *guard)
{
    guard->mutex = (PyMutex){0};
    guard->change_count = 0;
    atomic_init(&guard->generation, fork_list_generation());
}

void
guard_clear(struct guard *guard)
{
    (void)guard;
}

int
guard_begin_publish(struct guard *guard)
{
    guard_lock(guard);
    return 0;
}

void
guard_end_publish(struct guard *guard)
{
    PyMutex_Unlock(&guard->mutex);
}

#else

void
guard_init(struct guard *guard)
{
    guard->lock = NULL;
    guard->is_publishing = false;
    guard->change_count = 0;
    guard->generation = fork_list_generation();
}

/* In a child, a lock that a thread of the parent held is never released: the
 * thread does not exist there. The child abandons that lock. */
static void
renew_in_child(struct guard *guard)
{
    if (guard->generation != fork_list_generation()) {
        uint64_t change_count = guard->change_count;
        guard_init(guard);
        guard->change_count = change_count;
    }
}

void
guard_clear(struct guard *guard)
{
    renew_in_child(guard);
    if (guard->lock != NULL) {
        PyThread_free_lock(guard->lock);
        guard->lock = NULL;
    }
}

int
guard_begin_publish(struct guard *guard)
{
    renew_in_child(guard);
    if (guard->lock == NULL) {
        guard->lock = PyThread_allocate_lock();
    }
    if (guard->lock == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    // Without releasing the GIL first: a publisher that has let signal handlers
    // have the tree goes on, unless one of them let another thread run.
    if (!PyThread_acquire_lock(guard->lock, NOWAIT_LOCK)) {
        Py_BEGIN_ALLOW_THREADS
        PyThread_acquire_lock(guard->lock, WAIT_LOCK);
        Py_END_ALLOW_THREADS
    }
    guard->is_publishing = true;
    return 0;
}

void
guard_end_publish(struct guard *guard)
{
    guard->is_publishing = false;
    PyThread_release_lock(guard->lock);
}

void
guard_wait_for_publisher(struct guard *guard)
{
    renew_in_child(guard);
    // The next publisher may take the lock before we do: check again.
    while (guard->is_publishing) {
        Py_BEGIN_ALLOW_THREADS
        PyThread_acquire_lock(guard->lock, WAIT_LOCK);
        PyThread_release_lock(guard->lock);
        Py_END_ALLOW_THREADS
    }
}

#endif
