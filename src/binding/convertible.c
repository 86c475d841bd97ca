/* binding/convertible.c
 *
 * numpy's scalars are recognized by what they are in memory: a buffer of no
 * dimensions, with the format of a number.
 *
 *     numpy.int64(7)    "l"    --> 7
 *     numpy.float32(.5) "f"    --> 0.5
 *     numpy.bool_(1)    "?"    --> True
 *
 * The conversion is exact and runs no code of the type, and numpy need not be
 * there. __index__ and __float__ would say less: timedelta64 is registered as an
 * Integral but has a unit, and the float of a Decimal or a longdouble is another
 * number.
 *
 * Not here: subclasses of native types; see value.c and container.c.
 */
#include "binding/convertible.h"

#include <stdbool.h>

/* memoryview knows this one from Python 3.12 on. */
static bool
is_half_float(const Py_buffer *buffer)
{
    return buffer->format != NULL && strcmp(buffer->format, "e") == 0;
}

static PyObject *
unpack_scalar(PyObject *view)
{
    const Py_buffer *buffer = PyMemoryView_GET_BUFFER(view);
    if (buffer->ndim != 0) {
        return NULL;
    }
    if (is_half_float(buffer)) {
        double number = PyFloat_Unpack2(buffer->buf, PY_LITTLE_ENDIAN);
        return number == -1.0 && PyErr_Occurred() ? NULL
                                                  : PyFloat_FromDouble(number);
    }
    PyObject *nowhere = PyTuple_New(0);
    PyObject *scalar =
        nowhere != NULL ? PyObject_GetItem(view, nowhere) : NULL;
    Py_XDECREF(nowhere);
    if (scalar != NULL && !PyLong_CheckExact(scalar)
        && !PyFloat_CheckExact(scalar) && !PyBool_Check(scalar))
    {
        Py_CLEAR(scalar);  // a character, for example
    }
    return scalar;
}

/* Whatever fails: then it is no number. Only what is no matter of this object
 * stays an exception. */
static PyObject *
native_scalar(PyObject *object)
{
    PyObject *view = PyMemoryView_FromObject(object);
    PyObject *scalar = view != NULL ? unpack_scalar(view) : NULL;
    Py_XDECREF(view);
    if (scalar == NULL && PyErr_Occurred()
        && PyErr_ExceptionMatches(PyExc_Exception)
        && !PyErr_ExceptionMatches(PyExc_MemoryError))
    {
        PyErr_Clear();
    }
    return scalar;
}

PyObject *
convertible_native(PyObject *object)
{
    if (PyByteArray_Check(object) || PyMemoryView_Check(object)) {
        return PyBytes_FromObject(object);
    }
    return PyObject_CheckBuffer(object) ? native_scalar(object) : NULL;
}
