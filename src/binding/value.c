/* binding/value.c
 *
 *     str     UTF-8
 *     bytes   as they are
 *
 * Subclasses are refused: a value must come back as what it was, and nobody
 * in another process knows the subclass.
 *
 * Not here: how a value is stored; see docs/FORMAT.md.
 */
#include "binding/value.h"

#include "binding/errors.h"

int
value_pack(struct packed_value *packed, PyObject *object)
{
    packed->text.heap = NULL;
    if (PyUnicode_CheckExact(object)) {
        if (text_encode(&packed->text, object) < 0) {
            return -1;
        }
        packed->value = (struct value){packed->text.slice, VALUE_STR};
        return 0;
    }
    if (PyBytes_CheckExact(object)) {
        packed->value = (struct value){
            {(const unsigned char *)PyBytes_AS_STRING(object),
             (size_t)PyBytes_GET_SIZE(object)},
            VALUE_BYTES,
        };
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "values must be str or bytes, not %.100s",
                 Py_TYPE(object)->tp_name);
    return -1;
}

void
value_clear(struct packed_value *packed)
{
    text_clear(&packed->text);
}

PyObject *
value_unpack_text(struct state *state, struct slice bytes)
{
    PyObject *string = text_decode(bytes);
    if (string == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        return raise_status(state, STATUS_BAD_TEXT, NULL);
    }
    return string;
}

PyObject *
value_unpack(struct state *state, const struct value *value)
{
    switch (value->type) {
    case VALUE_STR:
        return value_unpack_text(state, value->bytes);
    case VALUE_BYTES:
        if (value->bytes.size > (size_t)PY_SSIZE_T_MAX) {
            return PyErr_NoMemory();
        }
        return PyBytes_FromStringAndSize((const char *)value->bytes.bytes,
                                         (Py_ssize_t)value->bytes.size);
    case VALUE_NONE:
    case VALUE_BOOL:
    case VALUE_INT:
    case VALUE_FLOAT:
    case VALUE_ENCODED:
        break;
    }
    return raise_status(state, STATUS_BAD_VALUE, NULL);
}
