/* core/slice.h
 *
 * A run of bytes that belongs to somebody else, and the order of keys.
 *
 * A slice borrows: it must not outlive the bytes it points to. Keys compare
 * as unsigned bytes, a prefix before what it begins. For UTF-8 this is the
 * order of code points, and so the order of Python's str.
 */
#ifndef SHAREDMAP_CORE_SLICE_H
#define SHAREDMAP_CORE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const unsigned char *bytes;  // borrowed; may be NULL if size is 0
    size_t size;
};

/* Negative, zero or positive, as memcmp() answers. */
static inline int
slice_compare(struct slice left, struct slice right)
{
    size_t common = left.size < right.size ? left.size : right.size;
    // memcmp(NULL, ..., 0) is undefined in C11, and empty slices may be NULL.
    int order = common > 0 ? memcmp(left.bytes, right.bytes, common) : 0;
    if (order != 0) {
        return order;
    }
    return (left.size > right.size) - (left.size < right.size);
}

static inline bool
slice_equals(struct slice left, struct slice right)
{
    return left.size == right.size
           && (left.size == 0
               || memcmp(left.bytes, right.bytes, left.size) == 0);
}

/* Copies the slice to `to`, which has room for it. */
static inline void
slice_copy(void *to, struct slice from)
{
    if (from.size > 0) {
        memcpy(to, from.bytes, from.size);
    }
}

#endif
