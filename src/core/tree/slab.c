/* core/tree/slab.c
 *
 *     newest -> | older | size | block    | block        | block | room |
 *                   |          ^skew      ^skew
 *                   |
 *                   +-> | older | size | block | ...
 *
 *     returned[2] -> | block | -> | block | -> NULL
 *
 * Each chunk is twice as large as the one before: a small tree takes little
 * memory, and a large one is in huge pages, where the system has some. What a
 * chunk has left when a block does not fit stays unused.
 *
 * Not here: what is in the blocks; see rbtree_node.c.
 */
#include "core/tree/slab.h"

#include <stdint.h>
#include <string.h>

#include "core/base/memory.h"

// gcc defines a macro, clang has a feature test.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ADDRESS_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER
#endif

#if defined(HAS_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#else
/* So that the sanitizer reports the use of a block that was given back. */
#define ASAN_POISON_MEMORY_REGION(address, size)   ((void)(address))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address))
#endif

struct slab_chunk {
    struct slab_chunk *older;
    size_t size;  // includes this struct
};

struct slab_block {
    struct slab_block *next;
};

enum { SMALLEST = 1 << 10, LARGEST = 1 << 24 };

/* False without memory. */
static int
add_chunk(struct slab *slab)
{
    size_t size = slab->newest != NULL ? 2 * slab->newest->size : SMALLEST;
    size = size < LARGEST ? size : LARGEST;
    struct slab_chunk *chunk = memory_allocate(size);
    if (chunk == NULL) {
        return 0;
    }
    *chunk = (struct slab_chunk){.older = slab->newest, .size = size};
    unsigned char *start = (unsigned char *)(chunk + 1);
    start += -((uintptr_t)start + SLAB_SKEW) % SLAB_LINE;
    slab->newest = chunk;
    slab->free = start;
    slab->room = size - (size_t)(start - (unsigned char *)chunk);
    return 1;
}

void *
slab_take(struct slab *slab, size_t lines)
{
    size_t size = lines * SLAB_LINE;
    struct slab_block *block = slab->returned[lines];
    if (block != NULL) {
        ASAN_UNPOISON_MEMORY_REGION(block, size);
        slab->returned[lines] = block->next;
        return block;
    }
    // The smallest chunk has no room for the largest block, the second has.
    while (slab->room < size) {
        if (!add_chunk(slab)) {
            return NULL;
        }
    }
    unsigned char *bytes = slab->free;
    slab->free += size;
    slab->room -= size;
    return bytes;
}

void
slab_give(struct slab *slab, void *address, size_t lines)
{
    struct slab_block *block = address;
    block->next = slab->returned[lines];
    slab->returned[lines] = block;
    ASAN_POISON_MEMORY_REGION(block, lines * SLAB_LINE);
}

void
slab_clear(struct slab *slab)
{
    while (slab->newest != NULL) {
        struct slab_chunk *chunk = slab->newest;
        slab->newest = chunk->older;
        ASAN_UNPOISON_MEMORY_REGION(chunk, chunk->size);
        memory_release(chunk);
    }
    memset(slab, 0, sizeof(*slab));
}
