/* binding/guard.h
 *
 * Synchronizes the threads that use one object. The guard of a tree:
 *
 *                 with the GIL                     free-threaded
 *     read        nothing: the GIL is held         the mutex
 *     change      waits while a thread publishes   the mutex
 *     publish     blocks changes though the GIL    the mutex
 *                 is released, but not reads
 *
 * No Python code may run between begin and end, so a thread never waits for a
 * guard that it holds itself. Creating str, bytes and numbers is fine.
 * Creating an object that the garbage collector tracks is not, as finalizers
 * may run. Nor is a codec, which calls error handlers.
 *
 * Objects that cannot be published have a guard only without a GIL.
 *
 * A child may be forked while a thread of its parent publishes. It has an
 * intact tree, but not the thread that would release the guard. So in the
 * child the guard counts as free; its first user there resets it. Without a
 * GIL the same holds for a thread that only reads.
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
    uint64_t change_count;  // under the mutex
    // fork_list_generation() when the mutex was created; with this bit while a
    // thread of that generation creates it.
    _Atomic uint64_t generation;
};

#define GUARD_IS_RENEWED (UINT64_C(1) << 63)

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
    PyThread_type_lock lock;  // owned; NULL until the first publishing
    bool is_publishing;       // guarded by the GIL, like all fields
    uint64_t change_count;
    // fork_list_generation() when the lock was created.
    uint64_t generation;
};

/* Waits until no thread publishes. */
void
guard_wait_for_publisher(struct guard *guard);

#endif

void
guard_init(struct guard *guard);

/* Accepts a guard that is all zero. */
void
guard_clear(struct guard *guard);

/* -1 with MemoryError, which only the first time can raise. */
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
    guard->change_count += 1;
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
