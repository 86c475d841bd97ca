/* binding/functions.h
 *
 * The functions of the module. Only module.c uses them.
 */
#ifndef SHAREDMAP_BINDING_FUNCTIONS_H
#define SHAREDMAP_BINDING_FUNCTIONS_H

#include "binding/state.h"

extern PyMethodDef module_functions[];

#endif
