/* binding/state.h
 *
 * The state of the module in one interpreter: its types and exceptions. Every
 * object has a borrowed pointer to it; the object's type keeps the module
 * alive, and the module the state.
 */
#ifndef SHAREDMAP_BINDING_STATE_H
#define SHAREDMAP_BINDING_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#include "binding/dict_keys.h"
#include "binding/key_filter.h"

enum type_index {
    TYPE_MAPPING,
    TYPE_RBTREE,
    TYPE_RBTREE_RANGE,
    TYPE_RBTREE_ITERATOR,
    TYPE_SHAREDMAP,
    TYPE_SHAREDMAP_RANGE,
    TYPE_SHAREDMAP_ITERATOR,
    TYPE_SNAPSHOT,
    TYPE_VALUE_BUFFER,
    TYPE_KEYS_VIEW,
    TYPE_VALUES_VIEW,
    TYPE_ITEMS_VIEW,
    TYPE_COUNT,
};

/* The arrays of the last value cache that has gone, for the next one. Of a map
 * that changes all the time each version would have to allocate its own. */
struct value_cache_spare {
    struct value_cache_pairs *by_key;  // owned, all free
    struct value_cache_tags *tags;     // owned
};

struct state {
    PyTypeObject *types[TYPE_COUNT];
    PyObject *snapshot_error;
    PyObject *stale_error;
    PyObject *follow_warning;
    PyObject *nans[2];  // the usual NaN, by its sign; see number_to_float()
#ifdef Py_GIL_DISABLED
    int64_t interpreter;  // its id, which does not come again
#else
    struct value_cache_spare cache_spare;
    struct key_filter key_filter;
    struct dict_keys dict_keys;
#endif
};

/* The module that created `type` or one of its bases, borrowed, and its state.
 * Only for types of this module and their subclasses. */
PyObject *
state_module_of_type(PyTypeObject *type);
struct state *
state_of_type(PyTypeObject *type);

/* For the module definition: m_traverse, m_clear, m_free. */
int
state_traverse(PyObject *module, visitproc visit, void *arg);
int
state_clear(PyObject *module);
void
state_free(void *module);

/* A method or function that takes more than one object. */
#define METHOD(function) ((PyCFunction)(void (*)(void))(function))

/* Flags that all our types have; instances come only from the module's own
 * code if the second is used. */
#define TYPE_FLAGS \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC)
#define TYPE_FLAGS_INTERNAL (TYPE_FLAGS | Py_TPFLAGS_DISALLOW_INSTANTIATION)

#endif
