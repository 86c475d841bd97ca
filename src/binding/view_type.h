/* binding/view_type.h
 *
 * The set-like views of a mapping of ours.
 */
#ifndef SHAREDMAP_BINDING_VIEW_TYPE_H
#define SHAREDMAP_BINDING_VIEW_TYPE_H

#include "binding/item.h"
#include "binding/state.h"

/* A new view of the keys, the values or the items. */
PyObject *
view_create(struct state *state, PyObject *mapping, enum item_kind kind);

extern PyType_Spec keys_view_spec;
extern PyType_Spec values_view_spec;
extern PyType_Spec items_view_spec;

#endif
