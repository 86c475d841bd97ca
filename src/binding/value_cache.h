/* binding/value_cache.h
 *
 * Some values as the objects that they were returned as. Two ways lead to them:
 *
 *     by key     of any map, those that are asked for again and again with a
 *                key whose hash is known: found without a look at the snapshot
 *     by place   of a small map, all of them: found instead of being made,
 *                after the snapshot was searched
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
    PyObject *key;    // owned exact str; NULL when free
    PyObject *value;  // owned
};

enum { VALUE_CACHE_SLOTS = 4096, VALUE_CACHE_PLACES = 4096 };

/* Empty when all zero. */
struct value_cache {
    struct value_cache_slot *slots;  // owned; NULL until the first is kept
    unsigned char *seen;             // owned; NULL until a key is seen
    PyObject **places;               // owned; NULL until they are worth it
    uint64_t place_count;            // 0 when there are too many
    uint64_t missed;                 // values, while there were no places
};

/* For a snapshot with so many places. */
static inline void
value_cache_init(struct value_cache *cache, uint64_t place_count)
{
    *cache = (struct value_cache){
        .place_count = place_count <= VALUE_CACHE_PLACES ? place_count : 0,
    };
}

/* The hash that the str has computed already, -1 if it has not. A key that
 * nobody ever hashed is hardly one that is asked for again. */
static inline Py_hash_t
value_cache_hash(PyObject *key)
{
    return ((PyASCIIObject *)key)->hash;
}

static inline size_t
value_cache_index(Py_hash_t hash)
{
    return (size_t)hash % VALUE_CACHE_SLOTS;
}

/* Whether two str with the same hash are equal. */
static inline bool
value_cache_equal(PyObject *left, PyObject *right)
{
    return PyUnicode_GET_LENGTH(left) == PyUnicode_GET_LENGTH(right)
           && PyUnicode_KIND(left) == PyUnicode_KIND(right)
           && memcmp(PyUnicode_DATA(left), PyUnicode_DATA(right),
                     (size_t)PyUnicode_GET_LENGTH(left)
                         * (size_t)PyUnicode_KIND(left))
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
    const struct value_cache_slot *slot =
        &cache->slots[value_cache_index(hash)];
    if (slot->key == key
        || (slot->key != NULL && value_cache_hash(slot->key) == hash
            && value_cache_equal(slot->key, key)))
    {
        return Py_NewRef(slot->value);
    }
    return NULL;
}

/* Keeps the value if its key was the last one seen where its hash leads, so
 * that keys that come once do not push out those that come often. Never
 * fails. */
void
value_cache_put(struct value_cache *cache, PyObject *key, PyObject *value);

/* Whether there is room for all values. */
static inline bool
value_cache_has_places(const struct value_cache *cache)
{
    return cache->place_count > 0;
}

/* A new reference to the value of the entry at `place`, or NULL. */
static inline PyObject *
value_cache_get_at(const struct value_cache *cache, uint64_t place)
{
    return cache->places != NULL ? Py_XNewRef(cache->places[place]) : NULL;
}

/* Keeps the value of the entry at `place`, once as many values have been made as
 * there are places: then the places cost less than that did. Never fails. */
void
value_cache_put_at(struct value_cache *cache, uint64_t place, PyObject *value);

void
value_cache_clear(struct value_cache *cache);

#endif
