/* binding/snapshot_type.c
 *
 *     sharedmap ----+
 *     range --------+
 *     iterator -----+--> SnapshotObject --owns--> mapping of a file, or
 *     value buffer -+                             buffer of another object
 *          ^
 *          +-- memoryview
 *
 * Not here: the public type; see sharedmap_type.c.
 */
#include "binding/snapshot_type.h"

#include <errno.h>

#include "binding/errors.h"
#include "core/base/memory.h"
#include "core/snapshot/version_filter.h"

/* Without a GIL, the last reference to an object is noticed by the thread that
 * created it, when it runs next: a thread that sleeps would keep what others
 * close mapped. So a new snapshot is made to belong to no thread. */
static void
disown(SnapshotObject *self)
{
#ifdef Py_GIL_DISABLED
    ((PyObject *)self)->ob_tid = 0;
    // Of an object of another thread, all references are shared.
    Py_SET_REFCNT((PyObject *)self, 1);
#endif
}

static SnapshotObject *
snapshot_create(struct state *state, PyObject *decode)
{
    PyTypeObject *type = state->types[TYPE_SNAPSHOT];
    SnapshotObject *self = (SnapshotObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    disown(self);
    self->state = state;
    self->segment = SEGMENT_EMPTY;
    self->decode = Py_XNewRef(decode);
#ifdef Py_GIL_DISABLED
    self->life = cache_life_create();
    if (self->life == NULL) {
        Py_DECREF(self);
        return (SnapshotObject *)PyErr_NoMemory();
    }
#endif
    return self;
}

/* Initializes the cache; the version is open already. */
static void
begin_cache(SnapshotObject *self)
{
#ifndef Py_GIL_DISABLED
    value_cache_init(&self->cache, snapshot_cached_slots(self),
                     &self->state->cache_spare);
#endif
}

/* Opens the newest version in the file at `path`, without the GIL. */
static enum status
open_file(struct segment *segment, const char *path,
          struct open_options open_options, const SnapshotObject *known,
          struct version *version)
{
    enum status status = segment_open(segment, path, open_options,
                                      known != NULL ? &known->segment : NULL);
    if (status == STATUS_OK) {
        // The segment checked the header in the file. The version checks the
        // headers in the mapping, and only those copies are used. The file
        // system may hang when the page is read.
        status = version_open(version, segment->bytes, segment->size,
                              segment->head);
    }
    else if (status == STATUS_UNCHANGED) {
        // Opening a file can drop its pages from memory. The caller reads this
        // one next, with the GIL.
        (void)segment_is_superseded(&known->segment);
    }
    return status;
}

enum status
snapshot_open_path(struct state *state, const char *path,
                   struct open_options open_options, PyObject *decode,
                   const SnapshotObject *known, SnapshotObject **opened)
{
    struct segment segment = SEGMENT_EMPTY;
    struct version version;
    enum status status = known != NULL
                             ? segment_advance(&segment, &known->segment)
                             : STATUS_UNCHANGED;
    if (status == STATUS_OK) {
        status =
            version_open(&version, segment.bytes, segment.size, segment.head);
    }
    else if (status == STATUS_UNCHANGED) {
        Py_BEGIN_ALLOW_THREADS
        status = open_file(&segment, path, open_options, known, &version);
        Py_END_ALLOW_THREADS
    }
    if (status != STATUS_OK) {
        int saved_errno = errno;
        segment_close(&segment);
        errno = saved_errno;
        return status;
    }
    SnapshotObject *self = snapshot_create(state, decode);
    if (self == NULL) {
        PyErr_Clear();
        segment_close(&segment);
        return STATUS_NO_MEMORY;
    }
    self->segment = segment;
    self->version = version;
    status = segment_keep(&self->segment);
    if (status != STATUS_OK) {
        int saved_errno = errno;
        Py_DECREF(self);
        errno = saved_errno;
        return status;
    }
    if (known != NULL && snapshot_is_same_version(known, self)) {
        self->derived = Py_XNewRef(atomic_load(&known->derived));
    }
    begin_cache(self);
    *opened = self;
    return STATUS_OK;
}

SnapshotObject *
snapshot_open_buffer(struct state *state, PyObject *data, PyObject *decode)
{
    SnapshotObject *self = snapshot_create(state, decode);
    if (self == NULL) {
        return NULL;
    }
    if (PyObject_GetBuffer(data, &self->buffer, PyBUF_SIMPLE) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    enum status status = version_open_newest(&self->version, self->buffer.buf,
                                             (size_t)self->buffer.len);
    if (status != STATUS_OK) {
        raise_status(state, status, NULL);
        Py_DECREF(self);
        return NULL;
    }
    begin_cache(self);
    return self;
}

static int
snapshot_tp_traverse(PyObject *object, visitproc visit, void *arg)
{
    SnapshotObject *self = (SnapshotObject *)object;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->buffer.obj);
    Py_VISIT(self->decode);
    PyObject *derived = self->derived;
    Py_VISIT(derived);
    return 0;
}

static int
snapshot_tp_clear(PyObject *object)
{
    // The buffer stays: a memoryview may still use the bytes.
    SnapshotObject *self = (SnapshotObject *)object;
    Py_CLEAR(self->decode);
    Py_XDECREF(atomic_exchange(&self->derived, NULL));
    return 0;
}

static void
snapshot_tp_dealloc(PyObject *object)
{
    SnapshotObject *self = (SnapshotObject *)object;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    // The buffer may be a value of another snapshot, and so on, however deep.
    Py_TRASHCAN_BEGIN(object, snapshot_tp_dealloc)
#ifdef Py_GIL_DISABLED
        cache_life_end(self->life, self->state);
#else
        value_cache_clear(&self->cache);
#endif
    memory_release(self->filter);
    segment_close(&self->segment);
    PyBuffer_Release(&self->buffer);
    Py_XDECREF(self->decode);
    PyObject *derived = self->derived;
    Py_XDECREF(derived);
    type->tp_free(self);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

static PyType_Slot snapshot_slots[] = {
    {Py_tp_dealloc, snapshot_tp_dealloc},
    {Py_tp_traverse, snapshot_tp_traverse},
    {Py_tp_clear, snapshot_tp_clear},
    {0, NULL},
};

PyType_Spec snapshot_spec = {
    .name = "sharedmap._Snapshot",
    .basicsize = sizeof(SnapshotObject),
    .flags = TYPE_FLAGS_INTERNAL,
    .slots = snapshot_slots,
};

/* ---- the exporter of a memoryview --------------------------------------- */

typedef struct {
    PyObject_HEAD
    SnapshotObject *snapshot;  // owned
    struct slice bytes;        // into the snapshot
} ValueBufferObject;

PyObject *
snapshot_memoryview(SnapshotObject *snapshot, struct slice bytes)
{
    PyTypeObject *type = snapshot->state->types[TYPE_VALUE_BUFFER];
    ValueBufferObject *exporter = (ValueBufferObject *)type->tp_alloc(type, 0);
    if (exporter == NULL) {
        return NULL;
    }
    exporter->snapshot = (SnapshotObject *)Py_NewRef(snapshot);
    exporter->bytes = bytes;
    PyObject *memoryview = PyMemoryView_FromObject((PyObject *)exporter);
    Py_DECREF(exporter);
    return memoryview;
}

static int
value_buffer_bf_getbuffer(PyObject *object, Py_buffer *buffer, int flags)
{
    ValueBufferObject *self = (ValueBufferObject *)object;
    return PyBuffer_FillInfo(buffer, object, (void *)self->bytes.bytes,
                             (Py_ssize_t)self->bytes.size, 1, flags);
}

static int
value_buffer_tp_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((ValueBufferObject *)object)->snapshot);
    return 0;
}

static void
value_buffer_tp_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_XDECREF(((ValueBufferObject *)object)->snapshot);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyType_Slot value_buffer_slots[] = {
    {Py_tp_dealloc, value_buffer_tp_dealloc},
    {Py_tp_traverse, value_buffer_tp_traverse},
    {Py_bf_getbuffer, value_buffer_bf_getbuffer},
    {0, NULL},
};

PyType_Spec value_buffer_spec = {
    .name = "sharedmap._ValueBuffer",
    .basicsize = sizeof(ValueBufferObject),
    .flags = TYPE_FLAGS_INTERNAL,
    .slots = value_buffer_slots,
};
