/* core/segment/readers.c
 *
 * Waiting for readers. Each of two rounds sends the next readers to the other
 * counter and waits until every stripe's old one has been 0: so neither can be
 * kept up by readers that come and go.
 *
 * One thread at a time does that. A second one would change the epoch between
 * the rounds of the first, which then would wait for the same counter twice,
 * and not for the readers in the other.
 *
 * A forked child has the counts of threads that it does not have, and the lock
 * as they had it; both begin anew there.
 */
#define _GNU_SOURCE
#include "core/segment/readers.h"

#include <pthread.h>
#include <stddef.h>

#include "core/segment/backoff.h"
#include "core/segment/fork_list.h"
#include "core/segment/segment.h"

// A reader that runs leaves within this; one that has lost its core does not.
enum { SPINS = 200 };
// Nanoseconds.
#define READERS_BACKOFF ((struct backoff){.next = 10000, .longest = 1000000})

struct readers_stripe readers_stripes[READERS_STRIPES];
_Atomic unsigned readers_epoch;
_Thread_local struct readers_stripe *readers_own;

static pthread_once_t listen_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t wait_mutex = PTHREAD_MUTEX_INITIALIZER;

static void
begin_anew(struct fork_listener *listener)
{
    for (int i = 0; i < READERS_STRIPES; i++) {
        atomic_store(&readers_stripes[i].counts[0], 0);
        atomic_store(&readers_stripes[i].counts[1], 0);
    }
    (void)pthread_mutex_init(&wait_mutex, NULL);
    fork_list_add(listener);
}

static struct fork_listener listener = {.in_child = begin_anew};

static void
listen(void)
{
    fork_list_lock();
    fork_list_add(&listener);
    fork_list_unlock();
}

struct readers_stripe *
readers_join(void)
{
    static _Atomic unsigned count;
    pthread_once(&listen_once, listen);
    readers_own =
        &readers_stripes[atomic_fetch_add(&count, 1) % READERS_STRIPES];
    return readers_own;
}

static void
wait_for_zero(_Atomic uint32_t *counter)
{
    struct backoff backoff = READERS_BACKOFF;
    for (int spins = 0; atomic_load(counter) != 0; spins++) {
        if (spins >= SPINS) {
            (void)segment_pause(backoff_next(&backoff));
        }
    }
}

void
readers_wait(void)
{
    pthread_mutex_lock(&wait_mutex);
    for (int round = 0; round < 2; round++) {
        unsigned old = atomic_fetch_add(&readers_epoch, 1) & 1;
        for (int i = 0; i < READERS_STRIPES; i++) {
            wait_for_zero(&readers_stripes[i].counts[old]);
        }
    }
    pthread_mutex_unlock(&wait_mutex);
}
