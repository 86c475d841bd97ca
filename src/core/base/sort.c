/* core/base/sort.c
 *
 * A sort of strings that looks at eight bytes of each key at a time. The bytes
 * are kept beside the entry's number as one number, so that comparing two keys
 * is comparing two numbers that lie in the array itself:
 *
 *     piece                 index
 *     | 'u' 's' 'e' 'r' ... | 17 |   ->  entries[17]
 *
 * The order of the pieces is the order of the bytes, because the first byte is
 * loaded highest. Many items are sorted by radix, by the highest bits in which
 * their pieces differ, few by quicksort. Items with equal pieces go on with the
 * next eight bytes, or behind what they have in common: so that is read once,
 * which is what paths and URLs want.
 *
 *     depth 0    | < | < |  equal pieces  | < | < |
 *     depth 8            | < | equal  | < |
 *     depth 16               | < | <  |
 *
 * Of several ranges that want sorting the largest is gone on with, the others
 * are recursed into: so the recursion is logarithmic, whatever the keys.
 *
 * Behind its end a key goes on with zeros; keys that differ only there are
 * told apart by their sizes. Of equal keys the one with the higher index goes
 * last: it came last.
 *
 * Not here: who gathers the entries; see binding/batch.c.
 */
#include "core/base/sort.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/base/memory.h"

enum {
    PIECE_SIZE = 8,
    // From here on radix. Publishing 100 k entries takes as long with 128 and
    // 4096, up to 1.8 times as long with quicksort alone.
    MANY = 512,
    DIGIT_BITS = 8,  // as many places to write to as the first cache holds
    PASSES = 5,
};

struct item {
    uint64_t piece;  // of the key, at the depth that is being sorted
    size_t index;    // of the entry
};

struct sorting {
    const struct entry *entries;
    struct item *items;
    struct item *spare;  // as many; borrowed from what will be the result
    bool has_equal;      // two keys turned out to be equal
    size_t starts[1 << DIGIT_BITS];  // of the items with each digit
};

static inline struct slice
item_key(const struct sorting *sorting, const struct item *item)
{
    return sorting->entries[item->index].key;
}

static bool
is_ascending(const struct entry *entries, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (slice_compare(entries[i - 1].key, entries[i].key) >= 0) {
            return false;
        }
    }
    return true;
}

/* ---- pieces ------------------------------------------------------------- */

static inline uint64_t
piece_at(struct slice key, size_t depth)
{
    uint64_t piece = 0;
    if (depth + PIECE_SIZE <= key.size) {
        memcpy(&piece, key.bytes + depth, PIECE_SIZE);
    }
    else if (depth < key.size) {
        memcpy(&piece, key.bytes + depth, key.size - depth);
    }
    return __builtin_bswap64(piece);
}

/* For a walk over items: their entries are asked for first, then the bytes
 * that those point to. */
static inline void
prefetch_key(const struct sorting *sorting, size_t i, size_t high,
             size_t depth)
{
    const size_t ahead = 16;
    const struct item *items = sorting->items;
    if (i + 2 * ahead < high) {
        __builtin_prefetch(&sorting->entries[items[i + 2 * ahead].index]);
        __builtin_prefetch(item_key(sorting, &items[i + ahead]).bytes + depth);
    }
}

/* The bits in which any two of the pieces differ. */
static uint64_t
differing_bits(const struct item *items, size_t count)
{
    uint64_t differing = 0;
    for (size_t i = 1; i < count; i++) {
        differing |= items[i].piece ^ items[0].piece;
    }
    return differing;
}

/* Two items of keys that agree before `depth`. */
static bool
is_before(struct sorting *sorting, const struct item *left,
          const struct item *right, size_t depth)
{
    if (left->piece != right->piece) {
        return left->piece < right->piece;
    }
    struct slice left_key = item_key(sorting, left);
    struct slice right_key = item_key(sorting, right);
    // Both have at least `depth` bytes: shorter keys are sorted before. An
    // empty key may be NULL, which cannot be moved.
    if (depth > 0) {
        left_key.bytes += depth;
        left_key.size -= depth;
        right_key.bytes += depth;
        right_key.size -= depth;
    }
    int order = slice_compare(left_key, right_key);
    if (order == 0) {
        sorting->has_equal = true;
        return left->index < right->index;
    }
    return order < 0;
}

/* ---- equal or unlucky ----------------------------------------------------- */

static inline void
swap(struct item *left, struct item *right)
{
    struct item item = *left;
    *left = *right;
    *right = item;
}

/* For items that quicksort cannot tell apart, or cannot divide. */
static void
heap_sort(struct sorting *sorting, size_t low, size_t high, size_t depth)
{
    struct item *heap = sorting->items + low;
    size_t start = (high - low) / 2;
    size_t end = high - low;
    while (end > 1) {
        if (start > 0) {
            start -= 1;
        }
        else {
            end -= 1;
            swap(&heap[0], &heap[end]);
        }
        // Let the item at `start` sink to its place below `end`.
        for (size_t root = start, child; (child = 2 * root + 1) < end;
             root = child)
        {
            if (child + 1 < end
                && is_before(sorting, &heap[child], &heap[child + 1], depth))
            {
                child += 1;
            }
            if (!is_before(sorting, &heap[root], &heap[child], depth)) {
                break;
            }
            swap(&heap[root], &heap[child]);
        }
    }
}

/* ---- by pieces ------------------------------------------------------------ */

/* Items that still have to be sorted, by all bytes from `depth` on. */
struct range {
    size_t low;
    size_t high;
    size_t depth;
};

/* How many bytes from `depth` on a few keys of the range have in common: as
 * many as all of them, or more. */
static size_t
sample_prefix(const struct sorting *sorting, struct range range, size_t depth)
{
    const size_t samples = 16;
    struct slice first = item_key(sorting, &sorting->items[range.low]);
    size_t end = first.size;
    for (size_t k = 1; k <= samples && end > depth; k++) {
        size_t i = range.low + (range.high - range.low - 1) / samples * k;
        struct slice key = item_key(sorting, &sorting->items[i]);
        size_t most = key.size < end ? key.size : end;
        end = depth;
        while (end < most && key.bytes[end] == first.bytes[end]) {
            end += 1;
        }
    }
    return end > depth ? end - depth : 0;
}

/* Loads the pieces behind what all keys of the range have in common, from
 * `depth` on. Returns false when they do not, or when one ends there: then
 * some pieces are wrong, and all items where they were. */
static bool
load_behind(struct sorting *sorting, struct range range, size_t depth,
            size_t common)
{
    struct item *items = sorting->items;
    struct slice first = item_key(sorting, &items[range.low]);
    for (size_t i = range.low; i < range.high; i++) {
        prefetch_key(sorting, i, range.high, depth);
        struct slice key = item_key(sorting, &items[i]);
        if (key.size <= depth + common
            || memcmp(key.bytes + depth, first.bytes + depth, common) != 0)
        {
            return false;
        }
        items[i].piece = piece_at(key, depth + common);
    }
    return true;
}

/* From a range of items with equal pieces to the range of those whose keys go
 * on, with their next pieces loaded. Keys that end within the piece come
 * first; they are equal, up to zeros at the end, and sorted here. */
static struct range
next_pieces(struct sorting *sorting, struct range range)
{
    struct item *items = sorting->items;
    size_t depth = range.depth + PIECE_SIZE;
    if (range.high - range.low < 2) {
        return range;  // without a look at its key, which is in no cache
    }
    if (range.high - range.low >= MANY) {
        // Each piece that is the same for all would be one more walk.
        size_t common = sample_prefix(sorting, range, depth);
        if (common > 0 && load_behind(sorting, range, depth, common)) {
            return (struct range){range.low, range.high, depth + common};
        }
    }
    size_t longer = range.low;
    for (size_t i = range.low; i < range.high; i++) {
        prefetch_key(sorting, i, range.high, depth);
        struct slice key = item_key(sorting, &items[i]);
        if (key.size <= depth) {
            swap(&items[i], &items[longer++]);
        }
        else {
            items[i].piece = piece_at(key, depth);
        }
    }
    heap_sort(sorting, range.low, longer, range.depth);
    return (struct range){longer, range.high, depth};
}

static void
sort_range(struct sorting *sorting, struct range range);

/* Sorts the smaller of two ranges and answers with the larger. */
static struct range
sort_smaller(struct sorting *sorting, struct range left, struct range right)
{
    bool left_is_smaller = left.high - left.low < right.high - right.low;
    sort_range(sorting, left_is_smaller ? left : right);
    return left_is_smaller ? right : left;
}

static uint64_t
median(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t low = a < b ? a : b;
    uint64_t high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}

/* Three ways: below the pivot, equal to it, above. Answers with the largest
 * range that is left; the two others are sorted. */
static struct range
quicksort_step(struct sorting *sorting, struct range range)
{
    struct item *items = sorting->items;
    size_t middle = range.low + (range.high - range.low) / 2;
    uint64_t pivot = median(items[range.low].piece, items[middle].piece,
                            items[range.high - 1].piece);
    size_t equal = range.low, above = range.high;
    // [low, equal) below, [equal, at) equal, [at, above) unknown.
    for (size_t at = range.low; at < above;) {
        if (items[at].piece < pivot) {
            swap(&items[at++], &items[equal++]);
        }
        else if (items[at].piece > pivot) {
            swap(&items[at], &items[--above]);
        }
        else {
            at += 1;
        }
    }
    struct range outer =
        sort_smaller(sorting, (struct range){range.low, equal, range.depth},
                     (struct range){above, range.high, range.depth});
    struct range inner =
        next_pieces(sorting, (struct range){equal, above, range.depth});
    return sort_smaller(sorting, outer, inner);
}

/* Sorts items by some bits of their pieces; those that agree in them keep
 * their order. */
static void
deal(struct sorting *sorting, const struct item *items, struct item *dealt,
     size_t count, unsigned shift, unsigned bits)
{
    size_t *starts = sorting->starts;
    const uint64_t mask = (UINT64_C(1) << bits) - 1;
    memset(starts, 0, sizeof(*starts) << bits);
    for (size_t i = 0; i < count; i++) {
        starts[items[i].piece >> shift & mask] += 1;
    }
    size_t start = 0;
    for (size_t value = 0; value <= mask; value++) {
        size_t next = start + starts[value];
        starts[value] = start;
        start = next;
    }
    for (size_t i = 0; i < count; i++) {
        dealt[starts[items[i].piece >> shift & mask]++] = items[i];
    }
}

/* Sorts by the highest bits that differ, as many as will tell most items from
 * each other, the lower of them first. Returns how many bits are left. */
static unsigned
radix_sort(struct sorting *sorting, struct range range, uint64_t differing)
{
    struct item *items = sorting->items + range.low;
    struct item *spare = sorting->spare + range.low;
    size_t count = range.high - range.low;
    unsigned total = 64 - (unsigned)__builtin_clzll(differing);
    unsigned left =
        total > PASSES * DIGIT_BITS ? total - PASSES * DIGIT_BITS : 0;
    for (unsigned shift = left; shift < total; shift += DIGIT_BITS) {
        unsigned bits =
            total - shift < DIGIT_BITS ? total - shift : DIGIT_BITS;
        deal(sorting, items, spare, count, shift, bits);
        struct item *swapped = items;
        items = spare;
        spare = swapped;
    }
    if (items != sorting->items + range.low) {
        memcpy(spare, items, count * sizeof(*items));
    }
    return left;
}

/* Answers with the largest range that is left; all others are sorted. */
static struct range
radix_step(struct sorting *sorting, struct range range)
{
    const struct item *items = sorting->items;
    uint64_t differing =
        differing_bits(items + range.low, range.high - range.low);
    if (differing == 0) {
        return next_pieces(sorting, range);
    }
    unsigned left = radix_sort(sorting, range, differing);
    struct range largest = {range.low, range.low, range.depth};
    for (size_t low = range.low, high; low < range.high; low = high) {
        high = low + 1;
        while (high < range.high
               && items[high].piece >> left == items[low].piece >> left)
        {
            high += 1;
        }
        if (high - low > 1) {
            largest = sort_smaller(
                sorting, (struct range){low, high, range.depth}, largest);
        }
    }
    return largest;
}

static void
sort_range(struct sorting *sorting, struct range range)
{
    // Quicksort halves a range now and then; if it does not, it is unlucky.
    unsigned patience = 64;
    while (range.high - range.low > 1) {
        size_t before = range.high - range.low;
        size_t depth = range.depth;
        bool is_many = before >= MANY;
        range = is_many ? radix_step(sorting, range)
                        : quicksort_step(sorting, range);
        // Radix gets on by some bits each time, whatever they are.
        bool is_slow = !is_many && range.depth == depth
                       && range.high - range.low > before / 8 * 7;
        if (is_slow && --patience == 0) {
            heap_sort(sorting, range.low, range.high, range.depth);
            return;
        }
    }
}

/* Puts the entries into `sorted` in the order of the items. */
static void
gather(struct sorting *sorting, size_t count, struct entry *sorted)
{
    const size_t ahead = 16;
    for (size_t i = 0; i < count; i++) {
        if (i + ahead < count) {
            __builtin_prefetch(
                &sorting->entries[sorting->items[i + ahead].index]);
        }
        sorted[i] = sorting->entries[sorting->items[i].index];
    }
}

/* In place; compares neighbours. */
static size_t
drop_all_but_last(struct entry *entries, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && slice_equals(entries[i].key, entries[i + 1].key))
        {
            continue;
        }
        entries[kept++] = entries[i];
    }
    return kept;
}

_Static_assert(sizeof(struct item) <= sizeof(struct entry),
               "the result has room for the spare items");

enum status
sort_entries(struct entry **entries, size_t *count)
{
    if (is_ascending(*entries, *count)) {
        return STATUS_OK;
    }
    struct entry *sorted = memory_allocate_array(*count, sizeof(*sorted));
    struct sorting sorting = {
        .entries = *entries,
        .items = memory_allocate_array(*count, sizeof(struct item)),
        .spare = (struct item *)sorted,
    };
    enum status status = STATUS_NO_MEMORY;
    if (sorting.items != NULL && sorted != NULL) {
        for (size_t i = 0; i < *count; i++) {
            sorting.items[i] =
                (struct item){piece_at((*entries)[i].key, 0), i};
        }
        sort_range(&sorting, (struct range){0, *count, 0});
        gather(&sorting, *count, sorted);
        // Neighbours in the result were compared on the way there.
        if (sorting.has_equal) {
            *count = drop_all_but_last(sorted, *count);
        }
        memory_release(*entries);
        *entries = sorted;
        sorted = NULL;
        status = STATUS_OK;
    }
    memory_release(sorted);
    memory_release(sorting.items);
    return status;
}
