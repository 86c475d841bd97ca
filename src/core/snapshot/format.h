/* core/snapshot/format.h
 *
 * The bytes of a snapshot, format version 1, as structs. The authority is
 * docs/FORMAT.md; the assertions below keep this file true to its tables.
 *
 *     0        header, 512 bytes
 *     512      records, in key order
 *              sorted index: entry i -> its record, in key order
 *              hash index: key -> its record (optional)
 *
 * Behind a base there may be deltas:
 *
 *     | header ... | delta | delta | delta |      |
 *     0        total_size          file's end   limit
 *
 * Every region begins at a multiple of 64. All numbers are little-endian, all
 * offsets count from the start of the snapshot. After publication only two
 * words are written, header.head and header.waiting_since; and what is behind
 * the newest delta.
 *
 * No functions here: header.h seals and checks a header, writer.h writes
 * snapshots, snapshot.h reads them.
 */
#ifndef SHAREDMAP_CORE_SNAPSHOT_FORMAT_H
#define SHAREDMAP_CORE_SNAPSHOT_FORMAT_H

#include <stddef.h>
#include <stdint.h>

/* A byte above 127 and both kinds of line end, so that a transfer as text
 * damages the first eight bytes and readers refuse the file. */
#define SNAPSHOT_MAGIC {0x89, 'S', 'M', 'A', 'P', '\r', '\n', 0x1A}

#define SNAPSHOT_VERSION         UINT32_C(1)
#define SNAPSHOT_KIND_SORTED_MAP UINT32_C(1)
#define SNAPSHOT_FLAG_HASH_INDEX UINT32_C(1)
// 2 was that of an index in development versions.
#define SNAPSHOT_FLAG_CONTAINERS UINT32_C(4)
#define SNAPSHOT_FLAGS_KNOWN \
    (SNAPSHOT_FLAG_HASH_INDEX | SNAPSHOT_FLAG_CONTAINERS)
#define SNAPSHOT_ALIGNMENT       UINT64_C(64)
#define SNAPSHOT_VALUE_ALIGNMENT UINT64_C(8)
#define SNAPSHOT_LABEL_SIZE      256

/* The checksum of the contents is a chain over blocks of this many bytes, so
 * that a writer can compute it while it writes. */
#define SNAPSHOT_CHECKSUM_BLOCK 65536

struct snapshot_region {
    uint64_t offset;
    uint64_t size;
};

struct snapshot_header {
    // Line 0: what this is.
    unsigned char magic[8];
    uint32_t version;
    uint32_t header_size;
    uint32_t kind;
    uint32_t flags;
    uint64_t total_size;
    uint64_t entry_count;
    uint8_t reference_size;   // bytes of a reference: 4 or 8
    uint8_t reference_shift;  // a reference counts units of 1 << shift bytes
    uint16_t label_size;
    uint16_t value_alignment;  // 0: SNAPSHOT_VALUE_ALIGNMENT
    uint16_t reserved_0;
    uint64_t hash_seed;
    uint64_t content_checksum;  // of all bytes behind the header

    // Line 1: where everything is.
    struct snapshot_region sorted_index;
    struct snapshot_region hash_index;
    uint64_t reserved_1[2];
    struct snapshot_region records;

    // Line 2: which publication this is.
    uint64_t generation;  // 1 for the first under a name, 0 never published
    unsigned char unique_id[16];
    uint64_t header_checksum;
    uint64_t published_at;  // nanoseconds since 1970 UTC; 0 never published
    uint64_t limit;         // deltas end here at the latest; 0: there are none
    uint64_t reserved_2[2];

    // Line 3: alone with the words that change.
    uint32_t head;  // HEAD_SUPERSEDED, and where the newest delta begins
    uint32_t reserved_3;
    uint64_t waiting_since;  // when the first waiting publisher came, or 0
    uint32_t reserved_4[12];

    // Lines 4 to 7: the name it was made for, UTF-8, padded with zeros.
    unsigned char label[SNAPSHOT_LABEL_SIZE];
};

#define SNAPSHOT_HEADER_SIZE 512

_Static_assert(sizeof(struct snapshot_header) == SNAPSHOT_HEADER_SIZE,
               "the header is eight cache lines");
_Static_assert(offsetof(struct snapshot_header, total_size) == 24, "FORMAT");
_Static_assert(offsetof(struct snapshot_header, label_size) == 42, "FORMAT");
_Static_assert(offsetof(struct snapshot_header, value_alignment) == 44,
               "FORMAT");
_Static_assert(offsetof(struct snapshot_header, sorted_index) == 64, "FORMAT");
_Static_assert(offsetof(struct snapshot_header, records) == 112, "FORMAT");
_Static_assert(offsetof(struct snapshot_header, generation) == 128, "FORMAT");
_Static_assert(offsetof(struct snapshot_header, unique_id) == 136, "FORMAT");
_Static_assert(offsetof(struct snapshot_header, published_at) == 160,
               "FORMAT");
_Static_assert(offsetof(struct snapshot_header, limit) == 168, "FORMAT");
_Static_assert(offsetof(struct snapshot_header, head) == 192, "FORMAT");
_Static_assert(offsetof(struct snapshot_header, waiting_since) == 200,
               "FORMAT");
_Static_assert(offsetof(struct snapshot_header, label) == 256, "FORMAT");

/* What changed since the base was published: entries that were put and
 * tombstones for those that were removed, in key order.
 *
 *     0        header, 128 bytes
 *     128      records, the log of what its publisher changed: those that no
 *              earlier delta has
 *              sorted index: entry j -> its record
 *              ranks: below[j] and rank[j], for j = 0 to entry_count
 *              hash index (if the base has one), up to `size`
 *
 * Every part begins at a multiple of 64. Seed and reference size, which is that
 * of a rank, too, are the base's. But a reference counts from the room's
 * beginning, which is the end of the base: so it can lead to a record of an
 * earlier delta. With L for what lies beneath,
 *
 *     below[j]  entries of L whose key is lower     below[entry_count] = n(L)
 *     rank[j]   the same, of the version            rank[entry_count] = length
 *
 * rank - below falls by one behind a tombstone, rises by one behind a key that
 * L does not have, and stays behind one that it has. */
#define DELTA_MAGIC {0x89, 'S', 'M', 'D', 'E', '\r', '\n', 0x1A}

struct delta_header {
    // Line 0: what this is.
    unsigned char magic[8];
    uint64_t size;  // of all parts; the next delta begins behind them
    uint64_t entry_count;
    uint64_t length;        // of the version: how many entries it has
    uint64_t records_size;  // of its own records
    uint64_t since_fold;    // bytes of the young deltas since the last fold
    uint32_t beneath;       // the old delta that it lies over, as in a head
    uint32_t reserved_0;
    uint64_t content_checksum;  // of all bytes behind this header

    // Line 1: which publication this is.
    uint64_t generation;
    unsigned char unique_id[16];
    uint64_t header_checksum;
    uint64_t published_at;
    uint64_t reserved_1[3];
};

#define DELTA_HEADER_SIZE 128

/* The room behind a base is as large as the base at most, and this. */
#define SNAPSHOT_ROOM_ANYWAY (UINT64_C(1) << 22)

_Static_assert(sizeof(struct delta_header) == DELTA_HEADER_SIZE,
               "the header of a delta is two cache lines");
_Static_assert(offsetof(struct delta_header, beneath) == 48, "FORMAT");
_Static_assert(offsetof(struct delta_header, generation) == 64, "FORMAT");
_Static_assert(offsetof(struct delta_header, published_at) == 96, "FORMAT");

/* The head of a file says what is published: bit 0 that it may be another
 * file, the others where the newest delta begins, in units of 64 bytes from the
 * room's beginning, plus 1; 0 means no delta. */
#define HEAD_SUPERSEDED UINT32_C(1)
#define HEAD_SHIFT      1

/* A record:
 *
 *     | head u16 | key size+ | value size+ | key | zeros | value |
 *
 * The head holds the type and both sizes. A size that does not fit follows
 * the head in 1, 2, 4 or 8 bytes, and a code from SIZE_ESCAPE upwards says in
 * how many. Zeros align the values of bytes and encoded to 8, and more zeros
 * before the record to value_alignment.
 *
 *     bit   15       9 8        3 2    0
 *          | key size | val size | type |
 */
enum {
    RECORD_TYPE_BITS = 3,
    RECORD_VALUE_SIZE_BITS = 6,
    RECORD_KEY_SIZE_BITS = 7,

    RECORD_VALUE_SIZE_SHIFT = RECORD_TYPE_BITS,
    RECORD_KEY_SIZE_SHIFT = RECORD_TYPE_BITS + RECORD_VALUE_SIZE_BITS,

    // The four highest codes stand for 1, 2, 4 and 8 bytes more.
    RECORD_VALUE_SIZE_ESCAPE = (1 << RECORD_VALUE_SIZE_BITS) - 4,
    RECORD_KEY_SIZE_ESCAPE = (1 << RECORD_KEY_SIZE_BITS) - 4,

    RECORD_HEAD_SIZE = 2,

    // The type of containers, which are never empty. A record of it without a
    // value says: this key is removed.
    RECORD_TOMBSTONE = 7,
};

_Static_assert(RECORD_TYPE_BITS + RECORD_VALUE_SIZE_BITS + RECORD_KEY_SIZE_BITS
                   == 8 * RECORD_HEAD_SIZE,
               "the head is full");

/* The hash index is an array of buckets, one cache line each. A key's home is
  * bucket hash * bucket_count >> 64. If that is full, the entry is in the next
  * bucket with room. The max probe distance of a bucket, one byte, says how
  * many buckets behind it a lookup must probe.
 *
 *     narrow   | 12 fingerprints | max probe | 3 zeros | 12 references u32 |
 *     wide     |  7 fingerprints | max probe |            7 references u64 |
 *
 * A fingerprint is the hash's lowest byte, with 1 for 0; 0 marks a free slot.
 * Which of the two it is follows from reference_size.
 */
enum {
    BUCKET_SIZE = 64,

    NARROW_SLOTS = 12,
    NARROW_MAX_PROBE = 12,
    NARROW_REFERENCES = 16,

    WIDE_SLOTS = 7,
    WIDE_MAX_PROBE = 7,
    WIDE_REFERENCES = 8,
};

#endif
