/* binding/rbtree_object.h
 *
 * The object behind rbtree: the core's tree, its guard, and the user's hooks.
 */
#ifndef SHAREDMAP_BINDING_RBTREE_OBJECT_H
#define SHAREDMAP_BINDING_RBTREE_OBJECT_H

#include "binding/guard.h"
#include "binding/mapping_type.h"
#include "binding/state.h"
#include "core/tree/rbtree.h"

typedef struct {
    MappingObject base;
    struct rbtree *tree;  // owned, used under the guard, like the hooks:
    PyObject *encode;     // owned; NULL without an encoder
    PyObject *decode;     // owned; NULL without a decoder
    struct guard guard;
    PyObject *weak_references;
} RBTreeObject;

/* guard_begin_...() that also flushes deferred puts. While a thread publishes
 * with the GIL released there are no deferred puts, so concurrent readers
 * write nothing. */
static inline void
tree_begin_read(RBTreeObject *self)
{
    guard_begin_read(&self->guard);
    rbtree_flush(self->tree);
}

static inline void
tree_begin_change(RBTreeObject *self)
{
    guard_begin_change(&self->guard);
    rbtree_flush(self->tree);
}

/* -1 with MemoryError. */
static inline int
tree_begin_publish(RBTreeObject *self)
{
    if (guard_begin_publish(&self->guard) < 0) {
        return -1;
    }
    rbtree_flush(self->tree);
    return 0;
}

/* References that a call of the user's hooks holds: __init__, called again by
 * another thread or by the hook itself, replaces those of the tree. */
struct hooks {
    PyObject *encode;  // owned; NULL without an encoder
    PyObject *decode;  // owned; NULL without a decoder
};

static inline struct hooks
tree_hooks(RBTreeObject *self)
{
    guard_begin_read(&self->guard);
    struct hooks hooks = {Py_XNewRef(self->encode), Py_XNewRef(self->decode)};
    guard_end_read(&self->guard);
    return hooks;
}

static inline void
hooks_clear(struct hooks *hooks)
{
    Py_CLEAR(hooks->encode);
    Py_CLEAR(hooks->decode);
}

/* A new reference to one of them; NULL without an encoder. */
static inline PyObject *
tree_encoder(RBTreeObject *self)
{
    guard_begin_read(&self->guard);
    PyObject *encode = Py_XNewRef(self->encode);
    guard_end_read(&self->guard);
    return encode;
}

/* Swaps the core's tree for another one; the caller then owns the old one. */
static inline struct rbtree *
tree_swap(RBTreeObject *self, struct rbtree *tree)
{
    guard_begin_change(&self->guard);
    struct rbtree *old = self->tree;
    self->tree = tree;
    guard_end_change(&self->guard);
    return old;
}

/* A new empty tree of a type that is or descends from rbtree; the hooks may be
 * NULL. */
RBTreeObject *
rbtree_object_create(PyTypeObject *type, const struct mapping_methods *methods,
                     PyObject *encode, PyObject *decode);

#endif
