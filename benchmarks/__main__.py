"""Measures sharedmap beside its peers and writes what was found into a folder.

    python -m benchmarks                        the short form, some 25 minutes
    python -m benchmarks --full                 10 M entries and more repeats as well
    python -m benchmarks --only sharedmap,tinycdb --datasets users --sizes 1k,1M --operations hit

The dict always takes part: it is the measure. What is not there is listed with the reason.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import datasets, machine, plots, readme, report
from .contenders import READERS
from .process import ROOT
from .results import BUILDERS, Results, size_title
from .run import Plan, Round

PLACE = ROOT / "docs" / "benchmarks"
SHORT_SIZES = "1k,100k,1M"
FULL = Plan(repeats=11, opens=5, publishes=5, publish_limit=20.0, slow_limit=10.0, pss_all=True)
GROUPS = [
    "hit",
    "newest",
    "miss",
    "many",
    "hot-same",
    "hot-fresh",
    "scan",
    "prefix",
    "open",
    "publish",
    "insert",
    "size",
    "pss",
    "throughput",
]


def size(text: str) -> int:
    factor = {"k": 1_000, "m": 1_000_000}.get(text[-1:].lower(), 1)
    number = int(float(text.rstrip("kKmM")) * factor)
    if number < 1000:
        raise argparse.ArgumentTypeError("at least 1k")
    return number


def listed(kind: type | None = None, known: list[str] | None = None):  # type: ignore[no-untyped-def]
    """An argparse type for a list with commas."""

    def parse(text: str) -> list:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        for part in parts:
            if known is not None and part not in known:
                raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(known)}")
        return [kind(part) for part in parts] if kind else parts

    return parse


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--sizes", type=listed(size), help=f"entries, like {SHORT_SIZES}", metavar="N,…")
    add("--datasets", type=listed(known=list(datasets.TITLES)), default=list(datasets.TITLES))
    add("--only", type=listed(known=[*READERS, *BUILDERS]), help="libraries besides the dict")
    add("--operations", type=listed(known=GROUPS), default=GROUPS, help=", ".join(GROUPS))
    add("--repeats", type=int, help=f"{Plan.repeats}, with --full {FULL.repeats}")
    add("--full", action="store_true", help="also 10M, more repeats; takes hours")
    add("--merge", action="store_true", help="keep what the output folder has from earlier runs")
    add("--plots", action="store_true", help="measure nothing; draw what was measured before")
    add("--output", type=Path, default=PLACE, metavar="FOLDER")
    return parser.parse_args()


def take_part(only: list[str] | None, results: Results) -> list[str]:
    """The readers that can take part; the others are noted with the reason."""
    names = []
    for name, contender in READERS.items():
        if only is not None and name not in only and name != "dict":
            continue
        try:
            reason = contender.missing()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        if reason:
            results.miss(name, reason)
        else:
            names.append(name)
    return names


def without_output(words: list[str]) -> list[str]:
    """The command line as it can be repeated elsewhere."""
    kept = [word for word in words if not word.startswith("--output=")]
    if "--output" in kept:
        at = kept.index("--output")
        del kept[at : at + 2]
    return kept


def workspace() -> Path:
    """A folder in shared memory, so that no disk is measured."""
    parent = "/dev/shm" if Path("/dev/shm").is_dir() else None
    return Path(tempfile.mkdtemp(prefix="sharedmap-bench-", dir=parent))


def one_round(
    data: datasets.Data,
    names: list[str],
    folder: Path,
    plan: Plan,
    options: argparse.Namespace,
    results: Results,
    is_first: bool,
) -> None:
    """Everything for one data set and size."""
    started = time.perf_counter()

    def say(text: str) -> None:
        clock = time.perf_counter() - started
        print(f"{data.name} {data.size:>9,} {clock:6.1f} s  {text}", flush=True)

    present = []
    where = f"{data.name} {size_title(data.size)}"
    for name in names:
        if data.size > READERS[name].largest:
            results.miss(name, READERS[name].why_largest, where)
        elif data.size >= 1_000_000 and not (READERS[name].quick or is_first or options.full):
            results.miss(name, "the short form has this size with the first data set only", where)
        else:
            present.append(name)
    wanted = set(options.operations)
    is_largest = data.size == max(n for n in options.sizes if n <= max(1_000_000, options.sizes[0]))
    turn = Round(data, folder, plan, wanted, results, is_largest, say)
    try:
        wants_builders = options.only is None or not set(BUILDERS).isdisjoint(options.only)
        if "insert" in wanted and wants_builders:
            say("building")
            turn.build()
        say("publishing")
        turn.publish(present)
        if "open" in wanted:
            say("opening")
            turn.open_to_first_value()
        if wanted - {"open", "publish", "insert", "size", "pss"}:
            say("reading")
            turn.open()
            turn.read()
            turn.close_readers()
        if "pss" in wanted and is_largest:
            say("memory")
            all_of_them = is_first or plan.pss_all
            ours = {"dict", "sharedmap", "sharedmap-huge", "sharedmap-tree"}
            for name in set(turn.readers) - ours if not all_of_them else ():
                reason = "the short form has the memory of all with the first data set only"
                results.miss(name, reason, f"{where}, memory")
            turn.memory([name for name in turn.readers if all_of_them or name in ours])
    finally:
        turn.end()
        shutil.rmtree(folder, ignore_errors=True)
    say("done")


def main() -> None:
    options = arguments()
    if options.plots:
        plots.draw(Results.load(options.output / "results.json"), options.output)
        return
    plan = FULL if options.full else Plan()
    if options.repeats:
        plan = Plan(**{**vars(plan), "repeats": options.repeats})
    if options.sizes is None:
        options.sizes = [size(text) for text in SHORT_SIZES.split(",")]
        options.sizes += [10_000_000] if options.full else []
    options.sizes.sort()
    old = options.output / "results.json"
    results = Results.load(old) if options.merge and old.exists() else Results()
    results.forget_missing(options.datasets, options.sizes)
    names = take_part(options.only, results)
    command = " ".join(["python -m benchmarks", *without_output(sys.argv[1:])])
    facts = machine.describe(command, names) | {"repeats": plan.repeats}
    results.runs.append(facts)
    started = time.perf_counter()
    top = workspace()
    try:
        for dataset in options.datasets:
            for number, count in enumerate(options.sizes):
                data = datasets.make(dataset, count)
                if data is None:
                    continue
                folder = top / f"{dataset}{number}"
                is_first = dataset == options.datasets[0]
                one_round(data, names, folder, plan, options, results, is_first)
                del data
    finally:
        shutil.rmtree(top, ignore_errors=True)
        facts["seconds"] = round(time.perf_counter() - started)
        facts["load after"] = machine.load()
        report.write(results, options.output)
        if options.output.resolve() == PLACE:
            readme.write(results, ROOT)
        print(f"written to {options.output}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
