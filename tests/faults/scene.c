/* tests/faults/scene.c
 *
 *     directory    map      what the name leads to
 *                  map~     what a killed publisher may leave
 *
 * Not here: what happens in between; see kill_everywhere.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "faults/scene.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the directory ------------------------------------------------------ */

static char directory[4096];
static char path[sizeof(directory) + 8];
static char leftover_path[sizeof(path) + 1];

static void
remove_files(void)
{
    DIR *files = opendir(directory);
    struct dirent *file;
    while (files != NULL && (file = readdir(files)) != NULL) {
        char name[sizeof(directory) + sizeof(file->d_name)];
        snprintf(name, sizeof(name), "%s/%s", directory, file->d_name);
        unlink(name);
    }
    if (files != NULL) {
        closedir(files);
    }
}

static void
remove_directory(void)
{
    remove_files();
    rmdir(directory);
}

size_t
scene_count_left(const struct model *found)
{
    DIR *files = opendir(directory);
    struct dirent *file;
    size_t count = 0;
    while (files != NULL && (file = readdir(files)) != NULL) {
        count +=
            strcmp(file->d_name, ".") != 0 && strcmp(file->d_name, "..") != 0;
    }
    if (files != NULL) {
        closedir(files);
    }
    return count - (found->generation > 0);
}

void
scene_create_directory(const char *parent)
{
    snprintf(directory, sizeof(directory), "%s/sharedmap-faults-XXXXXX",
             parent);
    if (mkdtemp(directory) == NULL) {
        perror(directory);
        exit(EXIT_FAILURE);
    }
    atexit(remove_directory);
    snprintf(path, sizeof(path), "%s/map", directory);
    snprintf(leftover_path, sizeof(leftover_path), "%s~", path);
}

const char *
scene_path(void)
{
    return path;
}

size_t
scene_drafts_left(void)
{
    return strcmp(segment_platform(), "portable") == 0;
}

/* ---- before ------------------------------------------------------------- */

static const struct action FIRST = {SHARE,
                                    .values = {"old a", "old b", "old c"}};
static const struct action LEFT_BEHIND = {SHARE, .values = {"lost a"}};

static const struct action WITH_ROOM = {
    SHARE, .values = {"old a", "old b", "old c"}, .filler_count = 60};
static const struct action WITH_LARGE_ROOM = {
    SHARE, .values = {"old a", "old b", "old c"},
    .filler_count = MOST_FILLERS};
static const struct action SMALL_DELTA = {
    UPDATE, .values = {"delta a", "", "", "", "delta e"},
    .leaves_out = {[1] = true}};
static const struct action LARGE_DELTA = {
    UPDATE, .values = {"delta a", "", "", "", "delta e"},
    .leaves_out = {[1] = true}, .refilled_count = 43};
static const struct action YOUNG_DELTA = {
    UPDATE, .values = {"", "", "", "young d"}, .leaves_out = {[0] = true}};

/* What is done, one after the other, to get there. */
static const struct action *const beginnings[][3] = {
    [A_MAP] = {&FIRST},
    [A_LEFTOVER] = {&FIRST},
    [A_ROOM] = {&WITH_ROOM},
    [AN_OLD_DELTA] = {&WITH_ROOM, &SMALL_DELTA},
    [A_MARKED_DELTA] = {&WITH_ROOM, &SMALL_DELTA},
    [A_LARGE_DELTA] = {&WITH_LARGE_ROOM, &LARGE_DELTA},
    [TWO_DELTAS] = {&WITH_LARGE_ROOM, &LARGE_DELTA, &YOUNG_DELTA},
};

const char *
scene_open(struct scene *scene, struct model *found)
{
    struct reader *reader = &scene->readers[scene->reader_count++];
    const char *complaint = reader_open(reader, path);
    *found = reader->model;
    return complaint != NULL ? complaint : file_check(path);
}

static void
prepare(bool is_done)
{
    if (!is_done) {
        fprintf(stderr, "kill_everywhere: cannot even share a map\n");
        exit(EXIT_FAILURE);
    }
}

void
scene_begin(struct scene *scene, enum before before)
{
    struct model found;
    remove_files();
    *scene = (struct scene){.reader_count = 0};
    for (int i = 0; i < 3 && beginnings[before][i] != NULL; i++) {
        prepare(action_run(beginnings[before][i], path) == STATUS_OK);
        prepare(scene_open(scene, &found) == NULL);
        model_apply(&scene->model, beginnings[before][i]);
    }
    scene->had_leftover = before == A_LEFTOVER || before == A_MARKED_DELTA;
    if (scene->had_leftover) {
        prepare(action_run(&LEFT_BEHIND, leftover_path) == STATUS_OK);
        prepare(mark_superseded(path));
    }
}

void
scene_end(struct scene *scene)
{
    while (scene->reader_count > 0) {
        reader_close(&scene->readers[--scene->reader_count]);
    }
}

/* ---- after -------------------------------------------------------------- */

/* What comes after all of them. */
static const struct action NEXT_SHARE = {SHARE, .force = true,
                                         .values = {"", "next b", "next c"}};
static const struct action NEXT_SAVE = {SHARE, .is_durable = true,
                                        .force = true,
                                        .values = {"", "next b", "next c"}};
static const struct action NEXT_UPDATE = {UPDATE, .values = {"next a"},
                                          .leaves_out = {[1] = true}};
static const struct action NEXT_DELTA = {
    UPDATE, .values = {"", "next b", "", "", "next e"},
    .leaves_out = {[3] = true}};
static const struct action NEXT_REMOVE = {.kind = REMOVE};

/* Nobody marks a file that keeps its name, so a follower that can advance
 * comes to what the path leads to. */
static const char *
check_advance(const struct scene *scene, const struct reader *reader)
{
    struct reader newer;
    const char *complaint = reader_advance(reader, &newer);
    if (complaint == NULL && newer.segment.bytes != NULL
        && !model_equals(&newer.model, &scene->model))
    {
        complaint = "a follower advances to something else";
    }
    reader_close(&newer);
    return complaint;
}

const char *
scene_check_readers(const struct scene *scene)
{
    for (int i = 0; i < scene->reader_count; i++) {
        const struct reader *reader = &scene->readers[i];
        const char *complaint = reader_check(reader);
        if (complaint != NULL) {
            return complaint;
        }
        if (!reader_is_current(reader, path) && !reader_is_told(reader)) {
            return "a reader stays on an old map and is not told";
        }
        complaint = check_advance(scene, reader);
        if (complaint != NULL) {
            return complaint;
        }
    }
    return NULL;
}

/* An action that nobody disturbs, and what it must lead to. */
static const char *
act(struct scene *scene, const struct action *action)
{
    struct model found;
    enum status expected = model_apply(&scene->model, action);
    enum status status = action_run(action, path);
    if (status != expected) {
        return status != STATUS_OK ? status_message(status)
                                   : "the next action should have failed";
    }
    const char *complaint = scene_open(scene, &found);
    if (complaint == NULL && !model_equals(&found, &scene->model)) {
        complaint = "the next action leads to something else";
    }
    if (complaint == NULL && scene_count_left(&found) != 0) {
        complaint = "a file is left after the next action";
    }
    if (complaint == NULL && found.generation > 0
        && reader_is_told(&scene->readers[scene->reader_count - 1]))
    {
        complaint = "the next action leaves a mark";
    }
    return complaint != NULL ? complaint : scene_check_readers(scene);
}

const char *
scene_check_aftermath(struct scene *scene, bool is_saved)
{
    // Saving and sharing each clear the leftovers of their own kind.
    const struct action *const actions[] = {
        &NEXT_UPDATE, &NEXT_DELTA, is_saved ? &NEXT_SAVE : &NEXT_SHARE,
        &NEXT_UPDATE, &NEXT_REMOVE};
    // Deltas can only follow what has room for them.
    for (size_t i = scene->model.filler_count > 0 ? 0 : 2; i < 5; i++) {
        const char *complaint = act(scene, actions[i]);
        if (complaint != NULL) {
            return complaint;
        }
    }
    return NULL;
}
