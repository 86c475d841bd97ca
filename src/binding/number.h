/* binding/number.h
 *
 * Python's int and float <-> bytes, alone or in a container.
 */
#ifndef SHAREDMAP_BINDING_NUMBER_H
#define SHAREDMAP_BINDING_NUMBER_H

#include "binding/state.h"
#include "core/base/slice.h"

/* An int as two's complement, little-endian, as short as possible. The slice
 * borrows from the struct, so it must not move. */
struct number {
    struct slice slice;
    unsigned char *heap;  // owned; NULL when not needed
    unsigned char room[8];
};

/* Fills the number of an exact int. -1 with MemoryError. */
int
number_from_long(struct number *number, PyObject *object);

static inline void
number_clear(struct number *number)
{
    PyMem_Free(number->heap);
    number->heap = NULL;
}

/* A new int; `bytes` are not empty, and may change during the call. */
PyObject *
number_to_long(struct slice bytes);

/* Fills the NaNs of the state, for number_to_float(). -1 with MemoryError. */
int
number_create_nans(struct state *state);

/* A float, as a new reference. A NaN is only equal to itself as the same
 * object: for a set of items or a list of values, as for those of a dict. So
 * reading the usual one twice gives one. */
PyObject *
number_to_float(const struct state *state, double number);

#endif
