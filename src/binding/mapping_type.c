/* binding/mapping_type.c
 *
 * In Python this file would be:
 *
 *     class Mapping(collections.abc.Mapping[str, Value]):
 *         def __getitem__(self, key_or_slice): ...
 *         def __contains__(self, key): ...
 *         def __len__(self): ...
 *         def __iter__(self): ...
 *         def __reversed__(self): ...
 *         def __eq__(self, other): ...
 *         def get(self, key, default=None): ...
 *         def get_many(self, keys, default=None, *, missing="error"): ...
 *         def keys(self): ...
 *         def values(self): ...
 *         def items(self): ...
 *         def prefix(self, prefix): ...
 *         def floor(self, key): ...
 *         def ceiling(self, key): ...
 *         def lower(self, key): ...
 *         def higher(self, key): ...
 *         def longest_prefix(self, text): ...
 *         def first(self): ...
 *         def last(self): ...
 *         def to_dict(self): ...
 *         def __or__(self, other): ...          # a dict; rbtree has its own
 *         def __ror__(self, other): ...
 *
 * It is the base of four types, which differ in their struct mapping_methods:
 *
 *                      Mapping
 *        +---------+------+------+-------------+
 *     rbtree  rbtree_range  sharedmap  sharedmap_range
 *
 * Not here: the methods from floor() to last() (mapping_order.c), changing a
 * tree (rbtree_type.c), opening a map (sharedmap_type.c), and the views
 * (view_type.c).
 */
#include "binding/mapping_type.h"

#include "binding/arguments.h"
#include "binding/dict_find.h"
#include "binding/many_keys.h"
#include "binding/mapping_doc.h"
#include "binding/mapping_order.h"
#include "binding/signals.h"
#include "binding/text.h"
#include "binding/value.h"
#include "binding/view_type.h"

static inline struct state *
state_of(PyObject *self)
{
    return ((MappingObject *)self)->state;
}

bool
mapping_check(struct state *state, PyObject *object)
{
    return PyObject_TypeCheck(object, state->types[TYPE_MAPPING]);
}

/* ---- the state of a subclass in Python ---------------------------------- */

static bool
is_own_type(PyObject *object)
{
    return PyType_HasFeature(Py_TYPE(object), Py_TPFLAGS_IMMUTABLETYPE);
}

PyObject *
mapping_state(PyObject *object)
{
    if (is_own_type(object)) {
        return Py_NewRef(Py_None);
    }
    return PyObject_CallMethod(object, "__getstate__", NULL);
}

PyObject *
mapping_rebuild(PyObject *object)
{
    return PyObject_GetAttrString(state_module_of_type(Py_TYPE(object)),
                                  "_rebuild");
}

int
mapping_copy_state(PyObject *to, PyObject *from, PyObject *memo)
{
    if (is_own_type(from)) {
        return 0;
    }
    PyObject *module = PyImport_ImportModule("sharedmap._copying");
    PyObject *none = NULL;
    if (module != NULL && memo == NULL) {
        none = PyObject_CallMethod(module, "copy_state", "OO", to, from);
    }
    else if (module != NULL) {
        none = PyObject_CallMethod(module, "copy_state_deep", "OOO", to, from,
                                   memo);
    }
    Py_XDECREF(module);
    Py_XDECREF(none);
    return none != NULL ? 0 : -1;
}

/* ---- kinds of objects --------------------------------------------------- */

int
mapping_check_abc(PyObject *object, const char *name)
{
    PyObject *module = PyImport_ImportModule("collections.abc");
    if (module == NULL) {
        return -1;
    }
    PyObject *type = PyObject_GetAttrString(module, name);
    Py_DECREF(module);
    if (type == NULL) {
        return -1;
    }
    int result = PyObject_IsInstance(object, type);
    Py_DECREF(type);
    return result;
}

int
mapping_check_any(struct state *state, PyObject *object)
{
    if (PyDict_Check(object) || mapping_check(state, object)) {
        return 1;
    }
    return mapping_check_abc(object, "Mapping");
}

const char *
mapping_type_name(PyObject *object)
{
    const char *name = strrchr(Py_TYPE(object)->tp_name, '.');
    return name != NULL ? name + 1 : Py_TYPE(object)->tp_name;
}

PyObject *
mapping_iterate(PyObject *self, enum item_kind kind, enum direction direction)
{
    return mapping_methods_of(self)->iterate(self, kind, direction);
}

/* ---- one key ------------------------------------------------------------ */

enum answer
mapping_lookup(PyObject *self, PyObject *key, PyObject **value,
               const char *caller)
{
    struct text text;
    struct item item;
    if (text_encode_key(&text, key, caller) < 0) {
        return ANSWER_FAILED;
    }
    enum answer answer = mapping_methods_of(self)->lookup(
        self, text.slice, value != NULL ? &item : NULL);
    text_clear(&text);
    if (answer == ANSWER_YES && value != NULL) {
        *value = item_finish(&item);
        return *value != NULL ? ANSWER_YES : ANSWER_FAILED;
    }
    return answer;
}

int
mapping_sq_contains(PyObject *self, PyObject *key)
{
    return mapping_lookup(self, key, NULL, "key in m");
}

static Py_ssize_t
mapping_mp_length(PyObject *self)
{
    return mapping_methods_of(self)->length(self);
}

PyObject *
mapping_py_get(PyObject *self, PyObject *const *args, Py_ssize_t count,
               PyObject *keyword_names)
{
    PyObject *key, *fallback, *value = NULL;
    if (arguments_get(args, count, keyword_names, &key, &fallback) < 0) {
        return NULL;
    }
    if (mapping_lookup(self, key, &value, "get()") == ANSWER_NO) {
        return Py_NewRef(fallback);
    }
    return value;
}

/* ---- many keys ---------------------------------------------------------- */

/* A new reference to the value of key number `index`. */
static PyObject *
get_one(PyObject *self, const struct many_keys *many, PyObject *key,
        Py_ssize_t index)
{
    PyObject *value = NULL;
    if (!PyUnicode_Check(key)) {
        return many_keys_other(many, key, index);
    }
    if (mapping_lookup(self, key, &value, "get_many()") == ANSWER_NO) {
        return Py_NewRef(many->fallback);
    }
    return value;
}

static PyObject *
mapping_py_get_many(PyObject *self, PyObject *args, PyObject *keywords)
{
    struct many_keys many;
    struct signals_steps steps = {0};
    if (many_keys_parse(&many, args, keywords) < 0) {
        return NULL;
    }
    PyObject *keys = many_keys_collect(&many);
    Py_ssize_t count = keys != NULL ? PyTuple_GET_SIZE(keys) : 0;
    PyObject *results = keys != NULL ? PyList_New(count) : NULL;
    if (results != NULL) {
        // Otherwise a decoder could find the list through gc, and clear it.
        PyObject_GC_UnTrack(results);
        int result = 0;
        for (Py_ssize_t i = 0; result == 0 && i < count; i++) {
            PyObject *value =
                get_one(self, &many, PyTuple_GET_ITEM(keys, i), i);
            PyList_SET_ITEM(results, i, value);
            result = value != NULL ? signals_step(&steps) : -1;
        }
        PyObject_GC_Track(results);
        if (result < 0) {
            Py_CLEAR(results);
        }
    }
    Py_XDECREF(keys);
    return results;
}

/* ---- ranges ------------------------------------------------------------- */

/* Fills `bound` from one end of a Python slice, NULL for None. */
static int
parse_bound(PyObject *object, struct text *text, const struct slice **bound)
{
    *bound = NULL;
    text->heap = NULL;
    if (object == Py_None) {
        return 0;
    }
    if (text_encode_key(text, object, "m[low:high]") < 0) {
        return -1;
    }
    *bound = &text->slice;
    return 0;
}

static PyObject *
subscript_slice(PyObject *self, PyObject *object)
{
    PySliceObject *slice = (PySliceObject *)object;
    struct text low, high;
    struct bounds bounds;
    PyObject *range = NULL;
    if (slice->step != Py_None) {
        PyErr_SetString(PyExc_ValueError,
                        "slices of a map do not support a step");
        return NULL;
    }
    if (parse_bound(slice->start, &low, &bounds.low) < 0) {
        return NULL;
    }
    if (parse_bound(slice->stop, &high, &bounds.high) == 0) {
        range = mapping_methods_of(self)->range(self, &bounds);
    }
    text_clear(&low);
    text_clear(&high);
    return range;
}

PyObject *
mapping_mp_subscript(PyObject *self, PyObject *key)
{
    PyObject *value = NULL;
    if (PySlice_Check(key)) {
        return subscript_slice(self, key);
    }
    if (mapping_lookup(self, key, &value, "m[key]") == ANSWER_NO) {
        PyErr_SetObject(PyExc_KeyError, key);
    }
    return value;
}

static PyObject *
mapping_py_prefix(PyObject *self, PyObject *prefix)
{
    struct text low;
    struct slice high;
    if (text_encode_key(&low, prefix, "prefix()") < 0) {
        return NULL;
    }
    PyObject *range = NULL;
    if (low.slice.size == 0) {
        range = mapping_methods_of(self)->range(self,
                                                &(struct bounds){NULL, NULL});
        goto done;
    }
    // What begins with the prefix lies below the prefix with its last byte
    // raised by one. UTF-8 has no byte 255, so there is such a byte.
    unsigned char *raised = PyMem_Malloc(low.slice.size);
    if (raised == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    memcpy(raised, low.slice.bytes, low.slice.size);
    raised[low.slice.size - 1] += 1;
    high = (struct slice){raised, low.slice.size};
    range = mapping_methods_of(self)->range(
        self, &(struct bounds){&low.slice, &high});
    PyMem_Free(raised);
done:
    text_clear(&low);
    return range;
}

/* ---- all entries -------------------------------------------------------- */

static PyObject *
mapping_tp_iter(PyObject *self)
{
    return mapping_iterate(self, ITEM_KEY, FORWARD);
}

static PyObject *
mapping_py_reversed(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return mapping_iterate(self, ITEM_KEY, BACKWARD);
}

static PyObject *
pinned_view(PyObject *self, enum item_kind kind)
{
    PyObject *pinned = mapping_methods_of(self)->pin(self);
    if (pinned == NULL) {
        return NULL;
    }
    PyObject *view = view_create(state_of(self), pinned, kind);
    Py_DECREF(pinned);
    return view;
}

static PyObject *
mapping_py_keys(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return pinned_view(self, ITEM_KEY);
}

static PyObject *
mapping_py_values(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return pinned_view(self, ITEM_VALUE);
}

static PyObject *
mapping_py_items(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return pinned_view(self, ITEM_PAIR);
}

/* ---- interactive shells ------------------------------------------------- */

/* More than a person reads, in a time that is not noticed. */
enum { MOST_COMPLETIONS = 10000 };

/* The keys that IPython offers behind m[". */
static PyObject *
mapping_py_key_completions(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *keys = mapping_iterate(self, ITEM_KEY, FORWARD);
    PyObject *list = keys != NULL ? PyList_New(0) : NULL;
    PyObject *key = NULL;
    while (list != NULL && PyList_GET_SIZE(list) < MOST_COMPLETIONS
           && (key = PyIter_Next(keys)) != NULL)
    {
        if (PyList_Append(list, key) < 0) {
            Py_CLEAR(list);
        }
        Py_DECREF(key);
    }
    Py_XDECREF(keys);
    if (PyErr_Occurred()) {
        Py_CLEAR(list);
    }
    return list;
}

/* ---- as a dict ---------------------------------------------------------- */

/* Adds all entries; of a mapping of ours those of one version. */
static int
add_to_dict(struct state *state, PyObject *dict, PyObject *mapping)
{
    if (!mapping_check(state, mapping)) {
        return PyDict_Update(dict, mapping);
    }
    PyObject *pairs = mapping_iterate(mapping, ITEM_PAIR, FORWARD);
    int result = pairs != NULL ? PyDict_MergeFromSeq2(dict, pairs, true) : -1;
    Py_XDECREF(pairs);
    return result;
}

static PyObject *
mapping_py_to_dict(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *dict = PyDict_New();
    if (dict != NULL && add_to_dict(state_of(self), dict, self) < 0) {
        Py_CLEAR(dict);
    }
    return dict;
}

/* Whether it is of our base type, also where that is the only one known. */
static bool
is_own(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    while (type != NULL && type->tp_iter != mapping_tp_iter) {
        type = type->tp_base;
    }
    return type != NULL;
}

/* map | mapping and mapping | map: a dict, as with types.MappingProxyType. */
static PyObject *
mapping_nb_or(PyObject *left, PyObject *right)
{
    bool left_is_own = is_own(left);
    struct state *state = state_of(left_is_own ? left : right);
    PyObject *other = left_is_own ? right : left;
    int is_mapping = mapping_check_any(state, other);
    if (is_mapping < 0) {
        return NULL;
    }
    // A tree makes a tree of both.
    if (is_mapping == 0
        || PyObject_TypeCheck(other, state->types[TYPE_RBTREE]))
    {
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *dict = PyDict_New();
    if (dict != NULL
        && (add_to_dict(state, dict, left) < 0
            || add_to_dict(state, dict, right) < 0))
    {
        Py_CLEAR(dict);
    }
    return dict;
}

static PyObject *
mapping_nb_inplace_or(PyObject *self, PyObject *Py_UNUSED(other))
{
    return PyErr_Format(PyExc_TypeError,
                        "'|=' is not supported by a read-only %s; use '|', "
                        "which makes a dict",
                        mapping_type_name(self));
}

/* ---- comparison --------------------------------------------------------- */

/* The value that `mapping` has for the key, as a new reference; NULL without
 * an exception if the key is absent. */
static PyObject *
get_optional(struct state *state, PyObject *mapping, PyObject *key)
{
    PyObject *value = NULL;
    if (mapping_check(state, mapping)) {
        (void)mapping_lookup(mapping, key, &value, "m == other");
        return value;
    }
    if (PyDict_CheckExact(mapping)) {
        (void)dict_find(mapping, key, &value);
        return value;
    }
    int contains = PySequence_Contains(mapping, key);
    return contains > 0 ? PyObject_GetItem(mapping, key) : NULL;
}

/* 1 or 0, -1 with an exception. */
static int
equals(PyObject *self, PyObject *other)
{
    Py_ssize_t own_length = PyObject_Length(self);
    Py_ssize_t other_length = PyObject_Length(other);
    if (own_length < 0 || other_length < 0) {
        return -1;
    }
    if (own_length != other_length) {
        return 0;
    }
    PyObject *iterator = mapping_iterate(self, ITEM_PAIR, FORWARD);
    if (iterator == NULL) {
        return -1;
    }
    int result = 1;
    PyObject *pair;
    while (result > 0 && (pair = PyIter_Next(iterator)) != NULL) {
        PyObject *value =
            get_optional(state_of(self), other, PyTuple_GET_ITEM(pair, 0));
        if (value == NULL) {
            result = PyErr_Occurred() ? -1 : 0;
        }
        else {
            result = value_equal(PyTuple_GET_ITEM(pair, 1), value);
            Py_DECREF(value);
        }
        Py_DECREF(pair);
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : result;
}

static PyObject *
mapping_tp_richcompare(PyObject *self, PyObject *other, int operation)
{
    if (operation != Py_EQ && operation != Py_NE) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    int is_mapping = mapping_check_any(state_of(self), other);
    if (is_mapping < 0) {
        return NULL;
    }
    if (is_mapping == 0) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    // One snapshot of each for the entire comparison, even if a handle
    // follows.
    PyObject *left = mapping_methods_of(self)->pin(self);
    PyObject *right = mapping_check(state_of(self), other)
                          ? mapping_methods_of(other)->pin(other)
                          : Py_NewRef(other);
    // As with the values of a dict: the same object is equal to itself.
    int result = left == NULL || right == NULL ? -1
                 : self == other               ? 1
                                               : equals(left, right);
    Py_XDECREF(right);
    Py_XDECREF(left);
    if (result < 0) {
        return NULL;
    }
    return PyBool_FromLong(result == (operation == Py_EQ));
}

static int
mapping_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

/* ---- the type ----------------------------------------------------------- */

static PyMethodDef mapping_methods[] = {
    {"get", METHOD(mapping_py_get), METH_FASTCALL | METH_KEYWORDS,
     mapping_get_doc},
    {"get_many", METHOD(mapping_py_get_many), METH_VARARGS | METH_KEYWORDS,
     mapping_get_many_doc},
    {"keys", mapping_py_keys, METH_NOARGS, mapping_keys_doc},
    {"values", mapping_py_values, METH_NOARGS, mapping_values_doc},
    {"items", mapping_py_items, METH_NOARGS, mapping_items_doc},
    {"prefix", mapping_py_prefix, METH_O, mapping_prefix_doc},
    {"floor", mapping_py_floor, METH_O, mapping_floor_doc},
    {"ceiling", mapping_py_ceiling, METH_O, mapping_ceiling_doc},
    {"lower", mapping_py_lower, METH_O, mapping_lower_doc},
    {"higher", mapping_py_higher, METH_O, mapping_higher_doc},
    {"longest_prefix", mapping_py_longest_prefix, METH_O,
     mapping_longest_prefix_doc},
    {"first", mapping_py_first, METH_NOARGS, mapping_first_doc},
    {"last", mapping_py_last, METH_NOARGS, mapping_last_doc},
    {"to_dict", mapping_py_to_dict, METH_NOARGS, mapping_to_dict_doc},
    {"_ipython_key_completions_", mapping_py_key_completions, METH_NOARGS,
     NULL},
    {"__reversed__", mapping_py_reversed, METH_NOARGS, mapping_reversed_doc},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot mapping_slots[] = {
    {Py_tp_methods, mapping_methods},
    {Py_tp_traverse, mapping_tp_traverse},
    {Py_tp_richcompare, mapping_tp_richcompare},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_iter, mapping_tp_iter},
    {Py_mp_length, mapping_mp_length},
    {Py_mp_subscript, mapping_mp_subscript},
    {Py_sq_contains, mapping_sq_contains},
    {Py_nb_or, mapping_nb_or},
    {Py_nb_inplace_or, mapping_nb_inplace_or},
    {0, NULL},
};

PyType_Spec mapping_spec = {
    .name = "sharedmap._Mapping",
    .basicsize = sizeof(MappingObject),
    .flags = TYPE_FLAGS_INTERNAL | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_MAPPING,
    .slots = mapping_slots,
};
