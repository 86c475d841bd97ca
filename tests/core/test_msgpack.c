/* tests/core/test_msgpack.c
 *
 * The tokens of containers: what the writer makes of each, what the reader
 * makes of all forms that there are, and that it refuses everything else.
 * Under the address sanitizer "is refused" also means that no byte outside was
 * touched: every container here is in memory that is exactly as large.
 */
#include "core/base/msgpack.h"

#include "core/check.h"
#include "core/containers.h"
#include "core/snapshots.h"

/* ---- writing ------------------------------------------------------------ */

/* Whether this is all that was written; clears the writer. */
static void
check_written(struct msgpack_writer *writer, struct slice expected)
{
    CHECK_STATUS(writer->status, STATUS_OK);
    CHECK_EQUAL(writer->size, expected.size);
    CHECK(slice_equals((struct slice){writer->bytes, writer->size}, expected));
    msgpack_writer_clear(writer);
}

/* Reads one token of bytes that nothing follows. */
static struct msgpack_token
token_of(struct slice bytes)
{
    struct image copy = image_copy(bytes.bytes, bytes.size);
    struct msgpack_reader reader;
    struct msgpack_token token;
    msgpack_reader_init(&reader, (struct slice){copy.bytes, copy.size});
    msgpack_next(&reader, &token);
    CHECK(token.kind == MSGPACK_INVALID || msgpack_is_over(&reader));
    image_destroy(&copy);
    return token;
}

static const struct {
    struct slice bytes;  // as the core stores it
    struct slice expected;
    int64_t integer;
} ints[] = {
    {SLICE("\x00"), SLICE("\x00"), 0},
    {SLICE("\x01"), SLICE("\x01"), 1},
    {SLICE("\x7F"), SLICE("\x7F"), 127},
    {SLICE("\x80\x00"), SLICE("\xCC\x80"), 128},
    {SLICE("\xFF\x00"), SLICE("\xCC\xFF"), 255},
    {SLICE("\x00\x01"), SLICE("\xCD\x01\x00"), 256},
    {SLICE("\xFF\xFF\x00"), SLICE("\xCD\xFF\xFF"), 65535},
    {SLICE("\x00\x00\x01"), SLICE("\xCE\x00\x01\x00\x00"), 65536},
    {SLICE("\xFF\xFF\xFF\xFF\x00"), SLICE("\xCE\xFF\xFF\xFF\xFF"), UINT32_MAX},
    {SLICE("\x00\x00\x00\x00\x01"),
     SLICE("\xCF\x00\x00\x00\x01\x00\x00\x00\x00"), INT64_C(1) << 32},
    {SLICE("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"),
     SLICE("\xCF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), INT64_MAX},
    {SLICE("\xFF"), SLICE("\xFF"), -1},
    {SLICE("\xE0"), SLICE("\xE0"), -32},
    {SLICE("\xDF"), SLICE("\xD0\xDF"), -33},
    {SLICE("\x80"), SLICE("\xD0\x80"), -128},
    {SLICE("\x7F\xFF"), SLICE("\xD1\xFF\x7F"), -129},
    {SLICE("\x00\x80"), SLICE("\xD1\x80\x00"), -32768},
    {SLICE("\xFF\x7F\xFF"), SLICE("\xD2\xFF\xFF\x7F\xFF"), -32769},
    {SLICE("\x00\x00\x00\x80"), SLICE("\xD2\x80\x00\x00\x00"), INT32_MIN},
    {SLICE("\xFF\xFF\xFF\x7F\xFF"),
     SLICE("\xD3\xFF\xFF\xFF\xFF\x7F\xFF\xFF\xFF"), INT64_C(-2147483649)},
    {SLICE("\x00\x00\x00\x00\x00\x00\x00\x80"),
     SLICE("\xD3\x80\x00\x00\x00\x00\x00\x00\x00"), INT64_MIN},
};

static void
test_ints_take_the_shortest_form_and_come_back(void)
{
    for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++) {
        struct msgpack_writer writer = {.bytes = NULL};
        msgpack_write_int(&writer, ints[i].bytes);
        check_written(&writer, ints[i].expected);
        struct msgpack_token token = token_of(ints[i].expected);
        CHECK_EQUAL(token.kind, MSGPACK_INT);
        CHECK_EQUAL(token.integer, ints[i].integer);
    }
}

static void
test_ints_beyond_64_bits_are_extensions(void)
{
    static const struct {
        struct slice bytes;
        struct slice expected;
    } cases[] = {
        {SLICE("\x00\x00\x00\x00\x00\x00\x00\x00\x01"),
         SLICE("\xC7\x09\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01")},
        {SLICE("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F\xFF"),
         SLICE("\xC7\x09\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F\xFF")},
        {SLICE("0123456789abcdef"), SLICE("\xD8\x01"
                                          "0123456789abcdef")},
        {SLICE("0123456789abcdefg"), SLICE("\xC7\x11\x01"
                                           "0123456789abcdefg")},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct msgpack_writer writer = {.bytes = NULL};
        msgpack_write_int(&writer, cases[i].bytes);
        check_written(&writer, cases[i].expected);
        struct msgpack_token token = token_of(cases[i].expected);
        CHECK_EQUAL(token.kind, MSGPACK_LONG_INT);
        CHECK_EQUAL(token.bytes.size, cases[i].bytes.size);
    }
    // From 2^63 on there is still a form without an extension.
    struct msgpack_writer writer = {.bytes = NULL};
    msgpack_write_int(&writer, SLICE("\x00\x00\x00\x00\x00\x00\x00\x80\x00"));
    check_written(&writer, SLICE("\xCF\x80\x00\x00\x00\x00\x00\x00\x00"));
    struct msgpack_token token =
        token_of(SLICE("\xCF\x80\x00\x00\x00\x00\x00\x00\x00"));
    CHECK_EQUAL(token.kind, MSGPACK_NATURAL);
    CHECK(token.natural == UINT64_C(1) << 63);
}

static void
test_small_values_take_the_shortest_form(void)
{
    struct msgpack_writer writer = {.bytes = NULL};
    msgpack_write_nil(&writer);
    msgpack_write_bool(&writer, false);
    msgpack_write_bool(&writer, true);
    msgpack_write_float(&writer, 1.5);
    msgpack_write_list(&writer, 2);
    msgpack_write_tuple(&writer, 2);
    msgpack_write_dict(&writer, 2);
    msgpack_write_str(&writer, SLICE("a"));
    msgpack_write_bytes(&writer, SLICE("b"));
    check_written(&writer,
                  SLICE("\xC0\xC2\xC3\xCB\x3F\xF8\x00\x00\x00\x00\x00\x00"
                        "\x92\x93\xD4\x02\x00\x82\xA1"
                        "a\xC4\x01"
                        "b"));
}

/* What the head of so many bytes or elements is. */
struct heads {
    size_t count;
    struct slice str, bytes, list, dict;
};

static const struct heads heads[] = {
    {0, SLICE("\xA0"), SLICE("\xC4\x00"), SLICE("\x90"), SLICE("\x80")},
    {15, SLICE("\xAF"), SLICE("\xC4\x0F"), SLICE("\x9F"), SLICE("\x8F")},
    {16, SLICE("\xB0"), SLICE("\xC4\x10"), SLICE("\xDC\x00\x10"),
     SLICE("\xDE\x00\x10")},
    {31, SLICE("\xBF"), SLICE("\xC4\x1F"), SLICE("\xDC\x00\x1F"),
     SLICE("\xDE\x00\x1F")},
    {32, SLICE("\xD9\x20"), SLICE("\xC4\x20"), SLICE("\xDC\x00\x20"),
     SLICE("\xDE\x00\x20")},
    {255, SLICE("\xD9\xFF"), SLICE("\xC4\xFF"), SLICE("\xDC\x00\xFF"),
     SLICE("\xDE\x00\xFF")},
    {256, SLICE("\xDA\x01\x00"), SLICE("\xC5\x01\x00"), SLICE("\xDC\x01\x00"),
     SLICE("\xDE\x01\x00")},
    {65535, SLICE("\xDA\xFF\xFF"), SLICE("\xC5\xFF\xFF"),
     SLICE("\xDC\xFF\xFF"), SLICE("\xDE\xFF\xFF")},
    {65536, SLICE("\xDB\x00\x01\x00\x00"), SLICE("\xC6\x00\x01\x00\x00"),
     SLICE("\xDD\x00\x01\x00\x00"), SLICE("\xDF\x00\x01\x00\x00")},
};

static void
test_sizes_and_counts_take_the_shortest_form_and_come_back(void)
{
    static unsigned char room[3 * 65536];
    memset(room, 'x', sizeof(room));
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        const struct heads *head = &heads[i];
        const struct slice expected[] = {head->str, head->bytes, head->list,
                                         head->dict};
        static const enum msgpack_kind kinds[] = {MSGPACK_STR, MSGPACK_BYTES,
                                                  MSGPACK_LIST, MSGPACK_DICT};
        for (int j = 0; j < 4; j++) {
            struct msgpack_writer writer = {.bytes = NULL};
            struct slice bytes = {room, head->count};
            switch (j) {
            case 0:
                msgpack_write_str(&writer, bytes);
                break;
            case 1:
                msgpack_write_bytes(&writer, bytes);
                break;
            case 2:
                msgpack_write_list(&writer, head->count);
                break;
            default:
                msgpack_write_dict(&writer, head->count);
                break;
            }
            CHECK(slice_equals((struct slice){writer.bytes, expected[j].size},
                               expected[j]));
            CHECK_EQUAL(writer.size,
                        expected[j].size + (j < 2 ? head->count : 0));
            // Whatever the values of a container are: there is a byte each.
            if (j >= 2) {
                msgpack_write_str(&writer, (struct slice){room, sizeof(room)});
            }
            struct msgpack_reader reader;
            struct msgpack_token token;
            msgpack_reader_init(&reader,
                                (struct slice){writer.bytes, writer.size});
            msgpack_next(&reader, &token);
            CHECK_EQUAL(token.kind, kinds[j]);
            CHECK_EQUAL(j < 2 ? token.bytes.size : token.count, head->count);
            msgpack_writer_clear(&writer);
        }
    }
}

static void
test_long_extensions_have_sizes_of_two_and_four_bytes(void)
{
    static unsigned char bytes[65536];
    static const size_t sizes[] = {255, 256, 65535, 65536};
    memset(bytes, 1, sizeof(bytes));
    for (size_t i = 0; i < 4; i++) {
        struct msgpack_writer writer = {.bytes = NULL};
        msgpack_write_int(&writer, (struct slice){bytes, sizes[i]});
        CHECK_EQUAL(writer.bytes[0], i == 0 ? 0xC7 : i < 3 ? 0xC8 : 0xC9);
        struct msgpack_token token =
            token_of((struct slice){writer.bytes, writer.size});
        CHECK_EQUAL(token.kind, MSGPACK_LONG_INT);
        CHECK_EQUAL(token.bytes.size, sizes[i]);
        msgpack_writer_clear(&writer);
    }
}

static void
test_more_than_four_gibibytes_are_too_large(void)
{
    struct msgpack_writer writer = {.bytes = NULL};
    msgpack_write_nil(&writer);
    msgpack_write_list(&writer, (size_t)UINT32_MAX);
    CHECK_STATUS(writer.status, STATUS_OK);
    msgpack_write_list(&writer, (size_t)UINT32_MAX + 1);
    CHECK_STATUS(writer.status, STATUS_TOO_LARGE);
    size_t size = writer.size;
    msgpack_write_nil(&writer);
    msgpack_write_str(&writer, SLICE("ignored"));
    CHECK_STATUS(writer.status, STATUS_TOO_LARGE);
    CHECK_EQUAL(writer.size, size);
    msgpack_writer_clear(&writer);
}

static void
test_writer_without_memory_remembers_that(void)
{
    static unsigned char bytes[2000];
    for (long successes = 0; successes < 3; successes++) {
        struct msgpack_writer writer = {.bytes = NULL};
        memory_fail_after(successes, false);
        msgpack_write_nil(&writer);
        msgpack_write_bytes(&writer, (struct slice){bytes, 600});
        msgpack_write_bytes(&writer, (struct slice){bytes, 2000});
        memory_fail_after(-1, false);
        CHECK_STATUS(writer.status, STATUS_NO_MEMORY);
        size_t size = writer.size;
        msgpack_write_nil(&writer);
        CHECK_STATUS(writer.status, STATUS_NO_MEMORY);
        CHECK_EQUAL(writer.size, size);
        msgpack_writer_clear(&writer);
    }
}

/* ---- reading ------------------------------------------------------------ */

static void
test_longer_forms_of_others_are_read(void)
{
    static const struct {
        struct slice bytes;
        int64_t integer;
    } longer[] = {
        {SLICE("\xCC\x05"), 5},
        {SLICE("\xCD\x00\x05"), 5},
        {SLICE("\xCE\x00\x00\x00\x05"), 5},
        {SLICE("\xCF\x00\x00\x00\x00\x00\x00\x00\x05"), 5},
        {SLICE("\xD0\x05"), 5},
        {SLICE("\xD1\x00\x05"), 5},
        {SLICE("\xD2\x00\x00\x00\x05"), 5},
        {SLICE("\xD3\x00\x00\x00\x00\x00\x00\x00\x05"), 5},
        {SLICE("\xD3\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFB"), -5},
    };
    for (size_t i = 0; i < sizeof(longer) / sizeof(longer[0]); i++) {
        struct msgpack_token token = token_of(longer[i].bytes);
        CHECK_EQUAL(token.kind, MSGPACK_INT);
        CHECK_EQUAL(token.integer, longer[i].integer);
    }
    struct msgpack_token token = token_of(SLICE("\xCA\xBF\xC0\x00\x00"));
    CHECK_EQUAL(token.kind, MSGPACK_FLOAT);
    CHECK(token.number == -1.5);
    CHECK_EQUAL(token_of(SLICE("\xDB\x00\x00\x00\x01"
                               "a"))
                    .bytes.size,
                1);
    // A short int as ext 1, in each of the forms that extensions have.
    CHECK_EQUAL(token_of(SLICE("\xD4\x01\x05")).kind, MSGPACK_LONG_INT);
    CHECK_EQUAL(token_of(SLICE("\xD5\x01\x05\x00")).bytes.size, 2);
    CHECK_EQUAL(token_of(SLICE("\xD6\x01\x05\x00\x00\x00")).bytes.size, 4);
    CHECK_EQUAL(
        token_of(SLICE("\xD7\x01\x05\x00\x00\x00\x00\x00\x00\x00")).bytes.size,
        8);
    CHECK_EQUAL(token_of(SLICE("\xC8\x00\x01\x01\x05")).bytes.size, 1);
    CHECK_EQUAL(token_of(SLICE("\xC9\x00\x00\x00\x01\x01\x05")).bytes.size, 1);
}

static void
test_simple_tokens_come_back(void)
{
    CHECK_EQUAL(token_of(SLICE("\xC0")).kind, MSGPACK_NIL);
    CHECK_EQUAL(token_of(SLICE("\xC2")).kind, MSGPACK_BOOL);
    CHECK(!token_of(SLICE("\xC2")).is_true);
    CHECK(token_of(SLICE("\xC3")).is_true);
    CHECK(token_of(SLICE("\xCB\x3F\xF8\x00\x00\x00\x00\x00\x00")).number
          == 1.5);
    CHECK_EQUAL(token_of(SLICE("\x91\xD4\x02\x00")).kind, MSGPACK_TUPLE);
    CHECK_EQUAL(token_of(SLICE("")).kind, MSGPACK_INVALID);
}

/* ---- the check ---------------------------------------------------------- */

static enum status
check(struct slice bytes)
{
    struct image copy = image_copy(bytes.bytes, bytes.size);
    enum status status = msgpack_check((struct slice){copy.bytes, copy.size});
    image_destroy(&copy);
    return status;
}

static void
test_check_tells_what_is_a_container(void)
{
    static const struct {
        struct slice bytes;
        enum status expected;
    } cases[] = {
        {SLICE("\x90"), STATUS_OK},
        {SLICE("\x80"), STATUS_OK},
        {SLICE("\x91\xD4\x02\x00"), STATUS_OK},  // ()
        {SLICE("\x91\xC0"), STATUS_OK},
        {SLICE("\x92\x90\x80"), STATUS_OK},
        {SLICE("\x81\xA1"
               "a\x01"),
         STATUS_OK},
        {SLICE("\x81\xA0\x01"), STATUS_OK},
        {SLICE("\x82\xA1"
               "a\x01\xA1"
               "b\x02"),
         STATUS_OK},
        {SLICE("\x82\xA1"
               "b\x01\xA1"
               "a\x02"),
         STATUS_OK},
        {SLICE("\x91\xA3\xED\xA0\x80"), STATUS_OK},  // a lone surrogate
        {SLICE("\x91\xC4\x01\xFF"), STATUS_OK},
        {SLICE("\xDD\x00\x00\x00\x01\xC0"), STATUS_OK},  // not the shortest
        // The same key in dicts that are in each other, or beside each other.
        {SLICE("\x81\xA1"
               "a\x81\xA1"
               "a\x01"),
         STATUS_OK},
        {SLICE("\x92\x81\xA1"
               "a\x01\x81\xA1"
               "a\x01"),
         STATUS_OK},
        {SLICE(""), STATUS_BAD_VALUE},
        {SLICE("\x01"), STATUS_BAD_VALUE},  // values of other types
        {SLICE("\xA1"
               "a"),
         STATUS_BAD_VALUE},
        {SLICE("\x90\x90"), STATUS_BAD_VALUE},  // something follows
        {SLICE("\x91\xC1"), STATUS_BAD_VALUE},
        {SLICE("\x81\x01\x01"), STATUS_BAD_VALUE},  // a key that is no str
        {SLICE("\x81\xC4\x01"
               "a\x01"),
         STATUS_BAD_VALUE},
        {SLICE("\x81\x90\x01"), STATUS_BAD_VALUE},
        {SLICE("\x82\xA1"
               "a\x01\xA1"
               "a\x02"),
         STATUS_BAD_VALUE},  // a key that comes twice
        {SLICE("\x91\xA1\xFF"), STATUS_BAD_TEXT},
        {SLICE("\x81\xA1\xFF\x01"), STATUS_BAD_TEXT},
        // Other extensions, and ours where they do not belong.
        {SLICE("\x91\xD4\x00\x00"), STATUS_BAD_VALUE},
        {SLICE("\x91\xD4\xFF\x00"), STATUS_BAD_VALUE},
        {SLICE("\x91\xD4\x02\x01"), STATUS_BAD_VALUE},
        {SLICE("\x92\x01\xD4\x02\x00"), STATUS_BAD_VALUE},
        {SLICE("\x92\xD4\x02\x00\xD4\x02\x00"), STATUS_BAD_VALUE},
        {SLICE("\x91\xC7\x01\x02\x00"), STATUS_BAD_VALUE},
        {SLICE("\x81\xD4\x02\x00\x01"), STATUS_BAD_VALUE},
        {SLICE("\x91\xC7\x00\x01"), STATUS_BAD_VALUE},  // an int of no bytes
        {SLICE("\x91\xC7\x00\x01\x00"), STATUS_BAD_VALUE},
        {SLICE("\x91\xC7\x02\x01\x00"), STATUS_BAD_VALUE},
        // Counts and sizes that the bytes cannot pay for.
        {SLICE("\x91"), STATUS_BAD_VALUE},
        {SLICE("\x81\xA1"
               "a"),
         STATUS_BAD_VALUE},
        {SLICE("\xDD\xFF\xFF\xFF\xFF\xC0"), STATUS_BAD_VALUE},
        {SLICE("\xDF\xFF\xFF\xFF\xFF\xA0\xC0"), STATUS_BAD_VALUE},
        {SLICE("\x91\xDB\xFF\xFF\xFF\xFF"
               "a"),
         STATUS_BAD_VALUE},
        {SLICE("\x92\xC6\x00\x00\x00\x02"
               "ab"),
         STATUS_BAD_VALUE},
        {SLICE("\x92\xD4\x02\x00"), STATUS_BAD_VALUE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (check(cases[i].bytes) != cases[i].expected) {
            printf("      case %zu\n", i);
        }
        CHECK_STATUS(check(cases[i].bytes), cases[i].expected);
    }
}

/* What is owed outside counts: each of these could be paid for alone. */
static void
test_counts_of_containers_in_each_other_are_added_up(void)
{
    CHECK_STATUS(check(SLICE("\x93\x92\xC0\xC0\xC0\xC0")), STATUS_OK);
    struct msgpack_reader reader;
    struct msgpack_token token;
    msgpack_reader_init(&reader, SLICE("\x94\x93\xC0\xC0\xC0\xC0\xC0"));
    msgpack_next(&reader, &token);
    CHECK_EQUAL(token.kind, MSGPACK_LIST);
    msgpack_next(&reader, &token);
    CHECK_EQUAL(token.kind, MSGPACK_INVALID);
}

static void
test_depth_ends_at_two_hundred(void)
{
    unsigned char lists[MSGPACK_DEPTH + 1], tuples[4 * (MSGPACK_DEPTH + 1)];
    memset(lists, 0x91, sizeof(lists));
    lists[MSGPACK_DEPTH - 1] = lists[MSGPACK_DEPTH] = 0x90;
    CHECK_STATUS(check((struct slice){lists, MSGPACK_DEPTH}), STATUS_OK);
    lists[MSGPACK_DEPTH - 1] = 0x91;
    CHECK_STATUS(check((struct slice){lists, MSGPACK_DEPTH + 1}),
                 STATUS_BAD_VALUE);
    for (size_t i = 0; i <= MSGPACK_DEPTH; i++) {
        memcpy(tuples + 4 * i, "\x92\xD4\x02\x00", 4);
    }
    tuples[4 * (MSGPACK_DEPTH - 1)] = 0x91;
    tuples[4 * MSGPACK_DEPTH] = 0x91;
    CHECK_STATUS(check((struct slice){tuples, 4 * MSGPACK_DEPTH}), STATUS_OK);
    tuples[4 * (MSGPACK_DEPTH - 1)] = 0x92;
    CHECK_STATUS(check((struct slice){tuples, 4 * (MSGPACK_DEPTH + 1)}),
                 STATUS_BAD_VALUE);
}

/* A dict of "0", "1", ..., where key `twice` is that of the first. */
static enum status
check_keys(size_t count, size_t twice)
{
    struct msgpack_writer writer = {.bytes = NULL};
    msgpack_write_list(&writer, 1);
    msgpack_write_dict(&writer, count);
    for (size_t i = 0; i < count; i++) {
        char key[24];
        int size = snprintf(key, sizeof(key), "%zu", i == twice ? 0 : i);
        msgpack_write_str(&writer,
                          (struct slice){(unsigned char *)key, (size_t)size});
        msgpack_write_dict(&writer, 1);
        msgpack_write_str(&writer, SLICE("0"));
        msgpack_write_nil(&writer);
    }
    enum status status = check((struct slice){writer.bytes, writer.size});
    msgpack_writer_clear(&writer);
    return status;
}

static void
test_key_that_comes_twice_is_found_anywhere(void)
{
    for (size_t count = 1; count < 40; count++) {
        CHECK_STATUS(check_keys(count, count), STATUS_OK);
        for (size_t twice = 1; twice < count; twice++) {
            CHECK_STATUS(check_keys(count, twice), STATUS_BAD_VALUE);
        }
    }
    CHECK_STATUS(check_keys(5000, 5000), STATUS_OK);
    CHECK_STATUS(check_keys(5000, 4999), STATUS_BAD_VALUE);
}

static void
test_check_without_memory_says_so(void)
{
    memory_fail_after(0, false);
    CHECK_STATUS(check(SLICE("\x81\xA0\x01")), STATUS_NO_MEMORY);
    // Only dicts need some.
    CHECK_STATUS(check(SLICE("\x91\x01")), STATUS_OK);
    memory_fail_after(-1, false);
}

/* ---- damage ------------------------------------------------------------- */

/* One of everything. */
static struct msgpack_writer
sample(void)
{
    struct msgpack_writer writer = {.bytes = NULL};
    msgpack_write_dict(&writer, 4);
    msgpack_write_str(&writer, SLICE("a"));
    msgpack_write_tuple(&writer, 3);
    msgpack_write_float(&writer, 0.5);
    msgpack_write_nil(&writer);
    msgpack_write_list(&writer, 0);
    msgpack_write_str(&writer, SLICE("b"));
    msgpack_write_list(&writer, 8);
    msgpack_write_int(&writer, SLICE("\xFF"));
    msgpack_write_int(&writer, SLICE("\x00\x01"));
    msgpack_write_int(&writer, SLICE("\x00\x00\x01"));
    msgpack_write_int(&writer, SLICE("\x00\x00\x00\x00\x01"));
    msgpack_write_int(&writer, SLICE("0123456789"));
    msgpack_write_bytes(&writer, SLICE("xyz"));
    msgpack_write_dict(&writer, 2);
    msgpack_write_str(&writer, SLICE("a"));
    msgpack_write_bool(&writer, true);
    msgpack_write_str(&writer, SLICE("\xC3\xA4"));
    msgpack_write_tuple(&writer, 0);
    msgpack_write_str(&writer, SLICE("a str of more than thirty-one bytes"));
    msgpack_write_str(&writer, SLICE("c"));
    msgpack_write_bool(&writer, false);
    msgpack_write_str(&writer, SLICE(""));
    msgpack_write_nil(&writer);
    CHECK_STATUS(writer.status, STATUS_OK);
    return writer;
}

static void
test_every_truncation_is_refused(void)
{
    struct msgpack_writer writer = sample();
    CHECK_STATUS(check((struct slice){writer.bytes, writer.size}), STATUS_OK);
    for (size_t size = 0; size < writer.size; size++) {
        struct image cut = image_copy(writer.bytes, size);
        CHECK(msgpack_check((struct slice){cut.bytes, size}) != STATUS_OK);
        CHECK(container_agrees((struct slice){cut.bytes, size}));
        image_destroy(&cut);
    }
    msgpack_writer_clear(&writer);
}

static void
test_every_byte_may_have_any_value(void)
{
    struct msgpack_writer writer = sample();
    struct image copy = image_copy(writer.bytes, writer.size);
    for (size_t at = 0; at < copy.size; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            copy.bytes[at] = (unsigned char)byte;
            CHECK(container_agrees((struct slice){copy.bytes, copy.size}));
        }
        copy.bytes[at] = writer.bytes[at];
    }
    image_destroy(&copy);
    msgpack_writer_clear(&writer);
}

static void
test_random_damage_is_survived(void)
{
    struct msgpack_writer writer = sample();
    uint64_t state = 1;
    size_t valid = 0;
    for (int round = 0; round < 200000; round++) {
        struct image copy = image_copy(writer.bytes, writer.size);
        for (int i = 0; i < 3; i++) {
            state = state * UINT64_C(6364136223846793005) + 1;
            copy.bytes[(state >> 33) % copy.size] =
                (unsigned char)(state >> 56);
        }
        struct slice bytes = {copy.bytes, copy.size};
        CHECK(container_agrees(bytes));
        valid += msgpack_check(bytes) == STATUS_OK;
        image_destroy(&copy);
    }
    // Not only what is refused was compared.
    CHECK(valid > 1000 && valid < 199000);
    msgpack_writer_clear(&writer);
}

static const struct test tests[] = {
    TEST(test_ints_take_the_shortest_form_and_come_back),
    TEST(test_ints_beyond_64_bits_are_extensions),
    TEST(test_small_values_take_the_shortest_form),
    TEST(test_sizes_and_counts_take_the_shortest_form_and_come_back),
    TEST(test_long_extensions_have_sizes_of_two_and_four_bytes),
    TEST(test_more_than_four_gibibytes_are_too_large),
    TEST(test_writer_without_memory_remembers_that),
    TEST(test_longer_forms_of_others_are_read),
    TEST(test_simple_tokens_come_back),
    TEST(test_check_tells_what_is_a_container),
    TEST(test_counts_of_containers_in_each_other_are_added_up),
    TEST(test_depth_ends_at_two_hundred),
    TEST(test_key_that_comes_twice_is_found_anywhere),
    TEST(test_check_without_memory_says_so),
    TEST(test_every_truncation_is_refused),
    TEST(test_every_byte_may_have_any_value),
    TEST(test_random_damage_is_survived),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
