/* binding/sharedmap_lookup.h
 *
 * The lookups of a sharedmap, which are faster than those of the base type.
 */
#ifndef SHAREDMAP_BINDING_SHAREDMAP_LOOKUP_H
#define SHAREDMAP_BINDING_SHAREDMAP_LOOKUP_H

#include "binding/state.h"

int
sharedmap_sq_contains(PyObject *self, PyObject *key);
PyObject *
sharedmap_mp_subscript(PyObject *self, PyObject *key);
PyObject *
sharedmap_py_get(PyObject *self, PyObject *const *args, Py_ssize_t count,
                 PyObject *keyword_names);
PyObject *
sharedmap_py_get_many(PyObject *self, PyObject *args, PyObject *keywords);

#endif
