/* core/base/sort.c
 *
 * A string sort that compares eight bytes of each key at a time. Those bytes,
 * the key prefix word, are stored as a number beside the index of the entry.
 * So comparing two keys is comparing two numbers of the array:
 *
 *     prefix word           index
 *     | 'u' 's' 'e' 'r' ... | 17 |   ->  entries[17]
 *
 * The order of the prefix words is the order of the bytes, because the first
 * byte is loaded highest. Many items are sorted by radix, by the highest bits
 * in which their prefix words differ, few by quicksort.
 *
 * Items with equal prefix words continue with the next eight bytes, or behind
 * the prefix that all of them share. So a shared prefix is read once, which is
 * good for paths and URLs.
 *
 *     depth 0    | < | < |   equal words  | < | < |
 *     depth 8            | < | equal  | < |
 *     depth 16               | < | <  |
 *
 * Of several unsorted ranges the loop continues with the largest and recurses
 * into the others. So the recursion depth is logarithmic for any keys.
 *
 * How much of a prefix all keys share is guessed from a few of them. Where the
 * guess is wrong, the bytes were compared in vain, and an attacker can choose keys
 * that make each guess wrong. So a guess costs credit, which is what was read
 * with success before: the time stays O(bytes of the keys + n log n).
 *
 * A key is padded with zeros; keys that differ only in the padding are
 * compared by size. Of equal keys the one with the higher index goes last: it
 * came last.
 *
 * Not here: collecting the entries; see binding/batch.c.
 */
#include "core/base/sort.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/base/memory.h"

enum {
    PREFIX_WORD_SIZE = 8,
    // From here on radix. Publishing 100 k entries takes as long with 128 and
    // 4096, up to 1.8 times as long with quicksort alone.
    MANY = 512,
    DIGIT_BITS = 8,  // as many write positions as the first cache holds
    PASSES = 5,
    UNINTERRUPTED = 16384,  // items; sorting these takes a millisecond
    CREDIT = 256,           // bytes of each key: most prefixes are shorter
};

struct item {
    uint64_t prefix_word;  // of the key, at the current depth
    size_t index;          // of the entry
};

struct sorting {
    const struct entry *entries;
    struct item *items;
    struct item *spare;                 // as many; borrowed from the result
    bool has_equal;                     // two keys were equal
    const struct interrupt *interrupt;  // borrowed
    bool is_interrupted;                // the rest need not be sorted
    size_t credit;                      // bytes that may be read in vain
    size_t starts[1 << DIGIT_BITS];     // of the items with each digit
};

/* Asks the interrupt before the first of `count` items, unless they are few,
 * and remembers its answer. */
static bool
is_interrupted(struct sorting *sorting, size_t count)
{
    // Rarely tested: once it is interrupted, no part is sorted any more.
    if (count > UNINTERRUPTED && !sorting->is_interrupted) {
        sorting->is_interrupted = interrupt_is_due(sorting->interrupt);
    }
    return sorting->is_interrupted;
}

/* The same in a loop over all entries. */
static inline bool
is_interrupted_at(struct sorting *sorting, size_t index)
{
    return index % UNINTERRUPTED == UNINTERRUPTED - 1
           && is_interrupted(sorting, SIZE_MAX);
}

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

/* ---- prefix words ------------------------------------------------------- */

static inline uint64_t
prefix_word_at(struct slice key, size_t depth)
{
    uint64_t prefix_word = 0;
    if (depth + PREFIX_WORD_SIZE <= key.size) {
        memcpy(&prefix_word, key.bytes + depth, PREFIX_WORD_SIZE);
    }
    else if (depth < key.size) {
        memcpy(&prefix_word, key.bytes + depth, key.size - depth);
    }
    return __builtin_bswap64(prefix_word);
}

/* For iteration over items: prefetches their entries, then the bytes that
 * those point to. */
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

/* The bits in which any two of the prefix words differ. */
static uint64_t
differing_bits(const struct item *items, size_t count)
{
    uint64_t differing = 0;
    for (size_t i = 1; i < count; i++) {
        differing |= items[i].prefix_word ^ items[0].prefix_word;
    }
    return differing;
}

/* Two items of keys that agree before `depth`. */
static bool
is_before(struct sorting *sorting, const struct item *left,
          const struct item *right, size_t depth)
{
    if (left->prefix_word != right->prefix_word) {
        return left->prefix_word < right->prefix_word;
    }
    struct slice left_key = item_key(sorting, left);
    struct slice right_key = item_key(sorting, right);
    // Both have at least `depth` bytes: shorter keys are sorted already. An
    // empty key may be NULL, and NULL + 0 is undefined in C11.
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

/* ---- equal or slow ------------------------------------------------------ */

static inline void
swap(struct item *left, struct item *right)
{
    struct item item = *left;
    *left = *right;
    *right = item;
}

/* For items with equal prefix words, and when quicksort is slow. */
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
        // Sift the item at `start` down, below `end`.
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

/* ---- by prefix words ---------------------------------------------------- */

/* Items that still have to be sorted, by all bytes from `depth` on. */
struct range {
    size_t low;
    size_t high;
    size_t depth;
};

/* How many bytes from `depth` on a sample of the keys share, `most_bytes` at
 * most: as many as all keys of the range, or more. */
static size_t
sample_prefix(const struct sorting *sorting, struct range range, size_t depth,
              size_t most_bytes)
{
    const size_t samples = 16;
    struct slice first = item_key(sorting, &sorting->items[range.low]);
    size_t end = first.size;
    if (end > depth && end - depth > most_bytes) {
        end = depth + most_bytes;
    }
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

/* Loads the prefix words behind the `common` bytes from `depth` on that all
 * keys of the range share. Returns false when they do not share them, or when
 * a key ends there: then some prefix words are wrong, but no item has
 * moved. */
static bool
load_after_prefix(struct sorting *sorting, struct range range, size_t depth,
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
        items[i].prefix_word = prefix_word_at(key, depth + common);
    }
    return true;
}

/* For a range of items with equal prefix words. Returns the range of the
 * longer keys, with their next prefix words loaded. Keys that end within the
 * word come first; they are equal, except for zeros at the end, and are sorted
 * here. */
static struct range
next_prefix_words(struct sorting *sorting, struct range range)
{
    struct item *items = sorting->items;
    size_t depth = range.depth + PREFIX_WORD_SIZE;
    if (range.high - range.low < 2) {
        return range;  // without reading its key, which would miss the cache
    }
    size_t count = range.high - range.low;
    if (count >= MANY) {
        // Each word that all keys share would be one more pass.
        size_t common =
            sample_prefix(sorting, range, depth, sorting->credit / count);
        if (common > 0 && load_after_prefix(sorting, range, depth, common)) {
            sorting->credit += count * common;
            return (struct range){range.low, range.high, depth + common};
        }
        sorting->credit -= count * common;
    }
    sorting->credit += count * PREFIX_WORD_SIZE;
    size_t longer = range.low;
    for (size_t i = range.low; i < range.high; i++) {
        if (is_interrupted_at(sorting, i)) {
            return (struct range){range.low, range.low, depth};
        }
        prefetch_key(sorting, i, range.high, depth);
        struct slice key = item_key(sorting, &items[i]);
        if (key.size <= depth) {
            swap(&items[i], &items[longer++]);
        }
        else {
            items[i].prefix_word = prefix_word_at(key, depth);
        }
    }
    heap_sort(sorting, range.low, longer, range.depth);
    return (struct range){longer, range.high, depth};
}

static void
sort_range(struct sorting *sorting, struct range range);

/* Sorts the smaller of two ranges and returns the larger. */
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

/* A three-way partition: below the pivot, equal to it, above. Returns the
 * largest unsorted range; the two others are sorted. */
static struct range
quicksort_step(struct sorting *sorting, struct range range)
{
    struct item *items = sorting->items;
    size_t middle = range.low + (range.high - range.low) / 2;
    uint64_t pivot =
        median(items[range.low].prefix_word, items[middle].prefix_word,
               items[range.high - 1].prefix_word);
    size_t equal = range.low, above = range.high;
    // [low, equal) below, [equal, at) equal, [at, above) unknown.
    for (size_t at = range.low; at < above;) {
        if (items[at].prefix_word < pivot) {
            swap(&items[at++], &items[equal++]);
        }
        else if (items[at].prefix_word > pivot) {
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
        next_prefix_words(sorting, (struct range){equal, above, range.depth});
    return sort_smaller(sorting, outer, inner);
}

/* Sorts items by some bits of their prefix words. The sort is stable. */
static void
counting_sort_pass(struct sorting *sorting, const struct item *items,
                   struct item *sorted, size_t count, unsigned shift,
                   unsigned bits)
{
    size_t *starts = sorting->starts;
    const uint64_t mask = (UINT64_C(1) << bits) - 1;
    memset(starts, 0, sizeof(*starts) << bits);
    for (size_t i = 0; i < count; i++) {
        starts[items[i].prefix_word >> shift & mask] += 1;
    }
    size_t start = 0;
    for (size_t value = 0; value <= mask; value++) {
        size_t next = start + starts[value];
        starts[value] = start;
        start = next;
    }
    for (size_t i = 0; i < count; i++) {
        sorted[starts[items[i].prefix_word >> shift & mask]++] = items[i];
    }
}

/* Sorts by the highest bits that differ, as many as distinguish most items;
 * the lower digits first. Returns how many bits are left. */
static unsigned
radix_sort(struct sorting *sorting, struct range range, uint64_t differing)
{
    struct item *items = sorting->items + range.low;
    struct item *spare = sorting->spare + range.low;
    size_t count = range.high - range.low;
    unsigned total = 64 - (unsigned)__builtin_clzll(differing);
    unsigned left =
        total > PASSES * DIGIT_BITS ? total - PASSES * DIGIT_BITS : 0;
    for (unsigned shift = left;
         shift < total && !is_interrupted(sorting, count); shift += DIGIT_BITS)
    {
        unsigned bits =
            total - shift < DIGIT_BITS ? total - shift : DIGIT_BITS;
        counting_sort_pass(sorting, items, spare, count, shift, bits);
        struct item *swapped = items;
        items = spare;
        spare = swapped;
    }
    if (items != sorting->items + range.low) {
        memcpy(spare, items, count * sizeof(*items));
    }
    return left;
}

/* Returns the largest unsorted range; all others are sorted. */
static struct range
radix_step(struct sorting *sorting, struct range range)
{
    const struct item *items = sorting->items;
    uint64_t differing =
        differing_bits(items + range.low, range.high - range.low);
    if (differing == 0) {
        return next_prefix_words(sorting, range);
    }
    unsigned left = radix_sort(sorting, range, differing);
    struct range largest = {range.low, range.low, range.depth};
    for (size_t low = range.low, high; low < range.high; low = high) {
        high = low + 1;
        while (high < range.high
               && items[high].prefix_word >> left
                      == items[low].prefix_word >> left)
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
    // Quicksort may be slow for a few steps; if it stays slow, use heap sort.
    unsigned slow_steps_left = 64;
    while (range.high - range.low > 1) {
        size_t before = range.high - range.low;
        if (is_interrupted(sorting, before)) {
            return;
        }
        size_t depth = range.depth;
        bool is_many = before >= MANY;
        range = is_many ? radix_step(sorting, range)
                        : quicksort_step(sorting, range);
        // A radix step makes progress by some bits, whatever the keys.
        bool is_slow = !is_many && range.depth == depth
                       && range.high - range.low > before / 8 * 7;
        if (is_slow && --slow_steps_left == 0) {
            heap_sort(sorting, range.low, range.high, range.depth);
            return;
        }
    }
}

/* Fills the items of the entries, not sorted yet. */
static void
fill_items(struct sorting *sorting, size_t count)
{
    for (size_t i = 0; i < count && !is_interrupted_at(sorting, i); i++) {
        sorting->items[i] =
            (struct item){prefix_word_at(sorting->entries[i].key, 0), i};
    }
}

/* Copies the entries to `sorted` in the order of the items. */
static void
gather(struct sorting *sorting, size_t count, struct entry *sorted)
{
    const size_t ahead = 16;
    for (size_t i = 0; i < count && !is_interrupted_at(sorting, i); i++) {
        if (i + ahead < count) {
            __builtin_prefetch(
                &sorting->entries[sorting->items[i + ahead].index]);
        }
        sorted[i] = sorting->entries[sorting->items[i].index];
    }
}

/* Overwrites the array; compares each entry with its successor. */
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
sort_entries(struct entry **entries, size_t *count,
             const struct interrupt *interrupt)
{
    if (is_ascending(*entries, *count)) {
        return STATUS_OK;
    }
    struct entry *sorted = memory_allocate_array(*count, sizeof(*sorted));
    struct sorting sorting = {
        .entries = *entries,
        .items = memory_allocate_array(*count, sizeof(struct item)),
        .spare = (struct item *)sorted,
        .interrupt = interrupt,
        .credit = *count * CREDIT,
    };
    enum status status = STATUS_NO_MEMORY;
    if (sorting.items != NULL && sorted != NULL) {
        fill_items(&sorting, *count);
        if (!sorting.is_interrupted) {
            sort_range(&sorting, (struct range){0, *count, 0});
        }
        if (!sorting.is_interrupted) {
            gather(&sorting, *count, sorted);
        }
        status = sorting.is_interrupted ? STATUS_INTERRUPTED : STATUS_OK;
    }
    if (status == STATUS_OK) {
        // The sort has compared each entry of the result with its successor.
        if (sorting.has_equal) {
            *count = drop_all_but_last(sorted, *count);
        }
        memory_release(*entries);
        *entries = sorted;
        sorted = NULL;
    }
    memory_release(sorted);
    memory_release(sorting.items);
    return status;
}
