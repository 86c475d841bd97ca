/* binding/value.h
 *
 * Python's values <-> the core's. What goes in comes back with the same type
 * and value; what cannot is a TypeError on the way in.
 */
#ifndef SHAREDMAP_BINDING_VALUE_H
#define SHAREDMAP_BINDING_VALUE_H

#include "binding/state.h"
#include "binding/text.h"
#include "core/entry.h"

/* A Python object as a value of the core. The value borrows from the object
 * or from `text`; so it must not move, and the object must outlive it. */
struct packed_value {
    struct value value;
    struct text text;
};

/* -1 with TypeError or MemoryError. */
int
value_pack(struct packed_value *packed, PyObject *object);

void
value_clear(struct packed_value *packed);

/* A new object. NULL with SnapshotError when the bytes cannot be what the
 * type says, or MemoryError. */
PyObject *
value_unpack(struct state *state, const struct value *value);

/* A new str from the bytes of a key or a value, like text_decode(), but text
 * that is not UTF-8 is a SnapshotError. */
PyObject *
value_unpack_text(struct state *state, struct slice bytes);

#endif
