/* tests/core/test_delta_damage.c
 *
 * Deltas and heads that are damaged or forged. Whatever they say, each access
 * ends with an answer inside the bytes or with a status, and the deep check
 * finds what is wrong. Under the address sanitizer "is survived" means that no
 * byte beside the file was read.
 *
 *     | base |   old   |      young      |   the file ends here
 *            |    ^----|-- beneath       |
 *            0       begin              head
 *
 * Not here: a base that is damaged; see test_snapshot_damage.c.
 */
#include "core/check.h"
#include "core/versions.h"
#include "hostile/interrogate.h"

/* What the file with that head says when it is asked everything; what is wrong
 * with it, or what verify says. */
static enum status
examine(const struct layers *layers, uint32_t head)
{
    struct version version;
    enum status verdict;
    enum status status =
        version_open(&version, layers->file.bytes, layers->file.size, head);
    if (status == STATUS_OK) {
        (void)interrogate(&version, &verdict, false);
        status = verdict;
    }
    return status;
}

static void
check_verdict(const struct layers *layers, enum status expected)
{
    CHECK_STATUS(examine(layers, layers->head), expected);
}

/* Of the delta with that number: its bytes, and where its parts are. */
static unsigned char *
bytes_of(const struct layers *layers, const struct version *version,
         unsigned number, struct delta_layout *layout)
{
    const struct delta *delta = &version->deltas[number];
    CHECK(delta_layout_fill(layout, delta->view.entry_count,
                            delta->header.records_size,
                            delta->view.reference_size));
    return layers_room(layers, delta->begin);
}

static void
test_sample_is_what_it_should_be(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct layers layers = sample_layers(&flavours[i]);
        struct version version = layers_version(&layers);
        CHECK_EQUAL(version.delta_count, 2);
        CHECK_EQUAL(version.entry_count, SAMPLE_COUNT + 1);
        CHECK_EQUAL(version_size(&version), layers.file.size);
        check_verdict(&layers, STATUS_OK);
        layers_destroy(&layers);
    }
}

/* ---- accidents ---------------------------------------------------------- */

static void
test_every_flipped_bit_of_a_delta_is_found(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct layers layers = sample_layers(&flavours[i]);
        size_t begin = image_header(&layers.file)->total_size;
        for (size_t bit = 8 * begin; bit < 8 * layers.file.size; bit++) {
            unsigned char *byte = &layers.file.bytes[bit / 8];
            *byte ^= (unsigned char)(1U << bit % 8);
            CHECK(examine(&layers, layers.head) != STATUS_OK);
            *byte ^= (unsigned char)(1U << bit % 8);
        }
        check_verdict(&layers, STATUS_OK);
        layers_destroy(&layers);
    }
}

/* A delta that no version reads any more may hold records of one that is. */
static void
test_damage_of_a_delta_that_is_not_used_any_more_is_found(void)
{
    struct layers layers = {.generation = 1};
    struct entry put = {SLICE("key"), {SLICE("value"), VALUE_STR}};
    struct changes changes = {.puts = &put, .put_count = 1};
    layers_begin(&layers, NULL, 0, TREE, 4096);
    layers_append(&layers, &changes, OLD);
    uint32_t unused = layers.head;
    put.key = SLICE("other");
    layers_append(&layers, &changes, OLD);
    uint32_t old = layers.head;
    layers_append(&layers, &changes, YOUNG);
    layers_cut(&layers);
    check_verdict(&layers, STATUS_OK);

    unsigned char *bytes = layers_room(&layers, 0);
    bytes[DELTA_HEADER_SIZE + 8] ^= 1;
    check_verdict(&layers, STATUS_BAD_CHECKSUM);
    bytes[DELTA_HEADER_SIZE + 8] ^= 1;
    bytes[0] ^= 1;
    check_verdict(&layers, STATUS_BAD_DELTA);
    bytes[0] ^= 1;

    // One that hides those behind it, of which some are used.
    struct delta_header *header = layers_delta(&layers, unused);
    uint64_t size = header->size;
    header->size = delta_begin(layers.head);
    CHECK(header->size > delta_begin(old));
    header->records_size += header->size - size;
    delta_seal(bytes);
    check_verdict(&layers, STATUS_BAD_DELTA);
    layers_destroy(&layers);
}

static void
test_file_that_is_cut_anywhere_is_refused(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct layers layers = sample_layers(&flavours[i]);
        const uint64_t base = image_header(&layers.file)->total_size;
        for (size_t size = 0; size < layers.file.size; size++) {
            struct image cut = image_copy(layers.file.bytes, size);
            struct version version;
            enum status expected = size == 0     ? STATUS_EMPTY
                                   : size < base ? STATUS_TRUNCATED
                                                 : STATUS_BAD_DELTA;
            CHECK_STATUS(
                version_open(&version, cut.bytes, cut.size, layers.head),
                expected);
            image_destroy(&cut);
        }
        layers_destroy(&layers);
    }
}

/* ---- heads -------------------------------------------------------------- */

static void
test_head_leads_to_a_delta_or_is_refused(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct layers layers = sample_layers(&flavours[i]);
        struct version version = layers_version(&layers);
        uint32_t units =
            (uint32_t)(layers.file.size - version.base.header.total_size) / 64;
        for (uint32_t head = 0; head < 2 * (units + 8); head++) {
            uint32_t even = head & ~HEAD_SUPERSEDED;
            bool is_known = even == 0 || even == layers.head
                            || even == version.deltas[1].header.beneath;
            CHECK_STATUS(examine(&layers, head),
                         is_known ? STATUS_OK : STATUS_BAD_DELTA);
        }
        for (int bit = 12; bit < 32; bit++) {
            CHECK_STATUS(examine(&layers, UINT32_C(1) << bit),
                         STATUS_BAD_DELTA);
            CHECK_STATUS(examine(&layers, UINT32_MAX >> (bit - 12)),
                         STATUS_BAD_DELTA);
        }
        layers_destroy(&layers);
    }
}

/* To itself, to the other, to one that is not the last, to none. */
static void
test_delta_lies_over_none_or_over_one_before_it(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct layers layers = sample_layers(&flavours[i]);
        const uint32_t young = layers.head;
        const uint32_t old = layers_delta(&layers, young)->beneath;
        const struct {
            uint32_t old_beneath, young_beneath;
        } cases[] = {
            {0, young},    // itself
            {young, old},  // each other
            {old, old},    // itself, beneath another
            {0, old | 1},  // there is no mark in it
            {0, 1},
            {0, young + 2},  // behind the end
            {0, old + 2},    // in its middle
            {0, UINT32_MAX - 1},
        };
        for (size_t j = 0; j < sizeof(cases) / sizeof(cases[0]); j++) {
            layers_delta(&layers, old)->beneath = cases[j].old_beneath;
            layers_delta(&layers, young)->beneath = cases[j].young_beneath;
            delta_seal_header(layers_delta(&layers, old));
            delta_seal_header(layers_delta(&layers, young));
            check_verdict(&layers, STATUS_BAD_DELTA);
        }
        // Over the base it is well-formed, but not true.
        layers_delta(&layers, old)->beneath = 0;
        layers_delta(&layers, young)->beneath = 0;
        delta_seal_header(layers_delta(&layers, old));
        delta_seal_header(layers_delta(&layers, young));
        check_verdict(&layers, STATUS_BAD_RANK);
        // The old one alone leads forward.
        layers_delta(&layers, old)->beneath = young;
        delta_seal_header(layers_delta(&layers, old));
        CHECK_STATUS(examine(&layers, old), STATUS_BAD_DELTA);
        layers_destroy(&layers);
    }
}

/* ---- headers ------------------------------------------------------------ */

/* What any publisher may say of itself, and what nothing is read from. */
static bool
is_free(size_t at)
{
    return (at >= offsetof(struct delta_header, since_fold)
            && at < offsetof(struct delta_header, beneath))
           || (at >= offsetof(struct delta_header, reserved_0)
               && at < offsetof(struct delta_header, content_checksum))
           || (at >= offsetof(struct delta_header, generation)
               && at < offsetof(struct delta_header, header_checksum))
           || at >= offsetof(struct delta_header, published_at);
}

/* The zeros behind the records may be called records, too; of one word, half
 * is reserved. */
static bool
is_harmless(const struct delta_header *forged,
            const struct delta_header *header, size_t at)
{
    if (at == offsetof(struct delta_header, beneath)) {
        return forged->beneath == header->beneath;
    }
    return at == offsetof(struct delta_header, records_size)
           && forged->records_size >= header->records_size
           && round_up(forged->records_size) == round_up(header->records_size);
}

/* Every word of both headers, as many numbers as go wrong easily. */
static void
test_every_forged_field_of_a_header_is_found(void)
{
    for (int i = 0; i < 2 * FLAVOUR_COUNT; i++) {
        struct layers layers = sample_layers(&flavours[i / 2]);
        uint32_t head = i % 2 == 0
                            ? layers.head
                            : layers_delta(&layers, layers.head)->beneath;
        struct delta_header *header = layers_delta(&layers, head);
        const struct delta_header saved = *header;
        const uint64_t room =
            layers.file.size - image_header(&layers.file)->total_size;
        for (size_t at = 8; at < DELTA_HEADER_SIZE; at += 8) {
            uint64_t number;
            memcpy(&number, (unsigned char *)&saved + at, 8);
            const uint64_t edges[] = {
                0,
                1,
                2,
                number - 1,
                number + 1,
                number - 64,
                number + 64,
                number * 2,
                room,
                room - 64,
                room + 64,
                room / 4,
                room / 8,
                UINT32_MAX,
                UINT64_C(1) << 31,
                UINT64_C(1) << 32,
                UINT64_C(1) << 56,
                UINT64_C(1) << 60,
                UINT64_C(1) << 61,
                UINT64_C(1) << 63,
                UINT64_MAX,
                UINT64_MAX - 63,
            };
            for (size_t j = 0; j < sizeof(edges) / sizeof(edges[0]); j++) {
                memcpy((unsigned char *)header + at, &edges[j], 8);
                if (edges[j] != number
                    && at != offsetof(struct delta_header, header_checksum))
                {
                    delta_seal_header(header);
                    enum status status = examine(&layers, layers.head);
                    CHECK_EQUAL(status == STATUS_OK,
                                is_free(at)
                                    || is_harmless(header, &saved, at));
                }
                *header = saved;
            }
        }
        check_verdict(&layers, STATUS_OK);
        layers_destroy(&layers);
    }
}

/* Nothing is taken for longer than it can be. */
static void
test_length_beyond_what_there_is_is_refused(void)
{
    for (int is_old = 0; is_old < 2; is_old++) {
        struct layers layers = sample_layers(TREE);
        uint32_t head =
            is_old ? layers_delta(&layers, layers.head)->beneath : layers.head;
        struct delta_header *header = layers_delta(&layers, head);
        // Of the base 8; of the deltas 4 and 5, over 8 and 9.
        uint64_t most = is_old ? 8 + 4 : 9 + 5;
        header->length = most + 1;
        delta_seal_header(header);
        check_verdict(&layers, STATUS_BAD_DELTA);
        header->length = most;
        delta_seal_header(header);
        check_verdict(&layers, STATUS_BAD_RANK);
        layers_destroy(&layers);
    }
}

/* ---- contents ----------------------------------------------------------- */

/* Forges a word of the delta's contents, sealed, and puts it back. */
static enum status
forge(const struct layers *layers, unsigned char *bytes, uint64_t at,
      uint64_t number, size_t width)
{
    unsigned char saved[8];
    memcpy(saved, bytes + at, width);
    memcpy(bytes + at, &number, width);
    delta_seal(bytes);
    enum status status = examine(layers, layers->head);
    memcpy(bytes + at, saved, width);
    delta_seal(bytes);
    return status;
}

static uint64_t
number_at(const unsigned char *bytes, size_t width)
{
    uint64_t number = 0;
    memcpy(&number, bytes, width);
    return number;
}

static void
test_every_forged_rank_is_found(void)
{
    for (int i = 0; i < 2 * FLAVOUR_COUNT; i++) {
        struct layers layers = sample_layers(&flavours[i / 2]);
        struct version version = layers_version(&layers);
        struct delta_layout layout;
        unsigned char *bytes =
            bytes_of(&layers, &version, (unsigned)i % 2, &layout);
        size_t width = version.base.reference_size;
        uint64_t words = 2 * (version.deltas[i % 2].view.entry_count + 1);
        for (uint64_t word = 0; word < words; word++) {
            uint64_t at = layout.ranks + word * width;
            uint64_t number = number_at(bytes + at, width);
            const uint64_t edges[] = {0,
                                      1,
                                      4,
                                      9,
                                      number - 1,
                                      number + 1,
                                      number + 2,
                                      1000,
                                      UINT32_MAX,
                                      INT32_MAX,
                                      UINT64_C(1) << 63,
                                      UINT64_MAX};
            for (size_t j = 0; j < sizeof(edges) / sizeof(edges[0]); j++) {
                uint64_t edge = width == 4 ? (uint32_t)edges[j] : edges[j];
                CHECK_STATUS(forge(&layers, bytes, at, edge, width),
                             edge == number ? STATUS_OK : STATUS_BAD_RANK);
            }
        }
        layers_destroy(&layers);
    }
}

/* To every byte of the room, and behind it: into other deltas, into indices,
 * into headers. With a hash index there is no other that passes; without one it
 * may be bytes that happen to be a record with such a key, and all that is asked
 * of it has been consistent then. */
static void
test_every_forged_reference_is_found(void)
{
    for (int i = 0; i < 2 * FLAVOUR_COUNT; i++) {
        struct layers layers = sample_layers(&flavours[i / 2]);
        struct version version = layers_version(&layers);
        struct delta_layout layout;
        unsigned char *bytes =
            bytes_of(&layers, &version, (unsigned)i % 2, &layout);
        size_t width = version.base.reference_size;
        const struct snapshot *view = &version.deltas[i % 2].view;
        for (uint64_t index = 0; index < view->entry_count; index++) {
            uint64_t at = layout.sorted_index + index * width;
            uint64_t number = number_at(bytes + at, width);
            for (uint64_t to = 0; to < view->records_size + 8; to++) {
                enum status status = forge(&layers, bytes, at, to, width);
                CHECK(to != number || status == STATUS_OK);
                CHECK(to == number || status != STATUS_OK
                      || view->buckets == NULL);
                if (to > view->records_size - 2) {
                    CHECK_STATUS(status, STATUS_BAD_REFERENCE);
                }
            }
            CHECK_STATUS(forge(&layers, bytes, at, UINT64_MAX, width),
                         STATUS_BAD_REFERENCE);
        }
        layers_destroy(&layers);
    }
}

static void
test_every_forged_byte_is_survived(void)
{
    for (int i = 0; i < 2 * FLAVOUR_COUNT; i++) {
        struct layers layers = sample_layers(&flavours[i / 2]);
        struct version version = layers_version(&layers);
        const struct delta *delta = &version.deltas[i % 2];
        unsigned char *bytes = layers_room(&layers, delta->begin);
        int found = 0;
        for (uint64_t at = DELTA_HEADER_SIZE; at < delta->header.size; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                uint64_t number = bytes[at] ^ 1U << bit;
                found += forge(&layers, bytes, at, number, 1) != STATUS_OK;
            }
        }
        // Only values and what no index leads to can be anything.
        CHECK(found > 300);
        layers_destroy(&layers);
    }
}

/* Several references to one record: together more than there is. */
static void
test_records_that_overlap_are_not_merged(void)
{
    static unsigned char long_value[1000];
    struct layers layers = {.generation = 1};
    struct entry puts[] = {
        {SLICE("a"), {{long_value, sizeof(long_value)}, VALUE_BYTES}},
        {SLICE("b"), {SLICE(""), VALUE_NONE}},
        {SLICE("c"), {SLICE(""), VALUE_NONE}},
    };
    struct changes changes = {.puts = puts, .put_count = 3};
    layers_begin(&layers, NULL, 0, TREE, 8192);
    layers_append(&layers, &changes, OLD);
    layers_cut(&layers);
    struct version version = layers_version(&layers);
    struct delta_layout layout;
    unsigned char *bytes = bytes_of(&layers, &version, 0, &layout);
    memcpy(bytes + layout.sorted_index + 4, bytes + layout.sorted_index, 4);
    memcpy(bytes + layout.sorted_index + 8, bytes + layout.sorted_index, 4);
    delta_seal(bytes);
    struct entry merged[8];
    size_t count;
    bool is_changed;
    version = layers_version(&layers);
    struct changes nothing = {.puts = NULL};
    CHECK_STATUS(
        merge_changes(&version, &nothing, merged, &count, &is_changed, NULL),
        STATUS_RECORDS_OVERLAP);
    check_verdict(&layers, STATUS_RECORDS_OVERLAP);
    layers_destroy(&layers);
}

/* Of two keys that lie between the same two of the base, ranks cannot say which
 * is the lower one. */
static void
test_keys_out_of_order_are_found(void)
{
    struct layers layers = {.generation = 1};
    const struct entry puts[] = {
        {SLICE("a"), {SLICE("1"), VALUE_STR}},
        {SLICE("b"), {SLICE("2"), VALUE_STR}},
    };
    struct changes changes = {.puts = puts, .put_count = 2};
    layers_begin(&layers, NULL, 0, TREE, 4096);
    layers_append(&layers, &changes, OLD);
    layers_cut(&layers);
    struct version version = layers_version(&layers);
    struct delta_layout layout;
    unsigned char *bytes = bytes_of(&layers, &version, 0, &layout);
    unsigned char *references = bytes + layout.sorted_index;
    unsigned char saved[4];
    memcpy(saved, references, 4);
    memcpy(references, references + 4, 4);
    memcpy(references + 4, saved, 4);
    delta_seal(bytes);
    check_verdict(&layers, STATUS_BAD_ORDER);
    // Nor may a key be there twice.
    memcpy(references, saved, 4);
    delta_seal(bytes);
    check_verdict(&layers, STATUS_BAD_ORDER);
    layers_destroy(&layers);
}

/* ---- tombstones --------------------------------------------------------- */

/* The record of an entry: its head has the type in its lowest bits. */
static unsigned char *
record_of(const struct layers *layers, const struct version *version,
          unsigned number, uint64_t index)
{
    struct delta_layout layout;
    unsigned char *bytes = bytes_of(layers, version, number, &layout);
    size_t width = version->base.reference_size;
    return layers_room(
        layers, number_at(bytes + layout.sorted_index + index * width, width));
}

static void
test_tombstone_has_a_valid_key_and_no_value(void)
{
    struct layers layers = sample_layers(TREE);
    struct version version = layers_version(&layers);
    unsigned char *bytes = layers_room(&layers, version.deltas[1].begin);
    unsigned char *record = record_of(&layers, &version, 1, 1);
    CHECK_EQUAL(record[0] & 7, RECORD_TOMBSTONE);
    CHECK_EQUAL(memcmp(record + 2, "bytes", 5), 0);
    // A size of 1: then it is a container, which the base has to announce.
    record[0] += 1 << RECORD_VALUE_SIZE_SHIFT;
    delta_seal(bytes);
    check_verdict(&layers, STATUS_BAD_VALUE);
    record[0] -= 1 << RECORD_VALUE_SIZE_SHIFT;
    record[3] = 0xFF;
    delta_seal(bytes);
    check_verdict(&layers, STATUS_BAD_TEXT);
    layers_destroy(&layers);
}

/* It says that something was removed, though the ranks say it was put. */
static void
test_value_and_tombstone_are_not_taken_for_each_other(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct layers layers = sample_layers(&flavours[i]);
        struct version version = layers_version(&layers);
        unsigned char *bytes = layers_room(&layers, version.deltas[1].begin);
        for (uint64_t index = 0; index < 5; index++) {
            unsigned char *record = record_of(&layers, &version, 1, index);
            unsigned char saved = record[0];
            for (unsigned type = 0; type < 8; type++) {
                record[0] = (unsigned char)((saved & ~7U) | type);
                delta_seal(bytes);
                enum status status = examine(&layers, layers.head);
                bool was_tombstone = (saved & 7) == RECORD_TOMBSTONE;
                if (was_tombstone != (type == RECORD_TOMBSTONE)) {
                    CHECK(status != STATUS_OK);
                }
            }
            record[0] = saved;
            delta_seal(bytes);
        }
        layers_destroy(&layers);
    }
}

static void
test_base_has_no_tombstones(void)
{
    struct entry entry = {SLICE("key"),
                          {SLICE(""), (enum value_type)RECORD_TOMBSTONE}};
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct image image = image_of_entries(&entry, 1, &flavours[i]);
        struct version version = version_of_image(&image);
        struct version_cursor cursor = {.passed = {0}};
        struct entry found;
        CHECK_STATUS(version_at(&version, &cursor, 0, &found),
                     STATUS_BAD_VALUE);
        CHECK_STATUS(version_verify(&version, NULL), STATUS_BAD_VALUE);
        image_destroy(&image);
    }
}

static const struct test tests[] = {
    TEST(test_sample_is_what_it_should_be),
    TEST(test_every_flipped_bit_of_a_delta_is_found),
    TEST(test_damage_of_a_delta_that_is_not_used_any_more_is_found),
    TEST(test_file_that_is_cut_anywhere_is_refused),
    TEST(test_head_leads_to_a_delta_or_is_refused),
    TEST(test_delta_lies_over_none_or_over_one_before_it),
    TEST(test_every_forged_field_of_a_header_is_found),
    TEST(test_length_beyond_what_there_is_is_refused),
    TEST(test_every_forged_rank_is_found),
    TEST(test_every_forged_reference_is_found),
    TEST(test_every_forged_byte_is_survived),
    TEST(test_records_that_overlap_are_not_merged),
    TEST(test_keys_out_of_order_are_found),
    TEST(test_tombstone_has_a_valid_key_and_no_value),
    TEST(test_value_and_tombstone_are_not_taken_for_each_other),
    TEST(test_base_has_no_tombstones),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
