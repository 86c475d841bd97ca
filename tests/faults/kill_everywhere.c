/* tests/faults/kill_everywhere.c
 *
 * Kills a publisher after every single machine instruction, and looks at what
 * is left. What happens between two instructions happens inside the system,
 * which does each call wholly or not at all; so there are no other moments.
 *
 *     for each operation, for each n:
 *
 *         a new directory with the old map, somebody has it open
 *         a child begins the operation, and is killed after n instructions
 *         who opens now     gets all of the old map, or all of the new one
 *         who had it open   has the old map, and knows if there is a new one
 *         the next share, update and remove succeed; no file stays;
 *         nobody who has a map open stays on it without knowing
 *
 * A second table is for two at a time: the first stands after n instructions,
 * the second runs as far as it can, then the first is killed, or goes on.
 * What comes out must be what some order of the two would give.
 *
 *         first    ... n |             | killed, or goes on
 *         second         | runs ... until it ends or sleeps for the lock | ...
 *
 * Exits with a failure if there was one, with NOT_TESTED if nothing was done.
 * build.py makes cores with a step of the protocol in the wrong place; with
 * each of them there must be a failure.
 *
 * Not here: single steps (stepper.c); what is there before and what must hold
 * after (scene.c).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "faults/maps.h"
#include "faults/scene.h"
#include "faults/stepper.h"

/* What test_faults.py takes for a reason to skip. */
enum { NOT_TESTED = 77 };

/* ---- what is killed ----------------------------------------------------- */

#define NEW  {"new a", "new b", "new c", "new d"}
#define HIS  {"his a", "his b", "", "", "his e"}
#define MINE {"", "my b", "", "my d"}

static const struct action SHARE_FREE = {SHARE, .values = NEW};
static const struct action SHARE_FORCE = {SHARE, .force = true, .values = NEW};
static const struct action SHARE_EXPECT = {SHARE, .has_expected = true,
                                           .expected = 1, .values = NEW};
static const struct action SAVE_FREE = {SHARE, .is_durable = true,
                                        .values = NEW};
static const struct action SAVE_FORCE = {SHARE, .is_durable = true,
                                         .force = true, .values = NEW};
static const struct action CHANGE = {UPDATE, .values = MINE,
                                     .leaves_out = {[2] = true, [4] = true}};
static const struct action CHANGE_MUCH = {
    UPDATE, .values = NEW, .leaves_out = {[4] = true, [5] = true},
    .refilled_count = 3};
static const struct action FILL = {UPDATE, .values = {"full a"},
                                   .refilled_count = 4};
static const struct action CHANGE_TO_LARGE = {
    UPDATE, .values = MINE, .refilled_count = 4, .refilled_size = 1900};
static const struct action COMPACTION = {.kind = COMPACT};
static const struct action OPENING = {.kind = OPEN};
static const struct action TAKE_AWAY = {.kind = REMOVE};

static const struct {
    const char *name;
    const struct action *action;
    enum before before;
    unsigned delta_count;  // afterwards
} killed[] = {
    {"first share", &SHARE_FREE, NOTHING, 0},
    {"first share, force", &SHARE_FORCE, NOTHING, 0},
    {"share over a map", &SHARE_FORCE, A_MAP, 0},
    {"share over a map, expect", &SHARE_EXPECT, A_MAP, 0},
    {"share over a leftover", &SHARE_FORCE, A_LEFTOVER, 0},
    {"first save", &SAVE_FREE, NOTHING, 0},
    {"save over a map", &SAVE_FORCE, A_MAP, 0},
    {"update", &CHANGE, A_MAP, 0},
    {"update over a leftover", &CHANGE, A_LEFTOVER, 0},
    {"remove", &TAKE_AWAY, A_MAP, 0},
    {"remove with a leftover", &TAKE_AWAY, A_LEFTOVER, 0},
    {"append to a base", &CHANGE, A_ROOM, 1},
    {"append over a delta", &CHANGE, A_LARGE_DELTA, 2},
    {"append over two deltas", &CHANGE, TWO_DELTAS, 2},
    {"fold", &CHANGE, AN_OLD_DELTA, 1},
    {"copy with a delta", &CHANGE_MUCH, AN_OLD_DELTA, 0},
    {"copy for want of room", &CHANGE_TO_LARGE, A_ROOM, 0},
    {"update of a marked delta", &CHANGE, A_MARKED_DELTA, 0},
    {"compaction", &COMPACTION, AN_OLD_DELTA, 0},
    {"compaction of a marked one", &COMPACTION, A_MARKED_DELTA, 1},
    {"append and compaction", &FILL, AN_OLD_DELTA, 0},
    {"share over a delta", &SHARE_FORCE, AN_OLD_DELTA, 0},
    {"remove with a delta", &TAKE_AWAY, AN_OLD_DELTA, 0},
    {"open with a delta", &OPENING, AN_OLD_DELTA, 1},
};

/* What the second of two does. */
static const struct action HIS_SHARE = {SHARE, .force = true, .values = HIS};
static const struct action HIS_EXPECT = {SHARE, .has_expected = true,
                                         .expected = 1, .values = HIS};
static const struct action HIS_EXPECT_2 = {SHARE, .has_expected = true,
                                           .expected = 2, .values = HIS};
static const struct action HIS_CHANGE = {
    UPDATE, .values = {"his a", "", "", "", "his e"}};

static const struct {
    const char *name;
    const struct action *first;
    const struct action *second;
    enum before before;
} raced[] = {
    {"first share | first share", &SHARE_FORCE, &HIS_SHARE, NOTHING},
    {"share | share", &SHARE_FORCE, &HIS_SHARE, A_MAP},
    {"share | update", &SHARE_FORCE, &HIS_CHANGE, A_MAP},
    {"share | remove", &SHARE_FORCE, &TAKE_AWAY, A_MAP},
    {"expect | expect", &SHARE_EXPECT, &HIS_EXPECT, A_MAP},
    {"update | update", &CHANGE, &HIS_CHANGE, A_MAP},
    {"update | share", &CHANGE, &HIS_SHARE, A_MAP},
    {"update | remove", &CHANGE, &TAKE_AWAY, A_MAP},
    {"remove | share", &TAKE_AWAY, &HIS_SHARE, A_MAP},
    {"remove | update", &TAKE_AWAY, &HIS_CHANGE, A_MAP},
    {"remove | remove", &TAKE_AWAY, &TAKE_AWAY, A_MAP},
    {"append | append", &CHANGE, &HIS_CHANGE, A_ROOM},
    {"append | fold", &CHANGE, &HIS_CHANGE, A_LARGE_DELTA},
    {"append | copy", &CHANGE, &CHANGE_MUCH, A_ROOM},
    {"append | share", &CHANGE, &HIS_SHARE, A_ROOM},
    {"append | expect", &CHANGE, &HIS_EXPECT, A_ROOM},
    {"append | remove", &CHANGE, &TAKE_AWAY, A_ROOM},
    {"fold | append", &CHANGE, &HIS_CHANGE, AN_OLD_DELTA},
    {"copy | append", &CHANGE_MUCH, &HIS_CHANGE, AN_OLD_DELTA},
    {"compaction | append", &COMPACTION, &HIS_CHANGE, AN_OLD_DELTA},
    {"compaction | copy", &COMPACTION, &CHANGE_MUCH, AN_OLD_DELTA},
    {"compaction | share", &COMPACTION, &HIS_SHARE, AN_OLD_DELTA},
    {"compaction | expect", &COMPACTION, &HIS_EXPECT_2, AN_OLD_DELTA},
    {"compaction | remove", &COMPACTION, &TAKE_AWAY, AN_OLD_DELTA},
    {"compaction | compaction", &COMPACTION, &COMPACTION, AN_OLD_DELTA},
    {"append | compaction", &CHANGE, &COMPACTION, AN_OLD_DELTA},
    {"copy | compaction", &CHANGE_MUCH, &COMPACTION, AN_OLD_DELTA},
    {"expect | append", &SHARE_EXPECT, &HIS_CHANGE, A_ROOM},
    {"remove | append", &TAKE_AWAY, &HIS_CHANGE, A_ROOM},
    {"open | append", &OPENING, &HIS_CHANGE, AN_OLD_DELTA},
    {"open | copy", &OPENING, &CHANGE_MUCH, AN_OLD_DELTA},
    {"open | compaction", &OPENING, &COMPACTION, AN_OLD_DELTA},
};

/* ---- options and tables ------------------------------------------------- */

static struct {
    size_t stride;       // of the first table
    size_t most_points;  // of one of its rows: then the stride is larger
    size_t race_stride;  // of the second
    const char *only;    // a part of the names to take; NULL for all
    bool stops_early;    // at the first failure
    int most_complaints;
} options = {.stride = 1,
             .most_points = SIZE_MAX,
             .race_stride = 1,
             .most_complaints = 5};

/* One row of a table. */
struct tally {
    const char *name;
    size_t points;
    size_t old;       // who opened found the map that was there
    size_t new;       // ... the map that the killed one published
    size_t absent;    // ... nothing
    size_t early;     // readers are told already, but nothing is new yet
    size_t leftover;  // there is a file too many, until the next publisher
    size_t waited;    // the second had to wait for the lock
    size_t failures;
    size_t drifts;
};

static void
complain(struct tally *tally, size_t n, const char *how, const char *what)
{
    tally->failures += 1;
    if (tally->failures <= (size_t)options.most_complaints) {
        printf("  %s, first %s after %zu instructions: %s\n", tally->name, how,
               n, what);
    }
}

static struct tally all = {.name = "all"};

/* Adds a row to what there is in all. */
static void
add(const struct tally *tally)
{
    all.points += tally->points;
    all.failures += tally->failures;
    all.drifts += tally->drifts;
}

static bool
is_over(const struct tally *tally)
{
    return options.stops_early && all.failures + tally->failures > 0;
}

/* ---- one point ---------------------------------------------------------- */

/* A run of the first from its beginning to its end. */
struct course {
    const struct action *first;
    enum before before;
    bool is_complete;      // it came to its end, ...
    unsigned delta_count;  // ... and left so many
    struct recording recording;
};

/* Who is killed, or stands, and who else runs. */
struct point {
    struct course *course;
    size_t n;                     // instructions of the first
    const struct action *second;  // NULL for nobody
    bool is_killed;
};

/* Some rows have the same course; each is recorded once. */
static struct course *courses[64];

/* Points add to what this process has in common with them. */
static struct tally *current;

static void *
allocate_common(size_t size)
{
    void *common = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (common == MAP_FAILED) {
        perror("kill_everywhere");
        exit(EXIT_FAILURE);
    }
    return common;
}

/* Each point is a process of its own: so all of them begin with one and the
 * same heap, and run as the recorded one did, whatever came before. */
static void
run_apart(void (*run)(const struct point *), const struct point *point)
{
    int status;
    fflush(NULL);
    pid_t apart = fork();
    if (apart == 0) {
        run(point);
        fflush(NULL);
        _exit(EXIT_SUCCESS);
    }
    if (apart < 0 || waitpid(apart, &status, 0) != apart || status != 0) {
        fprintf(stderr, "kill_everywhere: a point did not come to its end\n");
        exit(EXIT_FAILURE);
    }
}

static int
run_action(void *action)
{
    return (int)action_run(action, scene_path());
}

static struct work
work_of(const struct action *action)
{
    return (struct work){run_action, (void *)action};
}

static void
record_course(const struct point *point)
{
    struct course *course = point->course;
    struct work work = work_of(course->first);
    struct scene scene;
    struct model found;
    scene_begin(&scene, course->before);
    course->is_complete = stepper_record(&work, &course->recording);
    const char *complaint = scene_open(&scene, &found);
    // What cannot be read is a failure of the first point.
    course->delta_count =
        complaint == NULL ? scene.readers[scene.reader_count - 1].delta_count
                          : UINT_MAX;
    scene_end(&scene);
}

static struct course *
find_course(const struct action *first, enum before before)
{
    struct course **course = courses;
    while (*course != NULL
           && ((*course)->first != first || (*course)->before != before))
    {
        course++;
    }
    if (*course == NULL) {
        *course = allocate_common(sizeof(**course));
        (*course)->first = first;
        (*course)->before = before;
        run_apart(record_course, &(struct point){.course = *course});
    }
    return *course;
}

/* A fresh scene, and a child that stands after n instructions. */
static pid_t
begin_point(struct scene *scene, const struct point *point)
{
    struct work work = work_of(point->course->first);
    pid_t child = 0;
    for (int attempt = 0; attempt < 3 && child == 0; attempt++) {
        if (attempt > 0) {
            scene_end(scene);
        }
        scene_begin(scene, point->course->before);
        child = stepper_run_to(&work, &point->course->recording, point->n,
                               attempt);
    }
    if (child == 0) {
        fprintf(stderr, "kill_everywhere: a signal stopped the child\n");
        _exit(EXIT_FAILURE);
    }
    return child;
}

/* From the last instruction to none at all: the steps that can go wrong are
 * the late ones. False when there is nothing before n. */
static bool
go_back(size_t *n, size_t stride)
{
    if (*n == 0) {
        return false;
    }
    *n -= *n < stride ? *n : stride;
    return true;
}

/* ---- killed ------------------------------------------------------------- */

static void
count_outcome(struct tally *tally, const struct model *before,
              const struct model *found)
{
    tally->old += found->generation > 0 && model_equals(found, before);
    tally->new += found->generation > 0 && !model_equals(found, before);
    tally->absent += found->generation == 0;
}

static const char *
check_killed(struct scene *scene, const struct action *action,
             struct tally *tally)
{
    struct model before = scene->model, after = before, found;
    const int last = scene->reader_count - 1;
    (void)model_apply(&after, action);
    const char *complaint = scene_open(scene, &found);
    if (complaint != NULL) {
        return complaint;
    }
    count_outcome(tally, &before, &found);
    if (!model_equals(&found, &before) && !model_equals(&found, &after)) {
        return "who opens gets neither the old map nor the new one";
    }
    scene->model = found;
    // The reader before the one that has just opened it.
    tally->early += model_equals(&found, &before) && before.generation > 0
                    && reader_is_told(&scene->readers[last]);
    size_t left = scene_count_left(&found);
    tally->leftover += left > 0;
    if (left > 1 + (scene->had_leftover ? scene_drafts_left() : 0)) {
        return "more than one file is left behind";
    }
    complaint = scene_check_readers(scene);
    return complaint != NULL
               ? complaint
               : scene_check_aftermath(scene, action->is_durable);
}

static void
kill_at(const struct point *point)
{
    struct scene scene;
    stepper_kill(begin_point(&scene, point));
    const char *complaint =
        check_killed(&scene, point->course->first, current);
    if (complaint != NULL) {
        complain(current, point->n, "killed", complaint);
    }
    scene_end(&scene);
    current->points += 1;
}

/* What a row of either table begins with; NULL, with a failure in the tally,
 * when the first does not even come to its end. */
static struct course *
begin_row(const char *name, const struct action *first, enum before before)
{
    struct course *course = find_course(first, before);
    *current = (struct tally){.name = name};
    if (!course->is_complete) {
        complain(current, 0, "ended", "it does not even run to its end");
        return NULL;
    }
    course->recording.drifts = 0;
    return course;
}

static void
kill_everywhere(struct course *course, unsigned wanted)
{
    struct point point = {.course = course, .n = course->recording.count};
    if (course->delta_count != wanted && course->delta_count != UINT_MAX) {
        complain(current, 0, "ended", "it is not what its name says");
    }
    size_t stride = point.n / options.most_points + 1;
    if (stride < options.stride) {
        stride = options.stride;
    }
    while (!is_over(current)) {
        run_apart(kill_at, &point);
        if (!go_back(&point.n, stride)) {
            break;
        }
    }
    current->drifts = course->recording.drifts;
}

/* ---- two at a time ------------------------------------------------------ */

/* What the two answered, and where it led. */
struct result {
    enum status first;  // STATUS_OK when it was killed
    enum status second;
    struct model model;
};

static bool
result_equals(const struct result *left, const struct result *right)
{
    return left->first == right->first && left->second == right->second
           && model_equals(&left->model, &right->model);
}

/* Whether one after the other could have led to the result. A killed one may
 * have done all or nothing, and answers nobody. */
static bool
is_serial(const struct model *before, const struct action *first,
          const struct action *second, bool is_killed,
          const struct result *result)
{
    struct result forward = {.model = *before}, backward = {.model = *before},
                  alone = {.model = *before};
    forward.first = model_apply(&forward.model, first);
    forward.second = model_apply(&forward.model, second);
    backward.second = model_apply(&backward.model, second);
    backward.first = model_apply(&backward.model, first);
    alone.second = model_apply(&alone.model, second);
    if (is_killed) {
        forward.first = backward.first = STATUS_OK;
    }
    return result_equals(result, &forward) || result_equals(result, &backward)
           || (is_killed && result_equals(result, &alone));
}

/* One point: lets both end and looks at what comes out. */
static const char *
run_race(struct scene *scene, pid_t standing, const struct action *first,
         const struct action *second, bool is_killed, struct tally *tally)
{
    struct model before = scene->model, found;
    struct work work = work_of(second);
    struct result result = {.first = STATUS_OK};
    int code;
    pid_t running = freely_start(&work);
    bool has_ended = freely_wait(running, &code);
    tally->waited += !has_ended;
    // Who opens in the middle must not be forgotten either.
    const char *complaint = scene_open(scene, &found);
    if (is_killed) {
        stepper_kill(standing);
    }
    else {
        result.first = (enum status)stepper_finish(standing);
    }
    if (!has_ended) {
        code = freely_finish(running);
    }
    result.second = (enum status)code;
    if (complaint == NULL) {
        complaint = scene_open(scene, &result.model);
    }
    if (complaint != NULL) {
        return complaint;
    }
    if (!is_serial(&before, first, second, is_killed, &result)) {
        return "no order of the two leads to this";
    }
    if (scene_count_left(&result.model) > is_killed * scene_drafts_left()) {
        return "a file is left";
    }
    scene->model = result.model;
    complaint = scene_check_readers(scene);
    return complaint != NULL ? complaint : scene_check_aftermath(scene, false);
}

static void
race_at(const struct point *point)
{
    struct scene scene;
    pid_t standing = begin_point(&scene, point);
    const char *complaint = run_race(&scene, standing, point->course->first,
                                     point->second, point->is_killed, current);
    if (complaint != NULL) {
        complain(current, point->n, point->is_killed ? "killed" : "standing",
                 complaint);
    }
    scene_end(&scene);
    current->points += 1;
}

static void
race_everywhere(struct course *course, const struct action *second)
{
    struct point point = {
        .course = course, .second = second, .n = course->recording.count};
    while (!is_over(current)) {
        for (int is_killed = 0; is_killed < 2; is_killed++) {
            point.is_killed = is_killed;
            run_apart(race_at, &point);
        }
        if (!go_back(&point.n, options.race_stride)) {
            break;
        }
    }
    current->drifts = course->recording.drifts;
}

/* ---- the program -------------------------------------------------------- */

static void
parse_options(int count, char **words)
{
    static const struct option known[] = {
        {"stride", required_argument, NULL, 's'},
        {"most-points", required_argument, NULL, 'm'},
        {"race-stride", required_argument, NULL, 'r'},
        {"only", required_argument, NULL, 'o'},
        {"directory", required_argument, NULL, 'd'},
        {"stop-early", no_argument, NULL, 'e'},
        {0},
    };
    const char *parent = "/dev/shm";
    int option;
    while ((option = getopt_long(count, words, "", known, NULL)) != -1) {
        switch (option) {
        case 's':
            options.stride = strtoul(optarg, NULL, 10);
            break;
        case 'm':
            options.most_points = strtoul(optarg, NULL, 10);
            break;
        case 'r':
            options.race_stride = strtoul(optarg, NULL, 10);
            break;
        case 'o':
            options.only = optarg;
            break;
        case 'd':
            parent = optarg;
            break;
        case 'e':
            options.stops_early = true;
            break;
        default:
            options.stride = 0;
            break;
        }
    }
    if (options.stride == 0 || options.race_stride == 0
        || options.most_points == 0 || optind < count)
    {
        fprintf(
            stderr,
            "usage: %s [--stride N] [--most-points N] [--race-stride N]\n"
            "       [--stop-early] [--only PART-OF-A-NAME] [--directory DIRECTORY]\n",
            words[0]);
        exit(2);
    }
    scene_create_directory(parent);
}

static bool
is_selected(const char *name)
{
    return options.only == NULL || strstr(name, options.only) != NULL;
}

/* Both live on one processor: then a step is a switch and not a wake-up. */
static void
stay_on_one_processor(void)
{
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0) {
        return;
    }
    for (size_t i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &allowed)) {
            CPU_ZERO(&one);
            CPU_SET(i, &one);
            (void)sched_setaffinity(0, sizeof(one), &one);
            return;
        }
    }
}

static double
seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void
print_kills(void)
{
    printf("%-27s%7s%7s%7s%8s%7s%10s%10s\n", "killed", "points", "old", "new",
           "absent", "early", "leftover", "failures");
    for (size_t i = 0; i < sizeof(killed) / sizeof(killed[0]); i++) {
        if (!is_selected(killed[i].name) || is_over(&all)) {
            continue;
        }
        const struct tally *tally = current;
        struct course *course =
            begin_row(killed[i].name, killed[i].action, killed[i].before);
        if (course != NULL) {
            kill_everywhere(course, killed[i].delta_count);
        }
        printf("%-27s%7zu%7zu%7zu%8zu%7zu%10zu%10zu\n", tally->name,
               tally->points, tally->old, tally->new, tally->absent,
               tally->early, tally->leftover, tally->failures);
        fflush(stdout);
        add(tally);
    }
}

static void
print_races(void)
{
    printf("\n%-27s%7s%22s%27s\n", "first | second", "points",
           "second had to wait", "failures");
    for (size_t i = 0; i < sizeof(raced) / sizeof(raced[0]); i++) {
        if (!is_selected(raced[i].name) || is_over(&all)) {
            continue;
        }
        const struct tally *tally = current;
        struct course *course =
            begin_row(raced[i].name, raced[i].first, raced[i].before);
        if (course != NULL) {
            race_everywhere(course, raced[i].second);
        }
        printf("%-27s%7zu%22zu%27zu\n", tally->name, tally->points,
               tally->waited, tally->failures);
        fflush(stdout);
        add(tally);
    }
}

int
main(int count, char **words)
{
    double start = seconds();
    if (!stepper_is_possible()) {
        printf("NOT TESTED: only x86-64 can be single-stepped here.\n");
        return NOT_TESTED;
    }
    parse_options(count, words);
    stay_on_one_processor();
    current = allocate_common(sizeof(*current));
    print_kills();
    print_races();
    printf("\n%zu points, %zu failures, %.0f s; %zu runs took another way "
           "than the one that was recorded\n",
           all.points, all.failures, seconds() - start, all.drifts);
    return all.failures == 0 && all.points > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
