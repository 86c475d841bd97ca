/* binding/container.c
 *
 *     {"port": 80, "hosts": ["a"]} --> 82 A4 port 50 A5 hosts 91 A1 a
 *
 * Both ways recurse, as deep as containers may be nested.
 *
 * While a container is written, no Python code may run that could change it.
 * Most contain nothing that would run any. When there is a convertible object
 * that does, everything is written once more, from a copy of each list and
 * dict:
 *
 *     [1, numpy.float64(2)]             a float, too        as it is
 *     [1, numpy.int64(2)]               Python code         from copies
 *     [1, Point(2, 3)]                  iterates as tuple   as it is
 *
 * In CPython without a GIL it is copies at once, because of other threads: a
 * copy is made under the lock of the object, which could not be held until
 * everything inside is written.
 *
 * Not here: the bytes; see core/base/msgpack.h.
 */
#include "binding/container.h"

#include "binding/convertible.h"
#include "binding/errors.h"
#include "binding/number.h"
#include "binding/text.h"

/* ---- from objects to bytes ---------------------------------------------- */

struct packing {
    struct msgpack_writer *writer;  // borrowed
    PyObject *key;                  // borrowed: of the map, for messages
    const char *caller;             // the same
    unsigned depth;
    bool makes_copies;  // so that Python code may run
};

/* What the functions below return besides 0, and -1 with an exception. */
enum { NEEDS_COPIES = 1 };

static int
pack_object(struct packing *packing, PyObject *object);

static int
fail_depth(const struct packing *packing)
{
    PyErr_Format(PyExc_ValueError,
                 "%s: value of key %.200R is nested more than %d levels deep, "
                 "or contains itself",
                 packing->caller, packing->key, MSGPACK_DEPTH);
    return -1;
}

static int
fail_type(const struct packing *packing, PyObject *object)
{
    PyErr_Format(
        PyExc_TypeError,
        "%s: value of key %.200R contains an object of type %.100s; list, "
        "tuple and dict can contain each other, str, bytes, int, "
        "float, bool and None; for other types pass encode= when "
        "writing and decode= when reading",
        packing->caller, packing->key, Py_TYPE(object)->tp_name);
    return -1;
}

static int
fail_dict_key(const struct packing *packing, PyObject *object)
{
    PyErr_Format(PyExc_TypeError,
                 "%s: value of key %.200R contains a dict with a key of type "
                 "%.100s; keys must be str",
                 packing->caller, packing->key, Py_TYPE(object)->tp_name);
    return -1;
}

/* After everything is written. */
static int
check_writer(const struct packing *packing)
{
    if (packing->writer->status == STATUS_TOO_LARGE) {
        PyErr_Format(PyExc_ValueError,
                     "%s: value of key %.200R contains an object of more than "
                     "4294967295 bytes or elements",
                     packing->caller, packing->key);
        return -1;
    }
    if (packing->writer->status != STATUS_OK) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* Out of line, like the next: their rooms are not for the stack of a
 * recursion. */
static __attribute__((noinline)) int
pack_str(struct packing *packing, PyObject *object)
{
    struct text text;
    if (text_encode(&text, object) < 0) {
        return -1;
    }
    msgpack_write_str(packing->writer, text.slice);
    text_clear(&text);
    return 0;
}

static __attribute__((noinline)) int
pack_long(struct packing *packing, PyObject *object)
{
    struct number number;
    if (number_from_long(&number, object) < 0) {
        return -1;
    }
    msgpack_write_int(packing->writer, number.slice);
    number_clear(&number);
    return 0;
}

/* The type that the container is one of. */
static PyTypeObject *
base_of(PyObject *object)
{
    return PyList_Check(object)    ? &PyList_Type
           : PyTuple_Check(object) ? &PyTuple_Type
                                   : &PyDict_Type;
}

/* Whether the content is what the base says it is. A subclass may have an
 * __iter__() of its own; OrderedDict has. */
static bool
iterates_as(PyObject *object, const PyTypeObject *base)
{
    return Py_TYPE(object)->tp_iter == base->tp_iter;
}

/* Until CPython 3.11, the garbage collector may run when the tuple is made, and
 * finalizers may change the list: PyList_AsTuple() then reads freed memory. */
static PyObject *
copy_list(PyObject *list)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyList_AsTuple(list);
#else
    PyObject *tuple = PyTuple_New(PyList_GET_SIZE(list));
    while (tuple != NULL && PyTuple_GET_SIZE(tuple) != PyList_GET_SIZE(list)) {
        Py_SETREF(tuple, PyTuple_New(PyList_GET_SIZE(list)));
    }
    for (Py_ssize_t i = 0; tuple != NULL && i < PyTuple_GET_SIZE(tuple); i++) {
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(PyList_GET_ITEM(list, i)));
    }
    return tuple;
#endif
}

static PyObject *
copy_sequence(PyObject *object)
{
    if (PyTuple_Check(object) && iterates_as(object, &PyTuple_Type)) {
        return Py_NewRef(object);
    }
    if (PyList_Check(object) && iterates_as(object, &PyList_Type)) {
        return copy_list(object);
    }
    return PySequence_Tuple(object);
}

/* A new dict of the same items, in which keys of subclasses are exact str: two
 * that differ only by methods of their own become one. */
static PyObject *
with_exact_keys(PyObject *dict)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    PyObject *result = PyDict_New();
    while (result != NULL && PyDict_Next(dict, &position, &key, &value)) {
        PyObject *exact =
            PyUnicode_Check(key) ? PyUnicode_FromObject(key) : Py_NewRef(key);
        if (exact == NULL || PyDict_SetItem(result, exact, value) < 0) {
            Py_CLEAR(result);
        }
        Py_XDECREF(exact);
    }
    return result;
}

static bool
has_exact_keys(PyObject *dict)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (PyDict_Next(dict, &position, &key, &value)) {
        if (PyUnicode_Check(key) && !PyUnicode_CheckExact(key)) {
            return false;
        }
    }
    return true;
}

/* What dict(object) is, hidden from the garbage collector, through which
 * Python code could find and change it. */
static PyObject *
copy_dict(PyObject *object)
{
    // PyDict_Copy() of CPython 3.11 has the same fault as PyList_AsTuple().
    PyObject *copy = PyDict_New();
    if (copy != NULL && PyDict_Update(copy, object) < 0) {
        Py_CLEAR(copy);
    }
    if (copy != NULL && !has_exact_keys(copy)) {
        PyObject_GC_UnTrack(copy);
        Py_SETREF(copy, with_exact_keys(copy));
    }
    if (copy != NULL) {
        PyObject_GC_UnTrack(copy);
    }
    return copy;
}

/* Of a list or tuple, or its copy. */
static int
pack_sequence(struct packing *packing, PyObject *sequence, bool is_list)
{
    PyObject *const *items = PySequence_Fast_ITEMS(sequence);
    const Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence);
    int result = 0;
    if (is_list) {
        msgpack_write_list(packing->writer, (size_t)count);
    }
    else {
        msgpack_write_tuple(packing->writer, (size_t)count);
    }
    for (Py_ssize_t i = 0; result == 0 && i < count; i++) {
        result = pack_object(packing, items[i]);
    }
    return result;
}

static int
pack_dict(struct packing *packing, PyObject *dict)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    int result = 0;
    msgpack_write_dict(packing->writer, (size_t)PyDict_GET_SIZE(dict));
    while (result == 0 && PyDict_Next(dict, &position, &key, &value)) {
        result = PyUnicode_CheckExact(key) ? pack_str(packing, key)
                 : PyUnicode_Check(key)    ? NEEDS_COPIES
                                           : fail_dict_key(packing, key);
        result = result == 0 ? pack_object(packing, value) : result;
    }
    return result;
}

static int
pack_container(struct packing *packing, PyObject *object)
{
    PyTypeObject *base = base_of(object);
    PyObject *copy;
    if (packing->depth == MSGPACK_DEPTH) {
        return fail_depth(packing);
    }
    if (packing->makes_copies) {
        copy =
            base == &PyDict_Type ? copy_dict(object) : copy_sequence(object);
        if (copy == NULL) {
            errors_add_note("in the value of key %.200R", packing->key);
            return -1;
        }
    }
    else if (iterates_as(object, base)) {
        copy = Py_NewRef(object);
    }
    else {
        return NEEDS_COPIES;
    }
    packing->depth += 1;
    int result = base == &PyDict_Type
                     ? pack_dict(packing, copy)
                     : pack_sequence(packing, copy, base == &PyList_Type);
    packing->depth -= 1;
    Py_DECREF(copy);
    return result;
}

static int
pack_convertible(struct packing *packing, PyObject *object)
{
    if (!packing->makes_copies) {
        return NEEDS_COPIES;
    }
    PyObject *native = convertible_native(object);
    if (native == NULL) {
        if (!PyErr_Occurred()) {
            return fail_type(packing, object);
        }
        errors_add_note("in the value of key %.200R", packing->key);
        return -1;
    }
    int result = pack_object(packing, native);
    Py_DECREF(native);
    return result;
}

/* Subclasses of int come late: bool is one of them. */
static int
pack_object(struct packing *packing, PyObject *object)
{
    struct msgpack_writer *writer = packing->writer;
    if (PyUnicode_Check(object)) {
        return pack_str(packing, object);
    }
    if (PyLong_CheckExact(object)) {
        return pack_long(packing, object);
    }
    if (container_check(object)) {
        return pack_container(packing, object);
    }
    if (PyFloat_Check(object)) {
        msgpack_write_float(writer, PyFloat_AS_DOUBLE(object));
    }
    else if (PyBool_Check(object)) {
        msgpack_write_bool(writer, object == Py_True);
    }
    else if (object == Py_None) {
        msgpack_write_nil(writer);
    }
    else if (PyBytes_Check(object)) {
        msgpack_write_bytes(
            writer,
            (struct slice){(const unsigned char *)PyBytes_AS_STRING(object),
                           (size_t)PyBytes_GET_SIZE(object)});
    }
    else if (PyLong_Check(object)) {
        return pack_long(packing, object);
    }
    else {
        return pack_convertible(packing, object);
    }
    return 0;
}

int
container_pack(struct msgpack_writer *writer, PyObject *object, PyObject *key,
               const char *caller)
{
    struct packing packing = {.writer = writer, .key = key, .caller = caller};
#ifdef Py_GIL_DISABLED
    packing.makes_copies = true;
#endif
    int result = pack_container(&packing, object);
    if (result == NEEDS_COPIES) {
        msgpack_writer_clear(writer);
        packing.makes_copies = true;
        packing.depth = 0;
        result = pack_container(&packing, object);
    }
    return result < 0 ? -1 : check_writer(&packing);
}

/* ---- from bytes to objects ---------------------------------------------- */

struct unpacking {
    struct msgpack_reader reader;
    struct state *state;  // borrowed
    unsigned depth;
    struct dict_keys *keys;  // borrowed
};

static PyObject *
unpack_object(struct unpacking *unpacking);

static PyObject *
fail_damaged(const struct unpacking *unpacking)
{
    return raise_status(unpacking->state, STATUS_BAD_VALUE, NULL);
}

static PyObject *
unpack_text(const struct unpacking *unpacking, struct slice bytes)
{
    PyObject *string = text_decode(bytes);
    if (string == NULL && !PyErr_Occurred()) {
        return raise_status(unpacking->state, STATUS_BAD_TEXT, NULL);
    }
    return string;
}

/* A new reference to a str. */
static PyObject *
unpack_key(struct unpacking *unpacking, struct slice bytes)
{
    if (bytes.size == 0 || bytes.size > DICT_KEYS_LONGEST) {
        return unpack_text(unpacking, bytes);
    }
    PyObject **seen = dict_keys_at(unpacking->keys, bytes);
    if (*seen != NULL && slice_equals(text_ascii_bytes(*seen), bytes)) {
        return Py_NewRef(*seen);
    }
    PyObject *key = unpack_text(unpacking, bytes);
    if (key != NULL && PyUnicode_IS_ASCII(key)) {
        Py_XSETREF(*seen, Py_NewRef(key));
    }
    return key;
}

/* A list or tuple is hidden from the garbage collector until it is complete:
 * otherwise a finalizer could find it, and change it. */
static PyObject *
unpack_list(struct unpacking *unpacking, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    if (list == NULL) {
        return NULL;
    }
    PyObject_GC_UnTrack(list);
    for (size_t i = 0; i < count; i++) {
        PyObject *item = unpack_object(unpacking);
        if (item == NULL) {
            Py_DECREF(list);
            return NULL;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, item);
    }
    PyObject_GC_Track(list);
    return list;
}

static PyObject *
unpack_tuple(struct unpacking *unpacking, size_t count)
{
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);
    if (tuple == NULL || count == 0) {
        return tuple;  // the empty tuple exists once
    }
    PyObject_GC_UnTrack(tuple);
    for (size_t i = 0; i < count; i++) {
        PyObject *item = unpack_object(unpacking);
        if (item == NULL) {
            Py_DECREF(tuple);
            return NULL;
        }
        PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, item);
    }
    PyObject_GC_Track(tuple);
    return tuple;
}

/* Reads a key and its value into the dict. */
static int
unpack_pair(struct unpacking *unpacking, PyObject *dict)
{
    struct msgpack_token token;
    msgpack_next(&unpacking->reader, &token);
    if (token.kind != MSGPACK_STR) {
        fail_damaged(unpacking);
        return -1;
    }
    PyObject *key = unpack_key(unpacking, token.bytes);
    PyObject *value = key != NULL ? unpack_object(unpacking) : NULL;
    int result = value != NULL ? PyDict_SetItem(dict, key, value) : -1;
    Py_XDECREF(value);
    Py_XDECREF(key);
    return result;
}

static PyObject *
unpack_dict(struct unpacking *unpacking, size_t count)
{
    PyObject *dict = PyDict_New();
    int result = dict != NULL ? 0 : -1;
    for (size_t i = 0; result == 0 && i < count; i++) {
        result = unpack_pair(unpacking, dict);
    }
    // Fewer: a key came twice.
    if (result == 0 && (size_t)PyDict_GET_SIZE(dict) != count) {
        fail_damaged(unpacking);
        result = -1;
    }
    if (result < 0) {
        Py_CLEAR(dict);
    }
    return dict;
}

static PyObject *
unpack_container(struct unpacking *unpacking,
                 const struct msgpack_token *token)
{
    if (unpacking->depth == MSGPACK_DEPTH) {
        return fail_damaged(unpacking);
    }
    unpacking->depth += 1;
    PyObject *object =
        token->kind == MSGPACK_LIST    ? unpack_list(unpacking, token->count)
        : token->kind == MSGPACK_TUPLE ? unpack_tuple(unpacking, token->count)
                                       : unpack_dict(unpacking, token->count);
    unpacking->depth -= 1;
    return object;
}

static PyObject *
unpack_object(struct unpacking *unpacking)
{
    struct msgpack_token token;
    msgpack_next(&unpacking->reader, &token);
    switch (token.kind) {
    case MSGPACK_STR:
        return unpack_text(unpacking, token.bytes);
    case MSGPACK_INT:
        return PyLong_FromLongLong(token.integer);
    case MSGPACK_LIST:
    case MSGPACK_TUPLE:
    case MSGPACK_DICT:
        return unpack_container(unpacking, &token);
    case MSGPACK_FLOAT:
        return number_to_float(unpacking->state, token.number);
    case MSGPACK_BOOL:
        return PyBool_FromLong(token.is_true);
    case MSGPACK_NIL:
        return Py_NewRef(Py_None);
    case MSGPACK_BYTES:
        return PyBytes_FromStringAndSize((const char *)token.bytes.bytes,
                                         (Py_ssize_t)token.bytes.size);
    case MSGPACK_NATURAL:
        return PyLong_FromUnsignedLongLong(token.natural);
    case MSGPACK_LONG_INT:
        return number_to_long(token.bytes);
    case MSGPACK_INVALID:
        break;
    }
    return fail_damaged(unpacking);
}

PyObject *
container_unpack(struct state *state, struct slice bytes)
{
#ifdef Py_GIL_DISABLED
    struct dict_keys own_keys = {0};
    struct unpacking unpacking = {.state = state, .keys = &own_keys};
#else
    struct unpacking unpacking = {.state = state, .keys = &state->dict_keys};
#endif
    struct msgpack_token token;
    msgpack_reader_init(&unpacking.reader, bytes);
    msgpack_next(&unpacking.reader, &token);
    PyObject *object = NULL;
    if (token.kind == MSGPACK_LIST || token.kind == MSGPACK_TUPLE
        || token.kind == MSGPACK_DICT)
    {
        object = unpack_container(&unpacking, &token);
    }
    else {
        fail_damaged(&unpacking);
    }
    if (object != NULL && !msgpack_is_over(&unpacking.reader)) {
        Py_CLEAR(object);
        fail_damaged(&unpacking);
    }
#ifdef Py_GIL_DISABLED
    dict_keys_clear(&own_keys);
#endif
    return object;
}
