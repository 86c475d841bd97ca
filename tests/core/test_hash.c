/* tests/core/test_hash.c
 *
 * Snapshots store what the hash answers, so its answers are known numbers.
 * They come from hash_reference.py, which was written from docs/FORMAT.md and
 * prints the table below.
 */
#include "core/base/hash.h"

#include "core/check.h"

enum { SEED_COUNT = 3, LARGEST = 65536 };

static const uint64_t seeds[SEED_COUNT] = {0, 1, 0xFEDCBA9876543210};

static const struct {
    size_t size;
    uint64_t hashes[SEED_COUNT];
} known_answers[] = {
    {0, {0x6E539640E65DE8ED, 0x5B6E38C68B327000, 0x54CA80FF564A367C}},
    {1, {0xB9C4CEFE44ED6659, 0x23BFC8B2A0FC0333, 0xACA6ECC0567963C3}},
    {2, {0x13B1FDC934401CFD, 0x0C453055C220730E, 0x381745EC626C0691}},
    {3, {0xDE56BE3267168446, 0xFB79CEEBAD77D761, 0x480C586AE7617B74}},
    {4, {0x023F989D9C748748, 0xC5A9DC67ED97509E, 0x682C604A18D83376}},
    {5, {0x2B388188414686EC, 0xFAA29E749FFE66F1, 0xD709840C605412F9}},
    {7, {0xC310DCE6FB581B64, 0x3F7BD6E1EC6FAD1D, 0x3EBEEF8802EC411F}},
    {8, {0x042C0C5F5B48F1EA, 0x1F263430F14596B2, 0xEDEC1BE4D997088B}},
    {9, {0xE24B06D190957C8E, 0xE0A752400FA25549, 0x24DA6F58904E7160}},
    {15, {0x942247C6CA8FD5E9, 0xF54C61EFBB2B8E81, 0x1950AAA83B9E8766}},
    {16, {0xF73F2CD5B6329C97, 0xFA8EBBC6AE708E0D, 0xE4E588CAD28AA405}},
    {17, {0xA9D4DEF09AEE5C1D, 0x76617DC597A1857C, 0xBEF704E10E775325}},
    {31, {0xE91FEDB43B854A68, 0x0DBBFDB15823B138, 0x9F10D221ED462437}},
    {32, {0x1FB337FAEDB5A672, 0x6F5F0781219A7BEC, 0x6E38A9D5A65CE83A}},
    {33, {0xBCBE29945F4A75CF, 0xB22D3B947A8A8925, 0xFEBBC4C357B39FCB}},
    {48, {0x90A3E36AE0B3851A, 0x4E18E618AA29DF0D, 0xB626216A600A6049}},
    {63, {0x79887C9EFF125933, 0xFC0982D81C681E35, 0x017AB315ED74EE3A}},
    {64, {0xA41D065A15A08676, 0x5FA816F534D8ECDC, 0xA8525CD782A9DC84}},
    {65, {0xD132D657A17F3252, 0xF0790D89DBDADFFA, 0x3B31DFEE1FD0E1C4}},
    {80, {0xF0A3909194F19A08, 0xCE12D520024CF524, 0x473AA6C7BEE239C1}},
    {81, {0x9075A733807E2BE3, 0xAA4DBD45F8B02C17, 0x4F6DE23013DD98D4}},
    {127, {0x64105076D1B3DFFA, 0x22FAA783DE17BA01, 0x7EEFA99C4A068E90}},
    {128, {0xEAAA5AD1F571A45F, 0xA80847E7BC72E947, 0x0E6BAF7985CF75CD}},
    {129, {0xBDF5F6EDC43B8970, 0x6012FDB9EC4F41A4, 0x958B475F23F6E9CC}},
    {200, {0x294A0967BCC2423A, 0xF555ED145A02BB39, 0x7587F308536AC480}},
    {1000, {0x581CF45C8C57B076, 0xE0045EC2721D5B16, 0x0EE15B6FFD690D9C}},
    {65536, {0xE2BC2043A890F685, 0x803AAE279251D9E1, 0x2F0DB29CD3B790A1}},
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
