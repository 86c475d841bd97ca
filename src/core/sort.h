/* core/sort.h
 *
 * Entries in any order become entries in the order of their keys.
 */
#ifndef SHAREDMAP_CORE_SORT_H
#define SHAREDMAP_CORE_SORT_H

#include <stddef.h>

#include "core/entry.h"
#include "core/status.h"

/* Sorts the entries in place and drops all but the last of those with equal
 * keys; `count` becomes how many are left. On STATUS_NO_MEMORY the entries are
 * as they were. O(n log n) comparisons, O(n) if they are in order already. */
enum status
sort_entries(struct entry *entries, size_t *count);

#endif
