/* binding/identity.c
 *
 *     | 0xA7 | 0x03 | ...   <->   "a703..."
 *
 * Not here: where ids come from; see core/segment/system.c.
 */
#include "binding/identity.h"

#include <stdbool.h>

static const char digits[] = "0123456789abcdef";

PyObject *
identity_text(const unsigned char id[IDENTITY_SIZE])
{
    char text[2 * IDENTITY_SIZE];
    for (size_t i = 0; i < IDENTITY_SIZE; i++) {
        text[2 * i] = digits[id[i] >> 4];
        text[2 * i + 1] = digits[id[i] & 15];
    }
    return PyUnicode_DecodeASCII(text, sizeof(text), NULL);
}

static int
digit_value(Py_UCS4 character)
{
    return character >= '0' && character <= '9'   ? (int)character - '0'
           : character >= 'a' && character <= 'f' ? (int)character - 'a' + 10
                                                  : -1;
}

int
identity_parse(PyObject *text, unsigned char id[IDENTITY_SIZE])
{
    bool is_valid =
        PyUnicode_GET_LENGTH(text) == 2 * (Py_ssize_t)IDENTITY_SIZE;
    for (Py_ssize_t i = 0; is_valid && i < IDENTITY_SIZE; i++) {
        int high = digit_value(PyUnicode_READ_CHAR(text, 2 * i));
        int low = digit_value(PyUnicode_READ_CHAR(text, 2 * i + 1));
        is_valid = high >= 0 && low >= 0;
        id[i] = (unsigned char)((unsigned)high << 4 | (unsigned)low);
    }
    if (!is_valid) {
        PyErr_Format(PyExc_ValueError,
                     "not a valid id of a version: %.100R; it has 32 "
                     "lower-case hexadecimal digits, as m.id has",
                     text);
        return -1;
    }
    return 0;
}
