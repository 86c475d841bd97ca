/* binding/sharedmap_diff.h
 *
 * new.diff(old): the keys in which two versions differ.
 */
#ifndef SHAREDMAP_BINDING_SHAREDMAP_DIFF_H
#define SHAREDMAP_BINDING_SHAREDMAP_DIFF_H

#include "binding/state.h"

PyObject *
sharedmap_py_diff(PyObject *self, PyObject *old);

#endif
