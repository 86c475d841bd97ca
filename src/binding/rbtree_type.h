/* binding/rbtree_type.h
 *
 * The Python type rbtree. Only module.c uses it.
 */
#ifndef SHAREDMAP_BINDING_RBTREE_TYPE_H
#define SHAREDMAP_BINDING_RBTREE_TYPE_H

#include "binding/state.h"

extern PyType_Spec rbtree_spec;

#endif
