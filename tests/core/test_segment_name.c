/* tests/core/test_segment_name.c
 *
 * Which name lives in which file, and which names are taken.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/check.h"
#include "core/files.h"
#include "core/segment/segment.h"
#include "core/segment/system.h"
#include "core/snapshots.h"

#define PREFIX "/dev/shm/sharedmap."

static void
check_path(struct slice name, const char *expected)
{
    char path[SEGMENT_PATH_SIZE];
    CHECK_STATUS(segment_path(name, path), STATUS_OK);
    if (strcmp(path, expected) != 0) {
        printf("      %s, not %s\n", path, expected);
    }
    CHECK(strcmp(path, expected) == 0);
}

static void
test_names_are_encoded_by_the_table(void)
{
    check_path(SLICE("a"), PREFIX "a");
    check_path(SLICE("test:3325"), PREFIX "test:3325");
    check_path(SLICE("feature flags/eu"), PREFIX "feature flags%2Feu");
    check_path(SLICE("."), PREFIX ".");
    check_path(SLICE(".."), PREFIX "..");
    check_path(SLICE("../../etc/x"), PREFIX "..%2F..%2Fetc%2Fx");
    check_path(SLICE("/"), PREFIX "%2F");
    check_path(SLICE("//"), PREFIX "%2F%2F");
    check_path(SLICE("100%"), PREFIX "100%25");
    check_path(SLICE("%2F"), PREFIX "%252F");
    check_path(SLICE("a~"), PREFIX "a%7E");
    check_path(SLICE("\x01\n\t\x1F \x7F"), PREFIX "%01%0A%09%1F %7F");
    check_path(SLICE("\xE7\xBA\xA2"), PREFIX "\xE7\xBA\xA2");
    check_path(SLICE("\xED\xA0\x80"), PREFIX "\xED\xA0\x80");
    check_path(SLICE("*?[$&;'\"\\"), PREFIX "*?[$&;'\"\\");
}

static void
test_names_that_cannot_be_are_refused(void)
{
    char path[SEGMENT_PATH_SIZE];
    CHECK_STATUS(segment_path(SLICE(""), path), STATUS_NAME_EMPTY);
    CHECK_STATUS(segment_path((struct slice){NULL, 0}, path),
                 STATUS_NAME_EMPTY);
    CHECK_STATUS(segment_path(SLICE("\0"), path), STATUS_NAME_HAS_NUL);
    CHECK_STATUS(segment_path(SLICE("a\0"), path), STATUS_NAME_HAS_NUL);
    CHECK_STATUS(segment_path(SLICE("\0b"), path), STATUS_NAME_HAS_NUL);
    CHECK_STATUS(segment_path(SLICE("a\0b"), path), STATUS_NAME_HAS_NUL);
}

/* A file name has 255 bytes; "sharedmap." takes 10 and the temporary name's
 * "~" with 16 digits 17. */
enum { LIMIT = 228 };

static void
test_longest_name_has_228_encoded_bytes(void)
{
    char path[SEGMENT_PATH_SIZE];
    unsigned char name[1000];
    memset(name, 'x', sizeof(name));
    for (size_t size = 1; size <= sizeof(name); size++) {
        CHECK_STATUS(segment_path((struct slice){name, size}, path),
                     size <= LIMIT ? STATUS_OK : STATUS_NAME_TOO_LONG);
        if (size <= LIMIT) {
            CHECK_EQUAL(strlen(path), strlen(PREFIX) + size);
        }
    }
    memset(name, '/', sizeof(name));
    for (size_t size = 1; size <= sizeof(name); size++) {
        CHECK_STATUS(segment_path((struct slice){name, size}, path),
                     size <= LIMIT / 3 ? STATUS_OK : STATUS_NAME_TOO_LONG);
    }
    // What has no room may be three bytes at the very end.
    memset(name, 'x', sizeof(name));
    name[LIMIT - 3] = '/';
    CHECK_STATUS(segment_path((struct slice){name, LIMIT - 2}, path),
                 STATUS_OK);
    CHECK_EQUAL(strlen(path), strlen(PREFIX) + LIMIT);
    CHECK_STATUS(segment_path((struct slice){name, LIMIT - 1}, path),
                 STATUS_NAME_TOO_LONG);
    name[LIMIT - 3] = 'x';
    name[LIMIT - 2] = '/';
    CHECK_STATUS(segment_path((struct slice){name, LIMIT - 1}, path),
                 STATUS_NAME_TOO_LONG);
}

static unsigned
hexadecimal(char digit)
{
    const char *digits = "0123456789ABCDEF";
    const char *place = strchr(digits, digit);
    CHECK(place != NULL && digit != '\0');
    return (unsigned)(place - digits);
}

static size_t
decode(const char *encoded, unsigned char *name)
{
    size_t size = 0;
    for (; *encoded != '\0'; encoded++) {
        if (*encoded == '%') {
            name[size++] = (unsigned char)(hexadecimal(encoded[1]) << 4
                                           | hexadecimal(encoded[2]));
            encoded += 2;
        }
        else {
            name[size++] = (unsigned char)*encoded;
        }
    }
    return size;
}

/* Names that can be read back from their paths cannot share one. */
static void
test_different_names_have_different_paths(void)
{
    for (unsigned number = 0; number < 1U << 16; number++) {
        unsigned char name[2] = {(unsigned char)(number >> 8),
                                 (unsigned char)number};
        unsigned char decoded[SEGMENT_PATH_SIZE];
        char path[SEGMENT_PATH_SIZE];
        if (name[0] == 0 || name[1] == 0) {
            continue;
        }
        CHECK_STATUS(segment_path((struct slice){name, 2}, path), STATUS_OK);
        CHECK(strncmp(path, PREFIX, strlen(PREFIX)) == 0);
        const char *encoded = path + strlen(PREFIX);
        CHECK_EQUAL(decode(encoded, decoded), 2);
        CHECK(memcmp(decoded, name, 2) == 0);
        CHECK(strpbrk(encoded, "/~") == NULL);
    }
}

/* ---- back again --------------------------------------------------------- */

static void
test_every_name_is_read_back_from_its_file(void)
{
    for (unsigned number = 0; number < 1U << 16; number++) {
        unsigned char bytes[2] = {(unsigned char)(number >> 8),
                                  (unsigned char)number};
        unsigned char name[256];
        char path[SEGMENT_PATH_SIZE];
        size_t size = 0;
        if (segment_path((struct slice){bytes, 2}, path) != STATUS_OK) {
            continue;
        }
        CHECK(segment_decode_name(path + strlen("/dev/shm/"), name, &size));
        CHECK_EQUAL(size, 2);
        CHECK(memcmp(name, bytes, 2) == 0);
    }
}

/* A file that no name would get is no map, or one map would have two names. */
static void
test_files_of_no_name_are_not_read_back(void)
{
    static const char *const files[] = {
        "",
        "x",
        "sharedmap",
        "sharedmap.",
        "Sharedmap.x",
        "xsharedmap.x",
        "sharedmap.x~",                  // temporary
        "sharedmap.x~0123456789ABCDEF",  // temporary
        "sharedmap.%",
        "sharedmap.%2",
        "sharedmap.%2f",  // lower case
        "sharedmap.%G0",
        "sharedmap.%41",  // need not be encoded
        "sharedmap.%00",
        "sharedmap.a%",
        "sharedmap.a\nb",
        "sharedmap.a\x7F",
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        unsigned char name[256];
        char path[SEGMENT_PATH_SIZE];
        size_t size = 0;
        // "%00" cannot be a name: NUL is refused when it is published.
        bool is_decoded = segment_decode_name(files[i], name, &size);
        CHECK(!is_decoded
              || segment_path((struct slice){name, size}, path) != STATUS_OK);
    }
}

static bool
is_listed(struct slice name)
{
    struct segment_names *names;
    struct slice next;
    bool is_found = false;
    CHECK_STATUS(segment_names_open(&names), STATUS_OK);
    for (;;) {
        CHECK_STATUS(segment_names_next(names, &next), STATUS_OK);
        if (next.size == 0) {
            break;
        }
        CHECK(memchr(next.bytes, '\0', next.size) == NULL);
        is_found = is_found || slice_equals(next, name);
    }
    segment_names_close(names);
    return is_found;
}

static void
test_taken_names_are_listed(void)
{
    char text[96], path[SEGMENT_PATH_SIZE], other[SEGMENT_PATH_SIZE + 1];
    int size = snprintf(text, sizeof(text), "list/%%~\xE7\xBA\xA2%s",
                        scratch.path + 9);
    struct slice name = {(unsigned char *)text, (size_t)size};
    CHECK_STATUS(segment_path(name, path), STATUS_OK);
    CHECK(!is_listed(name));
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    bool is_taken = is_listed(name);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK(is_taken);
    CHECK(!is_listed(name));

    // What a killed publisher leaves behind is nobody's name.
    snprintf(other, sizeof(other), "%s~", path);
    write_file(other, "x", 1);
    text[size] = '~';
    bool is_leftover_listed =
        is_listed((struct slice){(unsigned char *)text, (size_t)size + 1});
    CHECK_EQUAL(unlink(other), 0);
    CHECK(!is_leftover_listed);
}

static void
test_names_without_memory_are_an_error(void)
{
    struct segment_names *names = NULL;
    memory_fail_after(0, false);
    CHECK_STATUS(segment_names_open(&names), STATUS_NO_MEMORY);
    CHECK(names == NULL);
    segment_names_close(NULL);
}

static void
test_directory_that_is_full_needs_something_else_than_an_absent_one(void)
{
    CHECK(strlen(segment_advice(true)) > 0);
    CHECK(strlen(segment_advice(false)) > 0);
    CHECK(strcmp(segment_advice(true), segment_advice(false)) != 0);
}

static const struct test tests[] = {
    TEST(test_names_are_encoded_by_the_table),
    TEST(test_names_that_cannot_be_are_refused),
    TEST(test_longest_name_has_228_encoded_bytes),
    TEST(test_different_names_have_different_paths),
    TEST(test_every_name_is_read_back_from_its_file),
    TEST(test_files_of_no_name_are_not_read_back),
    TEST(test_taken_names_are_listed),
    TEST(test_names_without_memory_are_an_error),
    TEST(test_directory_that_is_full_needs_something_else_than_an_absent_one),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
