/* binding/thread_cache.h
 *
 * Without a GIL each thread has value caches of its own. A hit writes to no
 * memory that another thread uses: the cached objects belong to the thread,
 * so counting references to them is cheap.
 *
 *     thread ----> thread_cache    | life, values | life, values | ...
 *                                     |
 *     snapshot ---------------------> life
 *
 * A value cache is that of a snapshot if both have the same life. The block is
 * counted, so its address does not come again meanwhile. When a snapshot has
 * gone, each thread frees what it cached of it in its next lookup of any map,
 * or when it ends.
 *
 * The thread's state owns the caches, through a capsule in its dict. A thread
 * of the system may have states in several interpreters, one after the other;
 * the interpreter's id tells whose the caches are.
 *
 * With a GIL each snapshot has a cache, and this file nothing.
 */
#ifndef SHAREDMAP_BINDING_THREAD_CACHE_H
#define SHAREDMAP_BINDING_THREAD_CACHE_H

#include "binding/state.h"
#include "binding/value_cache.h"

struct thread_cache;

#ifdef Py_GIL_DISABLED

#include <stdatomic.h>

enum { THREAD_CACHE_MAPS = 8 };

struct cache_life {
    _Atomic uint32_t references;  // the snapshot's, and one for each cache
    _Atomic bool is_over;         // the snapshot has gone
};

struct thread_cache_entry {
    struct cache_life *life;  // a counted reference; NULL when free
    struct value_cache values;
};

struct thread_cache {
    _Atomic int64_t interpreter;  // -1 when no thread may use it any more
    uint32_t ends;                // thread_cache_ends when last swept
    uint32_t refused;             // for how many snapshots there was no room
    struct thread_cache_entry entries[THREAD_CACHE_MAPS];
    struct value_cache_spare spare;
    struct key_filter key_filter;
};

extern _Thread_local struct thread_cache *thread_cache_own;
// How many snapshots have gone of which something was cached.
extern _Atomic uint32_t thread_cache_ends;

/* Frees what was cached of snapshots that have gone. */
void
thread_cache_sweep(struct thread_cache *own);

/* The caches of this thread in the interpreter, or NULL. They last until the
 * thread ends. Not within a loan. */
static inline struct thread_cache *
thread_cache_get(const struct state *state)
{
    struct thread_cache *own = thread_cache_own;
    if (own == NULL
        || atomic_load_explicit(&own->interpreter, memory_order_relaxed)
               != state->interpreter)
    {
        return NULL;
    }
    if (own->ends
        != atomic_load_explicit(&thread_cache_ends, memory_order_relaxed))
    {
        thread_cache_sweep(own);
    }
    return own;
}

/* Counts lookups of a thread without caches, and makes them when it pays. Never
 * fails. May run Python code. */
void
thread_cache_want(const struct state *state, size_t count);

static inline size_t
thread_cache_index(const struct cache_life *life)
{
    return ((uintptr_t)life >> 4 ^ (uintptr_t)life >> 7) % THREAD_CACHE_MAPS;
}

/* What this thread has cached of the snapshot with that life, or NULL. */
static inline struct value_cache *
thread_cache_find(struct thread_cache *own, const struct cache_life *life)
{
    size_t first = thread_cache_index(life);
    for (size_t i = 0; i < THREAD_CACHE_MAPS; i++) {
        struct thread_cache_entry *entry =
            &own->entries[(first + i) % THREAD_CACHE_MAPS];
        if (entry->life == life) {
            return &entry->values;
        }
    }
    return NULL;
}

/* A cache for a snapshot that has none, with so many slots. NULL without room.
 */
struct value_cache *
thread_cache_add(struct thread_cache *own, struct cache_life *life,
                 uint64_t slot_count);

/* NULL without memory. */
struct cache_life *
cache_life_create(void);

/* The snapshot has gone. Accepts NULL. */
void
cache_life_end(struct cache_life *life, const struct state *state);

#endif
#endif
