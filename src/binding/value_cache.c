/* binding/value_cache.c
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

void
value_cache_put(struct value_cache *cache, PyObject *key, PyObject *value)
{
    Py_hash_t hash = value_cache_hash(key);
    if (hash == -1) {
        return;
    }
    if (cache->slots == NULL) {
        cache->slots = PyMem_Calloc(VALUE_CACHE_SLOTS, sizeof(*cache->slots));
        if (cache->slots == NULL) {
            return;
        }
    }
    struct value_cache_slot *slot = value_cache_slot(cache, hash);
    if (slot->hash != hash) {
        slot->hash = hash;
        return;
    }
    if (is_worth_keeping(value)) {
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
    cache->slots = NULL;
}
