/* binding/functions.c
 *
 * In Python this file would be:
 *
 *     def share(mapping, name, force=False, *, mode=0o600, expect=None,
 *               index="hash", huge_pages=False, encode=None,
 *               timeout=5.0, exist_ok=False, align=8): ...
 *     def update(name, changes, remove=(), *, encode=None, timeout=60.0,
 *                expect=None): ...
 *     def remove(name, /, *, timeout=5.0): ...
 *     def names(): ...
 *
 * Not here: methods; see the files of the types.
 */
#include "binding/functions.h"

#include "binding/arguments.h"
#include "binding/batch.h"
#include "binding/errors.h"
#include "binding/functions_doc.h"
#include "binding/name.h"
#include "binding/publishing.h"
#include "binding/signals.h"
#include "binding/text.h"
#include "binding/value.h"
#include "core/segment/segment.h"
#include "core/update.h"

/* Fills an empty batch with the entries of any mapping, in order. */
static int
fill_in_order(struct batch *batch, PyObject *mapping)
{
    int borrowed = batch_borrow(batch, mapping);
    if (borrowed != 0) {
        return borrowed < 0 ? -1 : 0;
    }
    return batch_add_all(batch, mapping) < 0 ? -1 : batch_sort(batch);
}

static PyObject *
module_py_share(PyObject *module, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"mapping", "name",     "force",      "mode",
                            "expect",  "index",    "huge_pages", "encode",
                            "timeout", "exist_ok", "align",      NULL};
    struct state *state = PyModule_GetState(module);
    struct target target = {
        .options.mode = PUBLISHING_DEFAULT_MODE,
        .options.lock.timeout = PUBLISHING_DEFAULT_TIMEOUT,
    };
    struct name name;
    struct batch batch;
    PyObject *mapping, *hook = NULL, *encode, *result = NULL;
    int force = 0, huge_pages = 0, exist_ok = 0;
    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "OO|p$O&O&O&pOO&pO&:share", names, &mapping,
            &target.object, &force, publishing_mode, &target.options.mode,
            publishing_expect, &target.options.expected, publishing_index,
            &target.index, &huge_pages, &hook, arguments_timeout,
            &target.options.lock.timeout, &exist_ok, publishing_align,
            &target.value_alignment)
        || value_parse_hook("encode", hook, &encode) < 0)
    {
        return NULL;
    }
    target.options.force = force != 0;
    target.options.huge_pages = huge_pages != 0;
    target.exist_ok = exist_ok != 0;
    if (name_parse(state, &name, target.object, "share()") < 0
        || publishing_check_exist_ok(&target) < 0)
    {
        goto done;
    }
    // Many workers ask at once, and only one of them has to read its mapping.
    if (target.exist_ok
        && segment_check_free(name.path, NULL) == STATUS_NAME_TAKEN)
    {
        result = Py_NewRef(Py_False);
        goto done;
    }
    if (batch_init(&batch, state, encode, "share()") == 0
        && fill_in_order(&batch, mapping) == 0)
    {
        struct signals signals;
        target.path = name.path;
        target.label = name.text.slice;
        signals_begin(&signals, SIGNALS_PUBLISHING,
                      &target.options.lock.interrupt);
        enum status status =
            publishing_run(&target, batch.entries, batch.count);
        signals_end(&signals);
        result = publishing_result(state, &target, status);
    }
    batch_clear(&batch);
done:
    name_clear(&name);
    Py_XDECREF(encode);
    return result;
}

/* Adds keys, for which no value is needed. */
static int
add_removals(struct batch *batch, PyObject *keys)
{
    return arguments_check_keys("update()", "remove", keys) < 0
               ? -1
               : batch_add_keys(batch, keys, Py_None);
}

/* Both are sorted. -1 with ValueError when a key is in both, or with the
 * exception of a signal handler. */
static int
check_disjoint(const struct batch *puts, const struct batch *removals)
{
    struct signals_steps steps = {0};
    size_t put = 0, removal = 0;
    while (put < puts->count && removal < removals->count) {
        if (signals_step(&steps) < 0) {
            return -1;
        }
        struct slice key = puts->entries[put].key;
        int order = slice_compare(key, removals->entries[removal].key);
        if (order == 0) {
            PyObject *string = text_decode(key);
            if (string != NULL) {
                PyErr_Format(PyExc_ValueError,
                             "key %R is in both changes and remove", string);
                Py_DECREF(string);
            }
            return -1;
        }
        *(order < 0 ? &put : &removal) += 1;
    }
    return 0;
}

static PyObject *
run_update(struct state *state, PyObject *object, const struct batch *puts,
           const struct batch *removals, int64_t timeout,
           const struct expectation *expected)
{
    struct name name;
    PyObject *result = NULL;
    if (name_parse(state, &name, object, "update()") == 0) {
        struct signals signals;
        struct publish_update update = {
            .label = name.text.slice,
            .changes = {puts->entries, puts->count, removals->entries,
                        removals->count},
            .lock.timeout = timeout,
            .expected = *expected,
        };
        signals_begin(&signals, SIGNALS_PUBLISHING, &update.lock.interrupt);
        enum status status = publish_update(&update, name.path);
        uint64_t available =
            status == STATUS_NO_SPACE ? segment_space(name.path) : 0;
        signals_end(&signals);
        if (status == STATUS_OK) {
            result = PyLong_FromUnsignedLongLong(update.generation);
        }
        else if (status == STATUS_NO_SPACE) {
            raise_no_space(object, update.needed, available, false);
        }
        else if (status == STATUS_STALE) {
            publishing_raise_stale(state, object, expected, update.generation);
        }
        else {
            raise_publish_status(state, status, object, name.path, false);
        }
    }
    name_clear(&name);
    return result;
}

static PyObject *
module_py_update(PyObject *module, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"name",    "changes", "remove", "encode",
                            "timeout", "expect",  NULL};
    int64_t timeout = PUBLISHING_UPDATE_TIMEOUT;
    struct expectation expected = {.has_id = false};
    struct state *state = PyModule_GetState(module);
    struct batch puts = {.held = NULL}, removals = {.held = NULL};
    PyObject *name, *changes, *keys = NULL, *hook = NULL, *encode;
    PyObject *result = NULL;
    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "OO|O$OO&O&:update", names, &name, &changes, &keys,
            &hook, arguments_timeout, &timeout, publishing_expect, &expected)
        || value_parse_hook("encode", hook, &encode) < 0)
    {
        return NULL;
    }
    if (batch_init(&puts, state, encode, "update()") == 0
        && batch_init(&removals, state, NULL, "update()") == 0
        && batch_add_all(&puts, changes) == 0
        && (keys == NULL || add_removals(&removals, keys) == 0)
        && batch_sort(&puts) == 0 && batch_sort(&removals) == 0
        && check_disjoint(&puts, &removals) == 0)
    {
        result = run_update(state, name, &puts, &removals, timeout, &expected);
    }
    batch_clear(&removals);
    batch_clear(&puts);
    Py_XDECREF(encode);
    return result;
}

static PyObject *
module_py_remove(PyObject *module, PyObject *args, PyObject *keywords)
{
    return publishing_remove(PyModule_GetState(module), args, keywords);
}

/* Whatever it is, it is not one name that is concerned. */
static PyObject *
raise_names_status(PyObject *module, enum status status)
{
    PyObject *directory = PyUnicode_DecodeFSDefault(segment_directory());
    if (directory != NULL) {
        raise_status(PyModule_GetState(module), status, directory);
        Py_DECREF(directory);
    }
    return NULL;
}

static PyObject *
module_py_names(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct segment_names *open = NULL;
    PyObject *names = PyList_New(0);
    if (names == NULL) {
        return NULL;
    }
    enum status status = segment_names_open(&open);
    if (status != STATUS_OK) {
        raise_names_status(module, status);
        Py_DECREF(names);
        return NULL;
    }
    for (;;) {
        struct slice bytes;
        status = segment_names_next(open, &bytes);
        if (status != STATUS_OK) {
            raise_names_status(module, status);
            Py_CLEAR(names);
        }
        if (status != STATUS_OK || bytes.size == 0) {
            break;
        }
        PyObject *name = text_decode(bytes);
        if (name == NULL && !PyErr_Occurred()) {
            // Not the name of a map; another program created the file.
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

/* For sharedmap/_cli/doctor.py. */
static PyObject *
module_py_directory(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyBytes_FromString(segment_directory());
}

static PyObject *
module_py_platform(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyUnicode_FromString(segment_platform());
}

static PyObject *
module_py_clear_leftover(PyObject *module, PyObject *file_name)
{
    char *bytes;
    enum status status;
    bool is_cleared;
    if (PyBytes_AsStringAndSize(file_name, &bytes, NULL) < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = segment_clear_leftover(bytes, &is_cleared);
    Py_END_ALLOW_THREADS
    if (status != STATUS_OK) {
        return raise_status(PyModule_GetState(module), status, NULL);
    }
    return PyBool_FromLong(is_cleared);
}

/* ---- for event loops; see sharedmap/_watch.py --------------------------- */

static PyObject *
module_py_watch_open(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    int descriptor;
    enum status status = segment_watch_open(&descriptor);
    if (status != STATUS_OK) {
        return raise_status(PyModule_GetState(module), status, NULL);
    }
    return PyLong_FromLong(descriptor);
}

/* Adds one name, or None, which cannot be confused with a name. */
static int
add_watched(PyObject *names, struct slice bytes)
{
    PyObject *name = bytes.size > 0 ? text_decode(bytes) : Py_NewRef(Py_None);
    if (name == NULL && !PyErr_Occurred()) {
        return 0;
    }
    int result = name != NULL ? PySet_Add(names, name) : -1;
    Py_XDECREF(name);
    return result;
}

static PyObject *
module_py_watch_read(PyObject *Py_UNUSED(module), PyObject *object)
{
    long descriptor = PyLong_AsLong(object);
    if (descriptor == -1 && PyErr_Occurred()) {
        return NULL;
    }
    struct segment_watch watch;
    struct slice bytes;
    PyObject *names = PySet_New(NULL);
    while (names != NULL && segment_watch_read(&watch, (int)descriptor)) {
        while (names != NULL && segment_watch_next(&watch, &bytes)) {
            if (add_watched(names, bytes) < 0) {
                Py_CLEAR(names);
            }
        }
    }
    return names;
}

static PyObject *
module_py_watch_close(PyObject *Py_UNUSED(module), PyObject *object)
{
    long descriptor = PyLong_AsLong(object);
    if (descriptor == -1 && PyErr_Occurred()) {
        return NULL;
    }
    segment_watch_close((int)descriptor);
    Py_RETURN_NONE;
}

/* _rebuild(type, *arguments): what pickles of maps and trees call. A function of
 * the module, since YAML cannot name a method. */
static PyObject *
module_py_rebuild(PyObject *module, PyObject *args)
{
    struct state *state = PyModule_GetState(module);
    PyObject *type =
        PyTuple_GET_SIZE(args) > 0 ? PyTuple_GET_ITEM(args, 0) : Py_None;
    PyTypeObject *bases[] = {state->types[TYPE_RBTREE],
                             state->types[TYPE_SHAREDMAP]};
    static const char *const methods[] = {"_restore", "_reopen"};
    for (size_t i = 0; i < 2 && PyType_Check(type); i++) {
        if (!PyType_IsSubtype((PyTypeObject *)type, bases[i])) {
            continue;
        }
        PyObject *method = PyObject_GetAttrString(type, methods[i]);
        PyObject *rest = PyTuple_GetSlice(args, 1, PyTuple_GET_SIZE(args));
        PyObject *result = method != NULL && rest != NULL
                               ? PyObject_CallObject(method, rest)
                               : NULL;
        Py_XDECREF(rest);
        Py_XDECREF(method);
        return result;
    }
    return PyErr_Format(PyExc_TypeError,
                        "_rebuild(): %R is not a type of maps or trees", type);
}

PyMethodDef module_functions[] = {
    {"share", METHOD(module_py_share), METH_VARARGS | METH_KEYWORDS,
     module_share_doc},
    {"update", METHOD(module_py_update), METH_VARARGS | METH_KEYWORDS,
     module_update_doc},
    {"remove", METHOD(module_py_remove), METH_VARARGS | METH_KEYWORDS,
     module_remove_doc},
    {"names", module_py_names, METH_NOARGS, module_names_doc},
    {"_rebuild", module_py_rebuild, METH_VARARGS, NULL},
    {"_clear_leftover", module_py_clear_leftover, METH_O, NULL},
    {"_directory", module_py_directory, METH_NOARGS, NULL},
    {"_platform", module_py_platform, METH_NOARGS, NULL},
    {"_watch_open", module_py_watch_open, METH_NOARGS, NULL},
    {"_watch_read", module_py_watch_read, METH_O, NULL},
    {"_watch_close", module_py_watch_close, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};
