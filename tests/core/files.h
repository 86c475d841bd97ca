/* tests/core/files.h
 *
 * Files and processes for tests of segments. Everything lies in a directory
 * of its own in /dev/shm, whose name no other test has; it goes when the test
 * program ends, failed or not. Names of maps hold the same token.
 */
#ifndef SHAREDMAP_TESTS_CORE_FILES_H
#define SHAREDMAP_TESTS_CORE_FILES_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(SHAREDMAP_PORTABLE) && defined(__has_include)
#if __has_include(<sys/event.h>)
#include <sys/event.h>  // the stand-in of tests/support/kqueue
#endif
#endif

#include "core/check.h"
#include "core/publish.h"
#include "core/segment/segment.h"
#include "core/snapshot/version.h"
#include "core/snapshots.h"
#include "core/update.h"

/* ---- the directory ------------------------------------------------------ */

static struct {
    char path[64];
    pid_t owner;
} scratch;

static inline void
scratch_remove(void)
{
    char path[512];
    if (getpid() != scratch.owner) {
        return;  // a child that failed a check
    }
    DIR *directory = opendir(scratch.path);
    struct dirent *item;
    while (directory != NULL && (item = readdir(directory)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", scratch.path, item->d_name);
        if (unlink(path) < 0) {
            rmdir(path);
        }
    }
    if (directory != NULL) {
        closedir(directory);
    }
    rmdir(scratch.path);
}

static inline void
scratch_create(void)
{
    strcpy(scratch.path, "/dev/shm/sharedmap-test-XXXXXX");
    CHECK(mkdtemp(scratch.path) != NULL);
    CHECK_EQUAL(chmod(scratch.path, 01777), 0);  // as /dev/shm is
    scratch.owner = getpid();
    atexit(scratch_remove);
}

/* A path in the directory; good until the next eight calls. */
static inline const char *
scratch_path(const char *name)
{
    static char paths[8][512];
    static int turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", scratch.path, name);
    return path;
}

static inline int
scratch_file_count(void)
{
    DIR *directory = opendir(scratch.path);
    CHECK(directory != NULL);
    int count = -2;  // itself and its parent
    while (readdir(directory) != NULL) {
        count += 1;
    }
    closedir(directory);
    return count;
}

static inline void
write_file(const char *path, const void *bytes, size_t size)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(descriptor >= 0);
    CHECK_EQUAL(write(descriptor, bytes, size), size);
    close(descriptor);
}

static inline struct stat
stat_of(const char *path)
{
    struct stat file;
    CHECK_EQUAL(lstat(path, &file), 0);
    return file;
}

/* ---- maps of one entry -------------------------------------------------- */

static const struct publish_options UNFORCED = {.mode = 0600};
static const struct publish_options FORCED = {.mode = 0600, .force = true};
static const struct publish_options DURABLE = {
    .mode = 0600, .force = true, .is_durable = true};

/* Publishes "number" -> its digits. */
static inline enum status
publish_number_on(const char *path, const struct publish_options *options,
                  int number)
{
    char digits[16];
    int size = snprintf(digits, sizeof(digits), "%d", number);
    struct slice value = {(unsigned char *)digits, (size_t)size};
    struct entry entry = {SLICE("number"), {value, VALUE_STR}};
    struct snapshot_plan plan;
    struct snapshot_options layout = {.label = SLICE("label")};
    CHECK_STATUS(publish_plan(&plan, &entry, 1, &layout), STATUS_OK);
    return publish_to_segment(&plan, path, options);
}

static inline enum status
publish_number(const char *path, bool force, unsigned mode, int number)
{
    struct publish_options options = {.mode = mode, .force = force};
    return publish_number_on(path, &options, number);
}

/* Publishes without asking for memory, as the child of a fork must: another
 * thread may have held malloc's lock at that moment. glibc copes with that,
 * the address sanitizer does not. */
static inline enum status
publish_image(const char *path, const struct publish_options *options,
              const struct image *image)
{
    struct draft draft;
    struct snapshot_header header = *image_header(image);
    enum status status = draft_create(&draft, path, image->size, options);
    if (status == STATUS_OK) {
        status = draft_write(&draft, 0, image->bytes, image->size);
    }
    if (status == STATUS_OK) {
        status = draft_publish(&draft, path, options, &header);
    }
    draft_close(&draft);
    return status;
}

static const struct open_options STRICT = {.follows_links = false};

static inline struct segment
open_segment(const char *path)
{
    struct segment segment = SEGMENT_EMPTY;
    CHECK_STATUS(segment_open(&segment, path, STRICT, NULL), STATUS_OK);
    CHECK_STATUS(segment_keep(&segment), STATUS_OK);
    return segment;
}

/* What opening says, for those who expect a refusal. */
static inline enum status
status_of_open(const char *path)
{
    struct segment segment = SEGMENT_EMPTY;
    enum status status = segment_open(&segment, path, STRICT, NULL);
    CHECK_EQUAL(segment.bytes != NULL, status == STATUS_OK);
    segment_close(&segment);
    return status;
}

static inline int
number_in(const struct segment *segment)
{
    struct version version;
    struct entry entry;
    bool is_found;
    char digits[16] = "";
    CHECK_STATUS(
        version_open(&version, segment->bytes, segment->size, segment->head),
        STATUS_OK);
    CHECK_STATUS(version_verify(&version, NULL), STATUS_OK);
    CHECK_STATUS(version_find(&version, SLICE("number"), &entry, &is_found),
                 STATUS_OK);
    CHECK(is_found && entry.value.bytes.size < sizeof(digits));
    slice_copy(digits, entry.value.bytes);
    return atoi(digits);
}

static inline const struct snapshot_header *
header_in(const struct segment *segment)
{
    return (const struct snapshot_header *)segment->bytes;
}

/* What a new reader finds under the path. */
static inline void
check_published(const char *path, int number, uint64_t generation)
{
    struct segment segment = open_segment(path);
    CHECK_EQUAL(number_in(&segment), number);
    CHECK_EQUAL(header_in(&segment)->generation, generation);
    CHECK_EQUAL(header_in(&segment)->head, 0);
    segment_close(&segment);
}

/* ---- maps with room for deltas ------------------------------------------ */

enum { ROOMY_COUNT = 5000 };

/* Publishes "number" -> 1, and 5,000 others. */
static inline void
publish_roomy_on(const char *path, const struct snapshot_options *layout,
                 const struct publish_options *options)
{
    static struct numbered numbered;
    struct entry *entries = fill_numbered(&numbered, ROOMY_COUNT);
    struct snapshot_plan plan;
    entries[ROOMY_COUNT] =
        (struct entry){SLICE("number"), {SLICE("1"), VALUE_STR}};
    CHECK_STATUS(publish_plan(&plan, entries, ROOMY_COUNT + 1, layout),
                 STATUS_OK);
    CHECK_STATUS(publish_to_segment(&plan, path, options), STATUS_OK);
}

static inline void
publish_roomy(const char *path, const struct snapshot_options *layout)
{
    publish_roomy_on(path, layout, &UNFORCED);
}

/* An update of "number", and of `others` of the others to the same value. */
static inline enum status
update_number(const char *path, int number, int others)
{
    static char keys[ROOMY_COUNT][8];
    static struct entry puts[ROOMY_COUNT + 1];
    char digits[16];
    int size = snprintf(digits, sizeof(digits), "%d", number);
    struct value value = {{(unsigned char *)digits, (size_t)size}, VALUE_STR};
    for (int i = 0; i < others; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%04d0", i);
        puts[i] = (struct entry){{(unsigned char *)keys[i], 5}, value};
    }
    puts[others] = (struct entry){SLICE("number"), value};
    struct publish_update update = {
        .changes = {.puts = puts, .put_count = (size_t)others + 1},
        .label = SLICE("label"),
    };
    return publish_update(&update, path);
}

static inline struct version
version_of_segment(const struct segment *segment)
{
    struct version version;
    CHECK_STATUS(
        version_open(&version, segment->bytes, segment->size, segment->head),
        STATUS_OK);
    CHECK_STATUS(version_verify(&version, NULL), STATUS_OK);
    return version;
}

/* ---- time --------------------------------------------------------------- */

static inline double
now(void)
{
    return (double)segment_clock() / 1e9;
}

static inline void
nap(long milliseconds)
{
    struct timespec pause = {.tv_nsec = milliseconds * 1000000};
    while (nanosleep(&pause, &pause) < 0) {
    }
}

/* ---- other processes ---------------------------------------------------- */

/* What the system says of a thread in a file of that name; "" if nothing. */
static inline void
read_of_thread(pid_t process, pid_t thread, const char *name, char line[512])
{
    char path[96];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", (int)process,
             (int)thread, name);
    FILE *file = fopen(path, "r");
    size_t size = file == NULL ? 0 : fread(line, 1, 511, file);
    line[size] = '\0';
    if (file != NULL) {
        fclose(file);
    }
}

/* 'S' asleep, 'R' running, 'Z' ended; 'X' when there is no such thread. */
static inline char
state_of(pid_t process, pid_t thread)
{
    char line[512];
    read_of_thread(process, thread, "stat", line);
    // It follows the name, in brackets.
    const char *name_end = strrchr(line, ')');
    return name_end != NULL && name_end[1] == ' ' ? name_end[2] : 'X';
}

/* Whether it sleeps in one of the system's functions with that in its name.
 * Where the system does not tell in which, any sleep will do; so it does for
 * the futex where there is none. */
static inline bool
is_asleep(pid_t process, pid_t thread, const char *where)
{
    char line[512];
    read_of_thread(process, thread, "wchan", line);
    bool is_any = FUTEX_IS_EMULATED && strcmp(where, "futex") == 0;
    if (!is_any && line[0] != '\0' && strcmp(line, "0") != 0) {
        return strstr(line, where) != NULL;
    }
    return state_of(process, thread) == 'S';
}

static inline void
wait_until_asleep(pid_t process, pid_t thread, const char *where)
{
    while (!is_asleep(process, thread, where)) {
        char state = state_of(process, thread);
        CHECK(state != 'Z' && state != 'X');
        nap(1);
    }
}

/* Where kqueue wakes, a missed event is made up for by a poll. Between these
 * calls it is not: a sleep that no event ends hangs. */
static inline void
only_events_wake(bool is_begin)
{
#ifdef KQUEUE_STAND_IN
    atomic_store(&kqueue_waits_for_events, is_begin);
#else
    (void)is_begin;
#endif
}

/* 0 in the child, which must leave by _exit(). */
static inline pid_t
start_child(void)
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(20);  // whatever blocks it, it does not block for ever
    }
    return child;
}

/* Its exit code, or 1000 and the number of the signal that ended it. */
static inline int
end_of_child(pid_t child)
{
    int status;
    pid_t waited;
    do {
        waited = waitpid(child, &status, 0);
    } while (waited < 0 && errno == EINTR);
    CHECK_EQUAL(waited, child);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* A process that takes the lock on the path and keeps it until it dies. */
static inline pid_t
start_locker(const char *path, int flags, short type)
{
    int ready[2];
    char byte;
    CHECK_EQUAL(pipe(ready), 0);
    pid_t locker = start_child();
    if (locker == 0) {
        struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
        int descriptor = open(path, flags);
        CHECK(descriptor >= 0);
        CHECK_EQUAL(fcntl(descriptor, F_OFD_SETLK, &lock), 0);
        CHECK_EQUAL(write(ready[1], "", 1), 1);
        for (;;) {
            pause();
        }
    }
    CHECK_EQUAL(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return locker;
}

static inline void
kill_child(pid_t child)
{
    kill(child, SIGKILL);
    CHECK_EQUAL(end_of_child(child), 1000 + SIGKILL);
}

#endif
