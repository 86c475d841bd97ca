/* binding/guard.h
 *
 * Keeps the users of one object out of each other's way. That of a tree:
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
 * tracks is not, as finalizers may run; nor is a codec, which calls error
 * handlers.
 *
 * Objects that nobody publishes from have a guard only without a GIL.
 *
 * A child that is forked while a thread of its parent publishes has the tree,
 * whole, and nobody who would ever end the publishing: there the guard is
 * free again, which the first who wants it there makes true. Without a GIL the
 * same goes for a thread that does no more than read.
 */
#ifndef SHAREDMAP_BINDING_GUARD_H
#define SHAREDMAP_BINDING_GUARD_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/segment/fork_list.h"

#ifdef Py_GIL_DISABLED

struct guard {
    PyMutex mutex;
    // What fork_list_generation() said when the mutex was made.
    _Atomic uint64_t generation;
};

#define GUARD_IS_RENEWED UINT64_MAX

void
guard_renew(struct guard *guard);

static inline void
guard_lock(struct guard *guard)
{
    if (atomic_load_explicit(&guard->generation, memory_order_acquire)
        != fork_list_generation())
    {
        guard_renew(guard);
    }
    PyMutex_Lock(&guard->mutex);
}

#else

struct guard {
    PyThread_type_lock lock;  // owned; NULL until somebody publishes
    bool is_publishing;       // guarded by the GIL, as all of this
    // What fork_list_generation() said when the lock was made.
    uint64_t generation;
};

/* Waits until nobody publishes. */
void
guard_wait_for_publisher(struct guard *guard);

#endif

void
guard_init(struct guard *guard);

/* Accepts what is all zero. */
void
guard_clear(struct guard *guard);

/* -1 with MemoryError. */
int
guard_begin_publish(struct guard *guard);

void
guard_end_publish(struct guard *guard);

static inline void
guard_begin_read(struct guard *guard)
{
#ifdef Py_GIL_DISABLED
    guard_lock(guard);
#else
    (void)guard;
#endif
}

static inline void
guard_end_read(struct guard *guard)
{
#ifdef Py_GIL_DISABLED
    PyMutex_Unlock(&guard->mutex);
#else
    (void)guard;
#endif
}

static inline void
guard_begin_change(struct guard *guard)
{
#ifdef Py_GIL_DISABLED
    guard_lock(guard);
#else
    if (guard->is_publishing) {
        guard_wait_for_publisher(guard);
    }
#endif
}

static inline void
guard_end_change(struct guard *guard)
{
#ifdef Py_GIL_DISABLED
    PyMutex_Unlock(&guard->mutex);
#else
    (void)guard;
#endif
}

#endif
