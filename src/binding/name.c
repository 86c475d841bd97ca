/* binding/name.c
 *
 * Not here: from a name to a file name; see core/segment/name.c.
 */
#include "binding/name.h"

#include "binding/errors.h"

int
name_parse(struct state *state, struct name *name, PyObject *object,
           const char *caller)
{
    name->text.heap = NULL;
    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s: the name must be str, not %.100s",
                     caller, Py_TYPE(object)->tp_name);
        return -1;
    }
    if (text_encode(&name->text, object) < 0) {
        return -1;
    }
    enum status status = segment_path(name->text.slice, name->path);
    if (status != STATUS_OK) {
        raise_status(state, status, object);
        return -1;
    }
    return 0;
}

void
name_clear(struct name *name)
{
    text_clear(&name->text);
}
