/* core/base/hash.c
 *
 * The hash multiplies 64-bit words into 128-bit products and folds the two
 * halves together: every bit of both factors reaches every bit of the fold.
 *
 *     up to 16 bytes      two words that overlap in the middle, one fold;
 *                         from 8 on this is done in hash.h
 *     up to 64 bytes      16 bytes a fold, one chain
 *     more                64 bytes a round in four independent chains, then
 *                         the rest as above
 *
 * The last 16 bytes are always read as the two words that end at the end, so
 * no length needs a loop over single bytes. The length enters the last fold:
 * "a" and "a\0" differ though their words are equal.
 *
 * Not here: which bytes are hashed; see snapshot/writer.c and
 * snapshot/header.c.
 */
#include "core/base/hash.h"

static inline uint64_t
half_word(const unsigned char *bytes)
{
    uint32_t number;
    memcpy(&number, bytes, sizeof(number));
    return number;
}

uint64_t
hash_other_bytes(const unsigned char *bytes, size_t size, uint64_t seed)
{
    uint64_t low, high;
    uint64_t state = seed ^ HASH_K0;

    if (size >= 4 && size < 8) {
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
            uint64_t a = state, b = state ^ HASH_K2, c = state ^ HASH_K3,
                     d = state ^ HASH_K4;
            do {
                a = hash_fold(hash_word(bytes) ^ HASH_K1,
                              hash_word(bytes + 8) ^ a);
                b = hash_fold(hash_word(bytes + 16) ^ HASH_K2,
                              hash_word(bytes + 24) ^ b);
                c = hash_fold(hash_word(bytes + 32) ^ HASH_K3,
                              hash_word(bytes + 40) ^ c);
                d = hash_fold(hash_word(bytes + 48) ^ HASH_K4,
                              hash_word(bytes + 56) ^ d);
                bytes += 64;
                left -= 64;
            } while (left > 64);
            // Unequal rotations keep equal chains from cancelling out.
            state = a ^ (b << 17 | b >> 47) ^ (c << 31 | c >> 33)
                    ^ (d << 47 | d >> 17);
        }
        while (left > 16) {
            state = hash_fold(hash_word(bytes) ^ HASH_K2,
                              hash_word(bytes + 8) ^ state);
            bytes += 16;
            left -= 16;
        }
        low = hash_word(bytes + left - 16);
        high = hash_word(bytes + left - 8);
    }
    return hash_finish(low, high, state, size);
}
