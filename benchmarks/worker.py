"""A process of one contender: `python -m benchmarks.worker FILE-DESCRIPTOR NAME FOLDER PLACE`.

It receives (method, arguments) over a socket and answers ("result", value) or ("error", text).
"""

import contextlib
import os
import statistics
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from . import datasets, publishing
from .contenders import READERS
from .reading import VALUE, Reading, compiled

AGAIN_LIMIT_NS = 5_000_000  # what opens faster is opened again and again


class Worker:
    """The methods that the main process may call."""

    def __init__(self, name: str, folder: str, place: str) -> None:
        self.folder, self.place = Path(folder), place
        self.contender = READERS[name](folder, place) if name in READERS else None
        self.reading: Reading | None = None
        self.names: dict[str, Any] = {}
        self.publishes = False

    # ---- publisher ------------------------------------------------------------------------------

    def start(self) -> None:
        self.publishes = True
        self.contender.start()

    def publish(self, data: str, repeats: int, limit: float, dumps: bool) -> publishing.Times:
        return publishing.publish(self.contender, Path(data), repeats, limit, dumps)

    def builders(
        self, data: str, names: list[str], repeats: int, limit: float
    ) -> dict[str, publishing.Times]:
        return publishing.builders(Path(data), self.place, names, repeats, limit)

    def published_bytes(self) -> int | None:
        return self.contender.published_bytes()

    def server_processes(self) -> list[int]:
        return self.contender.server_processes()

    def end(self) -> None:
        if self.publishes:
            self.contender.remove()

    # ---- reader ---------------------------------------------------------------------------------

    def imports(self) -> None:
        self.contender.imports()

    def open(self) -> None:
        self.names = self.contender.open()
        self.reading = Reading(self.contender, self.names)

    def close(self) -> None:
        self.reading = None
        if self.names:
            self.contender.close(self.names)
            self.names = {}

    def open_to_first_value(self, key: str, again: int) -> tuple[float, float | None]:
        """Nanoseconds of the first opening in this process, and the median of later ones."""
        self.contender.imports()
        took, names = self.open_once(key)
        times = []
        while took < AGAIN_LIMIT_NS and len(times) < again:
            self.contender.close(names)
            time, names = self.open_once(key)
            times.append(time)
        return took, statistics.median(times) if times else None

    def open_once(self, key: str) -> tuple[int, dict[str, Any]]:
        # What the expression needs is known only after opening: it is compiled in between.
        start = perf_counter_ns()
        names = self.contender.open()
        opened = perf_counter_ns()
        first = compiled(VALUE, self.contender.hit, names)
        read = perf_counter_ns()
        first(key)
        return (opened - start) + (perf_counter_ns() - read), names

    def check(self, pairs: list[tuple[str, str]], missing: list[str]) -> None:
        self.reading.check(pairs, missing)

    def touch(self, chunks: list[str], limit: int) -> None:
        self.reading.touch(chunks, limit)

    def huge_pages(self) -> tuple[int, int]:
        """Bytes of what was opened by its place, and how many of them are in huge pages."""
        size = huge = 0
        is_ours = False
        for line in Path("/proc/self/smaps").read_text().splitlines():
            name, _, rest = line.partition(":")
            if " " in name:  # the first line of a mapping
                is_ours = self.place in line
            elif is_ours and name == "Rss":
                size += 1024 * int(rest.split()[0])
            elif is_ours and name in ("ShmemPmdMapped", "FilePmdMapped"):
                huge += 1024 * int(rest.split()[0])
        return size, huge

    def batch(self, operation: str, warm: list[str], timed: list[str]) -> float:
        return self.reading.batch(operation, warm, timed)

    def rate(self, operation: str, warm: list[str], timed: list[str]) -> float:
        return self.reading.rate(operation, warm, timed)

    def threads(self, operation: str, warm: list[str], timed: list[str], count: int) -> float:
        return self.reading.threads(operation, warm, timed, count)

    def same_objects(self, keys: str, order: list[int], rounds: int) -> float:
        return self.reading.same_objects(keys.split(datasets.SEPARATOR), order, rounds)

    def scan(self, count: int) -> float:
        return self.reading.scan(count)

    def prefixes(self, prefixes: str) -> float:
        return self.reading.prefixes(prefixes.split(datasets.SEPARATOR))

    # ---- memory ---------------------------------------------------------------------------------

    def go_through_keys(self, data: str, limit: int) -> int:
        """Everything that reading all does, except reading; gives the PSS."""
        self.contender.imports()
        for chunk in datasets.load_chunks(Path(data), 1000):
            limit -= len(chunk)
            if limit <= 0:
                break
        return pss()

    def read_all(self, data: str, limit: int) -> int:
        """Opens, reads the value of each key; gives the PSS."""
        self.open()
        function = self.reading.function("hit")
        for chunk in datasets.load_chunks(Path(data), 1000):
            function(chunk[:limit])
            limit -= len(chunk)
            if limit <= 0:
                break
        self.reading.walk()
        return pss()

    def pss(self) -> int:
        return pss()

    def pss_of(self, process: int) -> int:
        return pss(process)


def pss(process: int | str = "self") -> int:
    """The bytes of memory that are a process's fair share."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return 1024 * int(line.split()[1])
    raise OSError("no Pss in smaps_rollup")


def main(descriptor: str, *names: str) -> None:
    worker = Worker(*names)
    connection = Connection(int(descriptor))
    os.dup2(2, 1)  # libraries may print
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            method, arguments = connection.recv()
            try:
                answer = ("result", getattr(worker, method)(*arguments))
            except Exception as error:
                answer = ("error", f"{type(error).__name__}: {error}")
            connection.send(answer)
    worker.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
