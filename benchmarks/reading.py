"""How a reader is timed. Runs in the reader's process.

An operation is timed over chunks of 1,000 keys. A chunk's keys are made just before it, outside the
timed part, so they are as warm as keys that a program has just received; what counts is the median
of the chunks. As timeit does it, the garbage collector is off, the loop itself is included, and so
is freeing the results.
"""

import gc
import statistics
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from .datasets import SEPARATOR

LOOP = """
def run({names}):
    clock = perf_counter_ns
    def timed(keys{defaults}):
        start = clock()
        for k in keys:
            {expression}
        return clock() - start
    return timed
"""
CALL = """
def run({names}):
    clock = perf_counter_ns
    def timed(q{defaults}):
        start = clock()
        {expression}
        return clock() - start
    return timed
"""
VALUE = """
def run({names}):
    def value({argument}{defaults}):
        return {expression}
    return value
"""
WARM_NS = 40_000_000  # at most, before each batch
TIMED_NS = 30_000_000  # at most, for each batch
SLOW_NS = 2_000  # per key; whoever takes longer needs less to warm up
CHUNK_NS = 10_000_000  # a chunk that would take longer is made shorter


def compiled(template: str, expression: str, names: dict[str, Any], argument: str = "k") -> Any:
    """The function around an expression; names become its locals."""
    scope: dict[str, Any] = {"perf_counter_ns": time.perf_counter_ns}
    source = template.format(
        names=", ".join(names),
        defaults="".join(f", {name}={name}" for name in names),
        expression=expression,
        argument=argument,
    )
    exec(source, scope)
    return scope["run"](**names)


class Reading:
    """The operations of one contender on what it has opened."""

    def __init__(self, contender: Any, names: dict[str, Any]) -> None:
        gc.disable()
        self.contender = contender
        self.names = names
        self.functions: dict[str, Callable[..., Any]] = {}
        self.lengths: dict[str, int] = {}

    def function(self, operation: str) -> Callable[..., Any]:
        if operation not in self.functions:
            expression = getattr(self.contender, operation)
            template = CALL if operation in ("many", "scan") else LOOP
            self.functions[operation] = compiled(template, expression, self.names)
        return self.functions[operation]

    def one(self, operation: str, keys: list[str]) -> int:
        """Nanoseconds for a chunk."""
        return self.function(operation)(keys)

    def length(self, operation: str, chunk: list[str]) -> int:
        """How many keys of a chunk are measured at once."""
        if operation == "many":
            return len(chunk)
        if operation not in self.lengths:
            took = min(self.one(operation, chunk[:1]) for _ in range(2))
            self.lengths[operation] = max(1, min(len(chunk), CHUNK_NS // max(1, took)))
        return self.lengths[operation]

    def chunks(self, operation: str, chunks: Iterable[str], limit: int) -> list[float]:
        """Nanoseconds per key of each chunk, until the limit of time is reached."""
        times, total = [], 0
        for text in chunks:
            keys = text.split(SEPARATOR)
            keys = keys[: self.length(operation, keys)]
            took = self.one(operation, keys)
            times.append(took / len(keys))
            total += took
            if total > limit:
                break
        return times

    def warm_up(self, operation: str, chunks: list[str]) -> None:
        times = self.chunks(operation, chunks[:2], WARM_NS)
        limit = WARM_NS if min(times) < SLOW_NS else WARM_NS // 8
        self.chunks(operation, chunks[2:], limit)

    def batch(self, operation: str, warm: list[str], timed: list[str]) -> float:
        self.warm_up(operation, warm)
        return statistics.median(self.chunks(operation, timed, TIMED_NS))

    def rate(self, operation: str, warm: list[str], timed: list[str]) -> float:
        """Keys per second while others read, too: nothing is left out."""
        self.warm_up(operation, warm)
        times = self.chunks(operation, timed, 2 * TIMED_NS)
        return 1e9 / statistics.fmean(times)

    def threads(self, operation: str, warm: list[str], timed: list[str], count: int) -> float:
        """Keys per second of some threads together."""
        self.warm_up(operation, warm)
        rates: list[float] = []
        barrier = threading.Barrier(count)

        def work() -> None:
            barrier.wait()
            times = self.chunks(operation, timed, 2 * TIMED_NS)
            rates.append(1e9 / statistics.fmean(times))

        workers = [threading.Thread(target=work) for _ in range(count)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return sum(rates)

    def same_objects(self, keys: list[str], order: list[int], rounds: int) -> float:
        """A small set of key objects that are used again and again."""
        for key in keys:
            hash(key)  # a constant's is known, too
        chunk = [keys[index] for index in order]
        chunk = chunk[: self.length("hit", chunk)]
        self.one("hit", chunk)
        times, total = [], 0
        for _ in range(rounds):
            took = self.one("hit", chunk)
            times.append(took / len(chunk))
            total += took
            if total > TIMED_NS:
                break
        return statistics.median(times)

    def scan(self, count: int) -> float:
        """Nanoseconds per entry of reading all."""
        if "scan" not in self.functions:
            found = compiled(VALUE, self.contender.scan, self.names)(None)
            if len(found) != count:
                raise ValueError(f"{len(found)} entries instead of {count}")
            del found
        return self.function("scan")(None) / count

    def prefixes(self, prefixes: list[str]) -> float:
        """Nanoseconds per prefix."""
        self.one("prefix", prefixes[:1])
        length = self.length("prefix", prefixes)
        times = [self.one("prefix", [prefix]) for prefix in prefixes[:length]]
        return statistics.median(times)

    def walk(self) -> None:
        """Touches everything that reading key by key may leave out."""
        if self.contender.walk is not None:
            compiled(VALUE, self.contender.walk, self.names)(None)

    def touch(self, chunks: list[str], limit: int) -> None:
        """Before the first batch: pages that were never touched cost a fault each."""
        self.chunks("hit", chunks, limit)

    def check(self, pairs: list[tuple[str, str]], missing: list[str]) -> None:
        """Raises ValueError when an answer is wrong."""
        hit = compiled(VALUE, self.contender.hit, self.names)
        miss = compiled(VALUE, self.contender.miss, self.names)
        for key, value in pairs:
            if hit(key) != value:
                raise ValueError(f"wrong value for {key!r}")
        for key in missing:
            if miss(key) is not None:
                raise ValueError(f"a value for the missing key {key!r}")
        if self.contender.many is not None:
            many = compiled(VALUE, self.contender.many, self.names, argument="q")
            chunk = (pairs * (1000 // len(pairs) + 1))[:1000]
            found = many([key for key, _ in chunk])
            if set(found) != {value for _, value in chunk}:
                raise ValueError("wrong values for many keys")
