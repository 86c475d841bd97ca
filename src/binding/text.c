/* binding/text.c
 *
 * Decoding reads its source twice: once for the widest character, once to
 * copy. If the source changed in between, the result would be a str that
 * claims to be ASCII and is not. Such a str can crash the interpreter long
 * after. So the bytes are first copied, into the str that they become if they
 * are ASCII, and only the copy is examined:
 *
 *     snapshot --copy--> | new ASCII str | --all below 128?--> done
 *                                          --otherwise-------> decode the copy
 *
 * CPython's own decoder is not used. It passes errors, lone surrogates among
 * them, to error handlers, which are Python code. It also creates exceptions,
 * which the garbage collector tracks.
 *
 * Not here: UTF-8 itself; see core/base/utf8.c.
 */
#include "binding/text.h"

#include "core/base/load.h"
#include "core/base/utf8.h"

int
text_encode_wide(struct text *text, PyObject *string)
{
    const void *points = PyUnicode_DATA(string);
    size_t count = (size_t)PyUnicode_GET_LENGTH(string);
    int kind = (int)PyUnicode_KIND(string);
    size_t size =
        kind == PyUnicode_1BYTE_KIND   ? utf8_size_of_ucs1(points, count)
        : kind == PyUnicode_2BYTE_KIND ? utf8_size_of_ucs2(points, count)
                                       : utf8_size_of_ucs4(points, count);
    unsigned char *to = text->room;
    if (size > sizeof(text->room)) {
        to = text->heap = PyMem_Malloc(size);
        if (to == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    switch (kind) {
    case PyUnicode_1BYTE_KIND:
        utf8_from_ucs1(to, points, count);
        break;
    case PyUnicode_2BYTE_KIND:
        utf8_from_ucs2(to, points, count);
        break;
    default:
        utf8_from_ucs4(to, points, count);
        break;
    }
    text->slice = (struct slice){to, size};
    return 0;
}

int
text_encode_key(struct text *text, PyObject *key, const char *caller)
{
    if (!PyUnicode_Check(key)) {
        PyErr_Format(PyExc_TypeError, "%s: keys must be str, not %.100s",
                     caller, Py_TYPE(key)->tp_name);
        return -1;
    }
    return text_encode(text, key);
}

/* Copies, and returns whether all bytes of the copy are below 128. The bytes
 * that are checked are those that were written, so a source that changes
 * meanwhile does no harm. 8 bytes and more are copied as words; the last word
 * may overlap. */
static inline bool
copy_ascii(unsigned char *to, const unsigned char *from, size_t size)
{
    const uint64_t high_bits = UINT64_C(0x8080808080808080);
    uint64_t seen = 0;
    uint64_t word;
    if (size < sizeof(word)) {
        for (size_t i = 0; i < size; i++) {
            to[i] = load_u8(from + i);
            seen |= to[i];
        }
        return (seen & high_bits) == 0;
    }
    size_t last = size - sizeof(word);
    for (size_t at = 0; at < last; at += sizeof(word)) {
        word = load_u64(from + at);
        memcpy(to + at, &word, sizeof(word));
        seen |= word;
    }
    // The overlap is written again: of it, only the second word stays.
    word = load_u64(from + last);
    memcpy(to + last, &word, sizeof(word));
    return ((seen | word) & high_bits) == 0;
}

/* A new str of bytes that do not change. NULL without an exception when they
 * are not UTF-8. */
static PyObject *
decode_wide(struct slice bytes)
{
    struct utf8_extent extent = utf8_measure(bytes);
    PyObject *string = PyUnicode_New((Py_ssize_t)extent.count, extent.limit);
    if (string == NULL) {
        return NULL;
    }
    bool is_valid;
    switch (PyUnicode_KIND(string)) {
    case PyUnicode_1BYTE_KIND:
        is_valid = utf8_to_ucs1(PyUnicode_1BYTE_DATA(string), bytes);
        break;
    case PyUnicode_2BYTE_KIND:
        is_valid = utf8_to_ucs2(PyUnicode_2BYTE_DATA(string), bytes);
        break;
    default:
        is_valid = utf8_to_ucs4(PyUnicode_4BYTE_DATA(string), bytes);
        break;
    }
    if (!is_valid) {
        Py_CLEAR(string);
    }
    return string;
}

PyObject *
text_decode(struct slice bytes)
{
    if (bytes.size > (size_t)PY_SSIZE_T_MAX) {
        return PyErr_NoMemory();
    }
    PyObject *string = PyUnicode_New((Py_ssize_t)bytes.size, 127);
    if (string == NULL || bytes.size == 0) {
        return string;
    }
    unsigned char *copy = PyUnicode_1BYTE_DATA(string);
    if (copy_ascii(copy, bytes.bytes, bytes.size)) {
        return string;
    }
    PyObject *decoded = decode_wide((struct slice){copy, bytes.size});
    Py_DECREF(string);
    return decoded;
}
