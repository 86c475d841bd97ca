/* binding/dict_find.h
 *
 * One lookup in a dict, without a GIL as safe as with one where CPython offers
 * that.
 */
#ifndef SHAREDMAP_BINDING_DICT_FIND_H
#define SHAREDMAP_BINDING_DICT_FIND_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Fills a new reference to the value, or NULL if the key is not there. -1 with
 * an exception of the key's __hash__ or __eq__. */
static inline int
dict_find(PyObject *dict, PyObject *key, PyObject **value)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyDict_GetItemRef(dict, key, value) < 0 ? -1 : 0;
#else
    *value = Py_XNewRef(PyDict_GetItemWithError(dict, key));
    return *value == NULL && PyErr_Occurred() != NULL ? -1 : 0;
#endif
}

#endif
