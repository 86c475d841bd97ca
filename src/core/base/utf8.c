/* core/base/utf8.c
 *
 *     U+0000   .. U+007F     0xxxxxxx
 *     U+0080   .. U+07FF     110xxxxx 10xxxxxx
 *     U+0800   .. U+FFFF     1110xxxx 10xxxxxx 10xxxxxx      surrogates too
 *     U+10000  .. U+10FFFF   11110xxx 10xxxxxx 10xxxxxx 10xxxxxx
 *
 * Not here: Python's str; see binding/text.c.
 */
#include "core/base/utf8.h"

#include <string.h>

static inline size_t
size_of_point(uint32_t point)
{
    return 1U + (point >= 0x80) + (point >= 0x800) + (point >= 0x10000);
}

static inline unsigned char *
put_point(unsigned char *to, uint32_t point)
{
    if (point < 0x80) {
        *to++ = (unsigned char)point;
        return to;
    }
    if (point < 0x800) {
        *to++ = (unsigned char)(0xC0 | point >> 6);
    }
    else {
        if (point < 0x10000) {
            *to++ = (unsigned char)(0xE0 | point >> 12);
        }
        else {
            *to++ = (unsigned char)(0xF0 | point >> 18);
            *to++ = (unsigned char)(0x80 | (point >> 12 & 0x3F));
        }
        *to++ = (unsigned char)(0x80 | (point >> 6 & 0x3F));
    }
    *to++ = (unsigned char)(0x80 | (point & 0x3F));
    return to;
}

size_t
utf8_size_of_ucs1(const uint8_t *points, size_t count)
{
    size_t size = count;
    for (size_t i = 0; i < count; i++) {
        size += points[i] >> 7;
    }
    return size;
}

size_t
utf8_size_of_ucs2(const uint16_t *points, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += size_of_point(points[i]);
    }
    return size;
}

size_t
utf8_size_of_ucs4(const uint32_t *points, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += size_of_point(points[i]);
    }
    return size;
}

void
utf8_from_ucs1(unsigned char *to, const uint8_t *points, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to = put_point(to, points[i]);
    }
}

void
utf8_from_ucs2(unsigned char *to, const uint16_t *points, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to = put_point(to, points[i]);
    }
}

void
utf8_from_ucs4(unsigned char *to, const uint32_t *points, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to = put_point(to, points[i]);
    }
}

/* ---- decoding ----------------------------------------------------------- */

enum { WORD = sizeof(uint64_t) };

static const uint64_t HIGH_BITS = UINT64_C(0x8080808080808080);
static const uint64_t LOW_BITS = UINT64_C(0x0101010101010101);

static inline uint64_t
word_at(const unsigned char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

struct utf8_extent
utf8_measure(struct slice text)
{
    struct utf8_extent extent = {.count = text.size, .limit = 0x7F};
    uint64_t wide = 0, wider = 0, widest = 0;  // high bits of first bytes
    for (size_t at = 0; at < text.size; at += WORD) {
        uint64_t word = 0;
        if (text.size - at >= WORD) {
            word = word_at(text.bytes + at);
        }
        else {
            memcpy(&word, text.bytes + at, text.size - at);
        }
        if ((word & HIGH_BITS) == 0) {
            continue;
        }
        // All bytes but the first of a code point are 10xxxxxx.
        uint64_t following = word >> 7 & ~word >> 6 & LOW_BITS;
        extent.count -= (size_t)(following * LOW_BITS >> 56);
        uint64_t first = word & word << 1;
        wide |= first;
        wider |= first & (word << 2 | word << 3 | word << 4 | word << 5);
        widest |= first & word << 2 & word << 3;
    }
    if ((wide & HIGH_BITS) != 0) {
        extent.limit = (widest & HIGH_BITS) != 0  ? 0x10FFFF
                       : (wider & HIGH_BITS) != 0 ? 0xFFFF
                                                  : 0xFF;
    }
    return extent;
}

static inline bool
is_between(unsigned char byte, unsigned char lowest, unsigned char highest)
{
    return (unsigned char)(byte - lowest) <= highest - lowest;
}

static inline bool
is_following(unsigned char byte)
{
    return is_between(byte, 0x80, 0xBF);
}

enum { NO_POINT = 0x110000 };

/* Decodes a code point from U+0080 on and advances behind it; NO_POINT if the
 * bytes are not valid. The range of the second byte depends on the first: that
 * excludes overlong forms (E0 80.., F0 80..) and numbers that are too high
 * (F4 90..). */
static inline uint32_t
take_point(const unsigned char **bytes, const unsigned char *end)
{
    const unsigned char *at = *bytes;
    const unsigned char first = at[0];
    const size_t left = (size_t)(end - at);
    if (first < 0xE0) {
        if (first < 0xC2 || left < 2 || !is_following(at[1])) {
            return NO_POINT;
        }
        *bytes += 2;
        return (first & 0x1FU) << 6 | (at[1] & 0x3FU);
    }
    if (first < 0xF0) {
        if (left < 3 || !is_between(at[1], first == 0xE0 ? 0xA0 : 0x80, 0xBF)
            || !is_following(at[2]))
        {
            return NO_POINT;
        }
        *bytes += 3;
        return (first & 0x0FU) << 12 | (at[1] & 0x3FU) << 6 | (at[2] & 0x3FU);
    }
    if (first > 0xF4 || left < 4
        || !is_between(at[1], first == 0xF0 ? 0x90 : 0x80,
                       first == 0xF4 ? 0x8F : 0xBF)
        || !is_following(at[2]) || !is_following(at[3]))
    {
        return NO_POINT;
    }
    *bytes += 4;
    return (first & 0x07U) << 18 | (at[1] & 0x3FU) << 12 | (at[2] & 0x3FU) << 6
           | (at[3] & 0x3FU);
}

/* Whether the next word is all ASCII. */
static inline bool
is_ascii_word(const unsigned char *at, const unsigned char *end)
{
    return (size_t)(end - at) >= WORD && (word_at(at) & HIGH_BITS) == 0;
}

static inline const unsigned char *
end_of(struct slice text)
{
    // An empty slice may be NULL, and NULL + 0 is undefined in C11.
    return text.size > 0 ? text.bytes + text.size : text.bytes;
}

bool
utf8_is_valid(struct slice text)
{
    const unsigned char *at = text.bytes, *end = end_of(text);
    while (at < end) {
        if (at[0] < 0x80) {
            at += is_ascii_word(at, end) ? WORD : 1;
        }
        else if (take_point(&at, end) == NO_POINT) {
            return false;
        }
    }
    return true;
}

bool
utf8_to_ucs1(uint8_t *to, struct slice text)
{
    const unsigned char *at = text.bytes, *end = end_of(text);
    while (at < end) {
        if (at[0] >= 0x80) {
            uint32_t point = take_point(&at, end);
            if (point == NO_POINT) {
                return false;
            }
            *to++ = (uint8_t)point;
        }
        else {
            for (; is_ascii_word(at, end); at += WORD, to += WORD) {
                memcpy(to, at, WORD);
            }
            while (at < end && at[0] < 0x80) {
                *to++ = *at++;
            }
        }
    }
    return true;
}

/* False at the end, and before bytes that are not valid. */
static inline bool
next_point(uint32_t *point, const unsigned char **at, const unsigned char *end)
{
    if (*at == end) {
        return false;
    }
    *point = **at < 0x80 ? *(*at)++ : take_point(at, end);
    return *point != NO_POINT;
}

bool
utf8_to_ucs2(uint16_t *to, struct slice text)
{
    const unsigned char *at = text.bytes, *end = end_of(text);
    for (uint32_t point; next_point(&point, &at, end);) {
        *to++ = (uint16_t)point;
    }
    return at == end;
}

bool
utf8_to_ucs4(uint32_t *to, struct slice text)
{
    const unsigned char *at = text.bytes, *end = end_of(text);
    for (uint32_t point; next_point(&point, &at, end);) {
        *to++ = point;
    }
    return at == end;
}
