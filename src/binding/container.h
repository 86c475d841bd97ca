/* binding/container.h
 *
 * list, tuple and dict <-> the bytes of a container, MessagePack.
 *
 * In them are values of the built-in types, with str as the keys of dicts. They
 * come back as what they were, a new object each time. Convertible objects come
 * back as the native value that they contain: a namedtuple as a tuple.
 */
#ifndef SHAREDMAP_BINDING_CONTAINER_H
#define SHAREDMAP_BINDING_CONTAINER_H

#include "binding/state.h"
#include "core/base/msgpack.h"

static inline bool
container_check(PyObject *object)
{
    return PyList_Check(object) || PyTuple_Check(object)
           || PyDict_Check(object);
}

/* Writes a container, the value of `key`. May run any Python code: that of
 * convertible objects. -1 with TypeError, with ValueError when it is too deep or
 * contains itself, with MemoryError, or with the exception of that code; errors
 * name the key, and `caller`, as value_pack() has it. The caller clears the
 * writer in any case. */
int
container_pack(struct msgpack_writer *writer, PyObject *object, PyObject *key,
               const char *caller);

/* A new object, from bytes that do not change. The garbage collector may run,
 * and with it any Python code. NULL with SnapshotError when the bytes are not
 * valid, or MemoryError. */
PyObject *
container_unpack(struct state *state, struct slice bytes);

/* The same from a bytes object. */
static inline PyObject *
container_unpack_bytes(struct state *state, PyObject *bytes)
{
    struct slice slice = {(const unsigned char *)PyBytes_AS_STRING(bytes),
                          (size_t)PyBytes_GET_SIZE(bytes)};
    return container_unpack(state, slice);
}

#endif
