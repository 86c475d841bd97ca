"""One run: publishes the data of a data set and size in all ways, then lets readers take turns."""

import contextlib
import importlib.util
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import datasets, machine
from .contenders import READERS
from .process import Process, WorkerError
from .results import Key, Results, size_title

CHUNK = 1000
HOT = 256
SLOW = 2_000  # ns for one key
TOUCH_NS = 250_000_000
BUILDERS = ["dict", "rbtree", "SortedDict"]


@dataclass(frozen=True)
class Plan:
    """How much of everything; times are seconds."""

    repeats: int = 5
    opens: int = 3  # three times as many of the two that open fastest
    publishes: int = 3
    publish_limit: float = 1.5
    slow_limit: float = 1.2  # of one contender in one operation, over all repeats
    open_limit: float = 0.6  # of one contender's opening, over all repeats
    slow_repeats: int = 3  # of those that take more than 2 µs
    readers: int = 8
    pss_all: bool = False  # all contenders for each data set, not only for the first
    warm_chunks: int = 200
    timed_chunks: int = 100


class Round:
    """One data set and size."""

    def __init__(
        self,
        data: datasets.Data,
        folder: Path,
        plan: Plan,
        operations: set[str],
        results: Results,
        is_largest: bool,
        say: Callable[[str], None],
    ) -> None:
        self.data, self.folder, self.plan = data, folder, plan
        self.operations, self.results, self.say = operations, results, say
        self.is_largest = is_largest  # of up to 1 M: memory and throughput as well
        self.random = random.Random(f"questions {data.name} {data.size}")
        self.publishers: dict[str, Process] = {}
        self.readers: dict[str, Process] = {}
        chosen = self.random.sample(range(len(data.keys)), 10)
        self.pairs = [(data.keys[index], data.values[index]) for index in chosen]
        self.raw_bytes = data.raw_bytes
        folder.mkdir()
        datasets.save(data, folder)
        results.facts[f"{data.name} {data.size}"] = {
            "entries": len(data.keys),
            "raw bytes per entry": round(self.raw_bytes / len(data.keys), 2),
        }
        data.values.clear()  # they are in a file now

    @property
    def where(self) -> str:
        return f"{self.data.name} {size_title(self.data.size)}"

    def place(self, name: str) -> str:
        return f"{self.folder.parent.name}-{self.data.name}{self.data.size}-{name}"

    def process(self, name: str) -> Process:
        return Process(name, self.folder, self.place(name))

    def note(self, name: str, operation: str, repeat: int, value: float) -> None:
        key = Key(name, self.data.name, self.data.size, operation)
        self.results.add(key, repeat, value)

    def failed(self, name: str, what: str, error: object) -> None:
        self.results.miss(name, str(error), f"{self.where}, {what}")
        self.say(f"{name} failed: {what}: {error}")

    def wants(self, *operations: str) -> bool:
        return not self.operations.isdisjoint(operations)

    # ---- publishing -----------------------------------------------------------------------------

    def publish(self, names: list[str]) -> None:
        """Each in a process of its own, which stays and owns what it has published."""
        repeats = self.plan.publishes if self.wants("publish") else 1
        for name in names:
            publisher = self.publishers[name] = self.process(name)
            try:
                publisher.call("start")
                dumps = self.wants("publish") and name in ("dict", "sharedmap")
                limit = self.plan.publish_limit * (4 if name in ("dict", "sharedmap") else 1)
                times = publisher.call("publish", str(self.folder), repeats, limit, dumps)
                size = publisher.call("published_bytes")
            except WorkerError as error:
                self.failed(name, "publish", error)
                continue
            if self.wants("publish"):
                for what in times.keys() - {"dict", "dict-cpu"}:
                    reference = times["dict-cpu" if what.endswith("-cpu") else "dict"]
                    self.note_times(name, what, times[what], reference)
            if size is not None and self.wants("size"):
                self.note(name, "overhead", 0, (size - self.raw_bytes) / len(self.data.keys))
            self.readers[name] = None

    def note_times(
        self,
        name: str,
        operation: str,
        seconds: dict[int, float],
        reference: dict[int, float] | None = None,
        count: int = 1,
    ) -> None:
        for repeat, value in seconds.items():
            self.note(name, operation, repeat, 1e9 * value / count)
        if reference is not None:
            key = Key(name, self.data.name, self.data.size, operation)
            self.results.series[key].reference = {
                repeat: 1e9 * value / count for repeat, value in reference.items()
            }

    def build(self) -> None:
        with self.process("builders") as builder:
            try:
                limit = 2 * self.plan.publish_limit
                names = [name for name in BUILDERS if not self.why_no_builder(name)]
                arguments = (str(self.folder), names, self.plan.publishes, limit)
                times = builder.call("builders", *arguments)
            except WorkerError as error:
                self.failed("rbtree", "insert", error)
                return
        for operation in ("insert", "insert-cpu", "build"):
            for name, seconds in times[operation].items():
                self.note_times(name, operation, seconds, count=len(self.data.keys))
        for operation in ("publish", "publish-cpu"):
            published = times[operation]
            self.note_times("rbtree", operation, published["rbtree"], published["dict"])

    def why_no_builder(self, name: str) -> str | None:
        if name != "SortedDict":
            return None
        reason = None
        if importlib.util.find_spec("sortedcontainers") is None:
            reason = "the module sortedcontainers is not installed"
        elif self.data.size > 1_000_000:
            reason = "up to 1 M entries only"
        if reason:
            self.results.miss(name, reason, self.where)
        return reason

    # ---- reading --------------------------------------------------------------------------------

    def open(self) -> None:
        missing = self.random.sample(self.data.missing, 5)
        for name in list(self.readers):
            reader = self.readers[name] = self.process(name)
            try:
                reader.call("imports")
                reader.call("open")
                reader.call("check", self.pairs, missing)
                if READERS[name].enough > CHUNK:
                    reader.call("touch", self.chunks(None, 300), TOUCH_NS)
                if name == "sharedmap-huge":
                    self.look_at_pages(*reader.call("huge_pages"))
            except WorkerError as error:
                self.failed(name, "open", error)
                self.drop(name)

    def look_at_pages(self, size: int, huge: int) -> None:
        facts = self.results.facts[f"{self.data.name} {self.data.size}"]
        facts["huge pages"] = round(huge / max(1, size), 3)
        if huge == 0:
            reason = f"the system gave no huge pages for {size / 2**20:.1f} MiB"
            self.results.miss("sharedmap-huge", reason, self.where)

    def drop(self, name: str) -> None:
        if reader := self.readers.pop(name, None):
            reader.end()

    def chunks(self, keys: list[str] | None = None, count: int = 1) -> list[str]:
        keys = self.data.keys if keys is None else keys
        return datasets.sample_chunks(keys, count, CHUNK, self.random)

    def take_turns(self, operation: str, ask: Callable[[], tuple[Any, ...]]) -> None:
        """Every repeat asks all readers the same, in a new order."""
        attribute = {"hot-same": "hit", "hot-fresh": "hit"}.get(operation, operation)
        spent: dict[str, float] = {}
        last: dict[str, float] = {}
        for repeat in range(self.plan.repeats):
            question = ask()
            for name in self.random.sample(list(self.readers), len(self.readers)):
                if self.is_enough(repeat, spent.get(name, 0.0), last.get(name, 0.0)):
                    continue
                if getattr(READERS[name], attribute) is None:
                    reason = READERS[name].why.get(operation, "does not offer it")
                    self.results.miss(name, reason, operation)
                    continue
                start = time.perf_counter()
                try:
                    last[name] = self.readers[name].call(*question)
                    self.note(name, operation, repeat, last[name])
                except WorkerError as error:
                    self.failed(name, operation, error)
                    self.drop(name)
                spent[name] = spent.get(name, 0.0) + time.perf_counter() - start

    def is_enough(self, repeat: int, spent: float, last: float) -> bool:
        """Who takes long is asked less often."""
        plan = self.plan
        is_slow = spent > plan.slow_limit or last > SLOW
        return spent > 4 * plan.slow_limit or (is_slow and repeat >= plan.slow_repeats)

    def read(self) -> None:
        keys, plan = self.data.keys, self.plan
        warm = min(plan.warm_chunks, max(2, 2 * self.data.size // CHUNK))
        timed = min(plan.timed_chunks, max(20, self.data.size // CHUNK))

        def batch(operation: str, pool: list[str]) -> tuple[Any, ...]:
            return "batch", operation, self.chunks(pool, warm), self.chunks(pool, timed)

        def hot_same() -> tuple[Any, ...]:
            hot = datasets.SEPARATOR.join(self.random.sample(keys, HOT))
            order = [self.random.randrange(HOT) for _ in range(CHUNK)]
            return "same_objects", hot, order, 50

        def hot_fresh() -> tuple[Any, ...]:
            hot = self.random.sample(keys, HOT)
            return "batch", "hit", self.chunks(hot, 2), self.chunks(hot, 50)

        turns: dict[str, Callable[[], tuple[Any, ...]]] = {
            "hit": lambda: batch("hit", keys),
            "newest": lambda: batch("newest", keys),
            "miss": lambda: batch("miss", self.data.missing),
            "many": lambda: batch("many", keys),
            "hot-same": hot_same,
            "hot-fresh": hot_fresh,
            "scan": lambda: ("scan", len(keys)),
        }
        if self.wants("prefix"):
            count = 20 * plan.repeats
            prefixes, matches = datasets.sample_prefixes(self.data, count, self.random)
            self.results.facts[f"{self.data.name} {self.data.size}"]["entries per prefix"] = round(
                matches, 1
            )
            if prefixes:
                turns["prefix"] = lambda: (
                    "prefixes",
                    datasets.SEPARATOR.join(self.random.sample(prefixes, min(20, len(prefixes)))),
                )
        for operation, ask in turns.items():
            if self.wants(operation):
                self.say(operation)
                self.take_turns(operation, ask)
        if self.wants("throughput") and self.is_largest:
            self.say("throughput")
            self.throughput(warm, timed)

    def throughput(self, warm: int, timed: int) -> None:
        """One reader alone, then with a second one at the same time."""
        others: dict[str, Process] = {}
        question = [self.chunks(None, warm), self.chunks(None, timed)]
        try:
            for name in self.readers:
                others[name] = self.process(name)
                others[name].call("imports")
                others[name].call("open")
            for repeat in range(self.plan.publishes):
                for name in self.random.sample(list(others), len(others)):
                    pair = [self.readers[name], others[name]]
                    for count in (1, 2):
                        for process in pair[:count]:
                            process.send("rate", "hit", *question)
                        rate = sum(process.receive() for process in pair[:count])
                        self.note(name, f"rate-{count}", repeat, rate)
                    if machine.is_free_threaded():
                        for count in (1, 2):
                            rate = pair[0].call("threads", "hit", *question, count)
                            self.note(name, f"threads-{count}", repeat, rate)
        except WorkerError as error:
            self.failed(name, "throughput", error)
        finally:
            for process in others.values():
                process.end()

    # ---- opening and memory ---------------------------------------------------------------------

    def open_to_first_value(self) -> None:
        spent: dict[str, float] = {}
        for repeat in range(3 * self.plan.opens):
            for name in self.random.sample(list(self.readers), len(self.readers)):
                if repeat >= 2 and spent.get(name, 0.0) > self.plan.open_limit:
                    continue
                if repeat >= self.plan.opens and name not in ("sharedmap", "tinycdb"):
                    continue
                start = time.perf_counter()
                try:
                    with self.process(name) as process:
                        key = self.random.choice(self.data.keys)
                        first, again = process.call("open_to_first_value", key, 20)
                except WorkerError as error:
                    self.failed(name, "open", error)
                    continue
                self.note(name, "open", repeat, first)
                if again is not None:
                    self.note(name, "open-again", repeat, again)
                spent[name] = spent.get(name, 0.0) + time.perf_counter() - start

    def memory(self, names: list[str]) -> None:
        """Nobody else may have anything open: a page that nine share counts less for each."""
        for name in names:
            limit = min(READERS[name].enough, len(self.data.keys))
            processes: list[Process] = []
            try:
                servers = self.publishers[name].call("server_processes")
                with contextlib.ExitStack() as stack:
                    for _ in range(self.plan.readers):
                        processes.append(stack.enter_context(self.process(name)))
                    before = self.all(processes, "go_through_keys", str(self.folder), limit)
                    self.all(processes, "read_all", str(self.folder), limit)
                    after = self.all(processes, "pss")
                    gained = sum(after) - sum(before)
                    gained += sum(self.publishers["dict"].call("pss_of", one) for one in servers)
                self.note(name, "pss", 0, gained)
            except WorkerError as error:
                self.failed(name, "memory", error)

    @staticmethod
    def all(processes: list[Process], *question: Any) -> list[Any]:
        for process in processes:
            process.send(*question)
        return [process.receive() for process in processes]

    def close_readers(self) -> None:
        for name in list(self.readers):
            if self.readers[name] is not None:
                self.readers[name].end()
                self.readers[name] = None

    def end(self) -> None:
        for process in [*self.readers.values(), *self.publishers.values()]:
            if process is not None:
                process.end()
