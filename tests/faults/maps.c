/* tests/faults/maps.c
 *
 * Not here: who is killed on the way; see kill_everywhere.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "faults/maps.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/publish.h"
#include "core/snapshot/snapshot.h"
#include "core/update.h"

static const char keys[] = "abcdef";

_Static_assert(sizeof(keys) - 1 == KEY_COUNT, "a letter for each key");

static struct slice
slice_of(const char *text)
{
    return (struct slice){(const unsigned char *)text, strlen(text)};
}

static struct slice
key_at(int i)
{
    return (struct slice){(const unsigned char *)&keys[i], 1};
}

/* ---- the model ---------------------------------------------------------- */

enum status
model_apply(struct model *model, const struct action *action)
{
    bool is_there = model->generation > 0;
    if (action->kind == SHARE && action->has_expected
        && action->expected != model->generation)
    {
        return STATUS_STALE;
    }
    if (action->kind == SHARE && !action->has_expected && !action->force
        && is_there)
    {
        return STATUS_NAME_TAKEN;
    }
    if (action->kind != SHARE && !is_there) {
        return STATUS_NAME_ABSENT;
    }
    if (action->kind == REMOVE) {
        *model = (struct model){0};
        return STATUS_OK;
    }
    model->generation += 1;
    for (int i = 0; i < KEY_COUNT; i++) {
        if (action->kind == SHARE || action->values[i][0] != '\0') {
            memcpy(model->values[i], action->values[i], VALUE_ROOM);
        }
        else if (action->leaves_out[i]) {
            memset(model->values[i], 0, VALUE_ROOM);
        }
    }
    return STATUS_OK;
}

bool
model_equals(const struct model *left, const struct model *right)
{
    // No value has anything but zeros behind its end.
    return left->generation == right->generation
           && memcmp(left->values, right->values, sizeof(left->values)) == 0;
}

/* ---- the core ----------------------------------------------------------- */

/* The values that are not empty, in the order of their keys. */
static size_t
fill_entries(struct entry entries[KEY_COUNT], const struct action *action)
{
    size_t count = 0;
    for (int i = 0; i < KEY_COUNT; i++) {
        if (action->values[i][0] != '\0') {
            struct value value = {slice_of(action->values[i]), VALUE_STR};
            entries[count++] = (struct entry){key_at(i), value};
        }
    }
    return count;
}

static size_t
fill_removals(struct entry entries[KEY_COUNT], const struct action *action)
{
    size_t count = 0;
    for (int i = 0; i < KEY_COUNT; i++) {
        if (action->leaves_out[i]) {
            entries[count++] = (struct entry){.key = key_at(i)};
        }
    }
    return count;
}

enum status
action_run(const struct action *action, const char *path)
{
    struct entry puts[KEY_COUNT], removals[KEY_COUNT];
    struct slice label = slice_of("faults");
    size_t count = fill_entries(puts, action);
    if (action->kind == REMOVE) {
        return segment_remove(path, NULL);
    }
    if (action->kind == UPDATE) {
        struct publish_update update = {
            .label = label,
            .changes = {puts, count, removals,
                        fill_removals(removals, action)},
        };
        return publish_update(&update, path);
    }
    struct snapshot_plan plan;
    struct publish_options options = {
        .mode = 0600,
        .force = action->force,
        .is_durable = action->is_durable,
        .has_expected = action->has_expected,
        .expected = action->expected,
    };
    struct snapshot_options layout = {.label = label, .index = INDEX_HASH};
    enum status status = publish_plan(&plan, puts, count, &layout);
    return status == STATUS_OK ? publish_to_segment(&plan, path, &options)
                               : status;
}

bool
mark_superseded(const char *path)
{
    const uint32_t one = 1;
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return false;
    }
    ssize_t size = pwrite(descriptor, &one, sizeof(one),
                          offsetof(struct snapshot_header, head));
    close(descriptor);
    return size == sizeof(one);
}

/* ---- readers ------------------------------------------------------------ */

static const struct open_options options = {.follows_links = false};

/* Fills the model from the bytes, each of which is looked at. */
static const char *
read_all(const struct segment *segment, struct model *model)
{
    struct snapshot view;
    *model = (struct model){0};
    if (snapshot_open(&view, segment->bytes, segment->size) != STATUS_OK) {
        return "the map cannot be read";
    }
    if (snapshot_verify(&view, NULL) != STATUS_OK) {
        return "the map is damaged";
    }
    model->generation = view.header.generation;
    for (uint64_t i = 0; i < view.entry_count; i++) {
        struct entry entry;
        if (snapshot_at(&view, i, &entry) != STATUS_OK || entry.key.size != 1
            || entry.value.bytes.size >= VALUE_ROOM)
        {
            return "an entry of the map is none of ours";
        }
        int key = entry.key.bytes[0] - keys[0];
        if (key < 0 || key >= KEY_COUNT) {
            return "a key of the map is none of ours";
        }
        slice_copy(model->values[key], entry.value.bytes);
    }
    return NULL;
}

const char *
reader_open(struct reader *reader, const char *path)
{
    *reader = READER_EMPTY;
    enum status status = segment_open(&reader->segment, path, options, NULL);
    if (status == STATUS_NAME_ABSENT) {
        return NULL;
    }
    if (status != STATUS_OK) {
        return status_message(status);
    }
    return read_all(&reader->segment, &reader->model);
}

const char *
reader_check(const struct reader *reader)
{
    struct model now;
    if (reader->segment.bytes == NULL) {
        return NULL;
    }
    const char *complaint = read_all(&reader->segment, &now);
    if (complaint == NULL && !model_equals(&now, &reader->model)) {
        complaint = "an open map changed its contents";
    }
    return complaint;
}

bool
reader_is_told(const struct reader *reader)
{
    return reader->segment.bytes == NULL
           || segment_is_superseded(&reader->segment);
}

bool
reader_is_current(const struct reader *reader, const char *path)
{
    return reader->segment.bytes == NULL
               ? segment_check_free(path, NULL) == STATUS_OK
               : segment_check_current(&reader->segment, path, options)
                     == STATUS_UNCHANGED;
}

void
reader_close(struct reader *reader)
{
    segment_close(&reader->segment);
    *reader = READER_EMPTY;
}
