/* core/base/msgpack.c
 *
 * Checks the containers that others wrote, and writes our own.
 *
 *     [{"b": 1, "a": []}]
 *
 *     frames   | list: 0 left | dict: 1 pair left, keys from 0 |
 *     keys     | "b" | "a" |      of all dicts that are open, sorted when one
 *                                 is complete: then no two may be the same
 *
 * A stack of its own, not recursion: the depth is then a number that is
 * compared, and not the size of a frame times something.
 *
 * Not here: tokens, which msgpack.h reads; the objects (binding/container.c).
 */
#include "core/base/msgpack.h"

#include "core/base/memory.h"
#include "core/base/utf8.h"

/* ---- checking ----------------------------------------------------------- */

struct frame {
    size_t left;  // tokens: of a dict two for each pair
    bool is_dict;
    size_t first_key;
};

struct check {
    struct msgpack_reader reader;
    struct frame frames[MSGPACK_DEPTH];
    unsigned depth;
    struct slice *keys;  // owned; NULL until there is a dict
    size_t key_count;
};

/* Restores the heap below `root`: no key is above one of its children. */
static void
sift(struct slice *keys, size_t root, size_t count)
{
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count
            && slice_compare(keys[child], keys[child + 1]) < 0)
        {
            child += 1;
        }
        if (slice_compare(keys[root], keys[child]) >= 0) {
            return;
        }
        struct slice key = keys[root];
        keys[root] = keys[child];
        keys[child] = key;
    }
}

/* Sorts, and compares each with its predecessor. Heapsort stays within the array even if the
 * bytes change while it compares them. */
static bool
are_distinct(struct slice *keys, size_t count)
{
    for (size_t root = count / 2; root-- > 0;) {
        sift(keys, root, count);
    }
    for (size_t last = count; last-- > 1;) {
        struct slice key = keys[0];
        keys[0] = keys[last];
        keys[last] = key;
        sift(keys, 0, last);
    }
    for (size_t i = 1; i < count; i++) {
        if (slice_equals(keys[i - 1], keys[i])) {
            return false;
        }
    }
    return true;
}

static bool
is_container(const struct msgpack_token *token)
{
    return token->kind == MSGPACK_LIST || token->kind == MSGPACK_TUPLE
           || token->kind == MSGPACK_DICT;
}

/* Opens a container. */
static enum status
push(struct check *check, const struct msgpack_token *token)
{
    bool is_dict = token->kind == MSGPACK_DICT;
    if (check->depth == MSGPACK_DEPTH) {
        return STATUS_BAD_VALUE;
    }
    if (is_dict && check->keys == NULL) {
        // Of all pairs to come key and value take a byte each, at least.
        check->keys = memory_allocate_array(check->reader.left / 2,
                                            sizeof(*check->keys));
        if (check->keys == NULL) {
            return STATUS_NO_MEMORY;
        }
    }
    check->frames[check->depth++] = (struct frame){
        .left = is_dict ? 2 * token->count : token->count,
        .is_dict = is_dict,
        .first_key = check->key_count,
    };
    return STATUS_OK;
}

/* Closes the containers that are complete. */
static bool
pop_complete(struct check *check)
{
    while (check->depth > 0 && check->frames[check->depth - 1].left == 0) {
        struct frame *frame = &check->frames[--check->depth];
        size_t count = check->key_count - frame->first_key;
        if (frame->is_dict
            && !are_distinct(check->keys + frame->first_key, count))
        {
            return false;
        }
        check->key_count = frame->first_key;
    }
    return true;
}

/* Checks what comes next in the innermost container. */
static enum status
check_next(struct check *check)
{
    struct frame *frame = &check->frames[check->depth - 1];
    struct msgpack_token token;
    bool is_key = frame->is_dict && frame->left % 2 == 0;
    frame->left -= 1;
    msgpack_next(&check->reader, &token);
    if (token.kind == MSGPACK_INVALID || (is_key && token.kind != MSGPACK_STR))
    {
        return STATUS_BAD_VALUE;
    }
    if (token.kind == MSGPACK_STR && !utf8_is_valid(token.bytes)) {
        return STATUS_BAD_TEXT;
    }
    if (is_key) {
        check->keys[check->key_count++] = token.bytes;
    }
    return is_container(&token) ? push(check, &token) : STATUS_OK;
}

enum status
msgpack_check(struct slice bytes)
{
    struct check check = {.depth = 0};
    struct msgpack_token token;
    msgpack_reader_init(&check.reader, bytes);
    msgpack_next(&check.reader, &token);
    enum status status =
        is_container(&token) ? push(&check, &token) : STATUS_BAD_VALUE;
    while (status == STATUS_OK && check.depth > 0) {
        status = !pop_complete(&check) ? STATUS_BAD_VALUE
                 : check.depth > 0     ? check_next(&check)
                                       : STATUS_OK;
    }
    memory_release(check.keys);
    return status == STATUS_OK && !msgpack_is_over(&check.reader)
               ? STATUS_BAD_VALUE
               : status;
}

/* ---- writing ------------------------------------------------------------ */

enum { SMALLEST = 512 };

void
msgpack_writer_clear(struct msgpack_writer *writer)
{
    memory_release(writer->bytes);
    *writer = (struct msgpack_writer){.bytes = NULL};
}

static bool
grow(struct msgpack_writer *writer, size_t more)
{
    size_t least, capacity = 2 * writer->capacity;
    unsigned char *bytes = NULL;
    // Untested: no memory holds so much.
    if (!__builtin_add_overflow(writer->size, more, &least)) {
        capacity = capacity > least ? capacity : least;
        capacity = capacity > SMALLEST ? capacity : SMALLEST;
        bytes = memory_allocate(capacity);
    }
    if (bytes == NULL) {
        writer->status = STATUS_NO_MEMORY;
        return false;
    }
    slice_copy(bytes, (struct slice){writer->bytes, writer->size});
    memory_release(writer->bytes);
    writer->bytes = bytes;
    writer->capacity = capacity;
    return true;
}

/* Room for so many bytes, which are then part of what is written; NULL after a
 * failure. */
static inline unsigned char *
reserve(struct msgpack_writer *writer, size_t size)
{
    if (writer->status != STATUS_OK
        || (size > writer->capacity - writer->size && !grow(writer, size)))
    {
        return NULL;
    }
    unsigned char *bytes = writer->bytes + writer->size;
    writer->size += size;
    return bytes;
}

/* Writes a head, and behind it a big-endian number of 0, 1, 2, 4 or 8 bytes. */
static void
write_head(struct msgpack_writer *writer, unsigned head, uint64_t number,
           unsigned size)
{
    unsigned char *bytes = reserve(writer, 1 + size);
    if (bytes != NULL) {
        uint64_t swapped = __builtin_bswap64(number);
        bytes[0] = (unsigned char)head;
        memcpy(bytes + 1, (unsigned char *)&swapped + sizeof(swapped) - size,
               size);
    }
}

/* The heads of a kind of token with a size or count. */
struct heads {
    unsigned few;    // with the number in it
    size_t limit;    // of that
    unsigned first;  // of those with a number behind them
    bool has_u8;     // whether the first has one of 1 byte, or of 2
};

static const struct heads STR = {0xA0, 32, 0xD9, true};
static const struct heads BYTES = {0, 0, 0xC4, true};
static const struct heads LIST = {0x90, 16, 0xDC, false};
static const struct heads DICT = {0x80, 16, 0xDE, false};
static const struct heads EXT = {0, 0, 0xC7, true};

static void
write_count(struct msgpack_writer *writer, const struct heads *heads,
            size_t count)
{
    unsigned wide = heads->first + heads->has_u8;
    if (count < heads->limit) {
        write_head(writer, heads->few | (unsigned)count, 0, 0);
    }
    else if (count <= UINT8_MAX && heads->has_u8) {
        write_head(writer, heads->first, count, 1);
    }
    else if (count <= UINT16_MAX) {
        write_head(writer, wide, count, 2);
    }
    else if (count <= UINT32_MAX) {
        write_head(writer, wide + 1, count, 4);
    }
    else {
        writer->status = STATUS_TOO_LARGE;
    }
}

static void
write_raw(struct msgpack_writer *writer, struct slice bytes)
{
    unsigned char *to = reserve(writer, bytes.size);
    if (to != NULL) {
        slice_copy(to, bytes);
    }
}

void
msgpack_write_nil(struct msgpack_writer *writer)
{
    write_head(writer, 0xC0, 0, 0);
}

void
msgpack_write_bool(struct msgpack_writer *writer, bool is_true)
{
    write_head(writer, is_true ? 0xC3 : 0xC2, 0, 0);
}

void
msgpack_write_float(struct msgpack_writer *writer, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    write_head(writer, 0xCB, bits, sizeof(bits));
}

void
msgpack_write_str(struct msgpack_writer *writer, struct slice text)
{
    write_count(writer, &STR, text.size);
    write_raw(writer, text);
}

void
msgpack_write_bytes(struct msgpack_writer *writer, struct slice bytes)
{
    write_count(writer, &BYTES, bytes.size);
    write_raw(writer, bytes);
}

void
msgpack_write_list(struct msgpack_writer *writer, size_t count)
{
    write_count(writer, &LIST, count);
}

void
msgpack_write_tuple(struct msgpack_writer *writer, size_t count)
{
    write_count(writer, &LIST, count + 1);
    write_head(writer, 0xD4, MSGPACK_EXT_TUPLE << 8, 2);
}

void
msgpack_write_dict(struct msgpack_writer *writer, size_t count)
{
    write_count(writer, &DICT, count);
}

/* From 2^7 on; smaller ones are a head. */
static void
write_natural(struct msgpack_writer *writer, uint64_t number)
{
    if (number < 0x80) {
        write_head(writer, (unsigned)number, 0, 0);
    }
    else if (number <= UINT8_MAX) {
        write_head(writer, 0xCC, number, 1);
    }
    else if (number <= UINT16_MAX) {
        write_head(writer, 0xCD, number, 2);
    }
    else if (number <= UINT32_MAX) {
        write_head(writer, 0xCE, number, 4);
    }
    else {
        write_head(writer, 0xCF, number, 8);
    }
}

static void
write_negative(struct msgpack_writer *writer, int64_t number)
{
    if (number >= -32) {
        write_head(writer, (unsigned char)number, 0, 0);
    }
    else if (number >= INT8_MIN) {
        write_head(writer, 0xD0, (uint64_t)number, 1);
    }
    else if (number >= INT16_MIN) {
        write_head(writer, 0xD1, (uint64_t)number, 2);
    }
    else if (number >= INT32_MIN) {
        write_head(writer, 0xD2, (uint64_t)number, 4);
    }
    else {
        write_head(writer, 0xD3, (uint64_t)number, 8);
    }
}

/* Writes the head of ext 1: those of 1, 2, 4, 8 and 16 bytes have one of their
 * own, of which an int this long needs only the last. */
static void
write_long_int(struct msgpack_writer *writer, struct slice bytes)
{
    if (bytes.size == 16) {
        write_head(writer, 0xD8, MSGPACK_EXT_INT, 1);
    }
    else {
        write_count(writer, &EXT, bytes.size);
        write_head(writer, MSGPACK_EXT_INT, 0, 0);
    }
    write_raw(writer, bytes);
}

void
msgpack_write_int(struct msgpack_writer *writer, struct slice bytes)
{
    const unsigned char sign = bytes.bytes[bytes.size - 1] & 0x80 ? 0xFF : 0;
    uint64_t number = 0;
    if (bytes.size > sizeof(number)) {
        if (bytes.size > sizeof(number) + 1 || bytes.bytes[8] != 0) {
            write_long_int(writer, bytes);
            return;
        }
        bytes.size = sizeof(number);  // 2^63 to 2^64 - 1
    }
    memset(&number, sign, sizeof(number));
    memcpy(&number, bytes.bytes, bytes.size);
    if (sign == 0) {
        write_natural(writer, number);
    }
    else {
        write_negative(writer, (int64_t)number);
    }
}
