/* binding/rbtree_type.h
 *
 * What the files of the Python type rbtree share.
 */
#ifndef SHAREDMAP_BINDING_RBTREE_TYPE_H
#define SHAREDMAP_BINDING_RBTREE_TYPE_H

#include "binding/guard.h"
#include "binding/state.h"
#include "core/rbtree.h"

typedef struct {
    PyObject_HEAD
    struct state *state;  // borrowed
    struct rbtree *tree;  // owned, used under the guard
    struct guard guard;
    PyObject *weak_references;
} RBTreeObject;

/* A new iterator over the keys of the tree. */
PyObject *
rbtree_iterator_create(RBTreeObject *tree);

extern PyType_Spec rbtree_iterator_spec;

/* share, dump, remove; see rbtree_publish.c. */
extern const char rbtree_share_doc[];
extern const char rbtree_dump_doc[];
extern const char rbtree_remove_doc[];

PyObject *
rbtree_py_share(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *
rbtree_py_dump(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *
rbtree_py_remove(PyObject *type, PyObject *name);

#endif
