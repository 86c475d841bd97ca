/* binding/value_cache.c
 *
 *     seen    | byte of a hash | ...              of the key seen there last
 *     slots   | key, value | key, value | ...     where the hash leads
 *     places  | value | value | ...               where the snapshot has it
 *
 * Each is allocated when it is worth it, and what it could not get memory for
 * it does without.
 *
 * Not here: who asks; see sharedmap_lookup.c.
 */
#include "binding/value_cache.h"

#ifndef Py_GIL_DISABLED

/* Larger values are not worth what they would occupy. */
enum { LARGEST_VALUE = 1024 };

static bool
is_worth_keeping(PyObject *value)
{
    if (PyUnicode_CheckExact(value)) {
        return PyUnicode_GET_LENGTH(value) <= LARGEST_VALUE;
    }
    if (PyBytes_CheckExact(value)) {
        return PyBytes_GET_SIZE(value) <= LARGEST_VALUE;
    }
    return PyLong_CheckExact(value) || PyFloat_CheckExact(value);
}

/* Whether the key was the last one seen where its hash leads; it is now. */
static bool
was_seen(struct value_cache *cache, Py_hash_t hash)
{
    size_t index = value_cache_index(hash);
    unsigned char tag = (unsigned char)((size_t)hash / VALUE_CACHE_SLOTS);
    if (cache->seen == NULL) {
        cache->seen = PyMem_Calloc(VALUE_CACHE_SLOTS, sizeof(*cache->seen));
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
    if (hash == -1 || !was_seen(cache, hash) || !is_worth_keeping(value)) {
        return;
    }
    // Only now: many a map is asked for each of its keys once.
    if (cache->slots == NULL) {
        cache->slots = PyMem_Calloc(VALUE_CACHE_SLOTS, sizeof(*cache->slots));
        if (cache->slots == NULL) {
            return;
        }
    }
    struct value_cache_slot *slot = &cache->slots[value_cache_index(hash)];
    Py_XSETREF(slot->key, Py_NewRef(key));
    Py_XSETREF(slot->value, Py_NewRef(value));
}

void
value_cache_put_at(struct value_cache *cache, uint64_t place, PyObject *value)
{
    if (cache->places == NULL) {
        cache->missed += 1;
        if (cache->missed < cache->place_count) {
            return;
        }
        cache->places = PyMem_Calloc(cache->place_count, sizeof(void *));
        if (cache->places == NULL) {
            return;
        }
    }
    if (is_worth_keeping(value)) {
        Py_XSETREF(cache->places[place], Py_NewRef(value));
    }
}

static void
clear_slots(struct value_cache *cache)
{
    for (size_t i = 0; cache->slots != NULL && i < VALUE_CACHE_SLOTS; i++) {
        Py_XDECREF(cache->slots[i].key);
        Py_XDECREF(cache->slots[i].value);
    }
    PyMem_Free(cache->slots);
    PyMem_Free(cache->seen);
}

static void
clear_places(struct value_cache *cache)
{
    for (size_t i = 0; cache->places != NULL && i < cache->place_count; i++) {
        Py_XDECREF(cache->places[i]);
    }
    PyMem_Free(cache->places);
}

void
value_cache_clear(struct value_cache *cache)
{
    clear_slots(cache);
    clear_places(cache);
    *cache = (struct value_cache){.slots = NULL};
}

#endif
