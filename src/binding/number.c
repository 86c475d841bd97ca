/* binding/number.c
 *
 * Not here: how numbers are stored in containers; see core/base/msgpack.c.
 */
#include "binding/number.h"

/* Of float("nan"), and with the sign bit of what processors compute. */
static const uint64_t USUAL_NAN = UINT64_C(0x7FF8000000000000);

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

int
number_from_long(struct number *number, PyObject *object)
{
    int overflow;
    unsigned char *bytes = number->room;
    size_t size = sizeof(number->room);
    long long small = PyLong_AsLongLongAndOverflow(object, &overflow);
    number->heap = NULL;
    if (overflow == 0) {
        memcpy(bytes, &small, size);
    }
    else {
        size = long_size(object);
        if (size == 0) {
            return -1;
        }
        bytes = number->heap = PyMem_Malloc(size);
        if (bytes == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        if (long_to_bytes(object, bytes, size) < 0) {
            number_clear(number);
            return -1;
        }
    }
    number->slice =
        (struct slice){bytes, without_redundant_bytes(bytes, size)};
    return 0;
}

PyObject *
number_to_long(struct slice bytes)
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

int
number_create_nans(struct state *state)
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

PyObject *
number_to_float(const struct state *state, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    PyObject *nan =
        (bits & INT64_MAX) == USUAL_NAN ? state->nans[bits >> 63] : NULL;
    return nan != NULL ? Py_NewRef(nan) : PyFloat_FromDouble(number);
}
