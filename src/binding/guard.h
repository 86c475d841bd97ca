/* binding/guard.h
 *
 * Keeps the users of one tree out of each other's way.
 *
 *                 with the GIL                    free-threaded
 *     read        nothing: the GIL is held        the mutex
 *     change      wait while somebody publishes   the mutex
 *     publish     no change, though the GIL is    the mutex
 *                 released; reading goes on
 *
 * Nothing that could run Python code may happen between begin and end, so
 * nobody can meet a guard that the same thread already holds. Creating str,
 * bytes and numbers is fine; creating an object that the garbage collector
 * tracks is not.
 */
#ifndef SHAREDMAP_BINDING_GUARD_H
#define SHAREDMAP_BINDING_GUARD_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#ifdef Py_GIL_DISABLED

struct guard {
    PyMutex mutex;
};

static inline int
guard_init(struct guard *guard)
{
    *guard = (struct guard){0};
    return 0;
}

static inline void
guard_clear(struct guard *guard)
{
    (void)guard;
}

static inline void
guard_begin_read(struct guard *guard)
{
    PyMutex_Lock(&guard->mutex);
}

static inline void
guard_end_read(struct guard *guard)
{
    PyMutex_Unlock(&guard->mutex);
}

static inline void
guard_begin_change(struct guard *guard)
{
    PyMutex_Lock(&guard->mutex);
}

static inline void
guard_end_change(struct guard *guard)
{
    PyMutex_Unlock(&guard->mutex);
}

static inline void
guard_begin_publish(struct guard *guard)
{
    PyMutex_Lock(&guard->mutex);
}

static inline void
guard_end_publish(struct guard *guard)
{
    PyMutex_Unlock(&guard->mutex);
}

#else

struct guard {
    PyThread_type_lock publish_lock;  // owned
    bool is_publishing;               // guarded by the GIL
};

/* -1 with MemoryError. */
static inline int
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

static inline void
guard_clear(struct guard *guard)
{
    if (guard->publish_lock != NULL) {
        PyThread_free_lock(guard->publish_lock);
        guard->publish_lock = NULL;
    }
}

static inline void
guard_begin_read(struct guard *guard)
{
    (void)guard;
}

static inline void
guard_end_read(struct guard *guard)
{
    (void)guard;
}

static inline void
guard_begin_publish(struct guard *guard)
{
    Py_BEGIN_ALLOW_THREADS
    PyThread_acquire_lock(guard->publish_lock, WAIT_LOCK);
    Py_END_ALLOW_THREADS
    guard->is_publishing = true;
}

static inline void
guard_end_publish(struct guard *guard)
{
    guard->is_publishing = false;
    PyThread_release_lock(guard->publish_lock);
}

static inline void
guard_begin_change(struct guard *guard)
{
    // The next publisher may be quicker than we are: look again.
    while (guard->is_publishing) {
        Py_BEGIN_ALLOW_THREADS
        PyThread_acquire_lock(guard->publish_lock, WAIT_LOCK);
        PyThread_release_lock(guard->publish_lock);
        Py_END_ALLOW_THREADS
    }
}

static inline void
guard_end_change(struct guard *guard)
{
    (void)guard;
}

#endif

#endif
