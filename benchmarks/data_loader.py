"""What the samples of a training run cost in memory: a list, a dict and a map, read by workers.

    python -m benchmarks.data_loader [--entries 1000000] [--workers 4] [--rounds 2]

The workers do what those of a DataLoader do: they get the dataset by fork or spawn, and read
samples of 64 bytes at random indices, all of them in each round. Then the PSS of the parent and of
all workers is added up while all of them live. What an empty dataset costs is subtracted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.synchronize import Barrier, Event
from typing import Any

from benchmarks.worker import pss
from sharedmap import remove, share, sharedmap

MEBIBYTE = 2**20
KINDS = ("empty", "list", "dict", "map")


def samples(count: int) -> Iterator[tuple[str, bytes]]:
    for number in range(count):
        yield f"{number:08}", number.to_bytes(8, "little") * 8


class Map(Sequence[bytes]):
    """As in examples/data_loader.py: pickled as a name, read at an index, never copied."""

    def __init__(self, name: str) -> None:
        self.samples = sharedmap[bytes](name)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> Any:
        return self.samples.peekitem(index)[1]


class Dict(Sequence[bytes]):
    def __init__(self, entries: dict[str, bytes]) -> None:
        self.entries = entries

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: Any) -> Any:
        return self.entries[f"{index:08}"]


def make(kind: str, count: int, name: str) -> Sequence[bytes]:
    made: dict[str, Callable[[], Sequence[bytes]]] = {
        "empty": list,
        "list": lambda: [value for _, value in samples(count)],
        "dict": lambda: Dict(dict(samples(count))),
        "map": lambda: Map(name),
    }
    return made[kind]()


def work(dataset: Sequence[bytes], rounds: int, have_read: Barrier, may_end: Event) -> None:
    order = list(range(len(dataset)))
    for _ in range(rounds):
        random.shuffle(order)
        for index in order:
            assert len(dataset[index]) == 64
    del order
    have_read.wait()
    may_end.wait()


def measure(kind: str, start: str, options: argparse.Namespace) -> None:
    """In a process of its own, whose memory has had no other dataset. Prints the sum of all PSS."""
    context = multiprocessing.get_context(start)
    dataset = make(kind, options.entries, options.name)
    have_read, may_end = context.Barrier(options.workers + 1), context.Event()
    workers = [
        context.Process(target=work, args=(dataset, options.rounds, have_read, may_end))
        for _ in range(options.workers)
    ]
    for worker in workers:
        worker.start()
    have_read.wait()
    total = pss() + sum(pss(worker.pid or 0) for worker in workers)
    may_end.set()
    for worker in workers:
        worker.join()
    options.results.put(total)


def result(kind: str, start: str, options: argparse.Namespace) -> int:
    context = multiprocessing.get_context("spawn")
    options.results = context.SimpleQueue()
    process = context.Process(target=measure, args=(kind, start, options))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"{kind} by {start} failed")
    total: int = options.results.get()
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    options.name = f"benchmark:samples:{os.getpid()}"
    share(samples(options.entries), options.name)
    try:
        print(
            f"| {options.entries:,} samples, {options.workers} workers | fork, MiB | spawn, MiB |"
        )
        print("|---|---:|---:|")
        empty = {start: result("empty", start, options) for start in ("fork", "spawn")}
        for kind in KINDS[1:]:
            added = [
                (result(kind, start, options) - empty[start]) / MEBIBYTE
                for start in ("fork", "spawn")
            ]
            print(f"| {kind} | {added[0]:,.0f} | {added[1]:,.0f} |", flush=True)
    finally:
        remove(options.name)


if __name__ == "__main__":
    main()
