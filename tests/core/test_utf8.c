/* tests/core/test_utf8.c
 *
 * Code points to bytes and the check of bytes, against a second definition
 * of UTF-8 that was written from the arithmetic and not from the tables of
 * lead bytes.
 */
#include "core/base/utf8.h"

#include "core/base/slice.h"
#include "core/check.h"

enum { POINT_COUNT = 0x110000 };

/* Decodes as many bytes as the lead byte asks for; -1 unless these are all
 * `size` bytes and the shortest form of a code point. */
static int64_t
decode(const unsigned char *bytes, size_t size)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t leading_ones = 0;
    while (leading_ones < 8 && (bytes[0] & 0x80 >> leading_ones) != 0) {
        leading_ones += 1;
    }
    size_t expected_size = leading_ones == 0 ? 1 : leading_ones;
    if (leading_ones == 1 || leading_ones > 4 || size != expected_size) {
        return -1;
    }
    uint32_t point = bytes[0] & (0xFFU >> (leading_ones + (size > 1)));
    for (size_t i = 1; i < size; i++) {
        if (bytes[i] >> 6 != 2) {
            return -1;
        }
        point = point << 6 | (bytes[i] & 0x3F);
    }
    return point >= smallest[size] && point < POINT_COUNT ? (int64_t)point
                                                          : -1;
}

/* Whether the bytes are any number of code points in a row. */
static bool
is_text(const unsigned char *bytes, size_t size)
{
    if (size == 0) {
        return true;
    }
    for (size_t first = 1; first <= size && first <= 4; first++) {
        if (decode(bytes, first) >= 0) {
            return is_text(bytes + first, size - first);
        }
    }
    return false;
}

static bool
is_valid(const unsigned char *bytes, size_t size)
{
    return utf8_is_valid((struct slice){bytes, size});
}

static void
test_every_code_point_makes_a_round_trip(void)
{
    for (uint32_t point = 0; point < POINT_COUNT; point++) {
        unsigned char bytes[4];
        size_t size = utf8_size_of_ucs4(&point, 1);
        CHECK(size >= 1 && size <= 4);
        utf8_from_ucs4(bytes, &point, 1);
        CHECK_EQUAL(decode(bytes, size), point);
        CHECK(is_valid(bytes, size));
        for (size_t cut = 1; cut < size; cut++) {
            CHECK(!is_valid(bytes, cut));
        }
    }
}

static void
test_byte_order_is_code_point_order(void)
{
    unsigned char bytes[2][4];
    size_t sizes[2] = {0, 0};
    for (uint32_t point = 0; point < POINT_COUNT; point++) {
        int now = point & 1;
        sizes[now] = utf8_size_of_ucs4(&point, 1);
        utf8_from_ucs4(bytes[now], &point, 1);
        CHECK(slice_compare((struct slice){bytes[!now], sizes[!now]},
                            (struct slice){bytes[now], sizes[now]})
              < 0);
    }
}

/* All code points in one string each way, as far as the width goes. */
static void
test_every_width_gives_the_same_bytes(void)
{
    static uint32_t wide[POINT_COUNT];
    static uint16_t medium[0x10000];
    static uint8_t narrow[0x100];
    static unsigned char expected[4 * POINT_COUNT], bytes[4 * POINT_COUNT];
    for (uint32_t point = 0; point < POINT_COUNT; point++) {
        wide[point] = point;
        medium[point & 0xFFFF] = (uint16_t)point;
        narrow[point & 0xFF] = (uint8_t)point;
    }
    CHECK_EQUAL(utf8_size_of_ucs4(wide, POINT_COUNT),
                0x80 + 0x780 * 2 + 0xF800 * 3 + 0x100000 * 4);
    utf8_from_ucs4(expected, wide, POINT_COUNT);
    CHECK(is_valid(expected, 0x80 + 0x780 * 2 + 0xF800 * 3 + 0x100000 * 4));

    size_t size = utf8_size_of_ucs2(medium, 0x10000);
    CHECK_EQUAL(size, 0x80 + 0x780 * 2 + 0xF800 * 3);
    utf8_from_ucs2(bytes, medium, 0x10000);
    CHECK(memcmp(bytes, expected, size) == 0);
    CHECK_EQUAL(bytes[size], 0);

    memset(bytes, 0, size);
    size = utf8_size_of_ucs1(narrow, 0x100);
    CHECK_EQUAL(size, 0x80 + 0x80 * 2);
    utf8_from_ucs1(bytes, narrow, 0x100);
    CHECK(memcmp(bytes, expected, size) == 0);
    CHECK_EQUAL(bytes[size], 0);
}

/* Decodes as wide as the extent says, into room for no more than that. Widens
 * the result; false when the bytes are not valid. */
static bool
decode_all(const unsigned char *bytes, size_t size, uint32_t *points,
           struct utf8_extent *extent)
{
    struct slice text = {bytes, size};
    *extent = utf8_measure(text);
    const size_t count = extent->count;
    const size_t width = extent->limit <= 0xFF     ? 1
                         : extent->limit <= 0xFFFF ? 2
                                                   : 4;
    void *exact = malloc(count * width + (count == 0));
    CHECK(exact != NULL);
    bool is_valid = width == 1   ? utf8_to_ucs1(exact, text)
                    : width == 2 ? utf8_to_ucs2(exact, text)
                                 : utf8_to_ucs4(exact, text);
    for (size_t i = 0; is_valid && i < count; i++) {
        points[i] = width == 1   ? ((uint8_t *)exact)[i]
                    : width == 2 ? ((uint16_t *)exact)[i]
                                 : ((uint32_t *)exact)[i];
    }
    free(exact);
    return is_valid;
}

static uint32_t
limit_of(uint32_t point)
{
    return point <= 0x7F     ? 0x7F
           : point <= 0xFF   ? 0xFF
           : point <= 0xFFFF ? 0xFFFF
                             : 0x10FFFF;
}

static void
test_every_code_point_is_decoded_wherever_it_stands(void)
{
    for (uint32_t point = 0; point < POINT_COUNT; point++) {
        const size_t before = point % 11, after = point % 19;
        unsigned char bytes[40];
        uint32_t points[40];
        struct utf8_extent extent;
        memset(bytes, 'a', sizeof(bytes));
        size_t size = utf8_size_of_ucs4(&point, 1);
        utf8_from_ucs4(bytes + before, &point, 1);
        CHECK(decode_all(bytes, before + size + after, points, &extent));
        CHECK_EQUAL(extent.count, before + 1 + after);
        CHECK_EQUAL(extent.limit, limit_of(point));
        for (size_t i = 0; i < extent.count; i++) {
            CHECK_EQUAL(points[i], i == before ? point : 'a');
        }
    }
}

static void
test_text_of_several_widths_is_decoded_as_the_widest(void)
{
    static const uint32_t points[] = {
        'a', 0xE4,   'b',   0xDC80, 0x4E16, 0x7FF, 0x800, 0x1F600,
        'c', 0xFFFF, 0x100, 0xD800, 0xFF,   'd',   'e',   0x10000};
    for (size_t first = 0; first < 16; first++) {
        for (size_t count = 0; count <= 16 - first; count++) {
            unsigned char bytes[64];
            uint32_t decoded[16], highest = 0;
            struct utf8_extent extent;
            for (size_t i = 0; i < count; i++) {
                uint32_t point = points[first + i];
                highest = point > highest ? point : highest;
            }
            size_t size = utf8_size_of_ucs4(points + first, count);
            utf8_from_ucs4(bytes, points + first, count);
            CHECK(decode_all(bytes, size, decoded, &extent));
            CHECK_EQUAL(extent.count, count);
            CHECK_EQUAL(extent.limit, limit_of(highest));
            CHECK(memcmp(decoded, points + first, count * sizeof(*decoded))
                  == 0);
        }
    }
}

/* The sanitizers see whether more is written than was measured. */
static void
test_what_is_not_valid_is_not_decoded(void)
{
    for (uint32_t number = 0; number < 1U << 24; number += 7) {
        unsigned char bytes[] = {
            (unsigned char)(number >> 16), (unsigned char)(number >> 8),
            (unsigned char)number, (unsigned char)(number >> 3)};
        uint32_t points[4];
        struct utf8_extent extent;
        bool is_decoded = decode_all(bytes, 4, points, &extent);
        CHECK_EQUAL(is_decoded, is_text(bytes, 4));
    }
}

static void
test_no_code_points_are_no_bytes(void)
{
    CHECK_EQUAL(utf8_size_of_ucs1(NULL, 0), 0);
    CHECK_EQUAL(utf8_size_of_ucs2(NULL, 0), 0);
    CHECK_EQUAL(utf8_size_of_ucs4(NULL, 0), 0);
    CHECK(utf8_is_valid((struct slice){NULL, 0}));
}

static void
test_lone_surrogates_and_pairs_of_them_pass(void)
{
    CHECK(is_valid((const unsigned char *)"\xED\xA0\x80", 3));  // U+D800
    CHECK(is_valid((const unsigned char *)"\xED\xBF\xBF", 3));  // U+DFFF
    CHECK(is_valid((const unsigned char *)"\xED\xA0\xBD\xED\xB8\x80", 6));
}

static void
test_all_two_and_three_byte_strings_are_judged_right(void)
{
    for (uint32_t number = 0; number < 1U << 24; number++) {
        unsigned char bytes[] = {(unsigned char)(number >> 16),
                                 (unsigned char)(number >> 8),
                                 (unsigned char)number};
        bool agree = is_valid(bytes, 3) == is_text(bytes, 3)
                     && is_valid(bytes + 1, 2) == is_text(bytes + 1, 2);
        if (!agree) {
            printf("      bytes %02X %02X %02X\n", bytes[0], bytes[1],
                   bytes[2]);
        }
        CHECK(agree);
    }
}

/* All first and second bytes, and for the others those at which something
 * changes: there are too many strings of four bytes to try them all. */
static void
test_four_byte_strings_are_judged_right(void)
{
    static const unsigned char edges[] = {0x00, 0x41, 0x7F, 0x80, 0x8F,
                                          0x90, 0xBF, 0xC0, 0xC2, 0xE0,
                                          0xED, 0xF0, 0xFF};
    for (uint32_t number = 0; number < 1U << 16; number++) {
        for (size_t i = 0; i < sizeof(edges); i++) {
            for (size_t j = 0; j < sizeof(edges); j++) {
                unsigned char bytes[] = {(unsigned char)(number >> 8),
                                         (unsigned char)number, edges[i],
                                         edges[j]};
                bool agree = is_valid(bytes, 4) == is_text(bytes, 4);
                if (!agree) {
                    printf("      bytes %02X %02X %02X %02X\n", bytes[0],
                           bytes[1], bytes[2], bytes[3]);
                }
                CHECK(agree);
            }
        }
    }
}

/* A check may read a word at a time: the bad byte must be found wherever it
 * stands among good ones, and nothing behind the end may be read. */
static void
test_bad_byte_is_found_at_every_place(void)
{
    for (size_t size = 1; size <= 70; size++) {
        unsigned char *bytes = malloc(size);
        CHECK(bytes != NULL);
        memset(bytes, 'a', size);
        CHECK(is_valid(bytes, size));
        for (size_t at = 0; at < size; at++) {
            bytes[at] = 0x80;
            CHECK(!is_valid(bytes, size));
            bytes[at] = 0xC3;  // needs a second byte
            CHECK(!is_valid(bytes, size));
            if (at > 0) {
                bytes[at - 1] = 0xC3;
                bytes[at] = 0xA4;
                CHECK(is_valid(bytes, size));
                bytes[at - 1] = 'a';
            }
            bytes[at] = 'a';
        }
        free(bytes);
    }
}

static const struct test tests[] = {
    TEST(test_every_code_point_makes_a_round_trip),
    TEST(test_byte_order_is_code_point_order),
    TEST(test_every_width_gives_the_same_bytes),
    TEST(test_every_code_point_is_decoded_wherever_it_stands),
    TEST(test_text_of_several_widths_is_decoded_as_the_widest),
    TEST(test_what_is_not_valid_is_not_decoded),
    TEST(test_no_code_points_are_no_bytes),
    TEST(test_lone_surrogates_and_pairs_of_them_pass),
    TEST(test_all_two_and_three_byte_strings_are_judged_right),
    TEST(test_four_byte_strings_are_judged_right),
    TEST(test_bad_byte_is_found_at_every_place),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
