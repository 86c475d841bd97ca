/* tests/core/containers.h
 *
 * A second way to say which bytes are a container: token after token, as
 * objects are built, and each key compared with all before it. It recurses and
 * it is quadratic, which msgpack_check() must not be.
 */
#ifndef SHAREDMAP_TESTS_CORE_CONTAINERS_H
#define SHAREDMAP_TESTS_CORE_CONTAINERS_H

#include <stdlib.h>

#include "core/base/msgpack.h"
#include "core/base/utf8.h"

/* The next value as a reader of objects reads it; compares each key with all
 * before it. */
static inline bool
container_walk(struct msgpack_reader *reader, int depth, bool is_key)
{
    struct msgpack_token token;
    msgpack_next(reader, &token);
    switch (token.kind) {
    case MSGPACK_INVALID:
        return false;
    case MSGPACK_STR:
        return utf8_is_valid(token.bytes);
    case MSGPACK_LIST:
    case MSGPACK_TUPLE:
        if (is_key || depth == MSGPACK_DEPTH) {
            return false;
        }
        for (size_t i = 0; i < token.count; i++) {
            if (!container_walk(reader, depth + 1, false)) {
                return false;
            }
        }
        return true;
    case MSGPACK_DICT:
        break;
    default:
        return !is_key;
    }
    struct slice *keys = malloc((token.count + 1) * sizeof(*keys));
    bool is_valid = !is_key && depth < MSGPACK_DEPTH && keys != NULL;
    for (size_t i = 0; is_valid && i < token.count; i++) {
        struct msgpack_reader before = *reader;
        struct msgpack_token key;
        msgpack_next(&before, &key);
        is_valid = key.kind == MSGPACK_STR
                   && container_walk(reader, depth, true)
                   && container_walk(reader, depth + 1, false);
        keys[i] = key.bytes;
        for (size_t j = 0; is_valid && j < i; j++) {
            is_valid = !slice_equals(keys[j], keys[i]);
        }
    }
    free(keys);
    return is_valid;
}

/* Whether check and reader agree on the bytes. */
static inline bool
container_agrees(struct slice bytes)
{
    struct msgpack_reader reader;
    bool is_container =
        bytes.size > 0
        && ((bytes.bytes[0] >= 0x80 && bytes.bytes[0] < 0xA0)
            || (bytes.bytes[0] >= 0xDC && bytes.bytes[0] < 0xE0));
    msgpack_reader_init(&reader, bytes);
    bool is_valid = is_container && container_walk(&reader, 0, false)
                    && msgpack_is_over(&reader);
    return is_valid == (msgpack_check(bytes) == STATUS_OK);
}

#endif
