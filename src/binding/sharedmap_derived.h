/* binding/sharedmap_derived.h
 *
 * m.derived(function): what a function makes of the present version, once in
 * each process.
 */
#ifndef SHAREDMAP_BINDING_SHAREDMAP_DERIVED_H
#define SHAREDMAP_BINDING_SHAREDMAP_DERIVED_H

#include "binding/state.h"

PyObject *
sharedmap_py_derived(PyObject *self, PyObject *function);

#endif
