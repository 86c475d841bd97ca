/* binding/value.c
 *
 *     None     no bytes
 *     bool     one byte
 *     int      two's complement, little-endian, without redundant bytes
 *     float    IEEE 754 binary64
 *     str      UTF-8
 *     bytes    as they are
 *     others   the result of the encoder
 *
 * Subclasses count as others: a value must come back with its own type, and
 * other processes do not know the subclass.
 *
 * Not here: the encoding of values in a snapshot; see docs/FORMAT.md.
 */
#include "binding/value.h"

#include "binding/errors.h"

/* Of float("nan"), and with the sign bit of what processors compute. */
static const uint64_t USUAL_NAN = UINT64_C(0x7FF8000000000000);

/* ---- int ---------------------------------------------------------------- */

/* The size without the bytes beyond the first that only repeat the sign. */
static size_t
without_redundant_bytes(const unsigned char *bytes, size_t size)
{
    while (size > 1) {
        unsigned char sign = bytes[size - 2] & 0x80 ? 0xFF : 0x00;
        if (bytes[size - 1] != sign) {
            break;
        }
        size -= 1;
    }
    return size;
}

/* A size that is enough for the two's complement of the int; 0 with an
 * exception. */
static size_t
long_size(PyObject *number)
{
#if PY_VERSION_HEX >= 0x030D0000
    Py_ssize_t size =
        PyLong_AsNativeBytes(number, NULL, 0, Py_ASNATIVEBYTES_LITTLE_ENDIAN);
    return size < 0 ? 0 : (size_t)size;
#else
    size_t bits = _PyLong_NumBits(number);
    return bits == (size_t)-1 && PyErr_Occurred() ? 0 : bits / 8 + 1;
#endif
}

static int
long_to_bytes(PyObject *number, unsigned char *bytes, size_t size)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyLong_AsNativeBytes(number, bytes, (Py_ssize_t)size,
                                Py_ASNATIVEBYTES_LITTLE_ENDIAN)
                   < 0
               ? -1
               : 0;
#else
    return _PyLong_AsByteArray((PyLongObject *)number, bytes, size, 1, 1);
#endif
}

static PyObject *
long_from_bytes(const unsigned char *bytes, size_t size)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyLong_FromNativeBytes(bytes, size, Py_ASNATIVEBYTES_LITTLE_ENDIAN);
#else
    return _PyLong_FromByteArray(bytes, size, 1, 1);
#endif
}

static int
pack_long(struct packed_value *packed, PyObject *number)
{
    int overflow;
    unsigned char *bytes = packed->scratch;
    size_t size = sizeof(packed->scratch);
    long long small = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow == 0) {
        memcpy(bytes, &small, size);
    }
    else {
        size = long_size(number);
        if (size == 0) {
            return -1;
        }
        bytes = packed->text.heap = PyMem_Malloc(size);
        if (bytes == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        if (long_to_bytes(number, bytes, size) < 0) {
            return -1;
        }
    }
    packed->value = (struct value){
        {bytes, without_redundant_bytes(bytes, size)},
        VALUE_INT,
    };
    return 0;
}

static PyObject *
unpack_long(struct slice bytes)
{
    if (bytes.size > sizeof(long long)) {
        // The interpreter reads its source more than once: pass a copy.
        unsigned char *copy = PyMem_Malloc(bytes.size);
        if (copy == NULL) {
            return PyErr_NoMemory();
        }
        memcpy(copy, bytes.bytes, bytes.size);
        PyObject *number = long_from_bytes(copy, bytes.size);
        PyMem_Free(copy);
        return number;
    }
    unsigned char extended[sizeof(long long)];
    long long number;
    memcpy(extended, bytes.bytes, bytes.size);
    memset(extended + bytes.size,
           extended[bytes.size - 1] & 0x80 ? 0xFF : 0x00,
           sizeof(extended) - bytes.size);
    memcpy(&number, extended, sizeof(number));
    return PyLong_FromLongLong(number);
}

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
    PyErr_NormalizeException(&type, &error, &traceback);
    PyObject *name = hook_name(encode);
    PyObject *note =
        name != NULL
            ? PyUnicode_FromFormat("encode=%U was called for the value of key "
                                   "%.200R",
                                   name, key)
            : NULL;
    PyObject *none = note != NULL
                         ? PyObject_CallMethod(error, "add_note", "(O)", note)
                         : NULL;
    Py_XDECREF(none);
    Py_XDECREF(note);
    Py_XDECREF(name);
    PyErr_Restore(type, error, traceback);
}

static int
fail_type(PyObject *object, PyObject *key)
{
    PyErr_Format(PyExc_TypeError,
                 "value of key %.200R is of type %.100s; values must be str, "
                 "bytes, int, float, bool or None; for other types pass "
                 "encode= when writing and decode= when reading",
                 key, Py_TYPE(object)->tp_name);
    return -1;
}

/* Of the encoder. */
static int
fail_encoded_type(PyObject *encoded, PyObject *encode, PyObject *key)
{
    PyObject *name = hook_name(encode);
    if (name != NULL) {
        PyErr_Format(PyExc_TypeError,
                     "encode must return bytes, not %.100s: encode=%U, for "
                     "the value of key %.200R",
                     Py_TYPE(encoded)->tp_name, name, key);
        Py_DECREF(name);
    }
    return -1;
}

static int
pack_encoded(struct packed_value *packed, PyObject *object, PyObject *encode,
             PyObject *key)
{
    if (encode == NULL) {
        return fail_type(object, key);
    }
    PyObject *encoded = call_hook("encode", encode, object);
    if (encoded == NULL) {
        // A MemoryError may be an object that exists once.
        if (PyErr_ExceptionMatches(PyExc_Exception)
            && !PyErr_ExceptionMatches(PyExc_MemoryError))
        {
            note_key(key, encode);
        }
        return -1;
    }
    if (!PyBytes_Check(encoded)) {
        fail_encoded_type(encoded, encode, key);
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

static int
pack_any(struct packed_value *packed, PyObject *object, PyObject *encode,
         PyObject *key)
{
    if (PyUnicode_CheckExact(object)) {
        if (text_encode(&packed->text, object) < 0) {
            return -1;
        }
        packed->value = (struct value){packed->text.slice, VALUE_STR};
        return 0;
    }
    if (PyBytes_CheckExact(object)) {
        packed->value = (struct value){
            {(const unsigned char *)PyBytes_AS_STRING(object),
             (size_t)PyBytes_GET_SIZE(object)},
            VALUE_BYTES,
        };
        return 0;
    }
    if (PyLong_CheckExact(object)) {
        return pack_long(packed, object);
    }
    if (PyFloat_CheckExact(object)) {
        double number = PyFloat_AS_DOUBLE(object);
        memcpy(packed->scratch, &number, sizeof(number));
        packed->value =
            (struct value){{packed->scratch, sizeof(number)}, VALUE_FLOAT};
        return 0;
    }
    if (PyBool_Check(object)) {
        packed->scratch[0] = object == Py_True;
        packed->value = (struct value){{packed->scratch, 1}, VALUE_BOOL};
        return 0;
    }
    if (object == Py_None) {
        packed->value = (struct value){{NULL, 0}, VALUE_NONE};
        return 0;
    }
    return pack_encoded(packed, object, encode, key);
}

int
value_pack(struct packed_value *packed, PyObject *object, PyObject *encode,
           PyObject *key)
{
    packed->text.heap = NULL;
    packed->owner = NULL;
    if (pack_any(packed, object, encode, key) < 0) {
        value_clear(packed);
        return -1;
    }
    return 0;
}

void
value_clear(struct packed_value *packed)
{
    text_clear(&packed->text);
    packed->text.heap = NULL;
    Py_CLEAR(packed->owner);
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

int
value_create_nans(struct state *state)
{
    for (uint64_t sign = 0; sign < 2; sign++) {
        uint64_t bits = sign << 63 | USUAL_NAN;
        double number;
        memcpy(&number, &bits, sizeof(number));
        state->nans[sign] = PyFloat_FromDouble(number);
        if (state->nans[sign] == NULL) {
            return -1;
        }
    }
    return 0;
}

/* A NaN is only equal to itself as the same object: for a set of items or a
 * list of values, as for those of a dict. So reading it twice gives one. */
static PyObject *
unpack_float(const struct state *state, struct slice bytes)
{
    double number;
    uint64_t bits;
    memcpy(&number, bytes.bytes, sizeof(number));
    memcpy(&bits, bytes.bytes, sizeof(bits));
    PyObject *nan =
        (bits & INT64_MAX) == USUAL_NAN ? state->nans[bits >> 63] : NULL;
    return nan != NULL ? Py_NewRef(nan) : PyFloat_FromDouble(number);
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
        return PyBytes_FromStringAndSize((const char *)bytes.bytes,
                                         (Py_ssize_t)bytes.size);
    case VALUE_INT:
        if (bytes.size == 0) {
            break;
        }
        return unpack_long(bytes);
    case VALUE_FLOAT:
        if (bytes.size != sizeof(double)) {
            break;
        }
        return unpack_float(state, bytes);
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
