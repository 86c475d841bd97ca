"""The picture of the house and the list of its files, for docs/architecture.md.

    python docs/_site/picture.py      draws both anew; a test says when that is necessary

Lines are what the files include, without those that follow from others. A part stands one row above
the highest one that it is built on.
"""

from __future__ import annotations

import math
import re
import sys
from html import escape
from pathlib import Path

DOCS = Path(__file__).parents[1]
sys.path.insert(0, str(DOCS.parent / "tests/support"))

import house  # noqa: E402

PAGE = DOCS / "architecture.md"
BEGIN, END = "<!-- begin of what picture.py writes -->", "<!-- end of what picture.py writes -->"

Graph = dict[str, set[str]]

BEND = "bend "
WIDTH, ROW, BOX, GAP, CHARACTER = 980, 62, 28, 14, 7.2
BANDS = {
    "sharedmap": ("src/sharedmap", "the Python package"),
    "binding": ("src/binding", "CPython types: arguments, objects, exceptions"),
    "core": ("src/core", "C11 that has never heard of Python"),
    "core/segment": ("src/core/segment", "the operating system: files, names, locks, waiting"),
    "core/snapshot": ("src/core/snapshot", "the bytes: written, found, checked"),
    "core/tree": ("src/core/tree", "the mutable map in private memory"),
    "core/base": ("src/core/base", "what all of the core stands on"),
}
# File: colors of page, band, text, remark and edge, then fill and border of each kind of part.
THEMES = {
    DOCS / "architecture.svg": (
        ("#fff", "#fff", "#111827", "#4b5563", "#9ca3af"),
        {
            "sharedmap": ("#dbeafe", "#1d4ed8"),
            "binding": ("#fef3c7", "#b45309"),
            "core": ("#f3f4f6", "#4b5563"),
            "seen": ("#dcfce7", "#15803d"),
        },
    ),
    DOCS / "architecture-dark.svg": (
        ("#0d1117", "#161b22", "#e5e7eb", "#9ca3af", "#6b7280"),
        {
            "sharedmap": ("#1e3a8a", "#93c5fd"),
            "binding": ("#78350f", "#fcd34d"),
            "core": ("#374151", "#9ca3af"),
            "seen": ("#14532d", "#86efac"),
        },
    ),
}


def above(graph: Graph) -> dict[str, int]:
    """The row of each part, from the ground up."""
    rows: dict[str, int] = {}

    def row(part: str, above: tuple[str, ...] = ()) -> int:
        if part in above:
            sys.exit(f"a circle of includes: {' -> '.join([*above, part])}")
        if part not in rows:
            below = (row(other, (*above, part)) for other in graph[part])
            rows[part] = 1 + max(below, default=-1)
        return rows[part]

    for part in graph:
        row(part)
    return rows


def reduced(graph: Graph) -> Graph:
    """Without lines to what is reached through another part anyway."""

    def reached(part: str) -> set[str]:
        found: set[str] = set()
        waiting = [*graph[part]]
        while waiting:
            other = waiting.pop()
            if other not in found:
                found.add(other)
                waiting += graph[other]
        return found

    return {
        part: {one for one in below if not any(one in reached(other) for other in below - {one})}
        for part, below in graph.items()
    }


def with_bends(graph: Graph, rows: dict[str, int]) -> tuple[Graph, dict[str, int]]:
    """Lines that go past rows get a bend in each of them, so that they go between the boxes."""
    drawn: Graph = {part: set() for part in graph}
    rows = dict(rows)
    for part in sorted(graph):
        for other in sorted(graph[part]):
            upper = part
            for row in range(rows[part] - 1, rows[other], -1):
                bend = f"{BEND}{part} {other} {row}"
                rows[bend] = row
                drawn[upper].add(bend)
                drawn[bend] = set()
                upper = bend
            drawn[upper].add(other)
    return drawn, rows


def places(graph: Graph, rows: dict[str, int]) -> dict[str, tuple[float, float]]:
    """The middle and the width of each box; boxes stand near what they are built on."""
    found: dict[str, tuple[float, float]] = {}
    for number in range(max(rows.values()) + 1):
        parts = [part for part in graph if rows[part] == number]
        if number:

            def wish(part: str) -> float:
                below = [found[other][0] for other in sorted(graph[part])]
                # Rounded, as sum() is another one since CPython 3.12 and equal wishes must stay so.
                return round(math.fsum(below) / len(below), 6) if below else WIDTH / 2

            parts.sort(key=wish)
        widths = [
            0 if part.startswith(BEND) else max(len(part) * CHARACTER + 18, 60) for part in parts
        ]
        space = (WIDTH - 40 - math.fsum(widths)) / (len(parts) + 1)
        at = 20 + space
        for part, width in zip(parts, widths, strict=True):
            found[part] = (at + width / 2, width)
            at += width + space
    return found


def draw(file: Path) -> str:
    """The picture in the colors of this one of the THEMES."""
    shapes: list[str] = []
    top = 8.0
    for folder, (title, text) in BANDS.items():
        graph = house.parts(folder)
        rows = above(graph)
        lines, rows = with_bends(reduced(graph), rows)
        where = places(lines, rows)
        count = max(rows.values()) + 1
        height = 34 + count * ROW - (ROW - BOX) + GAP
        shapes.append(
            f'<rect class="band" x="4" y="{top:g}" width="{WIDTH - 8}" height="{height:g}" rx="8"/>'
            f'<text class="title" x="16" y="{top + 21:g}">{escape(title)}'
            f'<tspan class="remark">   {escape(text)}</tspan></text>'
        )

        ys = {part: top + 34 + (count - 1 - row) * ROW for part, row in rows.items()}

        for part in sorted(lines):
            if part.startswith(BEND):
                middle, begin = where[part][0], ys[part]
                shapes.append(f'<path d="M{middle:.1f} {begin:g}v{BOX}"/>')
            for other in sorted(lines[part]):
                x1, y1 = where[part][0], ys[part] + BOX
                x2, y2 = where[other][0], ys[other]
                bend = (y2 - y1) / 2
                shapes.append(
                    f'<path d="M{x1:.1f} {y1:g}C{x1:.1f} {y1 + bend:g} {x2:.1f} {y2 - bend:g} '
                    f'{x2:.1f} {y2:g}"/>'
                )
        for part in sorted(graph):
            middle, width = where[part]
            kind = folder.partition("/")[0]
            if f"{folder}/{part}" in house.SEEN_BY_BINDING:
                kind = "seen"
            shapes.append(
                f'<rect x="{middle - width / 2:.1f}" y="{ys[part]:g}" width="{width:g}" '
                f'height="{BOX}" rx="4" class="{kind}"/>'
                f'<text x="{middle:.1f}" y="{ys[part] + 18.5:g}" text-anchor="middle">'
                f"{escape(part)}</text>"
            )
        top += height + GAP
    ground, band, ink, remark, edge = THEMES[file][0]
    style = (
        f"text{{font:12px ui-monospace,monospace;fill:{ink}}}"
        ".title{font:bold 14px system-ui,sans-serif}"
        f".remark{{font:13px system-ui,sans-serif;fill:{remark}}}"
        f".band{{fill:{band};stroke:{edge}}}path{{fill:none;stroke:{edge};stroke-width:1.1}}"
    )
    for kind, (fill, border) in THEMES[file][1].items():
        style += f".{kind}{{fill:{fill};stroke:{border}}}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:g}" '
            f'width="{WIDTH}" height="{top:g}">',
            f"<style>{style}</style>",
            f'<rect width="{WIDTH}" height="{top:g}" fill="{ground}"/>',
            *shapes,
            "</svg>\n",
        ]
    )


# ---- the list ----------------------------------------------------------------------------------


def opening(file: Path) -> list[str]:
    """The paragraphs of the comment that a C file opens with, but for its name."""
    comment = re.match(r"/\*(.*?)\*/", file.read_text(), re.DOTALL)
    assert comment, file
    lines = [re.sub(r"^ ?\* ?", "", line) for line in comment[1].split("\n")[1:]]
    return re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))


def sentence(text: str) -> str:
    found = re.match(r"(.*?[.?!])(?:\s|$)", " ".join(text.split()))
    return found[1] if found else " ".join(text.split())


def of_c(file: Path) -> str:
    first, *others = opening(file)
    if not first.startswith("In Python this file would be"):
        return re.sub(r":$", ".", sentence(first))
    kind = re.search(r"class (\w+)", others[0])
    assert kind, file
    calls = list(dict.fromkeys(re.findall(r"def (\w+)", others[0])))
    named = ", ".join(f"`{call}`" for call in calls[:6])
    return f"The class `{kind[1]}`: {named}{' and more' if len(calls) > 6 else ''}."


def of_python(file: Path) -> str:
    return sentence(file.read_text().split('"""')[1].split("\n\n")[0])


def rows_of(folder: str) -> list[tuple[str, str]]:
    """(files, what they are for): what has a header is told by the header."""
    if folder == "sharedmap":
        files = sorted((house.SOURCES / folder).rglob("*.py"))
        return [(str(file.relative_to(house.SOURCES / folder)), of_python(file)) for file in files]
    found: dict[str, list[Path]] = {}
    for file in house.c_files(folder):
        if not file.stem.endswith("_doc"):
            found.setdefault(file.stem, []).append(file)
    rows = []
    for stem, files in found.items():
        # The header comes last by its name, and tells what both are for.
        suffix = ".[ch]" if len(files) == 2 else files[0].suffix
        rows.append((stem + suffix, of_c(files[-1])))
    return rows


def listing() -> str:
    parts = []
    for folder, (title, text) in BANDS.items():
        parts += [f"### {title}: {text}\n", "| file | |", "|---|---|"]
        cells = [(name, text.replace("|", "\\|")) for name, text in rows_of(folder)]
        parts += [f"| `{name}` | {text} |" for name, text in cells] + [""]
    return "\n".join(parts)


def page() -> str:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{listing()}\n{END}{after}"


if __name__ == "__main__":
    for picture in THEMES:
        picture.write_text(draw(picture))
    PAGE.write_text(page())
