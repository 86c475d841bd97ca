/* binding/functions.c
 *
 * In Python this file would be:
 *
 *     def share(mapping, name, force=False, *, mode=0o600): ...  # -> True
 *     def remove(name): ...                                      # -> bool
 *     def names(): ...                                           # -> list
 *
 * Not here: methods; see the files of the types.
 */
#include "binding/functions.h"

#include "binding/batch.h"
#include "binding/errors.h"
#include "binding/functions_doc.h"
#include "binding/name.h"
#include "binding/publishing.h"
#include "binding/text.h"
#include "core/segment.h"

static PyObject *
module_py_share(PyObject *module, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"mapping", "name", "force", "mode", NULL};
    struct state *state = PyModule_GetState(module);
    struct target target = {.terms.mode = PUBLISHING_DEFAULT_MODE};
    struct name name;
    struct batch batch;
    PyObject *mapping, *result = NULL;
    int force = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO|p$O&:share", names,
                                     &mapping, &target.object, &force,
                                     publishing_mode, &target.terms.mode))
    {
        return NULL;
    }
    if (name_parse(state, &name, target.object) < 0) {
        name_clear(&name);
        return NULL;
    }
    if (batch_init(&batch, state, NULL) == 0
        && batch_add_all(&batch, mapping) == 0 && batch_sort(&batch) == 0)
    {
        enum status status;
        target.path = name.path;
        target.label = name.text.slice;
        target.terms.force = force != 0;
        Py_BEGIN_ALLOW_THREADS
        status = publishing_run(&target, batch.entries, batch.count);
        Py_END_ALLOW_THREADS
        result = publishing_result(state, &target, status);
    }
    batch_clear(&batch);
    name_clear(&name);
    return result;
}

PyObject *
remove_name(struct state *state, PyObject *object)
{
    struct name name;
    PyObject *result = NULL;
    if (name_parse(state, &name, object) == 0) {
        enum status status;
        Py_BEGIN_ALLOW_THREADS
        status = segment_remove(name.path);
        Py_END_ALLOW_THREADS
        result = status == STATUS_OK ? Py_NewRef(Py_True)
                 : status == STATUS_NAME_ABSENT
                     ? Py_NewRef(Py_False)
                     : raise_status(state, status, object);
    }
    name_clear(&name);
    return result;
}

static PyObject *
module_py_remove(PyObject *module, PyObject *name)
{
    return remove_name(PyModule_GetState(module), name);
}

static PyObject *
module_py_names(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct segment_names *open = NULL;
    struct slice bytes;
    PyObject *names = PyList_New(0);
    if (names == NULL) {
        return NULL;
    }
    enum status status = segment_names_open(&open);
    if (status != STATUS_OK) {
        Py_DECREF(names);
        return raise_status(PyModule_GetState(module), status, NULL);
    }
    while (segment_names_next(open, &bytes)) {
        PyObject *name = text_decode(bytes);
        if (name == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
            // No name of a map, whoever made the file.
            PyErr_Clear();
            continue;
        }
        if (name == NULL || PyList_Append(names, name) < 0) {
            Py_XDECREF(name);
            Py_CLEAR(names);
            break;
        }
        Py_DECREF(name);
    }
    segment_names_close(open);
    if (names != NULL && PyList_Sort(names) < 0) {
        Py_CLEAR(names);
    }
    return names;
}

PyMethodDef module_functions[] = {
    {"share", (PyCFunction)(void (*)(void))module_py_share,
     METH_VARARGS | METH_KEYWORDS, module_share_doc},
    {"remove", module_py_remove, METH_O, module_remove_doc},
    {"names", module_py_names, METH_NOARGS, module_names_doc},
    {NULL, NULL, 0, NULL},
};
