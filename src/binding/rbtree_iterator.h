/* binding/rbtree_iterator.h
 *
 * Iterating over a tree or a range of one.
 */
#ifndef SHAREDMAP_BINDING_RBTREE_ITERATOR_H
#define SHAREDMAP_BINDING_RBTREE_ITERATOR_H

#include "binding/rbtree_object.h"

/* A new iterator that is exhausted: no object may be created under the guard.
 */
PyObject *
rbtree_iterator_create(RBTreeObject *tree, enum item_kind kind,
                       enum direction direction);

/* Makes it iterate from `next`, in its direction, up to but without `stop`;
 * either may be NULL. `count` is the number of nodes, 0 if not known. Call
 * under the guard. */
void
rbtree_iterator_start(PyObject *iterator, const struct rbtree_node *next,
                      const struct rbtree_node *stop, size_t count);

extern PyType_Spec rbtree_iterator_spec;

#endif
