/* tests/core/test_order_index.c
 *
 * Whatever the keys have in common, a search that the order index leads ends
 * where one without it does; and what is not an order index of these keys is
 * found by the deep check and leads to no harm.
 */
#include "core/snapshot/order_index.h"

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

/* Keys that four bytes behind what they have in common tell apart. */
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

static void
test_search_ends_where_one_without_the_index_does(void)
{
    static const size_t counts[] = {129, 500, 2100, 5000, MANY};
    uint64_t random = 7;
    int led = 0;
    for (size_t i = 0; i < 5; i++) {
        for (unsigned kind = 0; kind < 4; kind++) {
            unsigned letters = kind % 2 == 0 ? 3 : 26;
            size_t count = fill_random(counts[i], &random, letters, kind > 1);
            struct image image = image_of_entries(entries, count, HASH);
            struct snapshot view = open_image(&image);
            led += view.order_index != NULL;
            CHECK_STATUS(snapshot_verify(&view), STATUS_OK);
            for (size_t k = 0; k < count; k++) {
                check_seek(&view, count, entries[k].key);
            }
            for (size_t k = 0; k < 20000; k++) {
                unsigned char room[KEY_ROOM];
                check_seek(&view, count,
                           random_key(room, &random, letters, kind < 2));
            }
            check_seek(&view, count, SLICE(""));
            check_seek(&view, count, SLICE("\xFF\xFF\xFF\xFF\xFF\xFF"));
            image_destroy(&image);
        }
    }
    // Three letters are too few for four bytes to tell children apart.
    CHECK(led >= 5 && led < 20);
}

static void
test_levels_follow_from_the_number_of_entries(void)
{
    static const struct {
        uint64_t entries;
        unsigned levels;
        uint64_t nodes;
    } known[] = {
        {0, 0, 0},
        {128, 0, 0},
        {129, 1, 1},
        {2048, 1, 1},
        {2049, 2, 3},
        {32768, 2, 17},
        {32769, 3, 20},
        {UINT64_MAX, 15, 2 * (((UINT64_C(1) << 56) - 1) / 15) + 1},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        struct order_levels levels;
        order_levels_init(&levels, known[i].entries);
        CHECK_EQUAL(levels.count, known[i].levels);
        CHECK_EQUAL(levels.nodes, known[i].nodes);
        if (levels.count > 0) {
            CHECK_EQUAL(levels.level[levels.count - 1].nodes, 1);
            CHECK_EQUAL(levels.level[levels.count - 1].first, 0);
            CHECK_EQUAL(levels.level[0].first + levels.level[0].nodes,
                        levels.nodes);
        }
    }
}

/* Every bit of the index means something, but for pieces of children that are
 * not there, which are zero. */
static void
test_deep_check_notices_every_change(void)
{
    const size_t count = 6000;
    fill_users(count);
    struct image image = image_of_entries(entries, count, &flavours[0]);
    struct snapshot_region region = image_header(&image)->order_index;
    for (uint64_t at = 0; at < region.size; at++) {
        image.bytes[region.offset + at] ^= 1;
        image_reseal(&image);
        struct snapshot view = open_image(&image);
        CHECK_STATUS(snapshot_verify(&view), STATUS_BAD_ORDER_INDEX);
        image.bytes[region.offset + at] ^= 1;
    }
    image_destroy(&image);
}

static void
test_forged_index_leads_to_no_harm(void)
{
    uint64_t random = 11;
    const size_t count = 20000;
    fill_users(count);
    struct image image = image_of_entries(entries, count, &flavours[0]);
    struct snapshot_region region = image_header(&image)->order_index;
    struct snapshot view = open_image(&image);
    for (int round = 0; round < 200; round++) {
        for (uint64_t at = 0; at < region.size; at++) {
            image.bytes[region.offset + at] =
                round == 0   ? 0
                : round == 1 ? 0xFF
                             : (unsigned char)next_random(&random);
        }
        for (size_t k = 0; k < count; k += 37) {
            uint64_t index;
            CHECK_STATUS(snapshot_seek(&view, entries[k].key, &index),
                         STATUS_OK);
            // Whatever the nodes say, what they lead to was compared.
            CHECK_EQUAL(index, k);
        }
    }
    image_destroy(&image);
}

/* Wherever on the way a reference leads nowhere, the search says so. */
static void
test_bad_reference_is_met_on_every_way(void)
{
    const size_t count = 5000;
    fill_users(count);
    // Children that are told apart by their keys, too.
    for (size_t i = 2000; i < 2600; i++) {
        memset(rooms[i] + 5, 'x', 20);
        snprintf((char *)rooms[i] + 25, KEY_ROOM - 25, "%05zu", i);
        entries[i].key.size = 30;
    }
    qsort(entries, count, sizeof(*entries), by_key);
    struct image image = image_of_entries(entries, count, &flavours[0]);
    struct snapshot view = open_image(&image);
    CHECK(view.order_index != NULL);
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
        memcpy(reference, &sound, 4);
    }
    CHECK(met > count);
    image_destroy(&image);
}

static void
test_children_that_look_alike_get_no_index(void)
{
    fill_users(5000);
    for (size_t i = 0; i < 5000; i++) {
        // Below a node there are several letters, so nothing is skipped, and
        // behind each letter the next four bytes are always the same.
        memmove(rooms[i] + 10, rooms[i], 14);
        memset(rooms[i], 'x', 10);
        rooms[i][0] = (unsigned char)('a' + i / 1000);
        entries[i].key.size = 24;
    }
    struct image image = image_of_entries(entries, 5000, HASH);
    struct snapshot view = open_image(&image);
    CHECK(view.order_index == NULL);
    CHECK_EQUAL(image_header(&image)->order_index.offset, 0);
    for (size_t k = 0; k < 5000; k++) {
        check_seek(&view, 5000, entries[k].key);
    }
    CHECK_STATUS(snapshot_verify(&view), STATUS_OK);
    image_destroy(&image);
}

static void
test_index_of_another_size_is_refused(void)
{
    const size_t count = 6000;
    fill_users(count);
    for (int change = -64; change <= 64; change += 32) {
        struct image image = image_of_entries(entries, count, &flavours[0]);
        image_header(&image)->order_index.size += (uint64_t)change;
        image_reseal(&image);
        struct snapshot view;
        CHECK_STATUS(snapshot_open(&view, image.bytes, image.size),
                     change == 0 ? STATUS_OK : STATUS_BAD_REGION);
        image_destroy(&image);
    }
}

static const struct test tests[] = {
    TEST(test_search_ends_where_one_without_the_index_does),
    TEST(test_levels_follow_from_the_number_of_entries),
    TEST(test_deep_check_notices_every_change),
    TEST(test_forged_index_leads_to_no_harm),
    TEST(test_bad_reference_is_met_on_every_way),
    TEST(test_children_that_look_alike_get_no_index),
    TEST(test_index_of_another_size_is_refused),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
