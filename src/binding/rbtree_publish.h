/* binding/rbtree_publish.h
 *
 * From a tree to a name, a file or bytes: share, save, dump, remove, pickling.
 */
#ifndef SHAREDMAP_BINDING_RBTREE_PUBLISH_H
#define SHAREDMAP_BINDING_RBTREE_PUBLISH_H

#include "binding/state.h"

PyObject *
rbtree_py_share(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *
rbtree_py_save(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *
rbtree_py_dump(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *
rbtree_py_remove(PyObject *type, PyObject *args, PyObject *keywords);
PyObject *
rbtree_py_reduce(PyObject *self, PyObject *ignored);
PyObject *
rbtree_py_restore(PyObject *type, PyObject *args);

#endif
