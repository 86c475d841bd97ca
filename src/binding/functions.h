/* binding/functions.h
 *
 * The module's functions, as far as other files call them.
 */
#ifndef SHAREDMAP_BINDING_FUNCTIONS_H
#define SHAREDMAP_BINDING_FUNCTIONS_H

#include "binding/state.h"

/* remove(name): True, or False when there was none. */
PyObject *
functions_remove(struct state *state, PyObject *name);

#endif
