/* binding/arguments.c
 *
 * Most methods read their arguments with PyArg_ParseTupleAndKeywords(). This
 * file has the faster parsers.
 */
#include "binding/arguments.h"

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
