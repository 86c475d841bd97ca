/* core/segment/lock.c
 *
 * The lock of a name, and whose turn it is to have it.
 *
 * The lock is on the file that has the name: there is no lock file to leave
 * behind, and the system drops the lock with the process. The publisher that
 * got it checks whether the name still leads to what was locked. Such a lock
 * belongs to the open file, which a forked child would share; so the holder is
 * a file that children close (fork.c).
 *
 * The system does not queue those that wait, as the file that they wait for is
 * replaced all the time. So the one that arrived first says so in the header:
 *
 *     holder's header   | superseded | ... | waiting_since |
 *                                               ^    |
 *     waiter with an earlier arrival, or 0 -----+    |
 *                                                    v
 *     all later ones stand back, as long as the lock is held or was let go
 *     only a moment ago: the first may have been killed
 *
 * The first polls often. The others sleep on the word. A publisher that takes
 * the lock or gives up wakes the one that has slept longest; one that gives
 * the name to another file wakes all. They poll now and then anyway: the
 * publisher that was to wake them may have been killed.
 *
 * A file outside of memory has no queue: a store into a mapped page may need a
 * new block of the disk, and where there is none it is a SIGBUS. Its header is
 * mapped to read, for the futex, and its publishers wait in no order.
 *
 * The publisher that gets the lock sets the word back to 0, and a publisher
 * that replaces the file takes the word along. So the order is that of
 * arrival, give or take one poll. It is courtesy only: what is correct depends
 * on the lock alone.
 *
 * Not here: what is done under the lock; see publish.c.
 */
#define _GNU_SOURCE
#include "core/segment/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/segment/fork.h"
#include "core/segment/system.h"
#include "core/snapshot/delta.h"
#include "core/snapshot/header.h"

// Nanoseconds.
static const int64_t DEFAULT_TIMEOUT = INT64_C(5000000000);
#define LOCK_BACKOFF ((struct backoff){.next = 20000, .longest = 2560000})

/* Until the first in the queue polls, a free lock is of no use to the others. */
static const int64_t FIRST_PAUSE = INT64_C(80000);

/* How long the lock may be free before the first waiter is taken for dead:
 * some of its polls, and as many time slices of a busy machine. */
static const int64_t GRACE = INT64_C(50000000);

/* ---- waiting ------------------------------------------------------------ */

/* A forked child, of an interrupt for example, has no header. */
static bool
has_queue(const struct holder *holder)
{
    return holder->header != NULL && !holder->is_read_only
           && holder->file.descriptor >= 0;
}

static _Atomic uint64_t *
waiting_since(const struct holder *holder)
{
    return (void *)((char *)holder->header
                    + offsetof(struct snapshot_header, waiting_since));
}

/* Its lower half, to sleep on: the system knows words of 32 bits only. */
static _Atomic uint32_t *
queue_word(const struct holder *holder)
{
    return (void *)waiting_since(holder);
}

struct turn
turn_begin(const struct lock_options *options)
{
    int64_t now = segment_clock();
    int64_t timeout = options != NULL && options->timeout > 0
                          ? options->timeout
                          : DEFAULT_TIMEOUT;
    struct turn turn = {
        .arrival = now,
        .backoff = LOCK_BACKOFF,
        .interrupt = options != NULL ? &options->interrupt : NULL,
    };
    // For ever is longer than the clock can tell.
    if (__builtin_add_overflow(now, timeout, &turn.deadline)) {
        turn.deadline = INT64_MAX;
    }
    return turn;
}

enum status
turn_wait(struct turn *turn, const struct holder *holder)
{
    if (interrupt_is_due(turn->interrupt)) {
        return STATUS_INTERRUPTED;
    }
    int64_t left = turn->deadline - segment_clock();
    if (left <= 0) {
        return STATUS_LOCK_TIMEOUT;
    }
    int64_t pause = backoff_next(&turn->backoff);
    pause = turn->is_first && pause > FIRST_PAUSE ? FIRST_PAUSE : pause;
    pause = pause < left ? pause : left;
    if (has_queue(holder) && !turn->is_first) {
        (void)system_sleep_on(queue_word(holder), (uint32_t)turn->older, pause,
                              NULL);
    }
    else {
        (void)segment_pause(pause);
    }
    turn->is_waiting = true;
    return STATUS_OK;
}

/* ---- the holder of a name ----------------------------------------------- */

static void
unlock_and_unmap(struct holder *holder)
{
    // A forked child has neither the file nor the mapping.
    if (holder->file.descriptor >= 0) {
        // A copy of the descriptor, on its way through a child's exec(), would
        // keep the lock a little longer.
        system_unlock(holder->file.descriptor);
        if (holder->header != NULL) {
            munmap(holder->header, sizeof(struct snapshot_header));
        }
    }
    holder->header = NULL;
}

void
holder_close(struct holder *holder)
{
    unlock_and_unmap(holder);
    fork_closed_close_last(&holder->file);
}

void
holder_close_mapped(struct holder *holder)
{
    unlock_and_unmap(holder);
    // Untested: an interrupt has to fork in the middle of an update; the child
    // has no file.
    if (holder->file.descriptor >= 0) {
        fork_closed_close(&holder->file);
    }
}

enum status
holder_open(struct holder *holder, const char *path, bool *is_ours,
            const struct interrupt *interrupt)
{
    struct stat file;
    *holder = HOLDER_EMPTY;
    holder->interrupt = interrupt;
    if (!fork_closed_open(&holder->file, path,
                          O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
                          interrupt))
    {
        return system_name_failure(path);
    }
    if (!system_stat(holder->file.descriptor, &file, interrupt)) {
        return system_failure();
    }
    if (!S_ISREG(file.st_mode)) {
        return STATUS_NOT_REGULAR;
    }
    *is_ours = system_is_ours(holder->file.descriptor, file.st_uid);
    holder->size = (uint64_t)file.st_size;
    holder->device = (uint64_t)file.st_dev;
    holder->inode = file.st_ino;
    holder->mode = file.st_mode & 0777;
    return STATUS_OK;
}

enum status
holder_map_header(struct holder *holder, bool is_durable)
{
    struct snapshot_header header;
    enum status status = system_read_header(holder->file.descriptor, &header,
                                            holder->interrupt);
    if (status == STATUS_SYSTEM || status == STATUS_INTERRUPTED) {
        return status;
    }
    if (status != STATUS_OK
        || snapshot_header_check(&header, holder->size) != STATUS_OK)
    {
        return STATUS_OK;
    }
    holder->generation = header.generation;
    memcpy(holder->unique_id, header.unique_id, sizeof(holder->unique_id));
    holder->total_size = header.total_size;
    // No reader opens a file that others may write, so none is to be told.
    if (system_others_may_write(holder->mode)) {
        return STATUS_OK;
    }
    void *bytes =
        fork_closed_map(&holder->file, sizeof(header),
                        is_durable ? PROT_READ : PROT_READ | PROT_WRITE);
    if (bytes == NULL) {
        return STATUS_SYSTEM;
    }
    holder->header = bytes;
    holder->is_read_only = is_durable;
    return STATUS_OK;
}

/* Fills which version is the newest, from the delta that has it: others may
 * have published since the file was opened. A delta that cannot be read still
 * counts, so that no generation is given twice, and has no id. */
static enum status
holder_read_version(struct holder *holder)
{
    struct delta_header delta;
    if (holder->header == NULL) {
        return STATUS_OK;
    }
    holder->head = atomic_load(holder_head_word(holder)) & ~HEAD_SUPERSEDED;
    if (holder->head == 0) {
        return STATUS_OK;
    }
    enum status status =
        system_read(holder->file.descriptor,
                    holder->total_size + delta_begin(holder->head), &delta,
                    sizeof(delta), holder->interrupt);
    if (status == STATUS_OK && delta_header_is_intact(&delta)) {
        holder->generation = delta.generation;
        memcpy(holder->unique_id, delta.unique_id, sizeof(delta.unique_id));
    }
    else {
        holder->generation += holder->head >> HEAD_SHIFT;
        memset(holder->unique_id, 0, sizeof(holder->unique_id));
    }
    return status == STATUS_TRUNCATED ? STATUS_OK : status;
}

void
holder_wake_readers(const struct holder *holder)
{
    if (holder->header != NULL) {
        system_wake(holder_head_word(holder), INT_MAX,
                    holder->file.descriptor);
    }
}

void
holder_wake_all(const struct holder *holder)
{
    holder_wake_readers(holder);
    if (has_queue(holder)) {
        system_wake(queue_word(holder), INT_MAX, -1);
    }
}

/* Whether the path still leads to the file that is open. STATUS_SYSTEM,
 * STATUS_INTERRUPTED. */
static enum status
holder_check_named(const struct holder *holder, const char *path,
                   bool *is_named)
{
    struct stat named;
    *is_named = false;
    if (!system_stat_path(path, &named, holder->interrupt)) {
        return errno == ENOENT ? STATUS_OK : system_failure();
    }
    *is_named = (uint64_t)named.st_dev == holder->device
                && named.st_ino == holder->inode;
    return STATUS_OK;
}

enum status
holder_try_lock(const struct holder *holder, const char *path,
                enum lock_byte byte, bool *is_busy)
{
    bool is_named = false;
    enum status status = system_lock(holder->file.descriptor, byte, is_busy);
    if (status == STATUS_OK) {
        status = holder_check_named(holder, path, &is_named);
    }
    if (status == STATUS_OK && !is_named) {
        *is_busy = true;
        status = STATUS_SYSTEM;
    }
    return status;
}

/* ---- the queue ---------------------------------------------------------- */

uint64_t
holder_waiting_since(const struct holder *holder)
{
    return has_queue(holder) ? atomic_load(waiting_since(holder)) : 0;
}

/* Whether to try to lock the holder now. A publisher that has to wait says
 * since when, unless one before it does. */
static bool
is_our_turn(const struct holder *holder, struct turn *turn)
{
    if (!has_queue(holder)) {
        return true;
    }
    const uint64_t ours = (uint64_t)turn->arrival;
    uint64_t first = atomic_load(waiting_since(holder));
    turn->is_first = true;
    while (turn->is_waiting && (first == 0 || first > ours)) {
        // Rarely tested: another publisher has to come at this very moment.
        if (atomic_compare_exchange_weak(waiting_since(holder), &first, ours))
        {
            return true;
        }
    }
    if (first == 0 || first >= ours) {
        return true;
    }
    turn->is_first = false;
    int64_t now = segment_clock();
    if (first != turn->older
        || system_is_locked(holder->file.descriptor, LOCK_PUBLISH))
    {
        turn->older = first;
        turn->older_since = now;
        return false;
    }
    if (now - turn->older_since < GRACE) {
        return false;
    }
    (void)atomic_compare_exchange_strong(waiting_since(holder), &first, ours);
    return true;
}

static void
leave_queue(const struct holder *holder, const struct turn *turn)
{
    uint64_t ours = (uint64_t)turn->arrival;
    if (has_queue(holder)
        && atomic_compare_exchange_strong(waiting_since(holder), &ours, 0))
    {
        system_wake(queue_word(holder), 1, -1);
    }
}

/* Waits for the lock of the open file, as long as it has the name; then either
 * it is locked, or `is_named` is false. */
static enum status
wait_for_lock(const struct holder *holder, const char *path, struct turn *turn,
              bool *is_named)
{
    enum status status = STATUS_OK;
    bool is_busy = true;
    *is_named = true;
    while (status == STATUS_OK && *is_named) {
        if (is_our_turn(holder, turn)) {
            status = holder_try_lock(holder, path, LOCK_PUBLISH, &is_busy);
        }
        if (!is_busy) {
            break;
        }
        status = turn_wait(turn, holder);
        if (status == STATUS_OK) {
            status = holder_check_named(holder, path, is_named);
        }
    }
    leave_queue(holder, turn);
    return status;
}

enum status
holder_lock_in_turn(struct holder *holder, const char *path, struct turn *turn)
{
    enum status status;
    bool is_ours = false, is_named;
    do {
        is_named = true;
        status = holder_open(holder, path, &is_ours, turn->interrupt);
        // Not even root: it would hand its data to a user who squats the name.
        if (status == STATUS_OK && !is_ours) {
            status = STATUS_FOREIGN_OWNER;
        }
        if (status == STATUS_OK) {
            status = holder_map_header(holder, turn->is_durable);
        }
        if (status == STATUS_OK) {
            status = wait_for_lock(holder, path, turn, &is_named);
        }
        if (status == STATUS_OK && is_named) {
            status = holder_read_version(holder);
        }
        if (status != STATUS_OK || !is_named) {
            holder_close(holder);
        }
    } while (status == STATUS_OK && !is_named);
    return status;
}

enum status
holder_lock(struct holder *holder, const char *path,
            const struct lock_options *options)
{
    struct turn turn = turn_begin(options);
    return holder_lock_in_turn(holder, path, &turn);
}
