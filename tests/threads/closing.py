"""Closes handles that threads are reading: how long that takes, and whether a mapping is left.

    python3 tests/threads/closing.py [--rounds N | --seconds N] [--entries N] [--readers N]

    main       open | refresh, pin, refresh ... | close both | count mappings | open ...
    reader     m[k], get, in, get_many, views, iterators of both, until they are closed
    another    the same
    updater    another process: appends, folds and compacts without a pause

Every other handle follows, so that readers advance it, too. When all readers have noticed that it
is closed, this process must not have the map mapped any more.

Each time is printed twice: as it was, and without what was spent waiting for a core, by the thread
that closes or by a reader that it waits for. Exits with a failure if the second of a close() was
longer than --limit milliseconds, if a value was wrong, if a mapping or a descriptor is left, or if
the updater did not append, fold and compact.
"""

import argparse
import os
import pathlib
import random
import sys
import sysconfig
import threading
import time
import traceback
import uuid

sys.path.insert(0, os.fspath(pathlib.Path(__file__).resolve().parents[1] / "faults"))
import deltas
from cells import Cells

import sharedmap

LOOKUPS = 50  # groups of lookups of each reader, between two steps of the main thread
KEYS = 20  # looked up by each group
TIMED = ["close", "refresh", "snapshot"]


class Scheduled:
    """What the system tells of the calling thread."""

    def __init__(self):
        # Opened once: without a GIL, open() beside busy threads yields its core a hundred times.
        path = f"/proc/self/task/{threading.get_native_id()}/schedstat"
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def waited(self):
        """Nanoseconds that it has waited for a core. A wait is counted when it is over."""
        return int(os.pread(self.descriptor, 100, 0).split()[1])

    def close(self):
        os.close(self.descriptor)


class Times:
    """How long the calls of one kind took, in nanoseconds."""

    def __init__(self):
        self.whole = []
        self.own = []

    def told(self):
        def one(times):
            ordered = sorted(times)
            middle, late = (ordered[int(len(ordered) * part)] for part in (0.5, 0.99))
            return f"{middle / 1e6:.3f} / {late / 1e6:.3f} / {ordered[-1] / 1e6:.3f}"

        return f"{len(self.whole):7} times   {one(self.whole)} ms   {one(self.own)} ms"


class Updater:
    """A process that updates the map until it is told to end."""

    def __init__(self, name, entries):
        self.cells = Cells(len(deltas.KINDS) + 1)
        parent = os.getpid()
        sys.stdout.flush()
        self.child = os.fork()
        if self.child == 0:
            try:
                self.update(name, entries, parent)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(0)

    def update(self, name, entries, parent):
        rng = random.Random(1)
        files = deltas.Files(f"/dev/shm/sharedmap.{name}")
        while not self.cells[len(deltas.KINDS)] and os.getppid() == parent:
            number = rng.randrange(10**6)
            keys = [f"key {rng.randrange(entries):07}" for _ in range(entries // 80)]
            sharedmap.update(name, dict.fromkeys([*keys, "first", "last"], number))
            files.look()
        files.settle()
        for number, kind in enumerate(deltas.KINDS):
            self.cells[number] = files.counts[kind]

    def end(self):
        """How often it appended, folded and so on."""
        self.cells[len(deltas.KINDS)] = 1
        os.waitpid(self.child, 0)
        return {kind: self.cells[number] for number, kind in enumerate(deltas.KINDS)}


class Play:
    def __init__(self, name, entries, readers):
        self.name = name
        self.entries = entries
        self.handles = ()
        self.is_over = False
        self.failures = []
        self.lookups = [0] * readers
        self.own = Scheduled()
        self.scheduled = [None] * readers
        self.barrier = threading.Barrier(readers + 1)
        self.times = {kind: Times() for kind in TIMED}
        self.threads = [threading.Thread(target=self.read, args=(n,)) for n in range(readers)]
        for thread in self.threads:
            thread.start()

    # ---- a reader ------------------------------------------------------------------------------

    def read(self, number):
        self.scheduled[number] = Scheduled()
        rng = random.Random(number)
        try:
            while not self.is_over:
                self.barrier.wait()  # the next ones are open
                self.read_until_closed(number, rng)
                self.barrier.wait()  # and closed
        except threading.BrokenBarrierError:
            pass
        except BaseException:
            self.failures.append(traceback.format_exc())
            self.barrier.abort()

    def read_until_closed(self, number, rng):
        handles = self.handles
        while handles:
            try:
                while True:
                    for handle in handles:
                        self.look_up(handle, rng)
                        self.lookups[number] += 1
            except ValueError as error:
                assert "closed" in str(error), error
            # They are closed in this order.
            handles = handles[1:]

    def look_up(self, handle, rng):
        for _ in range(KEYS):
            key = f"key {rng.randrange(self.entries):07}"
            assert type(handle[key]) is int
            assert handle.get(key + "?") is None
            assert key in handle
            assert handle["text"] == "text"
        first, last, text = handle.get_many(["first", "last", "text"])
        assert first == last
        assert text == "text"
        if rng.random() < 0.1:
            view = handle.view("text")
            assert bytes(view) == b"text"
            assert [*handle["first":"first~"]] == ["first"]
            assert next(iter(handle.items()))[0] == "first"

    # ---- the one who closes --------------------------------------------------------------------

    def timed(self, kind, call):
        """The call's result."""
        threads = [self.own, *self.scheduled]
        waited = [thread.waited() for thread in threads]
        start = time.perf_counter_ns()
        result = call()
        whole = time.perf_counter_ns() - start
        waited = [thread.waited() - before for thread, before in zip(threads, waited, strict=True)]
        times = self.times[kind]
        times.whole.append(whole)
        times.own.append(max(0, whole - waited[0] - max(waited[1:])))
        return result

    def wait_for_lookups(self):
        """Until each reader has looked up some more."""
        wanted = [count + LOOKUPS for count in self.lookups]
        while any(a < b for a, b in zip(self.lookups, wanted, strict=True)) and not self.failures:
            time.sleep(0.0005)

    def round(self, number):
        handle = sharedmap.sharedmap(self.name, follow=number % 2 == 0)
        pinned = handle.snapshot()
        self.handles = (pinned, handle)
        self.barrier.wait()
        for _ in range(3):
            self.wait_for_lookups()
            self.timed("refresh", handle.refresh)
            self.timed("snapshot", handle.snapshot).close()
        for opened in self.handles:
            self.timed("close", opened.close)
            if opened is pinned:
                self.wait_for_lookups()
        del handle, pinned, opened
        self.handles = ()
        self.barrier.wait()
        with open("/proc/self/maps") as maps:
            left = [line for line in maps if self.name in line]
        assert left == [], left

    def end(self):
        self.is_over = True
        self.barrier.abort()
        for thread in self.threads:
            thread.join()
        for scheduled in [self.own, *self.scheduled]:
            scheduled.close()


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seconds", type=float, help="for so long, however many rounds that is")
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--limit", type=float, default=20, help="milliseconds of a close()")
    arguments = parser.parse_args()
    deadline = time.monotonic() + (arguments.seconds or float("inf"))
    name = f"closing-{uuid.uuid4().hex[:12]}"
    entries = {f"key {number:07}": number for number in range(arguments.entries)}
    sharedmap.share(entries | {"first": 0, "last": 0, "text": "text"}, name)
    del entries
    updater = Updater(name, arguments.entries)
    before = descriptors()
    play = Play(name, arguments.entries, arguments.readers)
    rounds = 0
    try:
        while time.monotonic() < deadline and (arguments.seconds or rounds < arguments.rounds):
            play.round(rounds)
            rounds += 1
    except threading.BrokenBarrierError:
        pass  # a reader says why
    except BaseException:
        play.failures.append(traceback.format_exc())
    play.end()
    counts = updater.end()
    sharedmap.remove(name)
    failures = play.failures + deltas.missing(counts)
    if descriptors() != before:
        failures.append(f"{before} descriptors before, {descriptors()} after")
    print("median / 99 % / maximum                       without waiting for a core")
    for kind, times in play.times.items():
        if times.whole:
            print(f"{kind + '()':11} {times.told()}")
    longest = max(play.times["close"].own, default=0) / 1e6
    if longest > arguments.limit:
        failures.append(f"a close() took {longest:.1f} ms")
    for failure in failures:
        print("FAILED", failure)
    print(deltas.told(counts))
    is_free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    kind = "without a GIL" if is_free else "with the GIL"
    print(
        f"{rounds} rounds, {sum(play.lookups)} groups of lookups {kind}, {len(failures)} failures"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
