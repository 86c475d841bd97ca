/* tests/core/test_search.c
 *
 * Searching large maps in key order: whatever the keys have in common, a search
 * ends at the first key that is not below; and it reports a reference that
 * leads nowhere.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/check.h"
#include "core/snapshots.h"
#include "core/views.h"

enum { KEY_ROOM = 48, MANY = 40000 };

static unsigned char rooms[MANY][KEY_ROOM];
static struct entry entries[MANY];

static int
by_key(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    return slice_compare(a->key, b->key);
}

/* A key of random letters, of which there are `letters`, from 'a' on or, if
 * `with_nul`, from NUL on, behind a prefix that some others have, too. */
static struct slice
random_key(unsigned char *room, uint64_t *random, unsigned letters,
           bool with_nul)
{
    static const char *const prefixes[] = {"",
                                           "https://www.example.com/",
                                           "https://www.example.com/shop/",
                                           "https://www.example.com/shop/en/",
                                           "/srv/",
                                           "user:0000"};
    const char *prefix = prefixes[random_below(random, 6)];
    size_t size = strlen(prefix);
    memcpy(room, prefix, size);
    for (size_t more = random_below(random, 12); more > 0; more--) {
        unsigned letter = (unsigned)random_below(random, letters);
        room[size++] = (unsigned char)(with_nul ? letter : 'a' + letter);
    }
    return (struct slice){room, size};
}

/* How many different ones there are, in order, of `count` random ones. */
static size_t
fill_random(size_t count, uint64_t *random, unsigned letters, bool with_nul)
{
    for (size_t i = 0; i < count; i++) {
        struct slice key = random_key(rooms[i], random, letters, with_nul);
        entries[i] = (struct entry){key, {SLICE("v"), VALUE_STR}};
    }
    qsort(entries, count, sizeof(*entries), by_key);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !slice_equals(entries[kept - 1].key, entries[i].key))
        {
            entries[kept++] = entries[i];
        }
    }
    return kept;
}

static void
fill_users(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int size = snprintf((char *)rooms[i], KEY_ROOM, "user:%09zu", i * 7);
        struct slice key = {rooms[i], (size_t)size};
        entries[i] = (struct entry){key, {SLICE("v"), VALUE_STR}};
    }
}

/* The first entry that is not below the key, by looking at all before it. */
static size_t
expected_index(size_t count, struct slice key)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (slice_compare(entries[middle].key, key) < 0) {
            low = middle + 1;
        }
        else {
            high = middle;
        }
    }
    return low;
}

static void
check_seek(const struct snapshot *view, size_t count, struct slice key)
{
    uint64_t index;
    CHECK_STATUS(snapshot_seek(view, key, &index), STATUS_OK);
    CHECK_EQUAL(index, expected_index(count, key));
}

/* A group of keys, in any order, is found as each of them is alone. */
static void
check_group(const struct snapshot *view, size_t count, uint64_t *random)
{
    struct slice keys[SEEK_GROUP];
    unsigned char key_rooms[SEEK_GROUP][KEY_ROOM];
    uint64_t indices[SEEK_GROUP];
    size_t size = (size_t)random_below(random, SEEK_GROUP + 1);
    for (size_t i = 0; i < size; i++) {
        keys[i] = random_below(random, 2) == 0
                      ? entries[random_below(random, count)].key
                      : random_key(key_rooms[i], random, 26, i % 2 == 0);
    }
    CHECK_STATUS(snapshot_seek_group(view, keys, size, indices), STATUS_OK);
    for (size_t i = 0; i < size; i++) {
        CHECK_EQUAL(indices[i], expected_index(count, keys[i]));
    }
}

static void
test_search_ends_at_the_first_key_that_is_not_below(void)
{
    static const size_t counts[] = {129, 500, 2100, 5000, MANY};
    uint64_t random = 7;
    for (size_t i = 0; i < 5; i++) {
        for (unsigned kind = 0; kind < 4; kind++) {
            unsigned letters = kind % 2 == 0 ? 3 : 26;
            size_t count = fill_random(counts[i], &random, letters, kind > 1);
            struct image image = image_of_entries(entries, count, HASH);
            struct snapshot view = open_image(&image);
            CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_OK);
            for (size_t k = 0; k < count; k++) {
                check_seek(&view, count, entries[k].key);
            }
            for (size_t k = 0; k < 20000; k++) {
                unsigned char room[KEY_ROOM];
                check_seek(&view, count,
                           random_key(room, &random, letters, kind < 2));
            }
            for (size_t k = 0; k < 1000; k++) {
                check_group(&view, count, &random);
            }
            check_seek(&view, count, SLICE(""));
            check_seek(&view, count, SLICE("\xFF\xFF\xFF\xFF\xFF\xFF"));
            image_destroy(&image);
        }
    }
}

/* Wherever on the way a reference leads nowhere, the search says so. */
static void
test_bad_reference_is_met_on_every_way(void)
{
    const size_t count = 5000;
    fill_users(count);
    struct image image = image_of_entries(entries, count, &flavours[0]);
    struct snapshot view = open_image(&image);
    uint64_t offset = image_header(&image)->sorted_index.offset;
    size_t met = 0;
    for (size_t bad = 0; bad < count; bad++) {
        unsigned char *reference = image.bytes + offset + bad * 4;
        uint32_t sound;
        memcpy(&sound, reference, 4);
        memset(reference, 0xFF, 4);
        // The neighbours' ways lead by it.
        for (size_t key = bad > 2 ? bad - 2 : 0; key < bad + 3 && key < count;
             key++)
        {
            uint64_t index;
            enum status status =
                snapshot_seek(&view, entries[key].key, &index);
            CHECK(status == STATUS_OK || status == STATUS_BAD_REFERENCE);
            CHECK(status != STATUS_OK || index == key);
            met += status != STATUS_OK;
        }
        uint64_t index;
        CHECK_STATUS(snapshot_seek(&view, entries[bad].key, &index),
                     STATUS_BAD_REFERENCE);
        const struct slice keys[] = {entries[0].key, entries[bad].key};
        uint64_t indices[2];
        CHECK_STATUS(snapshot_seek_group(&view, keys, 2, indices),
                     STATUS_BAD_REFERENCE);
        memcpy(reference, &sound, 4);
    }
    CHECK(met > count);
    image_destroy(&image);
}

static const struct test tests[] = {
    TEST(test_search_ends_at_the_first_key_that_is_not_below),
    TEST(test_bad_reference_is_met_on_every_way),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
