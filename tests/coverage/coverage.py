"""Which branches of the core no test takes, and whether the code says why.

    python3 tests/coverage/coverage.py OBJECTS [--sources DIRECTORY]

OBJECTS is where gcc has left what --coverage counts, once the tests have run. For each file of
DIRECTORY, src/core if not told otherwise, a line says how many of its branches were taken. Below
it is each branch that was not, unless a comment beside the code tells the reason:

    // Untested: only memory that is used up makes this fail.
    // Rarely tested: another thread has to write at this very moment.

Such a comment speaks for the statement that it ends or that follows it, up to a semicolon, a brace
or a colon at the end of a line. The first kind is out of date where all branches of that statement
are taken; then it is told of, too. What is told of makes the exit status 1.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
MARK = re.compile(r"// (Untested|Rarely tested): \w")

# Empty here: which of the two implementations is compiled, core/segment/system_platform.h decides.
OF_ANOTHER_PLATFORM = "system_portable.c"


def count_branches(objects, sources):
    """{file: {line: counts of its branches}}, those of a header from all that include it."""
    data = sorted(os.fspath(path.resolve()) for path in objects.rglob("*.gcda"))
    command = [os.environ.get("GCOV", "gcov"), "--branch-probabilities", "--json-format"]
    told = subprocess.run([*command, "--stdout", *data], check=True, capture_output=True, text=True)
    counts = collections.defaultdict(dict)
    for unit in map(json.loads, told.stdout.splitlines()):
        for file in unit["files"]:
            path = pathlib.Path(unit["current_working_directory"], file["file"]).resolve()
            if not path.is_relative_to(sources):
                continue
            known = counts[path]
            for line in file["lines"]:
                new = [branch["count"] for branch in line["branches"]]
                # A function that is compiled twice has the same branches in the same order.
                old = known.get(line["line_number"], [0] * len(new))
                if len(old) != len(new):
                    sys.exit(
                        f"{path.name}:{line['line_number']}: {len(old)} or {len(new)} branches?"
                    )
                known[line["line_number"]] = [a + b for a, b in zip(old, new, strict=True)]
    return counts


def explained_lines(text):
    """{line: line of the comment that speaks for it}, and those that need not be right."""
    explained, lenient = {}, set()
    comment = None
    for number, line in enumerate(text.splitlines(), 1):
        code = line.partition("//")[0].strip()
        mark = MARK.search(line)
        if mark:
            comment = number
            if mark[1] == "Rarely tested":
                lenient.add(number)
        if comment is not None and code:
            explained[number] = comment
            if code[-1] in ";{}:":
                comment = None
    return explained, lenient


def report(path, counts):
    """(branches, those taken, those not taken but explained, lines that tell what is wrong)."""
    explained, lenient = explained_lines(path.read_text())
    out_of_date = set(explained.values()) - lenient
    wrong = []
    taken = excused = 0
    for line, branches in sorted(counts.items()):
        missing = [i for i, count in enumerate(branches, 1) if count == 0]
        taken += len(branches) - len(missing)
        if missing and line in explained:
            excused += len(missing)
            out_of_date.discard(explained[line])
        else:
            wrong += [(line, f"branch {i} of {len(branches)} is not taken") for i in missing]
    wrong += [(line, "what this explains is taken") for line in out_of_date]
    return sum(map(len, counts.values())), taken, excused, sorted(wrong)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("objects", type=pathlib.Path)
    parser.add_argument("--sources", type=pathlib.Path, default=TOP / "src/core")
    arguments = parser.parse_args()
    sources = arguments.sources.resolve()
    counts = count_branches(arguments.objects, sources)
    good = bool(counts)
    totals = [0, 0, 0]
    print(f"{'branches':>8} {'taken':>7} {'explained':>9}")
    # A source that nothing was counted of is one that was not built.
    for path in sorted({*counts, *sources.rglob("*.c")}):
        name = path.relative_to(sources)
        if path.name == OF_ANOTHER_PLATFORM:
            continue
        if path not in counts:
            print(f"{name}: nothing was counted")
            good = False
            continue
        *numbers, wrong = report(path, counts[path])
        totals = [a + b for a, b in zip(totals, numbers, strict=True)]
        branches, taken, excused = numbers
        print(f"{branches:8} {share(taken, branches):>7} {excused:9}  {name}")
        lines = path.read_text().splitlines()
        for line, what in wrong:
            print(f"    {name}:{line}: {what}: {lines[line - 1].strip()}")
            good = False
    print(f"{totals[0]:8} {share(totals[1], totals[0]):>7} {totals[2]:9}  all")
    return 0 if good else 1


def share(part, whole):
    return f"{100 * part / whole:.1f} %" if whole > 0 else "-"


if __name__ == "__main__":
    sys.exit(main())
