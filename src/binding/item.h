/* binding/item.h
 *
 * The results of an iteration: keys, values or both.
 */
#ifndef SHAREDMAP_BINDING_ITEM_H
#define SHAREDMAP_BINDING_ITEM_H

#include "binding/state.h"
#include "core/base/entry.h"

enum item_kind { ITEM_KEY, ITEM_VALUE, ITEM_PAIR };

/* An entry as Python objects on the way to the user. item_take() runs no
 * Python code unless it fails; item_finish() may call the decoder, and builds
 * containers, for which the garbage collector may run. */
struct item {
    PyObject *key;        // owned; NULL if not wanted
    PyObject *value;      // owned; NULL if not wanted
    PyObject *decode;     // owned; NULL without a decoder
    bool is_encoded;      // the value must still be decoded
    bool is_packed;       // the value is the bytes of a container
    struct state *state;  // borrowed
};

/* Fills the item with new objects. `decode` may be NULL. -1 with an exception,
 * and nothing to clear. */
int
item_take(struct item *item, struct state *state, const struct entry *entry,
          enum item_kind kind, PyObject *decode);

/* The key, the value or a tuple of both, as a new reference; the item is empty
 * afterwards in any case. */
PyObject *
item_finish(struct item *item);

#endif
