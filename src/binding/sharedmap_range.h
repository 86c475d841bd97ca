/* binding/sharedmap_range.h
 *
 * Reading a sharedmap in order, or a part of it. A handle reads as the range
 * of all entries of its current snapshot.
 */
#ifndef SHAREDMAP_BINDING_SHAREDMAP_RANGE_H
#define SHAREDMAP_BINDING_SHAREDMAP_RANGE_H

#include "binding/mapping_type.h"
#include "binding/sharedmap_span.h"

/* Fills the span of a sharedmap or of a range of one; release it. -1 with
 * ValueError when the handle is closed. */
int
span_acquire(PyObject *self, struct span *span);

/* How a sharedmap and its ranges read, and the methods that a tree lacks,
 * because it does not know the rank of a key. */
extern const struct mapping_methods sharedmap_mapping_methods;

PyObject *
sharedmap_py_peekitem(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *
sharedmap_py_index(PyObject *self, PyObject *key);
PyObject *
sharedmap_py_bisect_left(PyObject *self, PyObject *key);
PyObject *
sharedmap_py_bisect_right(PyObject *self, PyObject *key);
PyObject *
sharedmap_py_view(PyObject *self, PyObject *key);

extern PyType_Spec sharedmap_range_spec;

#endif
