/* binding/module.c
 *
 * sharedmap._sharedmap: only wiring. Everything the module owns is in its
 * state, so each interpreter has its own and none needs another's GIL.
 */
#include "binding/state.h"

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct state *state = PyModule_GetState(module);
    Py_VISIT(state->rbtree_type);
    Py_VISIT(state->rbtree_iterator_type);
    Py_VISIT(state->sharedmap_type);
    Py_VISIT(state->sharedmap_iterator_type);
    Py_VISIT(state->snapshot_type);
    Py_VISIT(state->snapshot_error);
    return 0;
}

static int
module_clear(PyObject *module)
{
    struct state *state = PyModule_GetState(module);
    Py_CLEAR(state->rbtree_type);
    Py_CLEAR(state->rbtree_iterator_type);
    Py_CLEAR(state->sharedmap_type);
    Py_CLEAR(state->sharedmap_iterator_type);
    Py_CLEAR(state->snapshot_type);
    Py_CLEAR(state->snapshot_error);
    return 0;
}

static void
module_free(void *module)
{
    (void)module_clear(module);
}

static int
module_exec(PyObject *module)
{
    struct state *state = PyModule_GetState(module);
    state->snapshot_error = PyErr_NewExceptionWithDoc(
        "sharedmap.SnapshotError",
        "The bytes are no snapshot, or not a whole one; says which check "
        "failed.",
        PyExc_ValueError, NULL);
    if (state->snapshot_error == NULL
        || PyModule_AddObjectRef(module, "SnapshotError",
                                 state->snapshot_error)
               < 0
        || state_add_snapshot_type(module, state) < 0
        || state_add_rbtree_types(module, state) < 0
        || state_add_sharedmap_types(module, state) < 0)
    {
        return -1;
    }
    return PyModule_AddStringConstant(module, "__version__",
                                      SHAREDMAP_VERSION);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "sharedmap._sharedmap",
    .m_doc = "The types of sharedmap, in C.",
    .m_size = sizeof(struct state),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

struct state *
state_of_type(PyTypeObject *type)
{
#if PY_VERSION_HEX >= 0x030B0000
    PyObject *module = PyType_GetModuleByDef(type, &module_definition);
    return PyModule_GetState(module);
#else
    PyObject *bases = type->tp_mro;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(bases); i++) {
        PyTypeObject *base = (PyTypeObject *)PyTuple_GET_ITEM(bases, i);
        if (!(base->tp_flags & Py_TPFLAGS_HEAPTYPE)) {
            continue;
        }
        PyObject *module = ((PyHeapTypeObject *)base)->ht_module;
        if (module != NULL && PyModule_GetDef(module) == &module_definition) {
            return PyModule_GetState(module);
        }
    }
    Py_UNREACHABLE();
#endif
}

PyMODINIT_FUNC
PyInit__sharedmap(void)
{
    return PyModuleDef_Init(&module_definition);
}
