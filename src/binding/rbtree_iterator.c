/* binding/rbtree_iterator.c
 *
 * In Python this file would be:
 *
 *     class rbtree_iterator(Iterator):
 *         def __next__(self): ...         # RuntimeError if the tree changed
 *         def __length_hint__(self): ...  # of a range: not known
 *
 * The iterator owns a reference to the tree and points to the next node. Nodes
 * do not move, so replacing a value is harmless. When a node was inserted or
 * removed, the tree's version differs, and the iterator fails permanently.
 *
 * Not here: the order of nodes; see core/tree/rbtree.c.
 */
#include "binding/rbtree_iterator.h"

#include "binding/signals.h"

typedef struct {
    PyObject_HEAD
    RBTreeObject *tree;  // owned
    // The rest is guarded by the tree's guard.
    const struct rbtree_node *next;  // NULL at the end
    const struct rbtree_node *stop;  // the first node behind the range
    uint64_t version;                // of the tree when the iteration began
    size_t left;                     // 0 if not known
    bool is_done;                    // StopIteration was raised
    enum item_kind kind;
    enum direction direction;
    struct signals_steps steps;
} RBTreeIteratorObject;

PyObject *
rbtree_iterator_create(RBTreeObject *tree, enum item_kind kind,
                       enum direction direction)
{
    PyTypeObject *type = tree->base.state->types[TYPE_RBTREE_ITERATOR];
    RBTreeIteratorObject *self =
        (RBTreeIteratorObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->tree = (RBTreeObject *)Py_NewRef(tree);
        self->kind = kind;
        self->direction = direction;
    }
    return (PyObject *)self;
}

void
rbtree_iterator_start(PyObject *object, const struct rbtree_node *next,
                      const struct rbtree_node *stop, size_t count)
{
    RBTreeIteratorObject *self = (RBTreeIteratorObject *)object;
    self->next = next != stop ? next : NULL;
    self->stop = stop;
    self->version = rbtree_version(self->tree->tree);
    self->left = count;
}

static int
rbtree_iterator_tp_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((RBTreeIteratorObject *)object)->tree);
    return 0;
}

static void
rbtree_iterator_tp_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_XDECREF(((RBTreeIteratorObject *)object)->tree);
    type->tp_free(object);
    Py_DECREF(type);
}

/* Under the guard. */
static enum answer
take_next(RBTreeIteratorObject *self, struct item *item)
{
    RBTreeObject *tree = self->tree;
    struct entry entry = rbtree_entry(self->next);
    if (item_take(item, tree->base.state, &entry, self->kind, tree->decode)
        < 0)
    {
        return ANSWER_FAILED;
    }
    const struct rbtree_node *next = self->direction == FORWARD
                                         ? rbtree_next(self->next)
                                         : rbtree_previous(self->next);
    self->next = next != self->stop ? next : NULL;
    self->left -= self->left > 0;
    return ANSWER_YES;
}

static PyObject *
rbtree_iterator_tp_iternext(PyObject *object)
{
    RBTreeIteratorObject *self = (RBTreeIteratorObject *)object;
    RBTreeObject *tree = self->tree;
    struct item item;
    enum answer answer = ANSWER_NO;
    bool has_changed = false;
    // Before anything is taken: after a handler's exception, iteration can go
    // on.
    if (signals_step(&self->steps) < 0) {
        return NULL;
    }
    tree_begin_read(tree);
    if (!self->is_done) {
        // Also behind the last node, as a dict's iterator does.
        has_changed = rbtree_version(tree->tree) != self->version;
        if (!has_changed && self->next != NULL) {
            answer = take_next(self, &item);
        }
        self->is_done = !has_changed && answer == ANSWER_NO;
    }
    guard_end_read(&tree->guard);
    if (has_changed) {
        // The iterator stays as it is: the next call fails as well.
        PyErr_SetString(PyExc_RuntimeError,
                        "rbtree changed size during iteration");
    }
    return answer == ANSWER_YES ? item_finish(&item) : NULL;
}

static PyObject *
rbtree_iterator_py_length_hint(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    RBTreeIteratorObject *self = (RBTreeIteratorObject *)object;
    guard_begin_read(&self->tree->guard);
    size_t left = self->left;
    guard_end_read(&self->tree->guard);
    return PyLong_FromSize_t(left);
}

static PyMethodDef rbtree_iterator_methods[] = {
    {"__length_hint__", rbtree_iterator_py_length_hint, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot rbtree_iterator_slots[] = {
    {Py_tp_dealloc, rbtree_iterator_tp_dealloc},
    {Py_tp_traverse, rbtree_iterator_tp_traverse},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, rbtree_iterator_tp_iternext},
    {Py_tp_methods, rbtree_iterator_methods},
    {0, NULL},
};

PyType_Spec rbtree_iterator_spec = {
    .name = "sharedmap._rbtree_iterator",
    .basicsize = sizeof(RBTreeIteratorObject),
    .flags = TYPE_FLAGS_INTERNAL,
    .slots = rbtree_iterator_slots,
};
