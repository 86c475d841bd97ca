/* tests/fuzz/fuzz_publish.c
 *
 * Bytes are a program of puts and removals. The dumbest map there is runs it,
 * an array kept in order by moving what stands behind, and so does one of the
 * ways to a snapshot, which must then have the same entries:
 *
 *     puts, removals --> tree --------------------------> snapshot
 *     puts, removals --> tree --> snapshot, changes ----> snapshot
 *     puts ------------> sort --------------------------> snapshot
 *
 * The first byte chooses the kind of snapshot, the way, and how many of the
 * operations are kept for the changes. One way is enough for an execution:
 * what is found goes by the executions, and these by how little each does.
 */
#include "core/base/sort.h"
#include "core/snapshot/merge.h"
#include "core/tree/rbtree.h"
#include "core/views.h"
#include "fuzz/fuzz.h"

enum { OPERATION_LIMIT = 64, KEY_ROOM = 256 };

/* ---- operations --------------------------------------------------------- */

struct operation {
    struct entry entry;  // borrows from the two below, or from the input
    bool is_removal;
    unsigned char key[KEY_ROOM];
    unsigned char value[KEY_ROOM];
};

static struct operation operations[OPERATION_LIMIT];

/* Where records and comparisons take another way. */
static const uint16_t sizes[] = {0,  1,  7,  8,  9,   15,  16,  17,
                                 32, 33, 59, 60, 123, 124, 255, 256};

/* Some letters again and again until the size is reached: keys have common
 * prefixes, and letters stand where words of eight bytes end. */
static struct slice
fill_bytes(unsigned char room[KEY_ROOM], struct slice *input)
{
    unsigned head = take_byte(input);
    size_t size = sizes[head & 15];
    struct slice letters = take_slice(input, 1 + (head >> 4 & 3));
    memset(room, 'a', size);
    for (size_t i = 0; i < size && letters.size > 0; i++) {
        // Below 128, which is always text; the letters come at the end, too.
        room[head >> 6 & 1 ? size - 1 - i : i] =
            letters.bytes[i % letters.size] & 0x7F;
        if (head >> 7 && i + 1 == letters.size) {
            break;
        }
    }
    return (struct slice){room, size};
}

static void
fill_operation(struct operation *operation, struct slice *input)
{
    static const struct slice of_type[] = {
        [VALUE_NONE] = {(const unsigned char *)"", 0},
        [VALUE_BOOL] = {(const unsigned char *)"\x01", 1},
        [VALUE_INT] = {(const unsigned char *)"\x80\x7F\xFF", 3},
        [VALUE_FLOAT] = {(const unsigned char *)"\0\0\0\0\0\0\xF8\x3F", 8},
        [VALUE_CONTAINER] = {(const unsigned char *)"\x92\x01\x90", 3},
    };
    const bool is_any[VALUE_TYPE_COUNT] = {
        [VALUE_STR] = true, [VALUE_BYTES] = true, [VALUE_ENCODED] = true};
    unsigned head = take_byte(input);
    enum value_type type = (enum value_type)(head % VALUE_TYPE_COUNT);
    operation->is_removal = head >= 192;
    // Half of the keys are one letter, so that short inputs are tall trees.
    if ((head >> 5 & 1) != 0) {
        operation->key[0] = take_byte(input) & 0x7F;
        operation->entry.key = (struct slice){operation->key, 1};
    }
    else {
        operation->entry.key = fill_bytes(operation->key, input);
    }
    operation->entry.value.type = type;
    operation->entry.value.bytes =
        is_any[type] ? fill_bytes(operation->value, input) : of_type[type];
}

/* ---- the oracle --------------------------------------------------------- */

struct array {
    struct entry entries[OPERATION_LIMIT];
    size_t count;
};

static void
array_run(struct array *array, const struct operation *operation)
{
    const struct entry *entry = &operation->entry;
    size_t at = 0;
    while (at < array->count) {
        struct slice other = array->entries[at].key;
        size_t common =
            other.size < entry->key.size ? other.size : entry->key.size;
        int order =
            common > 0 ? memcmp(other.bytes, entry->key.bytes, common) : 0;
        if (order > 0 || (order == 0 && other.size >= entry->key.size)) {
            break;
        }
        at += 1;
    }
    struct entry *place = &array->entries[at];
    size_t behind = array->count - at;
    bool is_there =
        behind > 0 && place->key.size == entry->key.size
        && (entry->key.size == 0
            || memcmp(place->key.bytes, entry->key.bytes, entry->key.size)
                   == 0);
    if (operation->is_removal && is_there) {
        memmove(place, place + 1, (behind - 1) * sizeof(*place));
        array->count -= 1;
    }
    if (!operation->is_removal && !is_there) {
        memmove(place + 1, place, behind * sizeof(*place));
        array->count += 1;
    }
    if (!operation->is_removal) {
        *place = *entry;
    }
}

/* ---- what is compared with it ------------------------------------------- */

static void
check_snapshot(const struct entry *entries, size_t count,
               const struct array *array,
               const struct snapshot_options *options)
{
    struct image image = image_of_entries(entries, count, options);
    check_holds(&image, array->entries, array->count);
    struct snapshot view = open_image(&image);
    for (size_t i = 0; i < OPERATION_LIMIT; i += 16) {
        // Keys of the program that may have been removed again.
        struct slice key = operations[i].entry.key;
        struct entry entry;
        uint64_t index;
        bool is_found, is_there;
        CHECK_STATUS(snapshot_seek(&view, key, &index), STATUS_OK);
        is_there = index < array->count
                   && slice_equals(array->entries[index].key, key);
        CHECK_STATUS(snapshot_find(&view, key, &entry, &is_found), STATUS_OK);
        CHECK_EQUAL(is_found, is_there);
    }
    image_destroy(&image);
}

static void
check_tree(const struct rbtree *tree, const struct array *array)
{
    CHECK(rbtree_check(tree) == NULL);
    CHECK_EQUAL(rbtree_count(tree), array->count);
    const struct rbtree_node *node = rbtree_first(tree);
    for (size_t i = 0; i < array->count; i++) {
        struct entry entry = rbtree_entry(node);
        check_entry(&entry, &array->entries[i]);
        CHECK(rbtree_find(tree, entry.key) == node);
        node = rbtree_next(node);
    }
    CHECK(node == NULL);
}

/* The tree, owned by the caller, and its entries. */
static struct rbtree *
grow_tree(size_t count, struct array *array, struct entry *entries)
{
    struct rbtree *tree;
    CHECK_STATUS(rbtree_create(&tree), STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        struct slice key = operations[i].entry.key;
        array_run(array, &operations[i]);
        if (operations[i].is_removal) {
            rbtree_flush(tree);
            rbtree_remove(tree, key);
        }
        else {
            CHECK_STATUS(
                rbtree_put_deferred(tree, key, operations[i].entry.value),
                STATUS_OK);
        }
    }
    rbtree_flush(tree);
    check_tree(tree, array);
    CHECK_STATUS(rbtree_entries(tree, entries, NULL), STATUS_OK);
    return tree;
}

static void
publish_tree(size_t count, const struct snapshot_options *options)
{
    struct array array = {.count = 0};
    struct entry entries[OPERATION_LIMIT];
    struct rbtree *tree = grow_tree(count, &array, entries);
    check_snapshot(entries, array.count, &array, options);
    rbtree_destroy(tree);
}

/* The last operation of each key, one array for puts, one for removals. */
static void
split_changes(size_t begin, size_t end, bool are_removals,
              struct entry *entries, size_t *count)
{
    *count = 0;
    for (size_t i = begin; i < end; i++) {
        bool is_last = true;
        for (size_t j = i + 1; j < end; j++) {
            is_last = is_last
                      && !slice_equals(operations[i].entry.key,
                                       operations[j].entry.key);
        }
        if (is_last && operations[i].is_removal == are_removals) {
            entries[(*count)++] = operations[i].entry;
        }
    }
    CHECK_STATUS(sort_array(entries, count), STATUS_OK);
}

/* The first operations are the snapshot, the others are its changes. */
static void
publish_update(size_t split, size_t end,
               const struct snapshot_options *options)
{
    struct array array = {.count = 0};
    struct entry entries[OPERATION_LIMIT], merged[OPERATION_LIMIT];
    struct entry puts[OPERATION_LIMIT], removals[OPERATION_LIMIT];
    struct changes changes = {.puts = puts, .removals = removals};
    size_t count;
    struct rbtree *tree = grow_tree(split, &array, entries);
    struct image image = image_of_entries(entries, array.count, options);
    rbtree_destroy(tree);
    split_changes(split, end, false, puts, &changes.put_count);
    split_changes(split, end, true, removals, &changes.removal_count);
    for (size_t i = split; i < end; i++) {
        array_run(&array, &operations[i]);
    }
    struct version version = version_of_image(&image);
    bool is_changed;
    CHECK_STATUS(
        merge_changes(&version, &changes, merged, &count, &is_changed, NULL),
        STATUS_OK);
    check_snapshot(merged, count, &array, options);
    image_destroy(&image);
}

/* Puts only, in the order they come, sorted at once. */
static void
publish_sorted(size_t count, const struct snapshot_options *options)
{
    struct array array = {.count = 0};
    struct entry entries[OPERATION_LIMIT];
    size_t put_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!operations[i].is_removal) {
            entries[put_count++] = operations[i].entry;
            array_run(&array, &operations[i]);
        }
    }
    CHECK_STATUS(sort_array(entries, &put_count), STATUS_OK);
    check_snapshot(entries, put_count, &array, options);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct slice input = {bytes, size};
    unsigned head = take_byte(&input);
    const struct snapshot_options *options = &flavours[head % FLAVOUR_COUNT];
    size_t count = 0;
    while (input.size > 0 && count < OPERATION_LIMIT) {
        fill_operation(&operations[count++], &input);
    }
    unsigned way = head >> 5;
    if (way < 2) {
        publish_tree(count, options);
    }
    else if (way < 6) {
        publish_update(count * (head >> 2 & 7) / 7, count, options);
    }
    else {
        publish_sorted(count, options);
    }
    CHECK_EQUAL(memory_outstanding(), 0);
    return 0;
}
