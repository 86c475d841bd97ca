/* tests/core/test_snapshot_access.c
 *
 * Reading what the writer wrote, and single references and records that
 * no writer writes. Under the address sanitizer "is refused" also
 * means that no byte outside of the snapshot was touched.
 */
#include "core/snapshot/snapshot.h"

#include "core/check.h"
#include "core/snapshots.h"
#include "core/views.h"

/* ---- what the writer wrote ---------------------------------------------- */

static void
test_all_value_types_come_back(void)
{
    struct entry entries[SAMPLE_COUNT];
    fill_samples(entries);
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct snapshot_options options = flavours[i];
        options.label = SLICE("name");
        struct image image = image_of_entries(entries, SAMPLE_COUNT, &options);
        check_holds(&image, entries, SAMPLE_COUNT);
        struct snapshot view = open_image(&image);
        CHECK(slice_equals(snapshot_label(&view), SLICE("name")));
        CHECK_EQUAL(snapshot_has_hash_index(&view),
                    options.index == INDEX_HASH);
        image_destroy(&image);
    }
}

static void
test_all_sizes_at_the_boundaries_of_their_codes_come_back(void)
{
    static const size_t sizes[] = {0,   1,   59,  60,  61,    123,   124,
                                   125, 255, 256, 257, 65535, 65536, 65537};
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
    static unsigned char key[65537], value[65537];
    memset(key, 'k', sizeof(key));
    memset(value, 'v', sizeof(value));
    for (int type = VALUE_STR; type <= VALUE_ENCODED; type++) {
        for (int shift = 0; shift < COUNT; shift++) {
            // Each key is a prefix of the next, and so below it.
            struct entry entries[COUNT];
            for (int i = 0; i < COUNT; i++) {
                struct slice bytes = {value, sizes[(i + shift) % COUNT]};
                entries[i] = (struct entry){{key, sizes[i]},
                                            {bytes, (enum value_type)type}};
            }
            struct image image =
                image_of_entries(entries, COUNT, &flavours[shift % 4]);
            check_holds(&image, entries, COUNT);
            image_destroy(&image);
        }
    }
}

static void
test_empty_map_finds_nothing(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct image image = image_of_entries(NULL, 0, &flavours[i]);
        struct snapshot view = open_image(&image);
        struct entry entry;
        uint64_t index = 7;
        bool is_found = true;
        CHECK_EQUAL(view.entry_count, 0);
        CHECK_STATUS(snapshot_seek(&view, SLICE("a"), &index), STATUS_OK);
        CHECK_EQUAL(index, 0);
        CHECK_STATUS(snapshot_find(&view, SLICE(""), &entry, &is_found),
                     STATUS_OK);
        CHECK(!is_found);
        CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_OK);
        CHECK_EQUAL(snapshot_label(&view).size, 0);
        image_destroy(&image);
    }
}

/* Looks for every number between, before and behind the keys. */
static void
check_search(const struct image *image, size_t count)
{
    struct snapshot view = open_image(image);
    size_t at = 0;  // the oracle: how many keys have been passed
    for (size_t number = 0; number < 10 * count + 20; number++) {
        char text[24];
        snprintf(text, sizeof(text), "%05zu", number);
        struct slice key = {(unsigned char *)text, 5};
        struct entry entry;
        uint64_t index;
        bool is_found;
        CHECK_STATUS(snapshot_seek(&view, key, &index), STATUS_OK);
        CHECK_EQUAL(index, at);
        CHECK_STATUS(snapshot_find(&view, key, &entry, &is_found), STATUS_OK);
        CHECK_EQUAL(is_found, number % 10 == 0 && at < count);
        bool is_found_in_steps = !is_found;
        CHECK_STATUS(find_in_steps(&view, key, &entry, &is_found_in_steps),
                     STATUS_OK);
        CHECK_EQUAL(is_found_in_steps, is_found);
        if (is_found) {
            CHECK(slice_equals(entry.key, key));
            CHECK(slice_equals(entry.value.bytes, key));
            at += 1;
        }
    }
}

static void
test_seek_and_find_agree_with_counting(void)
{
    static struct numbered numbered;
    for (size_t count = 0; count <= 70; count++) {
        for (int i = 0; i < FLAVOUR_COUNT; i++) {
            struct image image = image_of_entries(
                fill_numbered(&numbered, count), count, &flavours[i]);
            check_search(&image, count);
            image_destroy(&image);
        }
    }
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct image image = image_of_entries(fill_numbered(&numbered, 9990),
                                              9990, &flavours[i]);
        check_search(&image, 9990);
        image_destroy(&image);
    }
}

static void
test_each_entry_has_a_slot_of_its_own(void)
{
    static const size_t counts[] = {1, 10, 500, 9990};
    static struct numbered numbered;
    for (int i = 0; i < 4 * FLAVOUR_COUNT; i++) {
        size_t count = counts[i % 4];
        const struct entry *entries = fill_numbered(&numbered, count);
        struct image image =
            image_of_entries(entries, count, &flavours[i / 4]);
        struct snapshot view = open_image(&image);
        uint64_t slots = snapshot_slot_count(&view);
        // Not much more than there are entries.
        CHECK(slots >= count && slots <= 2 * count + NARROW_SLOTS);
        unsigned char *taken = calloc(slots, 1);
        CHECK(taken != NULL);
        for (size_t j = 0; j < count; j++) {
            struct snapshot_probe probe = {.key = entries[j].key};
            struct entry entry;
            bool is_found;
            CHECK_STATUS(snapshot_find_slot(&view, &probe, &entry, &is_found),
                         STATUS_OK);
            CHECK(is_found && probe.slot < slots);
            CHECK(!taken[probe.slot]);
            taken[probe.slot] = 1;
        }
        free(taken);
        image_destroy(&image);
    }
}

static void
test_prefixes_and_bytes_above_127_are_in_order(void)
{
    struct entry entries[] = {
        {SLICE(""), {SLICE("0"), VALUE_STR}},
        {SLICE("\0"), {SLICE("1"), VALUE_STR}},
        {SLICE("\0\0"), {SLICE("2"), VALUE_STR}},
        {SLICE("a"), {SLICE("3"), VALUE_STR}},
        {SLICE("a\0"), {SLICE("4"), VALUE_STR}},
        {SLICE("ab"), {SLICE("5"), VALUE_STR}},
        {SLICE("\x7F"), {SLICE("6"), VALUE_STR}},
        {SLICE("\xC2\x80"), {SLICE("7"), VALUE_STR}},
        {SLICE("\xED\xA0\x80"), {SLICE("8"), VALUE_STR}},
        {SLICE("\xF0\x9F\x98\x80"), {SLICE("9"), VALUE_STR}},
    };
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct image image = image_of_entries(entries, 10, &flavours[i]);
        check_holds(&image, entries, 10);
        image_destroy(&image);
    }
}

static void
test_bytes_may_begin_at_any_address(void)
{
    struct entry entries[SAMPLE_COUNT];
    fill_samples(entries);
    struct image image = image_of_entries(entries, SAMPLE_COUNT, &flavours[3]);
    for (size_t shift = 1; shift < 8; shift++) {
        unsigned char *moved = malloc(image.size + shift);
        CHECK(moved != NULL);
        memcpy(moved + shift, image.bytes, image.size);
        struct snapshot view;
        CHECK_STATUS(snapshot_open(&view, moved + shift, image.size),
                     STATUS_OK);
        for (size_t i = 0; i < SAMPLE_COUNT; i++) {
            struct entry entry;
            bool is_found;
            CHECK_STATUS(snapshot_at(&view, i, &entry), STATUS_OK);
            check_entry(&entry, &entries[i]);
            CHECK_STATUS(
                snapshot_find(&view, entries[i].key, &entry, &is_found),
                STATUS_OK);
            CHECK(is_found);
            check_entry(&entry, &entries[i]);
        }
        CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_OK);
        free(moved);
    }
    image_destroy(&image);
}

static void
test_view_keeps_the_header_it_was_made_with(void)
{
    struct snapshot_options options = labelled(SLICE("before"));
    struct image image = image_of_entries(NULL, 0, &options);
    struct snapshot view = open_image(&image);
    memset(image.bytes, 0, image.size);
    CHECK(slice_equals(snapshot_label(&view), SLICE("before")));
    CHECK_EQUAL(view.header.total_size, image.size);
    image_destroy(&image);
}

/* ---- references --------------------------------------------------------- */

/* Records of 8, 16, 24, ... bytes: "aaa" -> "111", "bbb" -> ... */
static struct image
image_with_shift(uint8_t reference_size, uint8_t shift)
{
    unsigned char records[10 * 64] = {0};
    uint64_t references[10];
    for (uint64_t i = 0; i < 10; i++) {
        unsigned char *record = records + (i << shift);
        record[0] = 1 << 3 | VALUE_STR;  // one byte of value
        record[1] = 1 << 1;              // one byte of key
        record[2] = (unsigned char)('a' + i);
        record[3] = (unsigned char)('0' + i);
        references[i] = i;
    }
    struct slice bytes = {records, ((size_t)9 << shift) + 4};
    return image_by_hand(bytes, references, 10, reference_size, shift);
}

static void
test_references_count_in_units_of_their_shift(void)
{
    for (uint8_t shift = 2; shift <= 6; shift++) {
        for (uint8_t size = 4; size <= 8; size = (uint8_t)(size + 4)) {
            struct image image = image_with_shift(size, shift);
            struct snapshot view = open_image(&image);
            CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_OK);
            for (uint64_t i = 0; i < 10; i++) {
                unsigned char letter = (unsigned char)('a' + i);
                unsigned char digit = (unsigned char)('0' + i);
                struct entry entry;
                bool is_found;
                CHECK_STATUS(snapshot_find(&view, (struct slice){&letter, 1},
                                           &entry, &is_found),
                             STATUS_OK);
                CHECK(is_found);
                CHECK(slice_equals(entry.value.bytes,
                                   (struct slice){&digit, 1}));
            }
            image_destroy(&image);
        }
    }
}

/* One record, "k" -> "v", under a reference of our choice. */
static enum status
status_of_reference(uint64_t reference, uint8_t size, uint8_t shift)
{
    static const unsigned char record[] = {1 << 3 | VALUE_STR, 1 << 1, 'k',
                                           'v'};
    struct image image = image_by_hand((struct slice){record, sizeof(record)},
                                       &reference, 1, size, shift);
    struct snapshot view = open_image(&image);
    struct entry entry;
    uint64_t index;
    bool is_found;
    enum status status = snapshot_at(&view, 0, &entry);
    if (status != STATUS_OK) {
        CHECK_STATUS(snapshot_seek(&view, SLICE("k"), &index), status);
        CHECK_STATUS(snapshot_find(&view, SLICE("k"), &entry, &is_found),
                     status);
        CHECK_STATUS(snapshot_verify(&view, NULL), status);
    }
    image_destroy(&image);
    return status;
}

static void
test_references_outside_of_the_records_are_refused(void)
{
    CHECK_STATUS(status_of_reference(0, 4, 0), STATUS_OK);
    CHECK_STATUS(status_of_reference(0, 8, 6), STATUS_OK);
    // The last byte is too few for a head.
    static const uint64_t references[] = {3, 4, 5, 64, INT32_MAX, UINT32_MAX};
    for (size_t i = 0; i < sizeof(references) / sizeof(references[0]); i++) {
        for (uint8_t shift = 0; shift <= 6; shift++) {
            CHECK_STATUS(status_of_reference(references[i], 4, shift),
                         STATUS_BAD_REFERENCE);
            CHECK_STATUS(status_of_reference(references[i], 8, shift),
                         STATUS_BAD_REFERENCE);
        }
    }
    for (unsigned bit = 2; bit < 64; bit++) {
        for (uint8_t shift = 0; shift <= 6; shift++) {
            // Shifted out, the bit would leave a good reference.
            CHECK_STATUS(status_of_reference(UINT64_C(1) << bit, 8, shift),
                         STATUS_BAD_REFERENCE);
        }
    }
}

static void
test_references_into_no_records_at_all_are_refused(void)
{
    for (size_t size = 0; size < 2; size++) {
        uint64_t reference = 0;
        struct image image =
            image_by_hand((struct slice){(const unsigned char *)"", size},
                          &reference, 1, 4, 0);
        struct snapshot view = open_image(&image);
        struct entry entry;
        CHECK_STATUS(snapshot_at(&view, 0, &entry), STATUS_BAD_REFERENCE);
        image_destroy(&image);
    }
}

/* ---- records ------------------------------------------------------------ */

static enum status
status_of_record(const void *record, size_t size, struct entry *entry)
{
    uint64_t reference = 0;
    struct image image =
        image_by_hand((struct slice){record, size}, &reference, 1, 4, 0);
    struct snapshot view = open_image(&image);
    enum status status = snapshot_at(&view, 0, entry);
    if (status == STATUS_OK) {
        CHECK(is_inside(&view, entry->key));
        CHECK(is_inside(&view, entry->value.bytes));
    }
    else {
        CHECK_STATUS(snapshot_verify(&view, NULL), status);
    }
    read_everything(&view);
    image_destroy(&image);
    return status;
}

static uint16_t
head_of(unsigned key_code, unsigned value_code, enum value_type type)
{
    return (uint16_t)(key_code << 9 | value_code << 3 | (unsigned)type);
}

/* A record with all its bytes is read; with any fewer it is refused. */
static void
check_every_cut(unsigned char *record, size_t size, struct entry *entry)
{
    CHECK_STATUS(status_of_record(record, size, entry), STATUS_OK);
    for (size_t cut = 0; cut < size; cut++) {
        struct entry ignored;
        CHECK_STATUS(status_of_record(record, cut, &ignored),
                     cut < 2 ? STATUS_BAD_REFERENCE : STATUS_BAD_RECORD);
    }
}

static void
test_records_that_are_cut_anywhere_are_refused(void)
{
    for (unsigned key_width = 0; key_width <= 4; key_width++) {
        for (unsigned value_width = 0; value_width <= 4; value_width++) {
            for (int type = VALUE_STR; type <= VALUE_BYTES; type++) {
                unsigned char record[64] = {0};
                uint64_t key_size = 3, value_size = 5;
                uint16_t head =
                    head_of(key_width == 0 ? 3 : 123 + key_width,
                            value_width == 0 ? 5 : 59 + value_width,
                            (enum value_type)type);
                size_t size = 2;
                memcpy(record, &head, 2);
                // A small size may stand in a wide place: longer than needed
                // is not wrong.
                if (key_width > 0) {
                    memcpy(record + size, &key_size,
                           (size_t)1 << (key_width - 1));
                    size += (size_t)1 << (key_width - 1);
                }
                if (value_width > 0) {
                    memcpy(record + size, &value_size,
                           (size_t)1 << (value_width - 1));
                    size += (size_t)1 << (value_width - 1);
                }
                memcpy(record + size, "key", 3);
                size += 3;
                if (type == VALUE_BYTES) {
                    size = (size + 7) / 8 * 8;
                }
                memcpy(record + size, "value", 5);
                struct entry entry;
                check_every_cut(record, size + 5, &entry);
                CHECK_EQUAL(entry.key.size, 3);
                CHECK_EQUAL(entry.value.bytes.size, 5);
                CHECK_EQUAL(entry.value.type, type);
            }
        }
    }
}

static void
test_sizes_beyond_the_records_are_refused(void)
{
    static const uint64_t sizes[] = {61,
                                     62,
                                     63,
                                     1000,
                                     UINT32_MAX,
                                     INT64_MAX,
                                     (uint64_t)INT64_MAX + 1,
                                     UINT64_MAX,
                                     UINT64_MAX - 1,
                                     UINT64_MAX - 7,
                                     UINT64_MAX - 63};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (int type = VALUE_STR; type <= VALUE_BYTES; type++) {
            unsigned char record[62] = {0};
            struct entry entry;
            uint16_t head = head_of(127, 0, (enum value_type)type);
            memcpy(record, &head, 2);
            memcpy(record + 2, &sizes[i], 8);
            CHECK_STATUS(status_of_record(record, sizeof(record), &entry),
                         STATUS_BAD_RECORD);
            head = head_of(0, 63, (enum value_type)type);
            memcpy(record, &head, 2);
            CHECK_STATUS(status_of_record(record, sizeof(record), &entry),
                         STATUS_BAD_RECORD);
        }
    }
}

/* Without a value it would be a tombstone, which a base has not. */
static void
test_containers_are_refused_without_their_flag(void)
{
    unsigned char records[] = "\x0F\x00\x90\x07\x00";
    const uint64_t references[] = {0, 3};
    struct image image = image_by_hand(
        (struct slice){records, sizeof(records) - 1}, references, 2, 4, 0);
    for (unsigned flag = 0; flag < 2; flag++) {
        image_header(&image)->flags = flag * SNAPSHOT_FLAG_CONTAINERS;
        image_reseal(&image);
        struct snapshot view = open_image(&image);
        struct entry entry;
        CHECK_STATUS(snapshot_at(&view, 0, &entry),
                     flag ? STATUS_OK : STATUS_BAD_VALUE);
        CHECK_STATUS(snapshot_at(&view, 1, &entry), STATUS_BAD_VALUE);
    }
    image_destroy(&image);
}

static void
test_containers_come_back(void)
{
    struct entry entries[CONTAINER_COUNT];
    fill_containers(entries);
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct image image =
            image_of_entries(entries, CONTAINER_COUNT, &flavours[i]);
        check_holds(&image, entries, CONTAINER_COUNT);
        image_destroy(&image);
    }
}

static const struct test tests[] = {
    TEST(test_all_value_types_come_back),
    TEST(test_all_sizes_at_the_boundaries_of_their_codes_come_back),
    TEST(test_empty_map_finds_nothing),
    TEST(test_seek_and_find_agree_with_counting),
    TEST(test_each_entry_has_a_slot_of_its_own),
    TEST(test_prefixes_and_bytes_above_127_are_in_order),
    TEST(test_bytes_may_begin_at_any_address),
    TEST(test_view_keeps_the_header_it_was_made_with),
    TEST(test_references_count_in_units_of_their_shift),
    TEST(test_references_outside_of_the_records_are_refused),
    TEST(test_references_into_no_records_at_all_are_refused),
    TEST(test_records_that_are_cut_anywhere_are_refused),
    TEST(test_sizes_beyond_the_records_are_refused),
    TEST(test_containers_are_refused_without_their_flag),
    TEST(test_containers_come_back),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
