/* core/base/arena.c
 *
 *     newest -> | older | copy copy copy ... room |
 *                   |
 *                   +-> | older | copy ... |
 *
 * Not here: blocks that are given back one by one; see tree/slab.c.
 */
#include "core/base/arena.h"

#include "core/base/memory.h"

struct arena_chunk {
    struct arena_chunk *older;
    size_t size;
    unsigned char bytes[];
};

/* Each chunk is twice as large as the one before, so that few entries take
 * little memory and many are in huge pages. */
enum { SMALLEST = 1 << 14, LARGEST = 1 << 24 };

static size_t
next_size(const struct arena *arena)
{
    size_t size = SMALLEST;
    if (arena->newest != NULL) {
        size = 2 * (arena->newest->size + sizeof(struct arena_chunk));
    }
    return (size < LARGEST ? size : LARGEST) - sizeof(struct arena_chunk);
}

enum status
arena_grow(struct arena *arena, size_t least)
{
    size_t size = next_size(arena);
    size = least > size ? least : size;
    struct arena_chunk *chunk = NULL;
    if (size <= SIZE_MAX - sizeof(*chunk)) {
        chunk = memory_allocate(sizeof(*chunk) + size);
    }
    if (chunk == NULL) {
        return STATUS_NO_MEMORY;
    }
    chunk->older = arena->newest;
    chunk->size = size;
    arena->newest = chunk;
    arena->free = chunk->bytes;
    arena->room = size;
    return STATUS_OK;
}

void
arena_clear(struct arena *arena)
{
    while (arena->newest != NULL) {
        struct arena_chunk *chunk = arena->newest;
        arena->newest = chunk->older;
        memory_release(chunk);
    }
    arena->free = NULL;
    arena->room = 0;
}
