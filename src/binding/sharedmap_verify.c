/* binding/sharedmap_verify.c
 *
 * The core checks, without the GIL.
 *
 * Not here: the checks; see core/snapshot/version_verify.c.
 */
#include "binding/sharedmap_verify.h"

#include "binding/errors.h"
#include "binding/sharedmap_follow.h"
#include "binding/sharedmap_handle.h"
#include "binding/signals.h"
#include "binding/snapshot_type.h"
#include "core/snapshot/version.h"

typedef enum status (*verifier)(const struct version *,
                                const struct interrupt *);

static PyObject *
verify_by(verifier verify, PyObject *object)
{
    SharedMapObject *self = (SharedMapObject *)object;
    SnapshotObject *snapshot = sharedmap_acquire(self);
    if (snapshot == NULL) {
        return NULL;
    }
    struct signals signals;
    struct interrupt interrupt;
    signals_begin(&signals, SIGNALS_NOW, &interrupt);
    enum status status = verify(&snapshot->version, &interrupt);
    signals_end(&signals);
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

PyObject *
sharedmap_py_verify(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return verify_by(version_verify, self);
}

PyObject *
sharedmap_py_verify_deltas(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return verify_by(version_verify_deltas, self);
}
