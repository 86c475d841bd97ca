/* binding/value.c
 *
 *     None     no bytes
 *     bool     one byte
 *     int      two's complement, little-endian, without redundant bytes
 *     float    IEEE 754 binary64
 *     str      UTF-8
 *     bytes    as they are
 *     list, tuple, dict    MessagePack
 *     convertible objects  as the native value that they contain
 *     others   the result of the encoder
 *
 * Convertible objects are subclasses, numpy's scalars, bytearray and memoryview:
 * other processes need not know their types, and get the native value. With an
 * encoder, they and containers count as others: hooks can give back the very
 * type.
 *
 * Not here: the encoding of values in a snapshot; see docs/FORMAT.md.
 */
#include "binding/value.h"

#include "binding/container.h"
#include "binding/convertible.h"
#include "binding/errors.h"

/* ---- others ------------------------------------------------------------- */

/* A StopIteration of a hook would end the iteration that called it. It becomes
 * the cause of a RuntimeError, as one of a generator does. */
static void
replace_stop_iteration(const char *name)
{
    PyObject *type, *stop, *traceback, *other_type, *error, *other_traceback;
    PyErr_Fetch(&type, &stop, &traceback);
    PyErr_NormalizeException(&type, &stop, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(stop, traceback);
    }
    Py_DECREF(type);
    Py_XDECREF(traceback);
    PyErr_Format(PyExc_RuntimeError, "%s raised StopIteration", name);
    PyErr_Fetch(&other_type, &error, &other_traceback);
    PyErr_NormalizeException(&other_type, &error, &other_traceback);
    PyException_SetContext(error, Py_NewRef(stop));
    PyException_SetCause(error, stop);
    PyErr_Restore(other_type, error, other_traceback);
}

/* The only caller of encode and decode, whose exceptions pass unchanged, except
 * StopIteration. `name` is that of the keyword argument. */
static PyObject *
call_hook(const char *name, PyObject *hook, PyObject *argument)
{
    PyObject *result = PyObject_CallOneArg(hook, argument);
    if (result == NULL && PyErr_ExceptionMatches(PyExc_StopIteration)) {
        replace_stop_iteration(name);
    }
    return result;
}

/* A new str that names the hook, for messages; NULL with an exception. */
static PyObject *
hook_name(PyObject *hook)
{
    PyObject *name = PyObject_GetAttrString(hook, "__qualname__");
    if (name != NULL && PyUnicode_Check(name)) {
        return name;
    }
    Py_XDECREF(name);
    PyErr_Clear();
    return PyUnicode_FromString(Py_TYPE(hook)->tp_name);
}

/* Adds a note that names the key to the current exception of the encoder. If
 * that fails, the exception stays as it is. */
static void
note_key(PyObject *key, PyObject *encode)
{
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyObject *name = hook_name(encode);
    PyErr_Restore(type, error, traceback);
    if (name != NULL) {
        errors_add_note("encode=%U was called for the value of key %.200R",
                        name, key);
    }
    Py_XDECREF(name);
}

static int
fail_type(PyObject *object, PyObject *key, const char *caller)
{
    PyErr_Format(
        PyExc_TypeError,
        "%s: value of key %.200R is of type %.100s; values must be "
        "str, bytes, int, float, bool, None, list, tuple or dict; for "
        "other types pass encode= when writing and decode= when "
        "reading",
        caller, key, Py_TYPE(object)->tp_name);
    return -1;
}

/* Of the encoder. */
static int
fail_encoded_type(PyObject *encoded, PyObject *encode, PyObject *key,
                  const char *caller)
{
    PyObject *name = hook_name(encode);
    if (name != NULL) {
        PyErr_Format(PyExc_TypeError,
                     "%s: encode must return bytes, not %.100s: encode=%U, "
                     "for the value of key %.200R",
                     caller, Py_TYPE(encoded)->tp_name, name, key);
        Py_DECREF(name);
    }
    return -1;
}

enum { DECLINED = 1 };

static int
pack_encoded(struct packed_value *packed, PyObject *object, PyObject *encode,
             PyObject *key, const char *caller)
{
    PyObject *encoded = call_hook("encode", encode, object);
    if (encoded == NULL) {
        note_key(key, encode);
        return -1;
    }
    if (encoded == Py_NotImplemented) {
        Py_DECREF(encoded);
        return DECLINED;
    }
    if (!PyBytes_Check(encoded)) {
        fail_encoded_type(encoded, encode, key, caller);
        Py_DECREF(encoded);
        return -1;
    }
    packed->owner = encoded;
    packed->value = (struct value){
        {(const unsigned char *)PyBytes_AS_STRING(encoded),
         (size_t)PyBytes_GET_SIZE(encoded)},
        VALUE_ENCODED,
    };
    return 0;
}

/* ---- from objects to bytes ---------------------------------------------- */

static int
pack_str(struct packed_value *packed, PyObject *object)
{
    if (text_encode(&packed->text, object) < 0) {
        return -1;
    }
    packed->value = (struct value){packed->text.slice, VALUE_STR};
    return 0;
}

static int
pack_bytes(struct packed_value *packed, PyObject *object)
{
    packed->owner = NULL;
    packed->value = (struct value){
        {(const unsigned char *)PyBytes_AS_STRING(object),
         (size_t)PyBytes_GET_SIZE(object)},
        VALUE_BYTES,
    };
    return 0;
}

static int
pack_long(struct packed_value *packed, PyObject *object)
{
    if (number_from_long(&packed->number, object) < 0) {
        return -1;
    }
    packed->value = (struct value){packed->number.slice, VALUE_INT};
    return 0;
}

static int
pack_float(struct packed_value *packed, PyObject *object)
{
    double number = PyFloat_AS_DOUBLE(object);
    memcpy(packed->scratch, &number, sizeof(number));
    packed->value =
        (struct value){{packed->scratch, sizeof(number)}, VALUE_FLOAT};
    return 0;
}

static int
pack_bool(struct packed_value *packed, PyObject *object)
{
    packed->scratch[0] = object == Py_True;
    packed->value = (struct value){{packed->scratch, 1}, VALUE_BOOL};
    return 0;
}

static int
pack_container(struct packed_value *packed, PyObject *object, PyObject *key,
               const char *caller)
{
    struct msgpack_writer *writer = &packed->container;
    *writer = (struct msgpack_writer){.bytes = NULL};
    if (container_pack(writer, object, key, caller) < 0) {
        msgpack_writer_clear(writer);
        return -1;
    }
    packed->value =
        (struct value){{writer->bytes, writer->size}, VALUE_CONTAINER};
    return 0;
}

static int
pack_convertible(struct packed_value *packed, PyObject *object, PyObject *key,
                 const char *caller)
{
    PyObject *native = convertible_native(object);
    if (native == NULL) {
        if (!PyErr_Occurred()) {
            return fail_type(object, key, caller);
        }
        errors_add_note("in the value of key %.200R", key);
        return -1;
    }
    int result = PyBytes_Check(native)   ? pack_bytes(packed, native)
                 : PyBool_Check(native)  ? pack_bool(packed, native)
                 : PyFloat_Check(native) ? pack_float(packed, native)
                                         : pack_long(packed, native);
    if (result == 0 && packed->value.type == VALUE_BYTES) {
        packed->owner = native;
        return 0;
    }
    Py_DECREF(native);
    return result;
}

/* Containers are not: the encoder is asked for them. */
static bool
is_native(PyObject *object)
{
    return PyUnicode_CheckExact(object) || PyBytes_CheckExact(object)
           || PyLong_CheckExact(object) || PyFloat_CheckExact(object)
           || PyBool_Check(object) || object == Py_None;
}

int
value_pack(struct packed_value *packed, PyObject *object, PyObject *encode,
           PyObject *key, const char *caller)
{
    // NotImplemented says that the encoder leaves the object to the map.
    if (encode != NULL && !is_native(object)) {
        int result = pack_encoded(packed, object, encode, key, caller);
        if (result != DECLINED) {
            return result;
        }
    }
    // Instances of subclasses, too. bool is one of int, and comes first.
    if (PyUnicode_Check(object)) {
        return pack_str(packed, object);
    }
    if (PyBool_Check(object)) {
        return pack_bool(packed, object);
    }
    if (PyLong_Check(object)) {
        return pack_long(packed, object);
    }
    if (PyFloat_Check(object)) {
        return pack_float(packed, object);
    }
    if (PyBytes_Check(object)) {
        return pack_bytes(packed, object);
    }
    if (object == Py_None) {
        packed->value = (struct value){{NULL, 0}, VALUE_NONE};
        return 0;
    }
    return container_check(object)
               ? pack_container(packed, object, key, caller)
               : pack_convertible(packed, object, key, caller);
}

void
value_clear(struct packed_value *packed)
{
    switch (packed->value.type) {
    case VALUE_STR:
        text_clear(&packed->text);
        break;
    case VALUE_INT:
        number_clear(&packed->number);
        break;
    case VALUE_CONTAINER:
        msgpack_writer_clear(&packed->container);
        break;
    case VALUE_ENCODED:
    case VALUE_BYTES:
        Py_CLEAR(packed->owner);
        break;
    case VALUE_NONE:
    case VALUE_BOOL:
    case VALUE_FLOAT:
        break;
    }
}

/* ---- from bytes to objects ---------------------------------------------- */

PyObject *
value_unpack_text(struct state *state, struct slice bytes)
{
    PyObject *string = text_decode(bytes);
    if (string == NULL && !PyErr_Occurred()) {
        return raise_status(state, STATUS_BAD_TEXT, NULL);
    }
    return string;
}

static PyObject *
unpack_float(const struct state *state, const unsigned char *bytes)
{
    double number;
    memcpy(&number, bytes, sizeof(number));
    return number_to_float(state, number);
}

PyObject *
value_unpack(struct state *state, const struct value *value)
{
    struct slice bytes = value->bytes;
    if (bytes.size > (size_t)PY_SSIZE_T_MAX) {
        return PyErr_NoMemory();
    }
    switch (value->type) {
    case VALUE_STR:
        return value_unpack_text(state, bytes);
    case VALUE_BYTES:
    case VALUE_ENCODED:
    case VALUE_CONTAINER:
        return PyBytes_FromStringAndSize((const char *)bytes.bytes,
                                         (Py_ssize_t)bytes.size);
    case VALUE_INT:
        if (bytes.size == 0) {
            break;
        }
        return number_to_long(bytes);
    case VALUE_FLOAT:
        if (bytes.size != sizeof(double)) {
            break;
        }
        return unpack_float(state, bytes.bytes);
    case VALUE_BOOL:
        if (bytes.size != 1) {
            break;
        }
        return PyBool_FromLong(bytes.bytes[0] != 0);
    case VALUE_NONE:
        if (bytes.size != 0) {
            break;
        }
        return Py_NewRef(Py_None);
    }
    return raise_status(state, STATUS_BAD_VALUE, NULL);
}

PyObject *
value_decode(PyObject *decode, PyObject *encoded)
{
    if (decode == NULL) {
        PyErr_SetString(PyExc_TypeError,
                        "the value is in a custom encoding; pass decode= to "
                        "read it, or use view() for its bytes");
        return NULL;
    }
    return call_hook("decode", decode, encoded);
}

int
value_equal(PyObject *left, PyObject *right)
{
    // dict finds a NaN equal to itself, as the same object. Reading a value
    // creates a new object each time, so here equal bytes are the same value.
    if (left != right && PyFloat_CheckExact(left) && PyFloat_CheckExact(right))
    {
        double numbers[2] = {PyFloat_AS_DOUBLE(left),
                             PyFloat_AS_DOUBLE(right)};
        uint64_t bits[2];
        memcpy(bits, numbers, sizeof(bits));
        return numbers[0] == numbers[1] || bits[0] == bits[1];
    }
    return PyObject_RichCompareBool(left, right, Py_EQ);
}

int
value_parse_hook(const char *name, PyObject *object, PyObject **hook)
{
    *hook = NULL;
    if (object == NULL || object == Py_None) {
        return 0;
    }
    if (!PyCallable_Check(object)) {
        PyErr_Format(PyExc_TypeError,
                     "%s must be callable or None, not %.100s", name,
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    *hook = Py_NewRef(object);
    return 0;
}
