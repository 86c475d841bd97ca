"""What was measured: samples by repeat, from which medians, spreads and ratios follow."""

import functools
import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .contenders import READERS

SIZES = {1_000: "1 k", 100_000: "100 k", 1_000_000: "1 M", 10_000_000: "10 M"}


def size_title(size: int) -> str:
    return SIZES.get(size, f"{size:,}")


@dataclass(frozen=True)
class Operation:
    title: str
    unit: str
    text: str
    better: str = "less"


OPERATIONS = {
    "hit": Operation(
        "Get, hit",
        "ns",
        "A `for` loop over fresh keys, `d[k]` and `m[k]`, or what the library has instead; "
        "the result is a `str`. The loop itself is included.",
    ),
    "newest": Operation(
        "Get, always the newest",
        "ns",
        "The same loop, but each get sees what any process has published before it: "
        "`sharedmap(name, follow=True)`, a new transaction of LMDB, MDBX and SQLite for each get. "
        "The ratio is to a dict that never changes.",
    ),
    "miss": Operation("Get, missing key", "ns", "The same with `d.get(k)` and `m.get(k)`."),
    "many": Operation(
        "Many keys at once",
        "ns",
        "Per key, 1,000 fresh keys per call: `list(map(d.get, q))`, `m.get_many(q)`, or the "
        "fastest that the library has for a list of keys; freeing the result is included.",
    ),
    "hot-same": Operation(
        "Hot set, the same key objects",
        "ns",
        "256 keys, asked for again and again with the same `str` objects, as constants in a "
        "program are (their hash is known from the first time on); `d[k]` and `m[k]`.",
    ),
    "hot-fresh": Operation(
        "Hot set, fresh keys", "ns", "256 keys, too, but each time as a new `str` object."
    ),
    "scan": Operation(
        "All entries",
        "ns",
        "Per entry of `list(d.items())` and its like, freeing the list included. Of those with an "
        "order the list is sorted.",
    ),
    "prefix": Operation(
        "Prefix",
        "µs",
        "Per query: the list of all pairs whose key begins with a prefix that 20 to 400 keys "
        "have. A dict has to look at every key.",
    ),
    "open": Operation(
        "Open to first value",
        "µs",
        "In a process that has imported everything but opened nothing; a fresh process for "
        "each sample.",
    ),
    "open-again": Operation(
        "Open to first value, again",
        "µs",
        "The same once more in the same process, after closing; only where opening takes less "
        "than 5 ms.",
    ),
    "publish": Operation(
        "Publish",
        "ms",
        "From a dict in memory to what other processes can open. The ratio is to building that "
        "dict, key by key, in the same process.",
    ),
    "pickle.dumps": Operation(
        "pickle.dumps", "ms", "Of the same dict, in the process that publishes it."
    ),
    "publish-cpu": Operation(
        "Publish, processor time",
        "ms",
        "The same, but only the time in which the publisher's process ran; what a server or the "
        "machine's other work took is left out.",
    ),
    "pickle.dumps-cpu": Operation("pickle.dumps, processor time", "ms", "The same dict."),
    "insert": Operation(
        "Insert", "ns", "Per key of `t[k] = v` in random order with fresh keys, into an empty t."
    ),
    "insert-cpu": Operation("Insert, processor time", "ns", "The same."),
    "build": Operation(
        "Build at once", "ns", "Per key: `dict(zip(keys, values))`, `SortedDict(d)`, `rbtree(d)`."
    ),
    "overhead": Operation(
        "Bytes per entry beyond the raw bytes",
        "bytes",
        "Of what is published, less the UTF-8 bytes of keys and values; negative when these are "
        "stored in less.",
    ),
    "pss": Operation(
        "Memory of 8 readers",
        "MiB",
        "PSS that 8 processes together gain by opening and reading everything; MARISA, SQLite and "
        "the C++ ancestor 250,000 random keys, which lie on practically all pages. With server "
        "processes, their PSS is in it.",
    ),
    "rate-1": Operation("Throughput, 1 reader", "million/s", "Hits with fresh keys.", "more"),
    "rate-2": Operation(
        "Throughput, 2 readers", "million/s", "Two processes at once, together.", "more"
    ),
    "threads-1": Operation(
        "Throughput, 1 thread", "million/s", "Free-threaded builds of Python only.", "more"
    ),
    "threads-2": Operation("Throughput, 2 threads", "million/s", "Together.", "more"),
}
FACTORS = {"ns": 1.0, "µs": 1e-3, "ms": 1e-6, "bytes": 1.0, "MiB": 2.0**-20, "million/s": 1e-6}
BUILDERS = {"rbtree": "sharedmap.rbtree", "SortedDict": "sortedcontainers.SortedDict"}
# Of results that were measured before its successor took its place.
FORMER = {"ultradict": "UltraDict"}
TITLES = {name: contender.title for name, contender in READERS.items()} | FORMER | BUILDERS


@dataclass(frozen=True)
class Key:
    contender: str
    dataset: str
    size: int
    operation: str


@dataclass
class Series:
    """Samples in ns, bytes or keys per second."""

    samples: dict[int, float] = field(default_factory=dict)
    reference: dict[int, float] | None = None  # the dict's samples, when not a series of its own
    run: int = 0

    def quartiles(self) -> tuple[float, float, float]:
        return quartiles(self.samples.values())


def quartiles(values: Iterable[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile."""
    ordered = sorted(values)
    if len(ordered) < 2:
        return (ordered[0],) * 3
    first, middle, third = statistics.quantiles(ordered, n=4, method="inclusive")
    return first, middle, third


@dataclass
class Results:
    """All series, who was missing and why, and the runs they come from."""

    series: dict[Key, Series] = field(default_factory=dict)
    missing: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, dict[str, float]] = field(default_factory=dict)  # of data set and size

    def add(self, key: Key, repeat: int, value: float) -> None:
        series = self.series.get(key)
        if series is None or series.run != len(self.runs) - 1:  # an earlier run's makes room
            series = self.series[key] = Series(run=len(self.runs) - 1)
        series.samples[repeat] = value

    def miss(self, contender: str, reason: str, where: str = "") -> None:
        found = {"contender": contender, "reason": reason, "where": where}
        if found not in self.missing:
            self.missing.append(found)

    def forget_missing(self, datasets: list[str], sizes: list[int]) -> None:
        """Leaves out what a new run with these data sets and sizes will find again."""
        places = {f"{dataset} {size_title(size)}" for dataset in datasets for size in sizes}
        self.missing = [
            found
            for found in self.missing
            if found["where"] and found["where"].partition(",")[0] not in places
        ]

    def get(self, *key: Any) -> Series | None:
        return self.series.get(Key(*key))

    def ratios(self, key: Key, to: str = "dict", operation: str = "") -> list[float]:
        """Ratios to another contender or operation, repeat by repeat."""
        above = self.series.get(key)
        if above is None:
            return []
        if above.reference is not None and to == "dict" and not operation:
            below = above.reference
        else:
            other = self.get(to, key.dataset, key.size, operation or key.operation)
            if other is None or other.run != above.run:
                return []
            below = other.samples
        return [value / below[repeat] for repeat, value in above.samples.items() if repeat in below]

    def ratio(self, key: Key, to: str = "dict", operation: str = "") -> float | None:
        ratios = self.ratios(key, to, operation)
        return statistics.median(ratios) if ratios else None

    # ---- as JSON --------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        rows = []
        for key, series in self.series.items():
            first, middle, third = series.quartiles()
            row = asdict(key) | {
                "unit": {"MiB": "bytes", "bytes": "bytes", "million/s": "keys/s"}.get(
                    OPERATIONS[key.operation].unit, "ns"
                ),
                "median": rounded(middle),
                "quartiles": [rounded(first), rounded(third)],
                "to_dict": rounded(self.ratio(key)),
                "samples": {repeat: rounded(value) for repeat, value in series.samples.items()},
                "run": series.run,
            }
            if series.reference is not None:
                row["dict_samples"] = {
                    repeat: rounded(value) for repeat, value in series.reference.items()
                }
            rows.append(row)
        whole = {"runs": self.runs, "data": self.facts, "missing": self.missing, "results": rows}
        parts = [f'"{name}": {json_lines(value)}' for name, value in whole.items()]
        path.write_text("{" + ",\n".join(parts) + "}\n", "utf-8")

    @classmethod
    def load(cls, path: Path) -> "Results":
        whole = json.loads(path.read_text("utf-8"))
        results = cls(missing=whole["missing"], runs=whole["runs"], facts=whole["data"])
        for row in whole["results"]:
            key = Key(row["contender"], row["dataset"], row["size"], row["operation"])
            reference = row.get("dict_samples")
            results.series[key] = Series(
                {int(repeat): value for repeat, value in row["samples"].items()},
                reference and {int(repeat): value for repeat, value in reference.items()},
                row["run"],
            )
        return results


def json_lines(value: Any) -> str:
    """One line for each part."""
    encode = functools.partial(json.dumps, ensure_ascii=False)
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{encode(k)}: {encode(v)}" for k, v in value.items()) + "\n}"
    return "[\n" + ",\n".join(map(encode, value)) + "\n]"


def rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
