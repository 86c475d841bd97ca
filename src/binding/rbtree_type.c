/* binding/rbtree_type.c
 *
 * In Python this file would be:
 *
 *     class rbtree:
 *         def __init__(self): ...
 *         def __getitem__(self, key): ...         # KeyError
 *         def __setitem__(self, key, value): ...  # TypeError
 *         def __delitem__(self, key): ...         # KeyError
 *         def __contains__(self, key): ...
 *         def __len__(self): ...
 *         def __iter__(self): ...                 # keys, in order
 *         def __repr__(self): ...
 *         def get(self, key, default=None): ...
 *         def set(self, key, value): ...          # the ancestor's name
 *
 * The object owns the core's tree. Each method first turns its arguments into
 * slices, which may fail, then works on the tree under the guard, where
 * nothing calls Python code.
 *
 * Not here: iterators (rbtree_iterator.c); share, dump and remove
 * (rbtree_publish.c).
 */
#include "binding/rbtree_type.h"

#include <stddef.h>
#include <structmember.h>

#include "binding/arguments.h"
#include "binding/errors.h"
#include "binding/text.h"
#include "binding/value.h"

static PyObject *
rbtree_tp_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, keywords, ":rbtree", names)) {
        return NULL;
    }
    struct state *state = state_of_type(type);
    RBTreeObject *self = (RBTreeObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->state = state;
    if (guard_init(&self->guard) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    enum status status = rbtree_create(&self->tree);
    if (status != STATUS_OK) {
        Py_DECREF(self);
        return raise_status(state, status, NULL);
    }
    return (PyObject *)self;
}

static void
rbtree_tp_dealloc(PyObject *object)
{
    RBTreeObject *self = (RBTreeObject *)object;
    PyTypeObject *type = Py_TYPE(self);
    if (self->weak_references != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    rbtree_destroy(self->tree);
    guard_clear(&self->guard);
    type->tp_free(self);
    Py_DECREF(type);
}

/* A new reference to the value; NULL without an exception when the key is not
 * there, NULL with one when something failed. */
static PyObject *
lookup(RBTreeObject *self, PyObject *key)
{
    struct text text;
    PyObject *value = NULL;
    if (text_encode_key(&text, key) < 0) {
        return NULL;
    }
    guard_begin_read(&self->guard);
    const struct rbtree_node *node = rbtree_find(self->tree, text.slice);
    if (node != NULL) {
        struct entry entry = rbtree_entry(node);
        value = value_unpack(self->state, &entry.value);
    }
    guard_end_read(&self->guard);
    text_clear(&text);
    return value;
}

static PyObject *
rbtree_mp_subscript(PyObject *object, PyObject *key)
{
    PyObject *value = lookup((RBTreeObject *)object, key);
    if (value == NULL && !PyErr_Occurred()) {
        PyErr_SetObject(PyExc_KeyError, key);
    }
    return value;
}

static int
put(RBTreeObject *self, PyObject *key, PyObject *value)
{
    struct text text;
    struct packed_value packed;
    int result = -1;
    if (text_encode_key(&text, key) < 0) {
        return -1;
    }
    if (value_pack(&packed, value) < 0) {
        goto done;
    }
    guard_begin_change(&self->guard);
    enum status status = rbtree_put(self->tree, text.slice, packed.value);
    guard_end_change(&self->guard);
    value_clear(&packed);
    if (status != STATUS_OK) {
        raise_status(self->state, status, NULL);
        goto done;
    }
    result = 0;
done:
    text_clear(&text);
    return result;
}

static int
delete_key(RBTreeObject *self, PyObject *key)
{
    struct text text;
    if (text_encode_key(&text, key) < 0) {
        return -1;
    }
    guard_begin_change(&self->guard);
    bool was_there = rbtree_remove(self->tree, text.slice);
    guard_end_change(&self->guard);
    text_clear(&text);
    if (!was_there) {
        PyErr_SetObject(PyExc_KeyError, key);
        return -1;
    }
    return 0;
}

static int
rbtree_mp_ass_subscript(PyObject *object, PyObject *key, PyObject *value)
{
    RBTreeObject *self = (RBTreeObject *)object;
    return value != NULL ? put(self, key, value) : delete_key(self, key);
}

static int
rbtree_sq_contains(PyObject *object, PyObject *key)
{
    RBTreeObject *self = (RBTreeObject *)object;
    struct text text;
    if (text_encode_key(&text, key) < 0) {
        return -1;
    }
    guard_begin_read(&self->guard);
    bool is_there = rbtree_find(self->tree, text.slice) != NULL;
    guard_end_read(&self->guard);
    text_clear(&text);
    return is_there;
}

static Py_ssize_t
rbtree_mp_length(PyObject *object)
{
    RBTreeObject *self = (RBTreeObject *)object;
    guard_begin_read(&self->guard);
    size_t count = rbtree_count(self->tree);
    guard_end_read(&self->guard);
    return (Py_ssize_t)count;
}

static PyObject *
rbtree_tp_iter(PyObject *object)
{
    return rbtree_iterator_create((RBTreeObject *)object);
}

static PyObject *
rbtree_tp_repr(PyObject *object)
{
    PyObject *items = PyDict_New();
    PyObject *iterator = PyObject_GetIter(object);
    PyObject *key = NULL, *repr = NULL;
    if (items == NULL || iterator == NULL) {
        goto done;
    }
    while ((key = PyIter_Next(iterator)) != NULL) {
        PyObject *value = PyObject_GetItem(object, key);
        if (value == NULL || PyDict_SetItem(items, key, value) < 0) {
            Py_XDECREF(value);
            goto done;
        }
        Py_DECREF(value);
        Py_DECREF(key);
    }
    if (!PyErr_Occurred()) {
        repr = PyDict_GET_SIZE(items) > 0
                   ? PyUnicode_FromFormat("rbtree(%R)", items)
                   : PyUnicode_FromString("rbtree()");
    }
done:
    Py_XDECREF(key);
    Py_XDECREF(iterator);
    Py_XDECREF(items);
    return repr;
}

static const char rbtree_get_doc[] =
    "get($self, key, default=None, /)\n"
    "--\n"
    "\n"
    "The value of key, or default when the key is not there.\n"
    "\n"
    "Raises TypeError when the key is not a str. O(log n).";

static PyObject *
rbtree_py_get(PyObject *object, PyObject *const *args, Py_ssize_t count,
              PyObject *keyword_names)
{
    PyObject *key, *fallback;
    if (arguments_key_default("get", args, count, keyword_names, &key,
                              &fallback)
        < 0)
    {
        return NULL;
    }
    PyObject *value = lookup((RBTreeObject *)object, key);
    if (value == NULL && !PyErr_Occurred()) {
        return Py_NewRef(fallback);
    }
    return value;
}

static const char rbtree_set_doc[] =
    "set($self, key, value, /)\n"
    "--\n"
    "\n"
    "Insert the key or replace its value, like t[key] = value; return True.\n"
    "\n"
    "Raises TypeError when the key is not a str or the value neither str nor\n"
    "bytes. O(log n).";

static PyObject *
rbtree_py_set(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_Format(PyExc_TypeError,
                     "set() takes a key and a value (%zd arguments given)",
                     count);
        return NULL;
    }
    if (put((RBTreeObject *)object, args[0], args[1]) < 0) {
        return NULL;
    }
    Py_RETURN_TRUE;
}

static PyMethodDef rbtree_methods[] = {
    {"get", (PyCFunction)(void (*)(void))rbtree_py_get,
     METH_FASTCALL | METH_KEYWORDS, rbtree_get_doc},
    {"set", (PyCFunction)(void (*)(void))rbtree_py_set, METH_FASTCALL,
     rbtree_set_doc},
    {"share", (PyCFunction)(void (*)(void))rbtree_py_share,
     METH_VARARGS | METH_KEYWORDS, rbtree_share_doc},
    {"dump", (PyCFunction)(void (*)(void))rbtree_py_dump,
     METH_VARARGS | METH_KEYWORDS, rbtree_dump_doc},
    {"remove", rbtree_py_remove, METH_O | METH_CLASS, rbtree_remove_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef rbtree_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(RBTreeObject, weak_references),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const char rbtree_doc[] =
    "rbtree()\n"
    "--\n"
    "\n"
    "A mutable map from str to str or bytes, always sorted by key.\n"
    "\n"
    "share(name) publishes a snapshot of it, which any process reads with\n"
    "sharedmap(name).\n"
    "\n"
    ">>> t = rbtree()\n"
    ">>> t['b'] = '2'; t['a'] = '1'\n"
    ">>> list(t)\n"
    "['a', 'b']";

static PyType_Slot rbtree_slots[] = {
    {Py_tp_doc, (void *)rbtree_doc},
    {Py_tp_new, rbtree_tp_new},
    {Py_tp_dealloc, rbtree_tp_dealloc},
    {Py_tp_repr, rbtree_tp_repr},
    {Py_tp_iter, rbtree_tp_iter},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_mp_length, rbtree_mp_length},
    {Py_mp_subscript, rbtree_mp_subscript},
    {Py_mp_ass_subscript, rbtree_mp_ass_subscript},
    {Py_sq_contains, rbtree_sq_contains},
    {Py_tp_methods, rbtree_methods},
    {Py_tp_members, rbtree_members},
    {0, NULL},
};

static PyType_Spec rbtree_spec = {
    .name = "sharedmap.rbtree",
    .basicsize = sizeof(RBTreeObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE
             | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_MAPPING,
    .slots = rbtree_slots,
};

int
state_add_rbtree_types(PyObject *module, struct state *state)
{
    state->rbtree_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &rbtree_spec, NULL);
    state->rbtree_iterator_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &rbtree_iterator_spec, NULL);
    if (state->rbtree_type == NULL || state->rbtree_iterator_type == NULL) {
        return -1;
    }
    return PyModule_AddType(module, state->rbtree_type);
}
