/* tests/core/test_version_digest.c
 *
 * Digests of what versions contain: of one file, and of copies in other layouts.
 */
#include "core/snapshot/version_digest.h"

#include "core/check.h"
#include "core/versions.h"

enum { ROOM = 1 << 16, KEY_COUNT = 3000 };

static unsigned char digits[KEY_COUNT][8];

static struct entry
entry_of(int number, const char *value)
{
    snprintf((char *)digits[number], sizeof(digits[number]), "%04d", number);
    return (struct entry){
        {digits[number], 4},
        {{(const unsigned char *)value, strlen(value)}, VALUE_STR}};
}

/* "a" under each key; then 1 and 4 are "b", 2 is removed, the next is added. */
struct scene {
    struct layers layers;
    struct version old;
    struct version new;
    struct entry keys[4];  // those that were changed
};

static struct version
version_at_head(const struct layers *layers, uint32_t head)
{
    struct version version;
    CHECK_STATUS(
        version_open(&version, layers->file.bytes, layers->file.size, head),
        STATUS_OK);
    return version;
}

static void
scene_begin(struct scene *scene, int count)
{
    static struct entry entries[KEY_COUNT];
    struct layers *layers = &scene->layers;
    for (int i = 0; i < count; i++) {
        entries[i] = entry_of(i, "a");
    }
    *layers = (struct layers){.generation = 1};
    layers_begin(layers, entries, (size_t)count,
                 &(struct snapshot_options){.label = SLICE("digest")}, ROOM);
    scene->old = version_at_head(layers, 0);
    struct entry puts[] = {entry_of(1, "b"), entry_of(4, "b"),
                           entry_of(count, "b")};
    struct entry removed[] = {entry_of(2, "")};
    layers_append(layers, &(struct changes){puts, 3, removed, 1}, OLD);
    scene->new = version_at_head(layers, layers->head);
    scene->keys[0] = puts[0];
    scene->keys[1] = removed[0];
    scene->keys[2] = puts[1];
    scene->keys[3] = puts[2];
}

static struct version_digest
digest_of(const struct version *version)
{
    struct version_digest digest;
    CHECK_STATUS(version_digest_all(version, &digest, NULL), STATUS_OK);
    return digest;
}

static struct version_digest
digest_of_keys(const struct version *version, const struct entry *keys,
               size_t count)
{
    struct version_digest digest;
    CHECK_STATUS(version_digest_keys(version, keys, count, &digest, NULL),
                 STATUS_OK);
    return digest;
}

static bool
are_equal(struct version_digest left, struct version_digest right)
{
    return left.low == right.low && left.high == right.high;
}

static struct version_digest
sum(struct version_digest left, struct version_digest right)
{
    struct version_digest result = {left.low + right.low,
                                    left.high + right.high};
    result.high += result.low < left.low;
    return result;
}

static struct version_digest
digest_of_entries(const struct entry *entries, size_t count,
                  enum snapshot_index index)
{
    struct version version;
    struct image image = image_of_entries(
        entries, count,
        &(struct snapshot_options){.label = SLICE(""), .index = index});
    CHECK_STATUS(version_open_newest(&version, image.bytes, image.size),
                 STATUS_OK);
    struct version_digest digest = digest_of(&version);
    image_destroy(&image);
    return digest;
}

static void
test_version_with_deltas_has_the_digest_of_its_entries(void)
{
    struct scene scene;
    scene_begin(&scene, 6);
    const struct entry entries[] = {
        entry_of(0, "a"), entry_of(1, "b"), entry_of(3, "a"),
        entry_of(4, "b"), entry_of(5, "a"), entry_of(6, "b"),
    };
    CHECK(are_equal(digest_of(&scene.new),
                    digest_of_entries(entries, 6, INDEX_HASH)));
    CHECK(are_equal(digest_of(&scene.new),
                    digest_of_entries(entries, 6, INDEX_TREE)));
    CHECK(!are_equal(digest_of(&scene.new), digest_of(&scene.old)));
    CHECK(are_equal(digest_of_entries(NULL, 0, INDEX_TREE),
                    (struct version_digest){0}));
    layers_destroy(&scene.layers);
}

static void
test_digest_follows_from_that_of_an_older_version(void)
{
    for (int count = 6; count < KEY_COUNT; count *= 21) {
        struct scene scene;
        scene_begin(&scene, count);
        CHECK(are_equal(sum(digest_of(&scene.new),
                            digest_of_keys(&scene.old, scene.keys, 4)),
                        sum(digest_of(&scene.old),
                            digest_of_keys(&scene.new, scene.keys, 4))));
        layers_destroy(&scene.layers);
    }
}

static void
test_digests_of_parts_add_up(void)
{
    static struct entry keys[KEY_COUNT];
    struct scene scene;
    scene_begin(&scene, 100);
    for (int i = 0; i < 200; i++) {
        keys[i] = entry_of(i, "");
    }
    const struct version_digest all = digest_of(&scene.new);
    for (size_t count = 0; count <= 200; count++) {
        CHECK(are_equal(
            all, sum(digest_of_keys(&scene.new, keys, count),
                     digest_of_keys(&scene.new, keys + count, 200 - count))));
    }
    layers_destroy(&scene.layers);
}

/* What only differs in where the key ends, in the type, or in which key has
 * which value. */
static void
test_entries_that_are_almost_equal_differ(void)
{
    const struct entry entries[][2] = {
        {{SLICE("a"), {SLICE("bc"), VALUE_STR}}},
        {{SLICE("ab"), {SLICE("c"), VALUE_STR}}},
        {{SLICE("abc"), {SLICE(""), VALUE_STR}}},
        {{SLICE(""), {SLICE("abc"), VALUE_STR}}},
        {{SLICE("a"), {SLICE("bc"), VALUE_BYTES}}},
        {{SLICE("a"), {SLICE("bc"), VALUE_ENCODED}}},
        {{SLICE("bc"), {SLICE("a"), VALUE_STR}}},
        {{SLICE(""), {SLICE(""), VALUE_NONE}}},
        {{SLICE(""), {SLICE(""), VALUE_STR}}},
        // For this value hash_bytes() takes no notice of the seed.
        {{SLICE("a"),
          {SLICE("\x45\x73\x70\x03\x2E\x8A\x19\x13"), VALUE_BYTES}}},
        {{SLICE("b"),
          {SLICE("\x45\x73\x70\x03\x2E\x8A\x19\x13"), VALUE_BYTES}}},
        {{SLICE("a"), {SLICE("x"), VALUE_STR}},
         {SLICE("b"), {SLICE("y"), VALUE_STR}}},
        {{SLICE("a"), {SLICE("y"), VALUE_STR}},
         {SLICE("b"), {SLICE("x"), VALUE_STR}}},
    };
    enum { COUNT = sizeof(entries) / sizeof(entries[0]) };
    struct version_digest digests[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        size_t count = 1 + (entries[i][1].key.size > 0);
        digests[i] = digest_of_entries(entries[i], count, INDEX_TREE);
        for (size_t j = 0; j < i; j++) {
            CHECK(digests[i].low + digests[i].high
                  != digests[j].low + digests[j].high);
        }
    }
    // Which it is: half of the digest is not told apart, the other is.
    CHECK_EQUAL(digests[9].low, digests[10].low);
    CHECK(digests[9].high != digests[10].high);
}

static void
test_long_digest_asks_whether_to_stop(void)
{
    static struct entry keys[KEY_COUNT];
    struct scene scene;
    struct version_digest digest;
    struct interrupt interrupt = {.is_due = is_due_at_once};
    scene_begin(&scene, 2000);
    for (int i = 0; i < KEY_COUNT; i++) {
        keys[i] = entry_of(i, "");
    }
    CHECK_STATUS(version_digest_all(&scene.new, &digest, &interrupt),
                 STATUS_INTERRUPTED);
    CHECK_STATUS(
        version_digest_keys(&scene.new, keys, KEY_COUNT, &digest, &interrupt),
        STATUS_INTERRUPTED);
    interrupt.is_due = is_never_due;
    CHECK_STATUS(version_digest_all(&scene.new, &digest, &interrupt),
                 STATUS_OK);
    CHECK_STATUS(
        version_digest_keys(&scene.new, keys, KEY_COUNT, &digest, &interrupt),
        STATUS_OK);
    CHECK(are_equal(digest, digest_of(&scene.new)));
    layers_destroy(&scene.layers);
}

static void
check_damaged(const struct scene *scene, enum status expected)
{
    struct version_digest digest;
    CHECK_STATUS(version_digest_all(&scene->new, &digest, NULL), expected);
    CHECK_STATUS(
        version_digest_keys(&scene->new, scene->keys, 4, &digest, NULL),
        expected);
}

static void
test_digest_reports_damage(void)
{
    struct scene scene;
    scene_begin(&scene, 6);
    const uint64_t size = scene.new.records_size;
    scene.new.records_size = 20;  // no more than two records
    check_damaged(&scene, STATUS_RECORDS_OVERLAP);
    scene.new.records_size = size;
    // No reference leads into records of no size.
    scene.new.base.records_size = 0;
    scene.new.deltas[0].view.records_size = 0;
    check_damaged(&scene, STATUS_BAD_REFERENCE);
    layers_destroy(&scene.layers);
}

static const struct test tests[] = {
    TEST(test_version_with_deltas_has_the_digest_of_its_entries),
    TEST(test_digest_follows_from_that_of_an_older_version),
    TEST(test_digests_of_parts_add_up),
    TEST(test_entries_that_are_almost_equal_differ),
    TEST(test_long_digest_asks_whether_to_stop),
    TEST(test_digest_reports_damage),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
