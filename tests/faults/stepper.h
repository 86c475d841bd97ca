/* tests/faults/stepper.h
 *
 * A child process that runs one instruction at a time, and can be killed or
 * left standing after any of them.
 *
 *     parent   start ---------> run to n --------> kill, or finish
 *     child    stopped          stopped            dead, or done
 *              before `work`    after n
 *              instructions
 *
 * Stepping from the beginning each time would cost the square of the number
 * of instructions. So one run is recorded; all later ones go at full speed from
 * breakpoint to breakpoint, and step only where that is shorter. A run that
 * turns out not to be the recorded one is done again, step by step.
 *
 * x86-64 only; elsewhere stepper_is_possible() says no.
 */
#ifndef SHAREDMAP_TESTS_FAULTS_STEPPER_H
#define SHAREDMAP_TESTS_FAULTS_STEPPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a child does: its exit code is what `run` returns. */
struct work {
    int (*run)(void *context);
    void *context;  // borrowed
};

/* More instructions than anything here has. */
enum { RECORDING_ROOM = 1 << 18 };

/* Every place of one run, in order, and how to get to each. It allocates
 * nothing: else the work of a later child would find another heap than that of
 * the recorded one. */
struct recording {
    uintptr_t places[RECORDING_ROOM];  // [n]: where it is after n instructions
    // [n]: the instructions after which it was at that place before, and one
    // more; 0 where it was not there before.
    uint32_t unmet[RECORDING_ROOM];
    // [n]: the last breakpoint on the cheapest way there, as a number of
    // instructions; from which one it is met first, if it is n itself.
    uint32_t anchors[RECORDING_ROOM];
    uint32_t origins[RECORDING_ROOM];
    size_t count;   // instructions; one less than places
    size_t drifts;  // runs that were not like this one
};

bool
stepper_is_possible(void);

/* Runs the work to its end, once, and fills the recording. False when a
 * signal stopped or ended the child. */
bool
stepper_record(const struct work *work, struct recording *recording);

/* A new child that has run so many instructions of the work, and stands; 0
 * when it was not where the recording is after so many, and is gone. Then its
 * work may be done or half done: undo that, and try again with the next
 * attempt, of 0, 1 and 2. The last one takes any place. */
pid_t
stepper_run_to(const struct work *work, struct recording *recording,
               size_t steps, int attempt);

/* Ends it where it stands, as kill -9 would. */
void
stepper_kill(pid_t child);

/* Lets it run on; its exit code, or 1000 and the number of the signal that
 * ended it. */
int
stepper_finish(pid_t child);

/* A child that runs freely. */
pid_t
freely_start(const struct work *work);

/* Waits until the child has ended or sleeps: because of a lock, there is
 * nothing else to sleep for. True, and its exit code, if it has ended. */
bool
freely_wait(pid_t child, int *code);

/* Waits until it has ended; its exit code, as above. */
int
freely_finish(pid_t child);

#endif
