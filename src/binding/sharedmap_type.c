/* binding/sharedmap_type.c
 *
 * In Python this file would be:
 *
 *     class sharedmap:
 *         def __init__(self, name): ...        # FileNotFoundError if absent
 *         def __getitem__(self, key): ...      # a new object each time
 *         def __contains__(self, key): ...
 *         def __len__(self): ...
 *         def __iter__(self): ...              # keys, in code point order
 *         def __repr__(self): ...
 *         def get(self, key, default=None): ...
 *         def close(self): ...                 # any later use: ValueError
 *         def __enter__(self): ...
 *         def __exit__(self, *exc_info): ...   # closes
 *
 * The handle owns a reference to a snapshot; iterators own their own, so the
 * bytes outlive whoever still looks at them. The snapshot is never written,
 * hence reading takes no lock; only the handle's pointer to it can change.
 *
 * Not here: how a snapshot is found and searched; see core/segment.c and
 * core/snapshot_reader.c.
 */
#include "binding/sharedmap_type.h"

#include <stddef.h>
#include <structmember.h>

#include "binding/arguments.h"
#include "binding/errors.h"
#include "binding/name.h"
#include "binding/text.h"
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

/* A new reference, or NULL with ValueError when the handle is closed. */
static inline SnapshotObject *
acquire_snapshot(SharedMapObject *self)
{
    pointer_lock(self);
    SnapshotObject *snapshot = self->snapshot;
    Py_XINCREF(snapshot);
    pointer_unlock(self);
    if (snapshot == NULL) {
        PyErr_SetString(PyExc_ValueError, "the sharedmap is closed");
    }
    return snapshot;
}

static void
release_handle(SharedMapObject *self)
{
    pointer_lock(self);
    SnapshotObject *snapshot = self->snapshot;
    self->snapshot = NULL;
    pointer_unlock(self);
    Py_XDECREF(snapshot);
}

/* ---- lifetime ----------------------------------------------------------- */

static PyObject *
sharedmap_tp_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"name", NULL};
    PyObject *name_object;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O:sharedmap", names,
                                     &name_object))
    {
        return NULL;
    }
    struct state *state = state_of_type(type);
    struct name name;
    SnapshotObject *snapshot = NULL;
    SharedMapObject *self = NULL;
    if (name_parse(state, &name, name_object) < 0) {
        goto done;
    }
    snapshot = snapshot_open_path(state, name.path, name_object);
    if (snapshot == NULL) {
        goto done;
    }
    self = (SharedMapObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        goto done;
    }
    self->state = state;
    self->name = Py_NewRef(name_object);
    self->snapshot = snapshot;
    snapshot = NULL;
done:
    Py_XDECREF(snapshot);
    name_clear(&name);
    return (PyObject *)self;
}

static void
sharedmap_tp_dealloc(PyObject *object)
{
    SharedMapObject *self = (SharedMapObject *)object;
    PyTypeObject *type = Py_TYPE(self);
    if (self->weak_references != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    Py_XDECREF(self->snapshot);
    Py_XDECREF(self->name);
    type->tp_free(self);
    Py_DECREF(type);
}

static const char sharedmap_close_doc[] =
    "close($self, /)\n"
    "--\n"
    "\n"
    "Let go of the snapshot; closing twice is fine.\n"
    "\n"
    "Iterators go on with what they have. Any other use of the closed map is a\n"
    "ValueError. O(1).";

static PyObject *
sharedmap_py_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    release_handle((SharedMapObject *)self);
    Py_RETURN_NONE;
}

static PyObject *
sharedmap_py_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    SnapshotObject *snapshot = acquire_snapshot((SharedMapObject *)self);
    if (snapshot == NULL) {
        return NULL;
    }
    Py_DECREF(snapshot);
    return Py_NewRef(self);
}

static PyObject *
sharedmap_py_exit(PyObject *self, PyObject *Py_UNUSED(args))
{
    release_handle((SharedMapObject *)self);
    Py_RETURN_NONE;
}

/* ---- looking things up -------------------------------------------------- */

enum answer { FAILED = -1, MISSING = 0, FOUND = 1 };

/* With `value`, fills a new reference to the key's value when it is FOUND. */
static enum answer
lookup(SharedMapObject *self, PyObject *key, PyObject **value)
{
    struct text text;
    struct entry entry;
    bool is_found = false;
    if (text_encode_key(&text, key) < 0) {
        return FAILED;
    }
    enum answer answer = FAILED;
    SnapshotObject *snapshot = acquire_snapshot(self);
    if (snapshot == NULL) {
        goto done;
    }
    enum status status =
        snapshot_find(&snapshot->view, text.slice, &entry, &is_found);
    if (status != STATUS_OK) {
        raise_status(self->state, status, self->name);
        goto done;
    }
    answer = is_found ? FOUND : MISSING;
    if (is_found && value != NULL) {
        *value = value_unpack(self->state, &entry.value);
        answer = *value != NULL ? FOUND : FAILED;
    }
done:
    Py_XDECREF(snapshot);
    text_clear(&text);
    return answer;
}

static PyObject *
sharedmap_mp_subscript(PyObject *self, PyObject *key)
{
    PyObject *value = NULL;
    if (lookup((SharedMapObject *)self, key, &value) == MISSING) {
        PyErr_SetObject(PyExc_KeyError, key);
    }
    return value;
}

static int
sharedmap_sq_contains(PyObject *self, PyObject *key)
{
    return lookup((SharedMapObject *)self, key, NULL);
}

static Py_ssize_t
sharedmap_mp_length(PyObject *self)
{
    SnapshotObject *snapshot = acquire_snapshot((SharedMapObject *)self);
    if (snapshot == NULL) {
        return -1;
    }
    uint64_t count = snapshot->view.entry_count;
    Py_DECREF(snapshot);
    return (Py_ssize_t)count;
}

static PyObject *
sharedmap_tp_iter(PyObject *object)
{
    SharedMapObject *self = (SharedMapObject *)object;
    SnapshotObject *snapshot = acquire_snapshot(self);
    if (snapshot == NULL) {
        return NULL;
    }
    PyObject *iterator = sharedmap_iterator_create(self->state, snapshot);
    Py_DECREF(snapshot);
    return iterator;
}

static PyObject *
sharedmap_tp_repr(PyObject *object)
{
    SharedMapObject *self = (SharedMapObject *)object;
    pointer_lock(self);
    bool is_closed = self->snapshot == NULL;
    uint64_t count = is_closed ? 0 : self->snapshot->view.entry_count;
    pointer_unlock(self);
    if (is_closed) {
        return PyUnicode_FromFormat("<sharedmap %R, closed>", self->name);
    }
    return PyUnicode_FromFormat("<sharedmap %R, %llu %s>", self->name,
                                (unsigned long long)count,
                                count == 1 ? "entry" : "entries");
}

static const char sharedmap_get_doc[] =
    "get($self, key, default=None, /)\n"
    "--\n"
    "\n"
    "The value of key, or default when the key is not there.\n"
    "\n"
    "Raises TypeError when the key is not a str, ValueError when the map is\n"
    "closed, SnapshotError when the snapshot is damaged where the search leads.\n"
    "O(log n).";

static PyObject *
sharedmap_py_get(PyObject *self, PyObject *const *args, Py_ssize_t count,
                 PyObject *keyword_names)
{
    PyObject *key, *fallback, *value = NULL;
    if (arguments_key_default("get", args, count, keyword_names, &key,
                              &fallback)
        < 0)
    {
        return NULL;
    }
    if (lookup((SharedMapObject *)self, key, &value) == MISSING) {
        return Py_NewRef(fallback);
    }
    return value;
}

/* ---- the type ----------------------------------------------------------- */

static PyMethodDef sharedmap_methods[] = {
    {"get", (PyCFunction)(void (*)(void))sharedmap_py_get,
     METH_FASTCALL | METH_KEYWORDS, sharedmap_get_doc},
    {"close", sharedmap_py_close, METH_NOARGS, sharedmap_close_doc},
    {"__enter__", sharedmap_py_enter, METH_NOARGS, NULL},
    {"__exit__", sharedmap_py_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef sharedmap_members[] = {
    {"__weaklistoffset__", T_PYSSIZET,
     offsetof(SharedMapObject, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static const char sharedmap_doc[] =
    "sharedmap(name)\n"
    "--\n"
    "\n"
    "The map that some process published under the name, read in place.\n"
    "\n"
    "It is a snapshot: what it answers never changes, whatever is published or\n"
    "removed later. Opening costs the same whatever the size.\n"
    "\n"
    "Raises FileNotFoundError when nothing is published under the name,\n"
    "PermissionError when it is another user's or others may write to it,\n"
    "SnapshotError when it is no whole snapshot, ValueError for what cannot be a\n"
    "name.";

static PyType_Slot sharedmap_slots[] = {
    {Py_tp_doc, (void *)sharedmap_doc},
    {Py_tp_new, sharedmap_tp_new},
    {Py_tp_dealloc, sharedmap_tp_dealloc},
    {Py_tp_repr, sharedmap_tp_repr},
    {Py_tp_iter, sharedmap_tp_iter},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_mp_length, sharedmap_mp_length},
    {Py_mp_subscript, sharedmap_mp_subscript},
    {Py_sq_contains, sharedmap_sq_contains},
    {Py_tp_methods, sharedmap_methods},
    {Py_tp_members, sharedmap_members},
    {0, NULL},
};

static PyType_Spec sharedmap_spec = {
    .name = "sharedmap.sharedmap",
    .basicsize = sizeof(SharedMapObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE
             | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_MAPPING,
    .slots = sharedmap_slots,
};

int
state_add_sharedmap_types(PyObject *module, struct state *state)
{
    state->sharedmap_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &sharedmap_spec, NULL);
    state->sharedmap_iterator_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &sharedmap_iterator_spec, NULL);
    if (state->sharedmap_type == NULL
        || state->sharedmap_iterator_type == NULL)
    {
        return -1;
    }
    return PyModule_AddType(module, state->sharedmap_type);
}
