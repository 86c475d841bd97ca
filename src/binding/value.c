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

static int
pack_encoded(struct packed_value *packed, PyObject *object, PyObject *encode)
{
    if (encode == NULL) {
        PyErr_Format(PyExc_TypeError,
                     "values must be str, bytes, int, float, bool or None, "
                     "not %.100s; for other types pass encode= when writing "
                     "and decode= when reading",
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    PyObject *encoded = PyObject_CallOneArg(encode, object);
    if (encoded == NULL) {
        return -1;
    }
    if (!PyBytes_Check(encoded)) {
        PyErr_Format(PyExc_TypeError, "encode must return bytes, not %.100s",
                     Py_TYPE(encoded)->tp_name);
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
pack_any(struct packed_value *packed, PyObject *object, PyObject *encode)
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
    return pack_encoded(packed, object, encode);
}

int
value_pack(struct packed_value *packed, PyObject *object, PyObject *encode)
{
    packed->text.heap = NULL;
    packed->owner = NULL;
    if (pack_any(packed, object, encode) < 0) {
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
        double number;
        memcpy(&number, bytes.bytes, sizeof(number));
        return PyFloat_FromDouble(number);
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
    return PyObject_CallOneArg(decode, encoded);
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
