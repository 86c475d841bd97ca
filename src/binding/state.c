/* binding/state.c
 *
 *     object --borrows--> state, part of --> module <--owns-- type <--owns-- object
 *
 * A type of ours is made from the module (ht_module), a subclass in Python is
 * not; so the way to the state leads along the bases. A module is one of ours
 * if state_free() frees it, whatever else module.c put into its definition.
 *
 * Not here: what fills the state; see module.c.
 */
#include "binding/state.h"

int
state_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct state *state = PyModule_GetState(module);
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        Py_VISIT(state->types[i]);
    }
    Py_VISIT(state->snapshot_error);
    Py_VISIT(state->stale_error);
    return 0;
}

int
state_clear(PyObject *module)
{
    struct state *state = PyModule_GetState(module);
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        Py_CLEAR(state->types[i]);
    }
    Py_CLEAR(state->snapshot_error);
    Py_CLEAR(state->stale_error);
    return 0;
}

void
state_free(void *module)
{
    (void)state_clear(module);
}

static PyObject *
module_of(PyTypeObject *type)
{
    return type->tp_flags & Py_TPFLAGS_HEAPTYPE
               ? ((PyHeapTypeObject *)type)->ht_module
               : NULL;
}

struct state *
state_of_type(PyTypeObject *type)
{
    for (; type != NULL; type = type->tp_base) {
        PyObject *module = module_of(type);
        PyModuleDef *definition =
            module != NULL ? PyModule_GetDef(module) : NULL;
        if (definition != NULL && definition->m_free == state_free) {
            return PyModule_GetState(module);
        }
    }
    Py_UNREACHABLE();
}
