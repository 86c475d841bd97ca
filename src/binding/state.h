/* binding/state.h
 *
 * What the module knows of itself in one interpreter: its types and its
 * exceptions. Every object keeps a borrowed pointer to it; the object's type
 * keeps the module alive, and the module the state.
 */
#ifndef SHAREDMAP_BINDING_STATE_H
#define SHAREDMAP_BINDING_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

struct state {
    PyTypeObject *rbtree_type;
    PyTypeObject *rbtree_iterator_type;
    PyTypeObject *sharedmap_type;
    PyTypeObject *sharedmap_iterator_type;
    PyTypeObject *snapshot_type;
    PyObject *snapshot_error;
};

/* The state of the module that made `type` or one of its bases. Only for
 * types that descend from ours. */
struct state *
state_of_type(PyTypeObject *type);

/* Each creates its type and stores it in the state; -1 with an exception. */
int
state_add_rbtree_types(PyObject *module, struct state *state);
int
state_add_sharedmap_types(PyObject *module, struct state *state);
int
state_add_snapshot_type(PyObject *module, struct state *state);

#endif
