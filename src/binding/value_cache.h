/* binding/value_cache.h
 *
 * Caches values as the objects that lookups returned. There are two indices:
 *
 *     by key    for any map: values that are looked up repeatedly with a key
 *               whose hash is known. A hit does not read the snapshot.
 *     by slot   for a small map: all values. A hit still searches the
 *               snapshot, but creates no object.
 *
 * Cached values are immutable, and a snapshot never changes, so an object can
 * be returned any number of times. The cache belongs to a snapshot; it holds
 * keys and values, which hold no other objects. Used under the GIL, where it
 * dies with the snapshot, or by one thread: thread_cache.h.
 */
#ifndef SHAREDMAP_BINDING_VALUE_CACHE_H
#define SHAREDMAP_BINDING_VALUE_CACHE_H

#include "binding/state.h"

struct value_cache_pair {
    PyObject *key;    // owned exact str; NULL when free
    PyObject *value;  // owned
};

enum {
    VALUE_CACHE_SIZE = 4096,
    // Without by_slot, get_many() of 1 k entries takes 1.4 to 1.6 times as
    // long.
    VALUE_CACHE_MAX_SLOTS = 4096,
    // With more pairs in use the arrays are not worth clearing for another.
    VALUE_CACHE_LISTED = 32,
};

struct value_cache_pairs {
    struct value_cache_pair pairs[VALUE_CACHE_SIZE];
    size_t count;                         // in use
    uint16_t listed[VALUE_CACHE_LISTED];  // the index of each, of so many
};

/* A byte of two hashes: of the last key with this index, and of the one whose
 * value is kept. Most lookups that miss read nothing else. */
struct value_cache_tags {
    unsigned char seen, kept;
};

/* Empty when all zero. */
struct value_cache {
    struct value_cache_pairs *by_key;  // owned; NULL until the first put
    struct value_cache_tags *tags;     // owned; NULL until a key is seen
    PyObject **by_slot;                // owned; NULL until it pays off
    uint64_t slot_count;               // 0 when too many for this cache
    uint64_t missed;                   // values made while by_slot is NULL
    struct value_cache_spare *spare;   // borrowed
};

/* For a snapshot with that many slots. Borrows the spare. */
static inline void
value_cache_init(struct value_cache *cache, uint64_t slot_count,
                 struct value_cache_spare *spare)
{
    *cache = (struct value_cache){
        .spare = spare,
        .slot_count = slot_count <= VALUE_CACHE_MAX_SLOTS ? slot_count : 0,
    };
}

/* The hash that the str has computed already, -1 if it has not. */
static inline Py_hash_t
value_cache_hash(PyObject *key)
{
#ifdef Py_GIL_DISABLED
    // Another thread may be computing it.
    return __atomic_load_n(&((PyASCIIObject *)key)->hash, __ATOMIC_RELAXED);
#else
    return ((PyASCIIObject *)key)->hash;
#endif
}

static inline size_t
value_cache_index(Py_hash_t hash)
{
    return (size_t)hash % VALUE_CACHE_SIZE;
}

static inline unsigned char
value_cache_tag(Py_hash_t hash)
{
    return (unsigned char)((size_t)hash / VALUE_CACHE_SIZE);
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
    size_t index = value_cache_index(hash);
    if (hash == -1 || cache->by_key == NULL
        || cache->tags[index].kept != value_cache_tag(hash))
    {
        return NULL;
    }
    const struct value_cache_pair *pair = &cache->by_key->pairs[index];
    if (pair->key == key
        || (pair->key != NULL && value_cache_hash(pair->key) == hash
            && value_cache_equal(pair->key, key)))
    {
        return Py_NewRef(pair->value);
    }
    return NULL;
}

/* Whether the map is so small that most of its values are cached by key, once
 * they have been looked up: then any key is worth its hash. */
static inline bool
value_cache_holds_all(const struct value_cache *cache)
{
    return cache->slot_count > 0 && cache->slot_count <= VALUE_CACHE_SIZE / 2;
}

/* Keeps the value if the last key with the same index had the same hash. So
 * keys that are looked up once do not evict frequent ones. Never fails. */
void
value_cache_put(struct value_cache *cache, PyObject *key, PyObject *value);

/* Whether all values can be cached by slot. */
static inline bool
value_cache_has_slots(const struct value_cache *cache)
{
    return cache->slot_count > 0;
}

/* A new reference to the value of the entry in the slot, or NULL. */
static inline PyObject *
value_cache_get_at(const struct value_cache *cache, uint64_t slot)
{
    return cache->by_slot != NULL ? Py_XNewRef(cache->by_slot[slot]) : NULL;
}

/* Keeps the value of the entry in the slot, once as many values have been made
 * as there are slots: then the array costs less than those did. Never fails.
 */
void
value_cache_put_at(struct value_cache *cache, uint64_t slot, PyObject *value);

void
value_cache_clear(struct value_cache *cache);

#endif
