/* core/hash.h
 *
 * One 64-bit hash for keys and for checksums.
 *
 * It depends on nothing but the bytes, their number and the seed: the same in
 * every process, on every machine, for ever, because snapshots store it. It
 * finds damage and spreads keys; it does not withstand somebody who forges
 * bytes on purpose.
 */
#ifndef SHAREDMAP_CORE_HASH_H
#define SHAREDMAP_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t
hash_bytes(const void *bytes, size_t size, uint64_t seed);

#endif
