/* binding/rbtree_iterator.c
 *
 * In Python this file would be:
 *
 *     class rbtree_iterator(Iterator[str]):
 *         def __next__(self): ...          # RuntimeError if the tree changed
 *         def __length_hint__(self): ...
 *
 * The iterator owns a reference to the tree and stands on the node that comes
 * next. Nodes do not move, so replacing a value is harmless; when one came or
 * went, the tree's version is another, and the iterator stops for good.
 *
 * Not here: the order of nodes; see core/rbtree.c.
 */
#include "binding/rbtree_type.h"
#include "binding/value.h"

typedef struct {
    PyObject_HEAD
    RBTreeObject *tree;              // owned; NULL when exhausted
    const struct rbtree_node *next;  // borrowed while the version holds
    uint64_t version;
    size_t left;
} RBTreeIteratorObject;

PyObject *
rbtree_iterator_create(RBTreeObject *tree)
{
    RBTreeIteratorObject *self =
        PyObject_New(RBTreeIteratorObject, tree->state->rbtree_iterator_type);
    if (self == NULL) {
        return NULL;
    }
    self->tree = (RBTreeObject *)Py_NewRef(tree);
    guard_begin_read(&tree->guard);
    self->next = rbtree_first(tree->tree);
    self->version = rbtree_version(tree->tree);
    self->left = rbtree_count(tree->tree);
    guard_end_read(&tree->guard);
    return (PyObject *)self;
}

static void
rbtree_iterator_tp_dealloc(PyObject *object)
{
    RBTreeIteratorObject *self = (RBTreeIteratorObject *)object;
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(self->tree);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *
rbtree_iterator_tp_iternext(PyObject *object)
{
    RBTreeIteratorObject *self = (RBTreeIteratorObject *)object;
    RBTreeObject *tree = self->tree;
    PyObject *key = NULL;
    if (tree == NULL) {
        return NULL;
    }
    guard_begin_read(&tree->guard);
    bool has_changed = rbtree_version(tree->tree) != self->version;
    if (!has_changed && self->next != NULL) {
        key = value_unpack_text(tree->state, rbtree_entry(self->next).key);
        if (key != NULL) {
            self->next = rbtree_next(self->next);
            self->left -= 1;
        }
    }
    guard_end_read(&tree->guard);
    if (has_changed) {
        // The iterator stays as it is: it fails again if asked again.
        PyErr_SetString(PyExc_RuntimeError,
                        "rbtree changed size during iteration");
    }
    else if (key == NULL && !PyErr_Occurred()) {
        self->tree = NULL;
        Py_DECREF(tree);
    }
    return key;
}

static PyObject *
rbtree_iterator_py_length_hint(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSize_t(((RBTreeIteratorObject *)object)->left);
}

static PyMethodDef rbtree_iterator_methods[] = {
    {"__length_hint__", rbtree_iterator_py_length_hint, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot rbtree_iterator_slots[] = {
    {Py_tp_dealloc, rbtree_iterator_tp_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, rbtree_iterator_tp_iternext},
    {Py_tp_methods, rbtree_iterator_methods},
    {0, NULL},
};

PyType_Spec rbtree_iterator_spec = {
    .name = "sharedmap.rbtree_iterator",
    .basicsize = sizeof(RBTreeIteratorObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = rbtree_iterator_slots,
};
