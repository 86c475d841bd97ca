"""How it is tested: runs the tools, and writes what they counted into docs/tested.json.

    python tests/tested.py                     every kind of test; a day
    python tests/tested.py kills fuzz          these kinds
    python tests/tested.py --short kills       their short form, which `make test` runs
    python tests/tested.py --page              runs nothing; writes docs/testing.md again

A number on the page is one that a run printed, with the command of that run. A run that fails
writes nothing. To be started from the root of the repository, after `make test`.
"""

import argparse
import json
import re
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
RESULTS = TOP / "docs" / "tested.json"
PAGE = TOP / "docs" / "testing.md"
BEGIN, END = "<!-- tested -->\n\n", "\n<!-- /tested -->\n"


@dataclass(frozen=True)
class Kind:
    title: str
    text: str  # with the names of numbers in braces
    command: str
    numbers: dict[str, str]  # name: what is in front of and behind it; all matches are added up
    short: str = ""


REPUBLISH = "python tests/faults/republish.py --entries 10000"
PYTEST = {"tests": r"(\d+) passed"}
KINDS = {
    "tests": Kind(
        "Unit, property and example tests",
        "{tests} tests of the installed package and of every code block in these pages, with "
        "real processes and real files in `/dev/shm`. The property tests compare maps and trees "
        "with a dict. The core has {programs} test programs of its own, in C.",
        "make test",
        PYTEST | {"programs": r"^build/core/test_\w+()$"},
    ),
    "coverage": Kind(
        "Branches of the core",
        "The C tests of the core take {taken} % of its {branches} branches. Each of the other "
        "{explained} has a comment that says why no test can take it; a new one without a "
        "comment fails the check.",
        "make coverage",
        {
            "branches": r"^ *(\d+) +[\d.]+ % +\d+ +all$",
            "taken": r"^ *\d+ +([\d.]+) % +\d+ +all$",
            "explained": r"^ *\d+ +[\d.]+ % +(\d+) +all$",
        },
    ),
    "kills": Kind(
        "Killed at every instruction",
        "The publisher, or a reader that opens a map, runs one machine instruction at a time and "
        "is killed after each of them, alone or beside a second process: {points} points, "
        "{failures} failures. A reader finds all of the old map or all of the new one, nothing "
        "is left behind, and the next publication succeeds.",
        "python tests/faults/build.py build/faults && "
        "build/faults/kill_everywhere --stride 1 --race-stride 17",
        {"points": r"^(\d+) points, \d+ failures", "failures": r"^\d+ points, (\d+) failures"},
        "python tests/faults/build.py build/faults && "
        "build/faults/kill_everywhere --stride 43 --race-stride 9973",
    ),
    "hammer": Kind(
        "Killed at random",
        "Publishers, updaters, removers and readers are killed {kills} times, {inside} times in "
        "the middle of an operation. No reader sees a mixture of versions or an older version "
        "after a newer one, and no update is lost.",
        "python tests/faults/hammer.py --kills 10000 && "
        "python tests/faults/hammer.py --kills 10000 --deltas",
        {"kills": r"^(\d+) kills", "inside": r"kills, (\d+) of them inside"},
        "python tests/faults/hammer.py --kills 1000 && "
        "python tests/faults/hammer.py --kills 1000 --deltas",
    ),
    "linearizability": Kind(
        "Linearizability",
        "{processes} processes publish, update, remove, read and follow while others are killed or "
        "stopped at random. A checker searches one order of operations that explains all "
        "{reads} reads and {updates} updates: {failures} failures.",
        "make linearizability",
        {
            "processes": r"rounds of (\d+) processes",
            "reads": r"(\d+) reads?\b",
            "updates": r"(\d+) updates?\b",
            "failures": r"processes, (\d+) failures",
        },
        "python tests/faults/linearizability.py --seconds 30 && "
        "python tests/faults/linearizability.py --seconds 30 --deltas",
    ),
    "stalls": Kind(
        "Stopped at every system call",
        "A process is stopped after each of its system calls while others work, then continues: "
        "{cases} cases, {failures} failures. Only publishers of the same map wait, and only "
        "as long as their timeout.",
        "python tests/faults/stalls.py",
        {"cases": r"^(\d+) \w+, \d+ failures, \d+ seconds", "failures": r"(\d+) failures, \d+ sec"},
    ),
    "republish": Kind(
        "Publishing as fast as possible",
        "One process publishes and updates {publications} times in a row; its readers read "
        "{reads} times. Every read belongs to exactly one version.",
        f"{REPUBLISH} --publications 100000 --readers 8 && "
        f"{REPUBLISH} --publications 100000 --readers 8 --updates",
        {"publications": r"^(\d+) publications of", "reads": r"(\d+) reads by"},
        f"{REPUBLISH} --publications 5000 --readers 2 && "
        f"{REPUBLISH} --publications 5000 --readers 2 --updates",
    ),
    "calls": Kind(
        "Failing system calls",
        "Each system call of each operation fails with each error that the kernel documents for "
        "it: {cases} cases, {failures} failures. The caller gets the right exception, and the "
        "name leads to the old map or the new one.",
        "python tests/faults/system_calls.py",
        {"cases": r"^(\d+) \w+, \d+ failures, \d+ seconds", "failures": r"(\d+) failures, \d+ sec"},
    ),
    "allocations": Kind(
        "Failing allocations",
        "Each allocation of {calls} calls fails, those of Python and those of the core: {errors} "
        "times in each round. The caller gets a `MemoryError`, and nothing has changed: "
        "{failures} failures.",
        "python tests/faults/allocations.py",
        {
            "calls": r"^(\d+) calls, \d+ MemoryErrors",
            "errors": r"calls, (\d+) MemoryErrors",
            "failures": r"each round, (\d+) failures",
        },
    ),
    "files": Kind(
        "Failing file systems",
        "A file system in user space answers late, fails or hangs at each of its requests: "
        "{cases} cases, {failures} failures.",
        "python tests/faults/failing_files.py",
        {"cases": r"^(\d+) \w+, \d+ failures, \d+ seconds", "failures": r"(\d+) failures, \d+ sec"},
    ),
    "hostile": Kind(
        "Damaged files",
        "Snapshots are damaged in {cases} ways, some with a valid checksum. {opened} of them can "
        "be opened and are read from end to end, with AddressSanitizer: no crash, no read outside "
        "of the file, no endless loop.",
        "python tests/hostile/build_hostile.py build/hostile && build/hostile/hostile",
        {"cases": r"^(\d+) cases, \d+ opened, \d+ verified, 0", "opened": r"^\d+ cases, (\d+) op"},
        "python tests/hostile/build_hostile.py build/hostile && build/hostile/hostile --stride 101",
    ),
    "writer": Kind(
        "A file that changes while it is read",
        "A hostile writer changes the bytes of a map under its readers during {lookups} lookups. "
        "Of {texts} strings that they returned, {corrupt} were not valid Unicode.",
        "python tests/hostile/writer.py",
        {
            "lookups": r"(\d+) lookups",
            "texts": r"(\d+) str checked",
            "corrupt": r"(\d+) corrupt",
        },
    ),
    "fuzz": Kind(
        "Fuzzing",
        "libFuzzer, with AddressSanitizer and UndefinedBehaviorSanitizer, on {targets} targets: "
        "reading a snapshot, applying deltas, publishing and decoding UTF-8. {executions} "
        "executions, no failure.",
        "make fuzz FUZZ_RUNS=50000000",
        {"targets": r"^fuzz_\w+: \d+ executions()", "executions": r"^fuzz_\w+: (\d+) executions"},
        "make fuzz FUZZ_SECONDS=60",
    ),
    "model": Kind(
        "Model checking",
        "A Spin model of the publish protocol and of versions explores {states} states in "
        "{scenarios} scenarios, with a kill at each step. It finds all of {mutants} mutants.",
        "make model",
        {
            "states": r": (\d+) states",
            "scenarios": r"(\d+) scenarios",
            "mutants": r"(\d+) mutants",
        },
    ),
    "power": Kind(
        "Power failures",
        "What `save()` asks of a disk is recorded. {states} states in which a power failure may "
        "leave the disk are opened again: the old file, the new file or no file, {wrong} wrong.",
        "make power-failure",
        {"states": r"(\d+) states", "wrong": r"states, (\d+) wrong"},
        "python tests/protocol/power_failure.py",
    ),
    "forks": Kind(
        "Forks",
        "Threads publish and read while their process forks {forks} times, beside {publications} "
        "publications. Each child can read and publish, and holds no file of its parent: "
        "{failures} failures.",
        "python tests/faults/forks.py",
        {
            "forks": r"^(\d+) forks",
            "publications": r"forks, (\d+) publications",
            "failures": r"publications, (\d+) failures",
        },
    ),
    "interpreters": Kind(
        "Subinterpreters",
        "{interpreters} interpreters open, read, publish and end. No object of one reaches "
        "another, and nothing is left open: {failures} failures.",
        "python tests/faults/interpreters.py",
        {"interpreters": r"^(\d+) interpreters", "failures": r"(\d+) failures$"},
    ),
    "leaks": Kind(
        "Leaks",
        "Each of {kinds} cycles, such as open, read and close, is repeated until descriptors, "
        "mappings, memory or references that grow are seen: {failures} failures.",
        "python tests/faults/leaks.py",
        {"kinds": r"^(\d+) kinds of cycles", "failures": r"kinds of cycles, (\d+) failures"},
    ),
    "sanitizers": Kind(
        "Sanitizers",
        "{tests} tests run on a build with AddressSanitizer and UndefinedBehaviorSanitizer, where "
        "the first report fails the test.",
        "make sanitize",
        PYTEST,
    ),
    "strict": Kind(
        "Python's own checks",
        "{tests} tests run in development mode, with the debugging allocator and warnings as "
        "errors.",
        "make strict",
        PYTEST,
    ),
    "threads": Kind(
        "Threads without a GIL",
        "{threads} threads share handles, trees and names on a free-threaded CPython under "
        "ThreadSanitizer, for {rounds} rounds: {failures} failures. A build with a race in it is "
        "reported.",
        "python tests/threads/sanitized.py",
        {
            "threads": r"^(\d+) threads, \d+ rounds",
            "rounds": r"threads, (\d+) rounds",
            "failures": r"GIL, (\d+) failures",
        },
    ),
    "mutants": Kind(
        "Tests of the tests",
        "The tools above run on code with a known fault in it, {tests} times, and have to find "
        "each one.",
        "make mutants",
        PYTEST,
    ),
    "pythons": Kind(
        "Versions of Python",
        "The installed wheel passes {tests} tests on {versions} builds of CPython, from 3.11 to "
        "3.15.",
        "make pythons",
        PYTEST | {"versions": r"^=+ \d+ passed()"},
    ),
    "portable": Kind(
        "Platforms",
        "{programs} test programs of the core run against musl and on aarch64, besides glibc and "
        "x86-64.",
        "make portable",
        {"programs": r"^build/(?:musl|aarch64)/test_\w+()$"},
    ),
    "machines": Kind(
        "Many machines",
        "Three machines follow a publisher through {versions} versions, {differences} of which are "
        "sent as differences. Meanwhile Redis, agents, the publisher and connections fail. Blobs "
        "and manifests are damaged, removed and put in the wrong order. Every machine reaches the "
        "last version, and none serves a wrong one. So does every agent after {failovers} "
        "failovers of a cluster and of a service with sentinels.",
        "make machines",
        {
            "versions": r"^(\d+) versions in",
            "differences": r"^pushed as differences: (\d+)",
            "failovers": r"(\d+) failovers in",
        },
        "python tests/faults/many_machines.py --versions 30 && "
        "python tests/faults/failover.py --failovers 1",
    ),
}


# ---- running ------------------------------------------------------------------------------------


def counted(kind: Kind, printed: str) -> dict[str, float]:
    """The numbers of what a run printed; an empty group counts lines."""
    numbers: dict[str, float] = {}
    for name, pattern in kind.numbers.items():
        found = re.findall(pattern, printed, re.MULTILINE)
        if not found:
            raise ValueError(f"nothing matches {pattern!r}")
        values = [float(text) if text else 1.0 for text in found]
        # Runs of one kind have as many processes and threads as each other.
        total = max(values) if name in ("processes", "threads") else sum(values)
        numbers[name] = int(total) if total.is_integer() else total
    return numbers


def run(kind: Kind, command: str) -> dict[str, Any]:
    """What is kept of one run; CalledProcessError when it fails."""
    begin = time.monotonic()
    python = f'python() {{ "{sys.executable}" "$@"; }}; set -o pipefail; '
    lines = []
    with subprocess.Popen(
        ["bash", "-c", python + command],
        cwd=TOP,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return {
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "seconds": round(time.monotonic() - begin),
        "numbers": counted(kind, "".join(lines)),
    }


# ---- the page -----------------------------------------------------------------------------------


def duration(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def section(kind: Kind, result: dict[str, Any]) -> str:
    numbers = {name: f"{number:,}" for name, number in result["numbers"].items()}
    commands = result["command"].replace(" && ", "\n    ")
    text = textwrap.fill(kind.text.format(**numbers), 120, break_on_hyphens=False)
    return (
        f"## {kind.title}\n\n{text}\n\n    {commands}\n\n"
        f"Run on {result['date']}, in {duration(result['seconds'])}.\n"
    )


def render(results: dict[str, Any]) -> str:
    return "\n".join(section(KINDS[name], results[name]) for name in KINDS if name in results)


def parts(text: str) -> tuple[str, str, str]:
    """What is before the sections, the sections, and what is behind them."""
    before, begin, rest = text.partition(BEGIN)
    sections, end, behind = rest.partition(END)
    if not (begin and end):
        raise ValueError("the comments around the sections are gone")
    return before + begin, sections, end + behind


def load() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    return found


def write_page(results: dict[str, Any]) -> None:
    before, _, behind = parts(PAGE.read_text("utf-8"))
    PAGE.write_text(before + render(results) + behind, "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--short", action="store_true", help="their short form, if there is one")
    parser.add_argument("--page", action="store_true", help="write the page of the last results")
    options = parser.parse_args()
    if unknown := {*options.kinds} - {*KINDS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    failed = []
    for name in [] if options.page else options.kinds or KINDS:
        kind = KINDS[name]
        command = kind.short if options.short and kind.short else kind.command
        try:
            result = run(kind, command)
        except (subprocess.CalledProcessError, ValueError) as error:
            failed.append(f"{name}: {error}")
            continue
        # Read again: another run may have finished meanwhile.
        results = load() | {name: result}
        ordered = {name: results[name] for name in KINDS if name in results}
        RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
        write_page(ordered)
    write_page(load())
    for failure in failed:
        print("FAILED", failure)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
