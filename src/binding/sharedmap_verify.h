/* binding/sharedmap_verify.h
 *
 * m.verify() and m._verify_deltas(): the deep check of all bytes, or of those
 * that update() has added.
 */
#ifndef SHAREDMAP_BINDING_SHAREDMAP_VERIFY_H
#define SHAREDMAP_BINDING_SHAREDMAP_VERIFY_H

#include "binding/state.h"

PyObject *
sharedmap_py_verify(PyObject *self, PyObject *ignored);

PyObject *
sharedmap_py_verify_deltas(PyObject *self, PyObject *ignored);

#endif
