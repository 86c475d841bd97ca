/* core/segment/fork_list.h
 *
 * What has to be put right in a forked child.
 *
 * A child has a copy of everything, but only of the one thread that forked:
 * what other threads were in the middle of stays as it was, for ever. What
 * must not stay so is on this list meanwhile, as a listener that puts it right
 * in the child before fork() returns there.
 */
#ifndef SHAREDMAP_CORE_SEGMENT_FORK_LIST_H
#define SHAREDMAP_CORE_SEGMENT_FORK_LIST_H

#include <stdbool.h>
#include <stdint.h>

struct fork_listener {
    // Called in the child, which has one thread, with the list locked; the
    // listener is no longer on the list, and may be added again.
    void (*in_child)(struct fork_listener *listener);
    struct fork_listener *next;
};

/* How many forks lie between the process that used the list first and this
 * one. What was made under another number is a parent's. */
uint64_t
fork_list_generation(void);

/* Holds off forks and all other users of the list: for a few instructions, and
 * for no call of the system that could block. */
void
fork_list_lock(void);
void
fork_list_unlock(void);

/* Between lock and unlock. The listener must not move while it is listed. */
void
fork_list_add(struct fork_listener *listener);

/* Between lock and unlock. False if it is not listed: then this is a child. */
bool
fork_list_remove(struct fork_listener *listener);

/* Calls of the system that belong together: what the first makes, the last
 * keeps from children. They may block, on a disk or a network. So a fork waits
 * for them, but not for ever, and nothing else does. */
struct fork_step {
    struct fork_step *next;
    bool is_forsaken;  // a fork has waited for it in vain
};

/* Waits for a fork that is about to happen. Not between lock and unlock. */
void
fork_step_begin(struct fork_step *step);

/* Between lock and unlock, so that listing something can be part of it. */
void
fork_step_end(struct fork_step *step);

#endif
