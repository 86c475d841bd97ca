/* binding/key_filter.h
 *
 * Which str objects were looked up lately while they had no hash: keys that
 * come from a parser or a database. An object that comes again is worth its
 * hash, with which the value cache finds its value; one that is looked up once
 * is not.
 *
 *     words   | tag, tag, tag, tag | tag, tag, tag, tag | ...
 *                 latest ... oldest      16 bits each
 *
 * The index and the tag are from the address and the last bytes of the object:
 * a new str is often where another has just been freed, and the bytes tell
 * them apart. Two objects may have the same, and then one is hashed too early.
 * Objects with one index drive out each other: four tags, so that of a
 * thousand that come in turn all are found. Belongs to an interpreter, as
 * objects do, and is used under the GIL; without one it belongs to a thread.
 */
#ifndef SHAREDMAP_BINDING_KEY_FILTER_H
#define SHAREDMAP_BINDING_KEY_FILTER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { KEY_FILTER_BITS = 10 };

/* Empty when all zero. */
struct key_filter {
    uint64_t words[1 << KEY_FILTER_BITS];
};

/* Whether the exact str came lately; it has now. */
static inline bool
key_filter_meet(struct key_filter *filter, PyObject *key)
{
    uint64_t last = 0;
    size_t size = (size_t)PyUnicode_GET_LENGTH(key) * PyUnicode_KIND(key);
    const char *bytes = PyUnicode_DATA(key);
    if (size >= sizeof(last)) {
        memcpy(&last, bytes + size - sizeof(last), sizeof(last));
    }
    else {
        memcpy(&last, bytes, size);
    }
    // In a product, bits depend on lower ones only: the last byte becomes the
    // lowest, the address keeps above it.
    uint64_t mixed =
        (__builtin_bswap64(last) + ((uint64_t)(uintptr_t)key << 28))
        * UINT64_C(0xD6E8FEB86659FD93);
    uint64_t *word = &filter->words[mixed >> (64 - KEY_FILTER_BITS)];
    uint64_t tag = mixed >> 38 & 0xFFFF;
    // Whether one of the four is equal: their difference has a zero.
    const uint64_t ones = UINT64_C(0x0001000100010001);
    uint64_t differences = *word ^ tag * ones;
    if (((differences - ones) & ~differences & ones << 15) != 0) {
        return true;
    }
    *word = *word << 16 | tag;
    return false;
}

#endif
