"""How lookups scale over the threads of one process, with and without a GIL.

    python benchmarks/scaling.py [--threads N ...] [--entries N ...] [--rounds N]

Prints a Markdown table for each size. All threads look up the same keys, each with str objects of
its own, hashed before: keys chosen at random, or the same 200 again and again. Contenders take
turns, with one thread and with several:

    one `m[k]`       all threads use one handle, which is a global, as in a module
    one `m.get`      one handle; each thread has bound the method
    one `get_many`   one handle, 100 keys a call
    each `m[k]`      a handle for each thread
    one dict, each dict, and py-lmdb if it can be loaded: one environment
    empty loop       nothing but the loop

Scaling is throughput with several threads over throughput with one; the other figure is processor
time for each lookup, of one thread and of several. Where the empty loop does not scale the machine
has no cores to spare, and the run tells nothing: that is said below the table.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
import uuid

from update_cost import content, key_of, value_of

import sharedmap

LOOKUPS = 200_000
BATCH = 100
HOT = 200
LEAST_SCALING = 0.9  # of the empty loop, for each thread


# ---- what a thread does: keys --> nothing ---------------------------------------------------


def subscript(mapping):
    def run(keys):
        for key in keys:
            mapping[key]

    return run


def bound_get(mapping):
    def run(keys):
        get = mapping.get
        for key in keys:
            get(key)

    return run


def get_many(mapping):
    def run(keys):
        get_many = mapping.get_many
        for first in range(0, len(keys), BATCH):
            get_many(keys[first : first + BATCH])

    return run


def nothing(keys):
    for _key in keys:
        pass


def lmdb_get(environment):
    def run(keys):
        with environment.begin(buffers=True) as transaction:
            get = transaction.get
            for key in keys:
                get(key)

    return run


# ---- measuring ------------------------------------------------------------------------------


def run_threads(runs, keys):
    """(seconds of the slowest, processor seconds of all) of a thread for each run."""
    start = threading.Barrier(len(runs))
    ends = []

    def work(run, own_keys):
        start.wait()
        began, processor = time.perf_counter(), time.thread_time()
        run(own_keys)
        ends.append((time.perf_counter() - began, time.thread_time() - processor))

    threads = [threading.Thread(target=work, args=pair) for pair in zip(runs, keys, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(end[0] for end in ends), sum(end[1] for end in ends)


def own_copies(keys, is_encoded):
    """The same keys as objects of one thread, which have been hashed."""
    copies = {}
    for key in keys:
        copy = key[:1] + key[1:]
        copies[key] = copy.encode() if is_encoded else copy
        hash(copies[key])
    return [copies[key] for key in keys]


def measure(contenders, numbers_of_threads, keys, rounds):
    """{(title, threads): [(seconds, processor seconds for a lookup)]}"""
    measured = {}
    order = list(contenders)
    own = {
        is_encoded: [own_copies(keys, is_encoded) for _ in range(max(numbers_of_threads))]
        for _, is_encoded in contenders.values()
    }
    for turn in range(rounds + 1):
        random.shuffle(order)
        for title in order:
            make, is_encoded = contenders[title]
            for threads in numbers_of_threads:
                runs = [make(i) for i in range(threads)]
                seconds, processor = run_threads(runs, own[is_encoded][:threads])
                if turn > 0:  # the first warms up
                    result = (seconds, processor / threads / len(keys))
                    measured.setdefault((title, threads), []).append(result)
    return measured


def report(measured, contenders, numbers_of_threads):
    single, *several = numbers_of_threads
    print("| | " + " | ".join(f"{n} threads" for n in several) + " | ns for a lookup |")
    print("|---|" + "---:|" * (len(several) + 1))
    scalings = {}
    for title in contenders:
        cells = []
        alone = measured[title, single]
        for threads in several:
            ratios = [
                threads * one[0] / more[0]
                for one, more in zip(alone, measured[title, threads], strict=True)
            ]
            scalings[title, threads] = median = statistics.median(ratios)
            cells.append(f"{median:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        times = [
            statistics.median(cost for _, cost in measured[title, threads]) * 1e9
            for threads in numbers_of_threads
        ]
        cells.append(" to ".join(f"{ns:.0f}" for ns in times))
        print(f"| {title} | " + " | ".join(cells) + " |")
    for threads in several:
        if scalings["empty loop", threads] < LEAST_SCALING * threads:
            print(f"\nThe empty loop does not scale to {threads} threads: this run tells nothing.")
    print()


def open_lmdb(folder, data):
    try:
        import lmdb
    except ImportError:
        print("py-lmdb: not here, or not for this Python\n")
        return None
    environment = lmdb.open(folder, map_size=1 << 32, max_readers=64, sync=False)
    with environment.begin(write=True) as transaction:
        for key, value in data.items():
            transaction.put(key.encode(), value.encode())
    return environment


def run_size(entries, numbers_of_threads, rounds):
    name = f"benchmark:{uuid.uuid4().hex[:12]}"
    data = content(entries)
    folder = tempfile.mkdtemp(dir="/dev/shm", prefix="benchmark-")
    sharedmap.share(data, name)
    try:
        most = max(numbers_of_threads)
        one = sharedmap.sharedmap(name)
        each = [sharedmap.sharedmap(name) for _ in range(most)]
        dicts = [dict(data) for _ in range(most)]
        environment = open_lmdb(folder, data)
        contenders = {
            "one `m[k]`": (lambda i: subscript(one), False),
            "one `m.get`": (lambda i: bound_get(one), False),
            "one `get_many`": (lambda i: get_many(one), False),
            "each `m[k]`": (lambda i: subscript(each[i]), False),
            "one dict": (lambda i: subscript(data), False),
            "each dict": (lambda i: subscript(dicts[i]), False),
            "empty loop": (lambda i: nothing, False),
        }
        if environment is not None:
            contenders["py-lmdb"] = (lambda i: lmdb_get(environment), True)
        numbers = list(range(entries))
        random.seed(entries)
        for pattern, chosen in (
            ("random keys", random.choices(numbers, k=LOOKUPS)),
            (f"{HOT} hot keys", random.sample(numbers, HOT) * (LOOKUPS // HOT)),
        ):
            print(f"**{entries:,} entries, {pattern}**\n")
            keys = [key_of(number) for number in chosen]
            assert one[keys[0]] == value_of(chosen[0])
            measured = measure(contenders, numbers_of_threads, keys, rounds)
            report(measured, contenders, numbers_of_threads)
    finally:
        sharedmap.remove(name)
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args()
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"CPython {sys.version.split()[0]}, {'with' if has_gil else 'without'} a GIL\n")
    for entries in arguments.entries:
        run_size(entries, arguments.threads, arguments.rounds)


if __name__ == "__main__":
    main()
