/* binding/rbtree_range.h
 *
 * Reading a tree or a part of it. A tree reads as the range without bounds.
 */
#ifndef SHAREDMAP_BINDING_RBTREE_RANGE_H
#define SHAREDMAP_BINDING_RBTREE_RANGE_H

#include "binding/mapping_type.h"
#include "binding/state.h"

/* How a tree and its ranges read. */
extern const struct mapping_methods rbtree_mapping_methods;

/* Removes from the tree what is in the range. -1 with the exception of a
 * signal handler; then part of it is removed. */
int
rbtree_range_clear(PyObject *range);

extern PyType_Spec rbtree_range_spec;

#endif
