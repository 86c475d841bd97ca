"""What changes cost: measures all of it, and writes the tables and plots of docs/performance.md.

    python -m benchmarks.changes              some ten minutes, 12 GB of memory
    python -m benchmarks.changes --again      writes the tables and plots of the last results

The parts are programs of their own, and say what they measure: update_cost, update_waits and
store_latency. The results are in docs/benchmarks/changes.json.
"""

import argparse
import json
import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from . import machine, store_latency, update_cost, update_waits
from .process import ROOT

RESULTS = Path("docs/benchmarks/changes.json")
PAGE = Path("docs/performance.md")
BEGIN, END = "<!-- changes: {} -->\n\n", "\n<!-- /changes -->\n"
OURS, WITHOUT_HANDLE = update_cost.Ours.title, update_cost.OursWithoutHandle.title
ENGINES = ("py-lmdb, engine 0.9", "py-lmdb, engine 1.0")
PEERS = (update_cost.Mdbx.title, update_cost.Sqlite.title)  # which earlier results do not have
SAMPLES = 2000  # of the file's size, in the results
Results = dict[str, Any]

# ---- measuring ----------------------------------------------------------------------------------


def measure(options: argparse.Namespace, results: Results) -> None:
    """Measures the parts that are wanted, and replaces those of earlier results."""
    command = ["python -m benchmarks.changes"]
    if options.only != [*PARTS]:
        command += ["--only", *options.only]
    results["machine"] = machine.describe(" ".join(command), ["lmdb", "mdbx", "sqlite3"])
    for name in options.only:
        results[name] = PARTS[name](options)
    results["machine"]["load after"] = machine.load()


def cost(options: argparse.Namespace) -> list[Results]:
    return [
        {
            "entries": entries,
            "changed": changed,
            "title": title,
            "transactions": len(taken),
            "median": 1e6 * statistics.median(taken),
            "mean": 1e6 * statistics.mean(taken),
            "p99": 1e6 * update_cost.percentile(taken, 0.99),
        }
        for size in options.entries
        for entries, changed, title, taken in update_cost.measure_changes(
            size, options.changes, options.seconds
        )
    ]


def reads(options: argparse.Namespace) -> Results:
    times = update_cost.measure_reads(options.read, options.shares, options.rounds)
    return {
        "entries": options.read,
        "ratios": {
            title: [[share, *update_cost.ratios(times, title, share)] for share in options.shares]
            for title in dict.fromkeys(title for title, _ in times)
        },
    }


def memory(options: argparse.Namespace) -> Results:
    base, seconds, series = update_cost.measure_memory(options.read, options.updates)
    step = max(1, len(series) // SAMPLES)
    return {
        "entries": options.read,
        "updates": len(series),
        "seconds": round(seconds, 1),
        "base": base,
        "most": max(series),
        "step": step,
        "series": series[::step],
    }


def latency(options: argparse.Namespace) -> Results:
    called, stored = store_latency.run(options.latency)
    moments = dict(zip(store_latency.MOMENTS, (*called, *stored), strict=True))
    return {
        "updates": options.latency,
        "moments": {title: store_latency.summary(times) for title, times in moments.items()},
    }


def waits(options: argparse.Namespace) -> Results:
    counts = [100, 1]
    publishers = update_waits.measure(options.wait, options.compactions, counts)
    found, beside, alone = update_waits.split(publishers, options.wait)
    return {
        "entries": options.wait,
        "changed": counts,
        "compactions": sorted(call.took / 1e9 for call in found),
        "others": {
            "while one compacts": update_waits.summary(beside, publishers),
            "while none does": update_waits.summary(alone, publishers),
        },
    }


PARTS = {"cost": cost, "reads": reads, "memory": memory, "latency": latency, "waits": waits}

# ---- tables -------------------------------------------------------------------------------------


def number(value: float) -> str:
    return f"{value:,.1f}" if value < 20 else f"{value:,.0f}"


def cost_table(results: Results) -> Iterator[str]:
    found = {(row["entries"], row["changed"], row["title"]): row for row in results["cost"]}
    peers = [title for title in PEERS if any(title in key for key in found)]
    yield (
        "| entries | changed | `update()`, µs: median | mean | 99 % | no handle open: median "
        "| LMDB, µs, engine 0.9 / 1.0: median | mean | `update()` / LMDB: median | mean |"
        + "".join(f" {title}: median |" for title in peers)
    )
    yield "|---:|---:|" + "---:|" * (8 + len(peers))
    for entries, changed in dict.fromkeys((entries, changed) for entries, changed, _ in found):
        ours = found[entries, changed, OURS]
        engines = [found[entries, changed, title] for title in ENGINES]
        cells = [f"{entries:,}", f"{changed:,}"]
        cells += [number(ours[what]) for what in ("median", "mean", "p99")]
        cells.append(number(found[entries, changed, WITHOUT_HANDLE]["median"]))
        for what in ("median", "mean"):
            cells.append(" / ".join(number(engine[what]) for engine in engines))
        for what in ("median", "mean"):
            cells.append(f"{ours[what] / min(engine[what] for engine in engines):.2g}")
        cells += [number(found[entries, changed, title]["median"]) for title in peers]
        yield "| " + " | ".join(cells) + " |"


def reads_table(results: Results) -> Iterator[str]:
    ratios = results["reads"]["ratios"]
    shares = [share for share, *_ in next(iter(ratios.values()))]
    yield "| | " + " | ".join(f"{100 * share:g} %" for share in shares) + " |"
    yield "|---|" + "---:|" * len(shares)
    for title, rows in ratios.items():
        cells = (f"{middle:.2f} ({low:.2f} to {high:.2f})" for _, low, middle, high in rows)
        yield f"| {title} | " + " | ".join(cells) + " |"


def latency_table(results: Results) -> Iterator[str]:
    yield "| until the reader has the value | median, ns | 90 %, ns | 99 %, ns |"
    yield "|---|---:|---:|---:|"
    for title, numbers in results["latency"]["moments"].items():
        yield f"| {title} | " + " | ".join(f"{value:,.0f}" for value in numbers) + " |"


def waits_table(results: Results) -> Iterator[str]:
    yield (
        "| calls | | median, µs | 99 %, µs | longest, ms | longest asleep, ms "
        "| the same, while the others had a core |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for title, (count, *times) in results["waits"]["others"].items():
        cells = [f"{value:,.0f}" for value in (count, *times[:2])]
        cells += [f"{value:.1f}" for value in times[2:]]
        yield "| " + " | ".join([title, *cells]) + " |"


def machine_lines(results: Results) -> Iterator[str]:
    told, memory, waits = (results[name] for name in ("machine", "memory", "waits"))
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    first, last = waits["compactions"][0], waits["compactions"][-1]
    yield f"- {told['date']}, {told['processor']}, {told['cores']} cores, {told['kernel']}"
    yield f"- {versions}; load average {told['load before']} before and {told['load after']} after"
    yield (
        f"- the file took at most {memory['most'] / memory['base']:.2f} of its base in"
        f" {memory['updates']:,} updates of one key of {memory['entries']:,}"
    )
    yield f"- a compaction of {waits['entries']:,} entries took {first:.1f} to {last:.1f} s"


TABLES = {
    "cost": cost_table,
    "reads": reads_table,
    "latency": latency_table,
    "waits": waits_table,
    "machine": machine_lines,
}


def parts(text: str, name: str) -> tuple[str, str, str]:
    """What is before a table, the table, and what is behind it."""
    before, begin, rest = text.partition(BEGIN.format(name))
    table, end, behind = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the comments around the table {name!r} are gone")
    return before + begin, table, end + behind


def write_tables(results: Results, page: Path) -> None:
    text = page.read_text("utf-8")
    for name, lines in TABLES.items():
        before, _, behind = parts(text, name)
        text = before + "".join(f"{line}\n" for line in lines(results)) + behind
    page.write_text(text, "utf-8")


# ---- plots --------------------------------------------------------------------------------------


def draw(results: Results, folder: Path) -> None:
    from . import plots

    functions = {
        "update-cost": draw_cost,
        "changed-reads": draw_reads,
        "update-memory": draw_memory,
    }
    for name, function in functions.items():
        plots.save(partial(function, results), folder, name)


def draw_cost(results: Results, theme: Any) -> Any:
    """The median by the number of keys, one panel for each size of the map."""
    from . import plots

    titles = {OURS: "update()", WITHOUT_HANDLE: "no handle open", ENGINES[0]: "LMDB"}
    colors = (theme.ours, theme.others[1], theme.others[0])
    sizes = sorted({row["entries"] for row in results["cost"]})
    figure, grid = plots.pyplot.subplots(
        1, len(sizes), figsize=(2.7 * len(sizes), 3.2), sharey=True, squeeze=False
    )
    for axis, size in zip(grid[0], sizes, strict=True):
        ends = []
        for color, (title, text) in zip(colors, titles.items(), strict=True):
            found = [
                row for row in results["cost"] if (row["entries"], row["title"]) == (size, title)
            ]
            keys = [row["changed"] for row in found]
            medians = [row["median"] for row in found]
            axis.plot(keys, medians, "o-", color=color, markersize=4, linewidth=1.6)
            ends.append((keys[-1], medians[-1], text, color))
        axis.set(xscale="log", yscale="log", xlabel="keys changed")
        axis.set_title(f"{size:,} entries")
        axis.set_xticks(keys, [f"{count:,}" for count in keys])
        axis.yaxis.set_major_formatter(plots.plain)
        axis.minorticks_off()
    grid[0][0].set_ylabel("µs for one transaction, median")
    figure.tight_layout()
    plots.label_ends(grid[0][-1], ends)
    return figure


def draw_reads(results: Results, theme: Any) -> Any:
    from . import plots

    ratios = results["reads"]["ratios"]
    ratios = {title: rows for title, rows in ratios.items() if "again" not in title}
    figure, axis = plots.pyplot.subplots(figsize=(6.4, 3.2))
    ends = []
    for color, (title, rows) in zip((theme.ours, *theme.others), ratios.items(), strict=False):
        shares = ["0 %"] + [f"{100 * share:g} %" for share, *_ in rows]
        middles = [1, *(middle for _, _, middle, _ in rows)]
        axis.plot(shares, middles, "o-", color=color, markersize=4)
        axis.fill_between(
            shares,
            [1, *(low for _, low, _, _ in rows)],
            [1, *(high for *_, high in rows)],
            color=color,
            alpha=0.12,
            linewidth=0,
        )
        ends.append((len(shares) - 1, middles[-1], title.replace("`", ""), color))
    axis.set(xlabel="part of the entries that deltas have", ylabel="time / without deltas")
    axis.set_title(f"Reading {results['reads']['entries']:,} entries")
    plots.label_ends(axis, ends)
    return figure


def draw_memory(results: Results, theme: Any) -> Any:
    from . import plots

    memory = results["memory"]
    figure, axis = plots.pyplot.subplots(figsize=(6.4, 3))
    numbers = [at * memory["step"] for at in range(len(memory["series"]))]
    sizes = [size / memory["base"] for size in memory["series"]]
    axis.plot(numbers, sizes, color=theme.ours, linewidth=1.2)
    axis.axhline(1.5, color=theme.reference, linewidth=1, linestyle=":")
    axis.set(xlabel="updates of one key", ylabel="allocated / base", ylim=(0.9, 1.6))
    axis.set_title(f"The file of {memory['entries']:,} entries")
    axis.xaxis.set_major_formatter(plots.plain)
    plots.label_ends(axis, [(numbers[-1], 1.5, "limit", theme.reference)])
    return figure


# ---- the command --------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.changes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--again", action="store_true", help="do not measure")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PARTS,
        default=[*PARTS],
        metavar="PART",
        help=f"measure these of {', '.join(PARTS)}, and keep the last results of the others",
    )
    parser.add_argument("--entries", type=int, nargs="+", default=[10_000, 1_000_000, 10_000_000])
    parser.add_argument("--changes", type=int, nargs="+", default=[1, 100, 10_000])
    parser.add_argument("--seconds", type=float, default=15, help="for each row")
    parser.add_argument("--read", type=int, default=1_000_000, help="entries of what is read")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.001, 0.01, 0.1])
    parser.add_argument("--rounds", type=int, default=21, help="of reading")
    parser.add_argument("--updates", type=int, default=100_000, help="for the memory")
    parser.add_argument("--latency", type=int, default=10_000, help="updates, at most 10,000")
    parser.add_argument("--wait", type=int, default=10_000_000, help="entries of what is compacted")
    parser.add_argument("--compactions", type=int, default=5)
    parser.add_argument("--output", type=Path, default=ROOT, help="the folder that has docs")
    options = parser.parse_args()
    file = options.output / RESULTS
    results = json.loads(file.read_text("utf-8")) if file.exists() else {}
    if not options.again:
        measure(options, results)
        file.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
        results = json.loads(file.read_text("utf-8"))
    write_tables(results, options.output / PAGE)
    draw(results, file.parent)


if __name__ == "__main__":
    main()
