/* binding/sharedmap_type.c
 *
 * In Python this file would be:
 *
 *     class sharedmap(Mapping):
 *         def __init__(self, name, *, follow=False, decode=None, owner=None,
 *                      wait=0): ...
 *         @classmethod
 *         def open(cls, path, *, follow=False, decode=None, owner=None,
 *                  wait=0): ...
 *         @classmethod
 *         def frombuffer(cls, data, *, decode=None): ...
 *         name: str | None
 *         generation: int
 *         id: str
 *         published_at: float | None
 *         nbytes: int
 *         closed: bool
 *         def verify(self): ...
 *         def close(self): ...                           # then: ValueError
 *         def __enter__(self): ...
 *         def __exit__(self, *exc_info): ...             # closes
 *         def __repr__(self): ...
 *         def __reduce__(self): ...
 *
 * The handle owns a reference to a snapshot. Iterators, ranges and views own
 * references of their own, so the bytes outlive every reader. The snapshot is
 * never written, hence reading is lock-free.
 *
 * Not here: the object and its pointer to a snapshot (sharedmap_handle.c);
 * reading (mapping_type.c, sharedmap_lookup.c, sharedmap_range.c); advancing
 * to newer snapshots (sharedmap_follow.c); opening and checking a snapshot
 * (core/segment/open.c, core/snapshot/open.c).
 */
#include "binding/sharedmap_type.h"
#include "binding/sharedmap_verify.h"

#include <stddef.h>
#include <structmember.h>

#include "binding/arguments.h"
#include "binding/errors.h"
#include "binding/identity.h"
#include "binding/mapping_doc.h"
#include "binding/name.h"
#include "binding/sharedmap_derived.h"
#include "binding/sharedmap_diff.h"
#include "binding/sharedmap_digest.h"
#include "binding/sharedmap_doc.h"
#include "binding/sharedmap_follow.h"
#include "binding/sharedmap_handle.h"
#include "binding/sharedmap_lookup.h"
#include "binding/sharedmap_range.h"
#include "binding/signals.h"
#include "binding/value.h"

/* ---- opening ------------------------------------------------------------ */

/* How to open: the keyword arguments, and the state that pickling keeps. Owns
 * nothing. */
struct options {
    PyObject *decode;  // NULL without a decoder
    bool follow;
    PyObject *owner;  // int or None
    int64_t wait;     // nanoseconds, for a map that is not there yet
};

/* Takes the reference to the snapshot. */
static SharedMapObject *
create(PyTypeObject *type, SnapshotObject *snapshot, enum source_kind kind,
       PyObject *source)
{
    return sharedmap_create(type, &sharedmap_mapping_methods, snapshot, kind,
                            source);
}

/* Opens what is at `path`, once it is there. STATUS_INTERRUPTED with the
 * exception of a signal handler. */
static enum status
open_snapshot(struct state *state, PyObject *path,
              struct open_options open_options, const struct options *options,
              SnapshotObject **snapshot)
{
    struct backoff backoff = FOLLOW_BACKOFF;
    int64_t deadline;
    if (__builtin_add_overflow(segment_clock(), options->wait, &deadline)) {
        deadline = INT64_MAX;
    }
    for (;;) {
        enum status status =
            snapshot_open_path(state, PyBytes_AS_STRING(path), open_options,
                               options->decode, NULL, snapshot);
        if (status == STATUS_NAME_ABSENT) {
            int64_t left = deadline - segment_clock();
            if (left <= 0) {
                return status;
            }
            int64_t pause = backoff_next(&backoff);
            Py_BEGIN_ALLOW_THREADS
            segment_pause(pause < left ? pause : left);
            Py_END_ALLOW_THREADS
        }
        else if (status != STATUS_INTERRUPTED) {
            return status;
        }
        if (PyErr_CheckSignals() < 0) {
            return STATUS_INTERRUPTED;
        }
    }
}

/* Opens the file at `path`, bytes, that `source` stands for. `given` is the
 * user's argument, for the exception. */
static PyObject *
open_file(PyTypeObject *type, PyObject *path, enum source_kind kind,
          PyObject *source, PyObject *given, const struct options *options)
{
    struct state *state = state_of_type(type);
    struct open_options open_options = {.follows_links = kind == SOURCE_PATH};
    if (options->owner != Py_None) {
        int overflow;
        long long owner =
            PyLong_AsLongLongAndOverflow(options->owner, &overflow);
        if (owner == -1 && PyErr_Occurred()) {
            return NULL;
        }
        if (overflow != 0 || owner < 0 || owner >= UINT32_MAX) {
            return PyErr_Format(PyExc_ValueError,
                                "owner is not a valid uid: %R",
                                options->owner);
        }
        open_options.has_owner = true;
        open_options.owner = (uint32_t)owner;
    }
    SnapshotObject *snapshot;
    enum status status =
        open_snapshot(state, path, open_options, options, &snapshot);
    if (status != STATUS_OK) {
        return raise_open_status(state, status, given, kind == SOURCE_PATH);
    }
    SharedMapObject *self = create(type, snapshot, kind, source);
    if (self != NULL) {
        self->path = Py_NewRef(path);
        self->open_options = open_options;
        self->is_following = options->follow;
    }
    return (PyObject *)self;
}

static PyObject *
open_name(PyTypeObject *type, PyObject *source, const struct options *options)
{
    struct name name;
    PyObject *path = NULL, *self = NULL;
    if (name_parse(state_of_type(type), &name, source, "sharedmap()") == 0) {
        path = PyBytes_FromString(name.path);
        if (path != NULL) {
            self = open_file(type, path, SOURCE_NAME, source, source, options);
        }
    }
    Py_XDECREF(path);
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
    // An absolute path needs no working directory, which may not exist. An
    // empty path is an error, and does not mean the working directory.
    if (PyUnicode_GET_LENGTH(decoded) == 0
        || PyUnicode_READ_CHAR(decoded, 0) == '/')
    {
        return decoded;
    }
    // Not abspath(): it removes "link/..", also when link is a symlink.
    PyObject *module = PyImport_ImportModule("os");
    PyObject *folder =
        module != NULL ? PyObject_CallMethod(module, "getcwd", NULL) : NULL;
    PyObject *path_module =
        folder != NULL ? PyObject_GetAttrString(module, "path") : NULL;
    if (path_module != NULL) {
        absolute =
            PyObject_CallMethod(path_module, "join", "OO", folder, decoded);
    }
    Py_XDECREF(path_module);
    Py_XDECREF(folder);
    Py_XDECREF(module);
    Py_DECREF(decoded);
    return absolute;
}

static PyObject *
open_path(PyTypeObject *type, PyObject *given, const struct options *options)
{
    PyObject *path = NULL, *self = NULL;
    PyObject *source = absolute_path(given);
    if (source != NULL && PyUnicode_FSConverter(source, &path)) {
        self = open_file(type, path, SOURCE_PATH, source, given, options);
    }
    Py_XDECREF(path);
    Py_XDECREF(source);
    return self;
}

static PyObject *
open_buffer(PyTypeObject *type, PyObject *data, const struct options *options)
{
    SnapshotObject *snapshot =
        snapshot_open_buffer(state_of_type(type), data, options->decode);
    // The snapshot holds the buffer. A handle would hold it beyond close().
    return snapshot != NULL
               ? (PyObject *)create(type, snapshot, SOURCE_BUFFER, Py_None)
               : NULL;
}

typedef PyObject *(*opener)(PyTypeObject *type, PyObject *source,
                            const struct options *options);

static const opener openers[] = {
    [SOURCE_NAME] = open_name,
    [SOURCE_PATH] = open_path,
    [SOURCE_BUFFER] = open_buffer,
};

/* A new int from a uid or a user's name; a new reference to None for None. */
static PyObject *
parse_owner(PyObject *owner)
{
    if (owner == Py_None || PyLong_Check(owner)) {
        return Py_NewRef(owner);
    }
    if (!PyUnicode_Check(owner)) {
        return PyErr_Format(PyExc_TypeError,
                            "owner must be a uid, a user name or None, not "
                            "%.100s",
                            Py_TYPE(owner)->tp_name);
    }
    PyObject *module = PyImport_ImportModule("pwd");
    PyObject *user =
        module != NULL ? PyObject_CallMethod(module, "getpwnam", "(O)", owner)
                       : NULL;
    Py_XDECREF(module);
    PyObject *uid =
        user != NULL ? PyObject_GetAttrString(user, "pw_uid") : NULL;
    Py_XDECREF(user);
    return uid;
}

/* Opens with options as the user gave them. */
static PyObject *
open_with(PyTypeObject *type, enum source_kind kind, PyObject *source,
          bool follow, PyObject *decode, PyObject *owner, int64_t wait)
{
    struct options options = {.follow = follow, .wait = wait};
    PyObject *self = NULL;
    if (value_parse_hook("decode", decode, &options.decode) < 0) {
        return NULL;
    }
    options.owner = parse_owner(owner);
    if (options.owner != NULL) {
        self = openers[kind](type, source, &options);
        Py_DECREF(options.owner);
    }
    Py_XDECREF(options.decode);
    return self;
}

/* Reads (source, *, follow=False, decode=None, owner=None, wait=0) and opens. */
static PyObject *
parse_and_open(PyTypeObject *type, PyObject *args, PyObject *keywords,
               enum source_kind kind)
{
    static char *name_names[] = {"name",  "follow", "decode",
                                 "owner", "wait",   NULL};
    static char *path_names[] = {"path",  "follow", "decode",
                                 "owner", "wait",   NULL};
    PyObject *source, *decode = NULL, *owner = Py_None;
    int follow = 0;
    int64_t wait = 0;
    if (!PyArg_ParseTupleAndKeywords(
            args, keywords,
            kind == SOURCE_NAME ? "O|$pOOO&:sharedmap" : "O|$pOOO&:open",
            kind == SOURCE_NAME ? name_names : path_names, &source, &follow,
            &decode, &owner, arguments_wait, &wait))
    {
        return NULL;
    }
    return open_with(type, kind, source, follow != 0, decode, owner, wait);
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
    static char *names[] = {"data", "decode", NULL};
    PyObject *data, *decode = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|$O:frombuffer", names,
                                     &data, &decode))
    {
        return NULL;
    }
    return open_with((PyTypeObject *)type, SOURCE_BUFFER, data, false, decode,
                     Py_None, 0);
}

/* ---- pickling ----------------------------------------------------------- */

static PyObject *
copy_bytes(const SnapshotObject *snapshot)
{
    PyObject *bytes = PyBytes_FromStringAndSize(
        NULL, (Py_ssize_t)version_size(&snapshot->version));
    if (bytes != NULL) {
        version_copy(&snapshot->version, PyBytes_AS_STRING(bytes));
    }
    return bytes;
}

/* How unpickling opens it: by name, by path, or from the bytes themselves. */
static PyObject *
sharedmap_py_reduce(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    SharedMapObject *self = (SharedMapObject *)object;
    PyObject *rebuild = NULL, *source = NULL, *owner = NULL, *id = NULL;
    PyObject *result = NULL;
    SnapshotObject *snapshot = sharedmap_acquire(self);
    if (snapshot == NULL) {
        return NULL;
    }
    rebuild = mapping_rebuild(object);
    source = self->source_kind == SOURCE_BUFFER ? copy_bytes(snapshot)
                                                : Py_NewRef(self->source);
    owner = self->open_options.has_owner
                ? PyLong_FromUnsignedLong(self->open_options.owner)
                : Py_NewRef(Py_None);
    // What follows is a name; everything else is one version.
    id = self->is_following || self->source_kind == SOURCE_BUFFER
             ? Py_NewRef(Py_None)
             : identity_text(snapshot->version.unique_id);
    if (rebuild != NULL && source != NULL && owner != NULL && id != NULL) {
        PyObject *state = mapping_state(object);
        if (state != NULL) {
            result = Py_BuildValue(
                "O(OiOOOOO)O", rebuild, Py_TYPE(self), (int)self->source_kind,
                source, self->is_following ? Py_True : Py_False,
                snapshot->decode != NULL ? snapshot->decode : Py_None, owner,
                id, state);
        }
        Py_XDECREF(state);
    }
    Py_XDECREF(id);
    Py_XDECREF(owner);
    Py_XDECREF(source);
    Py_XDECREF(rebuild);
    Py_DECREF(snapshot);
    return result;
}

static int
parse_id(PyObject *object, unsigned char id[IDENTITY_SIZE])
{
    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "the id of a version is a str, not %R",
                     object);
        return -1;
    }
    return identity_parse(object, id);
}

static PyObject *
sharedmap_py_reopen(PyObject *type, PyObject *args)
{
    int kind, follow;
    PyObject *source, *decode, *owner, *id = Py_None;
    unsigned char expected[IDENTITY_SIZE];
    if (!PyArg_ParseTuple(args, "iOpOO|O:_reopen", &kind, &source, &follow,
                          &decode, &owner, &id)
        || (id != Py_None && parse_id(id, expected) < 0))
    {
        return NULL;
    }
    if (kind < SOURCE_NAME || kind > SOURCE_BUFFER) {
        return PyErr_Format(PyExc_ValueError, "unknown source kind: %d", kind);
    }
    PyObject *self = open_with((PyTypeObject *)type, (enum source_kind)kind,
                               source, follow != 0, decode, owner, 0);
    if (self != NULL && id != Py_None) {
        const struct version *version =
            &((SharedMapObject *)self)->snapshot->version;
        if (memcmp(version->unique_id, expected, sizeof(expected)) != 0) {
            raise_stale_id(state_of_type((PyTypeObject *)type), source,
                           expected, version->generation);
            Py_CLEAR(self);
        }
    }
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
        PyLong_FromUnsignedLongLong(snapshot->version.generation);
    Py_DECREF(snapshot);
    return result;
}

static PyObject *
sharedmap_get_id(PyObject *object, void *Py_UNUSED(closure))
{
    SnapshotObject *snapshot = sharedmap_acquire((SharedMapObject *)object);
    if (snapshot == NULL) {
        return NULL;
    }
    PyObject *result = identity_text(snapshot->version.unique_id);
    Py_DECREF(snapshot);
    return result;
}

/* For Dask, which would pickle it otherwise: one version is one input. */
static PyObject *
sharedmap_py_dask_tokenize(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *id = sharedmap_get_id(self, NULL);
    return id != NULL ? Py_BuildValue("sN", "sharedmap", id) : NULL;
}

static PyObject *
sharedmap_get_published_at(PyObject *object, void *Py_UNUSED(closure))
{
    SnapshotObject *snapshot = sharedmap_acquire((SharedMapObject *)object);
    if (snapshot == NULL) {
        return NULL;
    }
    uint64_t time = snapshot->version.published_at;
    Py_DECREF(snapshot);
    return time != 0 ? PyFloat_FromDouble((double)time / 1e9)
                     : Py_NewRef(Py_None);
}

static PyObject *
sharedmap_get_nbytes(PyObject *object, void *Py_UNUSED(closure))
{
    SnapshotObject *snapshot = sharedmap_acquire((SharedMapObject *)object);
    if (snapshot == NULL) {
        return NULL;
    }
    PyObject *result =
        PyLong_FromUnsignedLongLong(version_size(&snapshot->version));
    Py_DECREF(snapshot);
    return result;
}

static PyObject *
sharedmap_get_closed(PyObject *object, void *Py_UNUSED(closure))
{
    SnapshotObject *snapshot = sharedmap_peek((SharedMapObject *)object);
    bool is_closed = snapshot == NULL;
    Py_XDECREF(snapshot);
    return PyBool_FromLong(is_closed);
}

static PyObject *
sharedmap_tp_repr(PyObject *object)
{
    SharedMapObject *self = (SharedMapObject *)object;
    SnapshotObject *snapshot = sharedmap_newest(self);
    const char *type = mapping_type_name(object);
    PyObject *name = self->source_kind == SOURCE_BUFFER
                         ? PyUnicode_FromString("in a buffer")
                         : PyObject_Repr(self->source);
    PyObject *repr = NULL;
    if (name != NULL && snapshot == NULL) {
        repr = PyUnicode_FromFormat("<%s %U, closed>", type, name);
    }
    else if (name != NULL) {
        unsigned long long count = snapshot->version.entry_count;
        repr = PyUnicode_FromFormat("<%s %U, %llu %s>", type, name, count,
                                    count == 1 ? "entry" : "entries");
    }
    Py_XDECREF(name);
    Py_XDECREF(snapshot);
    return repr;
}

/* ---- methods ------------------------------------------------------------ */

static PyObject *
sharedmap_py_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    sharedmap_release((SharedMapObject *)self);
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
    sharedmap_release((SharedMapObject *)self);
    Py_RETURN_NONE;
}

static int
sharedmap_tp_traverse(PyObject *object, visitproc visit, void *arg)
{
    SharedMapObject *self = (SharedMapObject *)object;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->source);
    SnapshotObject *snapshot = self->snapshot;
    PyObject *follow_error = self->follow_error;
    Py_VISIT(snapshot);
    Py_VISIT(follow_error);
    return 0;
}

static int
sharedmap_tp_clear(PyObject *object)
{
    sharedmap_release((SharedMapObject *)object);
    sharedmap_set_follow_error((SharedMapObject *)object, NULL);
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
    // No thread uses it any more, so there is none to wait for.
    SnapshotObject *snapshot = self->snapshot;
    PyObject *follow_error = self->follow_error;
    Py_XDECREF(snapshot);
    Py_XDECREF(follow_error);
    Py_XDECREF(self->source);
    Py_XDECREF(self->path);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- the type ----------------------------------------------------------- */

static PyMethodDef sharedmap_methods[] = {
    {"get", METHOD(sharedmap_py_get), METH_FASTCALL | METH_KEYWORDS,
     mapping_get_doc},
    {"get_many", METHOD(sharedmap_py_get_many), METH_VARARGS | METH_KEYWORDS,
     mapping_get_many_doc},
    {"open", METHOD(sharedmap_py_open),
     METH_VARARGS | METH_KEYWORDS | METH_CLASS, sharedmap_open_doc},
    {"frombuffer", METHOD(sharedmap_py_frombuffer),
     METH_VARARGS | METH_KEYWORDS | METH_CLASS, sharedmap_frombuffer_doc},
    {"peekitem", METHOD(sharedmap_py_peekitem), METH_VARARGS | METH_KEYWORDS,
     sharedmap_peekitem_doc},
    {"index", sharedmap_py_index, METH_O, sharedmap_index_doc},
    {"bisect_left", sharedmap_py_bisect_left, METH_O,
     sharedmap_bisect_left_doc},
    {"bisect_right", sharedmap_py_bisect_right, METH_O,
     sharedmap_bisect_right_doc},
    {"view", sharedmap_py_view, METH_O, sharedmap_view_doc},
    {"refresh", sharedmap_py_refresh, METH_NOARGS, sharedmap_refresh_doc},
    {"_warn_of_failure", sharedmap_py_warn_of_failure, METH_NOARGS, NULL},
    {"wait", METHOD(sharedmap_py_wait), METH_VARARGS | METH_KEYWORDS,
     sharedmap_wait_doc},
    {"snapshot", sharedmap_py_snapshot, METH_NOARGS, sharedmap_snapshot_doc},
    {"diff", sharedmap_py_diff, METH_O, sharedmap_diff_doc},
    {"derived", sharedmap_py_derived, METH_O, sharedmap_derived_doc},
    {"verify", sharedmap_py_verify, METH_NOARGS, sharedmap_verify_doc},
    {"close", sharedmap_py_close, METH_NOARGS, sharedmap_close_doc},
    {"__enter__", sharedmap_py_enter, METH_NOARGS, sharedmap_enter_doc},
    {"__exit__", sharedmap_py_exit, METH_VARARGS, sharedmap_exit_doc},
    {"__copy__", sharedmap_py_copy, METH_NOARGS, sharedmap_copy_doc},
    {"__deepcopy__", sharedmap_py_deepcopy, METH_O, sharedmap_deepcopy_doc},
    {"__reduce__", sharedmap_py_reduce, METH_NOARGS, NULL},
    {"__dask_tokenize__", sharedmap_py_dask_tokenize, METH_NOARGS, NULL},
    {"_content_digest", sharedmap_py_content_digest, METH_VARARGS,
     sharedmap_content_digest_doc},
    {"_verify_deltas", sharedmap_py_verify_deltas, METH_NOARGS,
     sharedmap_verify_deltas_doc},
    {"_reopen", sharedmap_py_reopen, METH_VARARGS | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef sharedmap_attributes[] = {
    {"name", sharedmap_get_name, NULL, sharedmap_name_doc, NULL},
    {"generation", sharedmap_get_generation, NULL, sharedmap_generation_doc,
     NULL},
    {"id", sharedmap_get_id, NULL, sharedmap_id_doc, NULL},
    {"published_at", sharedmap_get_published_at, NULL,
     sharedmap_published_at_doc, NULL},
    {"nbytes", sharedmap_get_nbytes, NULL, sharedmap_nbytes_doc, NULL},
    {"stale", sharedmap_get_stale, NULL, sharedmap_stale_doc, NULL},
    {"follow_error", sharedmap_get_follow_error, NULL,
     sharedmap_follow_error_doc, NULL},
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
    {Py_mp_subscript, sharedmap_mp_subscript},
    {Py_sq_contains, sharedmap_sq_contains},
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
