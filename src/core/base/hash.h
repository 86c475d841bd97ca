/* core/base/hash.h
 *
 * One 64-bit hash for keys and for checksums.
 *
 * It depends on nothing but the bytes, their number and the seed: the same in
 * every process, on every machine, in every version, because snapshots store
 * it. It finds damage and spreads keys; it does not withstand bytes that are
 * forged on purpose.
 *
 * Most keys have 8 to 16 bytes and are hashed here, inline; hash.c has the
 * other lengths and the algorithm.
 */
#ifndef SHAREDMAP_CORE_BASE_HASH_H
#define SHAREDMAP_CORE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The first 64-bit words of the fractional part of pi, each made odd. */
#define HASH_K0 UINT64_C(0x243F6A8885A308D3)
#define HASH_K1 UINT64_C(0x13198A2E03707345)
#define HASH_K2 UINT64_C(0xA4093822299F31D1)
#define HASH_K3 UINT64_C(0x082EFA98EC4E6C89)
#define HASH_K4 UINT64_C(0x452821E638D01377)

static inline uint64_t
hash_word(const unsigned char *bytes)
{
    uint64_t number;
    memcpy(&number, bytes, sizeof(number));
    return number;
}

/* The low half of the product; fills the high one. */
static inline uint64_t
hash_multiply(uint64_t left, uint64_t right, uint64_t *high)
{
    __extension__ unsigned __int128 product = left;
    product *= right;
    *high = (uint64_t)(product >> 64);
    return (uint64_t)product;
}

static inline uint64_t
hash_fold(uint64_t left, uint64_t right)
{
    uint64_t high;
    uint64_t low = hash_multiply(left, right, &high);
    return low ^ high;
}

/* Of the last 16 bytes, as two words, and the state of the bytes before. */
static inline uint64_t
hash_finish(uint64_t low, uint64_t high, uint64_t state, size_t size)
{
    return hash_fold(HASH_K3 ^ size,
                     hash_fold(low ^ HASH_K1, high ^ state) ^ HASH_K4);
}

/* Of any length but 8 to 16. */
uint64_t
hash_other_bytes(const unsigned char *bytes, size_t size, uint64_t seed);

static inline uint64_t
hash_bytes(const void *start, size_t size, uint64_t seed)
{
    const unsigned char *bytes = start;
    if (size < 8 || size > 16) {
        return hash_other_bytes(bytes, size, seed);
    }
    return hash_finish(hash_word(bytes), hash_word(bytes + size - 8),
                       seed ^ HASH_K0, size);
}

#endif
