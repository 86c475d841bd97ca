/* binding/item.h
 *
 * What an iteration answers with: keys, values or both.
 */
#ifndef SHAREDMAP_BINDING_ITEM_H
#define SHAREDMAP_BINDING_ITEM_H

#include "binding/state.h"
#include "core/base/entry.h"

enum item_kind { ITEM_KEY, ITEM_VALUE, ITEM_PAIR };

/* An entry as Python objects on the way to the user. Taking it from the core
 * runs no Python code, if it does not fail; finishing it may call the decoder.
 */
struct item {
    PyObject *key;     // owned; NULL if not asked for
    PyObject *value;   // owned; NULL if not asked for
    PyObject *decode;  // owned; NULL without a decoder
    bool is_encoded;   // the value still wants the decoder
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
