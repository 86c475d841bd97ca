/* tests/faults/maps.h
 *
 * Small maps twice: as the core publishes them, and as a model, a struct that
 * is so simple that it is right by sight. What one reads from the core must
 * be what the model says.
 *
 *     action --- action_run() ----> core ---> file ---- reader_open() ---+
 *        |                                                               |
 *        +------ model_apply() ---> struct model -------- equal? --------+
 */
#ifndef SHAREDMAP_TESTS_FAULTS_MAPS_H
#define SHAREDMAP_TESTS_FAULTS_MAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/segment/segment.h"

/* Keys are "a", "b", ... */
enum { KEY_COUNT = 6, VALUE_ROOM = 16 };

/* A map gets deltas when it is large enough. So there are fillers besides,
 * behind all keys; some of them may have another value by now. */
enum { MOST_FILLERS = 520, MOST_REFILLED_SIZE = 2000 };

/* What a name leads to: values by their key, an empty one for no entry. */
struct model {
    uint64_t generation;  // 0 when the name leads nowhere
    char values[KEY_COUNT][VALUE_ROOM];
    int filler_count;
    int refilled_count;  // the first of them
    int refilled_size;   // all of these; 0 for a small one
};

enum action_kind { SHARE, UPDATE, REMOVE, COMPACT, OPEN };

struct action {
    enum action_kind kind;
    bool force;
    bool is_durable;  // as saving to a file is
    bool has_expected;
    uint64_t expected;
    char values[KEY_COUNT][VALUE_ROOM];  // to share, or to put
    bool leaves_out[KEY_COUNT];          // of an update
    int filler_count;                    // to share
    int refilled_count;                  // of an update, ...
    int refilled_size;                   // ... instead of all refilled before
};

/* What the core would answer, after changing the model accordingly. */
enum status
model_apply(struct model *model, const struct action *action);

bool
model_equals(const struct model *left, const struct model *right);

enum status
action_run(const struct action *action, const char *path);

/* Sets the word in the map that the path leads to, as a publisher does just
 * before the rename. */
bool
mark_superseded(const char *path);

/* Somebody who opened what the path led to, and keeps it open. */
struct reader {
    struct segment segment;  // owned; empty when there was nothing
    struct model model;      // what it held when it was opened
    unsigned delta_count;    // likewise
};

#define READER_EMPTY ((struct reader){.segment = {.bytes = NULL}})

/* Opens and reads every entry. NULL, or what is wrong; that the path leads
 * nowhere is not wrong. */
const char *
reader_open(struct reader *reader, const char *path);

/* Reads again. NULL, or what is wrong. */
const char *
reader_check(const struct reader *reader);

/* Fills another reader with the newest version of the file that this one has,
 * as a follower advances; without one it stays empty. NULL, or what is wrong.
 */
const char *
reader_advance(const struct reader *reader, struct reader *newer);

/* Whether something says that it should look at the path again. True when
 * there is nothing to be told. */
bool
reader_is_told(const struct reader *reader);

/* Whether the path leads to what the reader has; also when both are nothing. */
bool
reader_is_current(const struct reader *reader, const char *path);

/* What is wrong with the file that the path leads to, or NULL: it has a page
 * for each of its bytes, so that no reader falls into a hole. */
const char *
file_check(const char *path);

void
reader_close(struct reader *reader);

#endif
