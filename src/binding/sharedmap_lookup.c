/* binding/sharedmap_lookup.c
 *
 * In Python this file would be:
 *
 *     class sharedmap:  # continued
 *         def __getitem__(self, key_or_slice): ...
 *         def __contains__(self, key): ...
 *         def get(self, key, default=None): ...
 *         def get_many(self, keys, default=None, *, missing="error"): ...
 *
 * The base type can do all of them. Here they are again for the case that
 * counts, an exact str and a simple value, with nothing in between:
 *
 *     str --> value cache --> UTF-8 --> hash --> bucket --> record --> value
 *                  |                                                    |
 *                  +-------------------- result <-----------------------+
 *
 * Everything else goes to the base type. So does a lookup that fails; the base
 * type then raises the exception.
 *
 * Not here: the base type; see mapping_type.c.
 */
#include "binding/sharedmap_lookup.h"

#include "binding/arguments.h"
#include "binding/container.h"
#include "binding/errors.h"
#include "binding/many_keys.h"
#include "binding/sharedmap_follow.h"
#include "binding/signals.h"
#include "binding/text.h"
#include "binding/value.h"
#include "core/base/memory.h"
#include "core/snapshot/version_group.h"

/* ---- one key ------------------------------------------------------------ */

/* Whether the base type has to look it up: the handle is closed, or has to
 * advance. */
static inline bool
is_out_of_date(const SharedMapObject *self, const SnapshotObject *snapshot)
{
    return snapshot == NULL
           || (self->is_following
               && follow_is_hinted(&self->follow, &snapshot->segment));
}

/* The caches of this thread, or NULL if it has none. With a GIL each snapshot
 * has one, for all threads. */
static inline struct thread_cache *
own_caches(const struct state *state)
{
#ifdef Py_GIL_DISABLED
    return thread_cache_get(state);
#else
    (void)state;
    return NULL;
#endif
}

/* What was cached of the snapshot, or NULL. Code of the user's may make it the
 * cache of another one. */
static inline struct value_cache *
cache_of(SnapshotObject *snapshot, struct thread_cache *own)
{
#ifdef Py_GIL_DISABLED
    return own != NULL ? thread_cache_find(own, snapshot->life) : NULL;
#else
    (void)own;
    return &snapshot->cache;
#endif
}

/* The same, to put something in. */
static inline struct value_cache *
cache_to_fill(SnapshotObject *snapshot, struct thread_cache *own)
{
    struct value_cache *cache = cache_of(snapshot, own);
#ifdef Py_GIL_DISABLED
    if (cache == NULL && own != NULL) {
        cache = thread_cache_add(own, snapshot->life,
                                 snapshot_cached_slots(snapshot));
    }
#endif
    return cache;
}

static inline struct key_filter *
key_filter_of(SnapshotObject *snapshot, struct thread_cache *own)
{
#ifdef Py_GIL_DISABLED
    (void)snapshot;
    return &own->key_filter;
#else
    (void)own;
    return &snapshot->state->key_filter;
#endif
}

/* A new reference to the value of the entry that was found, a simple one. NULL
 * with an exception. */
static inline PyObject *
take_value(SnapshotObject *snapshot, struct thread_cache *own, PyObject *key,
           const struct snapshot_probe *probe, const struct entry *entry)
{
    struct value_cache *cache = cache_to_fill(snapshot, own);
    PyObject *value = NULL;
    if (cache == NULL) {
        return value_unpack(snapshot->state, &entry->value);
    }
    bool has_slots = value_cache_has_slots(cache);
    if (has_slots) {
        value = value_cache_get_at(cache, probe->slot);
    }
    if (value == NULL) {
        value = value_unpack(snapshot->state, &entry->value);
        if (value == NULL) {
            return NULL;
        }
        if (has_slots) {
            value_cache_put_at(cache, probe->slot, value);
        }
    }
    if (PyUnicode_CheckExact(key) && value_cache_hash(key) != -1) {
        value_cache_put(cache, key, value);
    }
    return value;
}

/* FALLBACK leaves the lookup, and any exception, to the base type. */
enum outcome { FOUND, ABSENT, FALLBACK };

/* Searches the snapshot for an exact str. With `value`, fills a new reference
 * to the value if FOUND. Of a container these are its bytes: the garbage
 * collector may run when it is built, which has to wait for the end of the
 * loan. */
static enum outcome
lookup_in(SnapshotObject *snapshot, struct thread_cache *own, PyObject *key,
          PyObject **value, bool *is_packed)
{
    struct snapshot_probe probe;
    struct entry entry;
    struct text text;
    bool is_found;
    enum outcome outcome = FALLBACK;
    if (text_encode(&text, key) < 0) {
        PyErr_Clear();
        return FALLBACK;
    }
    probe.key = text.slice;
    if (version_find_slot(&snapshot->version, &probe, &entry, &is_found)
        == STATUS_OK)
    {
        if (!is_found) {
            outcome = ABSENT;
        }
        else if (value == NULL) {
            outcome = FOUND;
        }
        else if (value_is_simple(&entry.value)) {
            *value = take_value(snapshot, own, key, &probe, &entry);
            outcome = *value != NULL ? FOUND : FALLBACK;
        }
        else if (entry.value.type == VALUE_CONTAINER) {
            *value = value_unpack(snapshot->state, &entry.value);
            *is_packed = *value != NULL;
            outcome = *is_packed ? FOUND : FALLBACK;
        }
        if (outcome == FALLBACK) {
            PyErr_Clear();
        }
    }
    text_clear(&text);
    return outcome;
}

/* A new reference to the value of an exact str, from the cache; NULL without
 * an exception when it is not there. */
static inline PyObject *
get_cached(SnapshotObject *snapshot, struct thread_cache *own, PyObject *key)
{
    struct value_cache *cache = cache_of(snapshot, own);
    if (cache == NULL) {
        return NULL;
    }
    PyObject *value = value_cache_get(cache, key);
    if (value == NULL && value_cache_hash(key) == -1
        && (value_cache_holds_all(cache)
            || key_filter_meet(key_filter_of(snapshot, own), key))
        && PyObject_Hash(key) != -1)
    {
        value = value_cache_get(cache, key);
    }
    return value;
}

/* A lookup that began with a loan and was not a hit. It is out of line: a hit
 * must not pay for the stack frame of a search. FOUND without a value is an
 * exception: that of a damaged container, for example. */
static __attribute__((noinline)) enum outcome
lookup_uncached(SharedMapObject *self, struct sharedmap_loan loan,
                struct thread_cache *own, PyObject *key, PyObject **value)
{
    bool is_packed = false;
    enum outcome outcome =
        lookup_in(loan.snapshot, own, key, value, &is_packed);
    sharedmap_give_back(loan);
    sharedmap_note_thread(self);
    if (value != NULL && is_packed) {
        Py_SETREF(*value, container_unpack_bytes(self->base.state, *value));
        return FOUND;
    }
#ifdef Py_GIL_DISABLED
    if (own == NULL) {
        thread_cache_want(self->base.state, 1);
    }
#endif
    return outcome;
}

/* Fills a new reference to the value if FOUND; NULL if it is not cached, where
 * it is not wanted. */
static inline enum outcome
lookup(SharedMapObject *self, PyObject *key, PyObject **value, bool is_wanted)
{
    if (!PyUnicode_CheckExact(key)) {
        return FALLBACK;
    }
    struct thread_cache *own = own_caches(self->base.state);
    struct sharedmap_loan loan = sharedmap_borrow(self);
    if (is_out_of_date(self, loan.snapshot)) {
        sharedmap_give_back(loan);
        return FALLBACK;
    }
    *value = get_cached(loan.snapshot, own, key);
    if (*value != NULL) {
        sharedmap_give_back(loan);
        return FOUND;
    }
    return lookup_uncached(self, loan, own, key, is_wanted ? value : NULL);
}

int
sharedmap_sq_contains(PyObject *self, PyObject *key)
{
    PyObject *value;
    switch (lookup((SharedMapObject *)self, key, &value, false)) {
    case FOUND:
        Py_XDECREF(value);
        return 1;
    case ABSENT:
        return 0;
    case FALLBACK:
        break;
    }
    return mapping_sq_contains(self, key);
}

PyObject *
sharedmap_mp_subscript(PyObject *self, PyObject *key)
{
    PyObject *value;
    switch (lookup((SharedMapObject *)self, key, &value, true)) {
    case FOUND:
        return value;
    case ABSENT:
        PyErr_SetObject(PyExc_KeyError, key);
        return NULL;
    case FALLBACK:
        break;
    }
    return mapping_mp_subscript(self, key);
}

PyObject *
sharedmap_py_get(PyObject *self, PyObject *const *args, Py_ssize_t count,
                 PyObject *keyword_names)
{
    PyObject *key, *fallback, *value;
    if (arguments_get(args, count, keyword_names, &key, &fallback) < 0) {
        return NULL;
    }
    switch (lookup((SharedMapObject *)self, key, &value, true)) {
    case FOUND:
        return value;
    case ABSENT:
        return Py_NewRef(fallback);
    case FALLBACK:
        break;
    }
    return mapping_py_get(self, args, count, keyword_names);
}

/* ---- many keys ---------------------------------------------------------- */

/* How many times all records may be found before repeats are counted, which
 * takes as long as some lookups. The factor cannot overflow: records lie in
 * memory. */
enum { FREE_ROUNDS = 4 };

/* Whether keys without a hash are worth computing it. In a group they are
 * looked up for so little that new ones took 1.1 times as long without a GIL. */
#ifdef Py_GIL_DISABLED
enum { MANY_UNHASHED = false };
#else
enum { MANY_UNHASHED = true };
#endif

/* One call of get_many(). */
struct batch_lookup {
    SnapshotObject *snapshot;             // borrowed
    struct thread_cache *own;             // borrowed, or NULL
    const struct version_filter *filter;  // of the snapshot, or NULL
    PyObject *keys;                       // a borrowed tuple
    const struct many_keys *many;         // borrowed
    uint64_t left;  // bytes of records that may still be unpacked
    bool has_counted_repeats;
};

/* How many keys are not the first of their kind. A str subclass counts as a
 * repeat, since its hash may say anything. -1 without memory. */
static Py_ssize_t
count_repeats(PyObject *keys)
{
    Py_ssize_t count = PyTuple_GET_SIZE(keys), repeats = -1;
    PyObject *distinct = PySet_New(NULL);
    for (Py_ssize_t i = 0; distinct != NULL && i < count; i++) {
        PyObject *key = PyTuple_GET_ITEM(keys, i);
        if (PyUnicode_CheckExact(key) && PySet_Add(distinct, key) < 0) {
            Py_CLEAR(distinct);
        }
    }
    if (distinct != NULL) {
        repeats = count - PySet_GET_SIZE(distinct);
        Py_DECREF(distinct);
    }
    else {
        PyErr_Clear();
    }
    return repeats;
}

/* Counts an entry that was found when all records were, FREE_ROUNDS times. */
static __attribute__((noinline)) enum status
count_beyond(struct batch_lookup *batch, const struct entry *entry)
{
    uint64_t more;
    if (batch->has_counted_repeats) {
        return STATUS_RECORDS_OVERLAP;
    }
    Py_ssize_t repeats = count_repeats(batch->keys);
    if (repeats < 0) {
        return STATUS_NO_MEMORY;
    }
    batch->has_counted_repeats = true;
    if (__builtin_mul_overflow((uint64_t)repeats,
                               batch->snapshot->version.records_size, &more)
        || __builtin_add_overflow(batch->left, more, &batch->left))
    {
        batch->left = UINT64_MAX;
    }
    return snapshot_count_entry(&batch->left, entry);
}

/* Counts an entry that was found. The records of a valid snapshot do not
 * overlap, so different keys together find no more than their region. In a
 * forged one n keys could cost n times its size. STATUS_RECORDS_OVERLAP,
 * STATUS_NO_MEMORY. */
static inline enum status
count_found(struct batch_lookup *batch, const struct entry *entry)
{
    enum status status = snapshot_count_entry(&batch->left, entry);
    return status == STATUS_OK ? STATUS_OK : count_beyond(batch, entry);
}

/* A new reference to the result for one key, whose search came to this; NULL
 * with an exception. */
static PyObject *
take_result(struct batch_lookup *batch, PyObject *key, enum status status,
            const struct snapshot_probe *probe, const struct entry *entry,
            bool is_found)
{
    SnapshotObject *snapshot = batch->snapshot;
    struct item item;
    if (status == STATUS_OK && is_found) {
        status = count_found(batch, entry);
    }
    if (status != STATUS_OK) {
        return raise_status(snapshot->state, status, NULL);
    }
    if (!is_found) {
        return Py_NewRef(batch->many->fallback);
    }
    if (value_is_simple(&entry->value)) {
        return take_value(snapshot, batch->own, key, probe, entry);
    }
    return item_take(&item, snapshot->state, entry, ITEM_VALUE,
                     snapshot->decode)
                   < 0
               ? NULL
               : item_finish(&item);
}

/* The same for a key that is not ASCII, of a subclass, or not a str: it is
 * looked up alone. `at` is its address in the tuple. */
static PyObject *
lookup_alone(struct batch_lookup *batch, PyObject *const *at)
{
    PyObject *key = *at;
    struct text text;
    struct snapshot_probe probe;
    struct entry entry;
    bool is_found;
    if (!PyUnicode_Check(key)) {
        return many_keys_other(batch->many, key,
                               at - PySequence_Fast_ITEMS(batch->keys));
    }
    if (text_encode(&text, key) < 0) {
        return NULL;
    }
    probe.key = text.slice;
    enum status status = version_find_slot(&batch->snapshot->version, &probe,
                                           &entry, &is_found);
    text_clear(&text);
    return take_result(batch, key, status, &probe, &entry, is_found);
}

/* Looks up `count` keys, VERSION_GROUP at most, and fills their results, which
 * are NULL before. -1 with an exception. */
static int
run_group(struct batch_lookup *batch, PyObject *const *keys, Py_ssize_t count,
          PyObject **results)
{
    SnapshotObject *snapshot = batch->snapshot;
    const struct version *version = &snapshot->version;
    struct version_group group;
    bool is_grouped[VERSION_GROUP];
    size_t grouped = 0, next = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *key = keys[i];
        is_grouped[i] = false;
        if (!PyUnicode_CheckExact(key)) {
            continue;
        }
        if (MANY_UNHASHED || value_cache_hash(key) != -1) {
            results[i] = get_cached(snapshot, batch->own, key);
        }
        if (results[i] == NULL && PyUnicode_IS_COMPACT_ASCII(key)) {
            group.probes[grouped++].key = text_ascii_bytes(key);
            is_grouped[i] = true;
        }
    }
    version_group_probe(version, batch->filter, &group, grouped);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (is_grouped[i]) {
            struct entry entry;
            bool is_found;
            enum status status =
                version_group_find(version, &group, next, &entry, &is_found);
            results[i] = take_result(batch, keys[i], status,
                                     &group.probes[next], &entry, is_found);
            next += 1;
        }
        else if (results[i] == NULL) {
            results[i] = lookup_alone(batch, keys + i);
        }
        if (results[i] == NULL) {
            return -1;
        }
    }
    return 0;
}

/* Prefetches the str objects: those created long ago are scattered in memory.
 */
static void
prefetch_keys(PyObject *const *keys, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        __builtin_prefetch(keys[i]);
        __builtin_prefetch((const char *)keys[i] + 64);
    }
}

/* The filter of the snapshot, which is made when it pays for so many keys more.
 * NULL if it does not, or cannot be made. */
static const struct version_filter *
take_filter(SnapshotObject *snapshot, uint64_t count)
{
    struct version_filter *filter = atomic_load(&snapshot->filter);
    if (filter != NULL || snapshot->version.delta_count == 0
        || !version_filter_pays(&snapshot->version,
                                atomic_fetch_add(&snapshot->looked_up, count)
                                    + count))
    {
        return filter;
    }
    struct version_filter *made = version_filter_make(&snapshot->version);
    if (!atomic_compare_exchange_strong(&snapshot->filter, &filter, made)) {
        memory_release(made);  // another thread was faster
        return filter;
    }
    return made;
}

/* A new list of the results for a tuple of keys. */
static PyObject *
lookup_all(SnapshotObject *snapshot, PyObject *keys,
           const struct many_keys *many)
{
    PyObject *const *items = PySequence_Fast_ITEMS(keys);
    Py_ssize_t count = PyTuple_GET_SIZE(keys);
#ifdef Py_GIL_DISABLED
    if (own_caches(snapshot->state) == NULL) {
        thread_cache_want(snapshot->state, (size_t)count);
    }
#endif
    struct batch_lookup batch = {
        .snapshot = snapshot,
        .own = own_caches(snapshot->state),
        .filter = take_filter(snapshot, (uint64_t)count),
        .keys = keys,
        .many = many,
        .left = FREE_ROUNDS * snapshot->version.records_size,
    };
    PyObject *results = PyList_New(count);
    if (results == NULL) {
        return NULL;
    }
    // Otherwise a decoder could find the list through gc, and clear it.
    PyObject_GC_UnTrack(results);
    int result = 0;
    prefetch_keys(items, count < VERSION_GROUP ? count : VERSION_GROUP);
    for (Py_ssize_t first = 0; result == 0 && first < count;
         first += VERSION_GROUP)
    {
        Py_ssize_t left = count - first;
        Py_ssize_t size = left < VERSION_GROUP ? left : VERSION_GROUP;
        prefetch_keys(items + first + size, left - size < VERSION_GROUP
                                                ? left - size
                                                : VERSION_GROUP);
        result = run_group(&batch, items + first, size,
                           PySequence_Fast_ITEMS(results) + first);
        result = result == 0 ? signals_check() : result;
    }
    if (result < 0) {
        Py_DECREF(results);
        return NULL;
    }
    PyObject_GC_Track(results);
    return results;
}

PyObject *
sharedmap_py_get_many(PyObject *object, PyObject *args, PyObject *keywords)
{
    struct many_keys many;
    PyObject *results = NULL;
    if (many_keys_parse(&many, args, keywords) < 0) {
        return NULL;
    }
    SnapshotObject *snapshot = sharedmap_acquire((SharedMapObject *)object);
    if (snapshot == NULL) {
        return NULL;
    }
    PyObject *keys = many_keys_collect(&many);
    if (keys != NULL) {
        results = lookup_all(snapshot, keys, &many);
        Py_DECREF(keys);
    }
    Py_DECREF(snapshot);
    return results;
}
