/* binding/sharedmap_lookup.c
 *
 * In Python this file would be:
 *
 *     class sharedmap:  # continued
 *         def __getitem__(self, key_or_slice): ...
 *         def __contains__(self, key): ...
 *         def get(self, key, default=None): ...
 *         def get_many(self, keys, default=None): ...  # -> list
 *
 * The base type can do all but the last. Here they are again for the case that
 * counts, an exact str and a value without a decoder, with nothing in between:
 *
 *     str --> cache of values --> UTF-8 --> hash --> bucket --> record --> value
 *                  |                                                        |
 *                  +---------------------- answer <-------------------------+
 *
 * Everything else goes to the base type. So does what fails, which then says
 * why.
 *
 * Not here: the base type; see mapping_type.c.
 */
#include "binding/sharedmap_lookup.h"

#include "binding/arguments.h"
#include "binding/errors.h"
#include "binding/sharedmap_follow.h"
#include "binding/text.h"
#include "binding/value.h"

/* ---- a snapshot for the length of one lookup ---------------------------- */

/* Borrowed under the GIL, a new reference without one: until end() nothing
 * releases the GIL or runs Python code, unless it fails, and then the snapshot
 * is not used any more. NULL when the base type has to see to it. */
static inline SnapshotObject *
begin(SharedMapObject *self)
{
#ifdef Py_GIL_DISABLED
    SnapshotObject *snapshot = sharedmap_peek(self);
#else
    SnapshotObject *snapshot = self->snapshot;
#endif
    if (snapshot != NULL && self->is_following
        && follow_is_hinted(&self->follow, &snapshot->segment))
    {
#ifdef Py_GIL_DISABLED
        Py_DECREF(snapshot);
#endif
        return NULL;
    }
    return snapshot;
}

static inline void
end(SnapshotObject *snapshot)
{
#ifdef Py_GIL_DISABLED
    Py_DECREF(snapshot);
#else
    (void)snapshot;
#endif
}

/* A new reference to the value of the entry that was found, which is not an
 * encoded one. NULL with an exception. */
static inline PyObject *
take_value(SnapshotObject *snapshot, const struct snapshot_probe *probe,
           const struct entry *entry)
{
#ifndef Py_GIL_DISABLED
    struct value_cache *cache = &snapshot->cache;
    if (value_cache_has_places(cache)) {
        PyObject *value = value_cache_get_at(cache, probe->slot);
        if (value == NULL) {
            value = value_unpack(snapshot->state, &entry->value);
            if (value != NULL) {
                value_cache_put_at(cache, probe->slot, value);
            }
        }
        return value;
    }
#endif
    return value_unpack(snapshot->state, &entry->value);
}

static inline void
keep(SnapshotObject *snapshot, PyObject *key, PyObject *value)
{
#ifndef Py_GIL_DISABLED
    if (value_cache_hash(key) != -1) {
        value_cache_put(&snapshot->cache, key, value);
    }
#endif
}

/* ---- one key ------------------------------------------------------------ */

/* UNSETTLED leaves the question, and any exception, to the base type. */
enum outcome { SETTLED, ABSENT, UNSETTLED };

/* Looks into the snapshot. With `value`, fills a new reference to the value if
 * SETTLED. */
static enum outcome
look_up(SharedMapObject *self, PyObject *key, PyObject **value)
{
    struct snapshot_probe probe;
    struct entry entry;
    struct text text;
    bool is_found;
    enum outcome outcome = UNSETTLED;
    if (!PyUnicode_CheckExact(key)) {
        return UNSETTLED;
    }
    SnapshotObject *snapshot = begin(self);
    if (snapshot == NULL) {
        return UNSETTLED;
    }
    if (text_encode(&text, key) < 0) {
        PyErr_Clear();
        goto done;
    }
    probe.key = text.slice;
    if (snapshot_find_slot(&snapshot->view, &probe, &entry, &is_found)
        == STATUS_OK)
    {
        if (!is_found) {
            outcome = ABSENT;
        }
        else if (value == NULL) {
            outcome = SETTLED;
        }
        else if (entry.value.type != VALUE_ENCODED) {
            *value = take_value(snapshot, &probe, &entry);
            if (*value != NULL) {
                outcome = SETTLED;
                keep(snapshot, key, *value);
            }
            else {
                PyErr_Clear();
            }
        }
    }
    text_clear(&text);
done:
    end(snapshot);
    return outcome;
}

/* A new reference to the value of an exact str, from the cache; NULL without an
 * exception when it is not there. */
static inline PyObject *
recall(SnapshotObject *snapshot, PyObject *key)
{
#ifdef Py_GIL_DISABLED
    return NULL;
#else
    return value_cache_get(&snapshot->cache, key);
#endif
}

static inline PyObject *
recall_by_handle(SharedMapObject *self, PyObject *key)
{
#ifdef Py_GIL_DISABLED
    return NULL;
#else
    SnapshotObject *snapshot = PyUnicode_CheckExact(key) ? begin(self) : NULL;
    return snapshot != NULL ? recall(snapshot, key) : NULL;
#endif
}

int
sharedmap_sq_contains(PyObject *self, PyObject *key)
{
    PyObject *value = recall_by_handle((SharedMapObject *)self, key);
    if (value != NULL) {
        Py_DECREF(value);
        return 1;
    }
    switch (look_up((SharedMapObject *)self, key, NULL)) {
    case SETTLED:
        return 1;
    case ABSENT:
        return 0;
    case UNSETTLED:
        break;
    }
    return mapping_sq_contains(self, key);
}

/* What is not in the cache is looked up out of line: a hit must not pay for
 * the frame of a search. */
static __attribute__((noinline)) PyObject *
subscript_uncached(PyObject *self, PyObject *key)
{
    PyObject *value;
    switch (look_up((SharedMapObject *)self, key, &value)) {
    case SETTLED:
        return value;
    case ABSENT:
        PyErr_SetObject(PyExc_KeyError, key);
        return NULL;
    case UNSETTLED:
        break;
    }
    return mapping_mp_subscript(self, key);
}

PyObject *
sharedmap_mp_subscript(PyObject *self, PyObject *key)
{
    PyObject *value = recall_by_handle((SharedMapObject *)self, key);
    return value != NULL ? value : subscript_uncached(self, key);
}

PyObject *
sharedmap_py_get(PyObject *self, PyObject *const *args, Py_ssize_t count,
                 PyObject *keyword_names)
{
    PyObject *key, *fallback, *value;
    if (arguments_get(args, count, keyword_names, &key, &fallback) < 0) {
        return NULL;
    }
    value = recall_by_handle((SharedMapObject *)self, key);
    if (value != NULL) {
        return value;
    }
    switch (look_up((SharedMapObject *)self, key, &value)) {
    case SETTLED:
        return value;
    case ABSENT:
        return Py_NewRef(fallback);
    case UNSETTLED:
        break;
    }
    return mapping_py_get(self, args, count, keyword_names);
}

/* ---- many keys ---------------------------------------------------------- */

/* How many keys are under way at the same time: enough to fill the time that
 * memory takes, few enough that what arrived is still there. */
enum { GROUP = 32 };

/* A new reference to the answer for one key; NULL with an exception. `probe`
 * is NULL when the key is not ASCII and was not sent ahead. */
static PyObject *
answer_one(SnapshotObject *snapshot, PyObject *key,
           struct snapshot_probe *probe, PyObject *fallback)
{
    struct text text;
    struct snapshot_probe late;
    struct entry entry;
    struct item item;
    bool is_found;
    text.heap = NULL;  // and the room behind it is left as it is
    if (probe == NULL) {
        if (text_encode_key(&text, key) < 0) {
            return NULL;
        }
        late.key = text.slice;
        snapshot_probe_bucket(&snapshot->view, &late);
        probe = &late;
    }
    enum status status =
        snapshot_probe_find(&snapshot->view, probe, &entry, &is_found);
    text_clear(&text);
    if (status != STATUS_OK) {
        return raise_status(snapshot->state, status, NULL);
    }
    if (!is_found) {
        return Py_NewRef(fallback);
    }
    if (entry.value.type != VALUE_ENCODED) {
        PyObject *value = take_value(snapshot, probe, &entry);
        if (value != NULL && PyUnicode_CheckExact(key)) {
            keep(snapshot, key, value);
        }
        return value;
    }
    return item_take(&item, snapshot->state, &entry, ITEM_VALUE,
                     snapshot->decode)
                   < 0
               ? NULL
               : item_finish(&item);
}

/* Looks up `count` keys, GROUP at most, and puts the answers where they belong,
 * in slots that are NULL. -1 with an exception. */
static int
run_group(SnapshotObject *snapshot, PyObject *const *keys, Py_ssize_t count,
          PyObject *fallback, PyObject **answers)
{
    const struct snapshot *view = &snapshot->view;
    struct snapshot_probe probes[GROUP];
    bool is_ahead[GROUP];
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *key = keys[i];
        is_ahead[i] = false;
        if (!PyUnicode_CheckExact(key)) {
            continue;
        }
        answers[i] = recall(snapshot, key);
        if (answers[i] == NULL && PyUnicode_IS_COMPACT_ASCII(key)) {
            probes[i].key = text_ascii_bytes(key);
            snapshot_probe_bucket(view, &probes[i]);
            is_ahead[i] = true;
        }
    }
    if (!snapshot_is_near(view)) {
        for (Py_ssize_t i = 0; i < count; i++) {
            if (is_ahead[i]) {
                snapshot_probe_record(view, &probes[i]);
            }
        }
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (answers[i] == NULL) {
            answers[i] = answer_one(snapshot, keys[i],
                                    is_ahead[i] ? &probes[i] : NULL, fallback);
        }
        if (answers[i] == NULL) {
            return -1;
        }
    }
    return 0;
}

/* Asks for the keys themselves: who made them long ago finds them anywhere in
 * memory. */
static void
prefetch_keys(PyObject *const *keys, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        __builtin_prefetch(keys[i]);
        __builtin_prefetch((const char *)keys[i] + 64);
    }
}

/* A new list of the answers to a tuple of keys. */
static PyObject *
look_up_all(SnapshotObject *snapshot, PyObject *keys, PyObject *fallback)
{
    PyObject *const *items = PySequence_Fast_ITEMS(keys);
    Py_ssize_t count = PyTuple_GET_SIZE(keys);
    PyObject *answers = PyList_New(count);
    if (answers == NULL) {
        return NULL;
    }
    // A decoder could find it otherwise, and clear it.
    PyObject_GC_UnTrack(answers);
    int result = 0;
    prefetch_keys(items, count < GROUP ? count : GROUP);
    for (Py_ssize_t first = 0; result == 0 && first < count; first += GROUP) {
        Py_ssize_t left = count - first;
        Py_ssize_t size = left < GROUP ? left : GROUP;
        prefetch_keys(items + first + size,
                      left - size < GROUP ? left - size : GROUP);
        result = run_group(snapshot, items + first, size, fallback,
                           PySequence_Fast_ITEMS(answers) + first);
    }
    if (result < 0) {
        Py_DECREF(answers);
        return NULL;
    }
    PyObject_GC_Track(answers);
    return answers;
}

/* A tuple of our own: a decoder, another thread, or a finalizer that runs when
 * the answers are allocated could change a list. PySequence_Tuple() itself was
 * no match for such a finalizer before Python 3.12. */
static PyObject *
copy_keys(PyObject *keys)
{
#if !defined(Py_GIL_DISABLED) && PY_VERSION_HEX < 0x030C0000
    while (PyList_CheckExact(keys)) {
        Py_ssize_t count = PyList_GET_SIZE(keys);
        PyObject *copy = PyTuple_New(count);
        if (copy == NULL) {
            return NULL;
        }
        if (PyList_GET_SIZE(keys) == count) {
            for (Py_ssize_t i = 0; i < count; i++) {
                PyTuple_SET_ITEM(copy, i, Py_NewRef(PyList_GET_ITEM(keys, i)));
            }
            return copy;
        }
        Py_DECREF(copy);
    }
#endif
    return PySequence_Tuple(keys);
}

PyObject *
sharedmap_py_get_many(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"keys", "default", NULL};
    PyObject *given, *fallback = Py_None, *answers = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O:get_many", names,
                                     &given, &fallback))
    {
        return NULL;
    }
    SnapshotObject *snapshot = sharedmap_acquire((SharedMapObject *)object);
    if (snapshot == NULL) {
        return NULL;
    }
    PyObject *keys = copy_keys(given);
    if (keys != NULL) {
        answers = look_up_all(snapshot, keys, fallback);
        Py_DECREF(keys);
    }
    Py_DECREF(snapshot);
    return answers;
}
