"""Readers that follow a map while it is published over and over again.

    python3 tests/faults/republish.py [--publications N] [--entries N] [--readers N] [--name NAME]
        [--seed N] [--updates]

One process publishes, others read without a pause. Generation g is version g modulo VERSIONS, and
all values of a version say which it is, so every read tells on its own whether it was of exactly
one published snapshot:

    publisher   | 1 | 2 | 3 | 4 | 5 ...
    reader        snapshot() -> generation g, then some keys, or all: all of them say g
                  generation -> g0, then one key -> v, generation -> g1: v is one of g0 ... g1

With --updates it shares only once, and then changes some keys with each update(); all of them say
which generation it is, and the others that it is the first. Updates have to append, fold and
compact, so there have to be enough entries.

Exits with a failure if a read was of no version or of two, if a reader ever went back, or did not
reach the last publication.
"""

import argparse
import os
import random
import signal
import sys
import time
import traceback
import uuid

import deltas
from cells import Cells

import sharedmap

VERSIONS = 16
KEYS_PER_READ = 8
CHANGED_KEYS = 16
HANG = 60


def value(version, key):
    return f"{version} {key}"


def version_of(generation):
    return (generation - 1) % VERSIONS


class Keys:
    """All of them, and those that change."""

    def __init__(self, count, is_updated):
        self.all = [f"key {number:07}" for number in range(count)]
        self.changing = self.all[:: -(-count // CHANGED_KEYS)] if is_updated else self.all
        self.are_changing = set(self.changing)

    def value(self, version, key):
        return value(version if key in self.are_changing else 0, key)

    def some(self):
        chosen = random.sample(self.changing, min(KEYS_PER_READ, len(self.changing)))
        return [*chosen, random.choice(self.all)]

    def content(self, version):
        return {key: self.value(version, key) for key in self.all}


def check_snapshot(shared, keys, seen):
    """Reads some keys of one snapshot, and now and then all; its generation."""
    with shared.snapshot() as pinned:
        generation = pinned.generation
        version = version_of(generation)
        assert generation >= seen, f"went back from {seen} to {generation}"
        for key in keys.some():
            assert pinned[key] == keys.value(version, key), (generation, key, pinned[key])
        if random.random() < 0.01:
            whole = keys.content(version)
            assert dict(pinned) == whole, f"generation {generation} is not whole"
    return generation


def check_one_key(shared, keys):
    """Each of the three operations follows on its own."""
    key = random.choice(keys.changing)
    first = shared.generation
    found = shared[key]
    last = shared.generation
    assert first <= last, f"went back from {first} to {last}"
    possible = {value(version_of(g), key) for g in range(first, min(last, first + VERSIONS) + 1)}
    assert found in possible, (first, last, key, found)
    return last


def read(name, keys, last_generation, row, cells, seed):
    random.seed(f"{seed} {row}")
    reads = seen = 0
    with sharedmap.sharedmap(name, follow=True) as shared:
        while seen < last_generation:
            seen = check_snapshot(shared, keys, seen)
            seen = max(seen, check_one_key(shared, keys))
            reads += 1
            cells[2 * row] = reads
            cells[2 * row + 1] = seen


def start_reader(*arguments):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            read(*arguments)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


def run(name, publications, entries, readers, seed, updates):
    keys = Keys(entries, updates)
    contents = [keys.content(version) for version in range(1 if updates else VERSIONS)]
    trees = [sharedmap.rbtree(content) for content in contents]
    changes = [{key: value(v, key) for key in keys.changing} for v in range(VERSIONS)]
    cells = Cells(2 * readers)
    trees[0].share(name)
    files = deltas.Files(f"/dev/shm/sharedmap.{name}") if updates else None
    children = [start_reader(name, keys, publications, row, cells, seed) for row in range(readers)]
    start = time.monotonic()
    for generation in range(2, publications + 1):
        if updates:
            sharedmap.update(name, changes[version_of(generation)])
            files.look()
        else:
            trees[version_of(generation)].share(name, force=True)
    seconds = time.monotonic() - start
    # Each of them must reach the last one, and by itself.
    signal.alarm(HANG)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    signal.alarm(0)
    reads = [cells[2 * row] for row in range(readers)]
    print(
        f"{publications} publications of {entries} entries in {seconds:.1f} s, "
        f"{sum(reads)} reads by {readers} readers ({min(reads)} to {max(reads)} each), "
        f"{sum(code != 0 for code in codes)} readers failed"
    )
    complaints = []
    if updates:
        counts = deltas.total([files])
        print(deltas.told(counts))
        complaints = deltas.missing(counts)
    for complaint in complaints:
        print("FAILED:", complaint)
    return all(code == 0 for code in codes) and not complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--publications", type=int, default=100_000)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--name", default=f"faults:{uuid.uuid4().hex}")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--updates", action="store_true", help="of a few keys, not of all")
    options = parser.parse_args()
    print(f"seed {options.seed}")
    try:
        is_good = run(**vars(options))
    finally:
        sharedmap.remove(options.name)
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
