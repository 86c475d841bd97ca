/* core/segment/fork_list.c
 *
 *     listeners -> | listener | -> | listener | -> NULL
 *     steps     -> | open ... | -> NULL
 *
 * fork() takes the lock before and gives it back after, in parent and child;
 * so the list is intact in both.
 *
 * The lock is never held during a call that can block: a file system that
 * hangs would stop every fork and every other user of the list. Such calls are
 * steps instead. A fork waits until none is under way, and no new one begins
 * meanwhile. One that takes longer than one to two seconds hangs in the
 * system: the fork goes on without it, and later forks do not wait for it at
 * all. Nothing is lost by that, as a call that hangs has not made anything yet
 * that the child could have a copy of.
 *
 * Not here: what the listeners do; see fork.c.
 */
#define _GNU_SOURCE
#include "core/segment/fork_list.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <time.h>

#include "core/segment/backoff.h"

// Seconds, of which the first may have begun before.
static const time_t LONGEST_WAIT_FOR_STEPS = 1;
// Nanoseconds.
#define STEP_BACKOFF ((struct backoff){.next = 10000, .longest = 1000000})

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t handlers_once = PTHREAD_ONCE_INIT;
static struct fork_listener *listeners;  // guarded by the mutex
static struct fork_step *steps;          // likewise
static unsigned waiting_forks;           // likewise
static uint64_t generation;  // changes only where there is one thread

/* A pause without the lock. */
static void
let_others_go_on(struct backoff *backoff)
{
    // Between a call that failed and who reports it.
    int saved_errno = errno;
    pthread_mutex_unlock(&mutex);
    const struct timespec pause = {.tv_nsec = (long)backoff_next(backoff)};
    (void)nanosleep(&pause, NULL);
    pthread_mutex_lock(&mutex);
    errno = saved_errno;
}

static bool
is_step_under_way(void)
{
    const struct fork_step *step = steps;
    while (step != NULL && step->is_forsaken) {
        step = step->next;
    }
    return step != NULL;
}

static void
before_fork(void)
{
    struct backoff backoff = STEP_BACKOFF;
    time_t deadline = 0;
    pthread_mutex_lock(&mutex);
    waiting_forks += 1;
    while (is_step_under_way()) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (deadline == 0) {
            deadline = now.tv_sec + LONGEST_WAIT_FOR_STEPS;
        }
        if (now.tv_sec > deadline) {
            break;
        }
        let_others_go_on(&backoff);
    }
    waiting_forks -= 1;
    for (struct fork_step *step = steps; step != NULL; step = step->next) {
        step->is_forsaken = true;
    }
}

static void
after_fork_in_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

static void
after_fork_in_child(void)
{
    generation += 1;
    // The threads that are in the middle of them, or wait to fork, are not
    // here.
    steps = NULL;
    waiting_forks = 0;
    struct fork_listener *left = listeners;
    listeners = NULL;
    while (left != NULL) {
        struct fork_listener *listener = left;
        left = listener->next;
        listener->in_child(listener);
    }
    pthread_mutex_unlock(&mutex);
}

static void
install_handlers(void)
{
    // Fails only without memory; then a child may keep what it should not for
    // as long as it lives, but nothing is lost.
    (void)pthread_atfork(before_fork, after_fork_in_parent,
                         after_fork_in_child);
}

uint64_t
fork_list_generation(void)
{
    pthread_once(&handlers_once, install_handlers);
    return generation;
}

void
fork_list_lock(void)
{
    pthread_once(&handlers_once, install_handlers);
    pthread_mutex_lock(&mutex);
}

void
fork_list_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

void
fork_list_add(struct fork_listener *listener)
{
    listener->next = listeners;
    listeners = listener;
}

bool
fork_list_remove(struct fork_listener *listener)
{
    struct fork_listener **link = &listeners;
    while (*link != NULL && *link != listener) {
        link = &(*link)->next;
    }
    if (*link == NULL) {
        return false;
    }
    *link = listener->next;
    return true;
}

void
fork_step_begin(struct fork_step *step)
{
    struct backoff backoff = STEP_BACKOFF;
    fork_list_lock();
    while (waiting_forks > 0) {
        let_others_go_on(&backoff);
    }
    *step = (struct fork_step){.next = steps};
    steps = step;
    fork_list_unlock();
}

void
fork_step_end(struct fork_step *step)
{
    struct fork_step **link = &steps;
    while (*link != NULL && *link != step) {
        link = &(*link)->next;
    }
    // Not listed in a child that was forked by a signal handler in this step.
    if (*link != NULL) {
        *link = step->next;
    }
}
