/* core/base/slice.h
 *
 * A run of borrowed bytes, and the order of keys.
 *
 * A slice borrows: it must not outlive the bytes it points to. Keys compare
 * as unsigned bytes, a prefix before what it begins. For UTF-8 this is the
 * order of code points, and so the order of Python's str.
 */
#ifndef SHAREDMAP_CORE_BASE_SLICE_H
#define SHAREDMAP_CORE_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const unsigned char *bytes;  // borrowed; may be NULL if size is 0
    size_t size;
};

/* Eight bytes as a number whose order is the order of the bytes. */
static inline uint64_t
slice_word(const unsigned char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return __builtin_bswap64(word);
}

/* The order of two runs of `size` bytes. Keys are short, so most do not pay
 * for a call: they are compared as words, the last of which may overlap bytes
 * that are known to be equal. */
static inline int
slice_compare_bytes(const unsigned char *left, const unsigned char *right,
                    size_t size)
{
    if (size > 64 || size < sizeof(uint64_t)) {
        // memcmp(NULL, ..., 0) is undefined in C11, and empty slices may be.
        return size > 0 ? memcmp(left, right, size) : 0;
    }
    size_t last = size - sizeof(uint64_t);
    for (size_t at = 0;; at = at + 8 < last ? at + 8 : last) {
        uint64_t left_word = slice_word(left + at);
        uint64_t right_word = slice_word(right + at);
        if (left_word != right_word) {
            return left_word < right_word ? -1 : 1;
        }
        if (at == last) {
            return 0;
        }
    }
}

/* Negative, zero or positive, like memcmp(). */
static inline int
slice_compare(struct slice left, struct slice right)
{
    size_t common = left.size < right.size ? left.size : right.size;
    int order = slice_compare_bytes(left.bytes, right.bytes, common);
    if (order != 0) {
        return order;
    }
    return (left.size > right.size) - (left.size < right.size);
}

/* Whether two runs of `size` bytes are equal. Short ones, which keys are, do
 * not pay for a call: they are compared as words that may overlap. */
static inline bool
slice_equal_bytes(const unsigned char *left, const unsigned char *right,
                  size_t size)
{
    if (size > 32 || size < 8) {
        return size == 0 || memcmp(left, right, size) == 0;
    }
    uint64_t differences = 0, words[2];
    size_t last = size - sizeof(*words);
    for (size_t at = 0; at < last; at += sizeof(*words)) {
        memcpy(&words[0], left + at, sizeof(*words));
        memcpy(&words[1], right + at, sizeof(*words));
        differences |= words[0] ^ words[1];
    }
    memcpy(&words[0], left + last, sizeof(*words));
    memcpy(&words[1], right + last, sizeof(*words));
    return (differences | (words[0] ^ words[1])) == 0;
}

static inline bool
slice_equals(struct slice left, struct slice right)
{
    return left.size == right.size
           && slice_equal_bytes(left.bytes, right.bytes, left.size);
}

/* Copies the slice to `to`, which has room for it, and returns what is behind
 * the copy. Short ones do not pay for a call, as above. */
static inline unsigned char *
slice_copy(void *to, struct slice from)
{
    unsigned char *copy = to;
    uint64_t word;
    if (from.size > 64 || from.size < sizeof(word)) {
        if (from.size > 0) {
            memcpy(copy, from.bytes, from.size);
        }
        return copy + from.size;
    }
    size_t last = from.size - sizeof(word);
    for (size_t at = 0; at < last; at += sizeof(word)) {
        memcpy(&word, from.bytes + at, sizeof(word));
        memcpy(copy + at, &word, sizeof(word));
    }
    memcpy(&word, from.bytes + last, sizeof(word));
    memcpy(copy + last, &word, sizeof(word));
    return copy + from.size;
}

#endif
