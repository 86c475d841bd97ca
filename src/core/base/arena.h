/* core/base/arena.h
 *
 * An allocator for many small copies that are freed all at once. They never
 * move.
 */
#ifndef SHAREDMAP_CORE_BASE_ARENA_H
#define SHAREDMAP_CORE_BASE_ARENA_H

#include <stdint.h>

#include "core/base/slice.h"
#include "core/base/status.h"

struct arena_chunk;

/* Empty when all zero. */
struct arena {
    struct arena_chunk *newest;  // owned, with all older ones
    unsigned char *free;         // its first unused byte; NULL without a chunk
    size_t room;                 // unused bytes
};

/* Makes room for `size` contiguous bytes. */
enum status
arena_grow(struct arena *arena, size_t size);

/* Points the slice to a copy of its bytes that the arena owns. */
static inline enum status
arena_keep(struct arena *arena, struct slice *bytes)
{
    if (bytes->size > arena->room || arena->free == NULL) {
        enum status status = arena_grow(arena, bytes->size);
        if (status != STATUS_OK) {
            return status;
        }
    }
    unsigned char *copy = arena->free;
    arena->free = slice_copy(copy, *bytes);
    arena->room -= bytes->size;
    bytes->bytes = copy;
    return STATUS_OK;
}

void
arena_clear(struct arena *arena);

#endif
