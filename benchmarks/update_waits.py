"""How long a publisher waits for another one that compacts a large map.

    python -m benchmarks.update_waits [--entries N] [--compactions N] [--changes N M]

Two processes publish to one map without a pause, each with a handle open: one changes --changes N
entries with each call of update(), the other M. The call that finds the map full of changes
compacts it. Prints two Markdown tables: how long the other calls take while one of these is at
work and when none is, and what the longest ones consist of.

A call spends processor time, waits for a core (/proc/self/schedstat), or is asleep: then it waits
for the lock, or pauses to leave room in the file until it is compacted.
"""

import argparse
import bisect
import gc
import json
import multiprocessing
import os
import random
import statistics
import time
import uuid
from pathlib import Path
from typing import NamedTuple

import sharedmap
from sharedmap._names import path_of

from .update_cost import content, key_of, percentile, value_of

clock = time.perf_counter_ns  # the same in all processes of a machine
SHOWN = 5
COMPACTION = 20  # nanoseconds of processor time for each entry, at least


class Call(NamedTuple):
    """Times in nanoseconds."""

    begin: int
    took: int
    cpu: int
    core: int  # waited for one
    replaced: bool  # whether the name led to another file afterwards

    @property
    def end(self):
        return self.begin + self.took

    @property
    def asleep(self):
        return max(0, self.took - self.cpu - self.core)


# ---- a publisher --------------------------------------------------------------------------


def waited_for_a_core(schedstat):
    return int(os.pread(schedstat, 100, 0).split()[1])


def publish(name, entries, count, stop, results):
    """One process: sends what each call took."""
    schedstat = os.open("/proc/self/schedstat", os.O_RDONLY)
    path = path_of(name)
    calls = []
    gc.disable()
    with sharedmap.sharedmap(name, follow=True) as handle:
        handle[key_of(0)]
        results.send(None)
        while not stop.is_set():
            changes = {
                key_of(random.randrange(entries)): value_of(random.randrange(10**12))
                for _ in range(count)
            }
            inode = os.stat(path).st_ino
            core, cpu, begin = waited_for_a_core(schedstat), time.thread_time_ns(), clock()
            sharedmap.update(name, changes)
            took, cpu = clock() - begin, time.thread_time_ns() - cpu
            core = waited_for_a_core(schedstat) - core
            calls.append(Call(begin, took, cpu, core, os.stat(path).st_ino != inode))
            handle[key_of(0)]
    results.send(calls)


def measure(entries, compactions, counts):
    name = f"benchmark:{uuid.uuid4().hex[:12]}"
    sharedmap.share(content(entries), name)
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pipes = [context.Pipe(duplex=False) for _ in counts]
    publishers = [
        context.Process(target=publish, args=(name, entries, count, stop, sender))
        for count, (_, sender) in zip(counts, pipes, strict=True)
    ]
    try:
        for publisher, (receiver, _) in zip(publishers, pipes, strict=True):
            publisher.start()
            receiver.recv()
        inode = os.stat(path_of(name)).st_ino
        while compactions > 0:
            time.sleep(0.01)
            now = os.stat(path_of(name)).st_ino
            compactions -= now != inode
            inode = now
        time.sleep(0.2)
        stop.set()
        return [receiver.recv() for receiver, _ in pipes]
    finally:
        stop.set()
        for publisher in publishers:
            publisher.join()
        sharedmap.remove(name)


# ---- the tables ---------------------------------------------------------------------------


def is_compaction(call, entries):
    return call.replaced and call.cpu > COMPACTION * entries


def split(publishers, entries):
    """The compactions, the other calls beside one, and those beside none."""
    found = [call for calls in publishers for call in calls if is_compaction(call, entries)]
    beside, alone = [], []
    for calls in publishers:
        for call in calls:
            if not is_compaction(call, entries):
                is_beside = any(
                    call.begin < other.end and other.begin < call.end for other in found
                )
                (beside if is_beside else alone).append(call)
    return found, beside, alone


def without_waits_for_cores(calls, publishers):
    """What each call was asleep, less what other publishers waited for a core meanwhile: where that
    is much, the machine had other work, and who had the lock could not go on."""
    sorted_calls = [sorted(found) for found in publishers]
    for call in calls:
        others = 0
        for found in sorted_calls:
            at = bisect.bisect_left(found, (call.begin,))
            # The one that had begun before, and all that began meanwhile.
            for other in found[max(0, at - 1) :]:
                if other.begin > call.end:
                    break
                # A call that replaced the file had no lock for most of its time.
                if other.end > call.begin and other != call and not other.replaced:
                    others += other.core
        yield max(0, call.asleep - others)


def summary(calls, publishers):
    """How many; microseconds: median and 99 per cent; milliseconds: the longest, the longest that
    one was asleep, and that without waits for cores."""
    times = [call.took / 1e3 for call in calls]
    if not times:
        return 0, 0, 0, 0, 0, 0
    return (
        len(times),
        statistics.median(times),
        percentile(times, 0.99),
        max(times) / 1e3,
        max(call.asleep for call in calls) / 1e6,
        max(without_waits_for_cores(calls, publishers)) / 1e6,
    )


def row(title, calls, publishers):
    count, median, last, *longest = summary(calls, publishers)
    cells = [title, f"{count:,}", f"{median:,.0f}", f"{last:,.0f}"]
    return "| " + " | ".join([*cells, *(f"{value:.1f}" for value in longest)]) + " |"


def report(entries, counts, publishers):
    found, beside, alone = split(publishers, entries)
    seconds = sorted(call.took / 1e9 for call in found)
    print(
        f"\n{entries:,} entries, updates of {counts[0]:,} and of {counts[1]:,} of them;"
        f" {len(found)} compactions, which took {seconds[0]:.1f} to {seconds[-1]:.1f} s\n"
    )
    print(
        "| other calls | | median, us | p99, us | longest, ms | longest asleep, ms"
        " | the same, while the others had a core |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    print(row("while one compacts", beside, publishers))
    print(row("while none does", alone, publishers))
    print("\n| longest calls, ms | processor | waits for a core | asleep | |")
    print("|---:|---:|---:|---:|---|")
    kinds = [(call, "while one compacts") for call in beside] + [(call, "") for call in alone]
    for call, kind in sorted(kinds, key=lambda pair: -pair[0].took)[:SHOWN]:
        numbers = (call.took, call.cpu, call.core, call.asleep)
        print("| " + " | ".join(f"{number / 1e6:.1f}" for number in numbers) + f" | {kind} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--compactions", type=int, default=5)
    parser.add_argument("--changes", type=int, nargs=2, default=[100, 1])
    parser.add_argument("--json", type=Path, help="where to put all calls")
    options = parser.parse_args()
    print(f"load {' '.join(f'{number:.1f}' for number in os.getloadavg())}")
    publishers = measure(options.entries, options.compactions, options.changes)
    report(options.entries, options.changes, publishers)
    if options.json:
        options.json.write_text(json.dumps(publishers))


if __name__ == "__main__":
    main()
