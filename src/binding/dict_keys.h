/* binding/dict_keys.h
 *
 * The keys of dicts in containers: rows of a table have the same few, and so
 * has a configuration each time it is read. A str that was such a key is taken
 * again, if nothing else came between: that spares its allocation, and the
 * computation of its hash.
 *
 *     keys   | "host" | "port" | free | ...     index: of a few letters
 *
 * Belongs to an interpreter, as objects do; used under the GIL. Without one
 * there is a cache for each container that is read.
 */
#ifndef SHAREDMAP_BINDING_DICT_KEYS_H
#define SHAREDMAP_BINDING_DICT_KEYS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "core/base/slice.h"

#ifdef Py_GIL_DISABLED
enum { DICT_KEYS_COUNT = 64 };
#else
enum { DICT_KEYS_COUNT = 1024 };
#endif

/* Longer ones are not worth what they would occupy. */
enum { DICT_KEYS_LONGEST = 32 };

/* Empty when all zero. */
struct dict_keys {
    PyObject *keys[DICT_KEYS_COUNT];  // owned exact str, ASCII, not empty
};

/* Where a key would be. Names differ in their first, middle or last letters, or
 * in their size. */
static inline PyObject **
dict_keys_at(struct dict_keys *keys, struct slice key)
{
    size_t mixed = key.bytes[0] * 67U + key.bytes[key.size / 2] * 251U
                   + key.bytes[key.size - 1] * 13U + key.size * 31U;
    return &keys->keys[mixed % DICT_KEYS_COUNT];
}

static inline void
dict_keys_clear(struct dict_keys *keys)
{
    for (size_t i = 0; i < DICT_KEYS_COUNT; i++) {
        Py_CLEAR(keys->keys[i]);
    }
}

#endif
