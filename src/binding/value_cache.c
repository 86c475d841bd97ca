/* binding/value_cache.c
 *
 *     tags     | two bytes of hashes | ...       of the last key at the index,
 *                                              of the key in by_key
 *     by_key   | key, value | key, value | ...   index: hash of the str
 *     by_slot  | value | value | ...             index: slot of the snapshot
 *
 * Each array is allocated when it pays off. An array that cannot be allocated
 * is not used.
 *
 * The versions of a map that changes all the time follow each other quickly, and
 * each has a cache. So the arrays by key pass from one that has gone to the
 * next, if few pairs of it were in use: allocating and clearing them took 3 us,
 * six times as long as the rest of a lookup that finds a new version.
 *
 * Not here: the lookups that use the cache; see sharedmap_lookup.c.
 */
#include "binding/value_cache.h"

/* Larger values and keys are not worth what they would occupy: with 4 bytes for
 * each character, a full cache has 32 MiB; without a GIL 8 MiB, but there each
 * thread has one. */
#ifdef Py_GIL_DISABLED
enum { LARGEST_VALUE = 256, LARGEST_KEY = 256 };
#else
enum { LARGEST_VALUE = 1024, LARGEST_KEY = 1024 };
#endif

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
    if (cache->tags == NULL) {
        // What the last cache has seen is as likely to come again.
        cache->tags = cache->spare->tags;
        cache->spare->tags = NULL;
    }
    if (cache->tags == NULL) {
        cache->tags = PyMem_Calloc(VALUE_CACHE_SIZE, sizeof(*cache->tags));
        if (cache->tags == NULL) {
            return false;
        }
    }
    struct value_cache_tags *tags = &cache->tags[value_cache_index(hash)];
    unsigned char tag = value_cache_tag(hash);
    bool is_same = tags->seen == tag;
    tags->seen = tag;
    return is_same;
}

void
value_cache_put(struct value_cache *cache, PyObject *key, PyObject *value)
{
    Py_hash_t hash = value_cache_hash(key);
    // The objects by slot come first: there is one for each value then.
    if ((value_cache_has_slots(cache) && cache->by_slot == NULL) || hash == -1
        || PyUnicode_GET_LENGTH(key) > LARGEST_KEY || !was_seen(cache, hash)
        || !is_worth_keeping(value))
    {
        return;
    }
    // Only now: many programs look up each key only once.
    if (cache->by_key == NULL) {
        cache->by_key = cache->spare->by_key;
        cache->spare->by_key = NULL;
    }
    if (cache->by_key == NULL) {
        cache->by_key = PyMem_Calloc(1, sizeof(*cache->by_key));
        if (cache->by_key == NULL) {
            return;
        }
    }
    size_t index = value_cache_index(hash);
    cache->tags[index].kept = value_cache_tag(hash);
    struct value_cache_pairs *by_key = cache->by_key;
    struct value_cache_pair *pair = &by_key->pairs[index];
    if (pair->key == NULL) {
        if (by_key->count < VALUE_CACHE_LISTED) {
            by_key->listed[by_key->count] = (uint16_t)index;
        }
        by_key->count += 1;
    }
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
clear_pair(struct value_cache_pair *pair)
{
    Py_CLEAR(pair->key);
    Py_CLEAR(pair->value);
}

/* Returns whether it can be used again. */
static bool
clear_pairs(struct value_cache_pairs *by_key)
{
    bool is_listed = by_key->count <= VALUE_CACHE_LISTED;
    size_t count = is_listed ? by_key->count : VALUE_CACHE_SIZE;
    for (size_t i = 0; i < count; i++) {
        clear_pair(&by_key->pairs[is_listed ? by_key->listed[i] : i]);
    }
    by_key->count = 0;
    return is_listed;
}

static void
clear_by_key(struct value_cache *cache)
{
    if (cache->by_key != NULL) {
        if (clear_pairs(cache->by_key) && cache->spare->by_key == NULL) {
            cache->spare->by_key = cache->by_key;
        }
        else {
            PyMem_Free(cache->by_key);
        }
    }
    if (cache->tags != NULL && cache->spare->tags == NULL) {
        cache->spare->tags = cache->tags;
    }
    else {
        PyMem_Free(cache->tags);
    }
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
