/* binding/value_cache.h
 *
 * A few values that were looked up more than once lately, as the objects that
 * they were returned as: for programs that ask for the same keys again and
 * again.
 *
 * Values that are cached are immutable, and a snapshot never changes, so an
 * object can be returned any number of times. The cache belongs to a snapshot
 * and dies with it; it holds keys and values, which hold nothing. Used under
 * the GIL; without one there is no cache.
 */
#ifndef SHAREDMAP_BINDING_VALUE_CACHE_H
#define SHAREDMAP_BINDING_VALUE_CACHE_H

#include "binding/state.h"

struct value_cache_slot {
    Py_hash_t hash;   // of the key that was seen here last
    PyObject *key;    // owned exact str; NULL when free
    PyObject *value;  // owned
};

/* Empty when all zero. */
struct value_cache {
    struct value_cache_slot *slots;  // owned; NULL until the first is needed
};

enum { VALUE_CACHE_SLOTS = 1024 };

/* The hash that the str has computed already, -1 if it has not. A key that
 * nobody ever hashed is hardly one that is asked for again. */
static inline Py_hash_t
value_cache_hash(PyObject *key)
{
    return ((PyASCIIObject *)key)->hash;
}

static inline struct value_cache_slot *
value_cache_slot(const struct value_cache *cache, Py_hash_t hash)
{
    return &cache->slots[(size_t)hash % VALUE_CACHE_SLOTS];
}

/* Whether the str in the slot is equal to the key, which has the hash. */
static inline bool
value_cache_slot_is(const struct value_cache_slot *slot, PyObject *key,
                    Py_hash_t hash)
{
    if (slot->key == key) {
        return true;
    }
    return slot->hash == hash && slot->key != NULL
           && value_cache_hash(slot->key) == hash
           && PyUnicode_GET_LENGTH(slot->key) == PyUnicode_GET_LENGTH(key)
           && PyUnicode_KIND(slot->key) == PyUnicode_KIND(key)
           && memcmp(PyUnicode_DATA(slot->key), PyUnicode_DATA(key),
                     (size_t)PyUnicode_GET_LENGTH(key)
                         * (size_t)PyUnicode_KIND(key))
                  == 0;
}

/* A new reference to the value of an exact str, or NULL. */
static inline PyObject *
value_cache_get(const struct value_cache *cache, PyObject *key)
{
    Py_hash_t hash = value_cache_hash(key);
    if (hash == -1 || cache->slots == NULL) {
        return NULL;
    }
    const struct value_cache_slot *slot = value_cache_slot(cache, hash);
    return value_cache_slot_is(slot, key, hash) ? Py_NewRef(slot->value)
                                                : NULL;
}

/* Keeps the value if its key was the last one seen in its slot, so that keys
 * that come once do not push out those that come often. Never fails. */
void
value_cache_put(struct value_cache *cache, PyObject *key, PyObject *value);

void
value_cache_clear(struct value_cache *cache);

#endif
