"""The figures in the READMEs and on the start page, made from the results.

Two parts of a page stand between comments: the benefits, sentences with a figure each, and a table.
A sentence whose figure no longer supports it is an error, not a sentence with another figure.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .results import OPERATIONS, TITLES, Key, Results

DATASET, SIZE, SMALL_SIZE = "users", 1_000_000, 1_000
CONTENDERS = (
    "dict",
    "sharedmap",
    "cdbx",
    "tinycdb",
    "lmdb",
    "lmdb-1",
    "mdbx",
    "ancestor",
    "marisa-trie",
    "sqlite3",
    "ultradict2",
    "ultradict",
    "stash",
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
# Where the benefits are, in which language, and how the page reaches docs/.
BENEFITS = {
    "README.md": ("en", "docs/"),
    "README.zh-CN.md": ("zh", "docs/"),
    "docs/index.md": ("en", ""),
    "docs/zh/index.md": ("zh", "../"),
}
ENGLISH = """\
- **One copy in memory.** Eight processes that read a million entries need {ours} MiB together;
  with a dict in each process they need {dict} MiB. ([memory]({docs}benchmarks/index.md))
- **Lookups faster than in your own dict.** At a million entries `m[key]` takes {hit} of the time of
  a lookup in a local dict, and `get_many()` {many}. At a thousand entries the two are on a par
  ({small}). Opening takes {open} ms: nothing is deserialized, and no reader takes a lock.
  ([lookups]({docs}benchmarks/index.md))
- **Live updates.** Changing one of a million entries takes {update} µs in a process that has the
  map open; publishing all of them takes {publish} ms. A process that reads and follows has the new
  value {seen} µs after it is stored.
  ([updates]({docs}performance.md#what-a-change-costs))
"""
# One line for each: a browser would show the end of a line as a space.
CHINESE = (
    "- **内存里只有一份。** 8 个进程读取一百万个条目，一共占用 {ours} MiB；"
    "每个进程各存一个 dict 则需要 {dict} MiB。（[内存]({docs}benchmarks/index.md)）\n"
    "- **查找比进程自己的 dict 还快。** 一百万个条目时，"
    "`m[key]` 的耗时是进程自己的 dict 的 {hit} 倍，"
    "`get_many()` 是 {many} 倍；一千个条目时两者相当（{small}）。"
    "打开只需 {open} 毫秒：零拷贝，无需反序列化，读取无锁。（[读取]({docs}benchmarks/index.md)）\n"
    "- **实时更新。** 进程已打开映射时，在一百万个条目里改一个，耗时 {update} 微秒；"
    "全部重新发布则要 {publish} 毫秒。"
    "跟随的进程在新值写入后 {seen} 微秒就能读到它。"
    "（[更新]({docs}performance.md#what-a-change-costs)）\n"
)


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


# ---- benefits -----------------------------------------------------------------------------------


def figures(results: Results, changes: dict[str, Any]) -> dict[str, float]:
    """What the sentences say, each as it was measured."""

    def median(contender: str, operation: str, factor: float) -> float:
        series = results.series[Key(contender, DATASET, SIZE, operation)]
        return factor * series.quartiles()[1]

    def ratio(operation: str, size: int) -> float:
        found = results.ratio(Key("sharedmap", DATASET, size, operation))
        assert found is not None
        return found

    one_key = {
        row["title"]: row
        for row in changes["cost"]
        if (row["entries"], row["changed"]) == (SIZE, 1)
    }
    stored, *_ = changes["latency"]["moments"]["from just before the store of the head"]
    return {
        "ours": median("sharedmap", "pss", 2.0**-20),
        "dict": median("dict", "pss", 2.0**-20),
        "hit": ratio("hit", SIZE),
        "many": ratio("many", SIZE),
        "small": ratio("hit", SMALL_SIZE),
        "open": median("sharedmap", "open", 1e-6),
        "update": one_key["`update()`"]["median"],
        "publish": median("sharedmap", "publish", 1e-6),
        "seen": stored / 1000,
    }


CLAIMS: dict[str, Callable[[dict[str, float]], bool]] = {
    "one copy needs a fraction of the memory": lambda found: 5 * found["ours"] < found["dict"],
    "large maps are faster than a dict": lambda found: max(found["hit"], found["many"]) < 0.8,
    "small maps are on a par with a dict": lambda found: 0.8 <= found["small"] <= 1.25,
    "opening takes next to nothing": lambda found: found["open"] < 1,
    "an update costs a hundredth of publishing": lambda found: (
        found["update"] < 10 * found["publish"]
    ),
    "followers are a few microseconds behind": lambda found: found["seen"] < 10,
}


def benefits(results: Results, changes: dict[str, Any], language: str, docs: str) -> str:
    found = figures(results, changes)
    if wrong := [claim for claim, holds in CLAIMS.items() if not holds(found)]:
        raise ValueError(f"the results do not say: {'; '.join(wrong)}")
    text = {"en": ENGLISH, "zh": CHINESE}[language]
    return text.format(docs=docs, **{name: number(value) for name, value in found.items()})


# ---- pages --------------------------------------------------------------------------------------


def parts(text: str, name: str = "figures") -> tuple[str, str, str]:
    """What is before a part of a page, the part, and what is behind it."""
    before, begin, rest = text.partition(f"<!-- {name} -->\n\n")
    part, end, behind = rest.partition(f"\n<!-- /{name} -->\n")
    if not (begin and end):
        raise ValueError(f"the comments around the {name} are gone")
    return before + begin, part, end + behind


def replace(path: Path, name: str, part: str) -> None:
    before, _, behind = parts(path.read_text("utf-8"), name)
    path.write_text(f"{before}{part}{behind}", "utf-8")


def write(results: Results, folder: Path) -> None:
    for name, language in READMES.items():
        table = "".join(f"{line}\n" for line in lines(results, language))
        replace(folder / name, "figures", table)
    changes = load_changes(folder)
    for name, arguments in BENEFITS.items():
        replace(folder / name, "benefits", benefits(results, changes, *arguments))


def load_changes(folder: Path) -> dict[str, Any]:
    path = folder / "docs" / "benchmarks" / "changes.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


if __name__ == "__main__":  # without measuring anything
    from .process import ROOT

    write(Results.load(ROOT / "docs" / "benchmarks" / "results.json"), ROOT)
