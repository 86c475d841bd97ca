/* binding/sharedmap_handle.h
 *
 * A handle on a published map: its source, and the pointer to its current
 * snapshot.
 *
 * The handle owns a reference to the snapshot. Only the pointer changes. When
 * other threads may use the handle, too, only these functions read or change
 * it. What uses the snapshot first takes a reference of its own; a lookup of
 * one key borrows it instead, since without a GIL two threads that count
 * references of one object spend their time on that.
 */
#ifndef SHAREDMAP_BINDING_SHAREDMAP_HANDLE_H
#define SHAREDMAP_BINDING_SHAREDMAP_HANDLE_H

#include "binding/mapping_type.h"
#include "binding/snapshot_type.h"
#include "binding/state.h"
#include "core/segment/follow.h"
#include "core/segment/readers.h"

/* Whether CPython can leave references from threads' stacks uncounted. */
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
#define HAS_DEFERRED_COUNTS
#endif

/* How many kinds of failures are told apart: errnos, and two more. */
enum { FAILURE_KIND_COUNT = 192 };

/* The source of a handle's snapshot, from which it can be opened again. */
enum source_kind { SOURCE_NAME, SOURCE_PATH, SOURCE_BUFFER };

typedef struct {
    MappingObject base;
    enum source_kind source_kind;
    PyObject *source;  // owned: name or path as str, or the buffer
    PyObject *path;    // owned bytes: the file; NULL for a buffer
    struct open_options open_options;    // for opening the path again
    _Atomic(SnapshotObject *) snapshot;  // owned; NULL when closed
    bool is_following;
    struct follow follow;              // of the path
    _Atomic(PyObject *) follow_error;  // owned; NULL if the last succeeded
    _Atomic uint64_t warned[FAILURE_KIND_COUNT / 64];  // a bit for each kind
    PyObject *weak_references;
#ifdef HAS_DEFERRED_COUNTS
    _Atomic unsigned long creator;  // thread; 0 once others use it, too
#endif
} SharedMapObject;

/* A new handle, open and not following. Takes the reference to the snapshot,
 * also when it fails. */
SharedMapObject *
sharedmap_create(PyTypeObject *type, const struct mapping_methods *methods,
                 SnapshotObject *snapshot, enum source_kind kind,
                 PyObject *source);

/* A new handle on `snapshot` with the source of `self`. It does not follow,
 * and has no state of a subclass. */
SharedMapObject *
sharedmap_pin(SharedMapObject *self, SnapshotObject *snapshot);

/* A snapshot for the length of one lookup. Between borrow and give back nothing
 * waits, releases the GIL or runs Python code. */
struct sharedmap_loan {
    SnapshotObject *snapshot;  // NULL when the handle is closed
#ifdef Py_GIL_DISABLED
    readers_counter counter;
#endif
};

static inline struct sharedmap_loan
sharedmap_borrow(SharedMapObject *self)
{
    struct sharedmap_loan loan;
#ifdef Py_GIL_DISABLED
    loan.counter = readers_enter();
    loan.snapshot = atomic_load(&self->snapshot);
#else
    loan.snapshot =
        atomic_load_explicit(&self->snapshot, memory_order_relaxed);
#endif
    return loan;
}

static inline void
sharedmap_give_back(struct sharedmap_loan loan)
{
#ifdef Py_GIL_DISABLED
    readers_leave(loan.counter);
#else
    (void)loan;
#endif
}

/* A new reference to the current snapshot, without following; NULL without an
 * exception when the handle is closed. */
static inline SnapshotObject *
sharedmap_peek(SharedMapObject *self)
{
    struct sharedmap_loan loan = sharedmap_borrow(self);
    Py_XINCREF(loan.snapshot);
    sharedmap_give_back(loan);
    return loan.snapshot;
}

/* Makes the handle have `newer` if it still has `seen`. Takes the reference to
 * `newer`. */
void
sharedmap_replace(SharedMapObject *self, SnapshotObject *seen,
                  SnapshotObject *newer);

/* A thread has looked up a key. The count of references to a handle that many
 * threads load from a global variable is a cache line that they fight for. So
 * a handle that another thread than its creator uses is counted as functions
 * and modules are. The price: when it is dropped without close(), it lives
 * until the next run of the garbage collector. */
static inline void
sharedmap_note_thread(SharedMapObject *self)
{
#ifdef HAS_DEFERRED_COUNTS
    unsigned long creator =
        atomic_load_explicit(&self->creator, memory_order_relaxed);
    if (creator != 0 && creator != PyThread_get_thread_ident()) {
        atomic_store_explicit(&self->creator, 0, memory_order_relaxed);
        (void)PyUnstable_Object_EnableDeferredRefcount((PyObject *)self);
    }
#else
    (void)self;
#endif
}

/* Takes the reference to the exception of an attempt that failed; NULL for one
 * that succeeded. */
void
sharedmap_set_follow_error(SharedMapObject *self, PyObject *error);

/* A new reference, or NULL without an exception. */
PyObject *
sharedmap_peek_follow_error(SharedMapObject *self);

/* Closes the handle, which may be closed already, when the lookups of other
 * threads are over. */
void
sharedmap_release(SharedMapObject *self);

#endif
