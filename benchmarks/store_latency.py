"""How soon a reader in another process sees an appended version.

    python -m benchmarks.store_latency [--updates N]

The reader follows the map and does nothing but `m["n"]`. Prints a Markdown table of two publishers:

    update()     from its call, and from its return, until the reader has the value. The reader is
                 faster than the return: the publisher wakes sleepers and closes the file meanwhile
    the store    the same versions once more, published by hand. What update() has appended stays
                 where it is, so that storing the head of a version publishes it again. The clock is
                 read right before and right after that one store; the true time is in between

All times are of one clock, which both processes read: reading it is part of what is measured.
"""

import argparse
import mmap
import multiprocessing
import os
import random
import statistics
import time
import uuid

import sharedmap
from sharedmap._names import path_of

clock = time.perf_counter_ns  # the same in all processes of a machine
ENTRIES, VALUE = 8000, b"x" * 3000  # room for 10,000 updates of one key
HEAD = 192 // 4  # docs/FORMAT.md: in 32-bit words
UPDATES = 10_000


class Stage:
    """What both processes have: how far the reader is, and when it saw each number."""

    def __init__(self, name, updates):
        self.name = name
        self.ready = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
        self.seen = memoryview(mmap.mmap(-1, 8 * (updates + 1))).cast("Q")


def read(stage, numbers):
    ready, seen = stage.ready, stage.seen
    with sharedmap.sharedmap(stage.name, follow=True) as m:
        for number in numbers:
            ready[0] = number
            while m["n"] != number:
                pass
            seen[number] = clock()


def measure(stage, numbers, publish):
    """Starts a reader, and publishes each number when the reader is waiting for it."""
    reader = multiprocessing.get_context("fork").Process(target=read, args=(stage, numbers))
    ready, times = stage.ready, []
    ready[0] = 0
    reader.start()
    for number in numbers:
        while ready[0] != number:
            time.sleep(0.00005)
        # At no particular moment of the reader's loop.
        pause = clock() + 20_000 + random.randrange(20_000)
        while clock() < pause:
            pass
        before = clock()
        publish(number)
        times.append((before, clock()))
    reader.join()
    seen = [stage.seen[number] for number in numbers]
    return (
        [when - before for when, (before, _) in zip(seen, times, strict=True)],
        [when - after for when, (_, after) in zip(seen, times, strict=True)],
    )


def run(updates):
    name = f"benchmark:{uuid.uuid4().hex[:12]}"
    stage = Stage(name, updates)
    numbers = range(1, updates + 1)
    entries = {f"{number:06d}": VALUE for number in range(ENTRIES)}
    sharedmap.share({**entries, "n": 0}, name)
    descriptor = os.open(path_of(name), os.O_RDWR)
    words = memoryview(mmap.mmap(descriptor, mmap.PAGESIZE)).cast("I")
    heads = [0]

    def update(number):
        sharedmap.update(name, {"n": number})
        heads.append(words[HEAD])

    def store(number):
        words[HEAD] = heads[number]

    try:
        with sharedmap.sharedmap(name):  # as a publisher has it
            called = measure(stage, numbers, update)
        assert os.fstat(descriptor).st_nlink == 1, "it was compacted"
        words[HEAD] = 0
        return called, measure(stage, numbers, store)
    finally:
        os.close(descriptor)
        sharedmap.remove(name)


MOMENTS = (
    "from the call of `update()`",
    "from its return",
    "from just before the store of the head",
    "from just after it",
)


def summary(times):
    """The median, and what 90 and 99 per cent are below."""
    parts = statistics.quantiles(times, n=100)
    return statistics.median(times), parts[89], parts[98]


def report(called, stored):
    print("| until the reader has the value | median, ns | 90 %, ns | 99 %, ns |")
    print("|---|---:|---:|---:|")
    for title, times in zip(MOMENTS, (*called, *stored), strict=True):
        print(f"| {title} | " + " | ".join(f"{number:,.0f}" for number in summary(times)) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--updates", type=int, default=UPDATES, help=f"at most {UPDATES:,}")
    options = parser.parse_args()
    load = " ".join(f"{number:.1f}" for number in os.getloadavg())
    print(f"{options.updates:,} updates, {os.cpu_count()} processors, load {load}\n")
    report(*run(options.updates))


if __name__ == "__main__":
    main()
