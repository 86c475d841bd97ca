/* binding/arguments.h
 *
 * Reading the arguments that several methods have in common.
 */
#ifndef SHAREDMAP_BINDING_ARGUMENTS_H
#define SHAREDMAP_BINDING_ARGUMENTS_H

#include "binding/state.h"

/* (key, default=None): fills two borrowed references. -1 with TypeError. */
int
arguments_key_default(const char *method, PyObject *const *args,
                      Py_ssize_t count, PyObject *keyword_names,
                      PyObject **key, PyObject **fallback);

#endif
