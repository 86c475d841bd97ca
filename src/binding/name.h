/* binding/name.h
 *
 * The name of a map, from a Python argument to a path and a label.
 */
#ifndef SHAREDMAP_BINDING_NAME_H
#define SHAREDMAP_BINDING_NAME_H

#include "binding/state.h"
#include "binding/text.h"
#include "core/segment/segment.h"

struct name {
    struct text text;  // borrows from the str; also the label of the snapshot
    char path[SEGMENT_PATH_SIZE];
};

/* -1 with TypeError when it is not a str, which names `caller`, the operation
 * that the user called; ValueError when it cannot be a name. Clear the text even
 * so: name_clear() accepts both outcomes. */
int
name_parse(struct state *state, struct name *name, PyObject *object,
           const char *caller);

void
name_clear(struct name *name);

#endif
