/* binding/batch.h
 *
 * Keys and values from Python, gathered and sorted before anything is done
 * with them: a bad one is found before anything has changed.
 *
 * The batch owns the references and the copies that its entries borrow from.
 */
#ifndef SHAREDMAP_BINDING_BATCH_H
#define SHAREDMAP_BINDING_BATCH_H

#include "binding/state.h"
#include "core/base/arena.h"
#include "core/base/entry.h"

struct batch {
    struct state *state;    // borrowed
    PyObject *encode;       // owned; NULL without an encoder
    const char *caller;     // borrowed: the operation that the user called
    struct entry *entries;  // owned
    size_t count;
    size_t capacity;
    PyObject *held;      // owned list of what the entries borrow from
    struct arena arena;  // copies of small keys and values
};

/* `caller` is for messages, as value_pack() has it. -1 with MemoryError. */
int
batch_init(struct batch *batch, struct state *state, PyObject *encode,
           const char *caller);

void
batch_clear(struct batch *batch);

/* The caller holds references to both objects: the encoder and convertible
 * objects run Python code. -1 with the exceptions of text_encode_key() and
 * value_pack(). */
int
batch_add(struct batch *batch, PyObject *key, PyObject *value);

/* Adds what dict.update() would take: a mapping, or pairs. */
int
batch_add_all(struct batch *batch, PyObject *source);

/* Adds all keys of an iterable, each with this value. */
int
batch_add_keys(struct batch *batch, PyObject *keys, PyObject *value);

/* Fills an empty batch from a sharedmap or a range of one, zero-copy: the
 * batch holds the snapshot, and its entries are sorted. 1 if it was done. 0 if
 * the source is something else, or has a decoder, whose objects then count. -1
 * with SnapshotError when the snapshot is damaged. For a range, damage counts
 * as far as the range shows it. */
int
batch_borrow(struct batch *batch, PyObject *source);

/* Sorts by key; of equal keys the last stays. Releases the GIL. -1 with
 * MemoryError. */
int
batch_sort(struct batch *batch);

#endif
