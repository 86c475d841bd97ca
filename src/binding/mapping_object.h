/* binding/mapping_object.h
 *
 * The object behind every mapping, and the operations in which the four kinds
 * of mappings differ.
 */
#ifndef SHAREDMAP_BINDING_MAPPING_OBJECT_H
#define SHAREDMAP_BINDING_MAPPING_OBJECT_H

#include "binding/item.h"
#include "binding/state.h"
#include "core/base/slice.h"

enum answer { ANSWER_FAILED = -1, ANSWER_NO = 0, ANSWER_YES = 1 };

enum direction { FORWARD, BACKWARD };

/* Keys from `low` up to, but without, `high`; NULL leaves a side open. */
struct bounds {
    const struct slice *low;
    const struct slice *high;
};

struct mapping_methods {
    /* Is the key there? With an item, fills it with the value. */
    enum answer (*lookup)(PyObject *self, struct slice key, struct item *item);

    /* Fills the item with the first entry at or above the key (FORWARD) or the
     * last at or below it (BACKWARD); without a key, the first or the last of
     * all. */
    enum answer (*nearest)(PyObject *self, const struct slice *key,
                           enum direction direction, enum item_kind kind,
                           struct item *item);

    /* -1 with an exception. */
    Py_ssize_t (*length)(PyObject *self);

    /* A new iterator. */
    PyObject *(*iterate)(PyObject *self, enum item_kind kind,
                         enum direction direction);

    /* A new mapping of the part of `self` that lies in the bounds. */
    PyObject *(*range)(PyObject *self, const struct bounds *bounds);

    /* A new reference to a mapping that views can hold: `self`, or something
     * that stays as it is when `self` is closed. */
    PyObject *(*pin)(PyObject *self);
};

/* Every mapping of ours begins like this. */
typedef struct {
    PyObject_HEAD
    struct state *state;  // borrowed
    const struct mapping_methods *methods;
} MappingObject;

/* The operations of a mapping of ours. */
static inline const struct mapping_methods *
mapping_methods_of(PyObject *self)
{
    return ((MappingObject *)self)->methods;
}

#endif
