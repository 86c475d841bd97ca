"""Results as Markdown: index.md with plots, tables.md with all figures, targets.md."""

from pathlib import Path

from . import plots, targets
from .datasets import TITLES as DATASETS
from .results import FACTORS, OPERATIONS, TITLES, Key, Results, Series, quartiles, size_title

HEAD = """# Benchmarks

sharedmap beside {peers}.
`make bench` repeats the measurement, in some 25 minutes on a quiet machine.

{short}
"""
HOW = """## How it is measured

{source}

    {commands}

`python -m benchmarks --help` lists how to measure a part, benchmarks/README.md in the repository
says how it is built.

Each library reads in a process of its own, opened as its documentation says. The processes take
turns, in a new order for each repeat. All of them answer the same questions: fresh `str` objects in
random order, made outside the timed part. A figure is the median over the repeats, with the first
and third quartile in square brackets. A ratio is the median of the ratios to the dict **in the same
repeat**, since a machine with other work slows both. The dict is a plain dict in the reader's own
process, unpickled there, as a worker process would get it.

| data set | keys | raw bytes per entry |
|---|---|---|
{datasets}

Values are 32 characters.
"""
ONE_RUN = "All figures on these pages come from one command:"
SEVERAL_RUNS = (
    "All figures on these pages come from these commands. A later one replaces\nwhat an earlier "
    "one has measured as well:"
)
TARGETS = """# Performance targets

For developers: what this package has set out to reach, and what the last run measured. **Bold**
misses the target; – was not measured in these runs, or does not exist for that data set. Each of
the [tables](tables.md) begins with what is compared.
"""


def write(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    results.save(folder / "results.json")
    pictures = plots.draw(results, folder)
    folder.joinpath("index.md").write_text(index(results, pictures), "utf-8")
    folder.joinpath("tables.md").write_text(tables(results), "utf-8")
    judged = targets.markdown(results, datasets_of(results))
    folder.joinpath("targets.md").write_text(f"{TARGETS}\n{judged}\n", "utf-8")


def datasets_of(results: Results) -> list[str]:
    return [name for name in DATASETS if any(key.dataset == name for key in results.series)]


def sizes_of(results: Results) -> list[int]:
    return sorted({key.size for key in results.series})


# ---- index.md ---------------------------------------------------------------------------------


def index(results: Results, pictures: dict[str, str]) -> str:
    datasets = datasets_of(results)
    rows = []
    for dataset in datasets:
        facts = [results.facts.get(f"{dataset} {size}") for size in sizes_of(results)]
        raw = ", ".join(f"{fact['raw bytes per entry']:.1f}" for fact in facts if fact)
        rows.append(f"| {dataset} | {DATASETS[dataset]} | {raw} |")
    commands = list(dict.fromkeys(run["command"] for run in results.runs))
    source = ONE_RUN if len(commands) == 1 else SEVERAL_RUNS
    parts = [
        HEAD.format(peers=peers(results), short=in_short(results)),
        "## Plots\n",
        "Data set `users`. The tables have the other data sets and libraries.\n",
        *(f"![{title}]({name})\n" for name, title in pictures.items()),
        "## All figures\n",
        "[All figures](tables.md) has a table for each operation, [results.json](results.json) "
        "every sample, and [Performance targets](targets.md) what this package tries to reach. "
        "[Where the time goes](../performance.md) measures what changes cost, and how lookups "
        "scale over threads.\n",
        HOW.format(source=source, commands="\n    ".join(commands), datasets="\n".join(rows)),
        names_note(results),
        "## Where, when and with what\n",
        machine(results),
        "## What is missing\n",
        missing(results),
    ]
    return "\n".join(part for part in parts if part)


SHORT = {  # what is compared in the first table of the page
    "hit": "`m[key]`",
    "newest": "`m[key]`, always the newest",
    "miss": "`m.get(key)`, missing",
    "many": "`get_many()`, each key",
    "scan": "`list(m.items())`",
    "publish": "publishing / building the dict",
    "open": "opening, to the first value",
    "pss": "memory of 8 readers",
}
SHORT_COLUMNS = ("sharedmap", "cdbx", "tinycdb", "lmdb", "sqlite3", "ultradict2", "ultradict")


# What a reader knows the libraries by.
PEERS = {
    "dict": "a dict",
    "SortedDict": "SortedDict",
    "lmdb": "LMDB",
    "mdbx": "MDBX",
    "cdbx": "cdb",
    "tinycdb": "cdb",
    "marisa-trie": "marisa-trie",
    "sqlite3": "SQLite",
    "ultradict": "UltraDict",
    "ultradict2": "UltraDict",
    "shared-memory-dict": "shared-memory-dict",
    "stash": "gunicorn's stash",
    "manager": "`multiprocessing.Manager`",
    "redis": "Redis",
}


def peers(results: Results) -> str:
    measured = {key.contender for key in results.series}
    *names, last = dict.fromkeys(title for name, title in PEERS.items() if name in measured)
    return f"{', '.join(names)} and {last}"


def in_short(results: Results) -> str:
    """Ratios to the dict at one size, with the range of each over the repeats."""
    names = plots.present(SHORT_COLUMNS, {key.contender for key in results.series}, 5)
    lines = [
        "A million entries, data set `users`: time or memory as a multiple of a dict in each",
        "process, with the quartiles over the repeats. Less is better; below 1 beats the dict.",
        "",
        f"| | {' | '.join(plots.SHORT[name] for name in names)} |",
        f"|---|{'---:|' * len(names)}",
    ]
    for operation, title in SHORT.items():
        cells = []
        for name in names:
            # Only sharedmap has to be told to look for the newest version.
            is_follow = operation == "newest" and name == "sharedmap"
            key = Key("sharedmap-follow" if is_follow else name, "users", 1_000_000, operation)
            cells.append(paired(results.ratios(key)))
        if any(cells):
            lines.append(f"| {title} | {' | '.join(cell or '–' for cell in cells)} |")
    return "\n".join(lines) + "\n"


def paired(ratios: list[float]) -> str:
    if not ratios:
        return ""
    first, middle, third = map(short_multiple, quartiles(ratios))
    return middle if len(ratios) < 3 else f"{middle} ({first}–{third})"


def short_multiple(ratio: float) -> str:
    return multiple(ratio) if ratio < 0.001 or ratio >= 10 else f"{ratio:.2g}"


def names_note(results: Results) -> str:
    for size in sizes_of(results):
        facts = results.facts.get(f"unicode {size}")
        if facts and facts["entries"] != size:
            return f"Under {size_title(size)}, `unicode` holds all {facts['entries']:,} names.\n"
    return ""


def machine(results: Results) -> str:
    lines = []
    for number, run in enumerate(results.runs, 1):
        if len(results.runs) > 1:
            lines.append(f"Run {number}:\n")
        for name in ("date", "command", "processor", "cores", "memory", "kernel", "C library"):
            lines.append(f"- {name}: {run[name]}")
        lines.append(f"- compiler of CPython: {run['compiler']}")
        lines.append(f"- transparent huge pages: {run['huge pages']}")
        versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
        lines.append(f"- versions: {versions}")
        lines.append(
            f"- load average before and after: {run['load before']} and {run['load after']}; "
            f"took {run['seconds'] / 60:.1f} minutes, {run['repeats']} repeats\n"
        )
    lines.append("Spread: " + spread(results) + "\n")
    return "\n".join(lines)


def spread(results: Results) -> str:
    """How much the ratios of repeats differ, over all series of several repeats."""
    widths = []
    for key in results.series:
        ratios = results.ratios(key)
        if len(ratios) >= 3 and key.contender != "dict":
            first, middle, third = quartiles(ratios)
            widths.append((third - first) / middle)
    if not widths:
        return "no series has three repeats."
    _, middle, third = quartiles(widths)
    return (
        f"half of all ratios to the dict have an interquartile range below {middle:.0%} of "
        f"their median, three quarters of them below {third:.0%}."
    )


def missing(results: Results) -> str:
    """One line for each library and reason."""
    places: dict[tuple[str, str], list[str]] = {}
    for found in results.missing:
        where = places.setdefault((found["contender"], found["reason"]), [])
        if found["where"] and found["where"] not in where:
            where.append(found["where"])
    if not places:
        return "Nothing.\n"
    lines = []
    for (name, reason), where in places.items():
        scope = f" ({'; '.join(where)})" if where else ""
        lines.append(f"- {TITLES.get(name, name)}{scope}: {reason}")
    return "\n".join(lines) + "\n"


# ---- tables.md --------------------------------------------------------------------------------


def tables(results: Results) -> str:
    parts = [
        "# Benchmarks: all figures\n",
        "Median [first quartile–third quartile] × median ratio to the dict in the same repeats. "
        "What was measured where and how is in [Benchmarks](index.md).\n",
    ]
    for name in OPERATIONS:
        if any(key.operation == name for key in results.series):
            parts += [table(results, name)]
    return "\n".join(parts)


def table(results: Results, operation: str) -> str:
    about = OPERATIONS[operation]
    keys = [key for key in results.series if key.operation == operation]
    sizes = sorted({key.size for key in keys})
    lines = [
        f"## {about.title}\n",
        f"{about.text} In {about.unit}; {about.better} is better.\n",
        f"| data set | library | {' | '.join(map(size_title, sizes))} |",
        f"|---|---|{'---|' * len(sizes)}",
    ]
    for dataset in datasets_of(results):
        for contender in TITLES:
            cells = [cell(results, Key(contender, dataset, size, operation)) for size in sizes]
            if any(cells):
                row = " | ".join(text or "–" for text in cells)
                lines.append(f"| {dataset} | {TITLES[contender]} | {row} |")
    return "\n".join(lines) + "\n"


def cell(results: Results, key: Key) -> str:
    series = results.series.get(key)
    if series is None:
        return ""
    text = figures(series, OPERATIONS[key.operation].unit)
    ratio = results.ratio(key)
    if ratio is None or key.operation == "overhead" or (key.contender == "dict" and ratio == 1):
        return text
    return f"{text} × {multiple(ratio)}"


def multiple(ratio: float) -> str:
    if ratio < 0.001:
        return "<0.001"
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"


def figures(series: Series, unit: str) -> str:
    first, middle, third = (number(FACTORS[unit] * value) for value in series.quartiles())
    if len(series.samples) < 2:
        return middle
    return f"{middle} [{first}–{third}]"


def number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
