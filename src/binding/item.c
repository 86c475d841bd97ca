/* binding/item.c
 *
 * Not here: from bytes to objects; see text.c and value.c.
 */
#include "binding/item.h"

#include "binding/container.h"
#include "binding/value.h"

static void
item_clear(struct item *item)
{
    Py_CLEAR(item->key);
    Py_CLEAR(item->value);
    Py_CLEAR(item->decode);
}

int
item_take(struct item *item, struct state *state, const struct entry *entry,
          enum item_kind kind, PyObject *decode)
{
    *item = (struct item){.state = state};
    if (kind != ITEM_VALUE) {
        item->key = value_unpack_text(state, entry->key);
        if (item->key == NULL) {
            return -1;
        }
    }
    if (kind != ITEM_KEY) {
        item->value = value_unpack(state, &entry->value);
        if (item->value == NULL) {
            item_clear(item);
            return -1;
        }
        item->is_packed = entry->value.type == VALUE_CONTAINER;
        item->is_encoded = entry->value.type == VALUE_ENCODED;
        if (item->is_encoded) {
            item->decode = Py_XNewRef(decode);
        }
    }
    return 0;
}

PyObject *
item_finish(struct item *item)
{
    PyObject *result = NULL;
    if (item->is_encoded || item->is_packed) {
        PyObject *value =
            item->is_packed ? container_unpack_bytes(item->state, item->value)
                            : value_decode(item->decode, item->value);
        Py_SETREF(item->value, value);
        if (item->value == NULL) {
            goto done;
        }
    }
    if (item->key == NULL) {
        result = Py_NewRef(item->value);
    }
    else if (item->value == NULL) {
        result = Py_NewRef(item->key);
    }
    else {
        result = PyTuple_Pack(2, item->key, item->value);
    }
done:
    item_clear(item);
    return result;
}
