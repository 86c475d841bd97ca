/* binding/view_type.c
 *
 * In Python this file would be:
 *
 *     class KeysView(collections.abc.KeysView): ...      # also ItemsView
 *         def __len__(self): ...
 *         def __iter__(self): ...
 *         def __reversed__(self): ...
 *         def __contains__(self, x): ...
 *         def __eq__, __lt__, __le__, __gt__, __ge__     # as sets
 *         def __and__, __or__, __sub__, __xor__          # -> set
 *         def isdisjoint(self, other): ...
 *         mapping: Mapping
 *
 *     class ValuesView(collections.abc.ValuesView): ...  # no sets
 *
 * A view owns a reference to the mapping and nothing else. On a tree it is
 * live; a snapshot never changes.
 *
 * Not here: the iterators; see rbtree_iterator.c and sharedmap_iterator.c.
 */
#include "binding/view_type.h"

#include <structmember.h>

#include "binding/mapping_type.h"
#include "binding/signals.h"
#include "binding/text.h"
#include "binding/value.h"
#include "binding/view_doc.h"

typedef struct {
    PyObject_HEAD
    struct state *state;  // borrowed
    PyObject *mapping;    // owned
    enum item_kind kind;
} ViewObject;

PyObject *
view_create(struct state *state, PyObject *mapping, enum item_kind kind)
{
    static const enum type_index indices[] = {
        [ITEM_KEY] = TYPE_KEYS_VIEW,
        [ITEM_VALUE] = TYPE_VALUES_VIEW,
        [ITEM_PAIR] = TYPE_ITEMS_VIEW,
    };
    PyTypeObject *type = state->types[indices[kind]];
    ViewObject *self = (ViewObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->state = state;
        self->mapping = Py_NewRef(mapping);
        self->kind = kind;
    }
    return (PyObject *)self;
}

static int
view_tp_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((ViewObject *)object)->mapping);
    return 0;
}

static void
view_tp_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_XDECREF(((ViewObject *)object)->mapping);
    type->tp_free(object);
    Py_DECREF(type);
}

static Py_ssize_t
view_sq_length(PyObject *object)
{
    return PyObject_Length(((ViewObject *)object)->mapping);
}

static PyObject *
view_tp_iter(PyObject *object)
{
    ViewObject *self = (ViewObject *)object;
    return mapping_iterate(self->mapping, self->kind, FORWARD);
}

static PyObject *
view_py_reversed(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    ViewObject *self = (ViewObject *)object;
    return mapping_iterate(self->mapping, self->kind, BACKWARD);
}

/* ---- membership --------------------------------------------------------- */

static int
keys_view_sq_contains(PyObject *object, PyObject *key)
{
    // As in a set, any object can be looked up.
    if (!PyUnicode_Check(key)) {
        return 0;
    }
    return PySequence_Contains(((ViewObject *)object)->mapping, key);
}

static int
items_view_sq_contains(PyObject *object, PyObject *pair)
{
    PyObject *mapping = ((ViewObject *)object)->mapping;
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2
        || !PyUnicode_Check(PyTuple_GET_ITEM(pair, 0)))
    {
        return 0;
    }
    PyObject *value;
    enum answer answer =
        mapping_lookup(mapping, PyTuple_GET_ITEM(pair, 0), &value, "in");
    if (answer != ANSWER_YES) {
        return answer;
    }
    int result = value_equal(value, PyTuple_GET_ITEM(pair, 1));
    Py_DECREF(value);
    return result;
}

static int
values_view_sq_contains(PyObject *object, PyObject *value)
{
    PyObject *iterator = view_tp_iter(object);
    if (iterator == NULL) {
        return -1;
    }
    int result = 0;
    PyObject *element;
    while (result == 0 && (element = PyIter_Next(iterator)) != NULL) {
        result = value_equal(element, value);
        Py_DECREF(element);
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : result;
}

/* ---- as sets ------------------------------------------------------------ */

/* Whether every element of `subset` is in `superset`; -1 with an exception. */
static int
contains_all(PyObject *superset, PyObject *subset)
{
    PyObject *iterator = PyObject_GetIter(subset);
    if (iterator == NULL) {
        return -1;
    }
    struct signals_steps steps = {0};
    int result = 1;
    PyObject *element;
    while (result > 0 && (element = PyIter_Next(iterator)) != NULL) {
        result = PySequence_Contains(superset, element);
        Py_DECREF(element);
        result = signals_step(&steps) < 0 ? -1 : result;
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : result;
}

static int
is_set_view(struct state *state, PyObject *object)
{
    return Py_IS_TYPE(object, state->types[TYPE_KEYS_VIEW])
           || Py_IS_TYPE(object, state->types[TYPE_ITEMS_VIEW]);
}

static int
is_set(struct state *state, PyObject *object)
{
    if (PyAnySet_Check(object) || PyDictViewSet_Check(object)
        || is_set_view(state, object))
    {
        return 1;
    }
    return mapping_check_abc(object, "Set");
}

static PyObject *
view_tp_richcompare(PyObject *self, PyObject *other, int operation)
{
    int is_comparable = is_set(((ViewObject *)self)->state, other);
    if (is_comparable < 0) {
        return NULL;
    }
    if (is_comparable == 0) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    Py_ssize_t own_length = PyObject_Length(self);
    Py_ssize_t other_length = PyObject_Length(other);
    if (own_length < 0 || other_length < 0) {
        return NULL;
    }
    int result = 0;
    switch (operation) {
    case Py_EQ:
    case Py_NE:
        result = own_length == other_length ? contains_all(other, self) : 0;
        if (result >= 0 && operation == Py_NE) {
            result = !result;
        }
        break;
    case Py_LT:
        result = own_length < other_length ? contains_all(other, self) : 0;
        break;
    case Py_LE:
        result = own_length <= other_length ? contains_all(other, self) : 0;
        break;
    case Py_GT:
        result = own_length > other_length ? contains_all(self, other) : 0;
        break;
    case Py_GE:
        result = own_length >= other_length ? contains_all(self, other) : 0;
        break;
    default:
        break;
    }
    return result < 0 ? NULL : PyBool_FromLong(result);
}

/* A new set of the elements of `left`, changed by the method of set with the
 * elements of `right`. One of the two is a view. */
static PyObject *
combine(PyObject *left, PyObject *right, const char *method)
{
    if (Py_TYPE(left)->tp_iter == NULL || Py_TYPE(right)->tp_iter == NULL) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *set = PySet_New(left);
    if (set == NULL) {
        return NULL;
    }
    PyObject *nothing = PyObject_CallMethod(set, method, "(O)", right);
    if (nothing == NULL) {
        Py_DECREF(set);
        return NULL;
    }
    Py_DECREF(nothing);
    return set;
}

static PyObject *
view_nb_and(PyObject *left, PyObject *right)
{
    return combine(left, right, "intersection_update");
}

static PyObject *
view_nb_or(PyObject *left, PyObject *right)
{
    return combine(left, right, "update");
}

static PyObject *
view_nb_subtract(PyObject *left, PyObject *right)
{
    return combine(left, right, "difference_update");
}

static PyObject *
view_nb_xor(PyObject *left, PyObject *right)
{
    return combine(left, right, "symmetric_difference_update");
}

static PyObject *
view_py_isdisjoint(PyObject *self, PyObject *other)
{
    PyObject *iterator = PyObject_GetIter(other);
    if (iterator == NULL) {
        return NULL;
    }
    struct signals_steps steps = {0};
    int is_shared = 0;
    PyObject *element;
    while (is_shared == 0 && (element = PyIter_Next(iterator)) != NULL) {
        is_shared = PySequence_Contains(self, element);
        Py_DECREF(element);
        is_shared = is_shared == 0 ? signals_step(&steps) : is_shared;
    }
    Py_DECREF(iterator);
    if (PyErr_Occurred()) {
        return NULL;
    }
    return PyBool_FromLong(!is_shared);
}

/* ---- repr --------------------------------------------------------------- */

/* Decoders are Python code, which may change a tree. So the keys are taken
 * first, which calls no decoder, and then the values are looked up. */

/* A new list of the first keys. */
static PyObject *
first_keys(PyObject *mapping, Py_ssize_t limit)
{
    PyObject *keys = PyList_New(0);
    PyObject *iterator =
        keys != NULL ? mapping_iterate(mapping, ITEM_KEY, FORWARD) : NULL;
    PyObject *key;
    int result = iterator != NULL ? 0 : -1;
    while (result == 0 && PyList_GET_SIZE(keys) < limit
           && (key = PyIter_Next(iterator)) != NULL)
    {
        result = PyList_Append(keys, key);
        Py_DECREF(key);
    }
    Py_XDECREF(iterator);
    if (result < 0 || PyErr_Occurred()) {
        Py_CLEAR(keys);
    }
    return keys;
}

/* Whether repr() goes on after the current exception. An exception that is not
 * about the value ends it: Ctrl-C, no memory, too deep a recursion. */
static bool
is_of_value(void)
{
    return PyErr_ExceptionMatches(PyExc_Exception)
           && !PyErr_ExceptionMatches(PyExc_MemoryError)
           && !PyErr_ExceptionMatches(PyExc_RecursionError);
}

/* Instead of a value; `error` is the type of an exception or NULL. */
static PyObject *
placeholder(Py_ssize_t size, PyObject *error)
{
    const char *unit = size == 1 ? "byte" : "bytes";
    return error == NULL
               ? PyUnicode_FromFormat("<encoded, %zd %s>", size, unit)
               : PyUnicode_FromFormat("<encoded, %zd %s: %s>", size, unit,
                                      ((PyTypeObject *)error)->tp_name);
}

static PyObject *
repr_encoded(PyObject *encoded, PyObject *decode)
{
    Py_ssize_t size = PyBytes_GET_SIZE(encoded);
    if (decode == NULL) {
        return placeholder(size, NULL);
    }
    PyObject *value = value_decode(decode, encoded);
    if (value != NULL) {
        PyObject *repr = PyObject_Repr(value);
        Py_DECREF(value);
        return repr;
    }
    if (!is_of_value()) {
        return NULL;
    }
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyObject *repr = placeholder(size, type);
    Py_XDECREF(traceback);
    Py_XDECREF(error);
    Py_DECREF(type);
    return repr;
}

/* The repr of the value of the key; ANSWER_NO if the key is gone. */
static enum answer
repr_value(PyObject *mapping, PyObject *key, PyObject **repr)
{
    struct text text;
    struct item item;
    if (text_encode_key(&text, key, "repr()") < 0) {
        return ANSWER_FAILED;
    }
    enum answer answer = ((MappingObject *)mapping)
                             ->methods->lookup(mapping, text.slice, &item);
    text_clear(&text);
    if (answer != ANSWER_YES) {
        return answer;
    }
    if (item.is_encoded) {
        *repr = repr_encoded(item.value, item.decode);
        Py_XDECREF(item.value);
        Py_XDECREF(item.decode);
    }
    else {
        PyObject *value = item_finish(&item);
        *repr = value != NULL ? PyObject_Repr(value) : NULL;
        Py_XDECREF(value);
    }
    return *repr != NULL ? ANSWER_YES : ANSWER_FAILED;
}

/* Fills a new str for one entry. */
static enum answer
repr_entry(PyObject *mapping, PyObject *key, enum item_kind kind,
           enum repr_style style, PyObject **repr)
{
    PyObject *value;
    if (kind == ITEM_KEY) {
        *repr = PyObject_Repr(key);
        return *repr != NULL ? ANSWER_YES : ANSWER_FAILED;
    }
    enum answer answer = repr_value(mapping, key, &value);
    if (answer != ANSWER_YES) {
        return answer;
    }
    *repr = kind == ITEM_VALUE ? Py_NewRef(value)
            : style == REPR_AS_DICT
                ? PyUnicode_FromFormat("%R: %U", key, value)
                : PyUnicode_FromFormat("(%R, %U)", key, value);
    Py_DECREF(value);
    return *repr != NULL ? ANSWER_YES : ANSWER_FAILED;
}

PyObject *
view_repr_entries(PyObject *mapping, enum item_kind kind,
                  enum repr_style style, Py_ssize_t limit)
{
    PyObject *result = NULL, *comma = NULL, *shown = NULL;
    struct signals_steps steps = {0};
    PyObject *keys = first_keys(mapping, limit);
    if (keys == NULL) {
        return NULL;
    }
    shown = PyList_New(0);
    comma = shown != NULL ? PyUnicode_FromString(", ") : NULL;
    if (comma == NULL) {
        goto done;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(keys); i++) {
        PyObject *repr = NULL;
        if (signals_step(&steps) < 0) {
            goto done;
        }
        PyObject *key = Py_NewRef(PyList_GET_ITEM(keys, i));
        enum answer answer = repr_entry(mapping, key, kind, style, &repr);
        Py_DECREF(key);
        if (answer == ANSWER_FAILED) {
            goto done;
        }
        if (answer == ANSWER_YES) {
            int appended = PyList_Append(shown, repr);
            Py_DECREF(repr);
            if (appended < 0) {
                goto done;
            }
        }
    }
    result = PyUnicode_Join(comma, shown);
done:
    Py_XDECREF(comma);
    Py_XDECREF(shown);
    Py_DECREF(keys);
    return result;
}

enum { REPR_LIMIT = 20 };

/* Only the first elements: a map can be large. */
static PyObject *
view_tp_repr(PyObject *self)
{
    static const char *const names[] = {
        [ITEM_KEY] = "keys", [ITEM_VALUE] = "values", [ITEM_PAIR] = "items"};
    enum item_kind kind = ((ViewObject *)self)->kind;
    PyObject *mapping = ((ViewObject *)self)->mapping;
    Py_ssize_t length = PyObject_Length(self);
    PyObject *shown = length < 0 ? NULL
                                 : view_repr_entries(mapping, kind,
                                                     REPR_AS_LIST, REPR_LIMIT);
    if (shown == NULL) {
        return NULL;
    }
    PyObject *repr = PyUnicode_FromFormat("%s([%U%s])", names[kind], shown,
                                          length > REPR_LIMIT ? ", ..." : "");
    Py_DECREF(shown);
    return repr;
}

/* ---- the types ---------------------------------------------------------- */

static PyMethodDef view_methods[] = {
    {"__reversed__", view_py_reversed, METH_NOARGS, view_reversed_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef set_view_methods[] = {
    {"__reversed__", view_py_reversed, METH_NOARGS, view_reversed_doc},
    {"isdisjoint", view_py_isdisjoint, METH_O, view_isdisjoint_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef view_members[] = {
    {"mapping", T_OBJECT_EX, offsetof(ViewObject, mapping), READONLY,
     view_mapping_doc},
    {NULL, 0, 0, 0, NULL},
};

/* The methods that keys and items share. */
#define SET_VIEW_SLOTS                                                    \
    {Py_tp_dealloc, view_tp_dealloc}, {Py_tp_traverse, view_tp_traverse}, \
        {Py_tp_repr, view_tp_repr}, {Py_tp_iter, view_tp_iter},           \
        {Py_tp_richcompare, view_tp_richcompare},                         \
        {Py_tp_hash, PyObject_HashNotImplemented},                        \
        {Py_tp_methods, set_view_methods}, {Py_tp_members, view_members}, \
        {Py_sq_length, view_sq_length}, {Py_nb_and, view_nb_and},         \
        {Py_nb_or, view_nb_or}, {Py_nb_subtract, view_nb_subtract},       \
    {                                                                     \
        Py_nb_xor, view_nb_xor                                            \
    }

static PyType_Slot keys_view_slots[] = {
    {Py_tp_doc, (void *)keys_view_doc},
    SET_VIEW_SLOTS,
    {Py_sq_contains, keys_view_sq_contains},
    {0, NULL},
};

static PyType_Slot items_view_slots[] = {
    {Py_tp_doc, (void *)items_view_doc},
    SET_VIEW_SLOTS,
    {Py_sq_contains, items_view_sq_contains},
    {0, NULL},
};

static PyType_Slot values_view_slots[] = {
    {Py_tp_doc, (void *)values_view_doc},
    {Py_tp_dealloc, view_tp_dealloc},
    {Py_tp_traverse, view_tp_traverse},
    {Py_tp_repr, view_tp_repr},
    {Py_tp_iter, view_tp_iter},
    {Py_tp_methods, view_methods},
    {Py_tp_members, view_members},
    {Py_sq_length, view_sq_length},
    {Py_sq_contains, values_view_sq_contains},
    {0, NULL},
};

PyType_Spec keys_view_spec = {
    .name = "sharedmap.KeysView",
    .basicsize = sizeof(ViewObject),
    .flags = TYPE_FLAGS_INTERNAL,
    .slots = keys_view_slots,
};

PyType_Spec items_view_spec = {
    .name = "sharedmap.ItemsView",
    .basicsize = sizeof(ViewObject),
    .flags = TYPE_FLAGS_INTERNAL,
    .slots = items_view_slots,
};

PyType_Spec values_view_spec = {
    .name = "sharedmap.ValuesView",
    .basicsize = sizeof(ViewObject),
    .flags = TYPE_FLAGS_INTERNAL,
    .slots = values_view_slots,
};
