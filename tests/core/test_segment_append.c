/* tests/core/test_segment_append.c
 *
 * Versions that are written behind the present one of a file: what readers of
 * it notice, what is left of one that failed, and who may write the next.
 *
 *     | header, head | base | delta | delta | bytes of one that was killed |
 *
 * Not here: each call of the system that fails, in test_update_calls.c; what is
 * in the deltas, in test_version.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/faults.h"

#include <sched.h>
#include <sys/mount.h>

#include "core/check.h"
#include "core/files.h"
#include "core/snapshot/delta.h"

/* What the path leads to now. */
static void
check_version(const char *path, int number, uint64_t generation,
              bool has_deltas)
{
    struct segment segment = open_segment(path);
    struct version version = version_of_segment(&segment);
    CHECK_EQUAL(number_in(&segment), number);
    CHECK_EQUAL(version.generation, generation);
    CHECK_EQUAL(version.delta_count > 0, has_deltas);
    CHECK_EQUAL(version.entry_count, ROOMY_COUNT + 1);
    segment_close(&segment);
}

static uint32_t
head_of(const char *path)
{
    struct segment segment = open_segment(path);
    uint32_t head = segment.head;
    segment_close(&segment);
    return head;
}

/* Where the newest delta ends, in the file. */
static uint64_t
end_of(const char *path)
{
    struct segment segment = open_segment(path);
    struct version version = version_of_segment(&segment);
    segment_close(&segment);
    return version_size(&version);
}

/* ---- the file ----------------------------------------------------------- */

static void
test_update_is_written_behind_the_present_version(void)
{
    const char *path = scratch_path("map");
    for (int i = 0; i < FLAVOUR_COUNT; i++) {
        publish_roomy(path, &flavours[i]);
        struct stat before = stat_of(path);
        for (int number = 2; number < 8; number++) {
            CHECK_STATUS(update_number(path, number, 0), STATUS_OK);
            check_version(path, number, (uint64_t)number, true);
            struct stat after = stat_of(path);
            CHECK_EQUAL(after.st_ino, before.st_ino);
            CHECK_EQUAL(after.st_size, end_of(path));
            // No hole: a read there could find no memory for a page.
            CHECK(after.st_blocks * 512 >= after.st_size);
        }
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    }
}

static void
test_small_map_and_saved_map_have_no_room(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct segment segment = open_segment(path);
    CHECK_EQUAL(header_in(&segment)->limit, 0);
    CHECK_EQUAL(segment.size, stat_of(path).st_size);
    CHECK_STATUS(update_number(path, 2, 0), STATUS_OK);
    CHECK(segment_is_marked(&segment));
    segment_close(&segment);
    check_published(path, 2, 2);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);

    publish_roomy(path, HASH);
    segment = open_segment(path);
    CHECK(header_in(&segment)->limit > header_in(&segment)->total_size);
    CHECK_EQUAL(segment.size, header_in(&segment)->limit);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    // With as many entries, but on a disk.
    publish_roomy_on(path, HASH, &DURABLE);
    segment = open_segment(path);
    CHECK_EQUAL(header_in(&segment)->limit, 0);
    CHECK_EQUAL(segment.size, stat_of(path).st_size);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- readers ------------------------------------------------------------ */

static void
test_reader_advances_without_a_call_of_the_system(void)
{
    const char *path = scratch_path("map");
    publish_roomy(path, HASH);
    struct segment known = open_segment(path), newer = SEGMENT_EMPTY;
    CHECK(!segment_is_superseded(&known));
    CHECK_STATUS(segment_advance(&newer, &known), STATUS_UNCHANGED);
    for (int number = 2; number < 6; number++) {
        long pages = mapped_pages;
        CHECK_STATUS(update_number(path, number, 0), STATUS_OK);
        CHECK_EQUAL(mapped_pages, pages);
        fail_only("", -1, 0);
        CHECK(segment_is_superseded(&known));
        CHECK(!segment_is_marked(&known));
        CHECK_EQUAL(segment_wait(&known, path, INT64_C(1) << 60),
                    WAKE_SUPERSEDED);
        faults.only = "oamwrsktpdLRgfKSvViIe";
        CHECK_STATUS(segment_advance(&newer, &known), STATUS_OK);
        CHECK_EQUAL(strlen(faults.calls), 0);
        faults_reset();
        CHECK(newer.bytes == known.bytes);
        CHECK_EQUAL(number_in(&newer), number);
        CHECK_EQUAL(number_in(&known), number - 1);
        CHECK_STATUS(segment_keep(&newer), STATUS_OK);
        CHECK_STATUS(segment_check_current(&known, path, STRICT), STATUS_OK);
        CHECK_STATUS(segment_check_current(&newer, path, STRICT),
                     STATUS_UNCHANGED);
        segment_close(&known);
        known = newer;
    }
    segment_close(&known);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_opening_what_is_known_finds_its_newest_version(void)
{
    const char *path = scratch_path("map");
    publish_roomy(path, HASH);
    struct segment known = open_segment(path), newer = SEGMENT_EMPTY;
    CHECK_STATUS(segment_open(&newer, path, STRICT, &known), STATUS_UNCHANGED);
    CHECK_STATUS(update_number(path, 2, 0), STATUS_OK);
    CHECK_STATUS(segment_open(&newer, path, STRICT, &known), STATUS_OK);
    CHECK(newer.bytes == known.bytes);
    CHECK_EQUAL(number_in(&newer), 2);
    segment_close(&newer);
    // A mark says that the name is about to lead elsewhere: ask the name.
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK(segment_is_marked(&known));
    CHECK_STATUS(segment_advance(&newer, &known), STATUS_UNCHANGED);
    CHECK_STATUS(segment_open(&newer, path, STRICT, &known),
                 STATUS_NAME_ABSENT);
    segment_close(&known);
}

static void
test_sleeping_reader_is_woken(void)
{
    const char *path = scratch_path("map");
    publish_roomy(path, HASH);
    pid_t child = start_child();
    if (child == 0) {
        struct segment segment = open_segment(path);
        only_events_wake(true);
        CHECK_EQUAL(segment_wait(&segment, path, INT64_C(15000000000)),
                    WAKE_SUPERSEDED);
        struct segment newer = SEGMENT_EMPTY;
        CHECK_STATUS(segment_advance(&newer, &segment), STATUS_OK);
        CHECK_EQUAL(number_in(&newer), 2);
        _exit(0);
    }
    wait_until_asleep(child, child, "futex");
    double begin = now();
    CHECK_STATUS(update_number(path, 2, 0), STATUS_OK);
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK(now() - begin < 10);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* What a child has of its parent's. */
static void
test_child_advances_what_was_kept_and_nothing_else(void)
{
    const char *path = scratch_path("map");
    publish_roomy(path, HASH);
    struct segment kept = open_segment(path), opening = SEGMENT_EMPTY;
    CHECK_STATUS(segment_open(&opening, path, STRICT, NULL), STATUS_OK);
    CHECK(opening.bytes == kept.bytes);
    pid_t child = start_child();
    if (child == 0) {
        struct segment newer = SEGMENT_EMPTY;
        CHECK_STATUS(update_number(path, 2, 0), STATUS_OK);
        CHECK_STATUS(segment_advance(&newer, &opening), STATUS_SYSTEM);
        CHECK_EQUAL(errno, ESTALE);
        CHECK_STATUS(segment_open(&newer, path, STRICT, &opening),
                     STATUS_SYSTEM);
        CHECK_EQUAL(errno, ESTALE);
        CHECK_STATUS(segment_advance(&newer, &kept), STATUS_OK);
        CHECK(newer.bytes == kept.bytes);
        // The one that is closed last unmaps it, and only here.
        segment_close(&kept);
        segment_close(&opening);
        CHECK_EQUAL(number_in(&newer), 2);
        segment_close(&newer);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK_EQUAL(number_in(&kept), 1);
    CHECK_EQUAL(number_in(&opening), 1);
    struct segment newer = SEGMENT_EMPTY;
    CHECK_STATUS(segment_advance(&newer, &opening), STATUS_OK);
    segment_close(&opening);
    segment_close(&kept);
    CHECK_EQUAL(number_in(&newer), 2);
    segment_close(&newer);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- failures ----------------------------------------------------------- */

static void
check_failed(const char *path, enum status status, enum status expected,
             uint64_t size)
{
    faults_reset();
    CHECK_STATUS(status, expected);
    check_version(path, 1, 1, false);
    CHECK((uint64_t)stat_of(path).st_size >= size);
    CHECK_EQUAL(scratch_file_count(), 1);
}

static void
test_space_is_allocated_or_the_present_version_stays(void)
{
    static const int unsupported[] = {EOPNOTSUPP, EINVAL, ENOSYS, EINTR};
    const char *path = scratch_path("map");
    publish_roomy(path, HASH);
    uint64_t size = end_of(path);
    fail_only("a", 0, ENOSPC);
    faults.is_endless = true;
    check_failed(path, update_number(path, 2, 0), STATUS_NO_SPACE, size);
    fail_only("a", 0, EIO);
    check_failed(path, update_number(path, 2, 0), STATUS_SYSTEM, size);
    // Where that cannot be, writing allocates; and a signal is no answer.
    for (int i = 0; i < 4; i++) {
        fail_only("a", 0, unsupported[i]);
        CHECK_STATUS(update_number(path, 2 + i, 0), STATUS_OK);
        CHECK_EQUAL(faults.failed, 'a');
        faults_reset();
        check_version(path, 2 + i, 2 + (uint64_t)i, true);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_signal_that_means_to_stop_ends_an_append(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    const struct interrupt interrupt = {.is_due = is_due_at_once};
    const struct version_update update = {
        .step = STEP_APPEND, .bytes = (unsigned char *)"0123", .size = 4};
    publish_roomy(path, HASH);
    uint64_t size = end_of(path);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    holder.interrupt = &interrupt;
    fail_only("a", 0, EINTR);
    enum status status = holder_append(&holder, &update, path);
    holder_close(&holder);
    check_failed(path, status, STATUS_INTERRUPTED, size);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_copy_without_space_becomes_a_large_delta(void)
{
    const char *path = scratch_path("map");
    publish_roomy(path, HASH);
    struct segment old = open_segment(path);
    fail_only("a", 0, ENOSPC);
    CHECK_STATUS(update_number(path, 2, ROOMY_COUNT / 7), STATUS_OK);
    CHECK_EQUAL(faults.failed, 'a');
    faults_reset();
    CHECK(segment_load_head(&old) != old.head);
    segment_close(&old);
    // By then there is space, so it is compacted.
    check_version(path, 2, 2, false);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Header, newest delta. */
static void
test_signal_does_not_end_a_read(void)
{
    const char *path = scratch_path("map");
    publish_roomy(path, HASH);
    CHECK_STATUS(update_number(path, 2, 0), STATUS_OK);
    for (int left = 0; left < 2; left++) {
        fail_only("r", left, EINTR);
        CHECK_STATUS(update_number(path, 3 + left, 0), STATUS_OK);
        CHECK_EQUAL(faults.failed, 'r');
        faults_reset();
        check_version(path, 3 + left, 3 + (uint64_t)left, true);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_delta_may_be_written_in_parts(void)
{
    const char *path = scratch_path("map");
    publish_roomy(path, HASH);
    for (int left = 0; left < 8; left++) {
        fail_only("w", left < 4 ? left : 0, left < 4 ? 0 : EINTR);
        CHECK_STATUS(update_number(path, 2 + left, 100), STATUS_OK);
        CHECK(left > 0 || faults.failed == 'w');
        faults_reset();
    }
    // Each in halves until nothing is left.
    fail_only("w", 0, 0);
    faults.is_endless = true;
    CHECK_STATUS(update_number(path, 20, 100), STATUS_OK);
    faults_reset();
    struct segment segment = open_segment(path);
    CHECK_EQUAL(number_in(&segment), 20);
    CHECK_EQUAL(version_of_segment(&segment).generation, 10);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_delta_that_was_written_in_part_is_overwritten(void)
{
    const char *path = scratch_path("map");
    publish_roomy(path, HASH);
    uint64_t size = end_of(path);
    fail_only("w", 0, EIO);
    check_failed(path, update_number(path, 2, 300), STATUS_SYSTEM, size);
    CHECK_STATUS(update_number(path, 3, 0), STATUS_OK);
    check_version(path, 3, 2, true);
    // What is left of the longer one is behind the newest version.
    CHECK((uint64_t)stat_of(path).st_size > end_of(path));
    CHECK_EQUAL(head_of(path), 2);
    CHECK_STATUS(update_number(path, 4, 0), STATUS_OK);
    struct segment segment = open_segment(path);
    CHECK_EQUAL(number_in(&segment), 4);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static int writes;

static void
die_at_the_second_write(void)
{
    if (++writes == 2) {
        kill(getpid(), SIGKILL);
    }
}

/* With half of the delta in the file; or all of it, but for the head. */
static void
test_publisher_that_is_killed_leaves_the_present_version(void)
{
    const char *path = scratch_path("map");
    publish_roomy(path, HASH);
    for (int round = 0; round < 3; round++) {
        int number = 1 + round;
        uint32_t head = head_of(path);
        uint64_t end = end_of(path);
        pid_t child = start_child();
        if (child == 0) {
            fail_only("w", 0, 0);
            faults.writing = die_at_the_second_write;
            (void)update_number(path, 100, 200);
            _exit(1);
        }
        CHECK_EQUAL(end_of_child(child), 1000 + SIGKILL);
        CHECK_EQUAL(head_of(path), head);
        CHECK((uint64_t)stat_of(path).st_size > end);
        struct segment segment = open_segment(path);
        CHECK_EQUAL(number_in(&segment), number);
        CHECK_STATUS(update_number(path, number + 1, 0), STATUS_OK);
        struct segment newer = SEGMENT_EMPTY;
        CHECK_STATUS(segment_advance(&newer, &segment), STATUS_OK);
        CHECK_EQUAL(number_in(&newer), number + 1);
        CHECK_EQUAL(version_of_segment(&newer).generation, number + 1);
        // It begins where the killed one did.
        CHECK_EQUAL(delta_begin(newer.head),
                    end - header_in(&newer)->total_size);
        segment_close(&newer);
        segment_close(&segment);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Its publisher was killed while it replaced the file. */
static void
test_marked_file_gets_no_delta(void)
{
    const char *path = scratch_path("map");
    publish_roomy(path, HASH);
    CHECK_STATUS(update_number(path, 2, 0), STATUS_OK);
    struct stat before = stat_of(path);
    struct holder holder;
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    ((struct snapshot_header *)holder.header)->head |= HEAD_SUPERSEDED;
    holder_close(&holder);
    struct segment segment = open_segment(path);
    CHECK(segment_is_superseded(&segment));
    CHECK_EQUAL(number_in(&segment), 2);
    // Even one of nothing repairs it.
    CHECK_STATUS(update_number(path, 2, 0), STATUS_OK);
    CHECK(stat_of(path).st_ino != before.st_ino);
    check_version(path, 2, 3, false);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

enum { NOT_ALLOWED = 77 };

static void
fill_up(const char *directory, uint64_t left)
{
    static const unsigned char page[4096];
    const char *filler = scratch_path("filler");
    int descriptor = open(filler, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(descriptor >= 0);
    while (segment_space(directory) > left) {
        CHECK_EQUAL(write(descriptor, page, sizeof(page)), sizeof(page));
    }
    close(descriptor);
}

/* On a file system without a page left, and with some, but not enough. */
static void
check_full_file_system(void)
{
    const char *path = scratch_path("map");
    publish_roomy(path, HASH);
    CHECK_STATUS(update_number(path, 2, 0), STATUS_OK);
    struct segment segment = open_segment(path);
    for (int left = 0; left < 2; left++) {
        fill_up(path, (uint64_t)left * 4096);
        uint64_t size = end_of(path);
        // As large as several pages.
        CHECK_STATUS(update_number(path, 3, 400), STATUS_NO_SPACE);
        CHECK_EQUAL(errno, ENOSPC);
        CHECK_EQUAL(segment_space(path), left * 4096);
        CHECK_EQUAL(end_of(path), size);
        CHECK(!segment_is_superseded(&segment));
        check_version(path, 2, 2, true);
        CHECK_EQUAL(scratch_file_count(), 2);
        CHECK_EQUAL(unlink(scratch_path("filler")), 0);
    }
    // What fits into pages that are there needs none.
    fill_up(path, 0);
    uint64_t room = (4096 - end_of(path) % 4096) % 4096;
    CHECK_STATUS(update_number(path, 3, 0),
                 room >= 512 ? STATUS_OK : STATUS_NO_SPACE);
    CHECK_EQUAL(unlink(scratch_path("filler")), 0);
    CHECK_STATUS(update_number(path, 4, 400), STATUS_OK);
    segment_close(&segment);
    segment = open_segment(path);
    CHECK_EQUAL(number_in(&segment), 4);
    segment_close(&segment);
}

static void
test_full_file_system_is_no_space_and_the_present_version_stays(void)
{
    pid_t child = start_child();
    if (child == 0) {
        if (unshare(CLONE_NEWNS) != 0
            || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0
            || mount("none", scratch.path, "tmpfs", 0, "size=2m") != 0)
        {
            _exit(NOT_ALLOWED);
        }
        check_full_file_system();
        _exit(0);
    }
    int end = end_of_child(child);
    if (end == NOT_ALLOWED) {
        skip_test("mounting is not allowed");
        return;
    }
    CHECK_EQUAL(end, 0);
}

/* ---- copies that were cut ----------------------------------------------- */

static void
test_copy_has_to_have_all_that_its_head_leads_to(void)
{
    const char *path = scratch_path("map");
    const char *copy = scratch_path("copy");
    publish_roomy(path, TREE);
    CHECK_STATUS(update_number(path, 2, 0), STATUS_OK);
    CHECK_STATUS(update_number(path, 3, 0), STATUS_OK);
    struct segment segment = open_segment(path);
    uint64_t end = end_of(path), base = header_in(&segment)->total_size;
    struct image image = image_create(segment.size + 64);
    memcpy(image.bytes, segment.bytes, end);
    for (uint64_t size = base - 64; size <= end + 64; size += 32) {
        write_file(copy, image.bytes, size);
        CHECK_STATUS(status_of_open(copy), size < base  ? STATUS_TRUNCATED
                                           : size < end ? STATUS_BAD_DELTA
                                                        : STATUS_OK);
    }
    write_file(copy, image.bytes, segment.size);
    CHECK_STATUS(status_of_open(copy), STATUS_OK);
    write_file(copy, image.bytes, segment.size + 1);
    CHECK_STATUS(status_of_open(copy), STATUS_TRUNCATED);
    // A copy that was cut is not what a publisher builds on, either.
    write_file(copy, image.bytes, end - 64);
    CHECK_STATUS(update_number(copy, 4, 0), STATUS_BAD_DELTA);
    write_file(copy, image.bytes, end);
    CHECK_STATUS(update_number(copy, 4, 0), STATUS_OK);
    image_destroy(&image);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(copy, NULL), STATUS_OK);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- which version is the newest ---------------------------------------- */

static void
test_holder_is_of_the_newest_version(void)
{
    const char *path = scratch_path("map");
    publish_roomy(path, HASH);
    for (int number = 2; number < 5; number++) {
        CHECK_STATUS(update_number(path, number, 0), STATUS_OK);
        struct segment segment = open_segment(path);
        struct version version = version_of_segment(&segment);
        struct holder holder;
        CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
        CHECK_EQUAL(holder.generation, number);
        CHECK_EQUAL(holder.head, version.head);
        CHECK_EQUAL(memcmp(holder.unique_id, version.unique_id, 16), 0);
        CHECK(memcmp(holder.unique_id, header_in(&segment)->unique_id, 16)
              != 0);
        CHECK(version.published_at > header_in(&segment)->published_at);
        CHECK(holder_can_append(&holder, &segment));
        // Not over what is older.
        segment.head = 0;
        CHECK(!holder_can_append(&holder, &segment));
        segment.head = holder.head;
        holder.is_read_only = true;
        CHECK(!holder_can_append(&holder, &segment));
        holder_close(&holder);
        CHECK(!holder_can_append(&holder, &segment));
        segment_close(&segment);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static enum status
publish_expecting(const char *path, const uint64_t *generation,
                  const unsigned char *id)
{
    struct publish_options options = {.mode = 0600};
    if (generation != NULL) {
        options.expected.has_generation = true;
        options.expected.generation = *generation;
    }
    if (id != NULL) {
        options.expected.has_id = true;
        memcpy(options.expected.id, id, 16);
    }
    return publish_number_on(path, &options, 9);
}

/* What replaces the file expects the version, not the base. */
static void
test_expected_is_the_newest_version(void)
{
    const char *path = scratch_path("map");
    for (int with_id = 0; with_id < 2; with_id++) {
        publish_roomy(path, HASH);
        CHECK_STATUS(update_number(path, 2, 0), STATUS_OK);
        struct segment segment = open_segment(path);
        struct version version = version_of_segment(&segment);
        const struct snapshot_header *base = header_in(&segment);
        CHECK_STATUS(publish_expecting(path,
                                       with_id ? NULL : &base->generation,
                                       with_id ? base->unique_id : NULL),
                     STATUS_STALE);
        CHECK(!segment_is_superseded(&segment));
        CHECK_STATUS(publish_expecting(path,
                                       with_id ? NULL : &version.generation,
                                       with_id ? version.unique_id : NULL),
                     STATUS_OK);
        CHECK(segment_is_marked(&segment));
        // The mark does not hide which version it is.
        CHECK_EQUAL(segment_load_head(&segment), segment.head);
        segment_close(&segment);
        check_published(path, 9, 3);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    }
}

/* Damaged or cut off: no generation is given twice, and no id fits. */
static void
test_version_that_cannot_be_read_still_counts(void)
{
    const char *path = scratch_path("map");
    for (int is_cut = 0; is_cut < 2; is_cut++) {
        publish_roomy(path, HASH);
        CHECK_STATUS(update_number(path, 2, 0), STATUS_OK);
        CHECK_STATUS(update_number(path, 3, 0), STATUS_OK);
        struct segment segment = open_segment(path);
        const struct snapshot_header base = *header_in(&segment);
        uint32_t head = segment.head;
        uint64_t at = base.total_size + delta_begin(head);
        segment_close(&segment);
        int descriptor = open(path, O_RDWR);
        CHECK(descriptor >= 0);
        if (is_cut) {
            CHECK_EQUAL(ftruncate(descriptor, (off_t)at + 100), 0);
        }
        else {
            CHECK_EQUAL(pwrite(descriptor, "", 1, (off_t)at), 1);
        }
        close(descriptor);
        CHECK_STATUS(status_of_open(path), STATUS_BAD_DELTA);
        CHECK_STATUS(update_number(path, 4, 0), STATUS_BAD_DELTA);
        struct holder holder;
        CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
        uint64_t generation = holder.generation;
        CHECK_EQUAL(generation, 1 + (head >> HEAD_SHIFT));
        CHECK(generation > 3);
        holder_close(&holder);
        CHECK_STATUS(publish_expecting(path, NULL, base.unique_id),
                     STATUS_STALE);
        CHECK_STATUS(publish_expecting(path, &base.generation, NULL),
                     STATUS_STALE);
        CHECK_STATUS(publish_expecting(path, &generation, NULL), STATUS_OK);
        check_published(path, 9, generation + 1);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    }
}

static const struct test tests[] = {
    TEST(test_update_is_written_behind_the_present_version),
    TEST(test_small_map_and_saved_map_have_no_room),
    TEST(test_reader_advances_without_a_call_of_the_system),
    TEST(test_opening_what_is_known_finds_its_newest_version),
    TEST(test_sleeping_reader_is_woken),
    TEST(test_child_advances_what_was_kept_and_nothing_else),
    TEST_LINUX(test_space_is_allocated_or_the_present_version_stays),
    TEST_LINUX(test_signal_that_means_to_stop_ends_an_append),
    TEST_LINUX(test_copy_without_space_becomes_a_large_delta),
    TEST(test_signal_does_not_end_a_read),
    TEST(test_delta_may_be_written_in_parts),
    TEST_LINUX(test_delta_that_was_written_in_part_is_overwritten),
    TEST(test_publisher_that_is_killed_leaves_the_present_version),
    TEST(test_marked_file_gets_no_delta),
    TEST_LINUX(
        test_full_file_system_is_no_space_and_the_present_version_stays),
    TEST(test_copy_has_to_have_all_that_its_head_leads_to),
    TEST(test_holder_is_of_the_newest_version),
    TEST(test_expected_is_the_newest_version),
    TEST(test_version_that_cannot_be_read_still_counts),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
