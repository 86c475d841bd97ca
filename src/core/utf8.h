/* core/utf8.h
 *
 * UTF-8 as this project writes it: code points of 1, 2 or 4 bytes in, UTF-8
 * out, lone surrogates encoded like every other code point below U+10000
 * (Python calls this "surrogatepass"). Byte order is code point order.
 */
#ifndef SHAREDMAP_CORE_UTF8_H
#define SHAREDMAP_CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/slice.h"

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

#endif
