/* tests/fuzz/fuzz_utf8.c
 *
 * Bytes are text or not, and they are code points of 1, 2 and 4 bytes to be
 * written as text. The oracle is another way to say what UTF-8 is, without a
 * table of ranges: take the code point apart or put it together by
 * arithmetic, and see whether its shortest form is what stands there.
 *
 *     bytes  --> utf8_is_valid       ==  decode, encode again, compare
 *            --> utf8_to_ucs1/2/4    ==  decode
 *     points --> utf8_from_ucs1/2/4  ==  encode; and decode gives them back
 */
#include "core/base/utf8.h"
#include "fuzz/fuzz.h"

enum { HIGHEST = 0x10FFFF };

/* ---- the oracle --------------------------------------------------------- */

/* The last byte holds what is left by 64, the first the rest and how many. */
static size_t
oracle_encode(uint32_t point, unsigned char bytes[4])
{
    static const uint32_t limits[] = {0x80, 0x800, 0x10000, HIGHEST + 1};
    static const unsigned firsts[] = {0, 192, 224, 240};
    size_t size = 1;
    while (point >= limits[size - 1]) {
        size += 1;
    }
    for (size_t i = size; i > 1; i--) {
        bytes[i - 1] = (unsigned char)(128 + point % 64);
        point /= 64;
    }
    bytes[0] = (unsigned char)(firsts[size - 1] + point);
    return size;
}

/* The size of the code point at the beginning, 0 if there is none. */
static size_t
oracle_decode(struct slice text, uint32_t *point)
{
    unsigned char again[4];
    unsigned first = text.bytes[0];
    size_t size = first < 128 ? 1 : first < 224 ? 2 : first < 240 ? 3 : 4;
    static const unsigned firsts[] = {0, 192, 224, 240};
    if (text.size < size || first < firsts[size - 1]) {
        return 0;
    }
    *point = first - firsts[size - 1];
    for (size_t i = 1; i < size; i++) {
        if (text.bytes[i] / 64 != 2) {
            return 0;
        }
        *point = *point * 64 + text.bytes[i] % 64;
    }
    if (*point > HIGHEST || oracle_encode(*point, again) != size
        || memcmp(again, text.bytes, size) != 0)
    {
        return 0;
    }
    return size;
}

/* ---- both directions ---------------------------------------------------- */

static uint32_t
point_at(const void *points, size_t width, size_t index)
{
    return width == 1   ? ((const uint8_t *)points)[index]
           : width == 2 ? ((const uint16_t *)points)[index]
                        : ((const uint32_t *)points)[index];
}

/* As many code points are allocated as were measured. */
static void
check_decoding(struct slice text, bool is_valid)
{
    struct utf8_extent extent = utf8_measure(text);
    size_t width = extent.limit <= 0xFF ? 1 : extent.limit <= 0xFFFF ? 2 : 4;
    void *points = malloc(extent.count > 0 ? extent.count * width : 1);
    CHECK(points != NULL);
    CHECK_EQUAL(width == 1   ? utf8_to_ucs1(points, text)
                : width == 2 ? utf8_to_ucs2(points, text)
                             : utf8_to_ucs4(points, text),
                is_valid);
    uint32_t point, highest = 0;
    size_t count = 0;
    for (size_t at = 0; is_valid && at < text.size; count++) {
        at += oracle_decode((struct slice){text.bytes + at, text.size - at},
                            &point);
        CHECK(count < extent.count);
        CHECK_EQUAL(point_at(points, width, count), point);
        highest = point > highest ? point : highest;
    }
    if (is_valid) {
        CHECK_EQUAL(count, extent.count);
        // No narrower str could hold them.
        CHECK_EQUAL(extent.limit, highest < 0x80      ? 0x7F
                                  : highest < 0x100   ? 0xFF
                                  : highest < 0x10000 ? 0xFFFF
                                                      : HIGHEST);
    }
    free(points);
}

/* The bytes lie at the end of an allocation of their own. */
static void
check_validity(struct slice input)
{
    unsigned char *copy = malloc(input.size > 0 ? input.size : 1);
    CHECK(copy != NULL);
    slice_copy(copy, input);
    struct slice text = {copy, input.size};
    bool is_valid = true;
    for (size_t at = 0; is_valid && at < text.size;) {
        uint32_t point;
        size_t size = oracle_decode(
            (struct slice){text.bytes + at, text.size - at}, &point);
        is_valid = size > 0;
        at += size;
    }
    CHECK_EQUAL(utf8_is_valid(text), is_valid);
    check_decoding(text, is_valid);
    free(copy);
}

static void
check_text(const unsigned char *text, size_t size, const uint32_t *points,
           size_t count)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned char expected[4];
        size_t expected_size = oracle_encode(points[i], expected);
        uint32_t point;
        CHECK(expected_size <= size - at);
        CHECK(memcmp(text + at, expected, expected_size) == 0);
        CHECK_EQUAL(
            oracle_decode((struct slice){text + at, size - at}, &point),
            expected_size);
        CHECK_EQUAL(point, points[i]);
        at += expected_size;
    }
    CHECK_EQUAL(at, size);
    CHECK(utf8_is_valid((struct slice){text, size}));
}

/* The input as numbers of `width` bytes, those too high brought down. */
static void
check_encoding(struct slice input, size_t width)
{
    size_t count = input.size / width;
    void *units = malloc(count > 0 ? count * width : 1);
    uint32_t *points = malloc((count > 0 ? count : 1) * sizeof(*points));
    CHECK(units != NULL && points != NULL);
    for (size_t i = 0; i < count; i++) {
        points[i] = 0;
        memcpy(&points[i], input.bytes + i * width, width);
        points[i] %= HIGHEST + 1;
        memcpy((unsigned char *)units + i * width, &points[i], width);
    }
    size_t size = width == 1   ? utf8_size_of_ucs1(units, count)
                  : width == 2 ? utf8_size_of_ucs2(units, count)
                               : utf8_size_of_ucs4(units, count);
    unsigned char *text = malloc(size > 0 ? size : 1);
    CHECK(text != NULL);
    if (width == 1) {
        utf8_from_ucs1(text, units, count);
    }
    else if (width == 2) {
        utf8_from_ucs2(text, units, count);
    }
    else {
        utf8_from_ucs4(text, units, count);
    }
    check_text(text, size, points, count);
    free(text);
    free(points);
    free(units);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct slice input = {bytes, size};
    check_validity(input);
    check_encoding(input, 1);
    check_encoding(input, 2);
    check_encoding(input, 4);
    return 0;
}
