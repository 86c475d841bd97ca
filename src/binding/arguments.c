/* binding/arguments.c
 *
 * Most methods read their arguments with PyArg_ParseTupleAndKeywords(). This
 * file has what several methods read, and the faster parsers.
 */
#include "binding/arguments.h"

// Python.h, which says how the system's headers are to be taken, comes first.
#include <math.h>
#include <stdint.h>

/* Converts the argument of that name. */
static int
parse_seconds(PyObject *object, const char *name, int64_t *nanoseconds)
{
    if (object == Py_None) {
        *nanoseconds = INT64_MAX;
        return 1;
    }
    double seconds = PyFloat_AsDouble(object);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return 0;
    }
    if (isnan(seconds) || seconds < 0) {
        PyErr_Format(PyExc_ValueError,
                     "%s must be None or a non-negative number of seconds, "
                     "not %R",
                     name, object);
        return 0;
    }
    // 100 years and for ever are the same to us, and so are 0 and 1 ns.
    *nanoseconds = seconds < 3e9 ? (int64_t)(seconds * 1e9) : INT64_MAX;
    *nanoseconds += *nanoseconds == 0;
    return 1;
}

int
arguments_timeout(PyObject *object, void *address)
{
    return parse_seconds(object, "timeout", address);
}

int
arguments_wait(PyObject *object, void *address)
{
    return parse_seconds(object, "wait", address);
}

int
arguments_get_any(PyObject *const *args, Py_ssize_t count,
                  PyObject *keyword_names, PyObject **key, PyObject **fallback)
{
    Py_ssize_t keyword_count =
        keyword_names != NULL ? PyTuple_GET_SIZE(keyword_names) : 0;
    if (count < 1 || count + keyword_count > 2) {
        PyErr_Format(PyExc_TypeError,
                     "get() takes a key and an optional default, got %zd "
                     "argument%s",
                     count + keyword_count,
                     count + keyword_count == 1 ? "" : "s");
        return -1;
    }
    *key = args[0];
    *fallback = count > 1 ? args[1] : Py_None;
    if (keyword_count > 0) {
        PyObject *keyword = PyTuple_GET_ITEM(keyword_names, 0);
        if (PyUnicode_CompareWithASCIIString(keyword, "default") != 0) {
            PyErr_Format(PyExc_TypeError,
                         "get() got an unexpected keyword argument %R",
                         keyword);
            return -1;
        }
        *fallback = args[count];
    }
    return 0;
}

int
arguments_check_keys(const char *caller, const char *name, PyObject *keys)
{
    // Each character would be taken for a key.
    if (PyUnicode_Check(keys) || PyBytes_Check(keys)
        || PyByteArray_Check(keys))
    {
        PyErr_Format(PyExc_TypeError,
                     "%s: %s must be an iterable of keys, not a single "
                     "%.100s; pass a list of str",
                     caller, name, Py_TYPE(keys)->tp_name);
        return -1;
    }
    return 0;
}
