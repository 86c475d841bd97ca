/* binding/rbtree_pop.h
 *
 * Taking an entry out of a tree: pop and popitem.
 */
#ifndef SHAREDMAP_BINDING_RBTREE_POP_H
#define SHAREDMAP_BINDING_RBTREE_POP_H

#include "binding/state.h"

PyObject *
rbtree_py_pop(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *
rbtree_py_popitem(PyObject *self, PyObject *args, PyObject *keywords);

#endif
