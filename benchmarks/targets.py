"""What sharedmap has set out to reach, and what was measured."""

from collections.abc import Callable
from dataclasses import dataclass

from .results import Key, Results, size_title

K1, K100, M1, M10 = 1_000, 100_000, 1_000_000, 10_000_000
Measure = Callable[[Results, str, int], float | None]


@dataclass(frozen=True)
class Target:
    title: str
    size: int
    limit: float | dict[str, float]  # at most; by data set where it differs
    measure: Measure
    unit: str = ""

    @property
    def digits(self) -> int:
        """What is shown is what is judged; a header of some bytes does not count per entry."""
        return 1 if self.unit else 2

    def limit_for(self, dataset: str) -> float | None:
        return self.limit.get(dataset) if isinstance(self.limit, dict) else self.limit


@dataclass(frozen=True)
class Row:
    """A target at one size: the figure of each data set, None where there is none."""

    target: Target
    values: dict[str, float | None]

    @property
    def verdict(self) -> str:
        limits = {dataset: self.target.limit_for(dataset) for dataset in self.values}
        judged = {
            dataset: round(value, self.target.digits) <= limits[dataset]
            for dataset, value in self.values.items()
            if value is not None and limits[dataset] is not None
        }
        if not judged:
            return "for comparison" if self.target.limit == {} else "not measured"
        short = [dataset for dataset, is_reached in judged.items() if not is_reached]
        if not short:
            return "reached"
        return f"not reached: {', '.join(short)}" if len(short) < len(judged) else "not reached"


def ratio(contender: str, operation: str, to: str = "dict", to_operation: str = "") -> Measure:
    def measure(results: Results, dataset: str, size: int) -> float | None:
        return results.ratio(Key(contender, dataset, size, operation), to, to_operation)

    return measure


def median(contender: str, operation: str, factor: float = 1.0) -> Measure:
    def measure(results: Results, dataset: str, size: int) -> float | None:
        series = results.get(contender, dataset, size, operation)
        return None if series is None else factor * series.quartiles()[1]

    return measure


def extra_memory(results: Results, dataset: str, size: int) -> float | None:
    """MiB that each of 8 readers needs beyond its share of the one copy."""
    gained = results.get("sharedmap", dataset, size, "pss")
    overhead = results.get("sharedmap", dataset, size, "overhead")
    facts = results.facts.get(f"{dataset} {size}")
    if gained is None or overhead is None or facts is None:
        return None
    per_entry = facts["raw bytes per entry"] + overhead.quartiles()[1]
    copy = per_entry * facts["entries"]
    return (gained.quartiles()[1] - copy) / 8 / 2**20


def targets() -> list[Target]:
    hit, huge = ratio("sharedmap", "hit"), ratio("sharedmap-huge", "hit")
    miss, many = ratio("sharedmap", "miss"), ratio("sharedmap", "many")
    same, fresh = ratio("sharedmap", "hot-same"), ratio("sharedmap", "hot-fresh")
    share = ratio("sharedmap", "publish")
    dumps = ratio("sharedmap", "publish", "sharedmap", "pickle.dumps")
    share_cpu = ratio("sharedmap", "publish-cpu")
    dumps_cpu = ratio("sharedmap", "publish-cpu", "sharedmap", "pickle.dumps-cpu")
    insert, insert_cpu = (
        ratio("rbtree", operation, "SortedDict") for operation in ("insert", "insert-cpu")
    )
    opening = median("sharedmap", "open", 1e-3)
    again = median("sharedmap", "open-again", 1e-3)
    sizes = (K1, K100, M1, M10)
    return [
        Target("`m[k]` / `d[k]`", K1, 1.45, hit),
        *(Target("`m[k]` / `d[k]`, hot set of 256, same objects", n, 0.7, same) for n in sizes),
        *(Target("`m[k]` / `d[k]`, hot set of 256, fresh keys", n, {}, fresh) for n in sizes),
        Target("`m[k]` / `d[k]`", K100, 0.6, hit),
        Target("`m[k]` / `d[k]`, 4 KiB pages", M1, 0.75, hit),
        Target("`m[k]` / `d[k]`, huge pages", M1, 0.55, huge),
        Target("`m[k]` / `d[k]`, 4 KiB pages", M10, 0.65, hit),
        Target("`m[k]` / `d[k]`, huge pages", M10, 0.45, huge),
        *(Target("missing key / `d.get`", n, 0.35, miss) for n in sizes[1:]),
        Target("`get_many(q)` / `list(map(d.get, q))`", K1, 0.75, many),
        Target("`get_many(q)` / `list(map(d.get, q))`", K100, 0.4, many),
        *(Target("`get_many(q)` / `list(map(d.get, q))`", n, 0.15, many) for n in (M1, M10)),
        Target("`share(d, name)` / building d", M1, {"users": 0.4, "paths": 0.8}, share),
        Target("the same, processor time", M1, {"users": 0.4, "paths": 0.8}, share_cpu),
        Target("`share(d, name)` / `pickle.dumps(d)`", M1, 0.5, dumps),
        Target("the same, processor time", M1, 0.5, dumps_cpu),
        *(Target("open to first value, fresh process", n, 60, opening, " µs") for n in sizes),
        *(Target("open to first value, not the first", n, 60, again, " µs") for n in sizes),
        Target("`list(m.items())` / `list(d.items())`", M1, 2.0, ratio("sharedmap", "scan")),
        Target("`t[k] = v`, random order / SortedDict", M1, 0.35, insert),
        Target("the same, processor time", M1, 0.35, insert_cpu),
        *(
            Target("bytes per entry over raw, hash", n, 13, median("sharedmap", "overhead"), " B")
            for n in sizes[1:]
        ),
        *(
            Target(
                "bytes per entry over raw, tree", n, 6, median("sharedmap-tree", "overhead"), " B"
            )
            for n in sizes[1:]
        ),
        *(
            Target(f"get hit / {peer}, 4 KiB pages", n, limit, ratio("sharedmap", "hit", peer))
            for peer, limit in (("tinycdb", 1.0), ("lmdb", 0.45), ("ancestor", 0.25))
            for n in (K100, M1)
        ),
        Target("memory of 8 readers beyond one copy, each", M1, 2, extra_memory, " MiB"),
    ]


def judge(results: Results, datasets: list[str]) -> list[Row]:
    """All targets; those of sizes that were not measured, too."""
    return [
        Row(
            target, {dataset: target.measure(results, dataset, target.size) for dataset in datasets}
        )
        for target in targets()
    ]


def markdown(results: Results, datasets: list[str]) -> str:
    lines = [
        f"| | entries | at most | {' | '.join(datasets)} | |",
        f"|---|---|---|{'---|' * len(datasets)}---|",
    ]
    for row in judge(results, datasets):
        cells = []
        for dataset in datasets:
            value, limit = row.values[dataset], row.target.limit_for(dataset)
            digits = row.target.digits
            text = "–" if value is None else f"{value:.{digits}f}"
            is_over = value is not None and limit is not None and round(value, digits) > limit
            cells.append(f"**{text}**" if is_over else text)
        limits = (
            ", ".join(f"{limit:g} ({dataset})" for dataset, limit in row.target.limit.items())
            or "–"
            if isinstance(row.target.limit, dict)
            else f"{row.target.limit:g}{row.target.unit}"
        )
        lines.append(
            f"| {row.target.title} | {size_title(row.target.size)} | {limits} "
            f"| {' | '.join(cells)} | {row.verdict} |"
        )
    return "\n".join(lines)
