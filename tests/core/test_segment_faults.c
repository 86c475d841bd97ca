/* tests/core/test_segment_faults.c
 *
 * Publishing and removing on a system that refuses: one call after the other,
 * or all of a kind. And what of saved files reaches the disk when.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/faults.h"

#include "core/check.h"
#include "core/files.h"
#include "core/segment/segment.h"

/* ---- file systems without nameless files -------------------------------- */

static void
test_draft_gets_a_temporary_name_where_there_must_be_one(void)
{
    // A file system that lacks them, and a Linux that does.
    static const int errors[] = {EOPNOTSUPP, EISDIR};
    const char *path = scratch_path("map");
    for (int i = 0; i < 2; i++) {
        struct draft draft;
        faults_reset();
        faults.tmpfile_error = errors[i];
        CHECK_STATUS(draft_create(&draft, path, 3000000, &UNFORCED),
                     STATUS_OK);
        CHECK(draft.temporary != NULL);
        CHECK(strncmp(draft.temporary, path, strlen(path)) == 0);
        CHECK_EQUAL(draft.temporary[strlen(path)], '~');
        struct stat file = stat_of(draft.temporary);
        CHECK_EQUAL(file.st_size, 3000000);
        CHECK_EQUAL(file.st_mode & 07777, 0600);
        CHECK(file.st_blocks * 512 >= 3000000);
        CHECK_EQUAL(scratch_file_count(), 1);
        draft_close(&draft);
        CHECK(draft.temporary == NULL);
        draft_close(&draft);
        CHECK_EQUAL(scratch_file_count(), 0);
    }
}

static void
test_publishing_needs_no_nameless_files(void)
{
    const char *path = scratch_path("map");
    faults_reset();
    faults.tmpfile_error = EOPNOTSUPP;
    CHECK_STATUS(publish_number_on(path, &UNFORCED, 1), STATUS_OK);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_EQUAL(stat_of(path).st_nlink, 1);
    check_published(path, 1, 1);
    CHECK_STATUS(publish_number_on(path, &UNFORCED, 2), STATUS_NAME_TAKEN);
    struct segment old = open_segment(path);
    CHECK_STATUS(publish_number_on(path, &FORCED, 3), STATUS_OK);
    CHECK(segment_is_superseded(&old));
    segment_close(&old);
    CHECK_STATUS(publish_number_on(path, &DURABLE, 4), STATUS_OK);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_EQUAL(stat_of(path).st_nlink, 1);
    check_published(path, 4, 3);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_EQUAL(scratch_file_count(), 0);
}

static void
test_named_draft_without_memory_leaves_nothing(void)
{
    struct draft draft;
    faults_reset();
    faults.tmpfile_error = EOPNOTSUPP;
    memory_fail_after(0, false);
    CHECK_STATUS(draft_create(&draft, scratch_path("map"), 64, &UNFORCED),
                 STATUS_NO_MEMORY);
    memory_fail_after(-1, false);
    CHECK_EQUAL(draft.file.descriptor, -1);
    CHECK_EQUAL(scratch_file_count(), 0);
    draft_close(&draft);
}

static void
test_file_system_without_links_is_an_error_and_leaves_nothing(void)
{
    const char *path = scratch_path("map");
    faults_reset();
    faults.tmpfile_error = EOPNOTSUPP;
    faults.has_no_links = true;
    CHECK_STATUS(publish_number_on(path, &UNFORCED, 1), STATUS_SYSTEM);
    CHECK_EQUAL(errno, EPERM);
    CHECK_EQUAL(scratch_file_count(), 0);
}

/* The child of a fork has nothing of its parent's draft, so closing it there
 * must not take it away from the parent. */
static void
test_named_draft_survives_being_closed_by_a_forked_child(void)
{
    const char *path = scratch_path("map");
    struct draft draft;
    faults_reset();
    faults.tmpfile_error = EOPNOTSUPP;
    struct image image = image_of_entries(NULL, 0, TREE);
    struct snapshot_header header = *image_header(&image);
    CHECK_STATUS(draft_create(&draft, path, image.size, &UNFORCED), STATUS_OK);
    CHECK_STATUS(draft_write(&draft, 0, image.bytes, image.size), STATUS_OK);
    image_destroy(&image);
    pid_t child = start_child();
    if (child == 0) {
        draft_close(&draft);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK_STATUS(draft_publish(&draft, path, &UNFORCED, &header), STATUS_OK);
    draft_close(&draft);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- what reaches the disk when ----------------------------------------- */

/* Only what matters for the order: F file and D directory to the disk, L link,
 * R rename. */
static const char *
order_of_calls(void)
{
    static char order[256];
    size_t size = 0;
    for (const char *call = faults.calls; *call != '\0'; call++) {
        if (strchr("FDLR", *call) != NULL) {
            order[size++] = *call;
        }
    }
    order[size] = '\0';
    return order;
}

static void
test_map_in_memory_is_never_flushed(void)
{
    const char *path = scratch_path("map");
    faults_reset();
    CHECK_STATUS(publish_number_on(path, &FORCED, 1), STATUS_OK);
    CHECK_EQUAL(strcmp(order_of_calls(), "L"), 0);
    faults_reset();
    CHECK_STATUS(publish_number_on(path, &FORCED, 2), STATUS_OK);
    CHECK_EQUAL(strcmp(order_of_calls(), DRAFTS_HAVE_NAMES ? "R" : "LR"), 0);
    char expected[512];
    snprintf(expected, sizeof(expected), "%s~", path);
    CHECK_EQUAL(strcmp(faults.linked, DRAFTS_HAVE_NAMES ? "" : expected), 0);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* The whole file, and then its header, before it can be opened; then what
 * made it possible to open it. */
static void
test_saved_file_is_on_the_disk_before_it_has_its_name(void)
{
    static const struct publish_options first = {.mode = 0600,
                                                 .is_durable = true};
    const char *path = scratch_path("map");
    faults_reset();
    CHECK_STATUS(publish_number_on(path, &first, 1), STATUS_OK);
    CHECK_EQUAL(strcmp(order_of_calls(), "FFLD"), 0);
    faults_reset();
    CHECK_STATUS(publish_number_on(path, &DURABLE, 2), STATUS_OK);
    CHECK_EQUAL(strcmp(order_of_calls(), DRAFTS_HAVE_NAMES ? "FFRD" : "FFLRD"),
                0);
    check_published(path, 2, 2);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Saved files live among others, and editors keep backups under a tilde. */
static void
test_saved_file_leaves_its_neighbours_alone(void)
{
    const char *path = scratch_path("map");
    const char *backup = scratch_path("map~");
    const char *leftover = scratch_path("map.sharedmap~");
    write_file(backup, "backup", 6);
    write_file(leftover, "left", 4);
    faults_reset();
    CHECK_STATUS(publish_number_on(path, &DURABLE, 1), STATUS_OK);
    CHECK_STATUS(publish_number_on(path, &DURABLE, 2), STATUS_OK);
    CHECK_EQUAL(strcmp(faults.linked, DRAFTS_HAVE_NAMES ? path : leftover), 0);
    CHECK_EQUAL(stat_of(backup).st_size, 6);
    CHECK_STATUS(segment_check_free(leftover, NULL), STATUS_OK);
    check_published(path, 2, 2);
    CHECK_EQUAL(unlink(backup), 0);
    CHECK_EQUAL(unlink(path), 0);
}

/* Somebody can rename the directory away when all is done. */
static void
test_saved_file_whose_directory_is_gone_is_not_called_absent(void)
{
    const char *path = scratch_path("map");
    faults_reset();
    CHECK_STATUS(publish_number_on(path, &DURABLE, 1), STATUS_OK);
    // The draft's open, the holder's, perhaps a leftover's, the directory's.
    fail_only("o", DRAFTS_HAVE_NAMES ? 3 : 2, ENOENT);
    CHECK_STATUS(publish_number_on(path, &DURABLE, 2), STATUS_SYSTEM);
    CHECK_EQUAL(errno, ENOENT);
    CHECK_EQUAL(faults.failed, 'o');
    faults_reset();
    check_published(path, 2, 2);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* A kernel without huge pages refuses to be asked for them. */
static void
test_refused_wish_for_huge_pages_keeps_an_older_error(void)
{
    fail_only("d", 0, EINVAL);
    errno = EIO;
    void *memory = memory_allocate(8 << 20);
    CHECK(memory != NULL);
    CHECK_EQUAL(faults.failed, 'd');
    CHECK_EQUAL(errno, EIO);
    memory_release(memory);
    faults_reset();
}

/* ---- one call after the other ------------------------------------------- */

/* Of a draft with a name: looks for what another publisher may have left. Its
 * failure is not ours. */
enum { CLEARING = 8 };

/* Fails the first, the second, ... call of a publication over map 1, until one
 * succeeds; answers with the letters of those that failed. */
static const char *
fail_each_call(const struct publish_options *options, bool has_no_tmpfile)
{
    static char failed[256];
    const char *path = scratch_path("map");
    for (long left = 0;; left++) {
        faults_reset();
        CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
        struct segment old = open_segment(path);
        int descriptors = count_descriptors();
        long outstanding = memory_outstanding();
        faults.tmpfile_error = has_no_tmpfile ? EOPNOTSUPP : 0;
        faults.left = left;
        enum status status = publish_number_on(path, options, 2);
        int error = errno;
        char letter = faults.failed;
        faults_reset();
        CHECK_EQUAL(count_descriptors(), descriptors);
        CHECK_EQUAL(memory_outstanding(), outstanding);
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_EQUAL(number_in(&old), 1);
        failed[left] = letter;
        CHECK_EQUAL(status == STATUS_OK,
                    letter == 0 || (has_no_tmpfile && left == CLEARING));
        // With the directory not on the disk the new map has its name
        // nevertheless.
        bool is_new =
            status == STATUS_OK || letter == 'D'
            || (letter == 'o' && left > 0 && failed[left - 1] == 'R');
        if (status != STATUS_OK) {
            CHECK_STATUS(status, STATUS_SYSTEM);
            CHECK_EQUAL(error, EIO);
        }
        CHECK_EQUAL(segment_is_superseded(&old), is_new || letter == 'R');
        segment_close(&old);
        struct segment segment = open_segment(path);
        CHECK_EQUAL(number_in(&segment), is_new ? 2 : 1);
        segment_close(&segment);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
        if (letter == 0) {
            return failed;
        }
    }
}

static void
test_failure_of_any_call_is_an_error_and_the_old_map_stays(void)
{
    // Open, reserve, mode, contents, header; the holder, its header; the new
    // header, link, rename.
    CHECK_EQUAL(strcmp(fail_each_call(&FORCED, false), "oamwworwLR"), 0);
    CHECK_EQUAL(strcmp(fail_each_call(&FORCED, true), "oamwworwoR"), 0);
}

static void
test_failure_of_any_call_while_saving_is_an_error(void)
{
    CHECK_EQUAL(strcmp(fail_each_call(&DURABLE, false), "oamwwForwFLwRoD"), 0);
}

static void
test_failure_of_any_call_leaves_a_free_name_free(void)
{
    const char *path = scratch_path("map");
    static const char letters[] = "oamwwwL";
    for (long left = 0;; left++) {
        faults_reset();
        faults.left = left;
        enum status status = publish_number_on(path, &UNFORCED, 1);
        char letter = faults.failed;
        faults_reset();
        CHECK_EQUAL(letter, letters[left]);
        if (letter == 0) {
            CHECK_STATUS(status, STATUS_OK);
            break;
        }
        CHECK_STATUS(status, STATUS_SYSTEM);
        CHECK_EQUAL(scratch_file_count(), 0);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* A signal interrupts calls that wait for a disk or for another machine; the
 * others it cannot. */
static void
test_interruption_of_any_call_is_survived(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number_on(path, &UNFORCED, 1), STATUS_OK);
    long count = 0;
    for (long left = 0;; left++) {
        fail_only("oamwrFDLRstuV", left, EINTR);
        enum status status = publish_number_on(path, &DURABLE, 2);
        char letter = faults.failed;
        faults_reset();
        if (letter == 0) {
            CHECK_STATUS(status, STATUS_OK);
            break;
        }
        CHECK_STATUS(status, STATUS_OK);
        count += 1;
    }
    CHECK(count > 15);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static bool
stop_at_once(void *context)
{
    *(int *)context += 1;
    return true;
}

/* A signal that is to end the publication does so in any call, at the first
 * question; only what has its name already stays published. */
static void
test_signal_that_stops_does_so_in_any_call_and_leaves_nothing(void)
{
    const char *path = scratch_path("map");
    int questions = 0;
    struct publish_options options = DURABLE;
    options.lock.interrupt = (struct interrupt){
        .is_due = is_never_due,
        .context = &questions,
        .is_due_now = count_and_stop,
    };
    for (long left = 0;; left++) {
        faults_reset();
        CHECK_STATUS(publish_number_on(path, &FORCED, 1), STATUS_OK);
        int descriptors = count_descriptors();
        long outstanding = memory_outstanding();
        fail_only("oamwrFDLRstuV", left, EINTR);
        questions = 0;
        enum status status = publish_number_on(path, &options, 2);
        int error = errno;
        char letter = faults.failed;
        bool is_renamed = strchr(faults.calls, 'R') != NULL;
        faults_reset();
        if (letter == 0) {
            CHECK_STATUS(status, STATUS_OK);
            CHECK(left > 15);
            break;
        }
        CHECK_EQUAL(questions, 1);
        CHECK_EQUAL(error, EINTR);
        CHECK_STATUS(status, is_renamed ? STATUS_SYSTEM : STATUS_INTERRUPTED);
        CHECK_EQUAL(count_descriptors(), descriptors);
        CHECK_EQUAL(memory_outstanding(), outstanding);
        CHECK_EQUAL(scratch_file_count(), 1);
        struct segment segment = open_segment(path);
        CHECK_EQUAL(number_in(&segment), is_renamed ? 2 : 1);
        segment_close(&segment);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static bool
fork_and_stop_in_child(void *context)
{
    *(pid_t *)context = start_child();
    return *(pid_t *)context == 0;
}

/* The child has no part in the publication, and takes nothing from it. */
static void
test_child_that_an_interrupted_rename_forks_leaves_the_temporary_name(void)
{
    const char *path = scratch_path("map");
    pid_t child = -1;
    struct publish_options options = FORCED;
    options.lock.interrupt = (struct interrupt){
        .is_due = is_never_due,
        .context = &child,
        .is_due_now = fork_and_stop_in_child,
    };
    faults_reset();
    CHECK_STATUS(publish_number_on(path, &FORCED, 1), STATUS_OK);
    fail_only("R", 0, EINTR);
    enum status status = publish_number_on(path, &options, 2);
    if (child == 0) {
        _exit(status == STATUS_INTERRUPTED ? 0 : 1);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    CHECK_STATUS(status, STATUS_OK);
    faults_reset();
    check_published(path, 2, 2);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* As for a name that is free, and for removing one. */
static void
test_signal_that_stops_does_so_where_nothing_is_replaced(void)
{
    const char *path = scratch_path("map");
    int questions = 0;
    struct publish_options options = UNFORCED;
    options.lock.interrupt = (struct interrupt){
        .is_due = count_and_stop,
        .context = &questions,
    };
    fail_only("t", 0, EINTR);
    CHECK_STATUS(publish_number_on(path, &options, 1), STATUS_INTERRUPTED);
    CHECK_EQUAL(questions, 1);
    faults_reset();
    CHECK_EQUAL(scratch_file_count(), 0);
    CHECK_STATUS(publish_number_on(path, &UNFORCED, 1), STATUS_OK);
    fail_only("u", 0, EINTR);
    CHECK_STATUS(segment_remove(path, &options.lock), STATUS_INTERRUPTED);
    faults_reset();
    struct segment segment = open_segment(path);
    CHECK_EQUAL(number_in(&segment), 1);
    segment_close(&segment);
    // Who gives no interrupt is not stopped.
    fail_only("ou", 0, EINTR);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_EQUAL(faults.failed, 'o');
    faults_reset();
}

/* What is left over is unlinked whatever signals come, unless it is for ever.
 */
static void
test_leftover_is_unlinked_in_spite_of_signals(void)
{
    struct draft draft;
    char temporary[512];
    for (int i = 0; i < 2; i++) {
        faults_reset();
        faults.tmpfile_error = EOPNOTSUPP;
        CHECK_STATUS(draft_create(&draft, scratch_path("map"), 64, &UNFORCED),
                     STATUS_OK);
        fail_only("u", 0, EINTR);
        faults.is_endless = i == 1;
        snprintf(temporary, sizeof(temporary), "%s", draft.temporary);
        errno = EIO;
        draft_close(&draft);
        CHECK_EQUAL(errno, EIO);
        CHECK_EQUAL(faults.failed, 'u');
        CHECK_EQUAL(scratch_file_count(), i);
    }
    faults_reset();
    CHECK_EQUAL(unlink(temporary), 0);
    // Nor is it tried again when it is gone.
    faults.tmpfile_error = EOPNOTSUPP;
    CHECK_STATUS(draft_create(&draft, scratch_path("map"), 64, &UNFORCED),
                 STATUS_OK);
    CHECK_EQUAL(unlink(draft.temporary), 0);
    draft_close(&draft);
    faults_reset();
}

/* ---- less than was asked for --------------------------------------------- */

static void
test_map_is_written_and_read_in_the_pieces_that_the_system_gives(void)
{
    const char *path = scratch_path("map");
    faults_reset();
    faults.longest = 7;
    CHECK_STATUS(publish_number_on(path, &DURABLE, 1), STATUS_OK);
    CHECK_STATUS(publish_number_on(path, &DURABLE, 2), STATUS_OK);
    check_published(path, 2, 2);
    faults_reset();
    check_published(path, 2, 2);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* The system says of a signal in the middle of a write how much was written. */
static void
test_signal_that_stops_does_so_after_a_part_of_a_write(void)
{
    int questions = 0;
    struct publish_options options = UNFORCED;
    options.lock.interrupt = (struct interrupt){
        .is_due = is_never_due,
        .context = &questions,
        .is_due_now = stop_at_once,
    };
    faults_reset();
    faults.longest = 7;
    CHECK_STATUS(publish_number_on(scratch_path("map"), &options, 1),
                 STATUS_INTERRUPTED);
    CHECK_EQUAL(questions, 1);
    CHECK_EQUAL(errno, EINTR);
    faults_reset();
    CHECK_EQUAL(scratch_file_count(), 0);
}

/* The sync cannot ask, so that it is asked before. */
static void
test_signal_that_stops_does_so_before_the_disk_is_waited_for(void)
{
    int questions = 0;
    struct publish_options options = DURABLE;
    options.lock.interrupt = (struct interrupt){
        .is_due = is_never_due,
        .context = &questions,
        .is_due_now = stop_at_once,
    };
    faults_reset();
    CHECK_STATUS(publish_number_on(scratch_path("map"), &options, 1),
                 STATUS_INTERRUPTED);
    CHECK_EQUAL(questions, 1);
    CHECK(strchr(faults.calls, 'F') == NULL);
    faults_reset();
    CHECK_EQUAL(scratch_file_count(), 0);
}

static void
test_write_that_writes_nothing_is_an_error(void)
{
    faults_reset();
    faults.writes_nothing = true;
    CHECK_STATUS(publish_number_on(scratch_path("map"), &FORCED, 1),
                 STATUS_SYSTEM);
    CHECK_EQUAL(errno, EIO);
    faults_reset();
    CHECK_EQUAL(scratch_file_count(), 0);
}

static void
test_file_system_that_reserves_nothing_is_filled_with_zeros(void)
{
    static const int errors[] = {EOPNOTSUPP, ENOSYS, EINVAL};
    const char *path = scratch_path("map");
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct draft draft;
        struct stat file;
        fail_only("a", 0, errors[i]);
        faults.is_endless = true;
        CHECK_STATUS(draft_create(&draft, path, 3000000, &UNFORCED),
                     STATUS_OK);
        CHECK_EQUAL(fstat(draft.file.descriptor, &file), 0);
        CHECK_EQUAL(file.st_size, 3000000);
        CHECK(file.st_blocks * 512 >= 3000000);
        draft_close(&draft);
        CHECK_STATUS(publish_number_on(path, &FORCED, (int)i), STATUS_OK);
        check_published(path, (int)i, i + 1);
        // And a full one is full.
        fail_only("w", 0, ENOSPC);
        faults.only = "aw";
        faults.is_endless = true;
        faults.error = ENOSPC;
        CHECK_STATUS(publish_number_on(path, &FORCED, 9), STATUS_NO_SPACE);
    }
    faults_reset();
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_publishing_needs_no_proc(void)
{
    const char *path = scratch_path("map");
    for (int i = 0; i < 2; i++) {
        faults_reset();
        faults.has_no_proc = true;
        CHECK_STATUS(publish_number_on(path, i == 0 ? &FORCED : &DURABLE, i),
                     STATUS_OK);
        check_published(path, i, (uint64_t)i + 1);
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_EQUAL(stat_of(path).st_nlink, 1);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Everybody who is not mapped looks like us; only the system knows. */
static void
test_user_who_is_not_mapped_owns_what_the_system_says(void)
{
    const char *path = scratch_path("map");
    struct segment segment = SEGMENT_EMPTY;
    faults_reset();
    CHECK_STATUS(publish_number_on(path, &UNFORCED, 1), STATUS_OK);
    faults.is_masked = faults.is_unmapped = true;
    faults.owner = faults.user = 65534;
    CHECK_STATUS(segment_open(&segment, path, STRICT, NULL),
                 STATUS_FOREIGN_OWNER);
    CHECK_STATUS(publish_number_on(path, &FORCED, 2), STATUS_FOREIGN_OWNER);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_FOREIGN_OWNER);
    faults.is_unmapped = false;
    CHECK_STATUS(segment_open(&segment, path, STRICT, NULL), STATUS_OK);
    segment_close(&segment);
    faults_reset();
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* A store into a file on a disk may need a block that the disk does not have,
 * and be a SIGBUS. Where nothing is stored, the word is written (w, before R).
 */
static void
test_nothing_is_stored_into_a_file_on_a_disk(void)
{
    const char *path = scratch_path("map");
    faults_reset();
    CHECK_STATUS(publish_number_on(path, &DURABLE, 1), STATUS_OK);
    struct segment old = open_segment(path);
    fail_only("wR", 3, ENOSPC);
    CHECK_STATUS(publish_number_on(path, &DURABLE, 2), STATUS_NO_SPACE);
    CHECK_EQUAL(strcmp(faults.calls, "www"), 0);
    CHECK_EQUAL(faults.failed, 'w');
    CHECK(!segment_is_superseded(&old));
    CHECK_EQUAL(scratch_file_count(), 1);
    faults_reset();
    CHECK_STATUS(publish_number_on(path, &DURABLE, 3), STATUS_OK);
    CHECK_EQUAL(faults.stores, 0);
    CHECK(segment_is_superseded(&old));
    segment_close(&old);
    check_published(path, 3, 2);
    CHECK_STATUS(publish_number_on(path, &FORCED, 4), STATUS_OK);
    CHECK_EQUAL(faults.stores, 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static const struct test tests[] = {
    TEST(test_nothing_is_stored_into_a_file_on_a_disk),
    TEST(test_file_system_that_reserves_nothing_is_filled_with_zeros),
    TEST(test_publishing_needs_no_proc),
    TEST_LINUX(test_user_who_is_not_mapped_owns_what_the_system_says),
    TEST(test_draft_gets_a_temporary_name_where_there_must_be_one),
    TEST(test_publishing_needs_no_nameless_files),
    TEST(test_named_draft_without_memory_leaves_nothing),
    TEST(test_file_system_without_links_is_an_error_and_leaves_nothing),
    TEST(test_named_draft_survives_being_closed_by_a_forked_child),
    TEST(test_map_in_memory_is_never_flushed),
    TEST(test_saved_file_is_on_the_disk_before_it_has_its_name),
    TEST(test_saved_file_leaves_its_neighbours_alone),
    TEST(test_saved_file_whose_directory_is_gone_is_not_called_absent),
    TEST(test_refused_wish_for_huge_pages_keeps_an_older_error),
    TEST_LINUX(test_failure_of_any_call_is_an_error_and_the_old_map_stays),
    TEST_LINUX(test_failure_of_any_call_while_saving_is_an_error),
    TEST_LINUX(test_failure_of_any_call_leaves_a_free_name_free),
    TEST(test_interruption_of_any_call_is_survived),
    TEST_LINUX(test_signal_that_stops_does_so_in_any_call_and_leaves_nothing),
    TEST(test_signal_that_stops_does_so_where_nothing_is_replaced),
    TEST(
        test_child_that_an_interrupted_rename_forks_leaves_the_temporary_name),
    TEST(test_leftover_is_unlinked_in_spite_of_signals),
    TEST(test_map_is_written_and_read_in_the_pieces_that_the_system_gives),
    TEST(test_signal_that_stops_does_so_after_a_part_of_a_write),
    TEST(test_signal_that_stops_does_so_before_the_disk_is_waited_for),
    TEST(test_write_that_writes_nothing_is_an_error),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
