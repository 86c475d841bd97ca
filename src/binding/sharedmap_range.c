/* binding/sharedmap_range.c
 *
 * Reading a snapshot, and the type of a part of it:
 *
 *     class sharedmap_range(Mapping): ...  # m["a":"f"], m.prefix("user:")
 *
 *     # and, like sharedmap itself:
 *     def peekitem(self, index=-1): ...
 *     def index(self, key): ...
 *     def bisect_left(self, key): ...
 *     def bisect_right(self, key): ...
 *     def view(self, key): ...
 *
 * A range is two indices into the sorted entries, and a reference to the
 * snapshot, so it is independent of the handle that it came from. The handle
 * itself reads as the range of all entries of its current snapshot.
 *
 *     handle --acquire--> snapshot [0, entry_count) --+
 *                                                     +--> span, for one
 *     range  -----------> snapshot [low, high) -------+    operation
 *
 * Not here: what a Mapping makes of it; see mapping_type.c.
 */
#include "binding/sharedmap_range.h"

#include "binding/errors.h"
#include "binding/sharedmap_doc.h"
#include "binding/sharedmap_follow.h"
#include "binding/sharedmap_iterator.h"
#include "binding/text.h"

typedef struct {
    MappingObject base;
    struct span span;  // owned
} SharedMapRangeObject;

/* ---- spans -------------------------------------------------------------- */

int
span_acquire(PyObject *object, struct span *span)
{
    MappingObject *mapping = (MappingObject *)object;
    if (Py_IS_TYPE(object, mapping->state->types[TYPE_SHAREDMAP_RANGE])) {
        *span = ((SharedMapRangeObject *)object)->span;
        Py_INCREF(span->snapshot);
        return 0;
    }
    SnapshotObject *snapshot = sharedmap_acquire((SharedMapObject *)object);
    if (snapshot == NULL) {
        return -1;
    }
    *span = (struct span){snapshot, 0, snapshot->version.entry_count};
    return 0;
}

static int
fail(const struct span *span, enum status status)
{
    raise_status(span->snapshot->state, status, NULL);
    return -1;
}

/* Fills the index of the first entry at or above the key, inside the span. */
static int
seek(const struct span *span, struct slice key, uint64_t *index)
{
    enum status status = version_seek(&span->snapshot->version, key, index);
    if (status != STATUS_OK) {
        return fail(span, status);
    }
    *index = *index < span->low    ? span->low
             : *index > span->high ? span->high
                                   : *index;
    return 0;
}

static int
entry_at(const struct span *span, uint64_t index, struct entry *entry)
{
    struct version_cursor cursor = {.passed = {0}};
    enum status status =
        version_at(&span->snapshot->version, &cursor, index, entry);
    return status == STATUS_OK ? 0 : fail(span, status);
}

/* Fills the index, and whether the entry there has exactly this key. */
static int
locate(const struct span *span, struct slice key, uint64_t *index,
       struct entry *entry, bool *is_found)
{
    *is_found = false;
    if (seek(span, key, index) < 0) {
        return -1;
    }
    if (*index < span->high) {
        if (entry_at(span, *index, entry) < 0) {
            return -1;
        }
        *is_found = slice_equals(entry->key, key);
    }
    return 0;
}

static int
find(const struct span *span, struct slice key, struct entry *entry,
     bool *is_found)
{
    const struct version *version = &span->snapshot->version;
    if (span->high - span->low < version->entry_count) {
        uint64_t index;
        return locate(span, key, &index, entry, is_found);
    }
    enum status status = version_find(version, key, entry, is_found);
    return status == STATUS_OK ? 0 : fail(span, status);
}

/* ---- struct mapping_methods --------------------------------------------- */

static enum answer
map_range_take(const struct span *span, const struct entry *entry,
               enum item_kind kind, struct item *item)
{
    return item_take(item, span->snapshot->state, entry, kind,
                     span->snapshot->decode)
                   < 0
               ? ANSWER_FAILED
               : ANSWER_YES;
}

static enum answer
map_range_lookup(PyObject *self, struct slice key, struct item *item)
{
    struct span span;
    struct entry entry;
    bool is_found;
    enum answer answer = ANSWER_FAILED;
    if (span_acquire(self, &span) < 0) {
        return ANSWER_FAILED;
    }
    if (find(&span, key, &entry, &is_found) == 0) {
        answer = !is_found ? ANSWER_NO
                 : item == NULL
                     ? ANSWER_YES
                     : map_range_take(&span, &entry, ITEM_VALUE, item);
    }
    span_release(&span);
    return answer;
}

/* Fills the index of the last entry at or below the key, or span->low - 1
 * (which may wrap) if there is none. */
static int
seek_back(const struct span *span, struct slice key, uint64_t *index)
{
    struct entry entry;
    bool is_found;
    if (locate(span, key, index, &entry, &is_found) < 0) {
        return -1;
    }
    if (!is_found) {
        *index -= 1;
    }
    return 0;
}

static enum answer
map_range_nearest(PyObject *self, const struct slice *key,
                  enum direction direction, enum item_kind kind,
                  struct item *item)
{
    struct span span;
    struct entry entry;
    enum answer answer = ANSWER_FAILED;
    if (span_acquire(self, &span) < 0) {
        return ANSWER_FAILED;
    }
    uint64_t index = direction == FORWARD ? span.low : span.high - 1;
    if (key != NULL
        && (direction == FORWARD ? seek(&span, *key, &index)
                                 : seek_back(&span, *key, &index))
               < 0)
    {
        goto done;
    }
    // One comparison for both ends: an index that wrapped below 0 is large.
    if (index - span.low >= span.high - span.low) {
        answer = ANSWER_NO;
    }
    else if (entry_at(&span, index, &entry) == 0) {
        answer = map_range_take(&span, &entry, kind, item);
    }
done:
    span_release(&span);
    return answer;
}

static Py_ssize_t
map_range_length(PyObject *self)
{
    struct span span;
    if (span_acquire(self, &span) < 0) {
        return -1;
    }
    uint64_t length = span.high - span.low;
    span_release(&span);
    return (Py_ssize_t)length;
}

static PyObject *
map_range_iterate(PyObject *self, enum item_kind kind,
                  enum direction direction)
{
    struct span span;
    if (span_acquire(self, &span) < 0) {
        return NULL;
    }
    PyObject *iterator = sharedmap_iterator_create(&span, kind, direction);
    span_release(&span);
    return iterator;
}

/* A new range with references of its own. */
static PyObject *
create_range(const struct span *span)
{
    struct state *state = span->snapshot->state;
    PyTypeObject *type = state->types[TYPE_SHAREDMAP_RANGE];
    SharedMapRangeObject *self =
        (SharedMapRangeObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->base.state = state;
        self->base.methods = &sharedmap_mapping_methods;
        self->span = *span;
        Py_INCREF(span->snapshot);
    }
    return (PyObject *)self;
}

static PyObject *
map_range_range(PyObject *self, const struct bounds *bounds)
{
    struct span span;
    PyObject *range = NULL;
    if (span_acquire(self, &span) < 0) {
        return NULL;
    }
    struct span part = span;
    if ((bounds->low == NULL || seek(&span, *bounds->low, &part.low) == 0)
        && (bounds->high == NULL
            || seek(&span, *bounds->high, &part.high) == 0))
    {
        if (part.high < part.low) {
            part.high = part.low;
        }
        range = create_range(&part);
    }
    span_release(&span);
    return range;
}

static PyObject *
map_range_pin(PyObject *self)
{
    return map_range_range(self, &(struct bounds){NULL, NULL});
}

const struct mapping_methods sharedmap_mapping_methods = {
    .lookup = map_range_lookup,
    .nearest = map_range_nearest,
    .length = map_range_length,
    .iterate = map_range_iterate,
    .range = map_range_range,
    .pin = map_range_pin,
};

/* ---- ranks -------------------------------------------------------------- */

PyObject *
sharedmap_py_peekitem(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"index", NULL};
    Py_ssize_t index = -1;
    struct span span;
    struct entry entry;
    struct item item;
    PyObject *result = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|n:peekitem", names,
                                     &index)
        || span_acquire(self, &span) < 0)
    {
        return NULL;
    }
    Py_ssize_t length = (Py_ssize_t)(span.high - span.low);
    index += index < 0 ? length : 0;
    if (index < 0 || index >= length) {
        PyErr_SetString(PyExc_IndexError, "peekitem(): index out of range");
    }
    else if (entry_at(&span, span.low + (uint64_t)index, &entry) == 0
             && map_range_take(&span, &entry, ITEM_PAIR, &item) == ANSWER_YES)
    {
        result = item_finish(&item);
    }
    span_release(&span);
    return result;
}

/* Fills the rank of the key relative to the span, and whether it is there. */
static int
rank_of(PyObject *self, PyObject *key, uint64_t *rank, bool *is_found,
        const char *caller)
{
    struct text text;
    struct span span;
    struct entry entry;
    if (text_encode_key(&text, key, caller) < 0) {
        return -1;
    }
    int result = span_acquire(self, &span);
    if (result == 0) {
        result = locate(&span, text.slice, rank, &entry, is_found);
        *rank -= result == 0 ? span.low : 0;
        span_release(&span);
    }
    text_clear(&text);
    return result;
}

PyObject *
sharedmap_py_index(PyObject *self, PyObject *key)
{
    uint64_t rank;
    bool is_found;
    if (rank_of(self, key, &rank, &is_found, "index()") < 0) {
        return NULL;
    }
    if (!is_found) {
        return PyErr_Format(PyExc_ValueError, "%R is not in the map", key);
    }
    return PyLong_FromUnsignedLongLong(rank);
}

PyObject *
sharedmap_py_bisect_left(PyObject *self, PyObject *key)
{
    uint64_t rank;
    bool is_found;
    if (rank_of(self, key, &rank, &is_found, "bisect_left()") < 0) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(rank);
}

PyObject *
sharedmap_py_bisect_right(PyObject *self, PyObject *key)
{
    uint64_t rank;
    bool is_found;
    if (rank_of(self, key, &rank, &is_found, "bisect_right()") < 0) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(rank + is_found);
}

PyObject *
sharedmap_py_view(PyObject *self, PyObject *key)
{
    struct text text;
    struct span span;
    struct entry entry;
    bool is_found;
    PyObject *view = NULL;
    if (text_encode_key(&text, key, "view()") < 0) {
        return NULL;
    }
    if (span_acquire(self, &span) == 0) {
        if (find(&span, text.slice, &entry, &is_found) == 0) {
            if (is_found) {
                view = snapshot_memoryview(span.snapshot, entry.value.bytes);
            }
            else {
                PyErr_SetObject(PyExc_KeyError, key);
            }
        }
        span_release(&span);
    }
    text_clear(&text);
    return view;
}

/* ---- the type ----------------------------------------------------------- */

static PyObject *
sharedmap_range_tp_repr(PyObject *self)
{
    Py_ssize_t length = map_range_length(self);
    return PyUnicode_FromFormat("<range of sharedmap, %zd %s>", length,
                                length == 1 ? "entry" : "entries");
}

static int
sharedmap_range_tp_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((SharedMapRangeObject *)object)->span.snapshot);
    return 0;
}

static void
sharedmap_range_tp_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    span_release(&((SharedMapRangeObject *)object)->span);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *
sharedmap_range_py_copy(PyObject *self, PyObject *Py_UNUSED(memo))
{
    return Py_NewRef(self);
}

static PyMethodDef sharedmap_range_methods[] = {
    {"peekitem", METHOD(sharedmap_py_peekitem), METH_VARARGS | METH_KEYWORDS,
     sharedmap_peekitem_doc},
    {"index", sharedmap_py_index, METH_O, sharedmap_index_doc},
    {"bisect_left", sharedmap_py_bisect_left, METH_O,
     sharedmap_bisect_left_doc},
    {"bisect_right", sharedmap_py_bisect_right, METH_O,
     sharedmap_bisect_right_doc},
    {"view", sharedmap_py_view, METH_O, sharedmap_view_doc},
    {"__copy__", sharedmap_range_py_copy, METH_NOARGS,
     sharedmap_range_copy_doc},
    {"__deepcopy__", sharedmap_range_py_copy, METH_O,
     sharedmap_range_deepcopy_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot sharedmap_range_slots[] = {
    {Py_tp_dealloc, sharedmap_range_tp_dealloc},
    {Py_tp_traverse, sharedmap_range_tp_traverse},
    {Py_tp_repr, sharedmap_range_tp_repr},
    {Py_tp_methods, sharedmap_range_methods},
    {0, NULL},
};

PyType_Spec sharedmap_range_spec = {
    .name = "sharedmap._sharedmap_range",
    .basicsize = sizeof(SharedMapRangeObject),
    .flags = TYPE_FLAGS_INTERNAL | Py_TPFLAGS_MAPPING,
    .slots = sharedmap_range_slots,
};
