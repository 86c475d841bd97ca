"""Compares two builds of the package in one process, operation by operation.

    pip install --no-deps --target BEFORE .    and from the changed sources the same into AFTER
    python -m benchmarks.ab BEFORE AFTER [OPERATION ...] [--datasets users,hex] [--sizes 1k,1M]

Two runs of one program differ by more than most changes do, and so do two minutes on a machine that
others use. Here both builds answer the same questions in slices of some 30 ms, in the order before,
after, after, before: what disturbs one slice disturbs its neighbours. A round is one such group of
four, or for `insert` one whole tree. It gives one ratio, after / before, of the processor time that
the thread used. The table has the median of these ratios with its quartiles, and the median of the
wall clock's: above 1, the second build is slower.

With the same build as BEFORE and AFTER the table shows what the machine's noise is.
"""

import argparse
import gc
import importlib
import itertools
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from . import datasets

SLICE = 0.03  # seconds
SIZES = {"1k": 1_000, "10k": 10_000, "100k": 100_000, "1M": 1_000_000}

LOOP = """
def run(m, questions):
    for k in questions:
        {}
"""


@dataclass
class Spent:
    """Seconds of the thread's processor time and by the wall clock."""

    cpu: float = 0.0
    wall: float = 0.0

    def add(self, act: Callable[[Any], Any], argument: Any) -> None:
        """Freeing the result is not included."""
        wall, cpu = time.perf_counter(), time.thread_time()
        result = act(argument)
        self.cpu += time.thread_time() - cpu
        self.wall += time.perf_counter() - wall
        del result


Round = tuple[Spent, Spent]  # before, after


@dataclass
class Build:
    """One of the two, with a name of its own in shared memory."""

    package: ModuleType
    name: str


def load(folder: Path, name: str) -> Build:
    """Imports the package from the folder, whatever was imported before."""
    for module in [*sys.modules]:
        if module.partition(".")[0] == "sharedmap":
            del sys.modules[module]
    sys.path.insert(0, str(folder.resolve()))
    try:
        package = importlib.import_module("sharedmap")
    finally:
        del sys.path[0]
    if not Path(package.__file__ or "").is_relative_to(folder.resolve()):
        sys.exit(f"{folder} has no package sharedmap; pip install --no-deps --target {folder} .")
    return Build(package, f"ab:{os.getpid()}:{name}")


def four(acts: list[Callable[[Any], Any]], one: Any, other: Any, spent: Round) -> None:
    """Before, after, after, before; both builds answer the same questions."""
    before, after = spent
    for act, seconds, argument in (
        (acts[0], before, one),
        (acts[1], after, one),
        (acts[1], after, other),
        (acts[0], before, other),
    ):
        # Each has str objects of its own, which it may not have hashed before.
        seconds.add(act, argument() if callable(argument) else argument)


# ---- reading ----------------------------------------------------------------------------------


class Questions:
    """What a map is asked for, without end: functions that make the same questions anew."""

    def __init__(self, data: datasets.Data) -> None:
        self.data = data
        self.random = random.Random(0)
        self.ordered = sorted(data.keys)

    def fresh(self, keys: list[str]) -> Callable[[], list[str]]:
        text = datasets.SEPARATOR.join(keys)
        return lambda: text.split(datasets.SEPARATOR)

    def present(self, count: int) -> Callable[[], list[str]]:
        return self.fresh(self.random.choices(self.data.keys, k=count))

    def hashed(self, count: int) -> Callable[[], list[str]]:
        make = self.present(count)
        return lambda: [key for key in make() if hash(key)]

    def missing(self, count: int) -> Callable[[], list[str]]:
        return self.fresh(self.random.choices(self.data.missing, k=count))

    def same(self, count: int) -> Callable[[], list[str]]:
        """256 key objects that are used again and again."""
        keys = self.random.choices(self.data.keys[:256], k=count)
        return lambda: keys

    def ranks(self, count: int) -> Callable[[], list[int]]:
        ranks = self.random.choices(range(len(self.ordered)), k=count)
        return lambda: ranks

    def scans(self, count: int) -> Callable[[], list[None]]:
        """Of the whole map each; as many as there are that many entries."""
        return lambda: [None] * max(1, count // len(self.ordered))

    def batches(self, count: int) -> Callable[[], list[list[str]]]:
        makes = [self.present(1000) for _ in range(0, count, 1000)]
        return lambda: [make() for make in makes]

    def ranges(self, count: int) -> Callable[[], list[tuple[str, str]]]:
        """Ten neighbours each."""
        firsts = self.random.choices(range(len(self.ordered) - 10), k=count)
        starts = self.fresh([self.ordered[first] for first in firsts])
        stops = self.fresh([self.ordered[first + 10] for first in firsts])
        return lambda: list(zip(starts(), stops(), strict=True))

    def prefixes(self, count: int) -> Callable[[], list[str]]:
        """Some 20 neighbours and more."""
        if not hasattr(self, "known_prefixes"):
            self.known_prefixes, _ = datasets.sample_prefixes(self.data, 2000, self.random)
        return self.fresh(self.random.choices(self.known_prefixes, k=count))


# Operation -> the map's index, what is timed for each k, the questions.
READING = {
    "hit": ("hash", "m[k]", Questions.present),
    "hit-hashed": ("hash", "m[k]", Questions.hashed),
    "hit-same": ("hash", "m[k]", Questions.same),
    "hit-tree": ("tree", "m[k]", Questions.present),
    "get": ("hash", "m.get(k)", Questions.present),
    "in": ("hash", "k in m", Questions.present),
    "miss": ("hash", "m.get(k)", Questions.missing),
    "many": ("hash", "m.get_many(k)", Questions.batches),
    "items": ("hash", "for _ in m.items(): pass", Questions.scans),
    "peekitem": ("hash", "m.peekitem(k)", Questions.ranks),
    "seek": ("hash", "m.bisect_left(k)", Questions.present),
    "floor": ("hash", "m.floor(k)", Questions.missing),
    "ceiling": ("hash", "m.ceiling(k)", Questions.missing),
    "index": ("tree", "m.index(k)", Questions.present),
    "range": ("hash", "list(m[k[0]:k[1]])", Questions.ranges),
    "prefix": ("hash", "list(m.prefix(k))", Questions.prefixes),
}


def reading(builds: list[Build], data: datasets.Data, operation: str) -> Iterator[Round]:
    index, expression, ask = READING[operation]
    scope: dict[str, Any] = {}
    exec(LOOP.format(expression), scope)
    entries = dict(zip(data.keys, data.values, strict=True))
    acts = []
    for build in builds:
        build.package.share(entries, build.name, index=index, force=True)
        acts.append(partial(scope["run"], build.package.sharedmap(build.name)))
    questions = Questions(data)
    count, spent = 1000, Spent()
    while spent.cpu < SLICE / 4:  # the first times also touch what was never touched
        count, spent = 2 * count, Spent()
        spent.add(acts[0], ask(questions, count)())
    count = max(1000, int(count * SLICE / spent.cpu))
    while True:
        spent = Spent(), Spent()
        four(acts, ask(questions, count), ask(questions, count), spent)
        yield spent


# ---- writing ----------------------------------------------------------------------------------


def publish(build: Build, entries: dict[str, str]) -> Any:
    return build.package.share(entries, build.name, force=True)


def tree_of(build: Build, entries: dict[str, str]) -> Any:
    return build.package.rbtree(entries)


def update(build: Build, changes: dict[str, str]) -> Any:
    return build.package.update(build.name, changes)


def writing(builds: list[Build], data: datasets.Data, operation: str) -> Iterator[Round]:
    entries = dict(zip(data.keys, data.values, strict=True))
    act = {"publish": publish, "build": tree_of, "update": update}[operation]
    acts = [partial(act, build) for build in builds]
    for build in builds:
        publish(build, entries)
    generator = random.Random(0)
    while True:
        what = entries
        if operation == "update":
            keys = generator.sample(data.keys, max(1, len(data.keys) // 100))
            what = {key: data.values[generator.randrange(len(keys))] for key in keys}
        spent = Spent(), Spent()
        for _ in range(max(1, 50_000 // len(entries))):
            four(acts, what, what, spent)
        yield spent


def put(tree: Any, pairs: list[tuple[str, str]]) -> None:
    for key, value in pairs:
        tree[key] = value


def put_and_count(tree: Any, pairs: list[tuple[str, str]]) -> None:
    for key, value in pairs:
        tree[key] = value
        len(tree)


def put_and_get(tree: Any, pairs: list[tuple[str, str]]) -> None:
    for key, value in pairs:
        tree[key] = value
        tree[key]


def change(tree: Any, pairs: list[tuple[str, str]]) -> None:
    for key, value in pairs:
        tree[key] = tree.get(key, "") + value


INSERTING = {
    "insert": put,
    "insert-len": put_and_count,
    "insert-get": put_and_get,
    "insert-change": change,
}


def inserting(builds: list[Build], data: datasets.Data, operation: str) -> Iterator[Round]:
    """Two trees grow side by side, a slice of puts at a time."""
    act = INSERTING[operation]
    pairs = list(zip(data.keys, data.values, strict=True))
    step = min(10_000, len(pairs) // 2)

    def fresh(at: int) -> Callable[[], list[tuple[str, str]]]:
        return lambda: [(key[:1] + key[1:], value) for key, value in pairs[at : at + step]]

    while True:
        spent = Spent(), Spent()
        for _ in range(max(1, 20_000 // len(pairs))):
            trees = [build.package.rbtree() for build in builds]
            acts = [partial(act, tree) for tree in trees]
            for at in range(0, len(pairs), 2 * step):
                four(acts, fresh(at), fresh(at + step), spent)
        yield spent


# ---- the table ----------------------------------------------------------------------------------

OPERATIONS: dict[str, Callable[[list[Build], datasets.Data, str], Iterator[Round]]] = {
    **dict.fromkeys(READING, reading),
    **dict.fromkeys(("publish", "build", "update"), writing),
    **dict.fromkeys(INSERTING, inserting),
}


def row(rounds: list[Round]) -> str:
    cpu = [after.cpu / before.cpu for before, after in rounds]
    wall = [after.wall / before.wall for before, after in rounds]
    lower, middle, upper = statistics.quantiles(cpu, n=4)
    return f"{middle:.3f} | {lower:.3f} to {upper:.3f} | {statistics.median(wall):.3f}"


def words(text: str) -> list[str]:
    return text.split(",")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ab",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("operations", nargs="*", metavar="OPERATION", help=", ".join(OPERATIONS))
    parser.add_argument("--datasets", type=words, default=["users", "hex", "paths"])
    parser.add_argument("--sizes", type=words, default=["1k", "100k", "1M"])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_intermixed_args()
    if unknown := {*arguments.operations} - {*OPERATIONS}:
        parser.error(f"unknown operations: {', '.join(sorted(unknown))}")
    builds = [load(arguments.before, "before"), load(arguments.after, "after")]
    gc.disable()
    print("| operation | entries | after / before | quartiles | by the wall clock |")
    print("|---|---|---:|---:|---:|")
    for size, dataset in itertools.product(arguments.sizes, arguments.datasets):
        data = datasets.make(dataset, SIZES[size])
        if data is None:
            continue
        for operation in arguments.operations or OPERATIONS:
            try:
                rounds = OPERATIONS[operation](builds, data, operation)
                next(rounds)  # warms up
                results = list(itertools.islice(rounds, arguments.rounds))
            finally:
                for build in builds:
                    build.package.remove(build.name)
            print(f"| {operation} | {size} {dataset} | {row(results)} |", flush=True)


if __name__ == "__main__":
    main()
