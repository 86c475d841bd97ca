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

enum repr_style { REPR_AS_LIST, REPR_AS_DICT };

/* A new str: the first `limit` keys, values or pairs of the mapping, with
 * commas between. A value that cannot be decoded is shown as
 * <encoded, 12 bytes>, so a decoder does not make repr() fail. NULL with an
 * exception. */
PyObject *
view_repr_entries(PyObject *mapping, enum item_kind kind,
                  enum repr_style style, Py_ssize_t limit);

#endif
