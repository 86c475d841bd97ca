/* tests/core/test_mapping.c
 *
 * All segments of one file share one mapping, as long as one of them is open.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "core/faults.h"

#include <pthread.h>
#include <stdatomic.h>

#include "core/check.h"
#include "core/files.h"
#include "core/segment/mapping.h"

static bool
is_mapped(const void *bytes)
{
    return msync((void *)bytes, 4096, MS_ASYNC) == 0;
}

static struct segment
open_unkept(const char *path)
{
    struct segment segment = SEGMENT_EMPTY;
    CHECK_STATUS(segment_open(&segment, path, STRICT, NULL), STATUS_OK);
    return segment;
}

static void
test_segments_of_one_file_share_one_mapping(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    long pages = mapped_pages;
    struct segment first = open_segment(path);
    long once = mapped_pages;
    CHECK(once > pages);
    struct segment second = open_segment(path);
    CHECK_EQUAL(mapped_pages, once);
    CHECK(first.bytes == second.bytes);
    segment_close(&first);
    segment_close(&second);
    CHECK_EQUAL(mapped_pages, pages);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_versions_of_a_map_have_a_mapping_each(void)
{
    const char *path = scratch_path("map");
    struct segment segments[3];
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(publish_number(path, true, 0600, i), STATUS_OK);
        segments[i] = open_segment(path);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(number_in(&segments[i]), i);
        segment_close(&segments[i]);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_last_segment_that_is_closed_unmaps_in_any_order(void)
{
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    for (int kept = 0; kept < 8; kept++) {
        for (int i = 0; i < 6; i++) {
            struct segment segments[3];
            long pages = mapped_pages;
            for (int j = 0; j < 3; j++) {
                segments[j] = (kept >> j & 1) != 0 ? open_segment(path)
                                                   : open_unkept(path);
            }
            for (int j = 0; j < 3; j++) {
                struct segment *segment = &segments[orders[i][j]];
                CHECK_EQUAL(number_in(segment), 7);
                segment_close(segment);
                segment_close(segment);
                CHECK_EQUAL(mapped_pages == pages, j == 2);
            }
        }
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* More files than there are buckets, so that some share one. */
static void
test_many_files_are_told_apart(void)
{
    enum { COUNT = 1500 };
    static struct segment segments[COUNT];
    long pages = mapped_pages;
    const char *path = scratch_path("map");
    for (int i = 0; i < COUNT; i++) {
        CHECK_STATUS(publish_number(path, true, 0600, i), STATUS_OK);
        segments[i] = open_segment(path);
    }
    for (int i = 0; i < COUNT; i++) {
        // Neither from the front nor from the back.
        struct segment *segment = &segments[i * 7 % COUNT];
        CHECK_EQUAL(number_in(segment), i * 7 % COUNT);
        segment_close(segment);
    }
    CHECK_EQUAL(mapped_pages, pages);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- what is the same file ---------------------------------------------- */

struct page_file {
    int descriptor;
    struct mapping_key key;
};

/* A file that is unmapped by hand: of the table alone. */
static struct page_file
page_file_create(const char *path)
{
    struct stat file;
    struct page_file made = {.descriptor = open(path, O_CREAT | O_RDWR, 0600)};
    CHECK_EQUAL(ftruncate(made.descriptor, 4096), 0);
    CHECK_EQUAL(pwrite(made.descriptor, "one", 3, 0), 3);
    CHECK_EQUAL(fstat(made.descriptor, &file), 0);
    made.key.device = file.st_dev;
    made.key.inode = file.st_ino;
    CHECK_EQUAL(unlink(path), 0);
    return made;
}

static struct segment
acquire(const struct page_file *file, uint64_t size)
{
    struct segment segment = SEGMENT_EMPTY;
    CHECK_STATUS(
        mapping_acquire(&segment, &file->key, 0, file->descriptor, size),
        STATUS_OK);
    CHECK_EQUAL(segment.size, size);
    return segment;
}

static void
test_file_that_has_grown_is_mapped_again(void)
{
    struct page_file file = page_file_create(scratch_path("file"));
    struct segment found, first = acquire(&file, 4096);
    CHECK_EQUAL(pwrite(file.descriptor, "two", 3, 4096), 3);
    CHECK(!mapping_find(&found, &file.key, 4099));
    struct segment second = acquire(&file, 4099);
    CHECK(first.bytes != second.bytes);
    CHECK_EQUAL(memcmp(second.bytes + 4096, "two", 3), 0);
    // From now on the longer one is what is shared.
    struct segment third = acquire(&file, 4096);
    CHECK(third.bytes == second.bytes);
    segment_close(&second);
    CHECK_EQUAL(memcmp(third.bytes + 4096, "two", 3), 0);
    segment_close(&third);
    CHECK(mapping_find(&found, &file.key, 4096));
    CHECK(found.bytes == first.bytes);
    segment_close(&first);
    segment_close(&found);
    CHECK(!mapping_find(&found, &file.key, 1));
    close(file.descriptor);
}

/* What is mapped in advance is there when the file grows. */
static void
test_mapping_may_be_longer_than_the_file(void)
{
    struct page_file file = page_file_create(scratch_path("file"));
    struct segment early = acquire(&file, 8192);
    CHECK_EQUAL(pwrite(file.descriptor, "two", 3, 4096), 3);
    struct segment late = acquire(&file, 4099);
    CHECK(early.bytes == late.bytes);
    CHECK_EQUAL(memcmp(early.bytes + 4096, "two", 3), 0);
    segment_close(&early);
    segment_close(&late);
    close(file.descriptor);
}

/* Numbers of files wrap around, and servers give what numbers they like. */
static void
test_file_of_the_same_number_is_another_one_if_its_id_is(void)
{
    struct page_file file = page_file_create(scratch_path("file"));
    struct page_file others[3] = {file, file, file};
    others[0].key.unique_id[15] = 1;
    others[1].key.inode ^= UINT64_C(1) << 40;
    // In the same bucket.
    others[2].key.device ^= UINT64_C(1) << 32;
    struct segment segment = acquire(&file, 4096);
    for (int i = 0; i < 3; i++) {
        struct segment other = acquire(&others[i], 4096);
        CHECK(other.bytes != segment.bytes);
        segment_close(&other);
    }
    segment_close(&segment);
    close(file.descriptor);
}

/* ---- threads ------------------------------------------------------------ */

static const char *raced_path;
static struct segment faster;

static void
open_in_between(void)
{
    faults.mapping = NULL;
    faster = open_segment(raced_path);
}

static void
test_two_that_map_at_the_same_time_end_up_with_one_mapping(void)
{
    raced_path = scratch_path("map");
    CHECK_STATUS(publish_number(raced_path, false, 0600, 7), STATUS_OK);
    for (int fails = 0; fails < 2; fails++) {
        long pages = mapped_pages;
        fail_only(fails ? "p" : "", 1, ENOMEM);
        faults.mapping = open_in_between;
        struct segment slower = open_segment(raced_path);
        CHECK_EQUAL(faults.failed, fails ? 'p' : 0);
        faults_reset();
        CHECK(slower.bytes == faster.bytes);
        CHECK_EQUAL(mapped_pages - pages, pages_of(slower.size));
        segment_close(&faster);
        CHECK_EQUAL(number_in(&slower), 7);
        segment_close(&slower);
        CHECK_EQUAL(mapped_pages, pages);
    }
    CHECK_STATUS(segment_remove(raced_path, NULL), STATUS_OK);
}

static void *
open_and_close(void *context)
{
    for (int i = 0; i < 3000; i++) {
        struct segment segment = open_segment(context);
        CHECK_EQUAL(header_in(&segment)->generation, 1);
        segment_close(&segment);
    }
    return NULL;
}

static void
test_threads_may_open_and_close_one_file_at_once(void)
{
    const char *path = scratch_path("map");
    pthread_t threads[4];
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    for (int i = 0; i < 4; i++) {
        CHECK_EQUAL(
            pthread_create(&threads[i], NULL, open_and_close, (void *)path),
            0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQUAL(pthread_join(threads[i], NULL), 0);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- children ----------------------------------------------------------- */

static void
test_child_shares_and_unmaps_on_its_own(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    struct segment first = open_segment(path), second = open_segment(path);
    const unsigned char *bytes = first.bytes;
    pid_t child = start_child();
    if (child == 0) {
        struct segment third = open_segment(path);
        CHECK(third.bytes == bytes);
        pid_t grandchild = start_child();
        if (grandchild == 0) {
            segment_close(&first);
            segment_close(&second);
            CHECK_EQUAL(number_in(&third), 7);
            segment_close(&third);
            CHECK(!is_mapped(bytes));
            _exit(0);
        }
        CHECK_EQUAL(end_of_child(grandchild), 0);
        segment_close(&second);
        segment_close(&first);
        segment_close(&third);
        CHECK(!is_mapped(bytes));
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    segment_close(&first);
    CHECK_EQUAL(number_in(&second), 7);
    segment_close(&second);
    CHECK(!is_mapped(bytes));
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* What a thread was about to open does not keep the mapping in a child, and
 * closing it there closes nothing of the child's. */
static void
test_child_has_no_reference_that_is_not_kept(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    struct segment kept = open_segment(path), unkept = open_unkept(path);
    const unsigned char *bytes = kept.bytes;
    pid_t child = start_child();
    if (child == 0) {
        CHECK_STATUS(segment_keep(&unkept), STATUS_SYSTEM);
        CHECK_EQUAL(errno, ESTALE);
        segment_close(&unkept);
        CHECK(unkept.bytes == NULL);
        CHECK_EQUAL(number_in(&kept), 7);
        segment_close(&kept);
        CHECK(!is_mapped(bytes));
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    segment_close(&kept);
    CHECK_EQUAL(number_in(&unkept), 7);
    CHECK_STATUS(segment_keep(&unkept), STATUS_OK);
    segment_close(&unkept);
    CHECK(!is_mapped(bytes));
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* ---- publishing --------------------------------------------------------- */

static void
test_holder_is_read_in_the_mapping_that_is_open(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    struct segment seen = SEGMENT_EMPTY;
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    struct segment segment = open_segment(path);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    CHECK_STATUS(holder_map(&holder, path, &seen), STATUS_OK);
    CHECK(seen.bytes == segment.bytes);
    segment_close(&segment);
    CHECK_EQUAL(number_in(&seen), 7);
    segment_close(&seen);
    holder_close(&holder);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* A child that got the mapping would keep the lock, which belongs to the open
 * file. */
static void
test_mapping_of_a_holder_is_not_shared(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    struct segment seen = SEGMENT_EMPTY;
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    CHECK_STATUS(holder_map(&holder, path, &seen), STATUS_OK);
    struct segment segment = open_segment(path);
    CHECK(seen.bytes != segment.bytes);
    pid_t child = start_child();
    if (child == 0) {
        CHECK(!is_mapped(seen.bytes));
        // What lies there now is not the segment's.
        void *own = mmap((void *)seen.bytes, 4096, PROT_READ,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        segment_close(&seen);
        CHECK(is_mapped(own));
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    segment_close(&segment);
    segment_close(&seen);
    holder_close(&holder);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_opening_without_memory_maps_nothing(void)
{
    const char *path = scratch_path("map");
    struct segment segment = SEGMENT_EMPTY;
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    long pages = mapped_pages;
    memory_fail_after(0, false);
    CHECK_STATUS(segment_open(&segment, path, STRICT, NULL), STATUS_NO_MEMORY);
    memory_fail_after(-1, false);
    CHECK(segment.bytes == NULL);
    CHECK_EQUAL(mapped_pages, pages);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* A handle is on an old file, and its process updates the newer one. */
static void
test_updated_file_stays_mapped_while_an_older_one_is_open(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct segment old = open_segment(path), seen = SEGMENT_EMPTY;
    CHECK_STATUS(segment_keep(&old), STATUS_OK);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    const void *first = NULL;
    for (int i = 0; i < 3; i++) {
        struct holder holder;
        CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
        CHECK_STATUS(holder_map(&holder, path, &seen), STATUS_OK);
        CHECK(seen.mapping != NULL);
        first = first == NULL ? seen.bytes : first;
        CHECK(seen.bytes == first);
        holder_unmap(&seen, path);
        holder_close(&holder);
    }
    CHECK(is_mapped(first));
    segment_close(&old);
    CHECK(!is_mapped(first));
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_updated_file_is_unmapped_where_no_older_one_is_open(void)
{
    const char *path = scratch_path("map");
    struct segment seen = SEGMENT_EMPTY;
    struct holder holder;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    CHECK_STATUS(holder_map(&holder, path, &seen), STATUS_OK);
    const void *bytes = seen.bytes;
    holder_unmap(&seen, path);
    holder_close(&holder);
    CHECK(!is_mapped(bytes));
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* Updates the map as a publisher does, without a change. Returns where it was
 * mapped. */
static const void *
read_as_holder(const char *path)
{
    struct holder holder;
    struct segment seen = SEGMENT_EMPTY;
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    CHECK_STATUS(holder_map(&holder, path, &seen), STATUS_OK);
    const void *bytes = seen.bytes;
    holder_unmap(&seen, path);
    holder_close(&holder);
    return bytes;
}

static void
test_updated_file_stays_mapped_until_the_last_older_one_is_closed(void)
{
    const char *path = scratch_path("map"), *other = scratch_path("other");
    struct segment old[2];
    CHECK_STATUS(publish_number(other, false, 0600, 1), STATUS_OK);
    struct segment segment = open_segment(other);
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(publish_number(path, i > 0, 0600, i), STATUS_OK);
        old[i] = open_segment(path);
    }
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    const void *bytes = read_as_holder(path);
    CHECK(is_mapped(bytes));
    segment_close(&segment);
    CHECK(is_mapped(bytes));
    segment_close(&old[1]);
    CHECK(is_mapped(bytes));
    segment_close(&old[0]);
    CHECK(!is_mapped(bytes));
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_STATUS(segment_remove(other, NULL), STATUS_OK);
}

static void
test_updated_file_that_another_publisher_replaced_goes_with_the_older_one(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct segment old = open_segment(path);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    const void *bytes = read_as_holder(path);
    CHECK_STATUS(publish_number(path, true, 0600, 3), STATUS_OK);
    struct segment newest = open_segment(path);
    CHECK(is_mapped(bytes));
    segment_close(&old);
    CHECK(!is_mapped(bytes));
    CHECK_EQUAL(number_in(&newest), 3);
    segment_close(&newest);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* One that is only being opened may come to nothing. */
static void
test_file_that_is_being_opened_keeps_no_updated_one(void)
{
    const char *path = scratch_path("map");
    struct segment opening = SEGMENT_EMPTY;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK_STATUS(segment_open(&opening, path, STRICT, NULL), STATUS_OK);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    CHECK(!is_mapped(read_as_holder(path)));
    segment_close(&opening);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* A fork in the middle of an update: the child has nothing of it. */
static void
test_child_retains_no_updated_file(void)
{
    const char *path = scratch_path("map");
    struct holder holder;
    struct segment seen = SEGMENT_EMPTY, shared = SEGMENT_EMPTY;
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct segment old = open_segment(path);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    CHECK_STATUS(holder_map(&holder, path, &seen), STATUS_OK);
    CHECK(seen.mapping != NULL);
    pid_t child = start_child();
    if (child == 0) {
        CHECK(!mapping_share(&shared, &seen));
        holder_unmap(&seen, path);
        CHECK(seen.bytes == NULL);
        CHECK_EQUAL(number_in(&old), 1);
        segment_close(&old);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
    holder_unmap(&seen, path);
    holder_close(&holder);
    segment_close(&old);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

/* The path leads elsewhere, or nowhere: the holder is mapped all the same. */
static void
test_holder_is_not_taken_for_what_the_path_leads_to(void)
{
    const char *path = scratch_path("map"), *other = scratch_path("other");
    struct holder holder;
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    CHECK_STATUS(publish_number(other, false, 0600, 8), STATUS_OK);
    struct segment segment = open_segment(other);
    CHECK_STATUS(holder_lock(&holder, path, NULL), STATUS_OK);
    for (int is_gone = 0; is_gone < 2; is_gone++) {
        struct segment seen = SEGMENT_EMPTY;
        CHECK_STATUS(holder_map(&holder, other, &seen), STATUS_OK);
        CHECK(seen.mapping == NULL);
        CHECK_EQUAL(number_in(&seen), 7);
        struct segment shared = SEGMENT_EMPTY;
        CHECK(!mapping_share(&shared, &seen));
        holder_unmap(&seen, other);
        if (is_gone == 0) {
            CHECK_STATUS(segment_remove(other, NULL), STATUS_OK);
        }
    }
    holder_close(&holder);
    segment_close(&segment);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static const struct test tests[] = {
    TEST(test_updated_file_stays_mapped_until_the_last_older_one_is_closed),
    TEST(
        test_updated_file_that_another_publisher_replaced_goes_with_the_older_one),
    TEST(test_file_that_is_being_opened_keeps_no_updated_one),
    TEST(test_child_retains_no_updated_file),
    TEST(test_holder_is_not_taken_for_what_the_path_leads_to),
    TEST(test_updated_file_stays_mapped_while_an_older_one_is_open),
    TEST(test_updated_file_is_unmapped_where_no_older_one_is_open),
    TEST(test_segments_of_one_file_share_one_mapping),
    TEST(test_versions_of_a_map_have_a_mapping_each),
    TEST(test_last_segment_that_is_closed_unmaps_in_any_order),
    TEST(test_many_files_are_told_apart),
    TEST(test_file_that_has_grown_is_mapped_again),
    TEST(test_mapping_may_be_longer_than_the_file),
    TEST(test_file_of_the_same_number_is_another_one_if_its_id_is),
    TEST(test_two_that_map_at_the_same_time_end_up_with_one_mapping),
    TEST(test_threads_may_open_and_close_one_file_at_once),
    TEST(test_child_shares_and_unmaps_on_its_own),
    TEST(test_child_has_no_reference_that_is_not_kept),
    TEST(test_holder_is_read_in_the_mapping_that_is_open),
    TEST(test_mapping_of_a_holder_is_not_shared),
    TEST(test_opening_without_memory_maps_nothing),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
