/* tests/core/test_snapshot_header.c
 *
 * Which damage of a header gets which answer: unsealed, as an accident would
 * leave it, and sealed again, as a foreign program could have written it.
 */
#include "core/snapshot/header.h"

#include "core/check.h"
#include "core/snapshots.h"

enum { TOTAL_SIZE = 4096 };

static const unsigned char magic[] = SNAPSHOT_MAGIC;

/* 100 entries: sorted index 512 to 912, records 960 to 4000. The writer puts
 * them the other way round; to a header check it does not matter. */
static struct snapshot_header
sound_header(void)
{
    struct snapshot_header header = {
        .magic = SNAPSHOT_MAGIC,
        .version = 1,
        .header_size = 512,
        .kind = 1,
        .total_size = TOTAL_SIZE,
        .entry_count = 100,
        .reference_size = 4,
        .label_size = 5,
        .sorted_index = {512, 400},
        .records = {960, 3040},
        .generation = 1,
        .unique_id = "0123456789ABCDE",
        .label = "label",
    };
    snapshot_header_seal(&header);
    return header;
}

static void
check_sealed(struct snapshot_header header, enum status expected)
{
    snapshot_header_seal(&header);
    CHECK_STATUS(snapshot_header_check(&header, header.total_size), expected);
}

static void
test_sound_header_is_accepted(void)
{
    struct snapshot_header header = sound_header();
    CHECK_STATUS(snapshot_header_check(&header, TOTAL_SIZE), STATUS_OK);
}

static void
test_size_must_be_exactly_the_file_size(void)
{
    struct snapshot_header header = sound_header();
    for (uint64_t size = 0; size <= 2 * TOTAL_SIZE; size++) {
        CHECK_STATUS(snapshot_header_check(&header, size),
                     size == TOTAL_SIZE ? STATUS_OK : STATUS_TRUNCATED);
    }
    CHECK_STATUS(snapshot_header_check(&header, UINT64_MAX), STATUS_TRUNCATED);
}

static void
test_every_flipped_bit_is_found(void)
{
    static const struct {
        size_t begin, end;
        enum status expected;
    } fields[] = {
        {0, 8, STATUS_NOT_A_SNAPSHOT},
        {8, 12, STATUS_OTHER_VERSION},
        {24, 32, STATUS_TRUNCATED},
        {136, 152, STATUS_OK},  // unique_id: random, so in no checksum
        {192, 196, STATUS_OK},  // head: written after publication
        {200, 208, STATUS_OK},  // waiting_since: likewise
    };
    for (size_t bit = 0; bit < 8 * SNAPSHOT_HEADER_SIZE; bit++) {
        enum status expected = STATUS_BAD_HEADER_CHECKSUM;
        for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
            if (bit / 8 >= fields[i].begin && bit / 8 < fields[i].end) {
                expected = fields[i].expected;
            }
        }
        struct snapshot_header header = sound_header();
        ((unsigned char *)&header)[bit / 8] ^= (unsigned char)(1U << bit % 8);
        CHECK_STATUS(snapshot_header_check(&header, TOTAL_SIZE), expected);
    }
}

static void
test_first_failure_is_what_is_reported(void)
{
    struct snapshot_header header;
    memset(&header, 0xFF, sizeof(header));
    CHECK_STATUS(snapshot_header_check(&header, 512), STATUS_NOT_A_SNAPSHOT);
    memcpy(header.magic, magic, sizeof(magic));
    CHECK_STATUS(snapshot_header_check(&header, 512), STATUS_OTHER_VERSION);
    header.version = 1;
    CHECK_STATUS(snapshot_header_check(&header, 512), STATUS_TRUNCATED);
    header.total_size = 512;
    CHECK_STATUS(snapshot_header_check(&header, 512),
                 STATUS_BAD_HEADER_CHECKSUM);
    check_sealed(header, STATUS_OTHER_KIND);
    header.kind = 1;
    check_sealed(header, STATUS_OTHER_KIND);
    header.flags = 0;
    check_sealed(header, STATUS_BAD_HEADER);
}

static void
test_unknown_version_kind_and_flags_are_refused(void)
{
    for (unsigned bit = 0; bit < 32; bit++) {
        struct snapshot_header header = sound_header();
        header.version ^= UINT32_C(1) << bit;
        check_sealed(header, STATUS_OTHER_VERSION);
        header = sound_header();
        header.kind ^= UINT32_C(1) << bit;
        check_sealed(header, STATUS_OTHER_KIND);
        header = sound_header();
        header.flags ^= UINT32_C(1) << bit;
        check_sealed(header, bit == 0   ? STATUS_BAD_REGION  // without region
                             : bit == 2 ? STATUS_OK
                                        : STATUS_OTHER_KIND);
    }
}

static void
test_fields_out_of_range_are_refused(void)
{
    struct snapshot_header header = sound_header();
    header.header_size = 256;
    check_sealed(header, STATUS_BAD_HEADER);
    header.header_size = 1024;
    check_sealed(header, STATUS_BAD_HEADER);

    for (unsigned size = 0; size < 256; size++) {
        header = sound_header();
        header.reference_size = (uint8_t)size;
        header.sorted_index.size = UINT64_C(100) * size;
        check_sealed(header,
                     size == 4 || size == 8 ? STATUS_OK : STATUS_BAD_HEADER);
        header = sound_header();
        header.reference_shift = (uint8_t)size;
        check_sealed(header, size <= 6 ? STATUS_OK : STATUS_BAD_HEADER);
    }
    for (unsigned size = 0; size <= UINT16_MAX; size++) {
        header = sound_header();
        header.label_size = (uint16_t)size;
        check_sealed(header, size <= 256 ? STATUS_OK : STATUS_BAD_HEADER);
    }
    for (unsigned more = 1; more < 64; more++) {
        header = sound_header();
        header.total_size += more;
        check_sealed(header, STATUS_BAD_HEADER);
    }
}

#define LARGEST_LIMIT (2 * TOTAL_SIZE + (UINT64_C(1) << 22))

/* Deltas may follow up to the limit, and the file may end where it does. */
static void
test_limit_is_the_largest_size_of_the_file(void)
{
    struct snapshot_header header = sound_header();
    static const uint64_t limits[] = {0, 64, TOTAL_SIZE, TOTAL_SIZE + 64,
                                      LARGEST_LIMIT};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        header.limit = limits[i];
        check_sealed(header, STATUS_OK);
        bool has_room = limits[i] > TOTAL_SIZE;
        snapshot_header_seal(&header);
        CHECK_STATUS(snapshot_header_check(&header, TOTAL_SIZE + 1),
                     has_room ? STATUS_OK : STATUS_TRUNCATED);
        CHECK_STATUS(snapshot_header_check(&header, TOTAL_SIZE - 1),
                     STATUS_TRUNCATED);
        if (has_room) {
            CHECK_STATUS(snapshot_header_check(&header, limits[i]), STATUS_OK);
            CHECK_STATUS(snapshot_header_check(&header, limits[i] + 1),
                         STATUS_TRUNCATED);
        }
    }
    for (unsigned more = 1; more < 64; more++) {
        header.limit = TOTAL_SIZE + more;
        check_sealed(header, STATUS_BAD_HEADER);
    }
    // In proportion to the base, since readers map it.
    header.limit = LARGEST_LIMIT + 64;
    check_sealed(header, STATUS_BAD_HEADER);
    header.limit = UINT64_C(1) << 63;
    check_sealed(header, STATUS_BAD_HEADER);
    header.limit = UINT64_MAX - 63;
    check_sealed(header, STATUS_BAD_HEADER);
}

static void
test_regions_outside_of_the_snapshot_are_refused(void)
{
    static const struct snapshot_region places[] = {
        {0, 0},
        {0, 3040},
        {448, 3040},  // inside the header
        {1, 400},     // not aligned
        {968, 400},
        {960, 3137},  // one byte over the end
        {4096, 1},
        {4160, 0},  // behind the end
        {UINT64_MAX - 63, 64},
        {UINT64_MAX - 63, UINT64_MAX},
        {960, UINT64_MAX},
        {960, UINT64_MAX - 959},  // the sum is 0
    };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct snapshot_header header = sound_header();
        header.records = places[i];
        check_sealed(header, STATUS_BAD_REGION);
        header = sound_header();
        header.sorted_index = places[i];
        check_sealed(header, STATUS_BAD_REGION);
        // Even with a count that goes with it.
        header.entry_count = places[i].size / 4;
        check_sealed(header, STATUS_BAD_REGION);
    }
}

static void
test_regions_may_fill_the_snapshot_to_the_end(void)
{
    struct snapshot_header header = sound_header();
    header.records = (struct snapshot_region){960, 4096 - 960};
    check_sealed(header, STATUS_OK);
    header.records = (struct snapshot_region){4096, 0};
    check_sealed(header, STATUS_OK);
    header.entry_count = (4096 - 512) / 4;
    header.sorted_index = (struct snapshot_region){512, 4096 - 512};
    check_sealed(header, STATUS_OK);
}

static void
test_smallest_snapshot_is_only_a_header(void)
{
    struct snapshot_header header = sound_header();
    header.total_size = 512;
    header.entry_count = 0;
    header.sorted_index = (struct snapshot_region){512, 0};
    header.records = (struct snapshot_region){512, 0};
    check_sealed(header, STATUS_OK);
    // The size is believed for itself: it need not have room for a header.
    header.total_size = 448;
    check_sealed(header, STATUS_BAD_REGION);
    header.total_size = 0;
    check_sealed(header, STATUS_BAD_REGION);
}

static void
test_entry_count_must_match_the_index(void)
{
    static const uint64_t counts[] = {
        0,
        99,
        101,
        UINT64_C(1) << 62,
        UINT64_C(1) << 63,
        UINT64_MAX,
        // Times 4 these are 400 again, but for the bits that do not fit.
        100 + (UINT64_C(1) << 62),
        100 + (UINT64_C(3) << 62),
    };
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct snapshot_header header = sound_header();
        header.entry_count = counts[i];
        check_sealed(header, STATUS_BAD_REGION);
    }
}

static void
test_alignment_of_values_is_a_power_of_two_up_to_a_line(void)
{
    static const uint16_t alignments[] = {0, 8,  16, 32,  64,     1,
                                          4, 12, 24, 128, 0x4008, UINT16_MAX};
    for (size_t i = 0; i < sizeof(alignments) / sizeof(*alignments); i++) {
        struct snapshot_header header = sound_header();
        header.value_alignment = alignments[i];
        check_sealed(header, i < 5 ? STATUS_OK : STATUS_BAD_HEADER);
    }
}

/* With a hash index of one bucket in the last line. */
static struct snapshot_header
header_with_hash_index(void)
{
    struct snapshot_header header = sound_header();
    header.flags = SNAPSHOT_FLAG_HASH_INDEX;
    header.hash_index = (struct snapshot_region){4032, 64};
    return header;
}

static void
test_hash_index_is_whole_buckets_inside_of_the_snapshot(void)
{
    static const struct {
        struct snapshot_region region;
        enum status expected;
    } cases[] = {
        {{4032, 64}, STATUS_OK},
        {{512, 64}, STATUS_OK},  // regions may lie anywhere, even together
        {{512, 3584}, STATUS_OK},
        {{0, 0}, STATUS_BAD_REGION},  // absent, but for its flag
        {{4032, 0}, STATUS_BAD_REGION},
        {{4096, 0}, STATUS_BAD_REGION},
        {{4096, 64}, STATUS_BAD_REGION},
        {{4032, 128}, STATUS_BAD_REGION},
        {{3968, 63}, STATUS_BAD_REGION},
        {{3968, 65}, STATUS_BAD_REGION},
        {{3968, 127}, STATUS_BAD_REGION},
        {{448, 64}, STATUS_BAD_REGION},  // inside the header
        {{4000, 64}, STATUS_BAD_REGION},
        {{UINT64_MAX - 63, 64}, STATUS_BAD_REGION},
        {{512, UINT64_MAX - 63}, STATUS_BAD_REGION},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct snapshot_header header = header_with_hash_index();
        header.hash_index = cases[i].region;
        check_sealed(header, cases[i].expected);
        header.flags = 0;
        check_sealed(header,
                     cases[i].region.offset == 0 && cases[i].region.size == 0
                         ? STATUS_OK
                         : STATUS_BAD_REGION);
    }
}

/* Any seed: writers may try as many as they like. */
static void
test_hash_seed_may_be_any_number(void)
{
    for (int bit = 0; bit < 64; bit++) {
        struct snapshot_header header = header_with_hash_index();
        header.hash_seed = UINT64_C(1) << bit;
        check_sealed(header, STATUS_OK);
    }
}

static void
test_index_without_its_flag_is_refused(void)
{
    struct snapshot_header header = sound_header();
    header.hash_index = (struct snapshot_region){4032, 64};
    check_sealed(header, STATUS_BAD_REGION);
    header = sound_header();
    header.hash_index = (struct snapshot_region){0, 1};
    check_sealed(header, STATUS_BAD_REGION);
    header = sound_header();
    header.hash_index = (struct snapshot_region){512, 0};
    check_sealed(header, STATUS_BAD_REGION);
}

/* What a reader must not overlook gets a flag; what it may, a reserved field.
 * So a reader of today goes on reading when these are used. */
static void
test_reserved_fields_are_ignored(void)
{
    struct snapshot_header header = sound_header();
    header.reserved_0 = 1;
    check_sealed(header, STATUS_OK);
    header = sound_header();
    header.reserved_1[0] = 512;
    header.reserved_1[1] = 64;
    check_sealed(header, STATUS_OK);
    header = sound_header();
    header.reserved_2[1] = 1;
    check_sealed(header, STATUS_OK);
    header = sound_header();
    header.reserved_3 = 1;
    check_sealed(header, STATUS_OK);
    header = sound_header();
    header.reserved_4[0] = 1;
    check_sealed(header, STATUS_OK);
    header = sound_header();
    header.hash_seed = 1;
    check_sealed(header, STATUS_OK);
    header = sound_header();
    header.label[200] = 'x';
    check_sealed(header, STATUS_OK);
}

static void
test_seal_changes_the_checksum_only(void)
{
    struct snapshot_header before, after;
    memset(&before, 0x5A, sizeof(before));
    after = before;
    snapshot_header_seal(&after);
    CHECK(before.header_checksum != after.header_checksum);
    after.header_checksum = before.header_checksum;
    CHECK(memcmp(&before, &after, sizeof(before)) == 0);
}

/* docs/FORMAT.md says how; these lines are its words in C. */
static void
test_seal_is_the_hash_of_the_header_with_three_fields_zero(void)
{
    struct snapshot_header header = sound_header();
    unsigned char bytes[512];
    header.head = 1;
    memcpy(bytes, &header, 512);
    memset(bytes + 136, 0, 16);
    memset(bytes + 152, 0, 8);
    memset(bytes + 192, 0, 4);
    CHECK_EQUAL(header.header_checksum, hash_bytes(bytes, 512, 0));
}

static const struct test tests[] = {
    TEST(test_sound_header_is_accepted),
    TEST(test_size_must_be_exactly_the_file_size),
    TEST(test_every_flipped_bit_is_found),
    TEST(test_first_failure_is_what_is_reported),
    TEST(test_unknown_version_kind_and_flags_are_refused),
    TEST(test_fields_out_of_range_are_refused),
    TEST(test_limit_is_the_largest_size_of_the_file),
    TEST(test_regions_outside_of_the_snapshot_are_refused),
    TEST(test_regions_may_fill_the_snapshot_to_the_end),
    TEST(test_smallest_snapshot_is_only_a_header),
    TEST(test_alignment_of_values_is_a_power_of_two_up_to_a_line),
    TEST(test_entry_count_must_match_the_index),
    TEST(test_hash_index_is_whole_buckets_inside_of_the_snapshot),
    TEST(test_hash_seed_may_be_any_number),
    TEST(test_index_without_its_flag_is_refused),
    TEST(test_reserved_fields_are_ignored),
    TEST(test_seal_changes_the_checksum_only),
    TEST(test_seal_is_the_hash_of_the_header_with_three_fields_zero),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
