/* binding/rbtree_type.h
 *
 * What the files of the Python type rbtree share.
 */
#ifndef SHAREDMAP_BINDING_RBTREE_TYPE_H
#define SHAREDMAP_BINDING_RBTREE_TYPE_H

#include "binding/guard.h"
#include "binding/mapping_type.h"
#include "binding/state.h"
#include "core/rbtree.h"

typedef struct {
    MappingObject base;
    struct rbtree *tree;  // owned, used under the guard
    struct guard guard;
    PyObject *encode;  // owned; NULL without an encoder
    PyObject *decode;  // owned; NULL without a decoder
    PyObject *weak_references;
} RBTreeObject;

/* How a tree and its ranges read. */
extern const struct mapping_methods rbtree_mapping_methods;

/* A new empty tree of a type that is or descends from rbtree; the hooks may be
 * NULL. */
RBTreeObject *
rbtree_create_object(PyTypeObject *type, PyObject *encode, PyObject *decode);

/* A new iterator that is at its end already: an object cannot be created under
 * the guard. */
PyObject *
rbtree_iterator_create(RBTreeObject *tree, enum item_kind kind,
                       enum direction direction);

/* Makes it go from `next`, in its direction, up to but without `stop`; either
 * may be NULL. `count` is how many that are, 0 if not known. Call under the
 * guard. */
void
rbtree_iterator_start(PyObject *iterator, const struct rbtree_node *next,
                      const struct rbtree_node *stop, size_t count);

/* share, save, dump, remove, pickling; see rbtree_publish.c. */
PyObject *
rbtree_py_share(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *
rbtree_py_save(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *
rbtree_py_dump(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *
rbtree_py_remove(PyObject *type, PyObject *name);
PyObject *
rbtree_py_reduce(PyObject *self, PyObject *ignored);
PyObject *
rbtree_py_restore(PyObject *type, PyObject *args);

#endif
