/* binding/value_cache.c
 *
 *     seen     | byte of a hash | ...            of the last key at the index
 *     by_key   | key, value | key, value | ...   index: hash of the str
 *     by_slot  | value | value | ...             index: slot of the snapshot
 *
 * Each array is allocated when it pays off. An array that cannot be allocated
 * is not used.
 *
 * Not here: the lookups that use the cache; see sharedmap_lookup.c.
 */
#include "binding/value_cache.h"

#ifndef Py_GIL_DISABLED

/* Larger values and keys are not worth what they would occupy: with 4 bytes for
 * each character, a full cache has 32 MiB. */
enum { LARGEST_VALUE = 1024, LARGEST_KEY = 1024 };

static bool
is_worth_keeping(PyObject *value)
{
    if (PyUnicode_CheckExact(value)) {
        return PyUnicode_GET_LENGTH(value) <= LARGEST_VALUE;
    }
    if (PyBytes_CheckExact(value)) {
        return PyBytes_GET_SIZE(value) <= LARGEST_VALUE;
    }
    if (PyLong_CheckExact(value)) {
        int overflow;
        (void)PyLong_AsLongLongAndOverflow(value, &overflow);
        return overflow == 0;
    }
    return PyFloat_CheckExact(value);
}

/* Whether the last key with this index had the same hash; records the hash. */
static bool
was_seen(struct value_cache *cache, Py_hash_t hash)
{
    size_t index = value_cache_index(hash);
    unsigned char tag = (unsigned char)((size_t)hash / VALUE_CACHE_SIZE);
    if (cache->seen == NULL) {
        cache->seen = PyMem_Calloc(VALUE_CACHE_SIZE, sizeof(*cache->seen));
        if (cache->seen == NULL) {
            return false;
        }
    }
    bool is_same = cache->seen[index] == tag;
    cache->seen[index] = tag;
    return is_same;
}

void
value_cache_put(struct value_cache *cache, PyObject *key, PyObject *value)
{
    Py_hash_t hash = value_cache_hash(key);
    if (hash == -1 || PyUnicode_GET_LENGTH(key) > LARGEST_KEY
        || !was_seen(cache, hash) || !is_worth_keeping(value))
    {
        return;
    }
    // Only now: many programs look up each key only once.
    if (cache->by_key == NULL) {
        cache->by_key = PyMem_Calloc(VALUE_CACHE_SIZE, sizeof(*cache->by_key));
        if (cache->by_key == NULL) {
            return;
        }
    }
    struct value_cache_pair *pair = &cache->by_key[value_cache_index(hash)];
    Py_XSETREF(pair->key, Py_NewRef(key));
    Py_XSETREF(pair->value, Py_NewRef(value));
}

void
value_cache_put_at(struct value_cache *cache, uint64_t slot, PyObject *value)
{
    if (cache->by_slot == NULL) {
        cache->missed += 1;
        if (cache->missed < cache->slot_count) {
            return;
        }
        cache->by_slot = PyMem_Calloc(cache->slot_count, sizeof(void *));
        if (cache->by_slot == NULL) {
            return;
        }
    }
    if (is_worth_keeping(value)) {
        Py_XSETREF(cache->by_slot[slot], Py_NewRef(value));
    }
}

static void
clear_by_key(struct value_cache *cache)
{
    for (size_t i = 0; cache->by_key != NULL && i < VALUE_CACHE_SIZE; i++) {
        Py_XDECREF(cache->by_key[i].key);
        Py_XDECREF(cache->by_key[i].value);
    }
    PyMem_Free(cache->by_key);
    PyMem_Free(cache->seen);
}

static void
clear_by_slot(struct value_cache *cache)
{
    for (size_t i = 0; cache->by_slot != NULL && i < cache->slot_count; i++) {
        Py_XDECREF(cache->by_slot[i]);
    }
    PyMem_Free(cache->by_slot);
}

void
value_cache_clear(struct value_cache *cache)
{
    clear_by_key(cache);
    clear_by_slot(cache);
    *cache = (struct value_cache){.by_key = NULL};
}

#endif
