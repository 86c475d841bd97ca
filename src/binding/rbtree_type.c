/* binding/rbtree_type.c
 *
 * In Python this file would be:
 *
 *     class rbtree(Mapping, collections.abc.MutableMapping[str, Value]):
 *         def __init__(self, data=(), /, *, encode=None, decode=None, **items)
 *         def __setitem__(self, key, value): ...
 *         def __delitem__(self, key): ...
 *         def __or__(self, other): ...
 *         def __ior__(self, other): ...
 *         def __repr__(self): ...
 *         def __sizeof__(self): ...
 *         def set(self, key, value, /): ...  # the ancestor's __setitem__
 *         def setdefault(self, key, /, default=None): ...
 *         def update(self, data=(), /, **items): ...
 *         def clear(self): ...
 *         def copy(self): ...
 *         @classmethod
 *         def fromkeys(cls, keys, value=None, /): ...
 *
 * The object owns the core's tree. Each method first turns its arguments into
 * slices, which may run Python code. Then it works on the tree under the
 * guard, where no Python code runs.
 *
 * Not here: the object and its guard (rbtree_object.c); reading
 * (mapping_type.c, rbtree_range.c); pop and popitem (rbtree_pop.c); share,
 * save, dump, remove and pickling (rbtree_publish.c).
 */
#include "binding/rbtree_type.h"

#include <stddef.h>
#include <structmember.h>

#include "binding/batch.h"
#include "binding/errors.h"
#include "binding/rbtree_doc.h"
#include "binding/rbtree_object.h"
#include "binding/rbtree_pop.h"
#include "binding/rbtree_publish.h"
#include "binding/rbtree_range.h"
#include "binding/signals.h"
#include "binding/text.h"
#include "binding/value.h"
#include "binding/view_type.h"
#include "core/base/memory.h"

/* ---- lifetime ----------------------------------------------------------- */

static PyObject *
rbtree_tp_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
              PyObject *Py_UNUSED(keywords))
{
    return (PyObject *)rbtree_object_create(type, &rbtree_mapping_methods,
                                            NULL, NULL);
}

/* Inserts what dict.update() would take, all of it or nothing unless a signal
 * handler raises; source, items and encode may be NULL. -1 with an exception.
 */
static int
update_encoded(RBTreeObject *self, PyObject *encode, PyObject *source,
               PyObject *items, const char *caller);

/* Removes one keyword from the dict and replaces the hook by its value; -1
 * with TypeError when that is not a hook. */
static int
take_hook(PyObject *keywords, const char *name, PyObject **hook)
{
    PyObject *given = PyDict_GetItemString(keywords, name);
    if (given == NULL) {
        return 0;
    }
    if (value_parse_hook(name, given, hook) < 0) {
        return -1;
    }
    return PyDict_DelItemString(keywords, name);
}

/* Swaps the hooks; the caller then owns the old ones. */
static void
swap_hooks(RBTreeObject *self, struct hooks *hooks)
{
    guard_begin_change(&self->guard);
    struct hooks old = {self->encode, self->decode};
    self->encode = hooks->encode;
    self->decode = hooks->decode;
    guard_end_change(&self->guard);
    *hooks = old;
}

static int
rbtree_tp_init(PyObject *object, PyObject *args, PyObject *keywords)
{
    RBTreeObject *self = (RBTreeObject *)object;
    PyObject *source = NULL, *items = NULL;
    int result = -1;
    if (!PyArg_UnpackTuple(args, "rbtree", 0, 1, &source)) {
        return -1;
    }
    struct hooks hooks = tree_hooks(self);
    if (keywords != NULL) {
        items = PyDict_Copy(keywords);
        if (items == NULL || take_hook(items, "encode", &hooks.encode) < 0
            || take_hook(items, "decode", &hooks.decode) < 0)
        {
            goto done;
        }
    }
    result =
        source != NULL || items != NULL
            ? update_encoded(self, hooks.encode, source, items, "rbtree()")
            : 0;
    if (result == 0) {
        // Only now: a second __init__() changes everything or nothing.
        swap_hooks(self, &hooks);
    }
done:
    hooks_clear(&hooks);
    Py_XDECREF(items);
    return result;
}

static int
rbtree_tp_traverse(PyObject *object, visitproc visit, void *arg)
{
    RBTreeObject *self = (RBTreeObject *)object;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->encode);
    Py_VISIT(self->decode);
    return 0;
}

static int
rbtree_tp_clear(PyObject *object)
{
    RBTreeObject *self = (RBTreeObject *)object;
    Py_CLEAR(self->encode);
    Py_CLEAR(self->decode);
    return 0;
}

static void
rbtree_tp_dealloc(PyObject *object)
{
    RBTreeObject *self = (RBTreeObject *)object;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weak_references != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    (void)rbtree_tp_clear(object);
    rbtree_destroy(self->tree);
    guard_clear(&self->guard);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Whether the object is an rbtree or of a subclass. */
static bool
is_tree(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    while (type != NULL && type->tp_dealloc != rbtree_tp_dealloc) {
        type = type->tp_base;
    }
    return type != NULL;
}

/* ---- one entry ---------------------------------------------------------- */

/* value_pack() with the tree's encoder. */
static int
pack(RBTreeObject *self, struct packed_value *packed, PyObject *value,
     PyObject *key, const char *caller)
{
    PyObject *encode = tree_encoder(self);
    int result = value_pack(packed, value, encode, key, caller);
    Py_XDECREF(encode);
    return result;
}

static int
put(RBTreeObject *self, PyObject *key, PyObject *value, const char *caller)
{
    struct text text;
    struct packed_value packed;
    int result = -1;
    if (text_encode_key(&text, key, caller) < 0) {
        return -1;
    }
    if (pack(self, &packed, value, key, caller) < 0) {
        goto done;
    }
    guard_begin_change(&self->guard);
    enum status status =
        rbtree_put_deferred(self->tree, text.slice, packed.value);
    guard_end_change(&self->guard);
    value_clear(&packed);
    if (status != STATUS_OK) {
        raise_status(self->base.state, status, NULL);
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
    if (text_encode_key(&text, key, "del m[key]") < 0) {
        return -1;
    }
    tree_begin_change(self);
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
delete_slice(PyObject *self, PyObject *slice)
{
    PyObject *range = mapping_mp_subscript(self, slice);
    int result = range != NULL ? rbtree_range_clear(range) : -1;
    Py_XDECREF(range);
    return result;
}

static int
rbtree_mp_ass_subscript(PyObject *object, PyObject *key, PyObject *value)
{
    RBTreeObject *self = (RBTreeObject *)object;
    if (value != NULL) {
        return put(self, key, value, "m[key] = value");
    }
    return PySlice_Check(key) ? delete_slice(object, key)
                              : delete_key(self, key);
}

static PyObject *
rbtree_py_set(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_Format(PyExc_TypeError,
                     "set() takes a key and a value, got %zd argument%s",
                     count, count == 1 ? "" : "s");
        return NULL;
    }
    if (put((RBTreeObject *)self, args[0], args[1], "set()") < 0) {
        return NULL;
    }
    Py_RETURN_TRUE;
}

static PyObject *
rbtree_py_setdefault(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"", "default", NULL};
    RBTreeObject *self = (RBTreeObject *)object;
    PyObject *key, *value = Py_None, *result = NULL;
    struct text text;
    struct packed_value packed;
    struct item item;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O:setdefault", names,
                                     &key, &value)
        || text_encode_key(&text, key, "setdefault()") < 0)
    {
        return NULL;
    }
    enum answer answer = self->base.methods->lookup(object, text.slice, &item);
    if (answer == ANSWER_YES) {
        result = item_finish(&item);
        goto done;
    }
    if (answer == ANSWER_FAILED
        || pack(self, &packed, value, key, "setdefault()") < 0)
    {
        goto done;
    }
    enum status status = STATUS_OK;
    tree_begin_change(self);
    // Python code during packing, or another thread, may have put the key.
    const struct rbtree_node *node = rbtree_find(self->tree, text.slice);
    if (node == NULL) {
        status = rbtree_put(self->tree, text.slice, packed.value);
    }
    else {
        struct entry entry = rbtree_entry(node);
        answer = item_take(&item, self->base.state, &entry, ITEM_VALUE,
                           self->decode)
                         < 0
                     ? ANSWER_FAILED
                     : ANSWER_YES;
    }
    guard_end_change(&self->guard);
    value_clear(&packed);
    if (status != STATUS_OK) {
        raise_status(self->base.state, status, NULL);
    }
    else if (answer == ANSWER_YES) {
        result = item_finish(&item);
    }
    else if (answer == ANSWER_NO) {
        result = Py_NewRef(value);
    }
done:
    text_clear(&text);
    return result;
}

/* ---- many entries ------------------------------------------------------- */

static int
update_from_batch(RBTreeObject *self, struct batch *batch)
{
    struct signals signals;
    struct interrupt interrupt;
    enum status status;
    if (batch_sort(batch) < 0) {
        return -1;
    }
    do {
        // A handler may want the tree, which is guarded.
        signals_watch(&signals, &interrupt);
        tree_begin_change(self);
        status = rbtree_count(self->tree) == 0
                     ? rbtree_build(self->tree, batch->entries, batch->count,
                                    &interrupt)
                     : rbtree_put_all(self->tree, batch->entries, batch->count,
                                      &interrupt);
        guard_end_change(&self->guard);
    } while (status == STATUS_INTERRUPTED && signals_retry(&signals));
    if (status != STATUS_OK) {
        raise_status(self->base.state, status, NULL);
        return -1;
    }
    return 0;
}

static int
update_encoded(RBTreeObject *self, PyObject *encode, PyObject *source,
               PyObject *items, const char *caller)
{
    struct batch batch;
    int result = -1;
    // One batch for both, so that a bad keyword leaves the tree unchanged,
    // too.
    if (batch_init(&batch, self->base.state, encode, caller) == 0
        && (source == NULL || batch_add_all(&batch, source) == 0)
        && (items == NULL || batch_add_all(&batch, items) == 0))
    {
        result = update_from_batch(self, &batch);
    }
    batch_clear(&batch);
    return result;
}

/* The same with the tree's own encoder. */
static int
update_from(RBTreeObject *self, PyObject *source, PyObject *items,
            const char *caller)
{
    PyObject *encode = tree_encoder(self);
    int result = update_encoded(self, encode, source, items, caller);
    Py_XDECREF(encode);
    return result;
}

static PyObject *
rbtree_py_update(PyObject *object, PyObject *args, PyObject *keywords)
{
    RBTreeObject *self = (RBTreeObject *)object;
    PyObject *source = NULL;
    if (!PyArg_UnpackTuple(args, "update", 0, 1, &source)) {
        return NULL;
    }
    if (update_from(self, source, keywords, "update()") < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* A batch with the tree's encoder, for fromkeys(). */
static int
begin_batch(RBTreeObject *self, struct batch *batch)
{
    PyObject *encode = tree_encoder(self);
    int result = batch_init(batch, self->base.state, encode, "fromkeys()");
    Py_XDECREF(encode);
    return result;
}

static PyObject *
rbtree_py_fromkeys(PyObject *type, PyObject *const *args, Py_ssize_t count)
{
    struct batch batch;
    PyObject *value = count > 1 ? args[1] : Py_None;
    if (count < 1 || count > 2) {
        PyErr_Format(PyExc_TypeError,
                     "fromkeys() takes keys and an optional value, got %zd "
                     "arguments",
                     count);
        return NULL;
    }
    PyObject *tree = PyObject_CallNoArgs(type);
    if (tree == NULL) {
        return NULL;
    }
    if (!is_tree(tree)) {
        PyErr_Format(PyExc_TypeError, "%.100s() did not return an rbtree",
                     ((PyTypeObject *)type)->tp_name);
        Py_DECREF(tree);
        return NULL;
    }
    RBTreeObject *self = (RBTreeObject *)tree;
    if (begin_batch(self, &batch) < 0
        || batch_add_keys(&batch, args[0], value) < 0
        || update_from_batch(self, &batch) < 0)
    {
        Py_CLEAR(tree);
    }
    batch_clear(&batch);
    return tree;
}

static PyObject *
rbtree_py_clear(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    RBTreeObject *self = (RBTreeObject *)object;
    tree_begin_change(self);
    rbtree_clear(self->tree);
    guard_end_change(&self->guard);
    Py_RETURN_NONE;
}

/* A new empty tree with the hooks of `self`. */
static RBTreeObject *
create_alike(PyTypeObject *type, RBTreeObject *self)
{
    struct hooks hooks = tree_hooks(self);
    RBTreeObject *alike = rbtree_object_create(type, self->base.methods,
                                               hooks.encode, hooks.decode);
    hooks_clear(&hooks);
    return alike;
}

/* Fills an empty tree with the entries of another one. */
static enum status
copy_entries(const struct rbtree *from, struct rbtree *to,
             const struct interrupt *interrupt)
{
    size_t count = rbtree_count(from);
    struct entry *entries = memory_allocate_array(count, sizeof(*entries));
    if (entries == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = rbtree_entries(from, entries, interrupt);
    if (status == STATUS_OK) {
        status = rbtree_build(to, entries, count, interrupt);
    }
    memory_release(entries);
    return status;
}

/* Fills a new tree with the entries that `self` has at one moment. */
static enum status
copy_tree(RBTreeObject *self, struct rbtree **copy)
{
    struct signals signals;
    struct interrupt interrupt;
    enum status status = rbtree_create(copy);
    if (status != STATUS_OK) {
        return status;
    }
    do {
        // A handler may want the tree, which is guarded.
        signals_watch(&signals, &interrupt);
        tree_begin_read(self);
        status = copy_entries(self->tree, *copy, &interrupt);
        guard_end_read(&self->guard);
    } while (status == STATUS_INTERRUPTED && signals_retry(&signals));
    if (status != STATUS_OK) {
        rbtree_destroy(*copy);
    }
    return status;
}

static RBTreeObject *
copy_as(PyTypeObject *type, RBTreeObject *self)
{
    struct rbtree *tree;
    // Not in an object, which a handler could find through gc.
    enum status status = copy_tree(self, &tree);
    if (status != STATUS_OK) {
        raise_status(self->base.state, status, NULL);
        return NULL;
    }
    RBTreeObject *copy = create_alike(type, self);
    if (copy != NULL) {
        tree = tree_swap(copy, tree);
    }
    rbtree_destroy(tree);
    return copy;
}

static PyObject *
rbtree_py_copy(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *copy = (PyObject *)copy_as(Py_TYPE(self), (RBTreeObject *)self);
    if (copy != NULL && mapping_copy_state(copy, self, NULL) < 0) {
        Py_CLEAR(copy);
    }
    return copy;
}

static PyObject *
rbtree_nb_inplace_or(PyObject *self, PyObject *other)
{
    if (update_from((RBTreeObject *)self, other, NULL, "m |= other") < 0) {
        return NULL;
    }
    return Py_NewRef(self);
}

/* tree | mapping and mapping | tree: either operand may be the rbtree. */
static PyObject *
rbtree_nb_or(PyObject *left, PyObject *right)
{
    bool left_is_tree = is_tree(left);
    RBTreeObject *tree = (RBTreeObject *)(left_is_tree ? left : right);
    int is_mapping =
        mapping_check_any(tree->base.state, left_is_tree ? right : left);
    if (is_mapping < 0) {
        return NULL;
    }
    if (is_mapping == 0) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    RBTreeObject *result = left_is_tree ? copy_as(Py_TYPE(tree), tree)
                                        : create_alike(Py_TYPE(tree), tree);
    if (result != NULL
        && (mapping_copy_state((PyObject *)result, (PyObject *)tree, NULL) < 0
            || (!left_is_tree
                && update_from(result, left, NULL, "other | m") < 0)
            || update_from(result, right, NULL, "m | other") < 0))
    {
        Py_CLEAR(result);
    }
    return (PyObject *)result;
}

/* ---- about the tree ----------------------------------------------------- */

static PyObject *
rbtree_tp_repr(PyObject *self)
{
    RBTreeObject *tree = (RBTreeObject *)self;
    PyObject *repr = NULL;
    int depth = Py_ReprEnter(self);
    if (depth != 0) {
        return depth > 0 ? PyUnicode_FromString("rbtree(...)") : NULL;
    }
    // Of a copy: while the decoder runs, entries may come and go.
    PyObject *copy =
        (PyObject *)copy_as(tree->base.state->types[TYPE_RBTREE], tree);
    PyObject *items =
        copy != NULL
            ? view_repr_entries(copy, ITEM_PAIR, REPR_AS_DICT, PY_SSIZE_T_MAX)
            : NULL;
    if (items != NULL) {
        const char *name = mapping_type_name(self);
        repr = PyUnicode_GET_LENGTH(items) > 0
                   ? PyUnicode_FromFormat("%s({%U})", name, items)
                   : PyUnicode_FromFormat("%s()", name);
    }
    Py_XDECREF(items);
    Py_XDECREF(copy);
    Py_ReprLeave(self);
    return repr;
}

static PyObject *
rbtree_py_sizeof(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    RBTreeObject *self = (RBTreeObject *)object;
    tree_begin_read(self);
    size_t size = rbtree_memory(self->tree);
    guard_end_read(&self->guard);
    return PyLong_FromSize_t((size_t)Py_TYPE(self)->tp_basicsize + size);
}

/* ---- the type ----------------------------------------------------------- */

static PyMethodDef rbtree_methods[] = {
    {"set", METHOD(rbtree_py_set), METH_FASTCALL, rbtree_set_doc},
    {"pop", METHOD(rbtree_py_pop), METH_FASTCALL, rbtree_pop_doc},
    {"popitem", METHOD(rbtree_py_popitem), METH_VARARGS | METH_KEYWORDS,
     rbtree_popitem_doc},
    {"setdefault", METHOD(rbtree_py_setdefault), METH_VARARGS | METH_KEYWORDS,
     rbtree_setdefault_doc},
    {"update", METHOD(rbtree_py_update), METH_VARARGS | METH_KEYWORDS,
     rbtree_update_doc},
    {"clear", rbtree_py_clear, METH_NOARGS, rbtree_clear_doc},
    {"copy", rbtree_py_copy, METH_NOARGS, rbtree_copy_doc},
    {"fromkeys", METHOD(rbtree_py_fromkeys), METH_FASTCALL | METH_CLASS,
     rbtree_fromkeys_doc},
    {"share", METHOD(rbtree_py_share), METH_VARARGS | METH_KEYWORDS,
     rbtree_share_doc},
    {"save", METHOD(rbtree_py_save), METH_VARARGS | METH_KEYWORDS,
     rbtree_save_doc},
    {"dump", METHOD(rbtree_py_dump), METH_VARARGS | METH_KEYWORDS,
     rbtree_dump_doc},
    {"remove", METHOD(rbtree_py_remove),
     METH_VARARGS | METH_KEYWORDS | METH_CLASS, rbtree_remove_doc},
    {"__reduce__", rbtree_py_reduce, METH_NOARGS, NULL},
    {"_restore", rbtree_py_restore, METH_VARARGS | METH_CLASS, NULL},
    {"__sizeof__", rbtree_py_sizeof, METH_NOARGS, rbtree_sizeof_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef rbtree_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(RBTreeObject, weak_references),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot rbtree_slots[] = {
    {Py_tp_doc, (void *)rbtree_doc},
    {Py_tp_new, rbtree_tp_new},
    {Py_tp_init, rbtree_tp_init},
    {Py_tp_dealloc, rbtree_tp_dealloc},
    {Py_tp_traverse, rbtree_tp_traverse},
    {Py_tp_clear, rbtree_tp_clear},
    {Py_tp_repr, rbtree_tp_repr},
    {Py_mp_ass_subscript, rbtree_mp_ass_subscript},
    {Py_nb_or, rbtree_nb_or},
    {Py_nb_inplace_or, rbtree_nb_inplace_or},
    {Py_tp_methods, rbtree_methods},
    {Py_tp_members, rbtree_members},
    {0, NULL},
};

PyType_Spec rbtree_spec = {
    .name = "sharedmap.rbtree",
    .basicsize = sizeof(RBTreeObject),
    .flags = TYPE_FLAGS | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_MAPPING,
    .slots = rbtree_slots,
};
