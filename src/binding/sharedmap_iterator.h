/* binding/sharedmap_iterator.h
 *
 * Iterating over a sharedmap or a range of one.
 */
#ifndef SHAREDMAP_BINDING_SHAREDMAP_ITERATOR_H
#define SHAREDMAP_BINDING_SHAREDMAP_ITERATOR_H

#include "binding/mapping_type.h"
#include "binding/sharedmap_span.h"

/* A new iterator over the span, with a reference of its own. */
PyObject *
sharedmap_iterator_create(const struct span *span, enum item_kind kind,
                          enum direction direction);

extern PyType_Spec sharedmap_iterator_spec;

#endif
