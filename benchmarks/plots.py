"""Results as SVG."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter

from .results import FACTORS, OPERATIONS, TITLES, Key, Results, size_title

STYLE = {
    "svg.fonttype": "none",  # text stays text: smaller, and readers can search it
    "svg.hashsalt": "sharedmap",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
}
COLORS = {
    name: pyplot.get_cmap("tab20")(index % 20)
    for index, name in enumerate(name for name in TITLES if name != "dict")
}
COLORS["dict"] = "black"
RATIOS = ("hit", "miss", "many", "hot-same", "scan")
HIGHEST = 30  # servers take hundreds of times as long; they would flatten all other lines
BARS = ("publish", "insert", "overhead", "pss", "rate-2", "open")


def draw(results: Results, folder: Path) -> dict[str, str]:
    """Draws what there is; gives file names and titles."""
    pictures = {}
    with pyplot.rc_context(STYLE):
        for operation in RATIOS:
            if figure := ratios(results, operation):
                title = f"{OPERATIONS[operation].title}: ratio to the dict"
                pictures[save(figure, folder, operation)] = title
        for operation in BARS:
            if figure := bars(results, operation):
                about = OPERATIONS[operation]
                pictures[save(figure, folder, operation)] = f"{about.title}, {about.unit}"
    return pictures


def save(figure: Any, folder: Path, operation: str) -> str:
    name = f"{operation}.svg"
    figure.savefig(folder / name, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    pyplot.close(figure)
    text = folder.joinpath(name).read_text("utf-8")
    lines = [line.rstrip() for line in text.splitlines()]
    folder.joinpath(name).write_text("\n".join(lines) + "\n", "utf-8")
    return name


def ratios(results: Results, operation: str) -> Any:
    """Ratio to the dict by size, one panel for each data set, two beside each other."""
    lines: dict[str, dict[str, dict[int, float]]] = {}
    for key in results.series:
        if key.operation == operation and key.contender != "dict":
            ratio = results.ratio(key)
            if ratio is not None:
                lines.setdefault(key.dataset, {}).setdefault(key.contender, {})[key.size] = ratio
    if not lines:
        return None
    panels = sorted(lines)
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = pyplot.subplots(
        rows, columns, figsize=(4 * columns, 2.9 * rows + 0.9), sharey=True, squeeze=False
    )
    axes = grid.ravel()
    for axis in axes[len(panels) :]:
        axis.remove()
    axes = axes[: len(panels)]
    for axis, dataset in zip(axes, panels, strict=True):
        axis.axhline(1, color="black", linewidth=1)
        for name in TITLES:
            if points := lines[dataset].get(name):
                sizes = sorted(points)
                width = 2.2 if name.startswith("sharedmap") else 1.1
                axis.plot(
                    sizes,
                    [points[size] for size in sizes],
                    marker="o",
                    markersize=3.5,
                    linewidth=width,
                    color=COLORS[name],
                    label=TITLES[name],
                )
        sizes = sorted({size for points in lines[dataset].values() for size in points})
        axis.set(xscale="log", yscale="log", title=dataset)
        axis.set_xticks(sizes, [size_title(size) for size in sizes])
        axis.minorticks_off()
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    lowest = min(min(points.values()) for panel in lines.values() for points in panel.values())
    axes[0].set_ylim(min(0.5, lowest) / 1.3, HIGHEST)
    for row in grid:
        row[0].set_ylabel("ratio to dict; below 1 is faster")
    handles = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3
    )
    figure.suptitle(f"{OPERATIONS[operation].title} (above {HIGHEST}: see the tables)")
    figure.tight_layout()
    return figure


def bars(results: Results, operation: str) -> Any:
    """Each contender at the largest size that most have been measured at, by data set."""
    about = OPERATIONS[operation]
    keys = [key for key in results.series if key.operation == operation]
    keys = [key for key in keys if key.size <= 1_000_000]
    if not keys:
        return None
    size = max(key.size for key in keys)
    keys = [key for key in keys if key.size == size]
    names = [name for name in TITLES if any(key.contender == name for key in keys)]
    datasets = sorted({key.dataset for key in keys})
    medians = {key: FACTORS[about.unit] * results.series[key].quartiles()[1] for key in keys}
    low, high = min(medians.values()), max(medians.values())
    is_wide = low > 0 and high > 30 * low  # on a logarithmic axis a bar's length means nothing
    figure, axis = pyplot.subplots(figsize=(8, 0.6 + 0.36 * len(names)))
    height = 0.8 / len(datasets)
    for number, dataset in enumerate(datasets):
        for row, name in enumerate(names):
            value = medians.get(Key(name, dataset, size, operation))
            if value is None:
                continue
            shade = ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd")[number % 4]
            label = dataset if dataset not in axis.get_legend_handles_labels()[1] else None
            place = row + (number + 0.5) * height - 0.4
            if is_wide:
                axis.plot(value, place, "o", markersize=4, color=shade, label=label)
            else:
                axis.barh(place, value, height, color=shade, label=label)
    axis.set_yticks(range(len(names)), [TITLES[name] for name in names])
    axis.invert_yaxis()
    if is_wide:
        axis.set_xscale("log")
    # 1,000,000 and not 1e+06.
    axis.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.0f}" if abs(value) >= 1 else f"{value:g}")
    )
    axis.set_xlabel(f"{about.unit}; {about.better} is better")
    axis.set_title(f"{about.title}, {size_title(size)} entries")
    handles, labels = axis.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    if len(unique) > 1:
        figure.legend(
            unique.values(), unique.keys(), loc="upper center", bbox_to_anchor=(0.5, 0), ncols=4
        )
        figure.tight_layout()
    return figure
