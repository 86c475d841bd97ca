/* tests/core/test_version_update.c
 *
 * The next version: which of young, fold and copy it is, and what it may fail
 * with. Nothing is left behind whatever happens.
 *
 * Not here: whether it says what it should; see test_version.c.
 */
#include "core/snapshot/version_update.h"

#include "core/base/memory.h"
#include "core/check.h"
#include "core/snapshot/hash_index.h"
#include "core/versions.h"

enum { BASE_COUNT = 10000, ROOM = 4 << 20 };

static struct numbered numbered;
static const struct version_identity identity = {.generation = 2};

/* A base of 10,000 entries. */
static struct layers
begin(const struct snapshot_options *options)
{
    struct layers layers = {.generation = 1};
    layers_begin(&layers, fill_numbered(&numbered, BASE_COUNT), BASE_COUNT,
                 options, ROOM);
    return layers;
}

/* Changes of so many entries from one on: every third is removed. */
struct script {
    struct changes changes;
    struct entry puts[BASE_COUNT];
    struct entry removals[BASE_COUNT];
};

static struct script script;

static const struct changes *
change(size_t first, size_t count, const char *value)
{
    struct slice bytes = {(const unsigned char *)value, strlen(value)};
    script.changes =
        (struct changes){.puts = script.puts, .removals = script.removals};
    for (size_t i = first; i < first + count; i++) {
        if (i % 3 == 2) {
            script.removals[script.changes.removal_count++].key =
                numbered.entries[i].key;
        }
        else {
            script.puts[script.changes.put_count++] =
                (struct entry){numbered.entries[i].key, {bytes, VALUE_BYTES}};
        }
    }
    return &script.changes;
}

/* A base with an old delta of a thousand entries and a young one of some. */
static struct layers
begin_with_deltas(const struct snapshot_options *options)
{
    struct layers layers = begin(options);
    layers_append(&layers, change(0, 1000, "old"), OLD);
    layers_append(&layers, change(900, 200, "young"), YOUNG);
    return layers;
}

/* As if so much had been written since the last fold that it is time for one.
 */
static void
make_fold_due(struct layers *layers)
{
    unsigned char *bytes = layers_room(layers, delta_begin(layers->head));
    layers_delta(layers, layers->head)->since_fold = 1 << 20;
    delta_seal(bytes);
}

static struct version_update
prepare(const struct layers *layers, const struct changes *changes)
{
    struct version version = layers_version(layers);
    struct version_update update;
    CHECK_STATUS(version_update_prepare(&update, &version, changes, &identity,
                                        COPY_IF_IT_PAYS, NULL),
                 STATUS_OK);
    CHECK_EQUAL(update.bytes != NULL, update.step == STEP_APPEND);
    return update;
}

static enum version_step
step_of(const struct layers *layers, const struct changes *changes)
{
    struct version_update update = prepare(layers, changes);
    version_update_release(&update);
    return update.step;
}

static bool
is_fold(const struct layers *layers, const struct changes *changes)
{
    struct version_update update = prepare(layers, changes);
    CHECK_EQUAL(update.step, STEP_APPEND);
    struct delta_header header;
    memcpy(&header, update.bytes, sizeof(header));
    version_update_release(&update);
    return header.beneath == 0;
}

/* ---- which way ----------------------------------------------------------- */

static void
test_change_of_nothing_is_no_step(void)
{
    static const struct changes nothing = {.puts = NULL};
    struct layers layers = begin(HASH);
    CHECK_EQUAL(step_of(&layers, &nothing), STEP_NONE);
    layers_destroy(&layers);
    layers = begin_with_deltas(HASH);
    CHECK_EQUAL(step_of(&layers, &nothing), STEP_NONE);
    CHECK_EQUAL(step_of(&layers, change(900, 200, "young")), STEP_NONE);
    CHECK_EQUAL(step_of(&layers, change(0, 900, "old")), STEP_NONE);
    CHECK_EQUAL(step_of(&layers, change(900, 201, "young")), STEP_APPEND);
    layers_destroy(&layers);
}

static void
test_first_delta_lies_over_the_base(void)
{
    struct layers layers = begin(HASH);
    CHECK(is_fold(&layers, change(5, 1, "new")));
    layers_destroy(&layers);
}

/* Until what was written since has cost as much as a fold. */
static void
test_young_deltas_are_written_until_a_fold_is_cheaper(void)
{
    struct layers layers = begin(HASH);
    layers_append(&layers, change(0, 1000, "old"), OLD);
    int young = 0;
    uint64_t since_fold = 0;
    for (;;) {
        struct version_update update =
            prepare(&layers, change(3000 + (size_t)young, 1, "new"));
        CHECK_EQUAL(update.step, STEP_APPEND);
        struct delta_header header;
        memcpy(&header, update.bytes, sizeof(header));
        memcpy(layers_room(&layers, update.begin), update.bytes, update.size);
        layers.head = update.head;
        version_update_release(&update);
        if (header.beneath == 0) {
            // No more than twice of what the fold came to, and a delta.
            CHECK_EQUAL(header.since_fold, 0);
            CHECK(since_fold < 2 * header.size);
            break;
        }
        since_fold += header.size;
        CHECK_EQUAL(header.since_fold, since_fold);
        young += 1;
        struct version version = layers_version(&layers);
        CHECK_EQUAL(version.delta_count, 2);
    }
    CHECK(young > 10 && young < 40);
    layers_destroy(&layers);
}

/* Old readers have to refuse the file, and only its base can tell them. */
static void
test_first_container_is_a_copy(void)
{
    struct layers layers = begin_with_deltas(HASH);
    const struct changes *changes = change(0, 5, "new");
    struct value *value = &script.puts[changes->put_count - 1].value;
    *value = (struct value){SLICE("\x90"), VALUE_CONTAINER};
    CHECK_EQUAL(step_of(&layers, changes), STEP_COPY);
    layers_destroy(&layers);

    // With one there already, the next is a delta.
    static struct numbered others;
    struct entry *entries = fill_numbered(&others, BASE_COUNT);
    entries[BASE_COUNT - 1].value = *value;
    layers.generation = 1;
    layers_begin(&layers, entries, BASE_COUNT, HASH, ROOM);
    CHECK_EQUAL(step_of(&layers, changes), STEP_APPEND);
    layers_append(&layers, changes, OLD);
    struct version version = layers_version(&layers);
    struct entry entry;
    bool is_found;
    CHECK_STATUS(version_verify(&version, NULL), STATUS_OK);
    CHECK_STATUS(version_find(&version,
                              script.puts[changes->put_count - 1].key, &entry,
                              &is_found),
                 STATUS_OK);
    CHECK(is_found && value_equals(&entry.value, value));
    layers_destroy(&layers);
}

static void
test_more_than_an_eighth_is_a_copy_and_more_than_a_tenth_is_full(void)
{
    struct layers layers = begin(HASH);
    CHECK_EQUAL(step_of(&layers, change(0, BASE_COUNT / 8 + 1, "new")),
                STEP_COPY);
    struct version_update update =
        prepare(&layers, change(0, BASE_COUNT / 8, "new"));
    CHECK_EQUAL(update.step, STEP_APPEND);
    CHECK(update.is_full);
    version_update_release(&update);
    update = prepare(&layers, change(0, BASE_COUNT / 10, "new"));
    CHECK_EQUAL(update.step, STEP_APPEND);
    CHECK(!update.is_full);
    version_update_release(&update);
    // Unless there is no space for a copy.
    struct version version = layers_version(&layers);
    CHECK_STATUS(version_update_prepare(&update, &version,
                                        change(0, BASE_COUNT / 2, "new"),
                                        &identity, COPY_IF_NEEDED, NULL),
                 STATUS_OK);
    CHECK_EQUAL(update.step, STEP_APPEND);
    CHECK(update.is_full);
    version_update_release(&update);
    // Those of the old delta count, too.
    layers_append(&layers, change(0, BASE_COUNT / 8 - 1, "old"), OLD);
    CHECK_EQUAL(step_of(&layers, change(5000, 1, "new")), STEP_APPEND);
    CHECK_EQUAL(step_of(&layers, change(5000, 2, "new")), STEP_COPY);
    layers_destroy(&layers);
}

/* The sizes of rooms in which one change just fits, or fills three quarters.
 */
static void
test_room_that_is_used_up_is_a_copy(void)
{
    struct layers layers = begin(HASH);
    const uint64_t total_size = image_header(&layers.file)->total_size;
    const struct changes *changes = change(0, 3, "new");
    struct version_update update = prepare(&layers, changes);
    const uint64_t size = update.size;
    version_update_release(&update);
    const struct {
        uint64_t room;
        enum version_step step;
        bool is_full;
    } cases[] = {
        {0, STEP_COPY, false},
        {size - 64, STEP_COPY, false},
        {size, STEP_APPEND, true},
        {size + size / 4 / 64 * 64, STEP_APPEND, true},
        {size + size / 2 / 64 * 64, STEP_APPEND, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct image cut =
            image_copy(layers.file.bytes, total_size + cases[i].room);
        image_header(&cut)->limit = cut.size;
        snapshot_header_seal(image_header(&cut));
        struct layers other = {.file = cut};
        update = prepare(&other, changes);
        CHECK_EQUAL(update.step, cases[i].step);
        CHECK(update.step == STEP_COPY || update.is_full == cases[i].is_full);
        version_update_release(&update);
        layers_destroy(&other);
    }
    // Without any limit, and with the room behind other deltas.
    struct image base = image_copy(layers.file.bytes, total_size);
    image_header(&base)->limit = 0;
    snapshot_header_seal(image_header(&base));
    struct layers bare = {.file = base};
    CHECK_EQUAL(step_of(&bare, changes), STEP_COPY);
    layers_destroy(&bare);
    layers_append(&layers, change(0, 100, "old"), OLD);
    layers_cut(&layers);
    CHECK_EQUAL(step_of(&layers, change(0, 3, "new")), STEP_COPY);
    layers_destroy(&layers);
}

/* Keys that all have one home are more than a lookup can be told of: 256
 * buckets at most. */
static void
test_keys_that_cannot_be_spread_are_a_copy(void)
{
    enum { CROWD = 1900, HOME = 7 };
    static char keys[CROWD][16];
    static struct entry puts[CROWD];
    struct layers layers = {.generation = 1};
    struct entry *entries = malloc(8 * CROWD * sizeof(*entries));
    char(*names)[8] = malloc(8 * CROWD * sizeof(*names));
    CHECK(entries != NULL && names != NULL);
    for (int i = 0; i < 8 * CROWD; i++) {
        snprintf(names[i], sizeof(names[i]), "%05d", i);
        struct slice key = {(unsigned char *)names[i], 5};
        entries[i] = (struct entry){key, {SLICE(""), VALUE_NONE}};
    }
    layers_begin(
        &layers, entries, 8 * CROWD,
        &(struct snapshot_options){.index = INDEX_HASH, .is_wide = true},
        ROOM);
    uint64_t seed = image_header(&layers.file)->hash_seed;
    uint64_t buckets = hash_index_bucket_count(CROWD, true);
    int found = 0;
    for (int i = 0; found < CROWD; i++) {
        int size = snprintf(keys[found], sizeof(keys[found]), "x%08d", i);
        struct slice key = {(unsigned char *)keys[found], (size_t)size};
        if (hash_index_home(hash_bytes(key.bytes, key.size, seed), buckets)
            == HOME)
        {
            puts[found++] = (struct entry){key, {SLICE(""), VALUE_NONE}};
        }
    }
    struct changes changes = {.puts = puts, .put_count = CROWD};
    CHECK_EQUAL(step_of(&layers, &changes), STEP_COPY);
    // Others, and as many, are no trouble.
    for (int i = 0; i < CROWD; i++) {
        snprintf(keys[i], sizeof(keys[i]), "x%08d", i);
    }
    CHECK_EQUAL(step_of(&layers, &changes), STEP_APPEND);
    layers_destroy(&layers);
    free(entries);
    free(names);
}

/* Another writer's references may count larger units. */
static void
test_base_of_another_writer_is_copied(void)
{
    static const uint64_t references[] = {0};
    unsigned char record[64] = {0x00, 0x02, 'a'};
    for (int shift = 0; shift < 2; shift++) {
        struct image image =
            image_by_hand((struct slice){record, sizeof(record)}, references,
                          1, 4, (uint8_t)shift);
        struct layers layers = {.file = image_create(image.size + 4096)};
        memcpy(layers.file.bytes, image.bytes, image.size);
        image_header(&layers.file)->limit = layers.file.size;
        snapshot_header_seal(image_header(&layers.file));
        struct version version = layers_version(&layers);
        struct delta_plan plan;
        CHECK_STATUS(delta_plan(&plan, &version.base, 1, 0, NULL, 0),
                     shift == 0 ? STATUS_OK : STATUS_TOO_LARGE);
        struct entry put = {SLICE("b"), {SLICE(""), VALUE_NONE}};
        struct changes changes = {.puts = &put, .put_count = 1};
        CHECK_EQUAL(step_of(&layers, &changes), STEP_COPY);
        layers_destroy(&layers);
        image_destroy(&image);
    }
}

/* A head cannot lead further than to 128 GiB of a room. */
static void
test_room_ends_where_no_head_leads_to(void)
{
    struct layers layers = begin(&flavours[3]);
    layers_append(&layers, change(0, 100, "old"), OLD);
    struct version version = layers_version(&layers);
    const struct changes *changes = change(0, 3, "new");
    struct version_update update;
    const uint64_t most = ((UINT64_C(1) << 31) - 1) * 64;
    version.base.header.limit = INT64_MAX - 63;
    for (int i = 0; i < 2; i++) {
        version.deltas[0].end = most - 4096 + 4032 * (uint64_t)i;
        CHECK_STATUS(version_update_prepare(&update, &version, changes,
                                            &identity, COPY_IF_NEEDED, NULL),
                     STATUS_OK);
        CHECK_EQUAL(update.step, i == 0 ? STEP_APPEND : STEP_COPY);
        CHECK(i == 1 || delta_begin(update.head) == version.deltas[0].end);
        version_update_release(&update);
    }
    // Nor does one that leads elsewhere by being too large for its 31 bits.
    struct delta delta;
    CHECK_STATUS(delta_open(&delta, &version.base, layers.head, UINT64_MAX),
                 STATUS_OK);
    layers_delta(&layers, layers.head)->size = most + 64;
    delta_seal_header(layers_delta(&layers, layers.head));
    CHECK_STATUS(delta_open(&delta, &version.base, layers.head, UINT64_MAX),
                 STATUS_BAD_DELTA);
    layers_destroy(&layers);
}

/* ---- sizes --------------------------------------------------------------- */

static void
test_sizes_that_no_delta_has_are_refused(void)
{
    struct delta_layout layout;
    CHECK(delta_layout_fill(&layout, 1, 1, 4));
    CHECK_EQUAL(layout.sorted_index, 192);
    CHECK_EQUAL(layout.ranks, 256);
    CHECK_EQUAL(layout.hash_index, 320);
    CHECK(delta_layout_fill(&layout, UINT64_C(1) << 56, 0, 8));
    CHECK(delta_layout_fill(&layout, 0, UINT64_C(1) << 56, 8));
    CHECK(!delta_layout_fill(&layout, (UINT64_C(1) << 56) + 1, 0, 4));
    CHECK(!delta_layout_fill(&layout, 0, (UINT64_C(1) << 56) + 1, 4));
}

static void
test_narrow_references_end_at_four_gibibytes(void)
{
    static const struct delta_entry entry = {
        .entry = {SLICE("key"), {SLICE(""), VALUE_NONE}},
        .record = RECORD_NEW,
    };
    for (int is_wide = 0; is_wide < 2; is_wide++) {
        struct layers layers = begin(&flavours[is_wide]);
        struct version version = layers_version(&layers);
        struct delta_plan plan;
        CHECK_STATUS(delta_plan(&plan, &version.base, BASE_COUNT,
                                UINT32_MAX - 63 - 320, &entry, 1),
                     STATUS_OK);
        enum status beyond = is_wide ? STATUS_OK : STATUS_TOO_LARGE;
        CHECK_STATUS(delta_plan(&plan, &version.base, BASE_COUNT,
                                UINT32_MAX - 63, &entry, 1),
                     beyond);
        CHECK_STATUS(
            delta_plan(&plan, &version.base, UINT32_MAX, 0, &entry, 1),
            beyond);
        layers_destroy(&layers);
    }
}

/* None of the bytes is looked at before the size is known. */
static void
test_records_beyond_all_bounds_are_too_large(void)
{
    static const unsigned char byte = 0;
    struct delta_entry entries[2] = {
        {.entry = {SLICE("a"), {{&byte, (size_t)1 << 50}, VALUE_STR}},
         .record = RECORD_NEW},
    };
    entries[1] = entries[0];
    struct layers layers = begin(&flavours[1]);
    struct version version = layers_version(&layers);
    struct delta_plan plan;
    CHECK_STATUS(delta_plan(&plan, &version.base, BASE_COUNT, 0, entries, 2),
                 STATUS_TOO_LARGE);
    layers_destroy(&layers);
}

static void
test_more_changes_than_can_be_counted_are_no_memory(void)
{
    struct layers layers = begin_with_deltas(HASH);
    struct version version = layers_version(&layers);
    struct changes changes[] = {
        {.put_count = SIZE_MAX, .removal_count = 1},
        {.put_count = SIZE_MAX},
        {.put_count = SIZE_MAX / 2},
    };
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct version_update update;
        CHECK_STATUS(version_update_prepare(&update, &version, &changes[i],
                                            &identity, COPY_IF_IT_PAYS, NULL),
                     STATUS_NO_MEMORY);
        CHECK(update.bytes == NULL);
        version_update_release(&update);
    }
    layers_destroy(&layers);
}

/* ---- failures ------------------------------------------------------------ */

static void
test_update_without_memory_leaves_nothing_behind(void)
{
    for (int i = 0; i < 2 * FLAVOUR_COUNT; i++) {
        const struct snapshot_options *options = &flavours[i / 2];
        bool folds = i % 2 == 1;
        struct layers layers = begin_with_deltas(options);
        if (folds) {
            make_fold_due(&layers);
        }
        struct version version = layers_version(&layers);
        const struct changes *changes = change(2000, 3, "new");
        CHECK_EQUAL(is_fold(&layers, changes), folds);
        // Young entries, bytes, references; entries of the fold; hashes.
        long expected = 3 + folds + (options->index == INDEX_HASH);
        for (long successes = 0;; successes++) {
            struct version_update update;
            memory_fail_after(successes, false);
            enum status status = version_update_prepare(
                &update, &version, changes, &identity, COPY_IF_IT_PAYS, NULL);
            memory_fail_after(-1, false);
            if (status == STATUS_OK) {
                CHECK_EQUAL(successes, expected);
                CHECK_EQUAL(update.step, STEP_APPEND);
                version_update_release(&update);
                break;
            }
            CHECK_STATUS(status, STATUS_NO_MEMORY);
            CHECK_EQUAL(memory_outstanding(), 0);
            CHECK(update.bytes == NULL);
        }
        layers_destroy(&layers);
    }
}

/* Fills how many questions were asked when `run` was not interrupted. */
static int
interrupt_each_question(const struct version *version,
                        enum status (*run)(const struct version *version,
                                           const struct interrupt *interrupt))
{
    for (int at = 1;; at++) {
        int left = at;
        struct interrupt interrupt = {.is_due = is_due_at_last,
                                      .context = &left};
        enum status status = run(version, &interrupt);
        CHECK_EQUAL(memory_outstanding(), 0);
        if (status == STATUS_OK) {
            CHECK(left > 0);
            return at - 1;
        }
        CHECK_STATUS(status, STATUS_INTERRUPTED);
        CHECK_EQUAL(left, 0);
    }
}

static enum status
prepare_under(const struct version *version, const struct interrupt *interrupt)
{
    struct version_update update;
    enum status status =
        version_update_prepare(&update, version, &script.changes, &identity,
                               COPY_IF_IT_PAYS, interrupt);
    CHECK_EQUAL(update.bytes != NULL, status == STATUS_OK);
    version_update_release(&update);
    return status;
}

static enum status
merge_under(const struct version *version, const struct interrupt *interrupt)
{
    static struct entry merged[2 * BASE_COUNT];
    size_t count;
    bool is_changed;
    return merge_changes(version, &script.changes, merged, &count, &is_changed,
                         interrupt);
}

static void
test_each_question_may_be_answered_by_an_interrupt(void)
{
    struct layers layers = begin(HASH);
    layers_append(&layers, change(0, 1030, "old"), OLD);
    layers_append(&layers, change(900, 200, "young"), YOUNG);
    make_fold_due(&layers);
    struct version version = layers_version(&layers);
    (void)change(20, 1000, "new");
    // 1,080 entries of changes and young, 1,100 of these and old; one question
    // for 256 of them.
    CHECK_EQUAL(interrupt_each_question(&version, prepare_under), 4 + 4);
    CHECK_EQUAL(interrupt_each_question(&version, merge_under), 9);
    // Blocks of the base, and each delta.
    int blocks = (int)(image_header(&layers.file)->total_size / 65536) + 1;
    CHECK_EQUAL(interrupt_each_question(&version, version_verify_checksum),
                blocks + 2);
    int questions = interrupt_each_question(&version, version_verify);
    CHECK(questions > blocks + 2 + 9);
    layers_destroy(&layers);
}

/* ---- damage -------------------------------------------------------------- */

static void
check_refused(const struct layers *layers, const struct changes *changes,
              enum status expected)
{
    struct version version = layers_version(layers);
    struct version_update update;
    CHECK_STATUS(version_update_prepare(&update, &version, changes, &identity,
                                        COPY_IF_IT_PAYS, NULL),
                 expected);
    CHECK(update.bytes == NULL);
    version_update_release(&update);
}

/* What is copied gets a checksum that fits it, so it must be right. */
static void
test_delta_with_another_checksum_is_not_copied(void)
{
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        struct layers layers = begin_with_deltas(&flavours[i]);
        struct version version = layers_version(&layers);
        for (int number = 0; number < 2; number++) {
            const struct delta *delta = &version.deltas[number];
            // A byte of a value: no other check would find it.
            unsigned char *byte =
                layers_room(&layers, delta->begin) + DELTA_HEADER_SIZE + 16;
            *byte ^= 1;
            const struct changes *changes = change(2000, 3, "new");
            // The old one is only searched where it is not folded.
            if (number == 0) {
                CHECK_EQUAL(step_of(&layers, changes), STEP_APPEND);
                make_fold_due(&layers);
            }
            check_refused(&layers, changes, STATUS_BAD_CHECKSUM);
            *byte ^= 1;
        }
        layers_destroy(&layers);
    }
}

/* Sealed, so that it is found where it is read. */
static void
test_reference_that_leads_nowhere_is_an_error(void)
{
    for (int number = 0; number < 2; number++) {
        struct layers layers = begin_with_deltas(TREE);
        make_fold_due(&layers);
        struct version version = layers_version(&layers);
        const struct delta *delta = &version.deltas[number];
        unsigned char *bytes = layers_room(&layers, delta->begin);
        struct delta_layout layout;
        CHECK(delta_layout_fill(&layout, delta->view.entry_count,
                                delta->header.records_size, 4));
        for (uint64_t at = 0; at < 2; at++) {
            // The first entry, and one that is searched for.
            uint64_t index = at == 0 ? 0 : delta->view.entry_count / 2;
            unsigned char saved[4];
            unsigned char *reference = bytes + layout.sorted_index + 4 * index;
            memcpy(saved, reference, 4);
            memset(reference, 0xFF, 4);
            delta_seal(bytes);
            check_refused(&layers, change(20, 1000, "new"),
                          STATUS_BAD_REFERENCE);
            memcpy(reference, saved, 4);
            delta_seal(bytes);
        }
        layers_destroy(&layers);
    }
}

/* A tombstone that says of itself that its key was not there. */
static void
test_tombstone_of_an_absent_key_is_not_copied(void)
{
    struct layers layers = begin(TREE);
    layers_append(&layers, change(2, 1, ""), OLD);
    struct version version = layers_version(&layers);
    unsigned char *bytes = layers_room(&layers, 0);
    struct delta_layout layout;
    CHECK(delta_layout_fill(&layout, 1, version.deltas[0].header.records_size,
                            4));
    // The rank behind it: one less for the key that is gone.
    uint32_t rank = BASE_COUNT;
    memcpy(bytes + layout.ranks + 12, &rank, 4);
    ((struct delta_header *)bytes)->length = BASE_COUNT;
    delta_seal(bytes);
    version = layers_version(&layers);
    CHECK_STATUS(version_verify(&version, NULL), STATUS_BAD_RANK);
    struct delta_entry entries[2];
    size_t count;
    CHECK_STATUS(delta_fold(&version, NULL, 0, entries, &count, NULL),
                 STATUS_BAD_RANK);
    layers_destroy(&layers);
}

static const struct test tests[] = {
    TEST(test_change_of_nothing_is_no_step),
    TEST(test_first_delta_lies_over_the_base),
    TEST(test_young_deltas_are_written_until_a_fold_is_cheaper),
    TEST(test_first_container_is_a_copy),
    TEST(test_more_than_an_eighth_is_a_copy_and_more_than_a_tenth_is_full),
    TEST(test_room_that_is_used_up_is_a_copy),
    TEST(test_room_ends_where_no_head_leads_to),
    TEST(test_keys_that_cannot_be_spread_are_a_copy),
    TEST(test_base_of_another_writer_is_copied),
    TEST(test_sizes_that_no_delta_has_are_refused),
    TEST(test_narrow_references_end_at_four_gibibytes),
    TEST(test_records_beyond_all_bounds_are_too_large),
    TEST(test_more_changes_than_can_be_counted_are_no_memory),
    TEST(test_update_without_memory_leaves_nothing_behind),
    TEST(test_each_question_may_be_answered_by_an_interrupt),
    TEST(test_delta_with_another_checksum_is_not_copied),
    TEST(test_reference_that_leads_nowhere_is_an_error),
    TEST(test_tombstone_of_an_absent_key_is_not_copied),
};

int
main(int count, char **words)
{
    return RUN_TESTS(tests, count, words);
}
