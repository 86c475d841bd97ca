"""How lookups scale over the threads of one process, with and without a GIL.

    python benchmarks/scaling.py [--threads N ...] [--entries N ...] [--rounds N] [--lookups N]

Prints a Markdown table for each size. All threads look up the same keys, each with str objects of
its own, hashed before: keys chosen at random, or the same 200 again and again. Contenders take
turns, with one thread and with several:

    one `m[k]`       all threads use one handle, which is a global, as in a module
    one `m.get`      one handle; each thread has bound the method
    one `get_many`   one handle, 100 keys a call
    each `m[k]`      a handle for each thread
    one dict, each dict, and py-lmdb if it can be loaded: one environment
    interpreter `m[k]`, interpreter dict
                     each thread has an interpreter with a GIL of its own, which opens the map by
                     its name, or has a dict of its own; Python 3.12 and newer
    empty loop       nothing but the loop

Scaling is throughput with several threads over throughput with one, the median with the quartiles;
the other figure is processor time for each lookup, of one thread and of several. Where the empty
loop does not scale in three of four rounds the machine has no cores to spare, and the run tells
nothing: that is said below the table. Processor times tell more then, unless the threads ran one
after the other.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import struct
import sys
import tempfile
import threading
import time
import uuid

from update_cost import content, key_of, value_of

import sharedmap

try:
    import _interpreters as interpreters
except ImportError:
    interpreters = None  # Python 3.12 has another module for them, and before they share the GIL

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


# ---- interpreters ---------------------------------------------------------------------------

PREPARE = """
import os, struct, sys, time
sys.path[:] = {path!r}
import sharedmap
with open({keys!r}) as file:
    keys = file.read().split("\\n")
copies = {{key: key for key in keys}}  # one object for each key, hashed
keys = [copies[key] for key in keys]
mapping = sharedmap.sharedmap({name!r})
if {is_dict}:
    mapping = dict(mapping.items())
def run(keys):
    for key in keys:
        mapping[key]
run(keys)
"""
RUN = """
began, processor = time.perf_counter(), time.thread_time()
run(keys)
spent = began, time.perf_counter(), time.thread_time() - processor
os.write({pipe}, struct.pack("3d", *spent))
"""


class Interpreter:
    """An interpreter with the map and the keys. Called, it looks them up and returns the times."""

    def __init__(self, name, keys_path, is_dict):
        self.id = interpreters.create("isolated")
        self.reading, self.writing = os.pipe()
        self.exec(PREPARE.format(path=sys.path, keys=keys_path, name=name, is_dict=is_dict))

    def exec(self, script):
        failure = interpreters.run_string(self.id, script)
        if failure is not None:
            sys.exit(f"in an interpreter of its own: {failure.formatted}")

    def __call__(self, _keys):
        self.exec(RUN.format(pipe=self.writing))
        return struct.unpack("3d", os.read(self.reading, 24))

    def close(self):
        interpreters.destroy(self.id)
        os.close(self.reading)
        os.close(self.writing)


def make_interpreters(name, folder, keys, count):
    """{title: an interpreter for each thread}"""
    if interpreters is None:
        return {}
    path = os.path.join(folder, "keys")
    with open(path, "w") as file:
        file.write("\n".join(keys))
    return {
        title: [Interpreter(name, path, is_dict) for _ in range(count)]
        for title, is_dict in (("interpreter `m[k]`", False), ("interpreter dict", True))
    }


# ---- measuring ------------------------------------------------------------------------------


def run_threads(runs, keys):
    """(seconds, processor seconds) of a thread for each run.

    From the first one's beginning to the last one's end: threads that run one after the other, each
    as fast as if it were alone, do not scale.
    """
    start = threading.Barrier(len(runs))
    times = []

    def work(run, own_keys):
        start.wait()
        began, processor = time.perf_counter(), time.thread_time()
        spent = run(own_keys)
        if spent is None:
            spent = began, time.perf_counter(), time.thread_time() - processor
        times.append(spent)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(runs, keys, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    begins, ends, processor = zip(*times, strict=True)
    return max(ends) - min(begins), sum(processor)


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
            lower, median, upper = statistics.quantiles(ratios, n=4)
            scalings[title, threads] = lower
            cells.append(f"{median:.2f} ({lower:.2f} to {upper:.2f})")
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


def run_size(entries, numbers_of_threads, rounds, lookups):
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
            ("random keys", random.choices(numbers, k=lookups)),
            (f"{HOT} hot keys", random.sample(numbers, HOT) * (lookups // HOT)),
        ):
            print(f"**{entries:,} entries, {pattern}**\n")
            keys = [key_of(number) for number in chosen]
            assert one[keys[0]] == value_of(chosen[0])
            own = make_interpreters(name, folder, keys, most)
            taking_part = contenders | {
                title: (several.__getitem__, False) for title, several in own.items()
            }
            measured = measure(taking_part, numbers_of_threads, keys, rounds)
            report(measured, taking_part, numbers_of_threads)
            for several in own.values():
                for interpreter in several:
                    interpreter.close()
    finally:
        sharedmap.remove(name)
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--lookups", type=int, default=LOOKUPS)
    arguments = parser.parse_args()
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"CPython {sys.version.split()[0]}, {'with' if has_gil else 'without'} a GIL\n")
    for entries in arguments.entries:
        run_size(entries, arguments.threads, arguments.rounds, arguments.lookups)


if __name__ == "__main__":
    main()
