/* core/tree/slab.h
 *
 * An allocator of memory blocks of a few sizes, for the nodes of one tree.
 *
 * The slab owns all blocks. A block that was given back is reused for the next
 * request of its size. Memory goes back to the system only when the slab is
 * cleared, all at once. Not for several threads at a time.
 */
#ifndef SHAREDMAP_CORE_TREE_SLAB_H
#define SHAREDMAP_CORE_TREE_SLAB_H

#include <stddef.h>

enum {
    SLAB_LINE = 64,           // bytes of a cache line, the unit of sizes
    SLAB_LARGEST_LINES = 16,  // of a block
    SLAB_SKEW = 16,           // bytes of a block before its first full line
};

struct slab_chunk;
struct slab_block;

/* Empty when all zero. */
struct slab {
    struct slab_chunk *newest;  // owned, with all older ones
    unsigned char *free;        // the first unused byte of the newest
    size_t room;                // in bytes
    struct slab_block *returned[SLAB_LARGEST_LINES + 1];  // by lines
};

/* A block of 1 to SLAB_LARGEST_LINES lines that begins SLAB_SKEW bytes before
 * a multiple of SLAB_LINE. NULL without memory. O(1). */
void *
slab_take(struct slab *slab, size_t lines);

/* The lines must be those that the block was taken with. O(1). */
void
slab_give(struct slab *slab, void *block, size_t lines);

void
slab_clear(struct slab *slab);

#endif
