/* core/segment/name.c
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
 * Not here: what is done with the file; see open.c.
 */
#include "core/segment/segment.h"

#include <dirent.h>
#include <errno.h>

#include "core/base/memory.h"
#include "core/segment/system.h"

#define FILE_PREFIX "sharedmap."

/* A file name has 255 bytes. Besides the prefix it must have room for the
 * tilde and 16 digits of a temporary name. */
enum {
    FILE_NAME_LIMIT = 255,
    ENCODED_NAME_LIMIT = FILE_NAME_LIMIT - (sizeof(FILE_PREFIX) - 1) - 17,
};

static bool
must_be_encoded(unsigned char byte)
{
    return byte == '/' || byte == '%' || byte == '~' || byte < 0x20
           || byte == 0x7F;
}

const char *
segment_platform(void)
{
    return system_platform();
}

const char *
segment_directory(void)
{
    return system_name_directory();
}

const char *
segment_advice(bool is_full)
{
    return system_name_advice(is_full);
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
    const char *directory = system_name_directory();
    size_t prefix = strlen(directory);
    // Untested: on Linux the directory has a short name.
    if (prefix + 1 + FILE_NAME_LIMIT >= SEGMENT_PATH_SIZE) {
        return STATUS_NAME_TOO_LONG;
    }
    memcpy(path, directory, prefix + 1);
    memcpy(path + prefix, "/" FILE_PREFIX, sizeof("/" FILE_PREFIX));
    char *to = path + prefix + sizeof("/" FILE_PREFIX) - 1;
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

static int
hexadecimal(char digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                          : -1;
}

bool
segment_decode_name(const char *file_name, unsigned char name[256],
                    size_t *size)
{
    unsigned char *to = name;
    if (strncmp(file_name, FILE_PREFIX, sizeof(FILE_PREFIX) - 1) != 0) {
        return false;
    }
    file_name += sizeof(FILE_PREFIX) - 1;
    for (const char *from = file_name; *from != '\0'; from++) {
        if (*from == '%') {
            int high = hexadecimal(from[1]);
            int low = high < 0 ? -1 : hexadecimal(from[2]);
            if (low < 0 || !must_be_encoded((unsigned char)(high << 4 | low)))
            {
                return false;
            }
            *to++ = (unsigned char)(high << 4 | low);
            from += 2;
        }
        else if (must_be_encoded((unsigned char)*from)) {
            return false;
        }
        else {
            *to++ = (unsigned char)*from;
        }
    }
    // Nothing is a name that could not be encoded to this very file name.
    char path[SEGMENT_PATH_SIZE];
    *size = (size_t)(to - name);
    return segment_path((struct slice){name, *size}, path) == STATUS_OK;
}

/* ---- the names that are taken ------------------------------------------- */

struct segment_names {
    DIR *directory;  // owned
    unsigned char name[256];
};

enum status
segment_names_open(struct segment_names **opened)
{
    struct segment_names *names = memory_allocate(sizeof(*names));
    if (names == NULL) {
        return STATUS_NO_MEMORY;
    }
    do {
        names->directory = opendir(system_name_directory());
    } while (names->directory == NULL && errno == EINTR);
    if (names->directory == NULL) {
        memory_release(names);
        return system_names_failure();
    }
    *opened = names;
    return STATUS_OK;
}

void
segment_names_close(struct segment_names *names)
{
    if (names != NULL) {
        closedir(names->directory);
        memory_release(names);
    }
}

enum status
segment_names_next(struct segment_names *names, struct slice *name)
{
    struct dirent *file;
    *name = (struct slice){NULL, 0};
    // Only errno tells the end of the directory from a failure.
    while (errno = 0, (file = readdir(names->directory)) != NULL) {
        size_t size;
        if (segment_decode_name(file->d_name, names->name, &size)) {
            *name = (struct slice){names->name, size};
            return STATUS_OK;
        }
    }
    return errno == 0 ? STATUS_OK : STATUS_SYSTEM;
}
