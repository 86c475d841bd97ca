/* binding/convertible.h
 *
 * Objects of other types whose content is exactly a native value.
 *
 *     bytearray, memoryview       bytes
 *     numpy's scalars             int, float, bool: a number of C
 *
 * Instances of subclasses are native as they are, and need no conversion.
 */
#ifndef SHAREDMAP_BINDING_CONVERTIBLE_H
#define SHAREDMAP_BINDING_CONVERTIBLE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* A new object of the type bytes, int, float or bool. May run any Python code.
 * NULL without an exception when there is no such value; NULL with one when the
 * content cannot be read. */
PyObject *
convertible_native(PyObject *object);

#endif
