/* binding/sharedmap_derived.c
 *
 *     handle --> snapshot of a version --+
 *     handle --> snapshot of a version --+--> results: function -> its result
 *
 * The second and every later call finds its result here. The first one is
 * Python code, because it calls, waits and locks: sharedmap/_derived.py.
 */
#include "binding/sharedmap_derived.h"

#include "binding/dict_find.h"
#include "binding/sharedmap_follow.h"
#include "binding/sharedmap_handle.h"
#include "binding/snapshot_type.h"

/* Fills a new reference to the result that is known. -1 with an exception of
 * the function's __hash__ or __eq__. */
static int
find_result(SnapshotObject *snapshot, PyObject *function, PyObject **result)
{
    PyObject *results = atomic_load(&snapshot->derived);
    *result = NULL;
    return results != NULL ? dict_find(results, function, result) : 0;
}

/* The results of the snapshot's version, borrowed from the snapshot. */
static PyObject *
results_of(PyObject *module, SharedMapObject *pinned)
{
    SnapshotObject *snapshot = pinned->snapshot;
    PyObject *results = atomic_load(&snapshot->derived);
    if (results != NULL) {
        return results;
    }
    PyObject *id = PyObject_GetAttrString((PyObject *)pinned, "id");
    PyObject *made =
        id != NULL
            ? PyObject_CallMethod(
                  module, "results_of", "OOO",
                  pinned->source_kind == SOURCE_BUFFER ? Py_None
                                                       : pinned->source,
                  id, snapshot->decode != NULL ? snapshot->decode : Py_None)
            : NULL;
    Py_XDECREF(id);
    if (made == NULL) {
        return NULL;
    }
    // Another thread may have been faster.
    if (!atomic_compare_exchange_strong(&snapshot->derived, &results, made)) {
        Py_DECREF(made);
        return results;
    }
    return made;
}

PyObject *
sharedmap_py_derived(PyObject *object, PyObject *function)
{
    PyObject *result = NULL;
    if (!PyCallable_Check(function)) {
        return PyErr_Format(PyExc_TypeError,
                            "derived() takes a function of a snapshot, not "
                            "%.100s",
                            Py_TYPE(function)->tp_name);
    }
    SnapshotObject *snapshot = sharedmap_acquire((SharedMapObject *)object);
    if (snapshot == NULL) {
        return NULL;
    }
    int found = find_result(snapshot, function, &result);
    Py_DECREF(snapshot);
    if (found < 0 || result != NULL) {
        return result;
    }
    PyObject *module = PyImport_ImportModule("sharedmap._derived");
    PyObject *pinned =
        module != NULL ? sharedmap_py_snapshot(object, NULL) : NULL;
    PyObject *results =
        pinned != NULL ? results_of(module, (SharedMapObject *)pinned) : NULL;
    if (results != NULL) {
        result = PyObject_CallMethod(module, "derive", "OOO", results,
                                     function, pinned);
    }
    Py_XDECREF(pinned);
    Py_XDECREF(module);
    return result;
}
