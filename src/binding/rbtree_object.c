/* binding/rbtree_object.c
 *
 *     rbtree --owns--> struct rbtree        read and changed under the guard
 *            --owns--> encode, decode       replaced under the guard
 *
 * Not here: what a tree can do; see rbtree_type.c, which also destroys it.
 */
#include "binding/rbtree_object.h"

#include "binding/errors.h"

RBTreeObject *
rbtree_object_create(PyTypeObject *type, const struct mapping_methods *methods,
                     PyObject *encode, PyObject *decode)
{
    struct state *state = state_of_type(type);
    RBTreeObject *self = (RBTreeObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->base.state = state;
    self->base.methods = methods;
    self->encode = Py_XNewRef(encode);
    self->decode = Py_XNewRef(decode);
    guard_init(&self->guard);
    enum status status = rbtree_create(&self->tree);
    if (status != STATUS_OK) {
        Py_DECREF(self);
        raise_status(state, status, NULL);
        return NULL;
    }
    return self;
}
