/* binding/container.h
 *
 * list, tuple and dict <-> the bytes of a container, MessagePack.
 *
 * Only of these very types, with str as keys, and in them values of the
 * built-in types: they come back as what they were, a new object each time.
 */
#ifndef SHAREDMAP_BINDING_CONTAINER_H
#define SHAREDMAP_BINDING_CONTAINER_H

#include "binding/state.h"
#include "core/base/msgpack.h"

static inline bool
container_check(PyObject *object)
{
    return PyList_CheckExact(object) || PyTuple_CheckExact(object)
           || PyDict_CheckExact(object);
}

/* Writes a container, the value of `key`. Runs no Python code unless it fails.
 * -1 with TypeError, with ValueError when it is too deep or contains itself,
 * or with MemoryError; errors name the key. The caller clears the writer in
 * any case. */
int
container_pack(struct msgpack_writer *writer, PyObject *object, PyObject *key);

/* A new object, from bytes that do not change. The garbage collector may run,
 * and with it any Python code. NULL with SnapshotError when the bytes are not
 * valid, or MemoryError. */
PyObject *
container_unpack(struct state *state, struct slice bytes);

#endif
