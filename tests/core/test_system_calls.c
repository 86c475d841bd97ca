/* tests/core/test_system_calls.c
 *
 * Each call of the system that opening, publishing, updating or removing
 * makes fails once: that is an error with the errno of the call, or it does
 * not matter; and nothing is left open or mapped.
 *
 * Not here: updates of maps that have room for deltas; see test_update_calls.c.
 * What of a saved file reaches the disk when; see test_segment_faults.c. Listing
 * and watching; see test_directory_calls.c. What the core makes of certain
 * errors; see test_system_answers.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/faults.h"

#include "core/check.h"
#include "core/files.h"
#include "core/segment/segment.h"
#include "core/update.h"

enum { PAGE = 4096, LARGE = 3 << 20 };

static const char ALL_CALLS[] = "oamwrsktpdLRg";

/* A map of so many bytes, or a few more, that are all the same. */
static enum status
publish_large(const char *path, const struct publish_options *options,
              size_t size, int byte)
{
    struct image value = image_create(size);
    memset(value.bytes, byte, size);
    struct entry entry = {SLICE("number"), {{value.bytes, size}, VALUE_BYTES}};
    struct snapshot_plan plan;
    CHECK_STATUS(publish_plan(&plan, &entry, 1, TREE), STATUS_OK);
    enum status status = publish_to_segment(&plan, path, options);
    image_destroy(&value);
    return status;
}

static void
check_large(const struct segment *segment, size_t size, int byte)
{
    struct snapshot view;
    struct entry entry;
    CHECK_STATUS(snapshot_open(&view, segment->bytes, segment->size),
                 STATUS_OK);
    CHECK_STATUS(snapshot_verify(&view, NULL), STATUS_OK);
    CHECK_STATUS(snapshot_at(&view, 0, &entry), STATUS_OK);
    CHECK_EQUAL(entry.value.bytes.size, size);
    CHECK_EQUAL(entry.value.bytes.bytes[size - 1], byte);
}

/* ---- opening ------------------------------------------------------------ */

/* The letters of the calls, each of which failed once. */
static const char *
fail_each_call_of_opening(const char *path)
{
    static char failed[64];
    for (long left = 0;; left++) {
        struct segment segment = SEGMENT_EMPTY;
        long pages = mapped_pages;
        int descriptors = count_descriptors();
        fail_only(ALL_CALLS, left, EIO);
        enum status status = segment_open(&segment, path, STRICT, NULL);
        int error = errno;
        failed[left] = faults.failed;
        faults_reset();
        CHECK_EQUAL(count_descriptors(), descriptors);
        if (failed[left] == 0) {
            CHECK_STATUS(status, STATUS_OK);
            segment_close(&segment);
            CHECK_EQUAL(mapped_pages, pages);
            return failed;
        }
        CHECK_STATUS(status, STATUS_SYSTEM);
        CHECK_EQUAL(error, EIO);
        CHECK(segment.bytes == NULL);
        CHECK_EQUAL(mapped_pages, pages);
    }
}

static void
test_failure_of_any_call_while_opening_is_an_error(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    // The file, its kind and owner, its header, its pages.
    CHECK_EQUAL(strcmp(fail_each_call_of_opening(path), "osrp"), 0);
    CHECK_STATUS(publish_large(path, &FORCED, LARGE, 1), STATUS_OK);
    // A large one is mapped to where room has been reserved.
    CHECK_EQUAL(strcmp(fail_each_call_of_opening(path), "osrpp"), 0);
    // What is mapped already is not mapped again.
    struct segment segment = open_segment(path);
    CHECK_EQUAL(strcmp(fail_each_call_of_opening(path), "osr"), 0);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Only a child that is forked at this very moment would keep memory. */
static void
test_failure_to_keep_from_children_what_is_closed_is_none(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    long pages = mapped_pages;
    struct segment segment = open_segment(path);
    fail_only("d", 0, ENOMEM);
    errno = EIO;
    segment_close(&segment);
    CHECK_EQUAL(faults.failed, 'd');
    CHECK_EQUAL(errno, EIO);
    CHECK_EQUAL(mapped_pages, pages);
    faults_reset();
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_refusal_to_open_has_the_status_of_its_error(void)
{
    static const struct {
        int error;
        enum status status;
    } cases[] = {
        {ENOENT, STATUS_NAME_ABSENT}, {ELOOP, STATUS_NOT_REGULAR},
        {EISDIR, STATUS_NOT_REGULAR}, {EMFILE, STATUS_SYSTEM},
        {ENXIO, STATUS_SYSTEM},       {ENODEV, STATUS_SYSTEM},
        {EACCES, STATUS_SYSTEM},
    };
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct holder holder;
        fail_only("o", 0, cases[i].error);
        CHECK_STATUS(status_of_open(path), cases[i].status);
        fail_only("o", 0, cases[i].error);
        CHECK_STATUS(holder_lock(&holder, path, NULL), cases[i].status);
        CHECK_EQUAL(errno, cases[i].error);
    }
    faults_reset();
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Whoever opens has no interrupt: it is told of the signal, and opens again. */
static void
test_interruption_of_any_call_while_opening_is_told(void)
{
    static const char letters[] = "osr";
    const char *path = scratch_path("map");
    struct segment segment = SEGMENT_EMPTY;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    int descriptors = count_descriptors();
    for (long left = 0; left < 3; left++) {
        fail_only(letters, left, EINTR);
        CHECK_STATUS(segment_open(&segment, path, STRICT, NULL),
                     STATUS_INTERRUPTED);
        CHECK_EQUAL(faults.failed, letters[left]);
        CHECK_EQUAL(count_descriptors(), descriptors);
    }
    faults_reset();
    check_published(path, 1, 1);
    segment = open_segment(path);
    fail_only("t", 0, EINTR);
    CHECK_STATUS(segment_check_current(&segment, path, STRICT),
                 STATUS_INTERRUPTED);
    segment_close(&segment);
    faults_reset();
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* For whoever runs this: files of other users are made by root in
 * test_segment.c. */
static void
test_owner_is_believed_who_is_oneself_or_root_or_named(void)
{
    enum { ROOT = 0, ALICE = 41001, BOB = 41002 };
    static const struct open_options named = {.has_owner = true,
                                              .owner = ALICE};
    static const struct {
        uid_t user, owner;
        enum status status, status_if_named;
    } cases[] = {
        {ROOT, ROOT, STATUS_OK, STATUS_OK},
        {ROOT, ALICE, STATUS_FOREIGN_OWNER, STATUS_OK},
        {ROOT, BOB, STATUS_FOREIGN_OWNER, STATUS_FOREIGN_OWNER},
        {BOB, ROOT, STATUS_OK, STATUS_OK},
        {BOB, ALICE, STATUS_FOREIGN_OWNER, STATUS_OK},
        {BOB, BOB, STATUS_OK, STATUS_OK},
        {ALICE, BOB, STATUS_FOREIGN_OWNER, STATUS_FOREIGN_OWNER},
    };
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct segment segment = SEGMENT_EMPTY;
        struct holder holder;
        faults_reset();
        faults.is_masked = true;
        faults.user = cases[i].user;
        faults.owner = cases[i].owner;
        CHECK_STATUS(segment_open(&segment, path, STRICT, NULL),
                     cases[i].status);
        segment_close(&segment);
        CHECK_STATUS(segment_open(&segment, path, named, NULL),
                     cases[i].status_if_named);
        segment_close(&segment);
        // To replace it is for nobody else, not even for root.
        CHECK_STATUS(holder_lock(&holder, path, NULL),
                     cases[i].user == cases[i].owner ? STATUS_OK
                                                     : STATUS_FOREIGN_OWNER);
        holder_close(&holder);
    }
    faults_reset();
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Wherever the system has room for it. */
static void
test_large_map_begins_at_a_huge_page_and_takes_no_more_than_itself(void)
{
    static const size_t huge_page = 2 << 20;
    static const size_t offsets[] = {0, PAGE, (2 << 20) - PAGE};
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_large(path, &FORCED, LARGE, 7), STATUS_OK);
    size_t room = 4 * huge_page;
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        void *free_room =
            mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(free_room != MAP_FAILED);
        uintptr_t place =
            ((uintptr_t)free_room + huge_page - 1) / huge_page * huge_page;
        CHECK_EQUAL(munmap(free_room, room), 0);
        long pages = mapped_pages;
        faults_reset();
        faults.place = place + offsets[i];
        struct segment segment = open_segment(path);
        faults_reset();
        uintptr_t expected = offsets[i] == 0 ? place : place + huge_page;
        CHECK_EQUAL((uintptr_t)segment.bytes, expected);
        CHECK_EQUAL(mapped_pages - pages, pages_of(segment.size));
        check_large(&segment, LARGE, 7);
        segment_close(&segment);
        CHECK_EQUAL(mapped_pages, pages);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- publishing, updating, removing -------------------------------------- */

static const struct entry put = {SLICE("number"), {SLICE("2"), VALUE_STR}};

static enum status
publish_over(const char *path)
{
    struct snapshot_plan plan;
    enum status status = publish_plan(&plan, &put, 1, TREE);
    return status != STATUS_OK ? status
                               : publish_to_segment(&plan, path, &FORCED);
}

static enum status
update_over(const char *path)
{
    // The segment that is open has mapped the bytes that it reads.
    struct publish_update update = {
        .changes = {.puts = &put, .put_count = 1},
        .label = SLICE(""),
    };
    return publish_update(&update, path);
}

/* A map that is marked may still have its name. */
static void
check_found(const char *path, int number)
{
    struct segment segment = open_segment(path);
    CHECK_EQUAL(number_in(&segment), number);
    segment_close(&segment);
}

/* Fails each call of `run` on map 1, until one succeeds. The old map stays;
 * but a call with a minus before it changes nothing by its failure. */
static void
fail_each_call(enum status (*run)(const char *path), const char *calls)
{
    const char *path = scratch_path("map");
    for (long left = 0, is_end = 0; !is_end; left++, calls++) {
        bool is_error = *calls != '-' && *calls != '\0';
        calls += *calls == '-';
        is_end = *calls == '\0';
        faults_reset();
        CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
        struct segment old = open_segment(path);
        long pages = mapped_pages;
        int descriptors = count_descriptors();
        long outstanding = memory_outstanding();
        fail_only(ALL_CALLS, left, EIO);
        errno = 0;
        enum status status = run(path);
        int error = errno;
        char letter = faults.failed;
        faults_reset();
        CHECK_EQUAL(letter, *calls);
        CHECK_EQUAL(count_descriptors(), descriptors);
        CHECK_EQUAL(memory_outstanding(), outstanding);
        CHECK_EQUAL(mapped_pages, pages);
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_EQUAL(number_in(&old), 1);
        CHECK_STATUS(status, is_error ? STATUS_SYSTEM : STATUS_OK);
        CHECK(!is_error || error == EIO);
        CHECK_EQUAL(segment_is_superseded(&old), !is_error || letter == 'R');
        segment_close(&old);
        check_found(path, is_error ? 1 : 2);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    }
}

static void
test_failure_of_any_call_of_a_publication_is_an_error_or_is_none(void)
{
    // Who it is; draft: open, reserve, mode, contents, header; holder: open,
    // kind and owner, header, pages, none for children, lock, name; header,
    // lock of the draft, link, rename, and its lock is given back. Then the
    // holder and the draft are let go.
    fail_each_call(publish_over, "goamwwosrpdktw-kLR-k-k-p-d-p-d");
}

static void
test_failure_of_any_call_of_an_update_is_an_error_or_is_none(void)
{
    fail_each_call(update_over, "osrpdktsgoamwww-kLR-k-p-d-k");
}

static void
test_failure_of_any_call_of_a_removal_is_an_error_or_is_none(void)
{
    static const char letters[] = "osrpdktu";
    const char *path = scratch_path("map");
    for (size_t left = 0; left < strlen(letters); left++) {
        CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
        struct segment old = open_segment(path);
        long pages = mapped_pages;
        int descriptors = count_descriptors();
        // The second file that is opened would only be a leftover.
        fail_only("osrpdktu", (long)left + (letters[left] == 'u'), EIO);
        enum status status = segment_remove(path, NULL);
        int error = errno;
        char letter = faults.failed;
        faults_reset();
        CHECK_EQUAL(letter, letters[left]);
        CHECK_STATUS(status, STATUS_SYSTEM);
        CHECK_EQUAL(error, EIO);
        CHECK_EQUAL(count_descriptors(), descriptors);
        CHECK_EQUAL(mapped_pages, pages);
        CHECK_EQUAL(segment_is_superseded(&old), letter == 'u');
        segment_close(&old);
        check_found(path, 1);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
        CHECK_EQUAL(scratch_file_count(), 0);
    }
}

/* Or a child would keep the file, and with it the lock. */
static void
test_holder_is_not_mapped_if_children_would_have_it_too(void)
{
    const char *path = scratch_path("map");
    struct segment segment = SEGMENT_EMPTY;
    struct holder holder;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    long pages = mapped_pages;
    fail_only("d", 0, EINVAL);
    CHECK_STATUS(holder_map(&holder, path, &segment), STATUS_SYSTEM);
    faults_reset();
    CHECK(segment.bytes == NULL);
    CHECK_EQUAL(mapped_pages, pages);
    holder_close(&holder);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_removal_succeeds_though_a_leftover_cannot_be_cleared(void)
{
    const char *path = scratch_path("map");
    const char *leftover = scratch_path("map~");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    write_file(leftover, "left", 4);
    fail_only("u", 0, EPERM);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_EQUAL(faults.failed, 'u');
    faults_reset();
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_EQUAL(unlink(leftover), 0);
}

/* Of space, of inodes, or of what a user may have of them. */
static void
test_want_of_space_has_a_status_of_its_own(void)
{
    static const int errors[] = {ENOSPC, EDQUOT};
    static const char *const calls[] = {"o", "a", "w", "L", "R"};
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 5; j++) {
            fail_only(calls[j], 0, errors[i]);
            CHECK_STATUS(publish_over(path), STATUS_NO_SPACE);
            CHECK_EQUAL(errno, errors[i]);
            CHECK_EQUAL(faults.failed, *calls[j]);
            faults_reset();
            CHECK_EQUAL(scratch_file_count(), 1);
        }
    }
    check_found(path, 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_space_of_what_does_not_tell_is_none(void)
{
    const char *path = scratch_path("map");
    CHECK(segment_space(path) > 0);
    fail_only("v", 0, EACCES);
    CHECK_EQUAL(segment_space(path), 0);
    faults_reset();
}

/* ---- locking ------------------------------------------------------------- */

static void
test_lock_that_is_held_or_interrupted_is_tried_again(void)
{
    static const int errors[] = {EAGAIN, EACCES, EINTR};
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        fail_only("k", 0, errors[i]);
        CHECK_STATUS(publish_over(path), STATUS_OK);
        CHECK_EQUAL(faults.failed, 'k');
        faults_reset();
    }
    check_published(path, 2, 4);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_file_system_without_locks_is_an_error(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    fail_only("k", 0, ENOLCK);
    CHECK_STATUS(publish_over(path), STATUS_SYSTEM);
    CHECK_EQUAL(errno, ENOLCK);
    faults_reset();
    check_published(path, 1, 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* It went, or another one came, between opening the file and locking it; on
 * another device a file may have the same number. */
static void
test_name_that_moved_on_meanwhile_is_looked_up_again(void)
{
    static const int errors[] = {ENOENT, 0};
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        int descriptors = count_descriptors();
        fail_only("t", 0, errors[i]);
        struct holder holder;
        CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
        CHECK_EQUAL(faults.failed, 't');
        // Again after a pause, and again under the lock.
        CHECK_EQUAL(strcmp(faults.calls, "tt"), 0);
        CHECK_EQUAL(holder.generation, 1);
        holder_close(&holder);
        faults_reset();
        CHECK_EQUAL(count_descriptors(), descriptors);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Each time the name is free, and when it is to be taken it is not. */
static void
test_patience_with_those_who_are_always_faster_ends(void)
{
    const char *path = scratch_path("map");
    fail_only("L", 0, EEXIST);
    faults.is_endless = true;
    faults.hurry = 1;
    CHECK_STATUS(publish_over(path), STATUS_LOCK_TIMEOUT);
    faults_reset();
    CHECK_EQUAL(scratch_file_count(), 0);
}

/* The 5 seconds are for the lock. */
static void
test_time_that_the_disk_takes_is_no_time_of_waiting_for_the_lock(void)
{
    const char *path = scratch_path("map");
    struct snapshot_plan plan;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK_STATUS(publish_plan(&plan, &put, 1, TREE), STATUS_OK);
    fail_only("k", 0, EAGAIN);
    faults.sync_time = 60;
    CHECK_STATUS(publish_to_segment(&plan, path, &DURABLE), STATUS_OK);
    CHECK_EQUAL(faults.failed, 'k');
    faults_reset();
    check_found(path, 2);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- temporary names ------------------------------------------------------ */

static void
test_squatted_temporary_name_without_another_is_an_error(void)
{
    const char *path = scratch_path("map");
    const char *squatter = scratch_path("map~");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK_EQUAL(mkdir(squatter, 0700), 0);
    // The unique id comes first; then the digits, and their link.
    fail_only("g", 1, EIO);
    CHECK_STATUS(publish_over(path), STATUS_SYSTEM);
    CHECK_EQUAL(errno, EIO);
    fail_only("L", 1, EIO);
    CHECK_STATUS(publish_over(path), STATUS_SYSTEM);
    CHECK_EQUAL(errno, EIO);
    CHECK_EQUAL(faults.failed, 'L');
    faults_reset();
    CHECK_EQUAL(scratch_file_count(), 2);
    check_published(path, 1, 1);
    CHECK_EQUAL(rmdir(squatter), 0);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_named_draft_without_a_random_name_is_an_error(void)
{
    struct draft draft;
    fail_only("g", 0, ENOSYS);
    faults.tmpfile_error = EOPNOTSUPP;
    CHECK_STATUS(draft_create(&draft, scratch_path("map"), 64, &UNFORCED),
                 STATUS_SYSTEM);
    CHECK_EQUAL(errno, ENOSYS);
    faults_reset();
    CHECK(draft.temporary == NULL);
    CHECK_EQUAL(scratch_file_count(), 0);
    draft_close(&draft);
}

static void
test_interrupted_random_bytes_are_asked_for_again(void)
{
    unsigned char id[16];
    fail_only("g", 0, EINTR);
    CHECK_STATUS(segment_unique_id(id), STATUS_OK);
    CHECK_EQUAL(faults.failed, 'g');
    faults_reset();
}

/* ---- huge pages ----------------------------------------------------------- */

/* They are a wish: what comes of it depends on the system. */
static void
test_map_that_asks_for_huge_pages_is_whole_with_and_without_them(void)
{
    static const char *const failing[] = {"", "p", "d"};
    struct publish_options options = FORCED;
    const char *path = scratch_path("map");
    options.huge_pages = true;
    for (int i = 0; i < 3; i++) {
        long pages = mapped_pages;
        fail_only(failing[i], 0, ENOMEM);
        CHECK_STATUS(publish_large(path, &options, LARGE, i), STATUS_OK);
        CHECK_EQUAL(faults.failed, *failing[i]);
        faults_reset();
        CHECK_EQUAL(mapped_pages, pages);
        struct segment segment = open_segment(path);
        check_large(&segment, LARGE, i);
        segment_close(&segment);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static int forked_after_advice;

/* What is mapped here is nothing in a child that is forked now. */
static void
check_child_has_not(void *bytes, int advice)
{
    if (advice == MADV_DONTFORK) {
        return;
    }
    pid_t child = start_child();
    if (child == 0) {
        CHECK_EQUAL(msync(bytes, PAGE, MS_ASYNC), -1);
        CHECK_EQUAL(errno, ENOMEM);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    forked_after_advice += 1;
}

static void
test_child_that_is_forked_meanwhile_does_not_keep_the_draft(void)
{
    const char *path = scratch_path("map");
    struct publish_options options = FORCED;
    struct snapshot_plan plan;
    options.huge_pages = true;
    CHECK_STATUS(publish_plan(&plan, &put, 1, TREE), STATUS_OK);
    faults_reset();
    faults.advised = check_child_has_not;
    CHECK_STATUS(publish_to_segment(&plan, path, &options), STATUS_OK);
    faults_reset();
    CHECK_EQUAL(forked_after_advice, 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_map_that_could_not_be_written_gets_no_huge_pages(void)
{
    struct publish_options options = FORCED;
    const char *path = scratch_path("map");
    options.huge_pages = true;
    fail_only("w", 0, ENOSPC);
    CHECK_STATUS(publish_large(path, &options, LARGE, 1), STATUS_NO_SPACE);
    faults_reset();
    CHECK_EQUAL(scratch_file_count(), 0);
}

static const struct test tests[] = {
    TEST_LINUX(test_failure_of_any_call_while_opening_is_an_error),
    TEST(test_failure_to_keep_from_children_what_is_closed_is_none),
    TEST(test_refusal_to_open_has_the_status_of_its_error),
    TEST(test_interruption_of_any_call_while_opening_is_told),
    TEST(test_owner_is_believed_who_is_oneself_or_root_or_named),
    TEST_LINUX(
        test_large_map_begins_at_a_huge_page_and_takes_no_more_than_itself),
    TEST_LINUX(
        test_failure_of_any_call_of_a_publication_is_an_error_or_is_none),
    TEST_LINUX(test_failure_of_any_call_of_an_update_is_an_error_or_is_none),
    TEST(test_failure_of_any_call_of_a_removal_is_an_error_or_is_none),
    TEST(test_holder_is_not_mapped_if_children_would_have_it_too),
    TEST(test_removal_succeeds_though_a_leftover_cannot_be_cleared),
    TEST_LINUX(test_want_of_space_has_a_status_of_its_own),
    TEST(test_space_of_what_does_not_tell_is_none),
    TEST(test_lock_that_is_held_or_interrupted_is_tried_again),
    TEST_LINUX(test_file_system_without_locks_is_an_error),
    TEST(test_name_that_moved_on_meanwhile_is_looked_up_again),
    TEST(test_patience_with_those_who_are_always_faster_ends),
    TEST(test_time_that_the_disk_takes_is_no_time_of_waiting_for_the_lock),
    TEST_LINUX(test_squatted_temporary_name_without_another_is_an_error),
    TEST_LINUX(test_named_draft_without_a_random_name_is_an_error),
    TEST_LINUX(test_interrupted_random_bytes_are_asked_for_again),
    TEST(test_map_that_asks_for_huge_pages_is_whole_with_and_without_them),
    TEST_LINUX(test_child_that_is_forked_meanwhile_does_not_keep_the_draft),
    TEST(test_map_that_could_not_be_written_gets_no_huge_pages),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
