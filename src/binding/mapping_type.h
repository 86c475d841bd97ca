/* binding/mapping_type.h
 *
 * The base type of rbtree, sharedmap and the ranges of both: everything that
 * reads. Each type implements the few operations of struct mapping_methods
 * (mapping_object.h); the base type builds the rest of a Mapping from them.
 */
#ifndef SHAREDMAP_BINDING_MAPPING_TYPE_H
#define SHAREDMAP_BINDING_MAPPING_TYPE_H

#include "binding/mapping_object.h"

/* Whether `object` is a mapping of this module. */
bool
mapping_check(struct state *state, PyObject *object);

/* The state of a subclass in Python, as copy and pickle understand it: a new
 * reference to the result of __getstate__(). By default that is __dict__, with
 * __slots__ a tuple of it and another dict, or None. NULL with an exception.
 */
PyObject *
mapping_state(PyObject *object);

/* A new reference to the function that pickles call with the type and what its
 * _restore() or _reopen() takes. */
PyObject *
mapping_rebuild(PyObject *object);

/* Sets the state, or with a memo a deep copy of it, on a copy that was made
 * without __init__(). Calls __setstate__() if there is one. -1 with an
 * exception. */
int
mapping_copy_state(PyObject *to, PyObject *from, PyObject *memo);

/* Whether the object is an instance of a class of collections.abc. -1 with an
 * exception. */
int
mapping_check_abc(PyObject *object, const char *name);

/* Whether `object` is a mapping of any kind; -1 with an exception. */
int
mapping_check_any(struct state *state, PyObject *object);

/* The name of its class, without the module; borrowed from the class. */
const char *
mapping_type_name(PyObject *object);

/* A new iterator over a mapping of ours. */
PyObject *
mapping_iterate(PyObject *self, enum item_kind kind, enum direction direction);

/* Is the key there? With `value`, fills a new reference if it is. A key that
 * is removed meanwhile is not an error; a KeyError comes from the decoder. */
enum answer
mapping_lookup(PyObject *self, PyObject *key, PyObject **value,
               const char *caller);

/* key in m, m[key_or_slice] and m.get(key, default) of the base type. */
int
mapping_sq_contains(PyObject *self, PyObject *key);
PyObject *
mapping_mp_subscript(PyObject *self, PyObject *key);
PyObject *
mapping_py_get(PyObject *self, PyObject *const *args, Py_ssize_t count,
               PyObject *keyword_names);

extern PyType_Spec mapping_spec;

#endif
