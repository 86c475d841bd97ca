/* tests/faults/stepper.c
 *
 *     fork -> "trace me" -> stop -> work ... work -> stepper_end
 *                             |                         |
 *                             first place               last place
 *
 * The children are forks of one and the same parent, so the instructions are
 * at the same addresses in all of them, and in the parent.
 *
 * Not here: what the work is; see kill_everywhere.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "faults/stepper.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

// Whatever a child waits for, it does not wait for ever.
enum { HANG = 30 };

static _Noreturn void
give_up(const char *what)
{
    fprintf(stderr, "kill_everywhere: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

/* Where a recorded run ends. */
static __attribute__((noinline)) void
stepper_end(int code)
{
    _exit(code);
}

#ifdef __x86_64__

/* ---- one traced child --------------------------------------------------- */

bool
stepper_is_possible(void)
{
    return true;
}

/* Waits for the child to stop or end. */
static int
wait_for(pid_t child)
{
    int status;
    pid_t waited;
    do {
        waited = waitpid(child, &status, __WALL);
    } while (waited < 0 && errno == EINTR);
    if (waited != child) {
        give_up("waitpid");
    }
    return status;
}

static bool
has_trapped(int status)
{
    return WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
}

static void
request(int what, pid_t child, uintptr_t where, uintptr_t data)
{
    if (ptrace(what, child, (void *)where, (void *)data) < 0) {
        give_up("ptrace");
    }
}

static uintptr_t
place_of(pid_t child)
{
    errno = 0;
    long place = ptrace(PTRACE_PEEKUSER, child,
                        offsetof(struct user_regs_struct, rip), NULL);
    if (errno != 0) {
        give_up("ptrace, reading a register");
    }
    return (uintptr_t)place;
}

static pid_t
start(const struct work *work)
{
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        give_up("fork");
    }
    if (child == 0) {
        alarm(HANG);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0) {
            _exit(EXIT_FAILURE);
        }
        syscall(SYS_kill, getpid(), SIGSTOP);
        stepper_end(work->run(work->context));
    }
    int status = wait_for(child);
    if (!WIFSTOPPED(status)) {
        give_up("the child did not stop; is ptrace allowed here?");
    }
    request(PTRACE_SETOPTIONS, child, 0, PTRACE_O_EXITKILL);
    return child;
}

/* One instruction; false when the child ended or got a signal. */
static bool
step(pid_t child)
{
    request(PTRACE_SINGLESTEP, child, 0, 0);
    return has_trapped(wait_for(child));
}

/* ---- recording ---------------------------------------------------------- */

/* Notes that it is at the place after n instructions; one more than those
 * after which it was there before, or 0. */
static uint32_t
note_visit(uintptr_t place, uint32_t n)
{
    static struct {
        uintptr_t place;  // 0 where the slot is free
        uint32_t next;
    } visited[RECORDING_ROOM / 4];
    static size_t visited_count;
    const size_t room = sizeof(visited) / sizeof(visited[0]);
    if (n == 0) {
        memset(visited, 0, sizeof(visited));
        visited_count = 0;
    }
    size_t slot = place * UINT64_C(0x9E3779B97F4A7C15) >> 40 & (room - 1);
    while (visited[slot].place != 0 && visited[slot].place != place) {
        slot = (slot + 1) & (room - 1);
    }
    if (visited[slot].place == 0 && ++visited_count == room) {
        errno = ENOSPC;
        give_up("recording");
    }
    uint32_t before = visited[slot].next;
    visited[slot].place = place;
    visited[slot].next = n + 1;
    return before;
}

/* What it costs to go on to a breakpoint, counted in single steps. */
enum { BREAKPOINT_COST = 3 };

/* Fills the cheapest way to each place. A breakpoint may be set from wherever
 * it is met first:
 *
 *     places     A B C B C B C D      the way to the last C: to D's turn it
 *     unmet[6]           |-|          is met first from the B before it
 */
static void
find_ways(struct recording *recording)
{
    static uint32_t costs[RECORDING_ROOM];
    // Those which cost less than all behind them, up to n - 1.
    static uint32_t cheap[RECORDING_ROOM];
    size_t cheap_count = 0;
    for (uint32_t n = 0; n <= recording->count; n++) {
        costs[n] = n > 0 ? costs[n - 1] + 1 : 0;
        recording->anchors[n] = n > 0 ? recording->anchors[n - 1] : 0;
        size_t low = 0, high = cheap_count;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (cheap[middle] < recording->unmet[n]) {
                low = middle + 1;
            }
            else {
                high = middle;
            }
        }
        if (low < cheap_count
            && costs[cheap[low]] + BREAKPOINT_COST < costs[n])
        {
            costs[n] = costs[cheap[low]] + BREAKPOINT_COST;
            recording->anchors[n] = n;
            recording->origins[n] = cheap[low];
        }
        while (cheap_count > 0 && costs[cheap[cheap_count - 1]] >= costs[n]) {
            cheap_count -= 1;
        }
        cheap[cheap_count++] = n;
    }
}

bool
stepper_record(const struct work *work, struct recording *recording)
{
    pid_t child = start(work);
    recording->drifts = 0;
    for (size_t n = 0; n < RECORDING_ROOM; n++) {
        uintptr_t place = place_of(child);
        recording->places[n] = place;
        recording->unmet[n] = note_visit(place, (uint32_t)n);
        recording->count = n;
        if (place == (uintptr_t)stepper_end) {
            find_ways(recording);
            return stepper_finish(child) < 1000;
        }
        if (!step(child)) {
            break;
        }
    }
    stepper_kill(child);
    return false;
}

/* ---- going to a place --------------------------------------------------- */

/* Runs at full speed to a place where it is not now; false when it ends before
 * it gets there. */
static bool
run_to_breakpoint(pid_t child, uintptr_t place)
{
    const uintptr_t breakpoint = 0xCC;  // int3
    errno = 0;
    uintptr_t word =
        (uintptr_t)ptrace(PTRACE_PEEKTEXT, child, (void *)place, NULL);
    if (errno != 0) {
        return false;
    }
    request(PTRACE_POKETEXT, child, place,
            (word & ~(uintptr_t)0xFF) | breakpoint);
    request(PTRACE_CONT, child, 0, 0);
    if (!has_trapped(wait_for(child)) || place_of(child) != place + 1) {
        return false;
    }
    request(PTRACE_POKETEXT, child, place, word);
    request(PTRACE_POKEUSER, child, offsetof(struct user_regs_struct, rip),
            place);
    return true;
}

/* So many instructions; where it is not `bound` to have them, all that are
 * left. */
static bool
take_steps(pid_t child, size_t count, bool is_bound)
{
    while (count > 0
           && (is_bound || place_of(child) != (uintptr_t)stepper_end))
    {
        if (!step(child)) {
            return false;
        }
        count -= 1;
    }
    return true;
}

/* From breakpoint to breakpoint, as the recording says. */
static bool
follow(pid_t child, const struct recording *recording, size_t steps)
{
    static uint32_t stations[RECORDING_ROOM];
    size_t count = 0, at = 0;
    for (size_t n = steps; recording->anchors[n] > 0;
         n = recording->origins[recording->anchors[n]])
    {
        stations[count++] = recording->anchors[n];
    }
    while (count > 0) {
        uint32_t station = stations[--count];
        if (!take_steps(child, recording->origins[station] - at, true)
            || !run_to_breakpoint(child, recording->places[station]))
        {
            return false;
        }
        at = station;
    }
    return take_steps(child, steps - at, true);
}

pid_t
stepper_run_to(const struct work *work, struct recording *recording,
               size_t steps, int attempt)
{
    recording->drifts += attempt > 0;
    // In the end wherever so many steps lead.
    const bool is_bound = attempt < 2;
    pid_t child = start(work);
    if ((attempt == 0 ? follow(child, recording, steps)
                      : take_steps(child, steps, is_bound))
        && (!is_bound || place_of(child) == recording->places[steps]))
    {
        return child;
    }
    stepper_kill(child);
    return 0;
}

#else

bool
stepper_is_possible(void)
{
    return false;
}

bool
stepper_record(const struct work *work, struct recording *recording)
{
    (void)work;
    (void)recording;
    return false;
}

pid_t
stepper_run_to(const struct work *work, struct recording *recording,
               size_t steps, int attempt)
{
    (void)work;
    (void)recording;
    (void)steps;
    (void)attempt;
    return 0;
}

#endif

/* ---- the end of a child ------------------------------------------------- */

void
stepper_kill(pid_t child)
{
    kill(child, SIGKILL);
    // A step may have met its end already; then there is nobody to wait for.
    while (waitpid(child, NULL, __WALL) < 0 && errno == EINTR) {
    }
}

int
stepper_finish(pid_t child)
{
    ptrace(PTRACE_DETACH, child, NULL, NULL);
    return freely_finish(child);
}

pid_t
freely_start(const struct work *work)
{
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        give_up("fork");
    }
    if (child == 0) {
        alarm(HANG);
        stepper_end(work->run(work->context));
    }
    return child;
}

static int
code_of(int status)
{
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The letter that the system has for the state of a process. */
static int
state_of(pid_t child)
{
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)child);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size =
        descriptor >= 0 ? read(descriptor, text, sizeof(text) - 1) : -1;
    if (descriptor >= 0) {
        close(descriptor);
    }
    text[size > 0 ? size : 0] = '\0';
    // The name before it, in brackets, may hold anything.
    const char *bracket = strrchr(text, ')');
    return bracket != NULL && bracket[1] == ' ' ? bracket[2] : '?';
}

bool
freely_wait(pid_t child, int *code)
{
    for (;;) {
        int status;
        pid_t waited = waitpid(child, &status, WNOHANG);
        if (waited == child) {
            *code = code_of(status);
            return true;
        }
        if (waited < 0 && errno != EINTR) {
            give_up("waitpid");
        }
        if (state_of(child) == 'S') {
            return false;
        }
        sched_yield();
    }
}

int
freely_finish(pid_t child)
{
    int status;
    do {
        pid_t waited = waitpid(child, &status, __WALL);
        if (waited < 0 && errno != EINTR) {
            give_up("waitpid");
        }
    } while (WIFSTOPPED(status));
    return code_of(status);
}
