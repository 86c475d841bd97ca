/* tests/core/test_hash.c
 *
 * Snapshots store what the hash answers, so its answers are known numbers.
 * They come from hash_reference.py, which was written from docs/FORMAT.md and
 * prints the table below.
 */
#include "core/hash.h"

#include "core/check.h"

enum { SEED_COUNT = 3, LARGEST = 65536 };

static const uint64_t seeds[SEED_COUNT] = {0, 1, 0xFEDCBA9876543210};

static const struct {
    size_t size;
    uint64_t hashes[SEED_COUNT];
} known_answers[] = {
    {0, {0xA48FE3CA5F39B539, 0x93DAA6D0BF22F985, 0x478CA2BA1959348D}},
    {1, {0x885BFFF3980DE9E5, 0x939F24BA709E6561, 0xBF54955CC3CF236B}},
    {2, {0xF2C88DC88BDC330F, 0x0DC521CB34E93910, 0x03D31FFFB384D7B4}},
    {3, {0x2548099E6F2F0DD7, 0x89800C70A4B12835, 0xF192594DA82ACF59}},
    {4, {0x48D4BDB959C6B65C, 0xE522F4757C483C80, 0x78C8F92CE0F28B94}},
    {5, {0x92DFFAC22D89038A, 0xB2479395A22A542E, 0xC07F5D1279115917}},
    {7, {0xCB187117B7E0CDA0, 0xB6D35553348D7AF0, 0x7B7041E004841A44}},
    {8, {0x219EF5963581D1C4, 0x22C75491C15AF199, 0xCE842E284C332C32}},
    {9, {0x817775561A084AA7, 0xC225F207FBDF76BB, 0x068DA4522A23E0CD}},
    {15, {0xE8B07CF6F35062EC, 0xE0A9C949BE8F3A0C, 0xDF567EE901FDBB84}},
    {16, {0xFDDC97647B395ABB, 0xF6B594C91A3DCD36, 0xE6824BFD4FADD77F}},
    {17, {0x234FCFCAF46C82A6, 0x03A2FB17E9F33B15, 0x3C189F37B865BA2C}},
    {31, {0x9738B51CC6B5E143, 0x2AC2E13B5A9A05CC, 0xC4E5EC02173AE9AA}},
    {32, {0x014E4264C018814D, 0x00E319CD3C57494D, 0xFC372CDA416F4EF1}},
    {33, {0xCD38206505697322, 0xFB371090E8119190, 0x8906096D8775286B}},
    {48, {0x580DECAE2EE44F5E, 0xF0F0F8C8882282CC, 0x5A266EDD2045EE19}},
    {63, {0x272397991A477C79, 0xA12A321BAE2B89E5, 0x486C2B086F94C629}},
    {64, {0xC6E4AB54F985EA2C, 0x2E9BC6A75B980B94, 0xAEAF6C795204A925}},
    {65, {0xC62269A4E878F3D8, 0xED9D80631471FC3D, 0xB2B4197F2468E516}},
    {80, {0x2A78CBBD6EBF1B7F, 0x5FD7DA4D0581BAED, 0x429D1AAE3DEBA78E}},
    {81, {0xE0DC467360DBBDE6, 0xA2CB4A2928E127F6, 0x4A46E4B243106842}},
    {127, {0x66BA3A05BE893B08, 0x2C03F16108B8D227, 0x17E4B14F952568E1}},
    {128, {0xDD37F065C957E122, 0x302935683E7D2C85, 0x51D4DEB6753E6F8D}},
    {129, {0x58C3C426675B2104, 0x6427ED6BAC24EF5E, 0xEF68B546C92C312A}},
    {200, {0x90880982CF488062, 0x42E572D14A4903AA, 0x39F1D89231E4B977}},
    {1000, {0x5D96DA9D8A3516CD, 0x6541397AE3588F35, 0xE594C8EB236A922D}},
    {65536, {0x8F4ACBB48E273E47, 0x549C25DFA9D1AB15, 0xD686E9F4B317A745}},
};

static void
fill(unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)(i * 37 + 11);
    }
}

static void
test_hash_gives_the_known_answers(void)
{
    static unsigned char bytes[LARGEST];
    fill(bytes, LARGEST);
    size_t count = sizeof(known_answers) / sizeof(known_answers[0]);
    for (size_t i = 0; i < count; i++) {
        for (int j = 0; j < SEED_COUNT; j++) {
            CHECK_EQUAL(hash_bytes(bytes, known_answers[i].size, seeds[j]),
                        known_answers[i].hashes[j]);
        }
    }
}

static void
test_hash_of_nothing_accepts_null(void)
{
    CHECK_EQUAL(hash_bytes(NULL, 0, 7), hash_bytes("", 0, 7));
}

static void
test_hash_reads_exactly_the_bytes_at_any_address(void)
{
    unsigned char bytes[201];
    fill(bytes, sizeof(bytes));
    for (size_t size = 0; size <= 200; size++) {
        uint64_t expected = hash_bytes(bytes, size, 1);
        for (size_t shift = 0; shift < 8; shift++) {
            // The piece ends with the bytes: the address sanitizer looks on.
            unsigned char *copy = malloc(shift + size + 1);
            CHECK(copy != NULL);
            unsigned char *piece = copy + shift + 1;
            memcpy(piece, bytes, size);
            CHECK_EQUAL(hash_bytes(piece, size, 1), expected);
            free(copy);
        }
    }
}

static int
compare_numbers(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void
check_all_differ(uint64_t *hashes, size_t count)
{
    qsort(hashes, count, sizeof(*hashes), compare_numbers);
    for (size_t i = 1; i < count; i++) {
        CHECK(hashes[i - 1] != hashes[i]);
    }
}

static void
test_hash_tells_sizes_of_equal_bytes_apart(void)
{
    static const unsigned char fillings[] = {0x00, 0x01, 0x61, 0x80, 0xFF};
    uint64_t hashes[sizeof(fillings) * 201];
    size_t count = 0;
    for (size_t i = 0; i < sizeof(fillings); i++) {
        unsigned char bytes[200];
        memset(bytes, fillings[i], sizeof(bytes));
        // No bytes are no bytes, whatever the filling.
        for (size_t size = i == 0 ? 0 : 1; size <= 200; size++) {
            hashes[count++] = hash_bytes(bytes, size, 0);
        }
    }
    check_all_differ(hashes, count);
}

static void
test_hash_depends_on_the_seed(void)
{
    unsigned char bytes[200];
    uint64_t hashes[100];
    fill(bytes, sizeof(bytes));
    for (size_t size = 0; size <= 200; size++) {
        for (uint64_t seed = 0; seed < 100; seed++) {
            hashes[seed] = hash_bytes(bytes, size, seed);
        }
        check_all_differ(hashes, 100);
    }
}

static void
test_hash_notices_swapped_words(void)
{
    unsigned char bytes[256], swapped[256];
    fill(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i += 8) {
        for (size_t j = 0; j < i; j += 8) {
            memcpy(swapped, bytes, sizeof(bytes));
            memcpy(swapped + i, bytes + j, 8);
            memcpy(swapped + j, bytes + i, 8);
            CHECK(memcmp(swapped + i, bytes + i, 8) == 0
                  || hash_bytes(swapped, sizeof(swapped), 0)
                         != hash_bytes(bytes, sizeof(bytes), 0));
        }
    }
}

/* Adds to flips[] how often each bit of the hash changed. */
static void
count_flips(unsigned flips[64], uint64_t changed)
{
    for (int bit = 0; bit < 64; bit++) {
        flips[bit] += (unsigned)(changed >> bit & 1);
    }
}

enum { TRIALS = 1000 };

/* A fair coin's standard deviation is 0.016 of 1000 throws; some 400,000
 * counts are looked at here, the farthest of which lies near 0.08. */
static void
check_flips(const unsigned flips[64])
{
    for (int bit = 0; bit < 64; bit++) {
        CHECK(flips[bit] > TRIALS * 40 / 100);
        CHECK(flips[bit] < TRIALS * 60 / 100);
    }
}

static void
test_each_input_bit_flips_each_output_bit_half_the_time(void)
{
    static const size_t sizes[] = {1,  2,  3,  4,  7,  8,  9,   15, 16,
                                   17, 24, 32, 48, 64, 65, 100, 150};
    uint64_t random = 1;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t bit = 0; bit < 8 * sizes[i]; bit++) {
            unsigned flips[64] = {0};
            for (int trial = 0; trial < TRIALS; trial++) {
                unsigned char bytes[152];
                for (size_t at = 0; at < sizes[i]; at += 8) {
                    uint64_t word = next_random(&random);
                    memcpy(bytes + at, &word, 8);
                }
                uint64_t seed = next_random(&random);
                uint64_t before = hash_bytes(bytes, sizes[i], seed);
                bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
                count_flips(flips, before ^ hash_bytes(bytes, sizes[i], seed));
            }
            check_flips(flips);
        }
    }
}

static void
test_each_seed_bit_flips_each_output_bit_half_the_time(void)
{
    uint64_t random = 2;
    unsigned char bytes[100];
    fill(bytes, sizeof(bytes));
    for (size_t size = 0; size <= 100; size += 5) {
        for (int bit = 0; bit < 64; bit++) {
            unsigned flips[64] = {0};
            for (int trial = 0; trial < TRIALS; trial++) {
                uint64_t seed = next_random(&random);
                count_flips(
                    flips,
                    hash_bytes(bytes, size, seed)
                        ^ hash_bytes(bytes, size, seed ^ UINT64_C(1) << bit));
            }
            check_flips(flips);
        }
    }
}

enum { KEY_COUNT = 1000000 };

static uint64_t
hash_of_little_endian_number(uint32_t number)
{
    return hash_bytes(&number, sizeof(number), 0);
}

static uint64_t
hash_of_decimal_number(uint32_t number)
{
    char key[16];
    int size = snprintf(key, sizeof(key), "%" PRIu32, number);
    return hash_bytes(key, (size_t)size, 0);
}

static uint64_t
hash_of_user_key(uint32_t number)
{
    char key[32];
    int size = snprintf(key, sizeof(key), "user:%09" PRIu32, number);
    return hash_bytes(key, (size_t)size, 0);
}

static uint64_t (*const key_families[])(uint32_t) = {
    hash_of_little_endian_number,
    hash_of_decimal_number,
    hash_of_user_key,
};

enum { FAMILY_COUNT = sizeof(key_families) / sizeof(key_families[0]) };

static void
test_a_million_small_keys_do_not_collide(void)
{
    uint64_t *hashes = malloc(KEY_COUNT * sizeof(*hashes));
    CHECK(hashes != NULL);
    for (int family = 0; family < FAMILY_COUNT; family++) {
        for (uint32_t i = 0; i < KEY_COUNT; i++) {
            hashes[i] = key_families[family](i);
        }
        check_all_differ(hashes, KEY_COUNT);
    }
    free(hashes);
}

/* Consecutive keys over 1024 buckets by the lowest, the middle and the
 * highest bits: about 977 each, standard deviation 31. */
static void
test_similar_keys_spread_evenly_over_buckets(void)
{
    static unsigned counts[3][1024];
    for (int family = 0; family < FAMILY_COUNT; family++) {
        memset(counts, 0, sizeof(counts));
        for (uint32_t i = 0; i < KEY_COUNT; i++) {
            uint64_t hash = key_families[family](i);
            counts[0][hash & 1023] += 1;
            counts[1][hash >> 27 & 1023] += 1;
            counts[2][hash >> 54] += 1;
        }
        for (int i = 0; i < 3 * 1024; i++) {
            CHECK(counts[i / 1024][i % 1024] > 977 - 6 * 31);
            CHECK(counts[i / 1024][i % 1024] < 977 + 6 * 31);
        }
    }
}

static const struct test tests[] = {
    TEST(test_hash_gives_the_known_answers),
    TEST(test_hash_of_nothing_accepts_null),
    TEST(test_hash_reads_exactly_the_bytes_at_any_address),
    TEST(test_hash_tells_sizes_of_equal_bytes_apart),
    TEST(test_hash_depends_on_the_seed),
    TEST(test_hash_notices_swapped_words),
    TEST(test_each_input_bit_flips_each_output_bit_half_the_time),
    TEST(test_each_seed_bit_flips_each_output_bit_half_the_time),
    TEST(test_a_million_small_keys_do_not_collide),
    TEST(test_similar_keys_spread_evenly_over_buckets),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
