/* tests/core/test_segment_publish.c
 *
 * Publishing and removing by a single process: what it finds under the name,
 * and what it leaves there.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "core/check.h"
#include "core/files.h"
#include "core/segment/segment.h"

static void
test_path_without_a_slash_is_in_the_working_directory(void)
{
    pid_t child = start_child();
    if (child == 0) {
        CHECK_EQUAL(chdir(scratch.path), 0);
        CHECK_STATUS(publish_number("map", false, 0600, 1), STATUS_OK);
        CHECK_STATUS(publish_number("map", true, 0600, 2), STATUS_OK);
        check_published("map", 2, 2);
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_STATUS(segment_remove("map", NULL), STATUS_OK);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
}

/* ---- first, again, forced ----------------------------------------------- */

static void
test_first_publication_has_generation_one(void)
{
    const char *path = scratch_path("map");
    for (int force = 0; force < 2; force++) {
        CHECK_STATUS(segment_check_free(path, NULL), STATUS_OK);
        CHECK_STATUS(publish_number(path, force, 0600, 7), STATUS_OK);
        CHECK_STATUS(segment_check_free(path, NULL), STATUS_NAME_TAKEN);
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_EQUAL(stat_of(path).st_nlink, 1);
        check_published(path, 7, 1);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
        CHECK_STATUS(segment_check_free(path, NULL), STATUS_OK);
        CHECK_EQUAL(scratch_file_count(), 0);
    }
}

static void
test_taken_name_is_not_taken_again_without_force(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    struct stat before = stat_of(path);
    CHECK_STATUS(publish_number(path, false, 0600, 2), STATUS_NAME_TAKEN);

    // The same without the early look at the name.
    struct image image = image_of_entries(NULL, 0, TREE);
    CHECK_STATUS(publish_image(path, &UNFORCED, &image), STATUS_NAME_TAKEN);
    image_destroy(&image);

    CHECK_EQUAL(stat_of(path).st_ino, before.st_ino);
    CHECK_EQUAL(scratch_file_count(), 1);
    check_published(path, 1, 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_force_replaces_and_counts_generations(void)
{
    const char *path = scratch_path("map");
    struct segment old = SEGMENT_EMPTY;
    for (int number = 1; number <= 20; number++) {
        CHECK_STATUS(publish_number(path, true, 0600, number), STATUS_OK);
        check_published(path, number, (uint64_t)number);
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_EQUAL(stat_of(path).st_nlink, 1);
        if (old.bytes != NULL) {
            // It knows, and answers as it always did.
            CHECK_EQUAL(header_in(&old)->head, 1);
            CHECK_EQUAL(number_in(&old), number - 1);
            segment_close(&old);
        }
        old = open_segment(path);
        CHECK_EQUAL(header_in(&old)->head, 0);
    }
    segment_close(&old);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_every_publication_has_a_unique_id_of_its_own(void)
{
    const char *path = scratch_path("map");
    unsigned char before[16] = {0};
    for (int i = 0; i < 10; i++) {
        CHECK_STATUS(publish_number(path, true, 0600, 7), STATUS_OK);
        struct segment segment = open_segment(path);
        CHECK(memcmp(header_in(&segment)->unique_id, before, 16) != 0);
        memcpy(before, header_in(&segment)->unique_id, 16);
        segment_close(&segment);
    }
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_generations_begin_again_after_removal(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, true, 0600, 1), STATUS_OK);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_STATUS(publish_number(path, true, 0600, 3), STATUS_OK);
    check_published(path, 3, 1);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_mode_is_what_was_asked_for_whatever_the_umask(void)
{
    static const mode_t umasks[] = {0, 022, 077, 0777};
    static const mode_t modes[] = {0600, 0644, 0640, 0666, 0400, 0444};
    const char *path = scratch_path("map");
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 6; j++) {
            mode_t before = umask(umasks[i]);
            enum status status = publish_number(path, false, modes[j], 1);
            umask(before);
            CHECK_STATUS(status, STATUS_OK);
            CHECK_EQUAL(stat_of(path).st_mode & 07777, modes[j]);
            CHECK_EQUAL(unlink(path), 0);
        }
    }
}

/* ---- removal ------------------------------------------------------------ */

static void
test_remove_tells_open_readers(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    struct segment segment = open_segment(path);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_EQUAL(header_in(&segment)->head, 1);
    CHECK_EQUAL(number_in(&segment), 7);
    CHECK_EQUAL(scratch_file_count(), 0);
    segment_close(&segment);
}

static void
test_remove_of_an_absent_name_says_so(void)
{
    const char *path = scratch_path("map");
    CHECK_STATUS(segment_remove(path, NULL), STATUS_NAME_ABSENT);
    CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_OK);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_NAME_ABSENT);
}

/* ---- things in the way -------------------------------------------------- */

/* Neither published over nor removed; still there afterwards. */
static void
check_stays(const char *path, mode_t type)
{
    struct stat before = stat_of(path);
    CHECK_EQUAL(before.st_mode & S_IFMT, type);
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_NAME_TAKEN);
    CHECK_STATUS(publish_number(path, true, 0600, 1), STATUS_NOT_REGULAR);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_NOT_REGULAR);
    CHECK_EQUAL(stat_of(path).st_ino, before.st_ino);
    CHECK_EQUAL(scratch_file_count(), 1);
}

static void
test_what_is_no_regular_file_is_left_alone(void)
{
    const char *path = scratch_path("map");
    alarm(5);
    CHECK_EQUAL(mkfifo(path, 0600), 0);
    check_stays(path, S_IFIFO);
    CHECK_EQUAL(unlink(path), 0);

    CHECK_EQUAL(mkdir(path, 0700), 0);
    check_stays(path, S_IFDIR);
    CHECK_EQUAL(rmdir(path), 0);

    CHECK_EQUAL(symlink("/nowhere", path), 0);
    check_stays(path, S_IFLNK);
    CHECK_EQUAL(unlink(path), 0);

    CHECK_EQUAL(mknod(path, S_IFSOCK | 0600, 0), 0);
    check_stays(path, S_IFSOCK);
    CHECK_EQUAL(unlink(path), 0);
    alarm(0);
}

static void
test_link_to_a_map_is_not_followed(void)
{
    const char *map = scratch_path("map");
    const char *link = scratch_path("link");
    CHECK_STATUS(publish_number(map, false, 0600, 7), STATUS_OK);
    CHECK_EQUAL(symlink(map, link), 0);
    CHECK_STATUS(publish_number(link, true, 0600, 8), STATUS_NOT_REGULAR);
    CHECK_STATUS(segment_remove(link, NULL), STATUS_NOT_REGULAR);
    check_published(map, 7, 1);
    CHECK_EQUAL(unlink(link), 0);
    CHECK_STATUS(segment_remove(map, NULL), STATUS_OK);
}

static void
test_junk_is_replaced_only_by_force(void)
{
    static unsigned char junk[4096];
    static const size_t sizes[] = {0, 5, 511, 512, 4096};
    const char *path = scratch_path("map");
    for (size_t i = 0; i < 5; i++) {
        write_file(path, junk, sizes[i]);
        CHECK_STATUS(publish_number(path, false, 0600, 7), STATUS_NAME_TAKEN);
        CHECK_EQUAL(stat_of(path).st_size, sizes[i]);
        CHECK_STATUS(publish_number(path, true, 0600, 7), STATUS_OK);
        check_published(path, 7, 1);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);

        write_file(path, junk, sizes[i]);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
        CHECK_EQUAL(scratch_file_count(), 0);
    }
}

/* What a later version means by our word is not ours to write. */
static void
test_snapshot_of_another_version_is_replaced_unwritten(void)
{
    const char *path = scratch_path("map");
    struct image image = image_of_entries(NULL, 0, TREE);
    image_header(&image)->version = 2;
    image_header(&image)->generation = 41;
    image_reseal(&image);
    write_file(path, image.bytes, image.size);
    int descriptor = open(path, O_RDONLY);
    CHECK(descriptor >= 0);
    CHECK_STATUS(publish_number(path, true, 0600, 7), STATUS_OK);
    check_published(path, 7, 1);
    unsigned char bytes[512];
    CHECK_EQUAL(pread(descriptor, bytes, sizeof(bytes), 0), sizeof(bytes));
    CHECK(memcmp(bytes, image.bytes, sizeof(bytes)) == 0);
    close(descriptor);
    image_destroy(&image);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
}

static void
test_leftover_of_a_killed_publisher_is_cleared(void)
{
    const char *path = scratch_path("map");
    const char *leftover = scratch_path("map~");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    write_file(leftover, "half a map", 10);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    CHECK_EQUAL(scratch_file_count(), 1);
    check_published(path, 2, 2);

    write_file(leftover, "half a map", 10);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_EQUAL(scratch_file_count(), 0);
}

/* A file name has 255 bytes, and a temporary name is one. */
static void
test_longest_file_name_gives_way_to_a_mark(void)
{
    char name[256];
    memset(name, 'x', 255);
    name[255] = '\0';
    const char *path = scratch_path(name);
    static const struct publish_options *const options[] = {&FORCED, &DURABLE};
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(publish_number_on(path, options[i], 1), STATUS_OK);
        CHECK_STATUS(publish_number_on(path, options[i], 2), STATUS_OK);
        check_published(path, 2, 2);
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    }
    CHECK_EQUAL(scratch_file_count(), 0);
}

/* Two names that differ only behind where a mark would cut them off: what the
 * publisher of one has linked must not be cleared by that of the other. */
static void
test_long_names_share_no_temporary_name(void)
{
    static const struct {
        const struct publish_options *options;
        const char *mark;
    } cases[] = {{&FORCED, "~"}, {&DURABLE, ".sharedmap~"}};
    for (int i = 0; i < 2; i++) {
        char name[256], cut[256 + 11];
        memset(name, 'x', 255);
        name[255] = '\0';
        int kept = 255 - (int)strlen(cases[i].mark);
        snprintf(cut, sizeof(cut), "%.*s%s", kept, name, cases[i].mark);
        const char *path = scratch_path(name);
        const char *of_another = scratch_path(cut);
        write_file(of_another, "at work", 7);
        CHECK_STATUS(publish_number_on(path, cases[i].options, 1), STATUS_OK);
        CHECK_STATUS(publish_number_on(path, cases[i].options, 2), STATUS_OK);
        check_published(path, 2, 2);
        CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
        CHECK_EQUAL(stat_of(of_another).st_size, 7);
        CHECK_EQUAL(scratch_file_count(), 1);
        CHECK_EQUAL(unlink(of_another), 0);
    }
}

static void
test_path_of_a_temporary_name_is_refused(void)
{
    const char *path = scratch_path("map.sharedmap~");
    CHECK_STATUS(publish_number_on(path, &DURABLE, 1), STATUS_PATH_RESERVED);
    CHECK_STATUS(publish_number_on(scratch_path(".sharedmap~"), &DURABLE, 1),
                 STATUS_PATH_RESERVED);
    CHECK_EQUAL(scratch_file_count(), 0);
    path = scratch_path("sharedmap~");
    CHECK_STATUS(publish_number_on(path, &DURABLE, 1), STATUS_OK);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);

    pid_t child = start_child();
    if (child == 0) {
        CHECK_EQUAL(chdir(scratch.path), 0);
        CHECK_STATUS(publish_number_on("short", &DURABLE, 1), STATUS_OK);
        CHECK_STATUS(segment_remove("short", NULL), STATUS_OK);
        _exit(0);
    }
    CHECK_EQUAL(end_of_child(child), 0);
}

static void
test_squatted_temporary_name_is_avoided(void)
{
    const char *path = scratch_path("map");
    const char *squatter = scratch_path("map~");
    CHECK_STATUS(publish_number(path, false, 0600, 1), STATUS_OK);
    CHECK_EQUAL(mkdir(squatter, 0700), 0);
    CHECK_STATUS(publish_number(path, true, 0600, 2), STATUS_OK);
    check_published(path, 2, 2);
    CHECK_EQUAL(scratch_file_count(), 2);
    CHECK_STATUS(segment_remove(path, NULL), STATUS_OK);
    CHECK_EQUAL(scratch_file_count(), 1);
    CHECK_EQUAL(rmdir(squatter), 0);
}

static const struct test tests[] = {
    TEST(test_path_without_a_slash_is_in_the_working_directory),
    TEST(test_first_publication_has_generation_one),
    TEST(test_taken_name_is_not_taken_again_without_force),
    TEST(test_force_replaces_and_counts_generations),
    TEST(test_every_publication_has_a_unique_id_of_its_own),
    TEST(test_generations_begin_again_after_removal),
    TEST(test_mode_is_what_was_asked_for_whatever_the_umask),
    TEST(test_remove_tells_open_readers),
    TEST(test_remove_of_an_absent_name_says_so),
    TEST(test_what_is_no_regular_file_is_left_alone),
    TEST(test_link_to_a_map_is_not_followed),
    TEST(test_junk_is_replaced_only_by_force),
    TEST(test_snapshot_of_another_version_is_replaced_unwritten),
    TEST(test_leftover_of_a_killed_publisher_is_cleared),
    TEST(test_longest_file_name_gives_way_to_a_mark),
    TEST(test_long_names_share_no_temporary_name),
    TEST(test_path_of_a_temporary_name_is_refused),
    TEST(test_squatted_temporary_name_is_avoided),
};

int
main(int count, char **words)
{
    scratch_create();
    return RUN_TESTS(tests, count, words);
}
