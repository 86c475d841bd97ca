/* binding/module.c
 *
 * sharedmap._sharedmap: only wiring. The module owns nothing outside its
 * state, so each interpreter has a state of its own and needs no other GIL.
 *
 * Not here: the state, which all types use; see state.c.
 */
#include "binding/functions.h"
#include "binding/functions_doc.h"
#include "binding/mapping_type.h"
#include "binding/number.h"
#include "binding/rbtree_iterator.h"
#include "binding/rbtree_range.h"
#include "binding/rbtree_type.h"
#include "binding/sharedmap_iterator.h"
#include "binding/sharedmap_range.h"
#include "binding/sharedmap_type.h"
#include "binding/snapshot_type.h"
#include "binding/state.h"
#include "binding/view_type.h"
#include "core/segment/readers.h"

/* In the order of enum type_index, bases before what descends from them. */
static const struct {
    PyType_Spec *spec;
    bool is_mapping;  // descends from TYPE_MAPPING
    bool is_public;   // an attribute of the module
} types[TYPE_COUNT] = {
    [TYPE_MAPPING] = {&mapping_spec, false, false},
    [TYPE_RBTREE] = {&rbtree_spec, true, true},
    [TYPE_RBTREE_RANGE] = {&rbtree_range_spec, true, false},
    [TYPE_RBTREE_ITERATOR] = {&rbtree_iterator_spec, false, false},
    [TYPE_SHAREDMAP] = {&sharedmap_spec, true, true},
    [TYPE_SHAREDMAP_RANGE] = {&sharedmap_range_spec, true, false},
    [TYPE_SHAREDMAP_ITERATOR] = {&sharedmap_iterator_spec, false, false},
    [TYPE_SNAPSHOT] = {&snapshot_spec, false, false},
    [TYPE_VALUE_BUFFER] = {&value_buffer_spec, false, false},
    [TYPE_KEYS_VIEW] = {&keys_view_spec, false, true},
    [TYPE_VALUES_VIEW] = {&values_view_spec, false, true},
    [TYPE_ITEMS_VIEW] = {&items_view_spec, false, true},
};

static int
add_types(PyObject *module, struct state *state)
{
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        PyObject *base = types[i].is_mapping
                             ? (PyObject *)state->types[TYPE_MAPPING]
                             : NULL;
        state->types[i] = (PyTypeObject *)PyType_FromModuleAndSpec(
            module, types[i].spec, base);
        if (state->types[i] == NULL
            || (types[i].is_public
                && PyModule_AddType(module, state->types[i]) < 0))
        {
            return -1;
        }
    }
    return 0;
}

static int
add_exception(PyObject *module, const char *name, const char *doc,
              PyObject *base, PyObject **exception)
{
    *exception = PyErr_NewExceptionWithDoc(name, doc, base, NULL);
    if (*exception == NULL) {
        return -1;
    }
    return PyModule_AddObjectRef(module, strrchr(name, '.') + 1, *exception);
}

static int
module_exec(PyObject *module)
{
    struct state *state = PyModule_GetState(module);
    if (add_exception(module, "sharedmap.SnapshotError", snapshot_error_doc,
                      PyExc_ValueError, &state->snapshot_error)
            < 0
        || add_exception(module, "sharedmap.StaleError", stale_error_doc,
                         PyExc_RuntimeError, &state->stale_error)
               < 0
        || add_exception(module, "sharedmap.FollowWarning", follow_warning_doc,
                         PyExc_RuntimeWarning, &state->follow_warning)
               < 0
        || number_create_nans(state) < 0 || add_types(module, state) < 0)
    {
        return -1;
    }
#ifdef Py_GIL_DISABLED
    // The first time it makes a system call, which no lookup should.
    (void)readers_join();
    state->interpreter = PyInterpreterState_GetID(PyInterpreterState_Get());
#endif
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
    .m_doc = "The types and functions of sharedmap, in C.",
    .m_size = sizeof(struct state),
    .m_methods = module_functions,
    .m_slots = module_slots,
    .m_traverse = state_traverse,
    .m_clear = state_clear,
    .m_free = state_free,
};

/* Not every version of Python declares it for us. */
PyMODINIT_FUNC
PyInit__sharedmap(void);

PyMODINIT_FUNC
PyInit__sharedmap(void)
{
    return PyModuleDef_Init(&module_definition);
}
