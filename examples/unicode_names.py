"""Every character name of Unicode in one map that several processes read.

    python examples/unicode_names.py [--workers N]

The same entries, name -> character and code point, are published twice: as a shared map, and
as a pickled dict in a file that lies in shared memory, too. Each time newly started processes
open what was published, look a name up and then read every entry. The table at the end says
how long opening took and how much memory each process gained by it.

Memory is PSS, the kernel's fair count: a process is charged for its private pages, and for a
page that n processes share with one n-th of it.
"""

import argparse
import contextlib
import io
import json
import os
import pickle
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

import sharedmap

Job = tuple[str, str, str]  # the way, where to find it, the question
Report = dict[str, Any]  # what a worker says, as JSON
Row = tuple[str, str, str, str, str]
Worker = subprocess.Popen[bytes]

# Each worker looks one of them up.
QUESTIONS = (
    "SNOWMAN",
    "EURO SIGN",
    "GREEK SMALL LETTER OMEGA",
    "CJK UNIFIED IDEOGRAPH-7EA2",
    "BLACK CHESS KNIGHT",
    "HANGUL SYLLABLE HAN",
    "LATIN SMALL LETTER SHARP S",
    "INTEGRAL",
)


def character_name(character: str) -> str | None:
    name = unicodedata.name(character, None)
    # The database of Pythons before 3.12 knows these characters, but not their names, which the
    # standard derives from their numbers.
    is_tangut = "\U00017000" <= character < "\U00018d80"
    if name is None and is_tangut and unicodedata.category(character) == "Lo":
        name = f"TANGUT IDEOGRAPH-{ord(character):X}"
    return name


def character_names() -> dict[str, str]:
    names = {}
    for code_point in range(sys.maxunicode + 1):
        name = character_name(chr(code_point))
        if name is not None:
            names[name] = f"{chr(code_point)} U+{code_point:04X}"
    return names


# ---- two ways to publish a dict, and to open what was published -------------------------------


@contextlib.contextmanager
def publish_shared_map(names: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    with timed("built, one entry at a time,"):
        tree = sharedmap.rbtree()
        for key, value in names.items():
            tree[key] = value
    where = f"unicode-names-{os.getpid()}-{time.time_ns():x}"
    try:
        with timed("published"):
            tree.share(where)
        yield where, len(tree.dump())
    finally:
        sharedmap.rbtree.remove(where)


def open_shared_map(where: str) -> Mapping[str, str]:
    return sharedmap.sharedmap(where)


@contextlib.contextmanager
def publish_pickled_dict(names: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    with tempfile.TemporaryDirectory(prefix="unicode-names-", dir="/dev/shm") as folder:
        where = os.path.join(folder, "names.pickle")
        with timed("pickled and written"), open(where, "wb") as file:
            pickle.dump(names, file, pickle.HIGHEST_PROTOCOL)
        yield where, os.path.getsize(where)


def open_pickled_dict(where: str) -> Mapping[str, str]:
    with open(where, "rb") as file:
        names: dict[str, str] = pickle.load(file)
    return names


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"  {what} in {1000 * (time.perf_counter() - start):,.1f} ms")


WAYS = {
    "shared map": (publish_shared_map, open_shared_map),
    "pickled dict": (publish_pickled_dict, open_pickled_dict),
}


# ---- a worker -----------------------------------------------------------------------------------


def read(way: str, where: str, question: str) -> Iterator[Report]:
    """What a worker does. It stops at each yield until all the others have come as far."""
    yield {"memory before": pss()}

    start = time.perf_counter()
    entries = WAYS[way][1](where)
    yield {"seconds to open": time.perf_counter() - start, "answer": entries[question]}
    yield {"memory after one": pss()}

    characters = sum(len(name) + len(entries[name]) for name in entries)
    yield {"entries": len(entries), "characters": characters}
    yield {"memory after all": pss()}


def worker(way: str, where: str, question: str) -> None:
    """Takes one step for each line that it is sent, and ends when no more can come."""
    for _, report in zip(sys.stdin, read(way, where, question), strict=False):
        print(json.dumps(report), flush=True)


def pss() -> int:
    """The bytes of memory that are this process's fair share."""
    with open("/proc/self/smaps_rollup") as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


# ---- the main process ---------------------------------------------------------------------------


@contextlib.contextmanager
def started(jobs: Iterable[Job]) -> Iterator[list[Worker]]:
    """New interpreters, which inherit nothing; in a session of their own they hear no Ctrl-C."""
    command = [sys.executable, __file__, "worker"]
    processes = []
    try:
        for job in jobs:
            processes.append(
                subprocess.Popen(
                    [*command, *job],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    bufsize=0,
                    start_new_session=True,
                )
            )
        yield processes
    finally:
        for process in processes:
            assert process.stdin
            process.stdin.close()
        for process in processes:
            process.wait()
            assert process.stdout
            process.stdout.close()


def run_together(jobs: Sequence[Job]) -> list[Report]:
    """Lets one worker for each job take its first step, then each its second, and so on.

    Gives the reports of each worker, put together.
    """
    reports: list[Report] = [{} for _ in jobs]
    with started(jobs) as processes:
        while "memory after all" not in reports[-1]:
            for process, report in zip(processes, reports, strict=True):
                assert process.stdin
                assert process.stdout
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(b"\n")
                line = process.stdout.readline()
                if not line:
                    sys.exit(f"worker process {process.pid} has died")
                report["process"] = process.pid
                report.update(json.loads(line))
    return reports


def compare(way: str, names: Mapping[str, str], workers: int) -> Row:
    """Publishes the names in one way, has them read, and gives a row of the table."""
    print(f"\n{way}")
    with WAYS[way][0](names) as (where, size):
        questions = [QUESTIONS[number % len(QUESTIONS)] for number in range(workers)]
        reports = run_together([(way, where, question) for question in questions])

    characters = sum(len(name) + len(names[name]) for name in names)
    for question, report in zip(questions, reports, strict=True):
        if (report["entries"], report["characters"]) != (len(names), characters):
            sys.exit(f"{way}: the workers did not read what was published")
        print(
            f"  process {report['process']} opened it in {microseconds(report)},"
            f" gained {gained(report, 'memory after all')}; {question} is {report['answer']}"
        )

    middle = {
        key: statistics.median(report[key] for report in reports)
        for key in ("seconds to open", "memory before", "memory after one", "memory after all")
    }
    return (
        way,
        mebibytes(size),
        microseconds(middle),
        gained(middle, "memory after one"),
        gained(middle, "memory after all"),
    )


def microseconds(report: Report) -> str:
    return f"{1e6 * report['seconds to open']:,.0f} µs"


def gained(report: Report, when: str) -> str:
    return mebibytes(report[when] - report["memory before"])


def mebibytes(size: float) -> str:
    return f"{size / 2**20:.2f} MiB"


def print_table(rows: Sequence[Row]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for title, *cells in rows:
        cells = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        print("  ".join([title.ljust(widths[0]), *cells]))


def main() -> None:
    parser = argparse.ArgumentParser(description="Share all character names with some processes.")
    parser.add_argument("--workers", type=int, default=4, metavar="N", help="4 unless given")
    workers = parser.parse_args().workers
    if workers < 1:
        parser.error("at least one worker is needed")

    names = character_names()
    print(f"{len(names):,} character names of Unicode {unicodedata.unidata_version}")
    rows = [compare(way, names, workers) for way in WAYS]
    print(f"\nThe middle one of {workers} workers, all alive at once; memory is the PSS gained:\n")
    print_table([("", "published", "to open", "after 1 look-up", "after reading all"), *rows])


def stop(signal_number: int, frame: FrameType | None) -> None:
    """Turns the first signal into an exit that cleans up; further ones can not disturb that."""
    catch_signals(signal.SIG_IGN)
    print("\nstopped; cleaning up", file=sys.stderr)
    sys.exit(128 + signal_number)


def catch_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(*sys.argv[2:])
    else:
        catch_signals(stop)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        main()
