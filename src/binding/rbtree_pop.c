/* binding/rbtree_pop.c
 *
 * In Python this file would be:
 *
 *     class rbtree:  # continued
 *         def pop(self, key, default=..., /): ...
 *         def popitem(self, index=-1): ...
 *
 * An entry is taken and removed atomically under the guard, so only one of
 * several threads gets it. Decoding comes after that: it runs Python code,
 * which may change the tree, too. An entry that cannot be decoded is put back:
 *
 *     | guard: take, remove | -> decode -+-> the value
 *                                        +-> | guard: put, if still absent |
 *
 * Not here: from entries to objects; see item.c.
 */
#include "binding/rbtree_pop.h"

#include "binding/errors.h"
#include "binding/rbtree_object.h"
#include "binding/signals.h"
#include "binding/text.h"

/* Whether the value has still to be made of its bytes, and can be. */
static bool
wants_decoding(const struct item *item)
{
    return item->is_packed || (item->is_encoded && item->decode != NULL);
}

/* Under the guard: takes the node's entry and removes it. An encoded entry
 * without a decoder stays, because decoding would fail. */
static enum answer
take_node(RBTreeObject *self, const struct rbtree_node *node,
          enum item_kind kind, struct item *item)
{
    if (node == NULL) {
        return ANSWER_NO;
    }
    struct entry entry = rbtree_entry(node);
    if (item_take(item, self->base.state, &entry, kind, self->decode) < 0) {
        return ANSWER_FAILED;
    }
    if (!item->is_encoded || wants_decoding(item)) {
        rbtree_remove(self->tree, entry.key);
    }
    return ANSWER_YES;
}

/* Puts the bytes of a value back, unless the key was put again in the
 * meantime. */
static enum status
put_back(RBTreeObject *self, struct slice key, PyObject *bytes,
         enum value_type type)
{
    struct value value = {{(const unsigned char *)PyBytes_AS_STRING(bytes),
                           (size_t)PyBytes_GET_SIZE(bytes)},
                          type};
    enum status status = STATUS_OK;
    tree_begin_change(self);
    if (rbtree_find(self->tree, key) == NULL) {
        status = rbtree_put(self->tree, key, value);
    }
    guard_end_change(&self->guard);
    return status;
}

/* The same, keeping the current exception. A MemoryError replaces it if the
 * entry is lost, because that is worse. */
static void
put_back_after(RBTreeObject *self, PyObject *key, PyObject *bytes,
               enum value_type value_type)
{
    PyObject *type, *error, *traceback;
    struct text text;
    PyErr_Fetch(&type, &error, &traceback);
    if (text_encode_key(&text, key, "pop()") == 0) {
        enum status status = put_back(self, text.slice, bytes, value_type);
        text_clear(&text);
        if (status == STATUS_OK) {
            PyErr_Restore(type, error, traceback);
            return;
        }
        raise_status(self->base.state, status, NULL);
    }
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
}

/* The value or pair that was taken; `key` is that of the item if NULL. */
static PyObject *
finish_taking(RBTreeObject *self, struct item *item, PyObject *key)
{
    if (!wants_decoding(item)) {
        return item_finish(item);
    }
    PyObject *taken_key = Py_NewRef(key != NULL ? key : item->key);
    PyObject *bytes = Py_NewRef(item->value);
    enum value_type type = item->is_packed ? VALUE_CONTAINER : VALUE_ENCODED;
    PyObject *result = item_finish(item);
    if (result == NULL) {
        put_back_after(self, taken_key, bytes, type);
    }
    Py_DECREF(bytes);
    Py_DECREF(taken_key);
    return result;
}

PyObject *
rbtree_py_pop(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    RBTreeObject *self = (RBTreeObject *)object;
    struct text text;
    struct item item;
    if (count < 1 || count > 2) {
        PyErr_Format(PyExc_TypeError,
                     "pop() takes a key and an optional default, got %zd "
                     "arguments",
                     count);
        return NULL;
    }
    if (text_encode_key(&text, args[0], "pop()") < 0) {
        return NULL;
    }
    tree_begin_change(self);
    enum answer answer = take_node(self, rbtree_find(self->tree, text.slice),
                                   ITEM_VALUE, &item);
    guard_end_change(&self->guard);
    text_clear(&text);
    if (answer == ANSWER_NO) {
        if (count == 2) {
            return Py_NewRef(args[1]);
        }
        PyErr_SetObject(PyExc_KeyError, args[0]);
    }
    return answer == ANSWER_YES ? finish_taking(self, &item, args[0]) : NULL;
}

/* Under the guard: fills the node at an index that counts from the end if it
 * is negative; NULL when there is none. */
static enum status
node_at(const struct rbtree *tree, Py_ssize_t index,
        const struct rbtree_node **node, const struct interrupt *interrupt)
{
    Py_ssize_t count = (Py_ssize_t)rbtree_count(tree);
    index += index < 0 ? count : 0;
    if (index < 0 || index >= count) {
        *node = NULL;
        return STATUS_OK;
    }
    return rbtree_at(tree, (size_t)index, node, interrupt);
}

PyObject *
rbtree_py_popitem(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"index", NULL};
    RBTreeObject *self = (RBTreeObject *)object;
    Py_ssize_t index = -1;
    struct item item;
    struct signals signals;
    struct interrupt interrupt;
    enum status status;
    enum answer answer;
    bool is_empty;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|n:popitem", names,
                                     &index))
    {
        return NULL;
    }
    do {
        const struct rbtree_node *node;
        // A handler may want the tree, which is guarded.
        signals_watch(&signals, &interrupt);
        tree_begin_change(self);
        is_empty = rbtree_count(self->tree) == 0;
        status = node_at(self->tree, index, &node, &interrupt);
        answer = status == STATUS_OK ? take_node(self, node, ITEM_PAIR, &item)
                                     : ANSWER_FAILED;
        guard_end_change(&self->guard);
    } while (status == STATUS_INTERRUPTED && signals_retry(&signals));
    if (answer == ANSWER_NO) {
        PyErr_SetString(is_empty ? PyExc_KeyError : PyExc_IndexError,
                        is_empty ? "popitem(): rbtree is empty"
                                 : "popitem(): index out of range");
    }
    return answer == ANSWER_YES ? finish_taking(self, &item, NULL) : NULL;
}
