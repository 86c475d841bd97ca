/* tests/hostile/hostile.c
 *
 *     hostile [--stride N] [KIND ...]
 *
 * Damages small snapshots of each kind in every way of these families, and
 * asks each of the results everything:
 *
 *     flip      every bit
 *     byte      every value of every byte
 *     size      every truncation, and some more bytes
 *     header    pairs of words of the header, 4 or 8 bytes, with edge values
 *     contents  the same behind the header: references, buckets, records; in
 *               a file with deltas, of a delta: header, ranks and all
 *     head      every head, where there are deltas
 *
 * An accident leaves the checksums as they are. A forger makes them right
 * again, and only a forgery gets beyond the header's. Both come in each family
 * where it makes a difference.
 *
 * What must hold is in interrogate.h; besides, an accident that passes verify
 * gives the answers of the original. The bytes end where their allocation
 * ends, so the address sanitizer sees whoever reads on. Who does not end is
 * stopped by a timer on the processor time. Every report says which case it
 * was. A stride takes every N-th case only.
 *
 * Not here: bytes that change meanwhile; see writer.py and
 * core/test_snapshot_damage.c.
 */
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/check.h"
#include "hostile/interrogate.h"
#include "hostile/kinds.h"

/* ---- the present case --------------------------------------------------- */

static struct {
    const char *kind;
    const char *family;
    bool is_forged;
    uint64_t words[4];  // places and what was written there
    bool is_over;
} present;

static struct {
    uint64_t stride;
    uint64_t seen;
    uint64_t cases;
    uint64_t opened;
    uint64_t verified;
} totals = {.stride = 1};

/* Also from a signal handler and from a process that is broken. */
static void
report(void)
{
    char text[256];
    if (!present.is_over) {
        int size = snprintf(text, sizeof(text),
                            "in case %" PRIu64 ": %s, %s, %s, %" PRIu64
                            " = %#" PRIx64 ", %" PRIu64 " = %#" PRIx64 "\n",
                            totals.seen, present.kind, present.family,
                            present.is_forged ? "forged" : "accident",
                            present.words[0], present.words[1],
                            present.words[2], present.words[3]);
        present.is_over = write(STDERR_FILENO, text, (size_t)size) == size;
    }
}

static void
report_endless(int number)
{
    static const char text[] = "does not end\n";
    if (write(STDERR_FILENO, text, sizeof(text) - 1) > 0) {
        report();
    }
    _exit(EXIT_FAILURE);
}

/* The sanitizers end the process by this signal; each has a runtime of its
 * own, so there is no other place for both. */
static void
report_abort(int number)
{
    report();
    _exit(EXIT_FAILURE);
}

const char *
__asan_default_options(void);
const char *
__ubsan_default_options(void);

const char *
__asan_default_options(void)
{
    return "abort_on_error=1";
}

const char *
__ubsan_default_options(void)
{
    return "abort_on_error=1:print_stacktrace=1";
}

/* Some hundred cases get as much of the processor as one that hangs. */
static void
wind_timer(void)
{
    struct itimerval limit = {.it_value = {.tv_sec = 2}};
    CHECK_EQUAL(setitimer(ITIMER_VIRTUAL, &limit, NULL), 0);
}

/* Whether the case is one that is wanted; then it is the present one. */
static bool
begin_case(uint64_t place, uint64_t number, uint64_t other_place,
           uint64_t other_number)
{
    if (totals.seen++ % totals.stride != 0) {
        return false;
    }
    if (totals.cases++ % 256 == 0) {
        wind_timer();
    }
    present.words[0] = place;
    present.words[1] = number;
    present.words[2] = other_place;
    present.words[3] = other_number;
    return true;
}

/* ---- one case ----------------------------------------------------------- */

enum { DELTAS = 2 };

struct target {
    struct image original;
    struct digest answers;
    struct image damaged;  // of the same size
    // Where its deltas are, the old one first; their number may be 0.
    size_t begins[DELTAS];
    size_t ends[DELTAS];
    int delta_count;
    uint32_t head;
};

static void
fill_deltas(struct target *target)
{
    struct version version;
    CHECK_STATUS(version_open_newest(&version, target->original.bytes,
                                     target->original.size),
                 STATUS_OK);
    target->head = version.head;
    target->delta_count = (int)version.delta_count;
    for (unsigned i = 0; i < version.delta_count; i++) {
        uint64_t room = version.base.header.total_size;
        target->begins[i] = room + version.deltas[i].begin;
        target->ends[i] = room + version.deltas[i].end;
    }
}

static void
reseal(const struct target *target, struct image *image)
{
    for (int i = 0; i < target->delta_count; i++) {
        delta_reseal(image, target->begins[i]);
    }
    image_reseal(image);
}

static void
judge_head(const struct target *target, const struct image *image,
           uint32_t head)
{
    struct version version;
    enum status verdict;
    if (version_open(&version, image->bytes, image->size, head) != STATUS_OK) {
        return;
    }
    totals.opened += 1;
    bool is_written = present.is_forged && totals.opened % 128 == 0;
    struct digest answers = interrogate(&version, &verdict, is_written);
    if (verdict == STATUS_OK) {
        totals.verified += 1;
        CHECK(present.is_forged || head != target->head
              || answers.hash == target->answers.hash);
    }
}

/* A reader has loaded the head, so what the file says of it does not count. */
static void
judge(const struct target *target, struct image *image)
{
    if (present.is_forged) {
        reseal(target, image);
    }
    judge_head(target, image, target->head);
}

static void
restore(struct target *target)
{
    memcpy(target->damaged.bytes, target->original.bytes,
           target->original.size);
}

/* ---- families ----------------------------------------------------------- */

static void
flip_every_bit(struct target *target)
{
    for (size_t bit = 0; bit < 8 * target->original.size; bit++) {
        unsigned char mask = (unsigned char)(1U << bit % 8);
        if (begin_case(bit / 8, mask, 0, 0)) {
            target->damaged.bytes[bit / 8] ^= mask;
            judge(target, &target->damaged);
            restore(target);
        }
    }
}

static void
set_every_byte(struct target *target)
{
    for (size_t at = 0; at < target->original.size; at++) {
        for (unsigned value = 0; value < 256; value++) {
            if (begin_case(at, value, 0, 0)) {
                target->damaged.bytes[at] = (unsigned char)value;
                judge(target, &target->damaged);
                restore(target);
            }
        }
    }
}

/* Zeros or ones may follow; a forger says the new size in the header. */
static void
try_every_size(struct target *target)
{
    size_t longest = target->original.size + 192;
    for (size_t size = 0; size <= longest; size++) {
        for (int filler = 0; filler < 2; filler++) {
            // Nobody can forge a header that is not there.
            if ((present.is_forged && size < SNAPSHOT_HEADER_SIZE)
                || !begin_case(size, (uint64_t)filler, 0, 0))
            {
                continue;
            }
            struct image image = image_create(size);
            size_t common =
                size < target->original.size ? size : target->original.size;
            memset(image.bytes, filler == 0 ? 0 : 0xFF, size);
            memcpy(image.bytes, target->original.bytes, common);
            if (present.is_forged && target->delta_count == 0) {
                image_header(&image)->total_size = size;
            }
            if (present.is_forged && target->delta_count > 0) {
                image_header(&image)->limit = round_up(size);
            }
            judge(target, &image);
            image_destroy(&image);
        }
    }
}

enum { EDGE_COUNT = 13 };

/* Where arithmetic on sizes and offsets tends to go wrong. As words of four
 * bytes some of them are the same; only the first few are told apart. */
static void
fill_edges(uint64_t edges[EDGE_COUNT], const struct image *image)
{
    uint64_t size = image->size;
    uint64_t records_size = image_header(image)->records.size;
    const uint64_t numbers[EDGE_COUNT] = {
        0,
        1,
        UINT64_MAX,
        UINT64_C(1) << 31,
        size,
        size - 1,
        size + 1,
        records_size,
        records_size - 1,
        records_size - 2,
        UINT32_MAX,  // from here on for words of eight bytes
        UINT64_C(1) << 32,
        UINT64_C(1) << 63,
    };
    memcpy(edges, numbers, sizeof(numbers));
}

static void
set_pairs(struct target *target, size_t begin, size_t end, size_t width)
{
    uint64_t edges[EDGE_COUNT];
    size_t edge_count = width == 8 ? EDGE_COUNT : 10;
    unsigned char *bytes = target->damaged.bytes;
    fill_edges(edges, &target->original);
    for (size_t first = begin; first + width <= end; first += width) {
        for (size_t second = first + width; second + width <= end;
             second += width)
        {
            for (size_t edge = 0; edge < edge_count * edge_count; edge++) {
                uint64_t one = edges[edge / edge_count];
                uint64_t two = edges[edge % edge_count];
                if (begin_case(first, one, second, two)) {
                    memcpy(bytes + first, &one, width);
                    memcpy(bytes + second, &two, width);
                    judge(target, &target->damaged);
                    restore(target);
                }
            }
        }
    }
}

/* The label only gives its bytes back: flips and byte values are enough. */
static void
set_header_pairs(struct target *target)
{
    size_t end = offsetof(struct snapshot_header, label);
    set_pairs(target, 0, end, 4);
    set_pairs(target, 0, end, 8);
}

static void
set_content_pairs(struct target *target)
{
    size_t begin = SNAPSHOT_HEADER_SIZE, end = target->original.size;
    // Reading is the same whether the checksums are right or not.
    if (present.is_forged && target->delta_count == 0) {
        set_pairs(target, begin, end, 4);
        set_pairs(target, begin, end, 8);
    }
    for (int i = 0; present.is_forged && i < target->delta_count; i++) {
        set_pairs(target, target->begins[i], target->ends[i], 4);
        set_pairs(target, target->begins[i], target->ends[i], 8);
    }
}

/* Any head, odd ones, too; and one for each bit. */
static void
set_every_head(struct target *target)
{
    uint32_t most = (uint32_t)(target->original.size / 32) + 64;
    for (uint32_t head = 0; target->delta_count > 0 && head < most; head++) {
        if (begin_case(head, 0, 0, 0)) {
            judge_head(target, &target->original, head);
        }
        for (int bit = 8; bit < 32; bit++) {
            if (begin_case(head, (uint64_t)bit, 0, 0)) {
                judge_head(target, &target->original,
                           head ^ UINT32_C(1) << bit);
            }
        }
    }
}

static const struct {
    const char *name;
    void (*run)(struct target *target);
} families[] = {
    {"flip", flip_every_bit},        {"byte", set_every_byte},
    {"size", try_every_size},        {"header", set_header_pairs},
    {"contents", set_content_pairs}, {"head", set_every_head},
};

/* ---- all of them -------------------------------------------------------- */

static void
run_kind(const struct kind *kind)
{
    enum status verdict;
    uint64_t cases = totals.cases, opened = totals.opened;
    uint64_t verified = totals.verified;
    struct target target = {.original = kind->make(&kind->options)};
    struct version version;
    CHECK_STATUS(version_open_newest(&version, target.original.bytes,
                                     target.original.size),
                 STATUS_OK);
    fill_deltas(&target);
    present.kind = kind->name;
    present.family = "as it is";
    wind_timer();
    target.answers = interrogate(&version, &verdict, true);
    CHECK_STATUS(verdict, STATUS_OK);
    target.damaged = image_copy(target.original.bytes, target.original.size);
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        for (int is_forged = 0; is_forged < 2; is_forged++) {
            present.family = families[i].name;
            present.is_forged = is_forged == 1;
            families[i].run(&target);
        }
    }
    image_destroy(&target.damaged);
    image_destroy(&target.original);
    CHECK_EQUAL(memory_outstanding(), 0);
    printf("%-16s %9" PRIu64 " cases, %9" PRIu64 " opened, %8" PRIu64
           " verified\n",
           kind->name, totals.cases - cases, totals.opened - opened,
           totals.verified - verified);
    fflush(stdout);
}

int
main(int count, char **words)
{
    if (count > 2 && strcmp(words[1], "--stride") == 0) {
        totals.stride = strtoull(words[2], NULL, 10);
        CHECK(totals.stride > 0);
        words += 2;
        count -= 2;
    }
    signal(SIGVTALRM, report_endless);
    atexit(report);
    signal(SIGABRT, report_abort);
    int chosen = 0;
    for (int i = 0; i < KIND_COUNT; i++) {
        bool is_named = count < 2;
        for (int word = 1; word < count; word++) {
            is_named = is_named || strcmp(words[word], kinds[i].name) == 0;
        }
        if (is_named) {
            chosen += 1;
            run_kind(&kinds[i]);
        }
    }
    // A case that never gets past the header shows nothing.
    CHECK(chosen > 0 && totals.opened > 0 && totals.verified > 0);
    present.is_over = true;
    printf("%" PRIu64 " cases, %" PRIu64 " opened, %" PRIu64
           " verified, 0 failures\n",
           totals.cases, totals.opened, totals.verified);
    return EXIT_SUCCESS;
}
