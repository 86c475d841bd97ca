/* binding/value.h
 *
 * Python's values <-> the core's. Values of the built-in types come back with
 * the same type and value, convertible objects as the native value that they
 * contain. Others need the user's encoder and decoder; without an encoder,
 * storing them is a TypeError.
 */
#ifndef SHAREDMAP_BINDING_VALUE_H
#define SHAREDMAP_BINDING_VALUE_H

#include "binding/number.h"
#include "binding/state.h"
#include "binding/text.h"
#include "core/base/entry.h"
#include "core/base/msgpack.h"

/* A Python object as a value of the core. The value borrows from the object,
 * from `owner`, or from the struct itself; so it must not move, and the object
 * must outlive it. */
struct packed_value {
    struct value value;
    union {  // as the type of the value says
        struct text text;
        struct number number;
        struct msgpack_writer container;
        unsigned char scratch[8];  // of float and bool
        PyObject *owner;           // owned: result of the encoder, or bytes of
            // a convertible object, NULL of an exact one
    };
};

/* `encode` is called for all that is not exactly native, and for containers;
 * NULL for none. It may run any Python code, and so may reading a convertible
 * object: the caller holds references to all three objects. -1 with TypeError,
 * MemoryError, or ValueError for a container that is too deep, or with the
 * exception of that code; errors name the key, and `caller`, the operation that
 * the user called, as in "share()". A StopIteration of the encoder becomes a
 * RuntimeError. */
int
value_pack(struct packed_value *packed, PyObject *object, PyObject *encode,
           PyObject *key, const char *caller);

void
value_clear(struct packed_value *packed);

/* Whether value_unpack() gives the object itself, and not bytes that the caller
 * still has to decode by value_decode() or container_unpack(). */
static inline bool
value_is_simple(const struct value *value)
{
    return value->type < VALUE_ENCODED;
}

/* A new object; for an encoded value or a container its bytes. Runs no Python
 * code unless it fails. NULL with MemoryError, or with SnapshotError when the
 * bytes are not valid for the type; those of a tree always are. */
PyObject *
value_unpack(struct state *state, const struct value *value);

/* The result of the user's decoder for the bytes, as a new reference. NULL
 * with the exception of the decoder, or TypeError when `decode` is NULL. A
 * StopIteration of the decoder becomes a RuntimeError. */
PyObject *
value_decode(PyObject *decode, PyObject *encoded);

/* Whether two values are the same or equal; float values are the same when
 * their bytes are. -1 with the exception of the comparison. */
int
value_equal(PyObject *left, PyObject *right);

/* A new str from the bytes of a key or a value, like text_decode(), but text
 * that is not UTF-8 is a SnapshotError. */
PyObject *
value_unpack_text(struct state *state, struct slice bytes);

/* For encode= and decode=: a new reference, NULL in `hook` for None. -1 with
 * TypeError when it cannot be called. */
int
value_parse_hook(const char *name, PyObject *object, PyObject **hook);

#endif
