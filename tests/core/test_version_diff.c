/* tests/core/test_version_diff.c
 *
 * Differences of two versions, which are counted by hand: of one file, and of
 * two that hold the same.
 */
#include "core/snapshot/version_diff.h"

#include "core/check.h"
#include "core/versions.h"

enum { ROOM = 1 << 16, MOST = 64, KEY_COUNT = 3000 };

static unsigned char digits[KEY_COUNT][8];

static struct entry
entry_of(int number, const char *value)
{
    snprintf((char *)digits[number], sizeof(digits[number]), "%04d", number);
    return (struct entry){
        {digits[number], 4},
        {{(const unsigned char *)value, strlen(value)}, VALUE_STR}};
}

/* What an old and a young version of one file have, by key:
 *
 *            0  1  2  3  4  5  6  7
 *     base   a  a  a  a  a  a  -  -
 *     old    a  b  -  a  b  a  b  -
 *     young  a  b  -  c  a  -  c  c
 */
static void
write_layers(struct layers *layers, uint32_t heads[3], int count)
{
    static struct entry entries[KEY_COUNT];
    for (int i = 0; i < count; i++) {
        entries[i] = entry_of(i, "a");
    }
    *layers = (struct layers){.generation = 1};
    layers_begin(layers, entries, (size_t)count,
                 &(struct snapshot_options){.label = SLICE("diff")}, ROOM);
    heads[0] = 0;
    struct entry old[] = {entry_of(1, "b"), entry_of(4, "b"),
                          entry_of(count, "b")};
    struct entry old_removed[] = {entry_of(2, "")};
    layers_append(layers, &(struct changes){old, 3, old_removed, 1}, OLD);
    heads[1] = layers->head;
    struct entry young[] = {entry_of(3, "c"), entry_of(4, "a"),
                            entry_of(count, "c"), entry_of(count + 1, "c")};
    struct entry young_removed[] = {entry_of(5, "")};
    layers_append(layers, &(struct changes){young, 4, young_removed, 1},
                  YOUNG);
    heads[2] = layers->head;
}

static struct version
version_at_head(const struct layers *layers, uint32_t head)
{
    struct version version;
    CHECK_STATUS(
        version_open(&version, layers->file.bytes, layers->file.size, head),
        STATUS_OK);
    return version;
}

/* The differences as text: "+6" added, "~1" changed, "-2" removed; the buffer
 * takes so many at once. */
static void
check_difference(const struct version *old, const struct version *new,
                 const char *expected, size_t capacity)
{
    struct version_diff diff;
    struct difference differences[MOST];
    char text[MOST * 3 + 1] = "";
    size_t count = capacity;
    CHECK_STATUS(version_diff_begin(&diff, old, new), STATUS_OK);
    while (count == capacity) {
        CHECK_STATUS(
            version_diff_next(&diff, differences, capacity, &count, NULL),
            STATUS_OK);
        for (size_t i = 0; i < count; i++) {
            char one[4] = {"+~-"[differences[i].kind],
                           (char)differences[i].key.bytes[3], '\0'};
            strcat(text, one);
        }
    }
    CHECK(strcmp(text, expected) == 0);
}

static void
test_versions_of_one_file_and_copies_of_them_differ_alike(void)
{
    static const char *const expected[3][3] = {
        {"", "~1-2~4+6", "~1-2~3-5+6+7"},
        {"~1+2~4-6", "", "~3~4-5~6+7"},
        {"~1+2~3+5-6-7", "~3~4+5~6-7", ""},
    };
    struct layers layers;
    uint32_t heads[3];
    write_layers(&layers, heads, 6);
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            struct version old = version_at_head(&layers, heads[i]);
            struct version new = version_at_head(&layers, heads[j]);
            struct image copy = image_create(version_size(&new));
            struct version copied;
            version_copy(&new, copy.bytes);
            CHECK_STATUS(version_open_newest(&copied, copy.bytes, copy.size),
                         STATUS_OK);
            for (size_t capacity = 1; capacity <= MOST; capacity *= 8) {
                check_difference(&old, &new, expected[i][j], capacity);
                check_difference(&old, &copied, expected[i][j], capacity);
            }
            image_destroy(&copy);
        }
    }
    layers_destroy(&layers);
}

/* A version, the next one of its file, and a copy of that one. */
struct scene {
    struct layers layers;
    struct image copy;
    struct version old;
    struct version new;
    struct version copied;
};

static void
scene_begin(struct scene *scene, int count)
{
    uint32_t heads[3];
    write_layers(&scene->layers, heads, count);
    scene->old = version_at_head(&scene->layers, heads[0]);
    scene->new = version_at_head(&scene->layers, heads[1]);
    scene->copy = image_create(version_size(&scene->new));
    version_copy(&scene->new, scene->copy.bytes);
    CHECK_STATUS(version_open_newest(&scene->copied, scene->copy.bytes,
                                     scene->copy.size),
                 STATUS_OK);
}

static void
scene_end(struct scene *scene)
{
    image_destroy(&scene->copy);
    layers_destroy(&scene->layers);
}

/* The first differences, as many as there is room for. */
static enum status
compare(const struct version *old, const struct version *new,
        const struct interrupt *interrupt, size_t *count)
{
    struct version_diff diff;
    struct difference differences[MOST];
    enum status status = version_diff_begin(&diff, old, new);
    return status == STATUS_OK
               ? version_diff_next(&diff, differences, MOST, count, interrupt)
               : status;
}

static void
test_long_comparison_asks_whether_to_stop(void)
{
    struct scene scene;
    struct interrupt interrupt = {.is_due = is_due_at_once};
    size_t count;
    scene_begin(&scene, 2000);
    CHECK_STATUS(compare(&scene.new, &scene.copied, &interrupt, &count),
                 STATUS_INTERRUPTED);
    interrupt.is_due = is_never_due;
    CHECK_STATUS(compare(&scene.new, &scene.copied, &interrupt, &count),
                 STATUS_OK);
    CHECK_EQUAL(count, 0);
    scene_end(&scene);
}

/* Versions whose records are said to be no larger than `size`. */
static enum status
compare_small(const struct version *old, const struct version *new,
              uint64_t size)
{
    struct version small_old = *old, small_new = *new;
    size_t count;
    small_old.records_size = small_new.records_size = size;
    return compare(&small_old, &small_new, NULL, &count);
}

static void
test_comparison_reads_no_more_than_all_records(void)
{
    struct scene scene;
    scene_begin(&scene, 6);
    // At the first entry of a version, at a later one, and in a lookup.
    CHECK_STATUS(compare_small(&scene.old, &scene.copied, 1),
                 STATUS_RECORDS_OVERLAP);
    CHECK_STATUS(compare_small(&scene.old, &scene.copied, 20),
                 STATUS_RECORDS_OVERLAP);
    CHECK_STATUS(compare_small(&scene.old, &scene.new, 1),
                 STATUS_RECORDS_OVERLAP);
    scene_end(&scene);
}

static void
test_comparison_reports_a_damaged_reference(void)
{
    struct scene scene;
    size_t count;
    scene_begin(&scene, 6);
    // No reference leads into records of no size.
    scene.old.base.records_size = 0;
    CHECK_STATUS(compare(&scene.old, &scene.copied, NULL, &count),
                 STATUS_BAD_REFERENCE);
    CHECK_STATUS(compare(&scene.old, &scene.new, NULL, &count),
                 STATUS_BAD_REFERENCE);
    scene_end(&scene);
}

static const struct test tests[] = {
    TEST(test_versions_of_one_file_and_copies_of_them_differ_alike),
    TEST(test_long_comparison_asks_whether_to_stop),
    TEST(test_comparison_reads_no_more_than_all_records),
    TEST(test_comparison_reports_a_damaged_reference),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
