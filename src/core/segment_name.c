/* core/segment_name.c
 *
 * The name of a map <-> the name of its file.
 *
 *     "feature flags/eu"  ->  /dev/shm/sharedmap.feature flags%2Feu
 *
 * The slash cannot be part of a file name; the percent sign would make two
 * names one; the tilde marks the temporary names of a publisher at work; and
 * control characters would make a listing of the directory unreadable. All
 * other bytes stand as they are, so the file can be found by eye.
 *
 * Not here: system calls; see segment.c.
 */
#include "core/segment.h"

#define NAME_PREFIX "/dev/shm/sharedmap."

/* A file name has 255 bytes. Besides the prefix it must have room for the
 * tilde and 16 digits of a temporary name. */
enum { ENCODED_NAME_LIMIT = 255 - (sizeof("sharedmap.") - 1) - 17 };

_Static_assert(sizeof(NAME_PREFIX) + ENCODED_NAME_LIMIT <= SEGMENT_PATH_SIZE,
               "the longest path has room");

static bool
must_be_encoded(unsigned char byte)
{
    return byte == '/' || byte == '%' || byte == '~' || byte < 0x20
           || byte == 0x7F;
}

enum status
segment_path(struct slice name, char path[SEGMENT_PATH_SIZE])
{
    static const char digits[] = "0123456789ABCDEF";
    if (name.size == 0) {
        return STATUS_NAME_EMPTY;
    }
    if (memchr(name.bytes, '\0', name.size) != NULL) {
        return STATUS_NAME_HAS_NUL;
    }
    memcpy(path, NAME_PREFIX, sizeof(NAME_PREFIX));
    char *to = path + sizeof(NAME_PREFIX) - 1;
    const char *limit = to + ENCODED_NAME_LIMIT;
    for (size_t i = 0; i < name.size; i++) {
        unsigned char byte = name.bytes[i];
        bool is_encoded = must_be_encoded(byte);
        if (limit - to < (is_encoded ? 3 : 1)) {
            return STATUS_NAME_TOO_LONG;
        }
        if (is_encoded) {
            *to++ = '%';
            *to++ = digits[byte >> 4];
            *to++ = digits[byte & 15];
        }
        else {
            *to++ = (char)byte;
        }
    }
    *to = '\0';
    return STATUS_OK;
}
