/* binding/mapping_order.c
 *
 * In Python this file would be:
 *
 *     class Mapping:
 *         def floor(self, key): ...
 *         def ceiling(self, key): ...
 *         def lower(self, key): ...
 *         def higher(self, key): ...
 *         def longest_prefix(self, text): ...
 *         def first(self): ...
 *         def last(self): ...
 *
 * All of them are made of two operations of struct mapping_methods: nearest,
 * and for lower() range.
 */
#include "binding/mapping_order.h"

#include <string.h>

#include "binding/mapping_object.h"
#include "binding/text.h"

/* A new str, a new reference to None if there is no such key, or NULL. */
static PyObject *
nearest(PyObject *self, const struct slice *key, enum direction direction)
{
    struct item item;
    switch (mapping_methods_of(self)->nearest(self, key, direction, ITEM_KEY,
                                              &item))
    {
    case ANSWER_YES:
        return item_finish(&item);
    case ANSWER_NO:
        Py_RETURN_NONE;
    case ANSWER_FAILED:
        break;
    }
    return NULL;
}

/* The same with a key of Python. */
static PyObject *
nearest_to(PyObject *self, PyObject *key, enum direction direction,
           const char *caller)
{
    struct text text;
    if (text_encode_key(&text, key, caller) < 0) {
        return NULL;
    }
    PyObject *result = nearest(self, &text.slice, direction);
    text_clear(&text);
    return result;
}

PyObject *
mapping_py_floor(PyObject *self, PyObject *key)
{
    return nearest_to(self, key, BACKWARD, "floor()");
}

PyObject *
mapping_py_ceiling(PyObject *self, PyObject *key)
{
    return nearest_to(self, key, FORWARD, "ceiling()");
}

PyObject *
mapping_py_lower(PyObject *self, PyObject *key)
{
    struct text text;
    if (text_encode_key(&text, key, "lower()") < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    PyObject *below = mapping_methods_of(self)->range(
        self, &(struct bounds){.high = &text.slice});
    if (below != NULL) {
        result = nearest(below, NULL, BACKWARD);
        Py_DECREF(below);
    }
    text_clear(&text);
    return result;
}

PyObject *
mapping_py_higher(PyObject *self, PyObject *key)
{
    struct text text;
    if (text_encode_key(&text, key, "higher()") < 0) {
        return NULL;
    }
    // The least str above the key is the key with a NUL behind it.
    PyObject *result = NULL;
    size_t size = text.slice.size;
    unsigned char *successor = PyMem_Malloc(size + 1);
    if (successor == NULL) {
        PyErr_NoMemory();
    }
    else {
        memcpy(successor, text.slice.bytes, size);
        successor[size] = '\0';
        result = nearest(self, &(struct slice){successor, size + 1}, FORWARD);
        PyMem_Free(successor);
    }
    text_clear(&text);
    return result;
}

/* Shortens `text` to what it has in common with the key. Whether that is the
 * entire key: 1 or 0, -1 with an exception. */
static int
shorten_to_key(struct slice *text, PyObject *key)
{
    struct text other;
    if (text_encode_key(&other, key, "longest_prefix()") < 0) {
        return -1;
    }
    size_t most =
        text->size < other.slice.size ? text->size : other.slice.size;
    size_t size = 0;
    while (size < most && text->bytes[size] == other.slice.bytes[size]) {
        size += 1;
    }
    text->size = size;
    int is_key = size == other.slice.size;
    text_clear(&other);
    return is_key;
}

/* Between a text and a prefix of it lie only keys that begin with the prefix.
 * So the answer is a prefix of the floor, too, and of what both have in common:
 *
 *     text "abcd"     floor "abca" ----> is no prefix, has "abc" in common
 *     text "abc"      floor "ab"   ----> the answer
 */
static PyObject *
longest_prefix(PyObject *self, struct slice text)
{
    for (;;) {
        PyObject *key = nearest(self, &text, BACKWARD);
        if (key == NULL || key == Py_None) {
            return key;
        }
        const size_t size = text.size;
        int is_key = shorten_to_key(&text, key);
        if (is_key > 0) {
            return key;
        }
        Py_DECREF(key);
        if (is_key < 0) {
            return NULL;
        }
        if (text.size == size) {
            // The floor is above the text: the bytes are damaged.
            Py_RETURN_NONE;
        }
    }
}

PyObject *
mapping_py_longest_prefix(PyObject *self, PyObject *given)
{
    struct text text;
    if (text_encode_key(&text, given, "longest_prefix()") < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    PyObject *pinned = mapping_methods_of(self)->pin(self);
    if (pinned != NULL) {
        result = longest_prefix(pinned, text.slice);
        Py_DECREF(pinned);
    }
    text_clear(&text);
    return result;
}

static PyObject *
outermost(PyObject *self, enum direction direction)
{
    struct item item;
    enum answer answer = mapping_methods_of(self)->nearest(
        self, NULL, direction, ITEM_PAIR, &item);
    if (answer == ANSWER_NO) {
        PyErr_SetString(PyExc_KeyError, "the map is empty");
    }
    return answer == ANSWER_YES ? item_finish(&item) : NULL;
}

PyObject *
mapping_py_first(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return outermost(self, FORWARD);
}

PyObject *
mapping_py_last(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return outermost(self, BACKWARD);
}
