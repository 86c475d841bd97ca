"""What sharedmap has set out to reach, and what was measured."""

from collections.abc import Callable
from dataclasses import dataclass

from .results import Key, Results, size_title

K1, K100, M1, M10 = 1_000, 100_000, 1_000_000, 10_000_000
Measure = Callable[[Results, str, int], float | None]


@dataclass(frozen=True)
class Mark:
    title: str
    size: int
    limit: float | dict[str, float]  # at most; by shape where it differs
    measure: Measure
    unit: str = ""

    @property
    def digits(self) -> int:
        """What is shown is what is judged; a header of some bytes does not count per entry."""
        return 1 if self.unit else 2

    def limit_for(self, shape: str) -> float | None:
        return self.limit.get(shape) if isinstance(self.limit, dict) else self.limit


@dataclass(frozen=True)
class Row:
    """A mark at one size: the figure of each shape, None where there is none."""

    mark: Mark
    values: dict[str, float | None]

    @property
    def verdict(self) -> str:
        limits = {shape: self.mark.limit_for(shape) for shape in self.values}
        judged = {
            shape: round(value, self.mark.digits) <= limits[shape]
            for shape, value in self.values.items()
            if value is not None and limits[shape] is not None
        }
        if not judged:
            return "for comparison" if self.mark.limit == {} else "not measured"
        short = [shape for shape, is_reached in judged.items() if not is_reached]
        if not short:
            return "reached"
        return f"not reached: {', '.join(short)}" if len(short) < len(judged) else "not reached"


def ratio(contestant: str, operation: str, to: str = "dict", to_operation: str = "") -> Measure:
    def measure(results: Results, shape: str, size: int) -> float | None:
        return results.ratio(Key(contestant, shape, size, operation), to, to_operation)

    return measure


def median(contestant: str, operation: str, factor: float = 1.0) -> Measure:
    def measure(results: Results, shape: str, size: int) -> float | None:
        series = results.get(contestant, shape, size, operation)
        return None if series is None else factor * series.quartiles()[1]

    return measure


def extra_memory(results: Results, shape: str, size: int) -> float | None:
    """MiB that each of 8 readers needs beyond its share of the one copy."""
    gained = results.get("sharedmap", shape, size, "pss")
    overhead = results.get("sharedmap", shape, size, "overhead")
    facts = results.facts.get(f"{shape} {size}")
    if gained is None or overhead is None or facts is None:
        return None
    per_entry = facts["raw bytes per entry"] + overhead.quartiles()[1]
    copy = per_entry * facts["entries"]
    return (gained.quartiles()[1] - copy) / 8 / 2**20


def marks() -> list[Mark]:
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
        Mark("`m[k]` / `d[k]`", K1, 1.45, hit),
        *(Mark("`m[k]` / `d[k]`, hot set of 256, same objects", n, 0.7, same) for n in sizes),
        *(Mark("`m[k]` / `d[k]`, hot set of 256, fresh keys", n, {}, fresh) for n in sizes),
        Mark("`m[k]` / `d[k]`", K100, 0.6, hit),
        Mark("`m[k]` / `d[k]`, 4 KiB pages", M1, 0.75, hit),
        Mark("`m[k]` / `d[k]`, huge pages", M1, 0.55, huge),
        Mark("`m[k]` / `d[k]`, 4 KiB pages", M10, 0.65, hit),
        Mark("`m[k]` / `d[k]`, huge pages", M10, 0.45, huge),
        *(Mark("missing key / `d.get`", n, 0.35, miss) for n in sizes[1:]),
        Mark("`get_many(q)` / `list(map(d.get, q))`", K1, 0.75, many),
        Mark("`get_many(q)` / `list(map(d.get, q))`", K100, 0.4, many),
        *(Mark("`get_many(q)` / `list(map(d.get, q))`", n, 0.15, many) for n in (M1, M10)),
        Mark("`share(d, name)` / building d", M1, {"A": 0.4, "C": 0.8}, share),
        Mark("the same, processor time", M1, {"A": 0.4, "C": 0.8}, share_cpu),
        Mark("`share(d, name)` / `pickle.dumps(d)`", M1, 0.5, dumps),
        Mark("the same, processor time", M1, 0.5, dumps_cpu),
        *(Mark("open to first value, fresh process", n, 60, opening, " µs") for n in sizes),
        *(Mark("open to first value, not the first", n, 60, again, " µs") for n in sizes),
        Mark("`list(m.items())` / `list(d.items())`", M1, 2.0, ratio("sharedmap", "scan")),
        Mark("`t[k] = v`, random order / SortedDict", M1, 0.35, insert),
        Mark("the same, processor time", M1, 0.35, insert_cpu),
        *(
            Mark("bytes per entry over raw, hash", n, 13, median("sharedmap", "overhead"), " B")
            for n in sizes[1:]
        ),
        *(
            Mark("bytes per entry over raw, tree", n, 6, median("sharedmap-tree", "overhead"), " B")
            for n in sizes[1:]
        ),
        *(
            Mark(f"get hit / {peer}, 4 KiB pages", n, limit, ratio("sharedmap", "hit", peer))
            for peer, limit in (("tinycdb", 1.0), ("lmdb", 0.45), ("ancestor", 0.25))
            for n in (K100, M1)
        ),
        Mark("memory of 8 readers beyond one copy, each", M1, 2, extra_memory, " MiB"),
    ]


def judge(results: Results, shapes: list[str]) -> list[Row]:
    """All marks; those of sizes that were not measured, too."""
    return [
        Row(mark, {shape: mark.measure(results, shape, mark.size) for shape in shapes})
        for mark in marks()
    ]


def markdown(results: Results, shapes: list[str]) -> str:
    lines = [
        f"| | entries | at most | {' | '.join(shapes)} | |",
        f"|---|---|---|{'---|' * len(shapes)}---|",
    ]
    for row in judge(results, shapes):
        cells = []
        for shape in shapes:
            value, limit = row.values[shape], row.mark.limit_for(shape)
            digits = row.mark.digits
            text = "–" if value is None else f"{value:.{digits}f}"
            is_over = value is not None and limit is not None and round(value, digits) > limit
            cells.append(f"**{text}**" if is_over else text)
        limits = (
            ", ".join(f"{limit:g} ({shape})" for shape, limit in row.mark.limit.items()) or "–"
            if isinstance(row.mark.limit, dict)
            else f"{row.mark.limit:g}{row.mark.unit}"
        )
        lines.append(
            f"| {row.mark.title} | {size_title(row.mark.size)} | {limits} "
            f"| {' | '.join(cells)} | {row.verdict} |"
        )
    return "\n".join(lines)
