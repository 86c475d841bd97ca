/* binding/many_keys.c
 *
 *     numpy array, pandas Series or Index, Arrow array --tolist()--> list
 *     any other iterable -------------------------------------------> tuple
 *
 * tolist() makes plain str objects, which is faster than iterating: an array
 * of numpy would make a numpy.str_ of each, and one of Arrow objects that are
 * no str at all.
 *
 * Not here: the lookups; see mapping_type.c and sharedmap_lookup.c.
 */
#include "binding/many_keys.h"

#include "binding/arguments.h"

int
many_keys_parse(struct many_keys *many, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"keys", "default", "missing", NULL};
    const char *missing = "error";
    many->fallback = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O$s:get_many", names,
                                     &many->given, &many->fallback, &missing))
    {
        return -1;
    }
    many->takes_others = strcmp(missing, "default") == 0;
    if (!many->takes_others && strcmp(missing, "error") != 0) {
        PyErr_Format(PyExc_ValueError,
                     "missing must be 'error' or 'default', not '%.100s'",
                     missing);
        return -1;
    }
    return arguments_check_keys("get_many()", "keys", many->given);
}

/* A tuple of our own: a decoder, another thread, or a finalizer that runs when
 * the results are allocated could change a list. Before Python 3.12,
 * PySequence_Tuple() itself was not safe against such a finalizer. */
static PyObject *
copy_keys(PyObject *keys)
{
#if !defined(Py_GIL_DISABLED) && PY_VERSION_HEX < 0x030C0000
    while (PyList_CheckExact(keys)) {
        Py_ssize_t count = PyList_GET_SIZE(keys);
        PyObject *copy = PyTuple_New(count);
        if (copy == NULL) {
            return NULL;
        }
        if (PyList_GET_SIZE(keys) == count) {
            for (Py_ssize_t i = 0; i < count; i++) {
                PyTuple_SET_ITEM(copy, i, Py_NewRef(PyList_GET_ITEM(keys, i)));
            }
            return copy;
        }
        Py_DECREF(copy);
    }
#endif
    return PySequence_Tuple(keys);
}

PyObject *
many_keys_collect(const struct many_keys *many)
{
    PyObject *given = many->given;
    if (PyList_CheckExact(given) || PyTuple_CheckExact(given)) {
        return copy_keys(given);
    }
    PyObject *method = PyObject_GetAttrString(given, "tolist");
    if (method == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return NULL;
        }
        PyErr_Clear();
        return copy_keys(given);
    }
    PyObject *list = PyObject_CallNoArgs(method), *keys = NULL;
    Py_DECREF(method);
    // An array without a dimension is a single str.
    if (list != NULL && arguments_check_keys("get_many()", "keys", list) == 0)
    {
        keys = copy_keys(list);
    }
    Py_XDECREF(list);
    return keys;
}

PyObject *
many_keys_other(const struct many_keys *many, PyObject *key, Py_ssize_t index)
{
    if (many->takes_others) {
        return Py_NewRef(many->fallback);
    }
    return PyErr_Format(PyExc_TypeError,
                        "get_many(): keys must be str, not %.100s: element "
                        "#%zd is %.100R; pass missing='default' to get the "
                        "default for such keys",
                        Py_TYPE(key)->tp_name, index, key);
}
