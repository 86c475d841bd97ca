/* core/hash.c
 *
 * The hash multiplies 64-bit words into 128-bit products and folds the two
 * halves together: every bit of both factors reaches every bit of the fold.
 *
 *     up to 16 bytes      two words that overlap in the middle, one fold
 *     up to 64 bytes      16 bytes a fold, one chain
 *     more                64 bytes a round in four chains that do not wait
 *                         for each other, then the rest as above
 *
 * The last 16 bytes are always read as the two words that end at the end, so
 * no length needs a loop over single bytes. The length enters the last fold:
 * "a" and "a\0" differ though their words are equal.
 *
 * The constants are the first 64-bit words of the fractional part of pi, each
 * made odd.
 *
 * Not here: which bytes are hashed; see snapshot_writer.c and
 * snapshot_header.c.
 */
#include "core/hash.h"

#include <string.h>

static const uint64_t K0 = UINT64_C(0x243F6A8885A308D3);
static const uint64_t K1 = UINT64_C(0x13198A2E03707345);
static const uint64_t K2 = UINT64_C(0xA4093822299F31D1);
static const uint64_t K3 = UINT64_C(0x082EFA98EC4E6C89);
static const uint64_t K4 = UINT64_C(0x452821E638D01377);

static inline uint64_t
word(const unsigned char *bytes)
{
    uint64_t number;
    memcpy(&number, bytes, sizeof(number));
    return number;
}

static inline uint64_t
half_word(const unsigned char *bytes)
{
    uint32_t number;
    memcpy(&number, bytes, sizeof(number));
    return number;
}

static inline uint64_t
fold(uint64_t left, uint64_t right)
{
    __extension__ typedef unsigned __int128 product_t;
    product_t product = (product_t)left * right;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t
hash_bytes(const void *start, size_t size, uint64_t seed)
{
    const unsigned char *bytes = start;
    uint64_t low, high;
    uint64_t state = seed ^ K0;

    if (size >= 8 && size <= 16) {
        low = word(bytes);
        high = word(bytes + size - 8);
    }
    else if (size >= 4 && size < 8) {
        low = half_word(bytes);
        high = half_word(bytes + size - 4);
    }
    else if (size > 0 && size < 4) {
        // First, middle and last cover one, two and three bytes alike.
        low = (uint64_t)bytes[0] << 16 | (uint64_t)bytes[size / 2] << 8
              | bytes[size - 1];
        high = 0;
    }
    else if (size == 0) {
        low = high = 0;
    }
    else {
        size_t left = size;
        if (left > 64) {
            uint64_t a = state, b = state ^ K2, c = state ^ K3, d = state ^ K4;
            do {
                a = fold(word(bytes) ^ K1, word(bytes + 8) ^ a);
                b = fold(word(bytes + 16) ^ K2, word(bytes + 24) ^ b);
                c = fold(word(bytes + 32) ^ K3, word(bytes + 40) ^ c);
                d = fold(word(bytes + 48) ^ K4, word(bytes + 56) ^ d);
                bytes += 64;
                left -= 64;
            } while (left > 64);
            // Unequal rotations keep equal chains from cancelling out.
            state = a ^ (b << 17 | b >> 47) ^ (c << 31 | c >> 33)
                    ^ (d << 47 | d >> 17);
        }
        while (left > 16) {
            state = fold(word(bytes) ^ K2, word(bytes + 8) ^ state);
            bytes += 16;
            left -= 16;
        }
        low = word(bytes + left - 16);
        high = word(bytes + left - 8);
    }
    return fold(K3 ^ size, fold(low ^ K1, high ^ state) ^ K4);
}
