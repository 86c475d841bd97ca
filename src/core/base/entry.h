/* core/base/entry.h
 *
 * One key with its value, and the types of values.
 *
 * An entry borrows its bytes: from a tree, from a snapshot, from the caller.
 */
#ifndef SHAREDMAP_CORE_BASE_ENTRY_H
#define SHAREDMAP_CORE_BASE_ENTRY_H

#include <stdbool.h>

#include "core/base/slice.h"

/* The numbers are part of the snapshot format (docs/FORMAT.md): they are
 * stored in three bits and never change their meaning. */
enum value_type {
    VALUE_NONE = 0,   // no bytes
    VALUE_BOOL = 1,   // one byte, 0 or 1
    VALUE_INT = 2,    // two's complement, little-endian, as short as possible
    VALUE_FLOAT = 3,  // IEEE 754 binary64, little-endian
    VALUE_STR = 4,    // UTF-8, lone surrogates encoded like other code points
    VALUE_BYTES = 5,  // as they are, aligned to 8 bytes inside a snapshot
    VALUE_ENCODED = 6,    // made by the caller's encoder, aligned likewise
    VALUE_CONTAINER = 7,  // list, tuple or dict as MessagePack: never empty
};

enum { VALUE_TYPE_COUNT = 8 };

/* Whether a snapshot aligns the value, for zero-copy use. */
static inline bool
value_type_is_aligned(enum value_type type)
{
    return type == VALUE_BYTES || type == VALUE_ENCODED;
}

struct value {
    struct slice bytes;
    enum value_type type;
};

static inline bool
value_equals(const struct value *left, const struct value *right)
{
    return left->type == right->type
           && slice_equals(left->bytes, right->bytes);
}

struct entry {
    struct slice key;
    struct value value;
};

#endif
