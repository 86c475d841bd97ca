/* binding/snapshot_type.c
 *
 *     sharedmap --+
 *     iterator ---+--> SnapshotObject --owns--> mapping of the segment
 *     iterator ---+
 *
 * Not here: what users call; see sharedmap_type.c.
 */
#include "binding/snapshot_type.h"

#include "binding/errors.h"

SnapshotObject *
snapshot_open_path(struct state *state, const char *path, PyObject *name)
{
    struct segment segment = SEGMENT_EMPTY;
    enum status status;
    Py_BEGIN_ALLOW_THREADS
    status = segment_open(&segment, path, (struct segment_trust){false, 0});
    Py_END_ALLOW_THREADS
    if (status != STATUS_OK) {
        return (SnapshotObject *)raise_status(state, status, name);
    }
    SnapshotObject *self = PyObject_New(SnapshotObject, state->snapshot_type);
    if (self == NULL) {
        segment_close(&segment);
        return NULL;
    }
    self->segment = segment;
    // The segment checked the header in the file, the view checks the header
    // in the mapping: only the second copy is the one that is used.
    status = snapshot_open(&self->view, segment.bytes, segment.size);
    if (status != STATUS_OK) {
        Py_DECREF(self);
        return (SnapshotObject *)raise_status(state, status, name);
    }
    return self;
}

static void
snapshot_tp_dealloc(PyObject *object)
{
    SnapshotObject *self = (SnapshotObject *)object;
    PyTypeObject *type = Py_TYPE(self);
    segment_close(&self->segment);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyType_Slot snapshot_slots[] = {
    {Py_tp_dealloc, snapshot_tp_dealloc},
    {0, NULL},
};

static PyType_Spec snapshot_spec = {
    .name = "sharedmap._Snapshot",
    .basicsize = sizeof(SnapshotObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = snapshot_slots,
};

int
state_add_snapshot_type(PyObject *module, struct state *state)
{
    state->snapshot_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &snapshot_spec, NULL);
    return state->snapshot_type != NULL ? 0 : -1;
}
