/* core/arena.c
 *
 *     newest -> | older | copy copy copy ... room |
 *                   |
 *                   +-> | older | copy ... |
 */
#include "core/arena.h"

#include "core/memory.h"

struct arena_chunk {
    struct arena_chunk *older;
    size_t size;
    unsigned char bytes[];
};

enum { CHUNK_SIZE = (1 << 20) - sizeof(struct arena_chunk) };

enum status
arena_keep(struct arena *arena, struct slice *bytes)
{
    if (bytes->size > arena->room || arena->newest == NULL) {
        size_t size = bytes->size > CHUNK_SIZE ? bytes->size : CHUNK_SIZE;
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
        arena->room = size;
    }
    struct arena_chunk *chunk = arena->newest;
    unsigned char *copy = chunk->bytes + (chunk->size - arena->room);
    slice_copy(copy, *bytes);
    arena->room -= bytes->size;
    bytes->bytes = copy;
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
    arena->room = 0;
}
