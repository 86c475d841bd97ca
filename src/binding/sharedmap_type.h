/* binding/sharedmap_type.h
 *
 * The Python type sharedmap. Only module.c uses it.
 */
#ifndef SHAREDMAP_BINDING_SHAREDMAP_TYPE_H
#define SHAREDMAP_BINDING_SHAREDMAP_TYPE_H

#include "binding/state.h"

extern PyType_Spec sharedmap_spec;

#endif
