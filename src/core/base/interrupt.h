/* core/base/interrupt.h
 *
 * A question that long operations ask from time to time: shall this stop?
 *
 * The caller answers it, for example after a signal. The core asks every few
 * milliseconds, and only where stopping leaves nothing behind. So after
 * STATUS_INTERRUPTED nothing has changed, except for rbtree_put_all().
 */
#ifndef SHAREDMAP_CORE_BASE_INTERRUPT_H
#define SHAREDMAP_CORE_BASE_INTERRUPT_H

#include <stdbool.h>
#include <stddef.h>

struct interrupt {
    bool (*is_due)(void *context);  // NULL: never
    void *context;                  // borrowed
};

/* Accepts NULL, for never. */
static inline bool
interrupt_is_due(const struct interrupt *interrupt)
{
    return interrupt != NULL && interrupt->is_due != NULL
           && interrupt->is_due(interrupt->context);
}

#endif
