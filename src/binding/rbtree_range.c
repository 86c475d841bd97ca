/* binding/rbtree_range.c
 *
 * Reading a tree, and the type of a part of it:
 *
 *     class rbtree_range(Mapping): ...  # t["a":"f"], t.prefix("user:")
 *
 * A range owns a reference to the tree and its two bounds, but no entries: it
 * is live, and reflects inserts and removals. A tree reads as the range
 * without bounds, so the same functions serve both:
 *
 *     low   <= key <   high
 *      |                |
 *     first() ------> end()     NULL behind the last node
 *
 * Not here: what a Mapping makes of it; see mapping_type.c.
 */
#include "binding/rbtree_range.h"

#include "binding/rbtree_iterator.h"
#include "binding/rbtree_object.h"
#include "binding/signals.h"

typedef struct {
    MappingObject base;
    RBTreeObject *tree;  // owned
    PyObject *low;       // owned bytes; NULL when open
    PyObject *high;      // owned bytes, not below low; NULL when open
} RBTreeRangeObject;

/* A tree and a part of it; borrows from the object. */
struct tree_span {
    RBTreeObject *tree;
    bool has_low, has_high;
    struct slice low, high;
};

static struct slice
slice_of_bytes(PyObject *bytes)
{
    return (struct slice){(const unsigned char *)PyBytes_AS_STRING(bytes),
                          (size_t)PyBytes_GET_SIZE(bytes)};
}

static struct tree_span
tree_span_of(PyObject *object)
{
    MappingObject *mapping = (MappingObject *)object;
    if (!Py_IS_TYPE(object, mapping->state->types[TYPE_RBTREE_RANGE])) {
        return (struct tree_span){.tree = (RBTreeObject *)object};
    }
    RBTreeRangeObject *range = (RBTreeRangeObject *)object;
    struct tree_span span = {
        .tree = range->tree,
        .has_low = range->low != NULL,
        .has_high = range->high != NULL,
    };
    if (span.has_low) {
        span.low = slice_of_bytes(range->low);
    }
    if (span.has_high) {
        span.high = slice_of_bytes(range->high);
    }
    return span;
}

static bool
is_inside(const struct tree_span *span, struct slice key)
{
    return !(span->has_low && slice_compare(key, span->low) < 0)
           && !(span->has_high && slice_compare(key, span->high) >= 0);
}

/* Under the guard. The first node at or above the lower bound; it may be the
 * end. */
static const struct rbtree_node *
tree_span_first(const struct tree_span *span)
{
    const struct rbtree *tree = span->tree->tree;
    return span->has_low ? rbtree_seek(tree, span->low) : rbtree_first(tree);
}

/* Under the guard. */
static const struct rbtree_node *
tree_span_end(const struct tree_span *span)
{
    return span->has_high ? rbtree_seek(span->tree->tree, span->high) : NULL;
}

/* Under the guard. The node before `node`, the last one before NULL. */
static const struct rbtree_node *
node_before(const struct tree_span *span, const struct rbtree_node *node)
{
    return node != NULL ? rbtree_previous(node)
                        : rbtree_last(span->tree->tree);
}

/* ---- struct mapping_methods --------------------------------------------- */

static enum answer
tree_range_take(const struct tree_span *span, const struct rbtree_node *node,
                enum item_kind kind, struct item *item)
{
    struct entry entry = rbtree_entry(node);
    return item_take(item, span->tree->base.state, &entry, kind,
                     span->tree->decode)
                   < 0
               ? ANSWER_FAILED
               : ANSWER_YES;
}

static enum answer
tree_range_lookup(PyObject *self, struct slice key, struct item *item)
{
    struct tree_span span = tree_span_of(self);
    enum answer answer = ANSWER_NO;
    if (!is_inside(&span, key)) {
        return ANSWER_NO;
    }
    tree_begin_read(span.tree);
    const struct rbtree_node *node = rbtree_find(span.tree->tree, key);
    if (node != NULL) {
        answer = item != NULL ? tree_range_take(&span, node, ITEM_VALUE, item)
                              : ANSWER_YES;
    }
    guard_end_read(&span.tree->guard);
    return answer;
}

static enum answer
tree_range_nearest(PyObject *self, const struct slice *key,
                   enum direction direction, enum item_kind kind,
                   struct item *item)
{
    struct tree_span span = tree_span_of(self);
    const struct rbtree_node *node;
    enum answer answer = ANSWER_NO;
    tree_begin_read(span.tree);
    if (direction == FORWARD) {
        bool is_below =
            key == NULL || (span.has_low && slice_compare(*key, span.low) < 0);
        node = is_below ? tree_span_first(&span)
                        : rbtree_seek(span.tree->tree, *key);
    }
    else {
        bool is_above =
            key == NULL
            || (span.has_high && slice_compare(*key, span.high) >= 0);
        node = is_above ? node_before(&span, tree_span_end(&span))
                        : rbtree_seek_back(span.tree->tree, *key);
    }
    if (node != NULL && is_inside(&span, rbtree_entry(node).key)) {
        answer = tree_range_take(&span, node, kind, item);
    }
    guard_end_read(&span.tree->guard);
    return answer;
}

/* Under the guard. */
static enum status
count_nodes(const struct tree_span *span, size_t *count,
            const struct interrupt *interrupt)
{
    *count = 0;
    if (!span->has_low && !span->has_high) {
        *count = rbtree_count(span->tree->tree);
        return STATUS_OK;
    }
    return rbtree_distance(tree_span_first(span), tree_span_end(span), count,
                           interrupt);
}

static Py_ssize_t
tree_range_length(PyObject *self)
{
    struct tree_span span = tree_span_of(self);
    struct signals signals;
    struct interrupt interrupt;
    enum status status;
    size_t count;
    do {
        // A handler may want the tree, which is guarded.
        signals_watch(&signals, &interrupt);
        tree_begin_read(span.tree);
        status = count_nodes(&span, &count, &interrupt);
        guard_end_read(&span.tree->guard);
    } while (status == STATUS_INTERRUPTED && signals_retry(&signals));
    return status == STATUS_OK ? (Py_ssize_t)count : -1;
}

static PyObject *
tree_range_iterate(PyObject *self, enum item_kind kind,
                   enum direction direction)
{
    struct tree_span span = tree_span_of(self);
    PyObject *iterator = rbtree_iterator_create(span.tree, kind, direction);
    if (iterator == NULL) {
        return NULL;
    }
    tree_begin_read(span.tree);
    const struct rbtree_node *first = tree_span_first(&span);
    const struct rbtree_node *end = tree_span_end(&span);
    bool is_complete = !span.has_low && !span.has_high;
    size_t count = is_complete ? rbtree_count(span.tree->tree) : 0;
    if (direction == FORWARD) {
        rbtree_iterator_start(iterator, first, end, count);
    }
    else {
        rbtree_iterator_start(iterator, node_before(&span, end),
                              node_before(&span, first), count);
    }
    guard_end_read(&span.tree->guard);
    return iterator;
}

/* A new bytes object, or NULL without an exception for no bound. */
static int
bound_to_bytes(const struct slice *bound, PyObject **bytes)
{
    *bytes = NULL;
    if (bound == NULL) {
        return 0;
    }
    *bytes = PyBytes_FromStringAndSize((const char *)bound->bytes,
                                       (Py_ssize_t)bound->size);
    return *bytes != NULL ? 0 : -1;
}

static PyObject *
tree_range_range(PyObject *self, const struct bounds *bounds)
{
    struct tree_span span = tree_span_of(self);
    // The narrower bound counts.
    const struct slice *low = span.has_low ? &span.low : NULL;
    const struct slice *high = span.has_high ? &span.high : NULL;
    if (bounds->low != NULL
        && (low == NULL || slice_compare(*bounds->low, *low) > 0))
    {
        low = bounds->low;
    }
    if (bounds->high != NULL
        && (high == NULL || slice_compare(*bounds->high, *high) < 0))
    {
        high = bounds->high;
    }
    if (low != NULL && high != NULL && slice_compare(*low, *high) > 0) {
        high = low;
    }
    struct state *state = span.tree->base.state;
    PyTypeObject *type = state->types[TYPE_RBTREE_RANGE];
    RBTreeRangeObject *range = (RBTreeRangeObject *)type->tp_alloc(type, 0);
    if (range == NULL) {
        return NULL;
    }
    range->base.state = state;
    range->base.methods = &rbtree_mapping_methods;
    range->tree = (RBTreeObject *)Py_NewRef(span.tree);
    if (bound_to_bytes(low, &range->low) < 0
        || bound_to_bytes(high, &range->high) < 0)
    {
        Py_CLEAR(range);
    }
    return (PyObject *)range;
}

static PyObject *
tree_range_pin(PyObject *self)
{
    return Py_NewRef(self);
}

const struct mapping_methods rbtree_mapping_methods = {
    .lookup = tree_range_lookup,
    .nearest = tree_range_nearest,
    .length = tree_range_length,
    .iterate = tree_range_iterate,
    .range = tree_range_range,
    .pin = tree_range_pin,
};

/* ---- removing ----------------------------------------------------------- */

enum { REMOVALS_BETWEEN_QUESTIONS = 1024 };

/* Under the guard. STATUS_INTERRUPTED when some are removed. */
static enum status
remove_nodes(const struct tree_span *span, const struct interrupt *interrupt)
{
    const struct rbtree_node *node = tree_span_first(span);
    for (size_t removed = 1; node != NULL; removed++) {
        struct slice key = rbtree_entry(node).key;
        if (!is_inside(span, key)) {
            break;
        }
        node = rbtree_next(node);
        rbtree_remove(span->tree->tree, key);
        if (removed % REMOVALS_BETWEEN_QUESTIONS == 0
            && interrupt_is_due(interrupt))
        {
            return STATUS_INTERRUPTED;
        }
    }
    return STATUS_OK;
}

int
rbtree_range_clear(PyObject *range)
{
    struct tree_span span = tree_span_of(range);
    struct signals signals;
    struct interrupt interrupt;
    enum status status;
    do {
        signals_watch(&signals, &interrupt);
        tree_begin_change(span.tree);
        status = remove_nodes(&span, &interrupt);
        guard_end_change(&span.tree->guard);
    } while (status == STATUS_INTERRUPTED && signals_retry(&signals));
    return status == STATUS_OK ? 0 : -1;
}

/* ---- the type ----------------------------------------------------------- */

static PyObject *
rbtree_range_tp_repr(PyObject *self)
{
    Py_ssize_t length = tree_range_length(self);
    if (length < 0) {
        return NULL;
    }
    return PyUnicode_FromFormat("<range of rbtree, %zd %s>", length,
                                length == 1 ? "entry" : "entries");
}

static int
rbtree_range_tp_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((RBTreeRangeObject *)object)->tree);
    return 0;
}

static void
rbtree_range_tp_dealloc(PyObject *object)
{
    RBTreeRangeObject *self = (RBTreeRangeObject *)object;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->tree);
    Py_XDECREF(self->low);
    Py_XDECREF(self->high);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot rbtree_range_slots[] = {
    {Py_tp_dealloc, rbtree_range_tp_dealloc},
    {Py_tp_traverse, rbtree_range_tp_traverse},
    {Py_tp_repr, rbtree_range_tp_repr},
    {0, NULL},
};

PyType_Spec rbtree_range_spec = {
    .name = "sharedmap._rbtree_range",
    .basicsize = sizeof(RBTreeRangeObject),
    .flags = TYPE_FLAGS_INTERNAL | Py_TPFLAGS_MAPPING,
    .slots = rbtree_range_slots,
};
