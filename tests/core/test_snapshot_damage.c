/* tests/core/test_snapshot_damage.c
 *
 * Snapshots that are damaged or forged, and what the deep check says of them;
 * bytes that somebody changes while they are read. Under the address
 * sanitizer "is survived" means that no byte outside of the snapshot was
 * touched.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "core/base/hash.h"
#include "core/check.h"
#include "core/snapshot/hash_index.h"
#include "core/snapshot/snapshot.h"
#include "core/snapshots.h"
#include "core/views.h"

/* ---- verify ------------------------------------------------------------- */

/* What verify says of entries that the writer wrote but should not have. */
static enum status
verdict(const struct entry *entries, size_t count)
{
    enum status statuses[FLAVOUR_COUNT];
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct image image = image_of_entries(entries, count, &flavours[i]);
        struct snapshot view = open_image(&image);
        statuses[i] = snapshot_verify(&view, NULL);
        CHECK_STATUS(statuses[i], statuses[0]);
        image_destroy(&image);
    }
    return statuses[0];
}

static void
test_verify_refuses_values_that_do_not_fit_their_type(void)
{
    static const struct {
        enum value_type type;
        struct slice bytes;
        enum status expected;
    } cases[] = {
        {VALUE_NONE, SLICE(""), STATUS_OK},
        {VALUE_NONE, SLICE("\0"), STATUS_BAD_VALUE},
        {VALUE_BOOL, SLICE(""), STATUS_BAD_VALUE},
        {VALUE_BOOL, SLICE("\0"), STATUS_OK},
        {VALUE_BOOL, SLICE("\x01"), STATUS_OK},
        {VALUE_BOOL, SLICE("\x02"), STATUS_BAD_VALUE},
        {VALUE_BOOL, SLICE("\xFF"), STATUS_BAD_VALUE},
        {VALUE_BOOL, SLICE("\x01\0"), STATUS_BAD_VALUE},
        {VALUE_INT, SLICE(""), STATUS_BAD_VALUE},
        {VALUE_INT, SLICE("\0"), STATUS_OK},
        {VALUE_INT, SLICE("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"), STATUS_OK},
        {VALUE_FLOAT, SLICE("\0\0\0\0\0\0\0"), STATUS_BAD_VALUE},
        {VALUE_FLOAT, SLICE("\0\0\0\0\0\0\0\0"), STATUS_OK},
        {VALUE_FLOAT, SLICE("\0\0\0\0\0\0\0\0\0"), STATUS_BAD_VALUE},
        {VALUE_STR, SLICE(""), STATUS_OK},
        {VALUE_STR, SLICE("\xED\xA0\x80"), STATUS_OK},
        {VALUE_STR, SLICE("\xFF"), STATUS_BAD_TEXT},
        {VALUE_STR, SLICE("abc\xE7\xBA"), STATUS_BAD_TEXT},
        {VALUE_BYTES, SLICE(""), STATUS_OK},
        {VALUE_BYTES, SLICE("\xFF"), STATUS_OK},
        {VALUE_ENCODED, SLICE("\xFF"), STATUS_OK},
        {VALUE_CONTAINER, SLICE("\x90"), STATUS_OK},
        {VALUE_CONTAINER, SLICE(""), STATUS_BAD_VALUE},
        {VALUE_CONTAINER, SLICE("\x91"), STATUS_BAD_VALUE},
        {VALUE_CONTAINER, SLICE("\x91\xA1\xFF"), STATUS_BAD_TEXT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct entry entry = {SLICE("k"), {cases[i].bytes, cases[i].type}};
        CHECK_STATUS(verdict(&entry, 1), cases[i].expected);
    }
}

static void
test_verify_refuses_keys_that_are_no_text(void)
{
    struct entry entry = {SLICE("\xC0\x80"), {SLICE(""), VALUE_NONE}};
    CHECK_STATUS(verdict(&entry, 1), STATUS_BAD_TEXT);
}

static void
test_verify_refuses_keys_out_of_order(void)
{
    struct entry entries[] = {
        {SLICE("a"), {SLICE(""), VALUE_NONE}},
        {SLICE("b"), {SLICE(""), VALUE_NONE}},
        {SLICE("c"), {SLICE(""), VALUE_NONE}},
    };
    CHECK_STATUS(verdict(entries, 3), STATUS_OK);
    entries[1].key = SLICE("a");  // twice
    CHECK_STATUS(verdict(entries, 3), STATUS_BAD_ORDER);
    entries[1].key = SLICE("d");
    CHECK_STATUS(verdict(entries, 3), STATUS_BAD_ORDER);
    entries[1].key = SLICE("");
    CHECK_STATUS(verdict(entries, 3), STATUS_BAD_ORDER);
    // The empty key may come first but only once.
    entries[0].key = SLICE("");
    entries[1].key = SLICE("a");
    CHECK_STATUS(verdict(entries, 3), STATUS_OK);
    entries[1].key = SLICE("");
    CHECK_STATUS(verdict(entries, 3), STATUS_BAD_ORDER);
}

/* ---- interrupts --------------------------------------------------------- */

/* At each question; the damage of which a later part of the check tells is not
 * found before. */
static void
test_verify_ends_at_each_question_of_an_interrupt(void)
{
    enum {
        COUNT = 20000
    };  // more buckets than are checked without a question
    static char keys[COUNT][8];
    static struct entry entries[COUNT];
    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%07d", i);
        entries[i].key = (struct slice){(unsigned char *)keys[i], 7};
    }
    struct image image = image_of_entries(entries, COUNT, HASH);
    struct snapshot view = open_image(&image);
    enum status status = STATUS_INTERRUPTED;
    int due;
    for (due = 1; status == STATUS_INTERRUPTED; due++) {
        int questions = due;
        struct interrupt interrupt = {.is_due = is_due_at_last,
                                      .context = &questions};
        status = snapshot_verify(&view, &interrupt);
    }
    CHECK_STATUS(status, STATUS_OK);
    // Of the checksum for each block, of entries, of buckets.
    CHECK_EQUAL(due - 2, (image.size - SNAPSHOT_HEADER_SIZE + 65535) / 65536
                             + COUNT / 1024 + view.bucket_count / 1024);
    CHECK(view.bucket_count > 1024);
    image_destroy(&image);
}

/* ---- accidents ---------------------------------------------------------- */

static void
test_open_refuses_every_truncation(void)
{
    struct image image = sample_image(HASH);
    for (size_t size = 0; size < image.size; size++) {
        struct image cut = image_copy(image.bytes, size);
        struct snapshot view;
        CHECK_STATUS(snapshot_open(&view, cut.bytes, cut.size),
                     size == 0 ? STATUS_EMPTY : STATUS_TRUNCATED);
        image_destroy(&cut);
    }
    struct image longer = image_create(image.size + 64);
    memcpy(longer.bytes, image.bytes, image.size);
    struct snapshot view;
    CHECK_STATUS(snapshot_open(&view, longer.bytes, longer.size),
                 STATUS_TRUNCATED);
    image_destroy(&longer);
    image_destroy(&image);
}

static size_t
smaller(size_t left, size_t right)
{
    return left < right ? left : right;
}

/* Cuts the region, too, so that a header check has nothing to say. */
static void
cut_region(struct snapshot_region *region, size_t size)
{
    region->offset = smaller(region->offset, size);
    region->size = smaller(region->size, size - region->offset);
}

/* The header says the smaller size, too: somebody did it on purpose. */
static void
test_truncations_with_a_forged_header_are_survived(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct image image = sample_image(&flavours[i]);
        for (size_t size = 512; size < image.size; size += 64) {
            struct image cut = image_copy(image.bytes, size);
            struct snapshot_header *header = image_header(&cut);
            struct snapshot view;
            header->total_size = size;
            image_reseal(&cut);
            CHECK_STATUS(snapshot_open(&view, cut.bytes, cut.size),
                         STATUS_BAD_REGION);
            // The regions are cut as well, the references lead behind them.
            cut_region(&header->records, size);
            cut_region(&header->sorted_index, size);
            header->sorted_index.size -=
                header->sorted_index.size % header->reference_size;
            if (flavours[i].index == INDEX_HASH) {
                cut_region(&header->hash_index, size);
            }
            uint64_t count =
                header->sorted_index.size / header->reference_size;
            bool is_whole = count == header->entry_count
                            && size >= header->records.offset + 88;
            header->entry_count = count;
            image_reseal(&cut);
            if (snapshot_open(&view, cut.bytes, cut.size) == STATUS_OK) {
                read_everything(&view);
                CHECK(count == 0 || is_whole
                      || snapshot_verify(&view, NULL) != STATUS_OK);
            }
            image_destroy(&cut);
        }
        image_destroy(&image);
    }
}

static void
test_verify_finds_every_flipped_bit_of_the_contents(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct image image = sample_image(&flavours[i]);
        for (size_t bit = 8 * SNAPSHOT_HEADER_SIZE; bit < 8 * image.size;
             bit++)
        {
            image.bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
            struct snapshot view = open_image(&image);
            CHECK_STATUS(snapshot_verify_checksum(&view, NULL),
                         STATUS_BAD_CHECKSUM);
            CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_BAD_CHECKSUM);
            read_everything(&view);
            image.bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
        }
        struct snapshot view = open_image(&image);
        CHECK_STATUS(snapshot_verify_checksum(&view, NULL), STATUS_OK);
        CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_OK);
        image_destroy(&image);
    }
}

static void
test_every_byte_of_the_contents_may_have_any_value(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct image image = sample_image(&flavours[i]);
        for (size_t at = SNAPSHOT_HEADER_SIZE; at < image.size; at++) {
            unsigned char byte = image.bytes[at];
            for (unsigned value = 0; value < 256; value++) {
                image.bytes[at] = (unsigned char)value;
                struct snapshot view = open_image(&image);
                // As an accident leaves it, and as somebody could forge it.
                CHECK_EQUAL(snapshot_verify(&view, NULL) == STATUS_OK,
                            value == byte);
                image_reseal(&image);
                view = open_image(&image);
                read_everything(&view);
                image.bytes[at] = byte;
                image_reseal(&image);
            }
        }
        image_destroy(&image);
    }
}

/* The deep check must see through a forged checksum where the index and the
 * entries contradict each other. */
static void
test_verify_finds_a_hash_index_that_misleads(void)
{
    for (int i = 2; i < FLAVOUR_COUNT; i++) {
        struct image image = sample_image(&flavours[i]);
        size_t begin = image_header(&image)->hash_index.offset;
        unsigned slots = flavours[i].is_wide ? WIDE_SLOTS : NARROW_SLOTS;
        unsigned char bucket[BUCKET_SIZE];
        int used = 0;
        for (size_t at = begin; at < image.size; at += BUCKET_SIZE) {
            memcpy(bucket, image.bytes + at, BUCKET_SIZE);
            for (unsigned slot = 0; slot < slots; slot++) {
                if (bucket[slot] == 0) {
                    continue;
                }
                // Without its fingerprint the entry is not found any more.
                used += 1;
                image.bytes[at + slot] = 0;
                image_reseal(&image);
                struct snapshot view = open_image(&image);
                CHECK_STATUS(snapshot_verify_checksum(&view, NULL), STATUS_OK);
                CHECK_STATUS(snapshot_verify(&view, NULL),
                             STATUS_BAD_HASH_INDEX);
                memcpy(image.bytes + at, bucket, BUCKET_SIZE);
            }
        }
        CHECK_EQUAL(used, SAMPLE_COUNT);

        // Empty buckets lead nowhere at all.
        memset(image.bytes + begin, 0, image.size - begin);
        image_reseal(&image);
        struct snapshot view = open_image(&image);
        CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_BAD_HASH_INDEX);
        image_destroy(&image);

        // Another seed sends every key elsewhere.
        image = sample_image(&flavours[i]);
        image_header(&image)->hash_seed += 1;
        image_reseal(&image);
        view = open_image(&image);
        CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_BAD_HASH_INDEX);
        image_destroy(&image);
    }
}

/* The key's record a second time: the index leads to the copy. */
static void
test_verify_finds_a_hash_index_that_leads_to_another_record(void)
{
    struct image image = sample_image(HASH);
    struct snapshot_header *header = image_header(&image);
    // "none", key size 4 and no value, fits into the room behind the records.
    const unsigned char record[] = {0x00, 0x08, 'n', 'o', 'n', 'e'};
    uint32_t place = (uint32_t)header->records.size;
    CHECK(header->records.offset + place + sizeof(record)
          <= header->sorted_index.offset);
    memcpy(image.bytes + header->records.offset + place, record,
           sizeof(record));
    header->records.size += sizeof(record);
    image_reseal(&image);
    struct snapshot view = open_image(&image);
    CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_OK);

    struct entry entry;
    CHECK_STATUS(snapshot_at(&view, 6, &entry), STATUS_OK);
    CHECK(slice_equals(entry.key, SLICE("none")));
    uint32_t from = (uint32_t)(entry.key.bytes - view.records) - 2;
    int found = 0;
    for (size_t at = header->hash_index.offset; at < image.size;
         at += BUCKET_SIZE)
    {
        for (size_t slot = 0; slot < NARROW_SLOTS; slot++) {
            unsigned char *reference =
                image.bytes + at + NARROW_REFERENCES + 4 * slot;
            if (image.bytes[at + slot] != 0
                && memcmp(reference, &from, 4) == 0)
            {
                memcpy(reference, &place, 4);
                found += 1;
            }
        }
    }
    CHECK_EQUAL(found, 1);
    image_reseal(&image);
    view = open_image(&image);
    CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_BAD_HASH_INDEX);
    image_destroy(&image);
}

/* Numbers at which arithmetic on sizes and offsets tends to go wrong. */
static uint64_t
awkward_number(uint64_t *random, uint64_t size)
{
    const uint64_t numbers[] = {0,
                                1,
                                2,
                                63,
                                64,
                                511,
                                512,
                                size - 1,
                                size,
                                size + 1,
                                INT32_MAX,
                                UINT64_C(1) << 31,
                                UINT32_MAX,
                                UINT64_C(1) << 32,
                                INT64_MAX,
                                UINT64_C(1) << 63,
                                UINT64_MAX - size,
                                UINT64_MAX,
                                next_random(random),
                                next_random(random) % (2 * size)};
    return numbers[random_below(random, sizeof(numbers) / sizeof(numbers[0]))];
}

static void
check_random_damage(const struct snapshot_options *flavour)
{
    uint64_t random = 5;
    struct image image = sample_image(flavour);
    struct image damaged = image_create(image.size);
    long opened = 0;
    for (int round = 0; round < 30000; round++) {
        memcpy(damaged.bytes, image.bytes, image.size);
        size_t damages = 1 + random_below(&random, 3);
        for (size_t i = 0; i < damages; i++) {
            uint64_t number = awkward_number(&random, image.size);
            size_t width = (size_t)1 << random_below(&random, 4);
            // The rest of the header is reserved fields and the label.
            bool is_header = random_below(&random, 2) == 0;
            size_t begin = is_header ? 8 : 512;
            size_t end = is_header ? 160 : image.size;
            size_t at = begin + random_below(&random, end - begin - width);
            if (random_below(&random, 2) == 0) {
                at = at / width * width;
            }
            memcpy(damaged.bytes + at, &number, width);
        }
        // Half of it as an accident, half as if a foreign writer meant it.
        if (round % 2 == 0) {
            image_header(&damaged)->version = SNAPSHOT_VERSION;
            image_header(&damaged)->total_size = image.size;
            image_reseal(&damaged);
        }
        struct snapshot view;
        if (snapshot_open(&view, damaged.bytes, damaged.size) == STATUS_OK) {
            opened += 1;
            read_everything(&view);
            if (round % 2 == 1) {
                bool is_same = memcmp(damaged.bytes + 512, image.bytes + 512,
                                      image.size - 512)
                               == 0;
                CHECK_EQUAL(snapshot_verify(&view, NULL) == STATUS_OK,
                            is_same);
            }
        }
    }
    CHECK(opened > 3000);  // or the damage never came past the header
    image_destroy(&damaged);
    image_destroy(&image);
}

static void
test_random_damage_is_survived(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        check_random_damage(&flavours[i]);
    }
}

static void
test_verify_finds_damage_in_every_block_of_a_large_snapshot(void)
{
    static struct numbered numbered;
    struct image image =
        image_of_entries(fill_numbered(&numbered, 10000), 10000, &flavours[3]);
    uint64_t random = 6;
    for (int round = 0; round < 200; round++) {
        size_t at = 512 + random_below(&random, image.size - 512);
        image.bytes[at] ^= 0x10;
        struct snapshot view = open_image(&image);
        CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_BAD_CHECKSUM);
        image.bytes[at] ^= 0x10;
    }
    image_destroy(&image);
}

/* ---- bytes that change while they are read ------------------------------ */

struct vandal {
    struct image image;
    atomic_bool is_done;
};

/* Writes what a foreign process with the file mapped could write. */
static void *
vandalise(void *context)
{
    struct vandal *vandal = context;
    uint64_t random = 7;
    volatile unsigned char *bytes = vandal->image.bytes;
    while (!atomic_load(&vandal->is_done)) {
        size_t at = 512 + random_below(&random, vandal->image.size - 512);
        unsigned char byte = bytes[at];
        bytes[at] = (unsigned char)next_random(&random);
        bytes[at] = byte;
    }
    return NULL;
}

static void
check_vandalism(const struct snapshot_options *flavour)
{
    struct vandal vandal = {.image = sample_image(flavour)};
    struct snapshot view = open_image(&vandal.image);
    pthread_t thread;
    CHECK_EQUAL(pthread_create(&thread, NULL, vandalise, &vandal), 0);
    for (int round = 0; round < 60000; round++) {
        read_everything(&view);
    }
    atomic_store(&vandal.is_done, true);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_OK);
    image_destroy(&vandal.image);
}

static void
test_bytes_may_change_while_they_are_read(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        check_vandalism(&flavours[i]);
    }
}

/* One bucket for the image, which has no hash index yet: these fingerprints in
 * its first slots, each with its reference. */
static struct image
with_bucket(struct image image, const unsigned char *fingerprints,
            const uint32_t *references, size_t count)
{
    struct image larger = image_create(image.size + BUCKET_SIZE);
    memcpy(larger.bytes, image.bytes, image.size);
    struct snapshot_header *header = image_header(&larger);
    unsigned char *bucket = larger.bytes + image.size;
    for (size_t slot = 0; slot < count; slot++) {
        bucket[slot] = fingerprints[slot];
        memcpy(bucket + NARROW_REFERENCES + 4 * slot, &references[slot], 4);
    }
    header->flags |= SNAPSHOT_FLAG_HASH_INDEX;
    header->total_size = larger.size;
    header->hash_index = (struct snapshot_region){image.size, BUCKET_SIZE};
    image_reseal(&larger);
    image_destroy(&image);
    return larger;
}

static uint8_t
fingerprint_of(struct slice key)
{
    return hash_index_fingerprint(hash_bytes(key.bytes, key.size, 0));
}

/* By order it is True; by its hash it is a text, or true at a length that no
 * bool has. The records lie in one another. */
static void
test_verify_finds_one_key_with_two_values(void)
{
    static const struct slice records[] = {SLICE("\xE4\x09\x08name\x01"
                                                 "BCDEFGH"),
                                           SLICE("\xE1\x09\x08name\x01"
                                                 "BCDEFGH")};
    static const enum value_type types[] = {VALUE_STR, VALUE_BOOL};
    const uint64_t by_order = 1;
    const uint32_t by_hash[] = {0, 1};
    const unsigned char fingerprint = fingerprint_of(SLICE("name"));
    for (int i = 0; i < 4; i++) {
        bool is_right = i % 2 == 1;
        struct image image =
            with_bucket(image_by_hand(records[i / 2], &by_order, 1, 4, 0),
                        &fingerprint, &by_hash[i % 2], 1);
        struct snapshot view = open_image(&image);
        struct entry entry;
        bool is_found;
        CHECK_STATUS(snapshot_find(&view, SLICE("name"), &entry, &is_found),
                     STATUS_OK);
        CHECK(is_found);
        CHECK_EQUAL(entry.value.type, is_right ? VALUE_BOOL : types[i / 2]);
        CHECK_EQUAL(entry.value.bytes.size, is_right ? 1 : 8);
        CHECK_STATUS(snapshot_verify(&view, NULL),
                     is_right ? STATUS_OK : STATUS_BAD_HASH_INDEX);
        image_destroy(&image);
    }
}

/* The key with this first letter whose fingerprint is 1, or is not. */
static void
find_key(char letter, bool is_one, char key[9])
{
    for (unsigned number = 0;; number++) {
        snprintf(key, 9, "%c%07u", letter, number % 10000000);
        struct slice bytes = {(unsigned char *)key, 8};
        if ((fingerprint_of(bytes) == 1) == is_one) {
            return;
        }
    }
}

/* A comparison of eight bytes at once takes a 0 above a 1 for another 1. */
static void
test_verify_finds_a_key_that_only_a_free_slot_leads_to(void)
{
    // The third is no entry and has the slot that the first one should have.
    char keys[3][9];
    unsigned char records[30], fingerprints[3];
    for (int i = 0; i < 3; i++) {
        find_key((char)('a' + i), i < 2, keys[i]);
        memcpy(records + 10 * i, "\x00\x10", 2);
        memcpy(records + 10 * i + 2, keys[i], 8);
    }
    fingerprints[0] = 1;
    fingerprints[1] = 0;
    fingerprints[2] =
        fingerprint_of((struct slice){(unsigned char *)keys[2], 8});
    const uint64_t by_order[] = {0, 10};
    const uint32_t by_hash[] = {10, 0, 20};
    struct image image =
        with_bucket(image_by_hand((struct slice){records, sizeof(records)},
                                  by_order, 2, 4, 0),
                    fingerprints, by_hash, 3);
    struct snapshot view = open_image(&image);
    struct entry entry;
    bool is_found;
    CHECK_STATUS(snapshot_find(&view,
                               (struct slice){(unsigned char *)keys[0], 8},
                               &entry, &is_found),
                 STATUS_OK);
    CHECK(is_found);
    CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_BAD_HASH_INDEX);
    image_destroy(&image);
}

static const struct test tests[] = {
    TEST(test_verify_refuses_values_that_do_not_fit_their_type),
    TEST(test_verify_refuses_keys_that_are_no_text),
    TEST(test_verify_refuses_keys_out_of_order),
    TEST(test_verify_ends_at_each_question_of_an_interrupt),
    TEST(test_open_refuses_every_truncation),
    TEST(test_truncations_with_a_forged_header_are_survived),
    TEST(test_verify_finds_every_flipped_bit_of_the_contents),
    TEST(test_every_byte_of_the_contents_may_have_any_value),
    TEST(test_verify_finds_a_hash_index_that_misleads),
    TEST(test_verify_finds_a_hash_index_that_leads_to_another_record),
    TEST(test_verify_finds_one_key_with_two_values),
    TEST(test_verify_finds_a_key_that_only_a_free_slot_leads_to),
    TEST(test_random_damage_is_survived),
    TEST(test_verify_finds_damage_in_every_block_of_a_large_snapshot),
    TEST(test_bytes_may_change_while_they_are_read),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
