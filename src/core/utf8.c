/* core/utf8.c
 *
 *     U+0000   .. U+007F     0xxxxxxx
 *     U+0080   .. U+07FF     110xxxxx 10xxxxxx
 *     U+0800   .. U+FFFF     1110xxxx 10xxxxxx 10xxxxxx      surrogates too
 *     U+10000  .. U+10FFFF   11110xxx 10xxxxxx 10xxxxxx 10xxxxxx
 *
 * Not here: Python's str; see binding/text.c.
 */
#include "core/utf8.h"

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

/* The size of the code point that starts here, 0 if none does. The second
 * byte's range depends on the first: it is what shuts out forms that are too
 * long (E0 80.., F0 80..) and numbers that are too high (F4 90..). */
static size_t
valid_point_size(const unsigned char *bytes, size_t left)
{
    unsigned char first = bytes[0];
    unsigned char lowest = 0x80, highest = 0xBF;
    size_t size;
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xC2 && first <= 0xDF) {
        size = 2;
    }
    else if (first >= 0xE0 && first <= 0xEF) {
        size = 3;
        lowest = first == 0xE0 ? 0xA0 : lowest;
    }
    else if (first >= 0xF0 && first <= 0xF4) {
        size = 4;
        lowest = first == 0xF0 ? 0x90 : lowest;
        highest = first == 0xF4 ? 0x8F : highest;
    }
    else {
        return 0;
    }
    if (left < size || bytes[1] < lowest || bytes[1] > highest) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((bytes[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return size;
}

bool
utf8_is_valid(struct slice text)
{
    size_t at = 0;
    while (at < text.size) {
        size_t size = valid_point_size(text.bytes + at, text.size - at);
        if (size == 0) {
            return false;
        }
        at += size;
    }
    return true;
}
