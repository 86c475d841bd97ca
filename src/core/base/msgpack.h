/* core/base/msgpack.h
 *
 * The tokens of containers: MessagePack, and two extension types of our own.
 *
 *     [1, "a"]      92             an array of two
 *                   01 A1 61
 *     {"a": 2^70}   81             a map of one pair
 *                   A1 61
 *                   C7 09 01 ...   ext 1: an int, two's complement as in FORMAT
 *     (1,)          92             an array of two,
 *                   D4 02 00       the first of which is ext 2: a tuple
 *                   01
 *
 * The reader borrows bytes that are not trusted, and may change while they are
 * read: each is loaded once. A container says how many values it has before
 * they come. The reader adds up how many are still owed, each of which takes a
 * byte, and refuses more than there are bytes: so who allocates room for all
 * values of a container allocates no more than the bytes can pay for, however
 * the containers are nested.
 *
 * Reading is inline, because a container is thousands of tokens.
 */
#ifndef SHAREDMAP_CORE_BASE_MSGPACK_H
#define SHAREDMAP_CORE_BASE_MSGPACK_H

#include <stdbool.h>

#include "core/base/load.h"
#include "core/base/slice.h"
#include "core/base/status.h"

/* How many containers may be in each other. */
enum { MSGPACK_DEPTH = 200 };

enum {
    MSGPACK_EXT_INT = 1,
    MSGPACK_EXT_TUPLE = 2,
};

enum msgpack_kind {
    MSGPACK_NIL,
    MSGPACK_BOOL,
    MSGPACK_INT,       // integer
    MSGPACK_NATURAL,   // natural: an int from 2^63 to 2^64 - 1
    MSGPACK_LONG_INT,  // bytes: two's complement, little-endian, one or more
    MSGPACK_FLOAT,
    MSGPACK_STR,    // bytes, perhaps not UTF-8
    MSGPACK_BYTES,  // bytes
    MSGPACK_LIST,   // so many values follow
    MSGPACK_TUPLE,
    MSGPACK_DICT,  // so many pairs, the first of each is a str
    MSGPACK_INVALID,
};

struct msgpack_token {
    enum msgpack_kind kind;
    union {
        bool is_true;
        int64_t integer;
        uint64_t natural;
        double number;
        size_t count;        // of values, or of pairs
        struct slice bytes;  // borrowed
    };
};

struct msgpack_reader {
    const unsigned char *at;
    size_t left;  // bytes
    size_t owed;  // values that the containers read so far still need
};

/* ---- reading ------------------------------------------------------------ */

/* For one value. */
static inline void
msgpack_reader_init(struct msgpack_reader *reader, struct slice bytes)
{
    *reader = (struct msgpack_reader){bytes.bytes, bytes.size, 1};
}

/* Whether nothing follows the value, when all of it has been read. */
static inline bool
msgpack_is_over(const struct msgpack_reader *reader)
{
    return reader->left == 0;
}

/* Fills a big-endian number of 1, 2, 4 or 8 bytes. */
static inline bool
msgpack_take_number(struct msgpack_reader *reader, unsigned size,
                    uint64_t *number)
{
    if (reader->left < size) {
        return false;
    }
    switch (size) {
    case 1:
        *number = load_u8(reader->at);
        break;
    case 2:
        *number = __builtin_bswap16(load_u16(reader->at));
        break;
    case 4:
        *number = __builtin_bswap32(load_u32(reader->at));
        break;
    default:
        *number = __builtin_bswap64(load_u64(reader->at));
        break;
    }
    reader->at += size;
    reader->left -= size;
    return true;
}

/* The bytes of a str and the like. What is owed must be left. */
static inline enum msgpack_kind
msgpack_take_bytes(struct msgpack_reader *reader, enum msgpack_kind kind,
                   uint64_t size, struct msgpack_token *token)
{
    if (reader->left < reader->owed || size > reader->left - reader->owed) {
        return MSGPACK_INVALID;
    }
    token->bytes = (struct slice){reader->at, (size_t)size};
    reader->at += size;
    reader->left -= size;
    return kind;
}

/* The same, with a size of so many bytes before. */
static inline enum msgpack_kind
msgpack_take_sized(struct msgpack_reader *reader, enum msgpack_kind kind,
                   unsigned size_size, struct msgpack_token *token)
{
    uint64_t size;
    return msgpack_take_number(reader, size_size, &size)
               ? msgpack_take_bytes(reader, kind, size, token)
               : MSGPACK_INVALID;
}

/* A container of so many values or pairs. */
static inline enum msgpack_kind
msgpack_open(struct msgpack_reader *reader, enum msgpack_kind kind,
             uint64_t count, struct msgpack_token *token)
{
    // A count has 32 bits at most, so nothing overflows.
    reader->owed += kind == MSGPACK_DICT ? 2 * count : count;
    if (reader->owed > reader->left) {
        return MSGPACK_INVALID;
    }
    token->count = (size_t)count;
    return kind;
}

static inline enum msgpack_kind
msgpack_open_sized(struct msgpack_reader *reader, enum msgpack_kind kind,
                   unsigned count_size, struct msgpack_token *token)
{
    uint64_t count;
    return msgpack_take_number(reader, count_size, &count)
               ? msgpack_open(reader, kind, count, token)
               : MSGPACK_INVALID;
}

/* An array that begins with ext 2 is a tuple of the others. */
static inline enum msgpack_kind
msgpack_list_or_tuple(struct msgpack_reader *reader, enum msgpack_kind kind,
                      struct msgpack_token *token)
{
    // fixext 1, the type, a zero. Other forms of the same are not read.
    if (kind != MSGPACK_LIST || token->count == 0 || reader->left < 3
        || load_u8(reader->at) != 0xD4
        || load_u8(reader->at + 1) != MSGPACK_EXT_TUPLE
        || load_u8(reader->at + 2) != 0)
    {
        return kind;
    }
    reader->at += 3;
    reader->left -= 3;
    reader->owed -= 1;
    token->count -= 1;
    return reader->owed > reader->left ? MSGPACK_INVALID : MSGPACK_TUPLE;
}

static inline enum msgpack_kind
msgpack_integer(struct msgpack_token *token, int64_t integer)
{
    token->integer = integer;
    return MSGPACK_INT;
}

/* Ints of a head of their own: 1, 2, 4 and 8 bytes without and with sign. */
static inline enum msgpack_kind
msgpack_take_integer(struct msgpack_reader *reader, unsigned head,
                     struct msgpack_token *token)
{
    uint64_t number;
    if (!msgpack_take_number(reader, 1U << (head & 3), &number)) {
        return MSGPACK_INVALID;
    }
    switch (head) {
    case 0xD0:
        return msgpack_integer(token, (int8_t)number);
    case 0xD1:
        return msgpack_integer(token, (int16_t)number);
    case 0xD2:
        return msgpack_integer(token, (int32_t)number);
    case 0xD3:
        return msgpack_integer(token, (int64_t)number);
    default:
        break;
    }
    if (number > INT64_MAX) {
        token->natural = number;
        return MSGPACK_NATURAL;
    }
    return msgpack_integer(token, (int64_t)number);
}

static inline enum msgpack_kind
msgpack_take_float(struct msgpack_reader *reader, unsigned size,
                   struct msgpack_token *token)
{
    uint64_t bits;
    if (!msgpack_take_number(reader, size, &bits)) {
        return MSGPACK_INVALID;
    }
    if (size == sizeof(float)) {
        uint32_t short_bits = (uint32_t)bits;
        float number;
        memcpy(&number, &short_bits, sizeof(number));
        token->number = (double)number;
    }
    else {
        memcpy(&token->number, &bits, sizeof(token->number));
    }
    return MSGPACK_FLOAT;
}

/* An extension with data of so many bytes: of ours, only an int. */
static inline enum msgpack_kind
msgpack_take_ext(struct msgpack_reader *reader, uint64_t size,
                 struct msgpack_token *token)
{
    uint64_t type;
    return size > 0 && msgpack_take_number(reader, 1, &type)
                   && type == MSGPACK_EXT_INT
               ? msgpack_take_bytes(reader, MSGPACK_LONG_INT, size, token)
               : MSGPACK_INVALID;
}

static inline enum msgpack_kind
msgpack_take_sized_ext(struct msgpack_reader *reader, unsigned size_size,
                       struct msgpack_token *token)
{
    uint64_t size;
    return msgpack_take_number(reader, size_size, &size)
               ? msgpack_take_ext(reader, size, token)
               : MSGPACK_INVALID;
}

/* The heads from C0 to DF. */
static inline enum msgpack_kind
msgpack_take_headed(struct msgpack_reader *reader, unsigned head,
                    struct msgpack_token *token)
{
    switch (head) {
    case 0xC0:
        return MSGPACK_NIL;
    case 0xC2:
    case 0xC3:
        token->is_true = head == 0xC3;
        return MSGPACK_BOOL;
    case 0xC4:
    case 0xC5:
    case 0xC6:
        return msgpack_take_sized(reader, MSGPACK_BYTES, 1U << (head - 0xC4),
                                  token);
    case 0xC7:
    case 0xC8:
    case 0xC9:
        return msgpack_take_sized_ext(reader, 1U << (head - 0xC7), token);
    case 0xCA:
        return msgpack_take_float(reader, sizeof(float), token);
    case 0xCB:
        return msgpack_take_float(reader, sizeof(double), token);
    case 0xCC:
    case 0xCD:
    case 0xCE:
    case 0xCF:
    case 0xD0:
    case 0xD1:
    case 0xD2:
    case 0xD3:
        return msgpack_take_integer(reader, head, token);
    case 0xD4:
    case 0xD5:
    case 0xD6:
    case 0xD7:
    case 0xD8:
        return msgpack_take_ext(reader, UINT64_C(1) << (head - 0xD4), token);
    case 0xD9:
    case 0xDA:
    case 0xDB:
        return msgpack_take_sized(reader, MSGPACK_STR, 1U << (head - 0xD9),
                                  token);
    case 0xDC:
    case 0xDD:
        return msgpack_open_sized(reader, MSGPACK_LIST, 2U << (head - 0xDC),
                                  token);
    case 0xDE:
    case 0xDF:
        return msgpack_open_sized(reader, MSGPACK_DICT, 2U << (head - 0xDE),
                                  token);
    default:
        return MSGPACK_INVALID;  // C1, which MessagePack does not use
    }
}

/* Fills the next token, of which one must be owed; its kind is MSGPACK_INVALID
 * if that is not valid. */
static inline void
msgpack_next(struct msgpack_reader *reader, struct msgpack_token *token)
{
    if (reader->left == 0) {
        token->kind = MSGPACK_INVALID;
        return;
    }
    unsigned head = load_u8(reader->at);
    reader->at += 1;
    reader->left -= 1;
    reader->owed -= 1;
    if (head < 0x80) {
        token->kind = msgpack_integer(token, (int64_t)head);
    }
    else if (head >= 0xE0) {
        token->kind = msgpack_integer(token, (int8_t)head);
    }
    else if (head >= 0xC0) {
        token->kind = msgpack_take_headed(reader, head, token);
    }
    else if (head >= 0xA0) {
        token->kind =
            msgpack_take_bytes(reader, MSGPACK_STR, head & 0x1F, token);
    }
    else {
        token->kind =
            msgpack_open(reader, head < 0x90 ? MSGPACK_DICT : MSGPACK_LIST,
                         head & 0x0F, token);
    }
    token->kind = msgpack_list_or_tuple(reader, token->kind, token);
}

/* Whether the bytes are one container, and all in it is valid: text, depth,
 * and keys, which are str and no two of a dict the same. Every container that
 * passes can be read. STATUS_BAD_VALUE, STATUS_BAD_TEXT, STATUS_NO_MEMORY.
 * O(size), with many keys in a dict O(size * log size). */
enum status
msgpack_check(struct slice bytes);

/* ---- writing ------------------------------------------------------------ */

/* Bytes that grow. All zero is empty. What fails is remembered, and nothing is
 * written after it. */
struct msgpack_writer {
    unsigned char *bytes;  // owned
    size_t size;
    size_t capacity;
    enum status status;  // STATUS_NO_MEMORY, or STATUS_TOO_LARGE: over 4 GiB
};

void
msgpack_writer_clear(struct msgpack_writer *writer);

/* The shortest form of each, so that equal containers have equal bytes. The
 * values of a container are written behind it, for a dict key, value, key... */
void
msgpack_write_nil(struct msgpack_writer *writer);
void
msgpack_write_bool(struct msgpack_writer *writer, bool is_true);
void
msgpack_write_float(struct msgpack_writer *writer, double number);
void
msgpack_write_str(struct msgpack_writer *writer, struct slice text);
void
msgpack_write_bytes(struct msgpack_writer *writer, struct slice bytes);
void
msgpack_write_list(struct msgpack_writer *writer, size_t count);
void
msgpack_write_tuple(struct msgpack_writer *writer, size_t count);
void
msgpack_write_dict(struct msgpack_writer *writer, size_t count);

/* An int as a value of its own has it: two's complement, little-endian, as
 * short as possible. */
void
msgpack_write_int(struct msgpack_writer *writer, struct slice bytes);

#endif
