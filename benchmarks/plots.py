"""Results as SVG, each plot twice: NAME.svg for a light page, NAME-dark.svg for a dark one.

A plot has at most five lines, and what a line or a bar means is written beside it: no legends.
It shows one data set; the tables have the others.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter

from .results import FACTORS, OPERATIONS, TITLES, Key, Results, size_title


@dataclass(frozen=True)
class Theme:
    suffix: str
    text: str
    grid: str
    bar: str
    ours: str
    reference: str  # the dict
    others: tuple[str, ...]

    def color(self, name: str) -> str:
        """The same for a library in every plot."""
        if name.startswith("sharedmap"):
            return self.ours
        return self.others[OTHERS[name]]

    @property
    def style(self) -> dict[str, Any]:
        return {
            "svg.fonttype": "none",  # text stays text: smaller, and readers can search it
            "svg.hashsalt": "sharedmap",
            "font.size": 10,
            "font.family": "sans-serif",
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.grid": True,
            "grid.color": self.grid,
            "text.color": self.text,
            "axes.labelcolor": self.text,
            "axes.edgecolor": self.grid,
            "xtick.color": self.text,
            "ytick.color": self.text,
            "axes.facecolor": "none",
            "figure.facecolor": "none",
            "savefig.facecolor": "none",
        }


LIGHT = Theme(
    "",
    "#24292f",
    "#d8dee4",
    "#c3cad2",
    "#0a58ca",
    "#57606a",
    ("#b35900", "#1a7f37", "#8250df", "#9a6700"),
)
DARK = Theme(
    "-dark",
    "#e6edf3",
    "#3d444d",
    "#656c76",
    "#79b8ff",
    "#b1bac4",
    ("#ffa657", "#7ee787", "#d2a8ff", "#e3b341"),
)
THEMES = (LIGHT, DARK)

DATASET = "users"
# Of each plot; with one dict these are five lines. What was not measured makes room for the next.
LINES = ("sharedmap", "cdbx", "lmdb", "ultradict2", "sqlite3", "tinycdb", "ultradict")
OTHERS = {"cdbx": 0, "tinycdb": 0, "lmdb": 1, "ultradict2": 2, "ultradict": 2}
OTHERS |= {"sqlite3": 3, "mdbx": 3}
NEWEST = ("sharedmap-follow", "lmdb", "mdbx", "ultradict2")
BARS = ("sharedmap", "cdbx", "tinycdb", "dict", "lmdb", "mdbx", "marisa-trie", "sqlite3")
BARS += ("ultradict2", "ultradict")
BUILDERS = ("rbtree", "dict", "SortedDict")
OVERVIEW = ("sharedmap", "cdbx", "tinycdb", "dict", "lmdb", "ultradict2", "ultradict", "sqlite3")
# Of these the first that was measured stands for both.
ALIKE = (("cdbx", "tinycdb"), ("ultradict2", "ultradict"))
SHORT = {
    "sharedmap": "sharedmap",
    "sharedmap-follow": "sharedmap, follow=True",
    "dict": "dict in each process",
    "cdbx": "cdb (cdbx)",
    "tinycdb": "cdb (tinycdb)",
    "lmdb": "LMDB (py-lmdb)",
    "mdbx": "MDBX (clibmdbx)",
    "marisa-trie": "marisa-trie",
    "sqlite3": "SQLite (sqlite3)",
    "ultradict": "UltraDict",
    "ultradict2": "UltraDict2",
}
RATIOS = ("hit", "newest", "miss", "many", "hot-same", "scan")
MEDIANS = ("publish", "insert", "overhead", "pss", "rate-2", "open")
Draw = Callable[[Theme], Any]


def draw(results: Results, folder: Path) -> dict[str, str]:
    """Draws what there is; gives file names and titles."""
    pictures = {}
    plots: list[tuple[str, str, Draw]] = []
    for operation in RATIOS:
        title = f"{OPERATIONS[operation].title}: ratio to the dict"
        plots.append((operation, title, lambda theme, o=operation: ratios(results, o, theme)))
    for operation in MEDIANS:
        about = OPERATIONS[operation]
        title = f"{about.title}, {about.unit}"
        plots.append((operation, title, lambda theme, o=operation: bars(results, o, theme)))
    plots.append(("overview", "", lambda theme: overview(results, theme)))
    for name, title, function in plots:
        if save(function, folder, name) and title:
            pictures[f"{name}.svg"] = title
    return pictures


def save(function: Draw, folder: Path, name: str) -> bool:
    """Draws a plot in both themes; False if there is nothing to draw."""
    for theme in THEMES:
        with pyplot.rc_context(theme.style):
            figure = function(theme)
            if figure is None:
                return False
            path = folder / f"{name}{theme.suffix}.svg"
            figure.savefig(path, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
            pyplot.close(figure)
        lines = [line.rstrip() for line in path.read_text("utf-8").splitlines()]
        path.write_text("\n".join(lines) + "\n", "utf-8")
    return True


def present(names: Iterable[str], found: Iterable[str], most: int = 99) -> list[str]:
    """Those of the names that were measured, one of those that are alike."""
    have = [name for name in names if name in {*found}]
    for first, second in ALIKE:
        if first in have and second in have:
            have.remove(second)
    return have[:most]


def label_ends(axis: Any, lines: list[tuple[float, float, str, str]]) -> None:
    """Writes (x, y, text, color) to the right of each line's end, one line of text apart."""
    axis.figure.canvas.draw()
    height = 1.45 * pyplot.rcParams["font.size"] * axis.figure.dpi / 72
    lowest = float("-inf")
    for x, y, text, color in sorted(lines, key=lambda line: line[1]):
        across, up = axis.transData.transform((x, y))
        up = lowest = max(up, lowest + height)
        where = axis.transData.inverted().transform((across, up))
        axis.annotate(
            text,
            tuple(where),
            xytext=(8, 0),
            textcoords="offset points",
            color=color,
            va="center",
            annotation_clip=False,
        )


def plain(value: float, _: Any = None) -> str:
    """1,000,000 and not 1e+06."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


# ---- the plots ----------------------------------------------------------------------------------


def ratios(results: Results, operation: str, theme: Theme) -> Any:
    """Ratio to the dict by size."""
    points: dict[str, dict[int, float]] = {}
    for key in results.series:
        if (key.operation, key.dataset) == (operation, DATASET) and key.contender != "dict":
            ratio = results.ratio(key)
            if ratio is not None:
                points.setdefault(key.contender, {})[key.size] = ratio
    names = present(NEWEST if operation == "newest" else LINES, points, 4)
    if not names:
        return None
    figure, axis = pyplot.subplots(figsize=(6.4, 3.6))
    sizes = sorted({size for name in names for size in points[name]})
    axis.axhline(1, color=theme.reference, linewidth=1.2)
    ends = []
    for name in names:
        is_ours = name.startswith("sharedmap")
        color = theme.color(name)
        own = sorted(points[name])
        values = [points[name][size] for size in own]
        axis.plot(own, values, "o-", markersize=4, linewidth=2.4 if is_ours else 1.3, color=color)
        ends.append((own[-1], values[-1], SHORT[name], color))
    axis.set(xscale="log", yscale="log")
    axis.set_xlabel(f"entries ({DATASET})")
    axis.set_xticks(sizes, [size_title(size) for size in sizes])
    axis.minorticks_off()
    low = min(1.0, *(min(points[name].values()) for name in names))
    high = max(1.0, *(max(points[name].values()) for name in names))
    axis.set_ylim(low / 1.4, high * 1.4)
    steps = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
    axis.set_yticks([step for step in steps if low / 1.4 <= step <= high * 1.4])
    axis.yaxis.set_major_formatter(FuncFormatter(plain))
    axis.set_ylabel("time / dict; less is better")
    axis.set_title(OPERATIONS[operation].title)
    ends.append((axis.get_xlim()[1], 1.0, SHORT["dict"], theme.reference))
    label_ends(axis, ends)
    return figure


def bars(results: Results, operation: str, theme: Theme) -> Any:
    """Medians at the largest size up to a million."""
    about = OPERATIONS[operation]
    keys = [
        key
        for key in results.series
        if (key.operation, key.dataset) == (operation, DATASET) and key.size <= 1_000_000
    ]
    if not keys:
        return None
    size = max(key.size for key in keys)
    names = present(
        BUILDERS if operation == "insert" else BARS,
        [key.contender for key in keys if key.size == size],
    )
    values = {
        name: FACTORS[about.unit]
        * results.series[Key(name, DATASET, size, operation)].quartiles()[1]
        for name in names
    }
    figure, axis = pyplot.subplots(figsize=(6.4, 0.9 + 0.32 * len(names)))
    bar_rows(axis, values, theme)
    axis.set_title(f"{about.title}, {about.unit} ({about.better} is better)")
    axis.set_xlabel(f"{size_title(size)} entries ({DATASET})")
    return figure


def bar_rows(axis: Any, values: dict[str, float], theme: Theme) -> None:
    """A bar for each name with its figure behind it."""
    names = list(values)
    widths = list(values.values())
    low, high = min(widths), max(widths)
    is_wide = low > 0 and high > 100 * low  # on a logarithmic axis a bar's length means nothing
    colors = [theme.ours if name in ("sharedmap", "rbtree") else theme.bar for name in names]
    if is_wide:
        marks = [theme.ours if color == theme.ours else theme.reference for color in colors]
        axis.scatter(widths, range(len(names)), s=30, color=marks, zorder=3)
        axis.set_xscale("log")
    else:
        axis.barh(range(len(names)), widths, 0.68, color=colors)
        axis.set_xlim(min(0, 1.25 * low), 1.16 * high)
    for row, value in enumerate(widths):
        text = f"{value:,.0f}" if abs(value) >= 20 else f"{value:.2g}"
        axis.annotate(
            text, (max(0.0, value), row), xytext=(6, 0), textcoords="offset points", va="center"
        )
    axis.set_yticks(range(len(names)), [SHORT.get(name, TITLES[name]) for name in names])
    axis.tick_params(axis="y", length=0)
    axis.grid(False, axis="y")
    axis.minorticks_off()
    axis.invert_yaxis()
    axis.xaxis.set_major_formatter(FuncFormatter(plain))


def overview(results: Results, theme: Theme) -> Any:
    """The picture of the start page: one lookup, and the memory of all readers."""
    panels = {"hit": "One lookup, ns", "pss": "Memory of 8 readers, MiB"}
    found = {
        operation: {
            key.contender: FACTORS[OPERATIONS[operation].unit] * series.quartiles()[1]
            for key, series in results.series.items()
            if (key.dataset, key.size, key.operation) == (DATASET, 1_000_000, operation)
        }
        for operation in panels
    }
    names = present(OVERVIEW, found["hit"].keys() & found["pss"].keys())
    if not names:
        return None
    figure, axes = pyplot.subplots(1, 2, figsize=(6.8, 0.9 + 0.32 * len(names)), sharey=True)
    for axis, (operation, title) in zip(axes, panels.items(), strict=True):
        bar_rows(axis, {name: found[operation][name] for name in names}, theme)
        axis.set_title(title)
        axis.set_xticks([])
        axis.spines["bottom"].set_visible(False)
        axis.invert_yaxis() if operation == "pss" else None
    figure.supxlabel("a million entries of 46 bytes; less is better", fontsize=9)
    figure.tight_layout()
    return figure
