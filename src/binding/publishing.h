/* binding/publishing.h
 *
 * Publishes sorted entries under a name or as a file, and removes names: the
 * part that all publishing functions share.
 */
#ifndef SHAREDMAP_BINDING_PUBLISHING_H
#define SHAREDMAP_BINDING_PUBLISHING_H

#include "binding/name.h"
#include "binding/state.h"
#include "core/base/entry.h"
#include "core/publish.h"

/* The target, and the result. */
struct target {
    PyObject *object;    // borrowed: the name or path as the user gave it
    const char *path;    // borrowed
    struct slice label;  // borrowed
    struct publish_options options;
    enum snapshot_index index;
    uint16_t value_alignment;
    bool exist_ok;        // a name that is taken is no error
    uint64_t needed;      // filled: the size of the snapshot
    uint64_t available;   // filled where that does not fit
    uint64_t generation;  // filled: what is published now
};

/* Publishes, without the GIL. */
enum status
publishing_run(struct target *target, const struct entry *entries,
               size_t count);

/* -1 with ValueError if exist_ok is given with what replaces a map. */
int
publishing_check_exist_ok(const struct target *target);

/* True for success, False for a name that may be taken and is, or NULL with
 * the exception. */
PyObject *
publishing_result(struct state *state, const struct target *target,
                  enum status status);

/* StaleError for the generation that was found, 0 for none. Returns NULL. */
PyObject *
publishing_raise_stale(struct state *state, PyObject *name,
                       const struct expectation *expected, uint64_t found);

/* remove(name, *, timeout=5.0): True, or False when there was none. NULL with
 * an exception. */
PyObject *
publishing_remove(struct state *state, PyObject *args, PyObject *keywords);

/* A converter for PyArg_Parse: permission bits into an unsigned. The owner
 * must be able to read and write; group and others must not write. */
int
publishing_mode(PyObject *object, void *address);

/* A converter for PyArg_Parse: "hash" or "tree" into enum snapshot_index. */
int
publishing_index(PyObject *object, void *address);

/* A converter for PyArg_Parse: 8, 16, 32 or 64 into the uint16_t of
 * snapshot_options. */
int
publishing_align(PyObject *object, void *address);

/* A converter for PyArg_Parse: None, a generation or an id, into the options.
 */
int
publishing_expect(PyObject *object, void *address);

enum { PUBLISHING_DEFAULT_MODE = 0600 };

/* How long to wait for the lock, in nanoseconds. An update waits longer: the
 * one before it writes the whole map. */
#define PUBLISHING_DEFAULT_TIMEOUT INT64_C(5000000000)
#define PUBLISHING_UPDATE_TIMEOUT  INT64_C(60000000000)

#endif
