/* binding/mapping_order.h
 *
 * The methods of the base type that find a key by its order.
 */
#ifndef SHAREDMAP_BINDING_MAPPING_ORDER_H
#define SHAREDMAP_BINDING_MAPPING_ORDER_H

#include "binding/state.h"

PyObject *
mapping_py_floor(PyObject *self, PyObject *key);
PyObject *
mapping_py_ceiling(PyObject *self, PyObject *key);
PyObject *
mapping_py_lower(PyObject *self, PyObject *key);
PyObject *
mapping_py_higher(PyObject *self, PyObject *key);
PyObject *
mapping_py_longest_prefix(PyObject *self, PyObject *text);
PyObject *
mapping_py_first(PyObject *self, PyObject *ignored);
PyObject *
mapping_py_last(PyObject *self, PyObject *ignored);

#endif
