/* tests/faults/maps.c
 *
 * Not here: who is killed on the way; see kill_everywhere.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "faults/maps.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/compact.h"
#include "core/publish.h"
#include "core/snapshot/version.h"
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

/* A small map has large fillers: half of it is the room for deltas. */
enum {
    FILLER_KEY_SIZE = 6,
    SMALL_FILLER = 4,
    LARGE_FILLER = 200,
    REFILLED_SMALL = SMALL_FILLER / 2,
};

static char filler_keys[MOST_FILLERS][FILLER_KEY_SIZE];
static unsigned char filler_bytes[MOST_REFILLED_SIZE];

static struct entry
filler_at(int i, size_t size)
{
    snprintf(filler_keys[i], FILLER_KEY_SIZE, "z%03d", i);
    struct slice bytes = {filler_bytes, size};
    return (struct entry){slice_of(filler_keys[i]),
                          (struct value){bytes, VALUE_BYTES}};
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
    if (action->kind == COMPACT || (action->kind == OPEN && is_there)) {
        return STATUS_OK;
    }
    if (action->kind != SHARE && !is_there) {
        return STATUS_NAME_ABSENT;
    }
    if (action->kind == REMOVE) {
        *model = (struct model){0};
        return STATUS_OK;
    }
    model->generation += 1;
    if (action->kind == SHARE) {
        model->filler_count = action->filler_count;
        model->refilled_count = 0;
        model->refilled_size = 0;
    }
    if (action->refilled_count > model->refilled_count) {
        model->refilled_count = action->refilled_count;
        model->refilled_size = action->refilled_size;
    }
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
           && left->filler_count == right->filler_count
           && left->refilled_count == right->refilled_count
           && left->refilled_size == right->refilled_size
           && memcmp(left->values, right->values, sizeof(left->values)) == 0;
}

/* ---- the core ----------------------------------------------------------- */

static const struct open_options opening = {.follows_links = false};

static enum status
open_and_close(const char *path)
{
    struct segment segment;
    struct version version;
    enum status status = segment_open(&segment, path, opening, NULL);
    if (status == STATUS_OK) {
        status =
            version_open(&version, segment.bytes, segment.size, segment.head);
        segment_close(&segment);
    }
    return status;
}

/* The values that are not empty, in the order of their keys, and fillers. */
static size_t
fill_entries(struct entry *entries, const struct action *action)
{
    size_t count = 0;
    for (int i = 0; i < KEY_COUNT; i++) {
        if (action->values[i][0] != '\0') {
            struct value value = {slice_of(action->values[i]), VALUE_STR};
            entries[count++] = (struct entry){key_at(i), value};
        }
    }
    const size_t size =
        action->filler_count < MOST_FILLERS ? LARGE_FILLER : SMALL_FILLER;
    for (int i = 0; i < action->filler_count; i++) {
        entries[count++] = filler_at(i, size);
    }
    for (int i = 0; i < action->refilled_count; i++) {
        entries[count++] = filler_at(i, action->refilled_size > 0
                                            ? (size_t)action->refilled_size
                                            : REFILLED_SMALL);
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
    struct entry puts[KEY_COUNT + MOST_FILLERS], removals[KEY_COUNT];
    struct slice label = slice_of("faults");
    size_t count = fill_entries(puts, action);
    if (action->kind == REMOVE) {
        return segment_remove(path, NULL);
    }
    if (action->kind == OPEN) {
        return open_and_close(path);
    }
    if (action->kind == COMPACT) {
        return compact_segment(path, label, &(struct lock_options){0});
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
        .expected.has_generation = action->has_expected,
        .expected.generation = action->expected,
    };
    struct snapshot_options layout = {.label = label, .index = INDEX_HASH};
    enum status status = publish_plan(&plan, puts, count, &layout);
    return status == STATUS_OK ? publish_to_segment(&plan, path, &options)
                               : status;
}

bool
mark_superseded(const char *path)
{
    uint32_t head;
    const off_t at = offsetof(struct snapshot_header, head);
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (descriptor < 0) {
        return false;
    }
    ssize_t size = pread(descriptor, &head, sizeof(head), at);
    if (size == sizeof(head)) {
        head |= HEAD_SUPERSEDED;
        size = pwrite(descriptor, &head, sizeof(head), at);
    }
    close(descriptor);
    return size == sizeof(head);
}

/* ---- readers ------------------------------------------------------------ */

/* Fills in the model what the entry is. */
static bool
take_entry(struct model *model, const struct entry *entry)
{
    struct slice key = entry->key, bytes = entry->value.bytes;
    if (key.size == FILLER_KEY_SIZE - 2) {
        struct entry other = filler_at(model->filler_count, 0);
        bool is_refilled =
            bytes.size != LARGE_FILLER && bytes.size != SMALL_FILLER;
        if (is_refilled && bytes.size != REFILLED_SMALL) {
            model->refilled_size = (int)bytes.size;
        }
        model->refilled_count += is_refilled;
        model->filler_count += 1;
        // Those come first.
        return model->filler_count <= MOST_FILLERS
               && slice_equals(key, other.key)
               && (!is_refilled
                   || model->refilled_count == model->filler_count);
    }
    int at = key.size == 1 ? key.bytes[0] - keys[0] : -1;
    if (at < 0 || at >= KEY_COUNT || bytes.size >= VALUE_ROOM) {
        return false;
    }
    slice_copy(model->values[at], bytes);
    return true;
}

/* Whether a lookup of the entry's key leads to it, and to its rank. */
static bool
is_found(const struct version *version, uint64_t rank,
         const struct entry *entry)
{
    struct entry found;
    bool is_there;
    uint64_t index;
    return version_find(version, entry->key, &found, &is_there) == STATUS_OK
           && is_there && value_equals(&found.value, &entry->value)
           && version_seek(version, entry->key, &index) == STATUS_OK
           && index == rank;
}

/* Whether none of the keys that the model does not have is found. */
static bool
others_are_absent(const struct version *version, const struct model *model)
{
    for (int i = 0; i < KEY_COUNT; i++) {
        struct entry found;
        bool is_there;
        if (version_find(version, key_at(i), &found, &is_there) != STATUS_OK
            || is_there != (model->values[i][0] != '\0'))
        {
            return false;
        }
    }
    return true;
}

/* Fills the model from the bytes, each of which is looked at. */
static const char *
read_all(struct reader *reader)
{
    const struct segment *segment = &reader->segment;
    struct model *model = &reader->model;
    struct version version;
    struct version_cursor cursor = {{0}};
    *model = (struct model){0};
    if (version_open(&version, segment->bytes, segment->size, segment->head)
        != STATUS_OK)
    {
        return "the map cannot be read";
    }
    if (version_verify(&version, NULL) != STATUS_OK) {
        return "the map is damaged";
    }
    reader->delta_count = version.delta_count;
    model->generation = version.generation;
    for (uint64_t i = 0; i < version.entry_count; i++) {
        struct entry entry;
        if (version_at(&version, &cursor, i, &entry) != STATUS_OK
            || !take_entry(model, &entry))
        {
            return "an entry of the map is none of ours";
        }
        if (!is_found(&version, i, &entry)) {
            return "a lookup does not lead to what is there";
        }
    }
    return others_are_absent(&version, model)
               ? NULL
               : "a lookup leads to what is not there";
}

const char *
reader_open(struct reader *reader, const char *path)
{
    *reader = READER_EMPTY;
    enum status status = segment_open(&reader->segment, path, opening, NULL);
    if (status == STATUS_NAME_ABSENT) {
        return NULL;
    }
    if (status != STATUS_OK) {
        return status_message(status);
    }
    return read_all(reader);
}

const char *
reader_check(const struct reader *reader)
{
    struct reader now = *reader;
    if (reader->segment.bytes == NULL) {
        return NULL;
    }
    const char *complaint = read_all(&now);
    if (complaint == NULL && !model_equals(&now.model, &reader->model)) {
        complaint = "an open map changed its contents";
    }
    return complaint;
}

const char *
reader_advance(const struct reader *reader, struct reader *newer)
{
    *newer = READER_EMPTY;
    if (reader->segment.bytes == NULL
        || segment_advance(&newer->segment, &reader->segment) != STATUS_OK)
    {
        return NULL;
    }
    return read_all(newer);
}

const char *
file_check(const char *path)
{
    struct stat file;
    if (stat(path, &file) < 0) {
        return NULL;
    }
    return file.st_blocks * 512 < file.st_size ? "the file has a hole" : NULL;
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
               : segment_check_current(&reader->segment, path, opening)
                     == STATUS_UNCHANGED;
}

void
reader_close(struct reader *reader)
{
    segment_close(&reader->segment);
    *reader = READER_EMPTY;
}
