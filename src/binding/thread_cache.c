/* binding/thread_cache.c
 *
 * When a thread ends, the dict of its state is cleared, and the capsule in
 * there frees the caches. Another thread may do that: when an interpreter
 * ends, and in a forked child. Then the owner does not run any more in that
 * interpreter, but maybe in another one, with a pointer to these caches. So
 * the struct that it may look into stays, and says that it is not to be used.
 *
 * Not here: what is cached; see value_cache.c.
 */
#include "binding/thread_cache.h"

#ifdef Py_GIL_DISABLED

enum {
    // A thread that looks up a few keys needs no cache.
    WORTH = 64,
    // A cache is taken from its snapshot after so many lookups in others.
    PATIENCE = 4096,
};

_Thread_local struct thread_cache *thread_cache_own;
_Atomic uint32_t thread_cache_ends;

static _Thread_local size_t wanted;

/* ---- lives of snapshots ------------------------------------------------- */

struct cache_life *
cache_life_create(void)
{
    struct cache_life *life = PyMem_RawCalloc(1, sizeof(*life));
    if (life != NULL) {
        atomic_init(&life->references, 1);
    }
    return life;
}

static void
drop_life(struct cache_life *life)
{
    if (atomic_fetch_sub(&life->references, 1) == 1) {
        PyMem_RawFree(life);
    }
}

void
cache_life_end(struct cache_life *life, const struct state *state)
{
    if (life == NULL) {
        return;
    }
    atomic_store(&life->is_over, true);
    if (atomic_load(&life->references) > 1) {
        atomic_fetch_add(&thread_cache_ends, 1);
        (void)thread_cache_get(state);  // sweeps
    }
    drop_life(life);
}

/* ---- the caches of a thread --------------------------------------------- */

static void
clear_entry(struct thread_cache_entry *entry)
{
    if (entry->life != NULL) {
        value_cache_clear(&entry->values);
        drop_life(entry->life);
        entry->life = NULL;
    }
}

void
thread_cache_sweep(struct thread_cache *own)
{
    own->ends = atomic_load(&thread_cache_ends);
    for (size_t i = 0; i < THREAD_CACHE_MAPS; i++) {
        struct thread_cache_entry *entry = &own->entries[i];
        if (entry->life != NULL && atomic_load(&entry->life->is_over)) {
            clear_entry(entry);
        }
    }
}

struct value_cache *
thread_cache_add(struct thread_cache *own, struct cache_life *life,
                 uint64_t slot_count)
{
    size_t first = thread_cache_index(life);
    struct thread_cache_entry *entry = &own->entries[first];
    for (size_t i = 1; entry->life != NULL && i < THREAD_CACHE_MAPS; i++) {
        entry = &own->entries[(first + i) % THREAD_CACHE_MAPS];
    }
    if (entry->life != NULL) {
        // Maps that take turns would spend their time on clearing caches.
        own->refused += 1;
        if (own->refused % PATIENCE != 0) {
            return NULL;
        }
        entry = &own->entries[first];
        clear_entry(entry);
    }
    atomic_fetch_add(&life->references, 1);
    entry->life = life;
    value_cache_init(&entry->values, slot_count, &own->spare);
    return &entry->values;
}

static void
release(PyObject *capsule)
{
    struct thread_cache *cache = PyCapsule_GetPointer(capsule, NULL);
    for (size_t i = 0; i < THREAD_CACHE_MAPS; i++) {
        clear_entry(&cache->entries[i]);
    }
    PyMem_Free(cache->spare.by_key);
    PyMem_Free(cache->spare.tags);
    if (cache == thread_cache_own) {
        thread_cache_own = NULL;
        PyMem_RawFree(cache);
    }
    else {
        atomic_store(&cache->interpreter, -1);
    }
}

/* A new capsule with new caches, or NULL with an exception. */
static PyObject *
make(const struct state *state)
{
    struct thread_cache *cache = PyMem_RawCalloc(1, sizeof(*cache));
    if (cache == NULL) {
        return PyErr_NoMemory();
    }
    atomic_init(&cache->interpreter, state->interpreter);
    cache->ends = atomic_load(&thread_cache_ends);
    PyObject *capsule = PyCapsule_New(cache, NULL, release);
    if (capsule == NULL) {
        PyMem_RawFree(cache);
    }
    return capsule;
}

/* A new reference to the capsule in the dict of the thread's state, or NULL
 * with an exception. */
static PyObject *
take_capsule(const struct state *state, PyObject *dict)
{
    // Not a name: two builds of this module may be loaded.
    PyObject *capsule = NULL, *key = PyLong_FromVoidPtr(&thread_cache_ends);
    if (key != NULL && PyDict_GetItemRef(dict, key, &capsule) == 0) {
        capsule = make(state);
        if (capsule != NULL && PyDict_SetItem(dict, key, capsule) < 0) {
            Py_CLEAR(capsule);
        }
    }
    Py_XDECREF(key);
    return capsule;
}

void
thread_cache_want(const struct state *state, size_t count)
{
    wanted += count;
    if (wanted < WORTH) {
        return;
    }
    wanted = 0;
    PyObject *dict = PyThreadState_GetDict();
    PyObject *capsule = dict != NULL ? take_capsule(state, dict) : NULL;
    if (capsule != NULL) {
        thread_cache_own = PyCapsule_GetPointer(capsule, NULL);
        Py_DECREF(capsule);
    }
    PyErr_Clear();
}

#endif
