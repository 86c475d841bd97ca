/* binding/text.h
 *
 * Python's str <-> UTF-8 slices, without leaving a UTF-8 copy on the user's
 * objects. Any str goes in and comes back: NULs, lone surrogates, all of it.
 */
#ifndef SHAREDMAP_BINDING_TEXT_H
#define SHAREDMAP_BINDING_TEXT_H

#include "binding/state.h"
#include "core/base/slice.h"

/* A str as UTF-8. The slice borrows from the str itself (ASCII), from room,
 * or from heap; so the text must not move, and the str must outlive it. */
struct text {
    struct slice slice;
    unsigned char *heap;  // owned; NULL when not needed
    unsigned char room[256];
};

/* The bytes of a str that is ASCII, where they are. */
static inline struct slice
text_ascii_bytes(PyObject *string)
{
    return (struct slice){PyUnicode_1BYTE_DATA(string),
                          (size_t)PyUnicode_GET_LENGTH(string)};
}

/* Slow path of text_encode(). */
int
text_encode_wide(struct text *text, PyObject *string);

/* Fills the text; `string` is a str or of a subclass of it. -1 with
 * MemoryError. O(length). */
static inline int
text_encode(struct text *text, PyObject *string)
{
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(string) < 0) {
        return -1;
    }
#endif
    text->heap = NULL;
    if (PyUnicode_IS_ASCII(string)) {
        // ASCII is UTF-8 already.
        text->slice = text_ascii_bytes(string);
        return 0;
    }
    return text_encode_wide(text, string);
}

static inline void
text_clear(struct text *text)
{
    // Usually NULL: that must not cost a call.
    if (text->heap != NULL) {
        PyMem_Free(text->heap);
    }
}

/* Fills the text of a key. -1 with TypeError when it is not a str; it names
 * `caller`, the operation that the user called, as in "get()". */
int
text_encode_key(struct text *text, PyObject *key, const char *caller);

/* A new str. The bytes may belong to a snapshot and change during the call;
 * the str is a valid one in any case. Runs no Python code. NULL with
 * MemoryError, or without an exception when the bytes are not UTF-8. */
PyObject *
text_decode(struct slice bytes);

#endif
