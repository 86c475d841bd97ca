/* binding/identity.h
 *
 * The unique id of a version: 16 bytes in the core, 32 hexadecimal digits in
 * Python.
 */
#ifndef SHAREDMAP_BINDING_IDENTITY_H
#define SHAREDMAP_BINDING_IDENTITY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

enum { IDENTITY_SIZE = 16 };

/* A new str. */
PyObject *
identity_text(const unsigned char id[IDENTITY_SIZE]);

/* Fills the id from a str. -1 with ValueError. */
int
identity_parse(PyObject *text, unsigned char id[IDENTITY_SIZE]);

#endif
