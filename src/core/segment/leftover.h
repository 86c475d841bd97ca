/* core/segment/leftover.h
 *
 * Temporary names: which are in use, and clearing those that are not.
 *
 * A publisher locks its draft before the draft has a temporary name, or before
 * it relies on one, and the system drops that lock with the process. So a file
 * that can be locked is what a killed publisher left.
 *
 * For the files of core/segment only; others use segment_clear_leftover().
 */
#ifndef SHAREDMAP_CORE_SEGMENT_LEFTOVER_H
#define SHAREDMAP_CORE_SEGMENT_LEFTOVER_H

#include <stdbool.h>

#include "core/base/status.h"
#include "core/segment/segment.h"

/* Removes a regular file that no publisher of the path is using; `is_cleared`
 * is true also if it is absent. A second name of the file at the path is not in
 * use; the path may be NULL. STATUS_NOT_REGULAR, STATUS_SYSTEM,
 * STATUS_INTERRUPTED. The interrupts of these functions may be NULL. */
enum status
leftover_clear(const char *temporary, const char *path,
               const struct interrupt *interrupt, bool *is_cleared);

/* The same under the lock of the name, which makes a link or a FIFO a
 * leftover as well. */
enum status
leftover_clear_locked(const char *temporary, const struct interrupt *interrupt,
                      bool *is_cleared);

/* Removes what killed publishers of this path left under names with digits. A
 * file counts only if it begins like a snapshot, or like one that was not
 * finished: in a directory of the user's the name alone proves nothing. What
 * cannot be cleared stays. STATUS_INTERRUPTED. */
enum status
leftover_clear_digits(const char *path, const struct interrupt *interrupt);

#endif
