"""The figures in the READMEs and a page: one table between two comments, made from the results."""

from collections.abc import Iterator
from pathlib import Path

from .results import OPERATIONS, TITLES, Key, Results

BEGIN, END = "<!-- figures -->\n\n", "\n<!-- /figures -->\n"
DATASET, SIZE = "users", 1_000_000
CONTENDERS = (
    "dict",
    "sharedmap",
    "tinycdb",
    "lmdb",
    "ancestor",
    "marisa-trie",
    "sqlite3",
    "ultradict",
    "manager",
    "redis",
)
COLUMNS = {  # operation: from its own unit to that of the title, titles
    "hit": (1.0, "get, ns", "读取，ns"),
    "miss": (1.0, "missing key, ns", "键不存在，ns"),
    "many": (1.0, "many keys, ns each", "批量读取，每键 ns"),
    "open": (1e-6, "open to first value, ms", "打开到首个值，ms"),
    "publish": (1e-6, "publish, ms", "发布，ms"),
    "pss": (2.0**-20, "memory of 8 readers, MiB", "8 个读取进程的内存，MiB"),
}
# Where the table is, and which of the titles is in the language of the page.
READMES = {"README.md": 1, "README.zh-CN.md": 2, "docs/comparison.md": 1}


def number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def lines(results: Results, language: int) -> Iterator[str]:
    assert all(operation in OPERATIONS for operation in COLUMNS)
    yield "| | " + " | ".join(column[language] for column in COLUMNS.values()) + " |"
    yield "|---|" + "---:|" * len(COLUMNS)
    for contender in CONTENDERS:
        cells = []
        for operation, (factor, *_) in COLUMNS.items():
            series = results.series.get(Key(contender, DATASET, SIZE, operation))
            cells.append(number(factor * series.quartiles()[1]) if series else "–")
        if set(cells) != {"–"}:
            yield f"| {TITLES[contender]} | " + " | ".join(cells) + " |"


def parts(text: str) -> tuple[str, str, str]:
    """What is before the table, the table, and what is behind it."""
    before, begin, rest = text.partition(BEGIN)
    figures, end, behind = rest.partition(END)
    if not (begin and end):
        raise ValueError("the comments around the table are gone")
    return before + begin, figures, end + behind


def write(results: Results, folder: Path) -> None:
    for name, language in READMES.items():
        before, _, behind = parts(folder.joinpath(name).read_text("utf-8"))
        table = "".join(f"{line}\n" for line in lines(results, language))
        folder.joinpath(name).write_text(f"{before}{table}{behind}", "utf-8")


if __name__ == "__main__":  # without measuring anything
    from .process import ROOT

    write(Results.load(ROOT / "docs" / "benchmarks" / "results.json"), ROOT)
