/* binding/sharedmap_digest.h
 *
 * m._content_digest(): a number that tells what a map contains.
 */
#ifndef SHAREDMAP_BINDING_SHAREDMAP_DIGEST_H
#define SHAREDMAP_BINDING_SHAREDMAP_DIGEST_H

#include "binding/state.h"

PyObject *
sharedmap_py_content_digest(PyObject *self, PyObject *args);

#endif
