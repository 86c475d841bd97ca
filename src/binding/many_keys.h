/* binding/many_keys.h
 *
 * The arguments of get_many(): the keys, and what counts as the value of one
 * that is not a str, as NaN in a column of pandas.
 */
#ifndef SHAREDMAP_BINDING_MANY_KEYS_H
#define SHAREDMAP_BINDING_MANY_KEYS_H

#include "binding/state.h"

struct many_keys {
    PyObject *given;     // borrowed; an iterable, as the caller passed it
    PyObject *fallback;  // borrowed; the value of absent keys
    bool takes_others;  // missing="default": a key that is not a str is absent
};

/* get_many(keys, default=None, *, missing="error"): fills the arguments. -1
 * with TypeError or ValueError. */
int
many_keys_parse(struct many_keys *many, PyObject *args, PyObject *keywords);

/* A new tuple of the keys. What is not a list or tuple may run any Python
 * code. NULL with an exception. */
PyObject *
many_keys_collect(const struct many_keys *many);

/* A new reference to the value of a key that is not a str: of number `index`.
 * NULL with TypeError, or with an exception of its repr(). */
PyObject *
many_keys_other(const struct many_keys *many, PyObject *key, Py_ssize_t index);

#endif
