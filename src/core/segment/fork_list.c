/* core/segment/fork_list.c
 *
 *     listeners -> | listener | -> | listener | -> NULL
 *
 * fork() takes the lock before and gives it back after, in parent and child;
 * so the list is intact in both.
 *
 * Not here: what the listeners do; see fork.c.
 */
#include "core/segment/fork_list.h"

#include <pthread.h>
#include <stddef.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t handlers_once = PTHREAD_ONCE_INIT;
static struct fork_listener *listeners;  // guarded by the mutex
static uint64_t generation;  // changes only where there is one thread

static void
before_fork(void)
{
    pthread_mutex_lock(&mutex);
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
    while (listeners != NULL) {
        struct fork_listener *listener = listeners;
        listeners = listener->next;
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
