/* binding/state.c
 *
 *     object --borrows--> state, part of --> module <--owns-- type <--owns-- object
 *
 * The types of this module belong to it (ht_module), subclasses in Python do
 * not. So the state is found through the base types. A module is this one if
 * state_free() frees it, however module.c defines the rest of it.
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
    Py_VISIT(state->follow_warning);
    Py_VISIT(state->nans[0]);
    Py_VISIT(state->nans[1]);
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
    Py_CLEAR(state->follow_warning);
    Py_CLEAR(state->nans[0]);
    Py_CLEAR(state->nans[1]);
#ifndef Py_GIL_DISABLED
    dict_keys_clear(&state->dict_keys);
#endif
    return 0;
}

void
state_free(void *module)
{
    (void)state_clear(module);
#ifndef Py_GIL_DISABLED
    struct state *state = PyModule_GetState(module);
    PyMem_Free(state->cache_spare.by_key);
    PyMem_Free(state->cache_spare.tags);
#endif
}

PyObject *
state_module_of_type(PyTypeObject *type)
{
    for (; type != NULL; type = type->tp_base) {
        PyObject *module = type->tp_flags & Py_TPFLAGS_HEAPTYPE
                               ? ((PyHeapTypeObject *)type)->ht_module
                               : NULL;
        PyModuleDef *definition =
            module != NULL ? PyModule_GetDef(module) : NULL;
        if (definition != NULL && definition->m_free == state_free) {
            return module;
        }
    }
    Py_UNREACHABLE();
}

struct state *
state_of_type(PyTypeObject *type)
{
    return PyModule_GetState(state_module_of_type(type));
}
