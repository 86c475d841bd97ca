/* core/base/load.h
 *
 * Loads from memory that another process may be changing at this moment.
 *
 * A number that is checked and then used must be the same number both times.
 * A plain load does not promise that: the compiler may read the memory again
 * instead of keeping the value. The empty asm makes it forget where the value
 * came from, so each function here reads exactly once.
 *
 * All numbers of the format are little-endian, and so are the machines that
 * this code builds for.
 */
#ifndef SHAREDMAP_CORE_BASE_LOAD_H
#define SHAREDMAP_CORE_BASE_LOAD_H

#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "sharedmap builds for little-endian machines only");
_Static_assert(sizeof(void *) == 8,
               "sharedmap builds for 64-bit machines only");

static inline uint8_t
load_u8(const unsigned char *from)
{
    uint8_t number = *from;
    __asm__("" : "+r"(number));
    return number;
}

static inline uint16_t
load_u16(const unsigned char *from)
{
    uint16_t number;
    memcpy(&number, from, sizeof(number));
    __asm__("" : "+r"(number));
    return number;
}

static inline uint32_t
load_u32(const unsigned char *from)
{
    uint32_t number;
    memcpy(&number, from, sizeof(number));
    __asm__("" : "+r"(number));
    return number;
}

static inline uint64_t
load_u64(const unsigned char *from)
{
    uint64_t number;
    memcpy(&number, from, sizeof(number));
    __asm__("" : "+r"(number));
    return number;
}

#endif
