/* binding/rbtree_publish.c
 *
 * In Python this file would be:
 *
 *     class rbtree:  # continued
 *         def share(self, name, force=False, *, mode=0o600, expect=None,
 *                   index="hash", huge_pages=False, timeout=5.0,
 *                   exist_ok=False): ...
 *         def save(self, path, force=False, *, mode=0o600, index="hash",
 *                  timeout=5.0): ...
 *         def dump(self, name="", *, index="hash"): ...
 *         @classmethod
 *         def remove(cls, name, /, *, timeout=5.0): ...
 *         def __reduce__(self): ...
 *
 * The entries borrow from the tree's nodes, so the guard is held until the
 * last byte is written, and not much longer; the GIL is not.
 *
 * Not here: what publishing means; see core/publish.h.
 */
#include "binding/rbtree_publish.h"

#include "binding/arguments.h"
#include "binding/errors.h"
#include "binding/publishing.h"
#include "binding/rbtree_object.h"
#include "binding/rbtree_range.h"
#include "binding/signals.h"
#include "binding/snapshot_type.h"
#include "binding/value.h"
#include "core/base/memory.h"
#include "core/publish.h"
#include "core/segment/segment.h"

/* Fills the entries of the tree, in order; they borrow from it. The caller
 * releases them. Call under the guard. */
static enum status
gather(const struct rbtree *tree, struct entry **entries, size_t *count,
       const struct interrupt *interrupt)
{
    *count = rbtree_count(tree);
    *entries = memory_allocate_array(*count, sizeof(**entries));
    if (*entries == NULL) {
        return STATUS_NO_MEMORY;
    }
    return rbtree_entries(tree, *entries, interrupt);
}

static PyObject *
publish(RBTreeObject *self, struct target *target)
{
    struct interrupt *interrupt = &target->options.lock.interrupt;
    struct signals signals;
    enum signals_kind kind = SIGNALS_LENDING;
    enum status status;
    do {
        struct entry *entries = NULL;
        size_t count;
        if (tree_begin_publish(self) < 0) {
            return NULL;
        }
        signals_begin_guarded(&signals, kind, &self->guard, interrupt);
        kind = SIGNALS_GUARDED;
        target->options.is_written = &signals.is_written;
        status = gather(self->tree, &entries, &count, interrupt);
        if (status == STATUS_OK) {
            status = publishing_run(target, entries, count);
        }
        memory_release(entries);
        signals_end(&signals);
        // They were of this attempt, and the target lives longer.
        target->options.is_written = NULL;
        *interrupt = (struct interrupt){.is_due = NULL};
    } while (status == STATUS_INTERRUPTED && signals_retry(&signals));
    return publishing_result(self->base.state, target, status);
}

PyObject *
rbtree_py_share(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"name",  "force",      "mode",    "expect",
                            "index", "huge_pages", "timeout", "exist_ok",
                            "align", NULL};
    RBTreeObject *self = (RBTreeObject *)object;
    struct target target = {
        .options.mode = PUBLISHING_DEFAULT_MODE,
        .options.lock.timeout = PUBLISHING_DEFAULT_TIMEOUT,
    };
    int force = 0, huge_pages = 0, exist_ok = 0;
    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "O|p$O&O&O&pO&pO&:share", names, &target.object,
            &force, publishing_mode, &target.options.mode, publishing_expect,
            &target.options.expected, publishing_index, &target.index,
            &huge_pages, arguments_timeout, &target.options.lock.timeout,
            &exist_ok, publishing_align, &target.value_alignment))
    {
        return NULL;
    }
    target.options.force = force != 0;
    target.options.huge_pages = huge_pages != 0;
    target.exist_ok = exist_ok != 0;
    struct name name;
    PyObject *result = NULL;
    if (name_parse(self->base.state, &name, target.object, "share()") == 0
        && publishing_check_exist_ok(&target) == 0)
    {
        target.path = name.path;
        target.label = name.text.slice;
        result = publish(self, &target);
    }
    name_clear(&name);
    return result;
}

PyObject *
rbtree_py_save(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"path",    "force", "mode", "index",
                            "timeout", "align", NULL};
    struct target target = {
        .options.mode = PUBLISHING_DEFAULT_MODE,
        .options.is_durable = true,
        .options.lock.timeout = PUBLISHING_DEFAULT_TIMEOUT,
    };
    int force = 0;
    PyObject *path;
    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "O|p$O&O&O&O&:save", names, &target.object, &force,
            publishing_mode, &target.options.mode, publishing_index,
            &target.index, arguments_timeout, &target.options.lock.timeout,
            publishing_align, &target.value_alignment)
        || !PyUnicode_FSConverter(target.object, &path))
    {
        return NULL;
    }
    target.path = PyBytes_AS_STRING(path);
    target.options.force = force != 0;
    PyObject *result = publish((RBTreeObject *)object, &target);
    Py_DECREF(path);
    return result;
}

/* New bytes for a snapshot of the entries; NULL, with the exception only if the
 * status is STATUS_OK. */
static PyObject *
plan_dump(const struct entry *entries, size_t count,
          const struct snapshot_options *options, struct snapshot_plan *plan,
          enum status *status)
{
    *status = publish_plan(plan, entries, count, options);
    return *status == STATUS_OK
               ? PyBytes_FromStringAndSize(NULL,
                                           (Py_ssize_t)plan->header.total_size)
               : NULL;
}

/* The snapshot as bytes; NULL, with the exception only if the status is
 * STATUS_OK. What has interrupted it is in `signals`. */
static PyObject *
dump_tree(RBTreeObject *self, const struct snapshot_options *options,
          enum signals_kind kind, struct signals *signals, enum status *status)
{
    struct interrupt interrupt;
    struct snapshot_plan plan;
    struct entry *entries = NULL;
    size_t count;
    PyObject *bytes = NULL;
    *status = STATUS_OK;
    if (tree_begin_publish(self) < 0) {
        return NULL;
    }
    // A handler may want the tree, which is guarded.
    signals_watch(signals, &interrupt);
    *status = gather(self->tree, &entries, &count, &interrupt);
    if (*status == STATUS_OK) {
        bytes = plan_dump(entries, count, options, &plan, status);
    }
    if (bytes == NULL) {
        guard_end_publish(&self->guard);
    }
    else {
        signals_begin_guarded(signals, kind, &self->guard, &interrupt);
        *status =
            publish_to_memory(&plan, PyBytes_AS_STRING(bytes), &interrupt);
        signals_end(signals);
        if (*status != STATUS_OK) {
            Py_CLEAR(bytes);
        }
    }
    memory_release(entries);
    return bytes;
}

static PyObject *
dump(RBTreeObject *self, PyObject *name, struct snapshot_options options)
{
    struct text label = {.slice = {NULL, 0}};
    struct signals signals;
    enum signals_kind kind = SIGNALS_LENDING;
    enum status status;
    PyObject *bytes;
    if (name != NULL && text_encode(&label, name) < 0) {
        return NULL;
    }
    options.label = label.slice;
    do {
        bytes = dump_tree(self, &options, kind, &signals, &status);
        kind = SIGNALS_GUARDED;
    } while (status == STATUS_INTERRUPTED && signals_retry(&signals));
    if (status != STATUS_OK) {
        raise_status(self->base.state, status, name);
    }
    text_clear(&label);
    return bytes;
}

PyObject *
rbtree_py_dump(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"name", "index", "align", NULL};
    PyObject *name = NULL;
    struct snapshot_options options = {.index = INDEX_HASH};
    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "|U$O&O&:dump", names, &name, publishing_index,
            &options.index, publishing_align, &options.value_alignment))
    {
        return NULL;
    }
    return dump((RBTreeObject *)self, name, options);
}

PyObject *
rbtree_py_remove(PyObject *type, PyObject *args, PyObject *keywords)
{
    return publishing_remove(state_of_type((PyTypeObject *)type), args,
                             keywords);
}

/* ---- pickling ----------------------------------------------------------- */

/* A tree is pickled as its snapshot: encoded values stay encoded, and no hook
 * is called. */
PyObject *
rbtree_py_reduce(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    RBTreeObject *self = (RBTreeObject *)object;
    PyObject *bytes = NULL, *state = NULL, *result = NULL;
    struct hooks hooks = {NULL, NULL};
    PyObject *rebuild = mapping_rebuild(object);
    bytes =
        rebuild != NULL
            ? dump(self, NULL, (struct snapshot_options){.index = INDEX_TREE})
            : NULL;
    if (bytes == NULL) {
        goto done;
    }
    state = mapping_state(object);
    if (state == NULL) {
        goto done;
    }
    hooks = tree_hooks(self);
    result =
        Py_BuildValue("O(OOOO)O", rebuild, Py_TYPE(self), bytes,
                      hooks.encode != NULL ? hooks.encode : Py_None,
                      hooks.decode != NULL ? hooks.decode : Py_None, state);
done:
    hooks_clear(&hooks);
    Py_XDECREF(state);
    Py_XDECREF(bytes);
    Py_XDECREF(rebuild);
    return result;
}

/* Fills a new tree from a snapshot whose every byte it checks before. Needs no
 * GIL, as no object has the tree yet. */
static enum status
restore_entries(struct rbtree **restored, const struct version *version,
                const struct interrupt *interrupt)
{
    enum status status = version_verify(version, interrupt);
    if (status != STATUS_OK) {
        return status;
    }
    struct version_cursor cursor = {.passed = {0}};
    size_t count = (size_t)version->entry_count;
    struct entry *entries = memory_allocate_array(count, sizeof(*entries));
    if (entries == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        status = version_at(version, &cursor, i, &entries[i]);
    }
    struct rbtree *tree = NULL;
    if (status == STATUS_OK) {
        status = rbtree_create(&tree);
    }
    if (status == STATUS_OK) {
        status = rbtree_build(tree, entries, count, interrupt);
    }
    memory_release(entries);
    if (status != STATUS_OK) {
        rbtree_destroy(tree);
        return status;
    }
    *restored = tree;
    return STATUS_OK;
}

/* A new object with what is in the snapshot. */
static RBTreeObject *
restore(PyTypeObject *type, SnapshotObject *snapshot, PyObject *encode,
        PyObject *decode)
{
    struct signals signals;
    struct interrupt interrupt;
    struct rbtree *tree;
    signals_begin(&signals, SIGNALS_NOW, &interrupt);
    enum status status =
        restore_entries(&tree, &snapshot->version, &interrupt);
    signals_end(&signals);
    if (status != STATUS_OK) {
        raise_status(snapshot->state, status, NULL);
        return NULL;
    }
    RBTreeObject *self =
        rbtree_object_create(type, &rbtree_mapping_methods, encode, decode);
    if (self != NULL) {
        tree = tree_swap(self, tree);
    }
    rbtree_destroy(tree);
    return self;
}

PyObject *
rbtree_py_restore(PyObject *type, PyObject *args)
{
    struct state *state = state_of_type((PyTypeObject *)type);
    PyObject *bytes, *hooks[2];
    PyObject *encode = NULL, *decode = NULL;
    SnapshotObject *snapshot = NULL;
    RBTreeObject *tree = NULL;
    if (!PyArg_ParseTuple(args, "SOO:_restore", &bytes, &hooks[0], &hooks[1]))
    {
        return NULL;
    }
    if (value_parse_hook("encode", hooks[0], &encode) < 0
        || value_parse_hook("decode", hooks[1], &decode) < 0)
    {
        goto done;
    }
    snapshot = snapshot_open_buffer(state, bytes, NULL);
    tree = snapshot != NULL
               ? restore((PyTypeObject *)type, snapshot, encode, decode)
               : NULL;
done:
    Py_XDECREF(snapshot);
    Py_XDECREF(decode);
    Py_XDECREF(encode);
    return (PyObject *)tree;
}
