/* core/tree/slab.h
 *
 * Pieces of memory of a few sizes, for the nodes of one tree.
 *
 * The slab owns all of them. A piece that was given back is used again for the
 * next one of its size; memory goes back to the system when the slab is
 * cleared, and then all at once. Not for several threads at a time.
 */
#ifndef SHAREDMAP_CORE_TREE_SLAB_H
#define SHAREDMAP_CORE_TREE_SLAB_H

#include <stddef.h>

enum {
    SLAB_LINE = 64,           // sizes are counted in lines of so many bytes
    SLAB_LARGEST_LINES = 16,  // of a piece
    SLAB_SKEW = 16,           // bytes of a piece before its first whole line
};

struct slab_chunk;
struct slab_piece;

/* Empty when all zero. */
struct slab {
    struct slab_chunk *newest;  // owned, with all older ones
    unsigned char *free;        // where the room of the newest begins
    size_t room;                // in bytes
    struct slab_piece *returned[SLAB_LARGEST_LINES + 1];  // by lines
};

/* A piece of 1 to SLAB_LARGEST_LINES lines that begins SLAB_SKEW bytes before
 * a multiple of SLAB_LINE. NULL without memory. O(1). */
void *
slab_take(struct slab *slab, size_t lines);

/* The lines must be those that it was taken with. O(1). */
void
slab_give(struct slab *slab, void *piece, size_t lines);

void
slab_clear(struct slab *slab);

#endif
