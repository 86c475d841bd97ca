"""Each operation is stopped after each of its system calls, and everybody else goes on.

    python3 tests/faults/stalls.py [--stride N] [--only TEXT] [--stop-early]

    worker     prepare -- operation -- call N, stopped ................ goes on, ends
    strace                attach       SIGSTOP, detach
    other                                  reads, publishes, updates,  waits, is woken
                                           removes, clears leftovers

The operations are those of system_calls.py, and two that are stopped while they wait for the lock.
What must hold:

    no wait    a reader never waits; a publisher whose lock is held gets a TimeoutError in its time,
               on this map only, and only while the lock is held
    no wrong   a reader finds what was published before the operation or after it, valid
      answer
    no loss    the operation ends as if it had run at once, either before the stop or after SIGCONT:
               its answer, the entries and the generation are those of a model of both processes
    no harm    a handle that waits is woken, no file, descriptor or mapping is left, and the next
               publication works and is noticed

Whether the lock is held while the worker is stopped is asked of the system, not of the package.
--stride takes every N-th stall, --stop-early none after the first failure.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import struct
import sys
import tempfile

import sweep
from system_calls import (
    OLD,
    OPERATIONS,
    PREPARE,
    SUPPORT,
    Call,
    Scene,
    detach,
    expect,
)

sys.path.insert(0, SUPPORT)
from helpers import Worker
from live import FUTEX, NANOSLEEP, has_answered, system_call, wait_until

OTHER = {"a": "other", "b": b"other"}
UPDATED = {"other": 1}
TIMEOUT = 0.08  # of publishers that find the lock held; seconds
PATIENT = 2.0  # of those that take the turn of a stopped waiter, which needs 50 ms
SLACK = 3.0  # what the work itself may take; less than the timeout that is the default
LIMIT = 20  # seconds without any answer: it hangs

# What the other process does to the map in one case.
PLAYS = {
    "Shm": [["update"], ["share"], ["remove"], ["remove", "share", "update"]],
    "Saved": [["save"]],
}
STEPS = {
    "update": "sharedmap.update(place.name, UPDATED, timeout=timeout) > 0",
    "share": "sharedmap.share(OTHER, place.name, force=True, timeout=timeout)",
    "remove": "sharedmap.remove(place.name, timeout=timeout)",
    "save": "sharedmap.rbtree(OTHER).save(place.path, force=True, timeout=timeout)",
}
# What the operations that change something put.
UPDATES = {name: each.puts for name, each in OPERATIONS.items() if each.puts}
# These wait for a lock that we hold; the numbers are of the sleeps after which they are stopped.
WAITING = {"share that waits": "share", "update that waits": "update"}
SLEEPS = [1, 2, 5, 20]
# The lock of byte 0; who compacts holds byte 1, and keeps no publisher waiting.
PUBLISH = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)

WITH_OTHERS = """
import time
patience = 60

def state():
    try:
        with place.open() as opened:
            opened.verify()
            return opened.generation, dict(opened)
    except FileNotFoundError:
        return None

def clock():
    # Without the time in which it could run, but other processes had the cores.
    with open("/proc/self/schedstat") as file:
        return time.monotonic() - int(file.read().split()[1]) / 1e9

def timed(work):
    begun = clock()
    return outcome(work), clock() - begun

def other_map(timeout):
    sharedmap.share(OTHER, elsewhere, timeout=timeout)
    sharedmap.update(elsewhere, UPDATED, timeout=timeout)
    with sharedmap.sharedmap(elsewhere) as opened:
        entries = dict(opened)
    return sharedmap.remove(elsewhere, timeout=timeout) and entries

def follower():
    return place.open(follow=True)

def refreshed():
    global handle
    handle = handle or follower()
    handle.refresh()
    handle.verify()
    return dict(handle)

def leftover():
    return place.path + "~" if os.path.lexists(place.path + "~") else None
"""


# ---- the model: what is published is None or (generation, entries) -----------------------------


def put(state, entries):
    return (1 if state is None else state[0] + 1), entries


def played(step, state, is_locked):
    """The answer to another process and what is published then."""
    if is_locked:
        return "TimeoutError", state
    if step == "update":
        if state is None:
            return "FileNotFoundError", None
        return True, put(state, state[1] | UPDATED)
    if step == "remove":
        return state is not None, None
    return True, put(state, OTHER)


def ended(name, state):
    """The same for the stopped operation, if it comes to its effect now; None: any answer."""
    after = OPERATIONS[name].after
    if name.startswith("first "):
        return ("FileExistsError", state) if state else (True, put(state, after))
    if name in UPDATES:
        if state is None:
            return "FileNotFoundError", None
        new = put(state, state[1] | UPDATES[name])
        return new[0], new
    if name == "share of a tree" and (state is None or state[0] != 1):
        return "StaleError", state
    if name == "remove":
        return state is not None, None
    if name.startswith(("share", "save")):
        return True, put(state, after)
    return None, state


def values_of(key, *states):
    return {state[1][key] for state in states if state is not None}


# ---- one stall ---------------------------------------------------------------------------------


def is_locked(path):
    """Whether anybody holds the lock of the file that has the name."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        told = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, PUBLISH)
        return struct.unpack("hhqqi", told)[0] != fcntl.F_UNLCK
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path):
    """Holds the lock of the file that has the name, as a publisher does."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, PUBLISH)
        yield
    finally:
        os.close(descriptor)


class Stalls(Scene):
    """The worker that is stopped, and another process that is not."""

    def __init__(self, name, folder):
        self.is_waiting = name in WAITING
        self.model = WAITING.get(name, name)
        super().__init__(OPERATIONS[self.model], folder)
        self.other = Worker()
        where = "place = Shm(name)" if self.operation.kind == "Shm" else "place = Saved(path)"
        source = f"import sys; sys.path.insert(0, support)\n{PREPARE}\n{WITH_OTHERS}\n{where}"
        self.elsewhere = self.name.replace("calls", "elsewhere")
        self.other.run(
            source,
            support=SUPPORT,
            name=self.name,
            path=self.path,
            elsewhere=self.elsewhere,
            OTHER=OTHER,
            UPDATED=UPDATED,
        )
        self.path = self.worker.eval("place.path")

    def close(self):
        self.other.run("handle = None")
        return super().close() and self.other.close()

    def kill(self):
        """Ends both after a failure, and removes what they have left."""
        for process in (self.worker, self.other):
            process.kill()
            process.close()
        folder = pathlib.Path(self.path).parent
        for name in (pathlib.Path(self.path).name, self.elsewhere):
            for file in folder.glob(f"*{name}*"):
                file.unlink()

    def calls(self):
        if self.is_waiting:
            return [Call("clock_nanosleep", number, "", 0) for number in SLEEPS]
        return super().calls()

    def ask(self, source, **variables):
        """What the other process answers, which must not hang."""
        self.other.send("eval", source, variables)
        expect(has_answered(self.other, LIMIT), "another process hangs in", source)
        return self.other.answer()

    def in_time(self, source, timeout, **variables):
        outcome, seconds = self.ask(f"timed(lambda: {source})", timeout=timeout, **variables)
        expect(seconds < timeout + SLACK, source, "took", seconds, "seconds")
        return outcome

    def stop(self, call):
        """Begins the operation; returns when it is stopped after that call and left by strace."""
        inject = f"inject={call.name}:signal=STOP:when={call.number}"
        strace, output = self.attach("-e", f"trace={call.name}", "-e", inject)
        try:
            self.worker.send("eval", f"outcome(lambda: {self.operation.work})", {})

            def is_stopped():
                expect(not has_answered(self.worker, 0), "the call was not made")
                return "stopped by SIGSTOP" in output.read_text(errors="replace")

            wait_until(is_stopped, "stopped")
        finally:
            detach(strace)
        status = pathlib.Path(f"/proc/{self.worker.pid}/stat")
        wait_until(lambda: status.read_text().rpartition(")")[2].split()[0] == "T", "stopped")

    def read(self, state):
        """A reader that opens, and one that follows: what is published, at once."""
        expect(self.in_time("state()", 0) == ("returned", state), "a reader finds something else")
        if state is None:
            outcome = self.in_time("dict(handle)", 0)
        else:
            outcome = self.in_time("refreshed()", 0)
            expect(outcome == ("returned", state[1]), "refresh() answers", outcome[:1])
            outcome = self.in_time("dict(handle)", 0)
            expect(outcome == ("returned", state[1]), "a follower has something else")
        expect(outcome[0] == "returned", "a follower raises", outcome)

    def play(self, play, state, is_held, timeout):
        """The other process does its steps; what is published then."""
        for step in play:
            outcome = self.in_time(STEPS[step], timeout)
            answer, state = played(step, state, is_held)
            if outcome[0] != "returned":
                expect(outcome[0] == answer, step, "answers", outcome, "and not", answer)
                expect(outcome[2] in (self.name, self.path), step, "does not tell the name")
            else:
                expect(outcome[1] == answer, step, "answers", outcome, "and not", answer)
        return state

    def attempt(self, call, play):
        self.prepare()
        holdings = self.worker.eval("holdings()")
        before = self.ask("state()")
        self.other.run("handle = {} if is_free else follower()", is_free=before is None)
        with contextlib.ExitStack() as ours:
            if self.is_waiting:
                ours.enter_context(locked(self.path))
            self.stop(call)
            now, is_held = self.goes_on(before, play)
            if self.is_waiting:
                ours.close()
                now = self.play(play, now, False, PATIENT)
                self.read(now)
        self.end(before, now, holdings)
        expect(self.is_waiting <= is_held, "the lock that we hold is not held")

    def goes_on(self, before, play):
        """All others, while the worker is stopped."""
        is_held = is_locked(self.path)
        self.at_stop = self.ask("state()")
        self.answer, after = ended(self.model, before)
        allowed = [before, after]
        expect(self.at_stop in allowed, "published is neither the old nor the new map")
        self.read(self.at_stop)
        leftover = self.ask("leftover()")
        if leftover is not None and self.operation.kind == "Shm":
            expect(is_held, "a temporary name without a lock")
            name = os.fsencode(pathlib.Path(leftover).name)
            told = self.in_time("core._clear_leftover(file)", 0, file=name)
            expect(told == ("returned", False), "what is in use was cleared:", told)
        told = self.in_time("other_map(timeout)", TIMEOUT)
        expect(told == ("returned", OTHER | UPDATED), "with another map:", told)
        now = self.play(play, self.at_stop, is_held, TIMEOUT)
        self.read(now)
        return now, is_held

    def end(self, before, now, holdings):
        """The worker goes on; how it ends, and what is left."""
        is_done = self.at_stop != before
        answer, final = (self.answer, now) if is_done else ended(self.model, now)
        is_awaited = now is not None and final is not None and final != now
        if is_awaited:
            self.other.send("eval", "handle.wait(30)", {})
            wait_until(self.is_other_asleep, "asleep")
        os.kill(self.worker.pid, signal.SIGCONT)
        expect(has_answered(self.worker, LIMIT), "hangs after it was continued")
        self.check_answer(self.worker.answer(), answer, before, now)
        if is_awaited:
            expect(has_answered(self.other, LIMIT), "a handle that waits is not woken")
            expect(self.other.answer() is True, "a handle that waits has waited in vain")
        told = self.ask("state()")
        expect(told == final, "published is generation", told and told[0], "and not", final)
        self.read(final)
        self.other.run("handle = None")
        left = self.worker.eval("holdings()")
        expect(left == holdings, "held before:", holdings, "and after:", left)
        self.check_left()

    def is_other_asleep(self):
        expect(not has_answered(self.other, 0), "a handle waits for nothing")
        return system_call(self.other.pid) in (FUTEX, *NANOSLEEP)

    def check_answer(self, outcome, answer, before, now):
        if answer is not None:
            told = outcome[1] if outcome[0] == "returned" else outcome[0]
            expect(told == answer, "ends with", outcome, "and not with", answer)
            return
        work = self.operation.work
        if outcome[0] != "returned":
            # A map that was removed meanwhile is not found, or not listed.
            expect(now is None, "raised", outcome)
            expected = "ZeroDivisionError" if "names()" in work else "FileNotFoundError"
            expect(outcome[0] == expected, "raised", outcome)
        elif work == "handle['a']":
            values = values_of("a", before, now) | ({OLD["a"]} if now is None else set())
            expect(outcome[1] in values, "answered", outcome)


# ---- all of them -------------------------------------------------------------------------------


def run(name, folder, stride, turn, stop_early):
    """Returns how many stalls there were, and what went wrong."""
    scene = Stalls(name, folder)
    failures = []
    count = 0
    calls = scene.calls()
    for call in calls:
        for play in PLAYS[scene.operation.kind]:
            turn[0] += 1
            if turn[0] % stride != 0:
                continue
            count += 1
            try:
                scene.attempt(call, play)
            # Also what a process raises when it is looked at, or that it is dead.
            except Exception as failure:
                what = f"{name}: {call.name} {call.number}, {', '.join(play)}"
                failures.append(f"{what}: {type(failure).__name__} {failure}"[:2000])
                print("FAILED", failures[-1], flush=True)
                scene.kill()
                if stop_early:
                    return len(calls), count, failures
                scene = Stalls(name, folder)
                for _ in range(2):
                    scene.prepare()
    if not scene.close():
        failures.append(f"{name}: a process does not end in order")
        print("FAILED", failures[-1], flush=True)
    return len(calls), count, failures


def main():
    arguments = sweep.parse(__doc__)
    if shutil.which("strace") is None:
        sys.exit("NOT TESTED: strace is not installed")
    turn = [0]
    with tempfile.TemporaryDirectory(prefix="stalls-") as folder:

        def run_one(name):
            return run(name, folder, arguments.stride, turn, arguments.stop_early)

        return sweep.play(run_one, [*OPERATIONS, *WAITING], arguments, "calls", "stalls")


if __name__ == "__main__":
    sys.exit(main())
