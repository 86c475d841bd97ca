/* binding/sharedmap_digest.c
 *
 * In Python this file would be:
 *
 *     def _content_digest(self, keys=None, /): ...  # an int below 2**128
 *
 * Not here: what is hashed; see core/snapshot/version_digest.h.
 */
#include "binding/sharedmap_digest.h"

#include "binding/arguments.h"
#include "binding/errors.h"
#include "binding/number.h"
#include "binding/sharedmap_follow.h"
#include "binding/sharedmap_handle.h"
#include "binding/signals.h"
#include "binding/snapshot_type.h"
#include "binding/text.h"
#include "core/base/arena.h"
#include "core/base/memory.h"
#include "core/base/sort.h"
#include "core/snapshot/version_digest.h"

/* Copies of keys. */
struct keys {
    struct entry *entries;  // owned; without values
    size_t count;
    struct arena arena;  // what the entries borrow from
};

static void
keys_clear(struct keys *keys)
{
    memory_release(keys->entries);
    arena_clear(&keys->arena);
}

/* Adds a key, for which there is room. -1 with TypeError or MemoryError. */
static int
keys_add(struct keys *keys, PyObject *key)
{
    struct text text;
    if (text_encode_key(&text, key, "_content_digest()") < 0) {
        return -1;
    }
    struct entry entry = {.key = text.slice};
    enum status status = arena_keep(&keys->arena, &entry.key);
    text_clear(&text);
    if (status != STATUS_OK) {
        PyErr_NoMemory();
        return -1;
    }
    keys->entries[keys->count++] = entry;
    return 0;
}

/* Fills empty keys from an iterable, in its order. -1 with an exception. */
static int
keys_fill(struct keys *keys, PyObject *iterable)
{
    struct signals_steps steps = {0};
    int result = -1;
    if (arguments_check_keys("_content_digest()", "keys", iterable) < 0) {
        return -1;
    }
    PyObject *tuple = PySequence_Tuple(iterable);
    if (tuple == NULL) {
        return -1;
    }
    const Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    keys->entries =
        memory_allocate_array((size_t)count, sizeof(*keys->entries));
    if (keys->entries == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (signals_step(&steps) < 0
            || keys_add(keys, PyTuple_GET_ITEM(tuple, i)) < 0)
        {
            goto done;
        }
    }
    result = 0;
done:
    Py_DECREF(tuple);
    return result;
}

/* An int that is not negative. */
static PyObject *
number_of_digest(const struct version_digest *digest)
{
    unsigned char bytes[17] = {0};
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(digest->low >> 8 * i);
        bytes[8 + i] = (unsigned char)(digest->high >> 8 * i);
    }
    return number_to_long((struct slice){bytes, sizeof(bytes)});
}

static enum status
digest_keys(const struct version *version, struct keys *keys,
            struct version_digest *digest, const struct interrupt *interrupt)
{
    // Sorting drops duplicates.
    enum status status = sort_entries(&keys->entries, &keys->count, interrupt);
    return status == STATUS_OK
               ? version_digest_keys(version, keys->entries, keys->count,
                                     digest, interrupt)
               : status;
}

/* Of the entries with these keys; of all, where `keys` is NULL. */
static PyObject *
content_digest(SharedMapObject *self, struct keys *keys)
{
    SnapshotObject *snapshot = sharedmap_acquire(self);
    if (snapshot == NULL) {
        return NULL;
    }
    const struct version *version = &snapshot->version;
    struct signals signals;
    struct interrupt interrupt;
    struct version_digest digest;
    signals_begin(&signals, SIGNALS_NOW, &interrupt);
    enum status status =
        keys != NULL ? digest_keys(version, keys, &digest, &interrupt)
                     : version_digest_all(version, &digest, &interrupt);
    signals_end(&signals);
    Py_DECREF(snapshot);
    return status == STATUS_OK ? number_of_digest(&digest)
                               : raise_status(self->base.state, status, NULL);
}

PyObject *
sharedmap_py_content_digest(PyObject *object, PyObject *args)
{
    SharedMapObject *self = (SharedMapObject *)object;
    PyObject *iterable = Py_None, *result = NULL;
    if (!PyArg_ParseTuple(args, "|O:_content_digest", &iterable)) {
        return NULL;
    }
    if (iterable == Py_None) {
        return content_digest(self, NULL);
    }
    struct keys keys = {.entries = NULL};
    if (keys_fill(&keys, iterable) == 0) {
        result = content_digest(self, &keys);
    }
    keys_clear(&keys);
    return result;
}
