/* core/base/utf8.h
 *
 * UTF-8 as this project writes it: code points of 1, 2 or 4 bytes to UTF-8 and
 * back, lone surrogates encoded like every other code point below U+10000
 * (Python calls this "surrogatepass"). Byte order is code point order.
 */
#ifndef SHAREDMAP_CORE_BASE_UTF8_H
#define SHAREDMAP_CORE_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/slice.h"

/* How many bytes `count` code points become; 0 for none. */
size_t
utf8_size_of_ucs1(const uint8_t *points, size_t count);
size_t
utf8_size_of_ucs2(const uint16_t *points, size_t count);
size_t
utf8_size_of_ucs4(const uint32_t *points, size_t count);

/* Fill `to` with as many bytes as the function above says. */
void
utf8_from_ucs1(unsigned char *to, const uint8_t *points, size_t count);
void
utf8_from_ucs2(unsigned char *to, const uint16_t *points, size_t count);
void
utf8_from_ucs4(unsigned char *to, const uint32_t *points, size_t count);

/* Shortest forms only, nothing above U+10FFFF; surrogates pass. O(size). */
bool
utf8_is_valid(struct slice text);

/* The code points of a text, if it is valid. */
struct utf8_extent {
    size_t count;    // code points
    uint32_t limit;  // of 0x7F, 0xFF, 0xFFFF, 0x10FFFF the lowest that holds
};

/* Accepts any bytes. If they are not valid, the extent is only a limit on what
 * the functions below write. O(size), a word at a time. */
struct utf8_extent
utf8_measure(struct slice text);

/* Fill `to` with the code points of a text that does not change meanwhile and
 * whose measured limit fits the type. False when the text is not valid; then
 * some code points are written. */
bool
utf8_to_ucs1(uint8_t *to, struct slice text);
bool
utf8_to_ucs2(uint16_t *to, struct slice text);
bool
utf8_to_ucs4(uint32_t *to, struct slice text);

#endif
