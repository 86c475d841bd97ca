/* binding/arguments.h
 *
 * Parsers of arguments that several methods share.
 */
#ifndef SHAREDMAP_BINDING_ARGUMENTS_H
#define SHAREDMAP_BINDING_ARGUMENTS_H

#include "binding/state.h"

/* A converter for PyArg_Parse: None, for ever, or a number of seconds, into an
 * int64_t of nanoseconds, which is never 0. */
int
arguments_timeout(PyObject *object, void *address);
/* The same; the exception names the argument "wait". */
int
arguments_wait(PyObject *object, void *address);

/* Slow path of arguments_get(). */
int
arguments_get_any(PyObject *const *args, Py_ssize_t count,
                  PyObject *keyword_names, PyObject **key,
                  PyObject **fallback);

/* get(key, default=None): fills two borrowed references. -1 with TypeError. */
static inline int
arguments_get(PyObject *const *args, Py_ssize_t count, PyObject *keyword_names,
              PyObject **key, PyObject **fallback)
{
    if (count == 1 && keyword_names == NULL) {
        *key = args[0];
        *fallback = Py_None;
        return 0;
    }
    return arguments_get_any(args, count, keyword_names, key, fallback);
}

/* Whether `keys` can be an iterable of keys: -1 with a TypeError that names
 * the argument if it is a single str or bytes. */
int
arguments_check_keys(const char *caller, const char *name, PyObject *keys);

#endif
