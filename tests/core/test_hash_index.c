/* tests/core/test_hash_index.c
 *
 * The hash index: where entries go, that they are found again, and that they
 * are the same that are found without it.
 */
#include "core/snapshot/hash_index.h"

#include "core/check.h"
#include "core/snapshots.h"
#include "core/views.h"

/* ---- one bucket after the other ----------------------------------------- */

struct shape {
    unsigned slots, max_probe, references, reference_size;
};

static const struct shape shapes[] = {{12, 12, 16, 4}, {7, 7, 8, 8}};

static uint64_t
reference_in(const unsigned char *bucket, int is_wide, unsigned slot)
{
    const struct shape *shape = &shapes[is_wide];
    uint64_t reference = 0;
    memcpy(&reference,
           bucket + shape->references + slot * shape->reference_size,
           shape->reference_size);
    return reference;
}

struct load {
    size_t moved;        // entries that are not at home
    size_t far_moved;    // further than one bucket
    unsigned longest;    // way of an entry
    unsigned max_probe;  // largest that a bucket says
};

/* Each entry must lie where the words of docs/FORMAT.md look for it. */
static struct load
check_buckets(const unsigned char *buckets, uint64_t bucket_count, int is_wide,
              const uint64_t *hashes, size_t count)
{
    const struct shape *shape = &shapes[is_wide];
    struct load load = {.moved = 0};
    size_t used = 0;
    for (uint64_t at = 0; at < bucket_count; at++) {
        const unsigned char *bucket = buckets + 64 * at;
        for (unsigned slot = 0; slot < shape->slots; slot++) {
            used += bucket[slot] != 0;
        }
        if (bucket[shape->max_probe] > load.max_probe) {
            load.max_probe = bucket[shape->max_probe];
        }
        for (unsigned i = shape->max_probe + 1; i < shape->references; i++) {
            CHECK_EQUAL(bucket[i], 0);
        }
    }
    CHECK_EQUAL(used, count);
    for (size_t i = 0; i < count; i++) {
        uint64_t home = hash_index_home(hashes[i], bucket_count);
        unsigned max_probe = buckets[64 * home + shape->max_probe];
        unsigned distance = 0;
        bool is_found = false;
        for (; distance <= max_probe && !is_found; distance++) {
            const unsigned char *bucket =
                buckets + 64 * ((home + distance) % bucket_count);
            for (unsigned slot = 0; slot < shape->slots; slot++) {
                is_found =
                    is_found
                    || (bucket[slot] == hash_index_fingerprint(hashes[i])
                        && reference_in(bucket, is_wide, slot) == i);
            }
        }
        CHECK(is_found);
        distance -= 1;
        load.moved += distance > 0;
        load.far_moved += distance > 1;
        load.longest = distance > load.longest ? distance : load.longest;
    }
    // No bucket sends a reader further than it must.
    CHECK_EQUAL(load.longest, load.max_probe);
    return load;
}

/* Builds with references 0, 1, 2, ...; fills `load` if it succeeds. */
static bool
build(const uint64_t *hashes, size_t count, uint64_t bucket_count, int is_wide,
      struct load *load)
{
    struct image buckets = image_create(bucket_count * 64);
    uint64_t *references = malloc((count + 1) * sizeof(*references));
    CHECK(references != NULL);
    for (size_t i = 0; i < count; i++) {
        references[i] = i;
    }
    bool is_built = hash_index_add(buckets.bytes, bucket_count, is_wide,
                                   hashes, references, count);
    if (is_built) {
        *load =
            check_buckets(buckets.bytes, bucket_count, is_wide, hashes, count);
    }
    free(references);
    image_destroy(&buckets);
    return is_built;
}

static void
test_fingerprint_is_never_the_mark_of_a_free_slot(void)
{
    for (uint64_t byte = 0; byte < 256; byte++) {
        uint64_t hash = UINT64_C(0xABCDEF0123456700) | byte;
        CHECK_EQUAL(hash_index_fingerprint(hash), byte == 0 ? 1 : byte);
    }
}

static void
test_home_spreads_the_hashes_over_all_buckets(void)
{
    static const uint64_t counts[] = {1, 2, 3, 1000, UINT64_C(1) << 40};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        CHECK_EQUAL(hash_index_home(0, counts[i]), 0);
        CHECK_EQUAL(hash_index_home(UINT64_MAX, counts[i]), counts[i] - 1);
        CHECK_EQUAL(hash_index_home(UINT64_C(1) << 63, counts[i]),
                    counts[i] / 2);
    }
}

static void
test_bucket_count_is_the_formula_without_an_overflow(void)
{
    __extension__ typedef unsigned __int128 wide_t;
    static const uint64_t counts[] = {0,
                                      1,
                                      5,
                                      6,
                                      9,
                                      10,
                                      11,
                                      52,
                                      53,
                                      54,
                                      91,
                                      92,
                                      93,
                                      1000,
                                      9200,
                                      9201,
                                      UINT32_MAX,
                                      INT64_MAX,
                                      UINT64_MAX - 1,
                                      UINT64_MAX};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        CHECK_EQUAL(hash_index_bucket_count(counts[i], false),
                    (uint64_t)((wide_t)counts[i] * 10 / 92 + 1));
        CHECK_EQUAL(hash_index_bucket_count(counts[i], true),
                    (uint64_t)((wide_t)counts[i] * 10 / 53 + 1));
    }
}

static void
test_equal_bytes_are_seen_and_the_lowest_is_right(void)
{
    uint64_t random = 1;
    for (int round = 0; round < 200000; round++) {
        uint64_t word = next_random(&random);
        uint8_t fingerprint = (uint8_t)next_random(&random);
        // Few different bytes, so that many are equal or differ by one.
        word &= UINT64_C(0x0303030303030303);
        fingerprint &= 3;
        uint64_t marks = hash_index_equal_bytes(word, fingerprint);
        uint64_t exact = 0;
        for (int i = 0; i < 8; i++) {
            if ((uint8_t)(word >> 8 * i) == fingerprint) {
                exact |= UINT64_C(0x80) << 8 * i;
            }
        }
        CHECK_EQUAL(marks & exact, exact);
        CHECK_EQUAL(marks & ~UINT64_C(0x8080808080808080), 0);
        CHECK_EQUAL(marks == 0, exact == 0);
        CHECK_EQUAL(marks & (0 - marks), exact & (0 - exact));
    }
}

static void
test_full_buckets_send_entries_on_and_around_the_end(void)
{
    uint64_t hashes[40];
    for (int is_wide = 0; is_wide < 2; is_wide++) {
        unsigned slots = shapes[is_wide].slots;
        // All of them want the last of four buckets.
        memset(hashes, 0xFF, sizeof(hashes));
        for (unsigned count = 0; count <= 40; count++) {
            struct load load;
            bool is_built = build(hashes, count, 4, is_wide, &load);
            CHECK_EQUAL(is_built, count <= 4 * slots);
            if (is_built) {
                CHECK_EQUAL(load.moved, count > slots ? count - slots : 0);
                CHECK_EQUAL(load.longest, count > 0 ? (count - 1) / slots : 0);
            }
        }
    }
}

static void
test_max_probe_distance_is_255(void)
{
    enum { MOST = 256 * 12 + 1 };
    static uint64_t hashes[MOST];  // all zero: one home for all
    for (int is_wide = 0; is_wide < 2; is_wide++) {
        struct load load;
        size_t limit = 256 * shapes[is_wide].slots;
        CHECK(build(hashes, limit, 300, is_wide, &load));
        CHECK_EQUAL(load.longest, 255);
        CHECK(!build(hashes, limit + 1, 300, is_wide, &load));
    }
}

static void
test_random_hashes_mostly_stay_at_home(void)
{
    enum { COUNT = 500000 };
    static uint64_t hashes[COUNT];
    uint64_t random = 2;
    for (size_t i = 0; i < COUNT; i++) {
        hashes[i] = next_random(&random);
    }
    for (int is_wide = 0; is_wide < 2; is_wide++) {
        struct load load;
        uint64_t bucket_count = hash_index_bucket_count(COUNT, is_wide);
        CHECK(build(hashes, COUNT, bucket_count, is_wide, &load));
        CHECK(load.moved < COUNT / 10);
        CHECK(load.far_moved < COUNT / 20);
        CHECK(load.longest < 64);
        // 7 and 12 bytes of index for an entry.
        CHECK(10 * 64 * bucket_count < (is_wide ? 121 : 70) * COUNT);
    }
}

static void
test_every_count_of_random_hashes_can_be_built(void)
{
    static uint64_t hashes[2000];
    uint64_t random = 3;
    for (size_t count = 0; count <= 2000; count += 1 + count / 20) {
        for (int round = 0; round < 20; round++) {
            for (size_t i = 0; i < count; i++) {
                hashes[i] = next_random(&random);
            }
            for (int is_wide = 0; is_wide < 2; is_wide++) {
                struct load load;
                CHECK(build(hashes, count,
                            hash_index_bucket_count(count, is_wide), is_wide,
                            &load));
            }
        }
    }
}

/* ---- both indices ------------------------------------------------------- */

enum { RANDOM_COUNT = 3000 };

/* Sorted entries whose keys are few bytes of few letters. */
static size_t
fill_random(uint64_t *random, struct entry entries[RANDOM_COUNT])
{
    static unsigned char keys[RANDOM_COUNT][12];
    size_t count = random_below(random, RANDOM_COUNT);
    for (size_t i = 0; i < count; i++) {
        size_t size = random_below(random, 13);
        for (size_t j = 0; j < size; j++) {
            keys[i][j] = (unsigned char)('a' + random_below(random, 3));
        }
        entries[i] = (struct entry){
            .key = {keys[i], size},
            .value = {{keys[i], size % 8}, VALUE_STR},
        };
    }
    CHECK_STATUS(sort_array(entries, &count), STATUS_OK);
    return count;
}

static void
check_same_answers(const struct snapshot *views, struct slice key)
{
    struct entry entries[FLAVOUR_COUNT];
    bool are_found[FLAVOUR_COUNT];
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct entry entry;
        bool is_found;
        CHECK_STATUS(snapshot_find(&views[i], key, &entries[i], &are_found[i]),
                     STATUS_OK);
        CHECK_STATUS(find_in_steps(&views[i], key, &entry, &is_found),
                     STATUS_OK);
        CHECK_EQUAL(are_found[i], are_found[0]);
        CHECK_EQUAL(is_found, are_found[0]);
        if (is_found) {
            check_entry(&entries[i], &entries[0]);
            check_entry(&entry, &entries[0]);
        }
    }
}

static void
test_both_indices_give_the_same_answers(void)
{
    static struct entry entries[RANDOM_COUNT];
    uint64_t random = 4;
    for (int round = 0; round < 40; round++) {
        size_t count = fill_random(&random, entries);
        struct image images[FLAVOUR_COUNT];
        struct snapshot views[FLAVOUR_COUNT];
        for (int i = 0; i < FLAVOUR_COUNT; i++) {
            images[i] = image_of_entries(entries, count, &flavours[i]);
            views[i] = open_image(&images[i]);
            CHECK_STATUS(snapshot_verify(&views[i], NULL), STATUS_OK);
        }
        for (size_t i = 0; i < count; i++) {
            unsigned char absent[13];
            struct slice key = entries[i].key;
            check_same_answers(views, key);
            // Keys that are near, most of which are not there.
            slice_copy(absent, key);
            absent[key.size] = 'c';
            check_same_answers(views, (struct slice){absent, key.size + 1});
            if (key.size > 0) {
                check_same_answers(views,
                                   (struct slice){absent, key.size - 1});
                absent[0] = 'd';
                check_same_answers(views, (struct slice){absent, key.size});
            }
        }
        for (int i = 0; i < FLAVOUR_COUNT; i++) {
            image_destroy(&images[i]);
        }
    }
}

/* ---- colliding keys ----------------------------------------------------- */

/* The hash multiplies; with a factor of zero the rest of a key has no say.
 * Keys of 16 bytes give these factors a value by their halves: `K1` in front
 * makes one zero under every seed, `K0 ^ seed` behind makes one zero under
 * that seed. */
static const uint64_t K0 = UINT64_C(0x243F6A8885A308D3);
static const uint64_t K1 = UINT64_C(0x13198A2E03707345);

enum { COLLIDING_LIMIT = 60000 };

struct collision {
    unsigned char keys[COLLIDING_LIMIT][16];
    struct entry entries[COLLIDING_LIMIT];
    size_t count;
};

static struct collision collision;

static void
collide(uint64_t front, uint64_t back)
{
    size_t at = collision.count++;
    CHECK(at < COLLIDING_LIMIT);
    memcpy(collision.keys[at], &front, 8);
    memcpy(collision.keys[at] + 8, &back, 8);
    collision.entries[at] = (struct entry){
        .key = {collision.keys[at], 16},
        .value = {{collision.keys[at], 3}, VALUE_BYTES},
    };
}

static void
collide_under_seed(uint64_t seed, size_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        collide(i * 1000003, K0 ^ seed);
    }
}

static void
collide_under_all_seeds(size_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        collide(K1, i);
    }
}

/* Writes all that collides. Every key must be found, whatever it took. */
static struct image
image_of_collision(const struct snapshot_options *options)
{
    CHECK_STATUS(sort_array(collision.entries, &collision.count), STATUS_OK);
    struct image image =
        image_of_entries(collision.entries, collision.count, options);
    struct snapshot view = open_image(&image);
    for (size_t i = 0; i < collision.count; i++) {
        struct entry entry;
        bool is_found;
        CHECK_STATUS(
            snapshot_find(&view, collision.entries[i].key, &entry, &is_found),
            STATUS_OK);
        CHECK(is_found);
        check_entry(&entry, &collision.entries[i]);
    }
    unsigned char absent[16] = {0};
    struct entry entry;
    bool is_found;
    memcpy(absent, &K1, 8);
    memset(absent + 8, 0xFE, 8);
    CHECK_STATUS(
        snapshot_find(&view, (struct slice){absent, 16}, &entry, &is_found),
        STATUS_OK);
    CHECK(!is_found);
    CHECK_STATUS(snapshot_verify_checksum(&view, NULL), STATUS_OK);
    collision.count = 0;
    return image;
}

static void
test_colliding_keys_are_found_up_to_the_max_probe_distance(void)
{
    for (int i = 2; i < FLAVOUR_COUNT; i++) {
        collide_under_all_seeds(256 * shapes[i - 2].slots);
        struct image image = image_of_collision(&flavours[i]);
        CHECK(image_header(&image)->flags & SNAPSHOT_FLAG_HASH_INDEX);
        CHECK_EQUAL(image_header(&image)->hash_seed, 0);
        image_destroy(&image);
    }
}

static void
test_keys_that_collide_under_one_seed_get_the_next(void)
{
    for (int i = 2; i < FLAVOUR_COUNT; i++) {
        collide_under_seed(0, 256 * shapes[i - 2].slots + 1);
        struct image image = image_of_collision(&flavours[i]);
        CHECK(image_header(&image)->flags & SNAPSHOT_FLAG_HASH_INDEX);
        CHECK_EQUAL(image_header(&image)->hash_seed, 1);
        image_destroy(&image);
    }
}

static void
test_sixteen_seeds_are_tried(void)
{
    for (uint64_t seed = 0; seed < 15; seed++) {
        collide_under_seed(seed, 3500);
    }
    struct image image = image_of_collision(HASH);
    CHECK(image_header(&image)->flags & SNAPSHOT_FLAG_HASH_INDEX);
    CHECK_EQUAL(image_header(&image)->hash_seed, 15);
    image_destroy(&image);
}

static void
test_snapshot_of_keys_that_collide_always_does_without(void)
{
    for (int i = 2; i < FLAVOUR_COUNT; i++) {
        size_t count = 256 * shapes[i - 2].slots + 1;
        collide_under_all_seeds(count);
        struct image image = image_of_collision(&flavours[i]);
        const struct snapshot_header *header = image_header(&image);
        CHECK_EQUAL(header->flags, 0);
        CHECK_EQUAL(header->hash_seed, 0);
        CHECK_EQUAL(header->hash_index.offset, 0);
        CHECK_EQUAL(header->hash_index.size, 0);
        // The room for it is there, and it is empty.
        size_t end =
            round_up(header->sorted_index.offset + header->sorted_index.size);
        CHECK_EQUAL(image.size - end,
                    64 * hash_index_bucket_count(count, i == 3));
        for (size_t at = end; at < image.size; at++) {
            CHECK_EQUAL(image.bytes[at], 0);
        }
        struct snapshot view = open_image(&image);
        CHECK(!snapshot_has_hash_index(&view));
        image_destroy(&image);
    }
}

/* A plan may be written more than once, also if the first time taught it that
 * there will be no index. */
static void
test_plan_of_keys_that_collide_always_can_be_written_again(void)
{
    struct snapshot_plan plan;
    collide_under_all_seeds(256 * 12 + 1);
    CHECK_STATUS(sort_array(collision.entries, &collision.count), STATUS_OK);
    CHECK_STATUS(
        snapshot_plan(&plan, collision.entries, collision.count, HASH),
        STATUS_OK);
    struct image first = image_of_plan(&plan);
    struct image second = image_of_plan(&plan);
    CHECK(memcmp(first.bytes, second.bytes, first.size) == 0);
    image_destroy(&first);
    image_destroy(&second);
    collision.count = 0;
}

/* ---- around the end, with real keys ------------------------------------- */

static void
test_keys_whose_home_is_the_last_bucket_are_found(void)
{
    enum { COUNT = 25 };
    static char keys[COUNT][16];
    for (int flavour = 2; flavour < FLAVOUR_COUNT; flavour++) {
        bool is_wide = flavour == 3;
        uint64_t buckets = hash_index_bucket_count(COUNT, is_wide);
        struct entry entries[COUNT];
        size_t count = 0;
        for (int number = 0; count < COUNT; number++) {
            snprintf(keys[count], sizeof(keys[count]), "%05d",
                     number % 100000);
            struct slice key = {(unsigned char *)keys[count], 5};
            if (hash_index_home(hash_bytes(key.bytes, 5, 0), buckets)
                == buckets - 1)
            {
                entries[count++] = (struct entry){key, {key, VALUE_STR}};
            }
        }
        struct image image =
            image_of_entries(entries, COUNT, &flavours[flavour]);
        check_holds(&image, entries, COUNT);
        const unsigned char *last = image.bytes + image.size - 64;
        CHECK_EQUAL(last[is_wide ? WIDE_MAX_PROBE : NARROW_MAX_PROBE],
                    (COUNT - 1) / shapes[is_wide].slots);
        struct snapshot view = open_image(&image);
        struct entry entry;
        bool is_found;
        for (int number = 0; number < 1000; number++) {
            char text[16];
            snprintf(text, sizeof(text), "%05d?", number);
            CHECK_STATUS(
                snapshot_find(&view, (struct slice){(unsigned char *)text, 6},
                              &entry, &is_found),
                STATUS_OK);
            CHECK(!is_found);
        }
        image_destroy(&image);
    }
}

/* Whatever the max probe distance says, a lookup ends. */
static void
test_search_of_forged_buckets_ends(void)
{
    for (int i = 2; i < FLAVOUR_COUNT; i++) {
        struct image image = sample_image(&flavours[i]);
        size_t offset = image_header(&image)->hash_index.offset;
        static const unsigned char fillings[] = {0x01, 0x7F, 0xFF};
        for (size_t j = 0; j < sizeof(fillings); j++) {
            memset(image.bytes + offset, fillings[j], image.size - offset);
            // References that lead to a record, for every fingerprint.
            for (unsigned slot = 0; slot < shapes[i - 2].slots; slot++) {
                for (size_t at = offset; at < image.size; at += 64) {
                    memset(image.bytes + at + shapes[i - 2].references
                               + slot * shapes[i - 2].reference_size,
                           0, shapes[i - 2].reference_size);
                }
            }
            image_reseal(&image);
            struct snapshot view = open_image(&image);
            read_everything(&view);
            CHECK(snapshot_verify(&view, NULL) != STATUS_OK);
        }
        image_destroy(&image);
    }
}

static const struct test tests[] = {
    TEST(test_fingerprint_is_never_the_mark_of_a_free_slot),
    TEST(test_home_spreads_the_hashes_over_all_buckets),
    TEST(test_bucket_count_is_the_formula_without_an_overflow),
    TEST(test_equal_bytes_are_seen_and_the_lowest_is_right),
    TEST(test_full_buckets_send_entries_on_and_around_the_end),
    TEST(test_max_probe_distance_is_255),
    TEST(test_random_hashes_mostly_stay_at_home),
    TEST(test_every_count_of_random_hashes_can_be_built),
    TEST(test_both_indices_give_the_same_answers),
    TEST(test_colliding_keys_are_found_up_to_the_max_probe_distance),
    TEST(test_keys_that_collide_under_one_seed_get_the_next),
    TEST(test_sixteen_seeds_are_tried),
    TEST(test_snapshot_of_keys_that_collide_always_does_without),
    TEST(test_plan_of_keys_that_collide_always_can_be_written_again),
    TEST(test_keys_whose_home_is_the_last_bucket_are_found),
    TEST(test_search_of_forged_buckets_ends),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
