/* binding/batch.c
 *
 *     key, value --> entry --borrows--> copies in the arena, side by side
 *                          --borrows--> large objects themselves (held)
 *     entry of a snapshot  --borrows--> its record (held)
 *
 * Small objects are copied, because that is cheaper: objects are scattered in
 * memory, and holding them would touch each of them twice more.
 *
 * Not here: sorting; see core/base/sort.c.
 */
#include "binding/batch.h"

#include "binding/errors.h"
#include "binding/mapping_type.h"
#include "binding/sharedmap_range.h"
#include "binding/signals.h"
#include "binding/text.h"
#include "binding/value.h"
#include "core/base/memory.h"
#include "core/base/sort.h"

int
batch_init(struct batch *batch, struct state *state, PyObject *encode,
           const char *caller)
{
    *batch = (struct batch){
        .state = state,
        .encode = Py_XNewRef(encode),
        .caller = caller,
        .held = PyList_New(0),
    };
    if (batch->held == NULL) {
        return -1;
    }
    // Otherwise an encoder could find the list through gc, and clear it.
    PyObject_GC_UnTrack(batch->held);
    return 0;
}

void
batch_clear(struct batch *batch)
{
    memory_release(batch->entries);
    arena_clear(&batch->arena);
    Py_CLEAR(batch->held);
    Py_CLEAR(batch->encode);
    batch->entries = NULL;
}

/* Reserves memory for `capacity` entries in total. */
static int
batch_reserve(struct batch *batch, size_t capacity)
{
    if (capacity <= batch->capacity) {
        return 0;
    }
    struct entry *entries = memory_allocate_array(capacity, sizeof(*entries));
    if (entries == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (batch->count > 0) {
        memcpy(entries, batch->entries, batch->count * sizeof(*entries));
    }
    memory_release(batch->entries);
    batch->entries = entries;
    batch->capacity = capacity;
    return 0;
}

static int
batch_grow(struct batch *batch)
{
    return batch_reserve(batch,
                         batch->capacity > 0 ? batch->capacity * 2 : 64);
}

/* Larger objects are not copied if they can be held. */
enum { LARGEST_COPY = 4096 };

/* Makes sure that the bytes stay. `owner` is the object that they belong to,
 * NULL if they are temporary. */
static int
batch_keep(struct batch *batch, struct slice *bytes, PyObject *owner)
{
    if (owner != NULL && bytes->size > LARGEST_COPY) {
        return PyList_Append(batch->held, owner);
    }
    enum status status = arena_keep(&batch->arena, bytes);
    if (status != STATUS_OK) {
        raise_status(batch->state, status, NULL);
        return -1;
    }
    return 0;
}

static PyObject *
owner_of_text(PyObject *string)
{
    return PyUnicode_IS_ASCII(string) ? string : NULL;
}

static PyObject *
owner_of_value(const struct packed_value *packed, PyObject *object)
{
    switch (packed->value.type) {
    case VALUE_STR:
        return owner_of_text(object);
    case VALUE_BYTES:
        return packed->owner != NULL ? packed->owner : object;
    case VALUE_ENCODED:
        return packed->owner;
    case VALUE_NONE:
    case VALUE_BOOL:
    case VALUE_INT:
    case VALUE_FLOAT:
    case VALUE_CONTAINER:
        break;
    }
    return NULL;
}

static inline bool
is_short_ascii(PyObject *object)
{
    return PyUnicode_CheckExact(object) && PyUnicode_IS_COMPACT_ASCII(object)
           && PyUnicode_GET_LENGTH(object) <= LARGEST_COPY;
}

/* Most keys and values are bytes that can be copied without conversion. */
static inline int
add_short_ascii(struct batch *batch, PyObject *key, PyObject *value)
{
    struct entry entry = {text_ascii_bytes(key),
                          {text_ascii_bytes(value), VALUE_STR}};
    if ((batch->count >= batch->capacity && batch_grow(batch) < 0)
        || batch_keep(batch, &entry.key, NULL) < 0
        || batch_keep(batch, &entry.value.bytes, NULL) < 0)
    {
        return -1;
    }
    batch->entries[batch->count++] = entry;
    return 0;
}

int
batch_add(struct batch *batch, PyObject *key, PyObject *value)
{
    if (is_short_ascii(key) && is_short_ascii(value)) {
        return add_short_ascii(batch, key, value);
    }
    struct text text;
    struct packed_value packed;
    int result = -1;
    if (text_encode_key(&text, key, batch->caller) < 0) {
        return -1;
    }
    if (value_pack(&packed, value, batch->encode, key, batch->caller) < 0) {
        text_clear(&text);
        return -1;
    }
    struct entry entry = {text.slice, packed.value};
    if ((batch->count < batch->capacity || batch_grow(batch) == 0)
        && batch_keep(batch, &entry.key, owner_of_text(key)) == 0
        && batch_keep(batch, &entry.value.bytes,
                      owner_of_value(&packed, value))
               == 0)
    {
        batch->entries[batch->count++] = entry;
        result = 0;
    }
    value_clear(&packed);
    text_clear(&text);
    return result;
}

/* ---- sources of entries ------------------------------------------------- */

// Between two checks for signals there is less than a millisecond, unless
// values are large.
enum { GROUP = 32, GROUPS_UNCHECKED = 16 };

static inline void
prefetch_object(PyObject *object)
{
    // The header and what short text and numbers have behind it.
    __builtin_prefetch(object);
    __builtin_prefetch((const char *)object + 64);
}

/* After Python code may have run: a signal handler, a convertible object. */
static int
check_size(PyObject *dict, Py_ssize_t size)
{
    if (PyDict_GET_SIZE(dict) != size) {
        PyErr_SetString(PyExc_RuntimeError,
                        "dictionary changed size during iteration");
        return -1;
    }
    return 0;
}

/* Adds a group and releases its references, also when one fails. */
static int
add_group(struct batch *batch, PyObject **keys, PyObject **values, int count)
{
    int result = 0;
    for (int i = 0; i < count; i++) {
        if (result == 0) {
            result = batch_add(batch, keys[i], values[i]);
        }
        Py_DECREF(values[i]);
        Py_DECREF(keys[i]);
    }
    return result;
}

/* A dict's own items, without an iterator. They are scattered in memory, so a
 * group of them is prefetched before the first is used. A convertible object
 * may run Python code that changes the dict, so a group holds its own
 * references. Without a GIL they are of a copy, which other threads cannot
 * change. */
static int
add_dict(struct batch *batch, PyObject *dict)
{
#ifdef Py_GIL_DISABLED
    dict = PyDict_Copy(dict);
    if (dict == NULL) {
        return -1;
    }
#endif
    PyObject *keys[GROUP], *values[GROUP];
    const Py_ssize_t size = PyDict_GET_SIZE(dict);
    Py_ssize_t position = 0;
    int result = 0, count, unchecked = 0;
    do {
        count = 0;
        while (count < GROUP
               && PyDict_Next(dict, &position, &keys[count], &values[count]))
        {
            prefetch_object(keys[count]);
            prefetch_object(values[count]);
            count += 1;
        }
        for (int i = 0; i < count; i++) {
            Py_INCREF(keys[i]);
            Py_INCREF(values[i]);
        }
        result = add_group(batch, keys, values, count);
        if (result == 0 && ++unchecked == GROUPS_UNCHECKED) {
            unchecked = 0;
            result = PyErr_CheckSignals();
        }
        result = result == 0 ? check_size(dict, size) : result;
    } while (result == 0 && count == GROUP);
#ifdef Py_GIL_DISABLED
    Py_DECREF(dict);
#endif
    return result;
}

static int
fail_length(const struct batch *batch, Py_ssize_t index, Py_ssize_t length)
{
    PyErr_Format(PyExc_ValueError,
                 "%s: element #%zd has length %zd; 2 is required",
                 batch->caller, index, length);
    return -1;
}

static int
add_tuple(struct batch *batch, PyObject *tuple, Py_ssize_t index)
{
    if (PyTuple_GET_SIZE(tuple) != 2) {
        return fail_length(batch, index, PyTuple_GET_SIZE(tuple));
    }
    return batch_add(batch, PyTuple_GET_ITEM(tuple, 0),
                     PyTuple_GET_ITEM(tuple, 1));
}

#ifndef Py_GIL_DISABLED
static int
add_list(struct batch *batch, PyObject *list, Py_ssize_t index)
{
    if (PyList_GET_SIZE(list) != 2) {
        return fail_length(batch, index, PyList_GET_SIZE(list));
    }
    // The encoder may change the list.
    PyObject *key = Py_NewRef(PyList_GET_ITEM(list, 0));
    PyObject *value = Py_NewRef(PyList_GET_ITEM(list, 1));
    int result = batch_add(batch, key, value);
    Py_DECREF(value);
    Py_DECREF(key);
    return result;
}
#endif

static int
add_pair(struct batch *batch, PyObject *pair, Py_ssize_t index)
{
    if (PyTuple_CheckExact(pair)) {
        return add_tuple(batch, pair, index);
    }
#ifndef Py_GIL_DISABLED
    if (PyList_CheckExact(pair)) {
        return add_list(batch, pair, index);
    }
#endif
    // Not from the TypeError of the conversion: that may be a hook's.
    if (Py_TYPE(pair)->tp_iter == NULL && !PySequence_Check(pair)) {
        PyErr_Format(PyExc_TypeError,
                     "%s: element #%zd is not a (key, value) pair",
                     batch->caller, index);
        return -1;
    }
    PyObject *tuple = PySequence_Tuple(pair);
    if (tuple == NULL) {
        return -1;
    }
    int result = add_tuple(batch, tuple, index);
    Py_DECREF(tuple);
    return result;
}

/* Takes the reference to the iterator. */
static int
add_pairs(struct batch *batch, PyObject *iterator)
{
    if (iterator == NULL) {
        return -1;
    }
    struct signals_steps steps = {0};
    PyObject *pair;
    int result = 0;
    for (Py_ssize_t index = 0;
         result == 0 && (pair = PyIter_Next(iterator)) != NULL; index++)
    {
        result = add_pair(batch, pair, index);
        Py_DECREF(pair);
        result = result == 0 ? signals_step(&steps) : result;
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : result;
}

static int
add_by_keys(struct batch *batch, PyObject *mapping)
{
    PyObject *keys = PyMapping_Keys(mapping);
    PyObject *iterator = keys != NULL ? PyObject_GetIter(keys) : NULL;
    Py_XDECREF(keys);
    if (iterator == NULL) {
        return -1;
    }
    struct signals_steps steps = {0};
    PyObject *key;
    int result = 0;
    while (result == 0 && (key = PyIter_Next(iterator)) != NULL) {
        PyObject *value = PyObject_GetItem(mapping, key);
        result = value != NULL ? batch_add(batch, key, value) : -1;
        Py_XDECREF(value);
        Py_DECREF(key);
        result = result == 0 ? signals_step(&steps) : result;
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : result;
}

int
batch_add_keys(struct batch *batch, PyObject *keys, PyObject *value)
{
    PyObject *iterator = PyObject_GetIter(keys);
    if (iterator == NULL) {
        return -1;
    }
    struct signals_steps steps = {0};
    PyObject *key;
    int result = 0;
    while (result == 0 && (key = PyIter_Next(iterator)) != NULL) {
        result = batch_add(batch, key, value);
        Py_DECREF(key);
        result = result == 0 ? signals_step(&steps) : result;
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : result;
}

/* Whether the object has a method keys(); -1 with an exception. Unlike
 * PyObject_HasAttrString(), passes on what is no AttributeError. */
static int
has_keys(PyObject *object)
{
    PyObject *keys = PyObject_GetAttrString(object, "keys");
    if (keys != NULL) {
        Py_DECREF(keys);
        return 1;
    }
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return -1;
    }
    PyErr_Clear();
    return 0;
}

int
batch_add_all(struct batch *batch, PyObject *source)
{
    if (PyDict_CheckExact(source) && batch->encode == NULL) {
        size_t size = (size_t)PyDict_GET_SIZE(source);
        return batch_reserve(batch, batch->count + size) < 0
                   ? -1
                   : add_dict(batch, source);
    }
    if (mapping_check(batch->state, source)) {
        return add_pairs(batch, mapping_iterate(source, ITEM_PAIR, FORWARD));
    }
    int is_mapping = has_keys(source);
    if (is_mapping != 0) {
        return is_mapping > 0 ? add_by_keys(batch, source) : -1;
    }
    return add_pairs(batch, PyObject_GetIter(source));
}

// Entries between two questions to the interrupt: well below a millisecond.
enum { UNINTERRUPTED = 1024 };

/* A hostile process may write to the snapshot, so its entries can change at
 * any time. They must not be sorted: sorting relies on entries that stay the
 * same. They are in order, or the snapshot is damaged. The checksum finds all
 * damage, but reads all of the snapshot: too much for a part. */
static enum status
borrow_entries(struct batch *batch, const struct span *span,
               const struct interrupt *interrupt)
{
    const struct version *version = &span->snapshot->version;
    struct version_cursor cursor = {.passed = {0}};
    const bool is_part = span->high - span->low < version->entry_count;
    enum status status =
        is_part ? STATUS_OK : version_verify_checksum(version, interrupt);
    uint64_t left = version->records_size;
    for (uint64_t index = span->low; status == STATUS_OK && index < span->high;
         index++)
    {
        struct entry *entry = &batch->entries[index - span->low];
        if (index % UNINTERRUPTED == UNINTERRUPTED - 1
            && interrupt_is_due(interrupt))
        {
            return STATUS_INTERRUPTED;
        }
        status = version_at(version, &cursor, index, entry);
        if (status == STATUS_OK) {
            status = snapshot_count_entry(&left, entry);
        }
        if (status == STATUS_OK && is_part) {
            status = snapshot_check_entry(entry);
        }
        if (status == STATUS_OK && index > span->low
            && slice_compare(entry[-1].key, entry->key) >= 0)
        {
            status = STATUS_BAD_ORDER;
        }
    }
    return status;
}

static bool
is_of_snapshot(struct state *state, PyObject *object)
{
    return PyObject_TypeCheck(object, state->types[TYPE_SHAREDMAP])
           || Py_IS_TYPE(object, state->types[TYPE_SHAREDMAP_RANGE]);
}

int
batch_borrow(struct batch *batch, PyObject *source)
{
    struct span span;
    enum status status;
    if (batch->encode != NULL || !is_of_snapshot(batch->state, source)) {
        return 0;
    }
    if (span_acquire(source, &span) < 0) {
        return -1;
    }
    int result = 0;
    if (span.snapshot->decode == NULL) {
        size_t count = (size_t)(span.high - span.low);
        result = PyList_Append(batch->held, (PyObject *)span.snapshot) < 0
                         || batch_reserve(batch, count) < 0
                     ? -1
                     : 1;
        if (result == 1) {
            struct signals signals;
            struct interrupt interrupt;
            signals_begin(&signals, SIGNALS_NOW, &interrupt);
            status = borrow_entries(batch, &span, &interrupt);
            signals_end(&signals);
            batch->count = count;
            if (status != STATUS_OK) {
                raise_status(batch->state, status, NULL);
                result = -1;
            }
        }
    }
    span_release(&span);
    return result;
}

int
batch_sort(struct batch *batch)
{
    struct signals signals;
    struct interrupt interrupt;
    signals_begin(&signals, SIGNALS_NOW, &interrupt);
    enum status status =
        sort_entries(&batch->entries, &batch->count, &interrupt);
    signals_end(&signals);
    if (status != STATUS_OK) {
        raise_status(batch->state, status, NULL);
        return -1;
    }
    return 0;
}
