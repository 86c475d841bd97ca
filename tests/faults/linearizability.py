"""Dozens of processes are killed and stopped at random; one order explains what they saw.

    python3 tests/faults/linearizability.py [--seconds N] [--round N] [--seed N] [--processes N]
        [--stop-early] [--deltas]

    kept       shared anew (force, expect) and updated, never removed
    removed    the same, and removed in between: share, force, expect, update, remove
    contended  updates only, by as many processes as possible

    parent     SIGKILL ... SIGSTOP ... SIGCONT ... SIGKILL ...     (a new process for each killed)
    writers    share, update, remove, share, ...
    readers    open | follow | refresh | wait | pin, to the end of their lives

Each process records what it did and saw, with CLOCK_MONOTONIC, in a file that survives it. Every
ten seconds (--round) all are killed, history.py checks whether what they recorded is linearizable,
and others begin with new maps. What was killed in the middle may have taken effect or not, but not
later, nor twice. Exits with status 1 if a history was not linearizable, if a file was left, or if a
process ended by an exception. With --deltas the maps are large enough to have some, and updates
have to append, fold and compact.

The seed decides who does what in which order, who is killed and stopped, and for how long; it does
not decide when the system lets a process run.
"""

import argparse
import collections
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import uuid

import deltas
import history
from cells import Cells
from history import (
    ABSENT,
    BEGUN,
    DONE,
    KEPT,
    NO_ID,
    READ,
    REFUSED,
    REMOVE,
    SHARE,
    TIMED_OUT,
    UPDATE,
    History,
)

import sharedmap

SHM = "/dev/shm/"
PARENT = 0  # the row of the process that begins and ends a round
MEMBERS = 3  # entries of one update: all of them or none
PIECES = [5]  # entries of one share
PIECES_WITH_DELTAS = 150

# label, is_removed, what a writer does with which weight, part of all processes, part that writes
PLACES = [
    ("kept", False, {"update": 16, "force": 1, "expect": 3}, 0.4, 0.5),
    ("removed", True, {"update": 8, "first": 2, "force": 2, "expect": 3, "remove": 3}, 0.4, 0.6),
    ("contended", False, {"update": 60, "force": 1}, 0.2, 0.7),
]
READERS = ["open", "follow", "refresh", "wait", "pin"]

now = time.monotonic_ns


class Malformed(Exception):
    pass


# ---- what is published ---------------------------------------------------------------------------


def filling(number):
    # Of different sizes, so that versions have other layouts.
    return "x" * (number % 97)


def content_of_share(token, expected):
    content = {f"share/{piece}": [*token, filling(token[1])] for piece in range(PIECES[0])}
    content = {key: ":".join(map(str, value)) for key, value in content.items()}
    return content | {"expected": expected.hex() if expected else ""}


def content_of_update(token):
    text = filling(token[1])
    return {f"update/{token[0]}/{token[1]}/{member}": text for member in range(MEMBERS)}


def parse(content):
    """Base, expected id and updates of a version that is whole."""
    expected = content.get("expected")
    shares = [value for key, value in content.items() if key.startswith("share/")]
    members = collections.Counter()
    for key, text in content.items():
        if key.startswith("update/"):
            _, row, number, _ = key.split("/")
            members[int(row), int(number)] += 1
            if text != filling(int(number)):
                raise Malformed(f"{key} is not whole")
    size = 1 + PIECES[0] + MEMBERS * len(members)
    if (
        expected is None
        or len(shares) != PIECES[0]
        or len(set(shares)) != 1
        or len(content) != size
    ):
        raise Malformed(f"a version of several shares: {sorted(set(shares))}")
    if any(count != MEMBERS for count in members.values()):
        raise Malformed(f"half an update: {members}")
    row, number, text = shares[0].split(":")
    if text != filling(int(number)):
        raise Malformed(f"share {row} {number} is not whole")
    return (int(row), int(number)), expected or None, sorted(members)


# ---- processes -----------------------------------------------------------------------------------


class Process:
    """One life of a row: what it does until it is killed."""

    def __init__(self, folder, place, name, row, life, numbers, seed):
        self.place = place
        self.name = name
        self.row = row
        self.numbers = numbers
        self.rng = random.Random(seed)
        self.recorder = history.Recorder(folder, row, life)
        self.known = {}  # id -> content, for versions that it has recorded

    # ---- reading ---------------------------------------------------------------------------

    def record(self, handle, start, end, outcome=DONE):
        """What a handle that stays with its version has seen."""
        content = dict(handle)
        unique_id = bytes.fromhex(handle.id)
        generation = handle.generation
        if unique_id not in self.known:
            handle.verify()
            parsed = parse(content)
            self.recorder.write_version(self.place, unique_id, generation, *parsed)
            self.known[unique_id] = content
            if len(self.known) > 50:
                del self.known[next(iter(self.known))]
        elif self.known[unique_id] != content:
            raise Malformed(f"version {handle.id} has changed")
        self.write_read(outcome, start, end, unique_id, generation)

    def write_read(self, outcome, start, end, unique_id, generation):
        self.recorder.write(self.place, READ, outcome, 0, start, end, unique_id, generation)

    def open(self, **options):
        """A handle and what was recorded of it, or None where the name is free."""
        start = now()
        try:
            handle = sharedmap.sharedmap(self.name, **options)
        except FileNotFoundError:
            self.recorder.write(self.place, ABSENT, DONE, 0, start, now())
            return None
        end = now()
        if not options:
            self.record(handle, start, end)
        return handle

    def read_by_opening(self):
        while True:
            handle = self.open()
            if handle is not None:
                handle.close()

    def read_and_keep(self):
        """Pinned handles, which are read again when others have been published."""
        pinned = collections.deque()
        while True:
            handle = self.open()
            if handle is None:
                continue
            pinned.append((handle.snapshot(), dict(handle)))
            handle.close()
            kept, content = self.rng.choice(pinned)
            if dict(kept) != content:
                raise Malformed(f"pinned version {kept.id} has changed")
            if len(pinned) > 20:
                pinned.popleft()[0].close()

    def read_by_following(self, step, is_wait=False, **options):
        handle = None
        while handle is None:
            handle = self.open(**options)
        seen = None
        while True:
            start = now()
            found = step(handle)
            if is_wait and not found:
                # What did not change while it waited was there when it began.
                if seen is not None:
                    self.write_read(KEPT, start, now(), *seen)
                start = now()
            with handle.snapshot() as pinned:
                end = now()
                version = bytes.fromhex(pinned.id), pinned.generation
                if seen is not None:
                    self.record(pinned, start, end, KEPT if version == seen else DONE)
                # The first one may have been opened long before.
                seen = version

    def read(self, role):
        if role == "open":
            self.read_by_opening()
        elif role == "pin":
            self.read_and_keep()
        elif role == "follow":
            self.read_by_following(lambda handle: None, follow=True)
        elif role == "refresh":
            self.read_by_following(lambda handle: handle.refresh(), follow=False)
        else:
            pause = self.rng.random
            self.read_by_following(lambda handle: handle.wait(pause() * 0.01), True, follow=True)

    # ---- writing -------------------------------------------------------------------------------

    def write(self, weights):
        kinds, weights = list(weights), list(weights.values())
        while True:
            getattr(self, self.rng.choices(kinds, weights)[0])()

    def attempt(self, kind, work, refusals, unique_id=NO_ID):
        """Records an operation before and after; `work` gets its token."""
        number = self.numbers[self.row] = self.numbers[self.row] + 1
        write = self.recorder.write
        start = now()
        write(self.place, kind, BEGUN, number, start, 0, unique_id)
        try:
            result = work((self.row, number))
        except refusals as error:
            end = now()
            outcome = TIMED_OUT if isinstance(error, TimeoutError) else REFUSED
            write(self.place, kind, outcome, number, start, end, unique_id)
            return error, start, end
        end = now()
        if kind == REMOVE and not result:
            write(self.place, kind, REFUSED, number, start, end)
            self.recorder.write(self.place, ABSENT, DONE, 0, start, end)
        else:
            generation = result if kind == UPDATE else 0
            write(self.place, kind, DONE, number, start, end, unique_id, generation)
        return None, start, end

    def update(self):
        error, start, end = self.attempt(
            UPDATE,
            lambda token: sharedmap.update(self.name, content_of_update(token)),
            (FileNotFoundError, TimeoutError),
        )
        if isinstance(error, FileNotFoundError):
            self.recorder.write(self.place, ABSENT, DONE, 0, start, end)

    def share(self, refusals, unique_id=NO_ID, **options):
        self.attempt(
            SHARE,
            lambda token: sharedmap.share(
                content_of_share(token, unique_id if unique_id != NO_ID else None),
                self.name,
                **options,
            ),
            refusals,
            unique_id,
        )

    def first(self):
        self.share((FileExistsError,))

    def force(self):
        self.share((TimeoutError,), force=True)

    def expect(self):
        handle = self.open()
        if handle is None:
            return
        with handle:
            by_generation = not PLACES[self.place][1] and self.rng.random() < 0.5
            expect = handle.generation if by_generation else handle.id
            unique_id = bytes.fromhex(handle.id)
            # An id is in the last three places of few operations; now and then others come first.
            time.sleep(self.rng.choice([0, 0, 0.001]))
            self.share((sharedmap.StaleError, TimeoutError), unique_id, expect=expect)

    def remove(self):
        self.attempt(REMOVE, lambda token: sharedmap.remove(self.name), (TimeoutError,))


class Round:
    def __init__(self, folder, process_count, seed):
        self.folder = folder
        self.rng = random.Random(seed)
        self.names = [f"linearizability:{uuid.uuid4().hex[:12]}" for _ in PLACES]
        self.histories = [History(label, is_removed) for label, is_removed, *_ in PLACES]
        self.roles = {}  # row -> place, role or None for a writer
        for place, (_, _, _, part, writing) in enumerate(PLACES):
            count = max(2, round(process_count * part))
            writers = max(1, round(count * writing))
            for at in range(count):
                role = None if at < writers else READERS[(at - writers) % len(READERS)]
                self.roles[len(self.roles) + 1] = (place, role)
        self.numbers = Cells(1 + len(self.roles))
        self.children = {}  # row -> process
        self.lives = collections.Counter()
        self.ends = {}
        self.stopped = {}  # row -> when it goes on
        self.kills = self.stops = self.bad_ends = 0
        self.watcher = deltas.Watcher([f"{SHM}sharedmap.{name}" for name in self.names])

    def begin(self):
        for place, name in enumerate(self.names):
            process = Process(self.folder, place, name, PARENT, place, self.numbers, None)
            process.force()
            process.recorder.close()
            self.ends[PARENT, place] = history.NEVER
        for row in self.roles:
            self.start(row)

    def start(self, row):
        place, role = self.roles[row]
        self.lives[row] += 1
        seed = self.rng.random()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            try:
                process = Process(
                    self.folder, place, self.names[place], row, self.lives[row],
                    self.numbers, seed,
                )  # fmt: skip
                try:
                    if role is None:
                        process.write(PLACES[place][2])
                    else:
                        process.read(role)
                except Malformed as malformed:
                    process.recorder.write_complaint(f"{PLACES[place][0]}: {malformed}")
                    signal.pause()
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(1)
        self.children[row] = child

    def kill(self, row):
        child = self.children.pop(row)
        os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self.bad_ends += code != -signal.SIGKILL
        self.ends[row, self.lives[row]] = now()
        self.stopped.pop(row, None)

    def strike(self):
        row = self.rng.choice(list(self.children))
        if self.rng.random() < 0.5:
            self.kill(row)
            self.kills += 1
            self.start(row)
        elif row not in self.stopped:
            os.kill(self.children[row], signal.SIGSTOP)
            self.stops += 1
            self.stopped[row] = time.monotonic() + self.rng.random() ** 3 * 0.2
        for row, until in list(self.stopped.items()):
            if until < time.monotonic():
                os.kill(self.children[row], signal.SIGCONT)
                del self.stopped[row]

    def play(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.bad_ends:
            time.sleep(self.rng.random() * 0.006)
            self.strike()
        for row in list(self.children):
            self.kill(row)

    def check(self):
        complaints = []
        history.load(self.folder, self.histories, self.ends)
        for one in self.histories:
            complaints += one.check()
        if self.bad_ends:
            complaints.append(f"{self.bad_ends} processes ended by an exception")
        for name in self.names:
            sharedmap.share({}, name, force=True)
            if self.files(name) != [f"sharedmap.{name}"]:
                complaints.append(f"files {self.files(name)} after the last share")
            sharedmap.remove(name)
            if self.files(name):
                complaints.append(f"files {self.files(name)} after remove")
        return complaints

    def files(self, name):
        return [file for file in os.listdir(SHM) if name in file]

    def clean_up(self):
        self.counts = self.watcher.end()
        for child in self.children.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        for name in self.names:
            for file in self.files(name):
                os.unlink(SHM + file)


def play_round(totals, process_count, seconds, seed):
    with tempfile.TemporaryDirectory(prefix="linearizability") as folder:
        one = Round(folder, process_count, seed)
        try:
            one.begin()
            one.play(seconds)
            complaints = one.check()
        finally:
            one.clean_up()
    totals.update(one.counts)
    totals["kills"] += one.kills
    totals["stops"] += one.stops
    for each in one.histories:
        totals["reads"] += each.read_count + len(each.absences)
        totals["versions read"] += len(each.versions)
        for write in each.writes:
            totals[f"{history.KINDS[write.kind]}s"] += write.outcome == DONE
            totals["killed inside"] += write.outcome == BEGUN
            totals["refused"] += write.outcome == REFUSED
            totals["timed out"] += write.outcome == TIMED_OUT
    return complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument(
        "--round", type=float, default=10, help="seconds until a history is checked"
    )
    parser.add_argument("--processes", type=int, default=40)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--stop-early", action="store_true", help="after the first failure")
    parser.add_argument("--deltas", action="store_true", help="of maps that are large enough")
    options = parser.parse_args()
    if options.deltas and not deltas.have_small_maps():
        sys.exit(deltas.run_again())
    if options.deltas:
        PIECES[0] = PIECES_WITH_DELTAS
    print(f"seed {options.seed}")
    totals = collections.Counter()
    failures = number = 0
    left = options.seconds
    while left > 0 and not (failures and options.stop_early):
        seconds = min(options.round, left)
        complaints = play_round(totals, options.processes, seconds, f"{options.seed}/{number}")
        for complaint in complaints[:20]:
            print(f"FAILED in round {number}: {complaint}")
        failures += len(complaints)
        left -= seconds
        number += 1
    for complaint in deltas.missing(totals) if options.deltas and not failures else []:
        print(f"FAILED: {complaint}")
        failures += 1
    print(", ".join(f"{count} {what}" for what, count in totals.items()))
    print(f"{number} rounds of {options.processes} processes, {failures} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
