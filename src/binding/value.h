/* binding/value.h
 *
 * Python's values <-> the core's. What goes in comes back with the same type
 * and value; what cannot goes through the user's own encoder and decoder, and
 * without one is a TypeError on the way in.
 */
#ifndef SHAREDMAP_BINDING_VALUE_H
#define SHAREDMAP_BINDING_VALUE_H

#include "binding/state.h"
#include "binding/text.h"
#include "core/base/entry.h"

/* A Python object as a value of the core. The value borrows from the object,
 * from `owner`, or from the struct itself; so it must not move, and the object
 * must outlive it. */
struct packed_value {
    struct value value;
    struct text text;
    unsigned char scratch[8];
    PyObject *owner;  // owned: what the encoder answered; NULL if not called
};

/* `encode` is called for objects of other types; NULL for none. It is Python
 * code that may do anything, so the caller holds a reference to it. -1 with
 * TypeError, MemoryError or what the encoder raised. */
int
value_pack(struct packed_value *packed, PyObject *object, PyObject *encode);

void
value_clear(struct packed_value *packed);

/* A new object; for an encoded value its bytes, which want value_decode().
 * Runs no Python code unless it fails: NULL with SnapshotError when the bytes
 * cannot be what the type says, which never happens to those of a tree, or
 * MemoryError. */
PyObject *
value_unpack(struct state *state, const struct value *value);

/* What the user's decoder makes of the bytes, as a new reference. NULL with
 * what it raised, or TypeError when `decode` is NULL. */
PyObject *
value_decode(PyObject *decode, PyObject *encoded);

/* A new str from the bytes of a key or a value, like text_decode(), but text
 * that is not UTF-8 is a SnapshotError. */
PyObject *
value_unpack_text(struct state *state, struct slice bytes);

/* For encode= and decode=: a new reference, NULL in `hook` for None. -1 with
 * TypeError when it cannot be called. */
int
value_parse_hook(const char *name, PyObject *object, PyObject **hook);

#endif
