"""What it costs to change some entries of a large map that is published, and what readers pay.

    python benchmarks/update_cost.py [--entries N ...] [--changes N ...] [--seconds S]

Prints Markdown tables. The contenders take turns, one transaction each, with the same random keys:

    changes   update() with a handle open and without one, beside py-lmdb with both of its
              engines, clibmdbx and sqlite3, in /dev/shm and without sync. A measurement ends
              with a compaction, so that the means have as many of them as there would be in the
              long run
    reads     the same lookups in a map without deltas and in one with part of its entries changed
    memory    allocated bytes of the file while one key is changed again and again
"""

from __future__ import annotations

import argparse
import collections
import gc
import importlib.util
import os
import random
import shutil
import sqlite3
import statistics
import tempfile
import time
import uuid
from functools import partial
from pathlib import Path

import sharedmap
from sharedmap._names import path_of


def key_of(number):
    return f"user:{number:09d}"


def value_of(number):
    return f"value {number:025d}"


def content(entries):
    return {key_of(number): value_of(number) for number in range(entries)}


def percentile(times, share):
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


# ---- contenders ---------------------------------------------------------------------------


class Ours:
    title = "`update()`"

    def __init__(self, data):
        self.name = f"benchmark:{uuid.uuid4().hex[:12]}"
        sharedmap.share(data, self.name)
        self.open()

    def open(self):
        self.handle = sharedmap.sharedmap(self.name, follow=True)

    def change(self, changes):
        sharedmap.update(self.name, changes)

    def get(self, key):
        return self.handle[key]

    def file(self):
        return os.stat(path_of(self.name)).st_ino

    def close(self):
        self.handle.close()
        sharedmap.remove(self.name)


class OursWithoutHandle(Ours):
    title = "`update()`, no handle open"

    def open(self):
        pass

    def get(self, key):
        with sharedmap.sharedmap(self.name) as handle:
            return handle[key]

    def close(self):
        sharedmap.remove(self.name)


class Lmdb:
    def __init__(self, data, engine):
        import lmdb

        self.title = f"py-lmdb, engine {('0.9', '1.0')[engine]}"
        self.folder = tempfile.mkdtemp(dir="/dev/shm")
        self.store = lmdb.open(
            str(Path(self.folder) / "store"),
            subdir=False,
            map_size=(1 << 30) + len(data) * 400,
            writemap=True,
            sync=False,
            metasync=False,
            lib_version=engine,
        )
        with self.store.begin(write=True) as transaction:
            for key, value in data.items():  # which are in order
                transaction.put(key.encode(), value.encode(), append=True)

    def change(self, changes):
        with self.store.begin(write=True) as transaction:
            for key, value in changes.items():
                transaction.put(key.encode(), value.encode())

    def get(self, key):
        with self.store.begin() as transaction:
            return transaction.get(key.encode()).decode()

    def close(self):
        self.store.close()
        shutil.rmtree(self.folder)


class Mdbx:
    title = "clibmdbx"

    def __init__(self, data):
        import clibmdbx

        self.folder = tempfile.mkdtemp(dir="/dev/shm")
        flags = clibmdbx.MDBX_WRITEMAP | clibmdbx.MDBX_UTTERLY_NOSYNC
        path = str(Path(self.folder) / "store")
        self.store = clibmdbx.Environment(path, subdir=False, flags=flags)
        self.change(data)

    def change(self, changes):
        with self.store.write() as transaction:
            transaction.put_many([(key.encode(), value.encode()) for key, value in changes.items()])

    def get(self, key):
        return self.store.get(key.encode()).decode()

    def close(self):
        self.store.close()
        shutil.rmtree(self.folder)


class Sqlite:
    title = "sqlite3"

    def __init__(self, data):
        self.folder = tempfile.mkdtemp(dir="/dev/shm")
        self.store = sqlite3.connect(Path(self.folder) / "store", isolation_level=None)
        self.store.execute("pragma journal_mode = wal")  # so that readers do not wait
        self.store.execute("pragma synchronous = off")
        self.store.execute("create table t (k text primary key, v text) without rowid")
        self.change(data)

    def change(self, changes):
        self.store.execute("begin immediate")
        self.store.executemany("insert or replace into t values (?, ?)", changes.items())
        self.store.execute("commit")

    def get(self, key):
        return self.store.execute("select v from t where k = ?", (key,)).fetchone()[0]

    def close(self):
        self.store.close()
        shutil.rmtree(self.folder)


def contenders(entries):
    data = content(entries)
    yield Ours(data)
    yield OursWithoutHandle(data)
    for module, kinds in {
        "lmdb": [partial(Lmdb, engine=0), partial(Lmdb, engine=1)],
        "clibmdbx": [Mdbx],
        "sqlite3": [Sqlite],
    }.items():
        if importlib.util.find_spec(module) is None:
            print(f"{module} is not installed: no peer")
            continue
        for kind in kinds:
            yield kind(data)


# ---- changes ------------------------------------------------------------------------------


def measure_changes(entries, counts, seconds):
    """Gives rows of entries, changes, title and what the transactions took, in seconds."""
    rows = []
    rivals = list(contenders(entries))
    ours = rivals[0]
    for count in counts:
        if count * 8 > entries:
            continue
        times = {rival.title: [] for rival in rivals}
        begin, file = time.monotonic(), ours.file()
        is_over = False
        while not is_over:
            changes = {
                key_of(random.randrange(entries)): value_of(random.randrange(10**12))
                for _ in range(count)
            }
            for rival in random.sample(rivals, len(rivals)):
                start = time.perf_counter()
                rival.change(changes)
                times[rival.title].append(time.perf_counter() - start)
            before, file = file, ours.file()
            spent = time.monotonic() - begin
            is_over = spent > 4 * seconds or (
                spent > seconds and before != file and len(times[ours.title]) >= 15
            )
        key, value = next(iter(changes.items()))
        assert all(rival.get(key) == value for rival in rivals)
        rows += [(entries, count, rival.title, times[rival.title]) for rival in rivals]
    for rival in rivals:
        rival.close()
    return rows


def report_changes(rows):
    print("\n| entries | changed | | transactions | median, us | mean, us | p99, us | most, us |")
    print("|---:|---:|---|---:|---:|---:|---:|---:|")
    for entries, count, title, taken in rows:
        numbers = (
            statistics.median(taken),
            statistics.mean(taken),
            percentile(taken, 0.99),
            max(taken),
        )
        cells = " | ".join(f"{1e6 * number:,.1f}" for number in numbers)
        print(f"| {entries:,} | {count:,} | {title} | {len(taken):,} | {cells} |")


# ---- reads --------------------------------------------------------------------------------


def get(handle, keys, numbers):
    for key in keys:
        handle[key]


def get_many(handle, keys, numbers):
    handle.get_many(keys)


def items(handle, keys, numbers):
    for _ in handle.items():
        pass


def peekitem(handle, keys, numbers):
    for number in numbers:
        handle.peekitem(number)


# What is done with a handle, and whether it is done once more with the same keys.
READS = [("`m[k]`", get, True), ("`get_many`", get_many, True)]
READS += [("`items()`", items, False), ("`peekitem(i)`", peekitem, False)]
AGAIN = "{}, the same keys again"


def measure_reads(entries, shares, rounds):
    """Gives seconds by title and part that is changed, of which 0 is the first.

    All are versions of one file, with the same base: how fast a map is depends on where in memory
    it came to lie. They are opened as they are published, and stay.

    Each measurement has random keys of its own. With the same for all versions, each version would
    find the base's part of them in the cache because of the others, but not that of its deltas.
    """
    name = f"benchmark:{uuid.uuid4().hex[:12]}"
    sharedmap.share(content(entries), name)
    handles = {0.0: sharedmap.sharedmap(name)}
    file = os.stat(path_of(name)).st_ino
    numbers = random.sample(range(entries), entries)
    changed = 0
    for share in sorted(shares):
        # In steps, so that there are two deltas, as in a map that changes all the time.
        while changed < int(entries * share):
            step = max(1, (int(entries * share) - changed) // 2)
            keys = map(key_of, numbers[changed : changed + step])
            sharedmap.update(name, {key: "changed " + key for key in keys})
            changed += step
        handles[share] = sharedmap.sharedmap(name)
    assert os.stat(path_of(name)).st_ino == file, "the map was compacted"
    times = collections.defaultdict(list)
    gc.disable()
    for _ in range(rounds):
        for title, act, has_again in READS:
            order = list(handles)
            random.shuffle(order)
            for share in order:
                numbers = [random.randrange(entries) for _ in range(20_000)]
                for row in [title, AGAIN.format(title)][: 1 + has_again]:
                    keys = [key_of(number) for number in numbers]  # new objects each time
                    begin = time.perf_counter()
                    act(handles[share], keys, numbers)
                    times[row, share].append(time.perf_counter() - begin)
    gc.enable()
    for handle in handles.values():
        handle.close()
    sharedmap.remove(name)
    return times


def ratios(times, title, share):
    """Time with that part changed / without: first quartile, median, third."""
    pairs = zip(times[title, share], times[title, 0.0], strict=True)
    return statistics.quantiles([changed / plain for changed, plain in pairs], n=4)


def report_reads(entries, times, shares):
    print(f"\n{entries:,} entries, time with part of them changed / without: median (quartiles)\n")
    print("| | " + " | ".join(f"{100 * share:g} %" for share in shares) + " |")
    print("|---|" + "---:|" * len(shares))
    for title in dict.fromkeys(title for title, _ in times):
        cells = []
        for share in shares:
            low, middle, high = ratios(times, title, share)
            cells.append(f"{middle:.2f} ({low:.2f}-{high:.2f})")
        print(f"| {title} | " + " | ".join(cells) + " |")


# ---- memory -------------------------------------------------------------------------------


def allocated(name):
    return os.stat(path_of(name)).st_blocks * 512


def measure_memory(entries, updates):
    """Gives the bytes of the base, seconds, and the file's bytes after each update."""
    ours = Ours(content(entries))
    base = allocated(ours.name)
    series = []
    begin = time.perf_counter()
    for _ in range(updates):
        ours.change({key_of(random.randrange(entries)): value_of(random.randrange(10**12))})
        series.append(allocated(ours.name))
    took = time.perf_counter() - begin
    ours.close()
    return base, took, series


def report_memory(entries, base, took, series):
    print(
        f"\n{len(series):,} updates of one key in {entries:,} entries: {took:.1f} s, the file is"
        f" at most {max(series) / base:.2f} of the base ({base:,} bytes)"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--changes", type=int, nargs="+", default=[1, 100, 10_000])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.001, 0.01, 0.1])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--updates", type=int, default=100_000)
    options = parser.parse_args()
    load = " ".join(f"{number:.1f}" for number in os.getloadavg())
    print(f"load {load}")
    rows = []
    for entries in options.entries:
        rows += measure_changes(entries, options.changes, options.seconds)
    report_changes(rows)
    for entries in options.entries:
        if options.rounds > 1:
            times = measure_reads(entries, options.shares, options.rounds)
            report_reads(entries, times, options.shares)
        if options.updates:
            report_memory(entries, *measure_memory(entries, options.updates))


if __name__ == "__main__":
    main()
