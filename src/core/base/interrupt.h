/* core/base/interrupt.h
 *
 * A question that long operations ask from time to time: shall this stop?
 *
 * The caller answers it, for example after a signal. The core asks every few
 * milliseconds, and only where stopping leaves nothing behind. So after
 * STATUS_INTERRUPTED nothing has changed, except for rbtree_put_all(). Once the
 * answer was yes, it does not ask again.
 *
 * It also asks when a call of the system ended with EINTR, before it makes the
 * call again: the file system may hang, and then the next question never
 * comes. So that one is answered at once, however short ago the last one was.
 */
#ifndef SHAREDMAP_CORE_BASE_INTERRUPT_H
#define SHAREDMAP_CORE_BASE_INTERRUPT_H

#include <stdbool.h>
#include <stddef.h>

struct interrupt {
    bool (*is_due)(void *context);      // NULL: never
    void *context;                      // borrowed
    bool (*is_due_now)(void *context);  // NULL: like is_due
};

/* Accepts NULL, for never. */
static inline bool
interrupt_is_due(const struct interrupt *interrupt)
{
    return interrupt != NULL && interrupt->is_due != NULL
           && interrupt->is_due(interrupt->context);
}

/* The same where the next question may never come: after a signal has
 * interrupted a call of the system, and before work that cannot ask. */
static inline bool
interrupt_is_due_now(const struct interrupt *interrupt)
{
    if (interrupt == NULL || interrupt->is_due_now == NULL) {
        return interrupt_is_due(interrupt);
    }
    return interrupt->is_due_now(interrupt->context);
}

#endif
