/* binding/sharedmap_type.c
 *
 * In Python this file would be:
 *
 *     class sharedmap(Mapping):
 *         def __init__(self, name, *, decode=None): ...  # FileNotFoundError
 *         @classmethod
 *         def open(cls, path, *, decode=None): ...
 *         @classmethod
 *         def frombuffer(cls, data, *, decode=None): ...
 *         name: str | None
 *         generation: int
 *         nbytes: int
 *         closed: bool
 *         def verify(self): ...
 *         def close(self): ...                           # then: ValueError
 *         def __enter__(self): ...
 *         def __exit__(self, *exc_info): ...             # closes
 *         def __repr__(self): ...
 *         def __reduce__(self): ...
 *
 * The handle owns a reference to a snapshot; iterators, ranges and views own
 * their own, so the bytes outlive whoever still looks at them. The snapshot is
 * never written, hence reading takes no lock; only the handle's pointer to it
 * can change.
 *
 * Not here: reading (mapping_type.c, sharedmap_range.c); how a snapshot is
 * found and checked (core/segment.c, core/snapshot_reader.c).
 */
#include "binding/sharedmap_type.h"

#include <stddef.h>
#include <structmember.h>

#include "binding/errors.h"
#include "binding/name.h"
#include "binding/sharedmap_doc.h"
#include "binding/value.h"

/* ---- the pointer to the snapshot ---------------------------------------- */

static inline void
pointer_lock(SharedMapObject *self)
{
#ifdef Py_GIL_DISABLED
    PyMutex_Lock(&self->mutex);
#else
    (void)self;
#endif
}

static inline void
pointer_unlock(SharedMapObject *self)
{
#ifdef Py_GIL_DISABLED
    PyMutex_Unlock(&self->mutex);
#else
    (void)self;
#endif
}

/* A new reference; NULL without an exception when the handle is closed. */
static SnapshotObject *
peek_snapshot(SharedMapObject *self)
{
    pointer_lock(self);
    SnapshotObject *snapshot = self->snapshot;
    Py_XINCREF(snapshot);
    pointer_unlock(self);
    return snapshot;
}

SnapshotObject *
sharedmap_acquire(SharedMapObject *self)
{
    SnapshotObject *snapshot = peek_snapshot(self);
    if (snapshot == NULL) {
        PyErr_SetString(PyExc_ValueError, "the sharedmap is closed");
    }
    return snapshot;
}

static void
let_go(SharedMapObject *self)
{
    pointer_lock(self);
    SnapshotObject *snapshot = self->snapshot;
    self->snapshot = NULL;
    pointer_unlock(self);
    Py_XDECREF(snapshot);
}

/* ---- opening ------------------------------------------------------------ */

/* Takes the reference to the snapshot, which may be NULL with an exception. */
static PyObject *
create(PyTypeObject *type, SnapshotObject *snapshot, enum source_kind kind,
       PyObject *source)
{
    if (snapshot == NULL) {
        return NULL;
    }
    SharedMapObject *self = (SharedMapObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_DECREF(snapshot);
        return NULL;
    }
    self->base.state = snapshot->state;
    self->base.methods = &sharedmap_mapping_methods;
    self->source_kind = kind;
    self->source = Py_NewRef(source);
    self->snapshot = snapshot;
    return (PyObject *)self;
}

static PyObject *
open_name(PyTypeObject *type, PyObject *source, PyObject *decode)
{
    struct state *state = state_of_type(type);
    struct name name;
    PyObject *self = NULL;
    if (name_parse(state, &name, source) == 0) {
        struct segment_rules rules = {.follows_links = false};
        self = create(
            type, snapshot_open_path(state, name.path, rules, source, decode),
            SOURCE_NAME, source);
    }
    name_clear(&name);
    return self;
}

/* A new str: the path from the root, so that it means the same file in another
 * working directory. */
static PyObject *
absolute_path(PyObject *path)
{
    PyObject *decoded, *absolute = NULL;
    if (!PyUnicode_FSDecoder(path, &decoded)) {
        return NULL;
    }
    PyObject *module = PyImport_ImportModule("os.path");
    if (module != NULL) {
        absolute = PyObject_CallMethod(module, "abspath", "O", decoded);
        Py_DECREF(module);
    }
    Py_DECREF(decoded);
    return absolute;
}

static PyObject *
open_path(PyTypeObject *type, PyObject *path, PyObject *decode)
{
    struct state *state = state_of_type(type);
    PyObject *encoded = NULL, *self = NULL;
    PyObject *source = absolute_path(path);
    if (source != NULL && PyUnicode_FSConverter(source, &encoded)) {
        struct segment_rules rules = {.follows_links = true};
        self = create(type,
                      snapshot_open_path(state, PyBytes_AS_STRING(encoded),
                                         rules, path, decode),
                      SOURCE_PATH, source);
        Py_DECREF(encoded);
    }
    Py_XDECREF(source);
    return self;
}

static PyObject *
open_buffer(PyTypeObject *type, PyObject *data, PyObject *decode)
{
    struct state *state = state_of_type(type);
    return create(type, snapshot_open_buffer(state, data, decode),
                  SOURCE_BUFFER, data);
}

typedef PyObject *(*opener)(PyTypeObject *type, PyObject *source,
                            PyObject *decode);

static const opener openers[] = {
    [SOURCE_NAME] = open_name,
    [SOURCE_PATH] = open_path,
    [SOURCE_BUFFER] = open_buffer,
};

/* Reads (source, *, decode=None) and opens. */
static PyObject *
parse_and_open(PyTypeObject *type, PyObject *args, PyObject *keywords,
               enum source_kind kind)
{
    static char *names[][3] = {
        [SOURCE_NAME] = {"name", "decode", NULL},
        [SOURCE_PATH] = {"path", "decode", NULL},
        [SOURCE_BUFFER] = {"data", "decode", NULL},
    };
    static const char *const formats[] = {
        [SOURCE_NAME] = "O|$O:sharedmap",
        [SOURCE_PATH] = "O|$O:open",
        [SOURCE_BUFFER] = "O|$O:frombuffer",
    };
    PyObject *source, *given = NULL, *decode;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, formats[kind],
                                     names[kind], &source, &given)
        || value_parse_hook("decode", given, &decode) < 0)
    {
        return NULL;
    }
    PyObject *self = openers[kind](type, source, decode);
    Py_XDECREF(decode);
    return self;
}

static PyObject *
sharedmap_tp_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    return parse_and_open(type, args, keywords, SOURCE_NAME);
}

static PyObject *
sharedmap_py_open(PyObject *type, PyObject *args, PyObject *keywords)
{
    return parse_and_open((PyTypeObject *)type, args, keywords, SOURCE_PATH);
}

static PyObject *
sharedmap_py_frombuffer(PyObject *type, PyObject *args, PyObject *keywords)
{
    return parse_and_open((PyTypeObject *)type, args, keywords, SOURCE_BUFFER);
}

/* ---- pickling ----------------------------------------------------------- */

/* How to open it again: by name, by path, or from the bytes themselves. */
static PyObject *
sharedmap_py_reduce(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    SharedMapObject *self = (SharedMapObject *)object;
    PyObject *reopen = NULL, *source = NULL, *result = NULL;
    SnapshotObject *snapshot = sharedmap_acquire(self);
    if (snapshot == NULL) {
        return NULL;
    }
    reopen = PyObject_GetAttrString((PyObject *)Py_TYPE(self), "_reopen");
    if (reopen == NULL) {
        goto done;
    }
    source = self->source_kind == SOURCE_BUFFER
                 ? PyBytes_FromStringAndSize(
                       (const char *)snapshot->view.bytes,
                       (Py_ssize_t)snapshot->view.header.total_size)
                 : Py_NewRef(self->source);
    if (source != NULL) {
        result = Py_BuildValue(
            "O(iOO)", reopen, (int)self->source_kind, source,
            snapshot->decode != NULL ? snapshot->decode : Py_None);
    }
done:
    Py_XDECREF(source);
    Py_XDECREF(reopen);
    Py_DECREF(snapshot);
    return result;
}

static PyObject *
sharedmap_py_reopen(PyObject *type, PyObject *args)
{
    int kind;
    PyObject *source, *given, *decode;
    if (!PyArg_ParseTuple(args, "iOO:_reopen", &kind, &source, &given)
        || value_parse_hook("decode", given, &decode) < 0)
    {
        return NULL;
    }
    PyObject *self = NULL;
    if (kind < SOURCE_NAME || kind > SOURCE_BUFFER) {
        PyErr_Format(PyExc_ValueError, "unknown kind of source: %d", kind);
    }
    else {
        self = openers[kind]((PyTypeObject *)type, source, decode);
    }
    Py_XDECREF(decode);
    return self;
}

/* ---- attributes --------------------------------------------------------- */

static PyObject *
sharedmap_get_name(PyObject *object, void *Py_UNUSED(closure))
{
    SharedMapObject *self = (SharedMapObject *)object;
    return Py_NewRef(self->source_kind == SOURCE_BUFFER ? Py_None
                                                        : self->source);
}

static PyObject *
sharedmap_get_generation(PyObject *object, void *Py_UNUSED(closure))
{
    SnapshotObject *snapshot = sharedmap_acquire((SharedMapObject *)object);
    if (snapshot == NULL) {
        return NULL;
    }
    PyObject *result =
        PyLong_FromUnsignedLongLong(snapshot->view.header.generation);
    Py_DECREF(snapshot);
    return result;
}

static PyObject *
sharedmap_get_nbytes(PyObject *object, void *Py_UNUSED(closure))
{
    SnapshotObject *snapshot = sharedmap_acquire((SharedMapObject *)object);
    if (snapshot == NULL) {
        return NULL;
    }
    PyObject *result =
        PyLong_FromUnsignedLongLong(snapshot->view.header.total_size);
    Py_DECREF(snapshot);
    return result;
}

static PyObject *
sharedmap_get_closed(PyObject *object, void *Py_UNUSED(closure))
{
    SnapshotObject *snapshot = peek_snapshot((SharedMapObject *)object);
    bool is_closed = snapshot == NULL;
    Py_XDECREF(snapshot);
    return PyBool_FromLong(is_closed);
}

static PyObject *
sharedmap_tp_repr(PyObject *object)
{
    SharedMapObject *self = (SharedMapObject *)object;
    SnapshotObject *snapshot = peek_snapshot(self);
    PyObject *name = self->source_kind == SOURCE_BUFFER
                         ? PyUnicode_FromString("in a buffer")
                         : PyObject_Repr(self->source);
    PyObject *repr = NULL;
    if (name != NULL && snapshot == NULL) {
        repr = PyUnicode_FromFormat("<sharedmap %U, closed>", name);
    }
    else if (name != NULL) {
        unsigned long long count = snapshot->view.entry_count;
        repr = PyUnicode_FromFormat("<sharedmap %U, %llu %s>", name, count,
                                    count == 1 ? "entry" : "entries");
    }
    Py_XDECREF(name);
    Py_XDECREF(snapshot);
    return repr;
}

/* ---- methods ------------------------------------------------------------ */

static PyObject *
sharedmap_py_verify(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    SharedMapObject *self = (SharedMapObject *)object;
    SnapshotObject *snapshot = sharedmap_acquire(self);
    if (snapshot == NULL) {
        return NULL;
    }
    enum status status;
    Py_BEGIN_ALLOW_THREADS
    status = snapshot_verify(&snapshot->view);
    Py_END_ALLOW_THREADS
    PyObject *result = NULL;
    if (status == STATUS_OK) {
        result = Py_NewRef(Py_None);
    }
    else {
        raise_status(self->base.state, status,
                     self->source_kind == SOURCE_BUFFER ? NULL : self->source);
    }
    Py_DECREF(snapshot);
    return result;
}

static PyObject *
sharedmap_py_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    let_go((SharedMapObject *)self);
    Py_RETURN_NONE;
}

static PyObject *
sharedmap_py_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    SnapshotObject *snapshot = sharedmap_acquire((SharedMapObject *)self);
    if (snapshot == NULL) {
        return NULL;
    }
    Py_DECREF(snapshot);
    return Py_NewRef(self);
}

static PyObject *
sharedmap_py_exit(PyObject *self, PyObject *Py_UNUSED(args))
{
    let_go((SharedMapObject *)self);
    Py_RETURN_NONE;
}

static int
sharedmap_tp_traverse(PyObject *object, visitproc visit, void *arg)
{
    SharedMapObject *self = (SharedMapObject *)object;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->source);
    Py_VISIT(self->snapshot);
    return 0;
}

static int
sharedmap_tp_clear(PyObject *object)
{
    let_go((SharedMapObject *)object);
    return 0;
}

static void
sharedmap_tp_dealloc(PyObject *object)
{
    SharedMapObject *self = (SharedMapObject *)object;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weak_references != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    Py_XDECREF(self->snapshot);
    Py_XDECREF(self->source);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- the type ----------------------------------------------------------- */

#define KEYWORDS(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef sharedmap_methods[] = {
    {"open", KEYWORDS(sharedmap_py_open),
     METH_VARARGS | METH_KEYWORDS | METH_CLASS, sharedmap_open_doc},
    {"frombuffer", KEYWORDS(sharedmap_py_frombuffer),
     METH_VARARGS | METH_KEYWORDS | METH_CLASS, sharedmap_frombuffer_doc},
    {"peekitem", KEYWORDS(sharedmap_py_peekitem), METH_VARARGS | METH_KEYWORDS,
     sharedmap_peekitem_doc},
    {"index", sharedmap_py_index, METH_O, sharedmap_index_doc},
    {"bisect_left", sharedmap_py_bisect_left, METH_O,
     sharedmap_bisect_left_doc},
    {"bisect_right", sharedmap_py_bisect_right, METH_O,
     sharedmap_bisect_right_doc},
    {"view", sharedmap_py_view, METH_O, sharedmap_view_doc},
    {"verify", sharedmap_py_verify, METH_NOARGS, sharedmap_verify_doc},
    {"close", sharedmap_py_close, METH_NOARGS, sharedmap_close_doc},
    {"__enter__", sharedmap_py_enter, METH_NOARGS, sharedmap_enter_doc},
    {"__exit__", sharedmap_py_exit, METH_VARARGS, sharedmap_exit_doc},
    {"__reduce__", sharedmap_py_reduce, METH_NOARGS, NULL},
    {"_reopen", sharedmap_py_reopen, METH_VARARGS | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef sharedmap_attributes[] = {
    {"name", sharedmap_get_name, NULL, sharedmap_name_doc, NULL},
    {"generation", sharedmap_get_generation, NULL, sharedmap_generation_doc,
     NULL},
    {"nbytes", sharedmap_get_nbytes, NULL, sharedmap_nbytes_doc, NULL},
    {"closed", sharedmap_get_closed, NULL, sharedmap_closed_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef sharedmap_members[] = {
    {"__weaklistoffset__", T_PYSSIZET,
     offsetof(SharedMapObject, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot sharedmap_slots[] = {
    {Py_tp_doc, (void *)sharedmap_doc},
    {Py_tp_new, sharedmap_tp_new},
    {Py_tp_dealloc, sharedmap_tp_dealloc},
    {Py_tp_traverse, sharedmap_tp_traverse},
    {Py_tp_clear, sharedmap_tp_clear},
    {Py_tp_repr, sharedmap_tp_repr},
    {Py_tp_methods, sharedmap_methods},
    {Py_tp_getset, sharedmap_attributes},
    {Py_tp_members, sharedmap_members},
    {0, NULL},
};

PyType_Spec sharedmap_spec = {
    .name = "sharedmap.sharedmap",
    .basicsize = sizeof(SharedMapObject),
    .flags = TYPE_FLAGS | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_MAPPING,
    .slots = sharedmap_slots,
};
