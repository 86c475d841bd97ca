/* binding/value_cache.c
 *
 *     slots   | key, value | key, value | ...     where the hash leads
 *     seen    | byte of a hash | ...              of the key seen there last
 *
 * Not here: who asks; see sharedmap_lookup.c.
 */
#include "binding/value_cache.h"

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

static bool
allocate(struct value_cache *cache)
{
    cache->slots = PyMem_Calloc(VALUE_CACHE_SLOTS, sizeof(*cache->slots) + 1);
    if (cache->slots == NULL) {
        return false;
    }
    cache->seen = (unsigned char *)(cache->slots + VALUE_CACHE_SLOTS);
    return true;
}

void
value_cache_put(struct value_cache *cache, PyObject *key, PyObject *value)
{
    Py_hash_t hash = value_cache_hash(key);
    if (hash == -1 || (cache->slots == NULL && !allocate(cache))) {
        return;
    }
    size_t index = value_cache_index(hash);
    unsigned char tag = (unsigned char)((size_t)hash / VALUE_CACHE_SLOTS);
    if (cache->seen[index] != tag) {
        cache->seen[index] = tag;
        return;
    }
    if (is_worth_keeping(value)) {
        struct value_cache_slot *slot = &cache->slots[index];
        Py_XSETREF(slot->key, Py_NewRef(key));
        Py_XSETREF(slot->value, Py_NewRef(value));
    }
}

void
value_cache_clear(struct value_cache *cache)
{
    if (cache->slots == NULL) {
        return;
    }
    for (size_t i = 0; i < VALUE_CACHE_SLOTS; i++) {
        Py_XDECREF(cache->slots[i].key);
        Py_XDECREF(cache->slots[i].value);
    }
    PyMem_Free(cache->slots);
    *cache = (struct value_cache){.slots = NULL};
}
