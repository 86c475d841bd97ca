/* core/base/sort.h
 *
 * Sorts entries by key and removes duplicates.
 */
#ifndef SHAREDMAP_CORE_BASE_SORT_H
#define SHAREDMAP_CORE_BASE_SORT_H

#include <stddef.h>

#include "core/base/entry.h"
#include "core/base/interrupt.h"
#include "core/base/status.h"

/* Sorts the entries, an array of memory_allocate(), and drops all but the last
 * of those with equal keys. Updates `count`; the array may become another one.
 * On STATUS_NO_MEMORY and STATUS_INTERRUPTED nothing has changed. O(n log n),
 * O(n) if they are in order already. */
enum status
sort_entries(struct entry **entries, size_t *count,
             const struct interrupt *interrupt);

#endif
