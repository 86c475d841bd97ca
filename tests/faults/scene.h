/* tests/faults/scene.h
 *
 * Where a point plays: a directory of its own, what is published there before
 * somebody is killed, who has it open, and what must hold afterwards.
 *
 * Functions that check answer NULL, or one sentence of what is wrong.
 */
#ifndef SHAREDMAP_TESTS_FAULTS_SCENE_H
#define SHAREDMAP_TESTS_FAULTS_SCENE_H

#include <stddef.h>

#include "faults/maps.h"

/* Makes the directory; it goes when the program ends. */
void
scene_create_directory(const char *parent);

/* The one path that maps are published under. */
const char *
scene_path(void);

/* The files besides the map that was found. */
size_t
scene_count_left(const struct model *found);

/* How many of them a kill leaves before the draft is linked to a name: 1 where
 * it has a name from the beginning. */
size_t
scene_drafts_left(void);

/* What is there before. A leftover is what somebody leaves who was killed just
 * before the rename: the map is marked, and there is a file too many. */
enum before {
    NOTHING,
    A_MAP,
    A_LEFTOVER,
    A_ROOM,          // a map behind which deltas may follow
    AN_OLD_DELTA,    // that is so small that the next one folds it
    A_MARKED_DELTA,  // the same, with a leftover
    A_LARGE_DELTA,   // that the next one lies over
    TWO_DELTAS,
};

/* Everybody who opened the map at some time during one point. */
struct scene {
    struct model model;  // what the path leads to by now
    struct reader readers[12];
    int reader_count;
    bool had_leftover;
};

/* Removes all files and publishes what is there before. */
void
scene_begin(struct scene *scene, enum before before);

/* Closes what the readers have open. */
void
scene_end(struct scene *scene);

/* One more reader, who stays until the end; fills what it found. */
const char *
scene_open(struct scene *scene, struct model *found);

/* Whoever has something open that is not what the path leads to must be able
 * to see that by one load, and to advance to it if it is in the same file; and
 * what is open stays as it is. */
const char *
scene_check_readers(const struct scene *scene);

/* What happened must not be in the way of those who come next: they share, or
 * save what was saved, update and remove. */
const char *
scene_check_aftermath(struct scene *scene, bool is_saved);

#endif
