/* core/arena.h
 *
 * Many small copies that are all let go at once. They stay where they are.
 */
#ifndef SHAREDMAP_CORE_ARENA_H
#define SHAREDMAP_CORE_ARENA_H

#include <stdint.h>

#include "core/slice.h"
#include "core/status.h"

struct arena_chunk;

/* Empty when all zero. */
struct arena {
    struct arena_chunk *newest;  // owned, with all older ones
    size_t room;                 // left in it
};

/* Points the slice to a copy of its bytes that the arena owns. */
enum status
arena_keep(struct arena *arena, struct slice *bytes);

void
arena_clear(struct arena *arena);

#endif
