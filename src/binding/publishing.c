/* binding/publishing.c
 *
 * Not here: the protocol; see core/segment/publish.c.
 */
#include "binding/publishing.h"

#include "binding/arguments.h"
#include "binding/errors.h"
#include "binding/identity.h"
#include "binding/signals.h"

enum status
publishing_run(struct target *target, const struct entry *entries,
               size_t count)
{
    struct snapshot_plan plan;
    struct snapshot_options options = {
        .label = target->label,
        .index = target->index,
        .value_alignment = target->value_alignment,
    };
    enum status status = publish_plan(&plan, entries, count, &options);
    if (status != STATUS_OK) {
        return status;
    }
    target->needed = plan.header.total_size;
    status = publish_to_segment(&plan, target->path, &target->options);
    target->generation = plan.header.generation;
    if (status == STATUS_NO_SPACE) {
        target->available = segment_space(target->path);
    }
    return status;
}

int
publishing_check_exist_ok(const struct target *target)
{
    const struct publish_options *options = &target->options;
    if (target->exist_ok
        && (options->force || !expectation_is_any(&options->expected)))
    {
        PyErr_SetString(PyExc_ValueError,
                        "exist_ok keeps a published map, force and expect "
                        "replace it: give only one of them");
        return -1;
    }
    return 0;
}

PyObject *
publishing_raise_stale(struct state *state, PyObject *name,
                       const struct expectation *expected, uint64_t found)
{
    return expected->has_id
               ? raise_stale_id(state, name, expected->id, found)
               : raise_stale(state, name, expected->generation, found);
}

PyObject *
publishing_result(struct state *state, const struct target *target,
                  enum status status)
{
    if (status == STATUS_OK) {
        Py_RETURN_TRUE;
    }
    if (status == STATUS_NAME_TAKEN && target->exist_ok) {
        Py_RETURN_FALSE;
    }
    if (status == STATUS_NO_SPACE) {
        return raise_no_space(target->object, target->needed,
                              target->available, target->options.is_durable);
    }
    if (status == STATUS_STALE) {
        return publishing_raise_stale(state, target->object,
                                      &target->options.expected,
                                      target->generation);
    }
    return raise_publish_status(state, status, target->object, target->path,
                                target->options.is_durable);
}

PyObject *
publishing_remove(struct state *state, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"", "timeout", NULL};
    struct lock_options lock = {.timeout = PUBLISHING_DEFAULT_TIMEOUT};
    struct name name;
    PyObject *object, *result = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|$O&:remove", names,
                                     &object, arguments_timeout,
                                     &lock.timeout))
    {
        return NULL;
    }
    if (name_parse(state, &name, object, "remove()") == 0) {
        struct signals signals;
        signals_begin(&signals, SIGNALS_PUBLISHING, &lock.interrupt);
        enum status status = segment_remove(name.path, &lock);
        signals_end(&signals);
        result = status == STATUS_OK ? Py_NewRef(Py_True)
                 : status == STATUS_NAME_ABSENT
                     ? Py_NewRef(Py_False)
                     : raise_publish_status(state, status, object, name.path,
                                            false);
    }
    name_clear(&name);
    return result;
}

int
publishing_mode(PyObject *object, void *address)
{
    long bits = PyLong_AsLong(object);
    if (bits == -1 && PyErr_Occurred()) {
        return 0;
    }
    if (bits < 0 || (bits & 0600) != 0600 || (bits & ~0644L) != 0) {
        PyObject *octal = PyNumber_ToBase(object, 8);
        if (octal != NULL) {
            PyErr_Format(PyExc_ValueError,
                         "mode must be 0o600, 0o640, 0o604 or 0o644, not %U: "
                         "writes by other users can crash readers",
                         octal);
            Py_DECREF(octal);
        }
        return 0;
    }
    unsigned *mode = address;
    *mode = (unsigned)bits;
    return 1;
}

int
publishing_index(PyObject *object, void *address)
{
    enum snapshot_index *index = address;
    if (PyUnicode_Check(object)) {
        if (PyUnicode_CompareWithASCIIString(object, "hash") == 0) {
            *index = INDEX_HASH;
            return 1;
        }
        if (PyUnicode_CompareWithASCIIString(object, "tree") == 0) {
            *index = INDEX_TREE;
            return 1;
        }
    }
    PyErr_Format(PyExc_ValueError, "index must be 'hash' or 'tree', not %R",
                 object);
    return 0;
}

int
publishing_align(PyObject *object, void *address)
{
    uint16_t *alignment = address;
    long bytes = PyLong_AsLong(object);
    if (bytes == -1 && PyErr_Occurred()) {
        return 0;
    }
    if (bytes != 8 && bytes != 16 && bytes != 32 && bytes != 64) {
        PyErr_Format(PyExc_ValueError, "align must be 8, 16, 32 or 64, not %R",
                     object);
        return 0;
    }
    // 8 is what a snapshot has anyway.
    *alignment = bytes == 8 ? 0 : (uint16_t)bytes;
    return 1;
}

int
publishing_expect(PyObject *object, void *address)
{
    struct expectation *expected = address;
    if (object == Py_None) {
        return 1;
    }
    if (PyUnicode_Check(object)) {
        expected->has_id = true;
        return identity_parse(object, expected->id) == 0;
    }
    unsigned long long generation = PyLong_AsUnsignedLongLong(object);
    if (generation == (unsigned long long)-1 && PyErr_Occurred()) {
        return 0;
    }
    expected->has_generation = true;
    expected->generation = generation;
    return 1;
}
