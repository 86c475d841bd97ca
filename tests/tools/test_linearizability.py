"""One order explains what dozens of processes saw that were killed and stopped at random.

Here tests/faults/linearizability.py runs for seconds; `make linearizability` runs it for minutes.
"""

import os
import re
import subprocess
import sys

import pytest
from helpers import FAULTS, TOP

pytestmark = pytest.mark.slow

if not (TOP / "src/core").is_dir():
    pytest.skip(
        "an installed package is tested, its sources are elsewhere", allow_module_level=True
    )

sys.path.insert(0, os.fspath(FAULTS))
import extension  # noqa: E402
import history  # noqa: E402
from history import BEGUN, DONE, NEVER, REMOVE, SHARE, UPDATE, History, Version, Write  # noqa: E402

import build  # noqa: E402

LIMIT = 300

# Most are found in the first round. That of a remove that marks late is not among them: the kill
# has to come between two instructions, and kill_everywhere.c tries each.
MUTANTS = {
    name: build.MUTANTS[name]
    for name in (
        "no-lock",
        "no-second-look",
        "late-mark",
        "same-generation",
        "early-unlink",
        "late-stamp",
        "update-lets-go",
    )
} | extension.LINEARIZABILITY_MUTANTS
# Those of maps with deltas; that a marked file gets none is for kill_everywhere.c, too.
DELTA_MUTANTS = {
    name: [*build.SMALL, *build.MUTANTS[name]]
    for name in (
        "early-head",
        "appends-without-lock",
        "mark-loses-head",
        "generation-of-base",
        "overwrites-young",
        "over-young",
        "no-catch-up",
        "compacts-anything",
        "compacts-to-a-new-version",
    )
}


def run(*arguments, folder=None):
    environment = dict(os.environ)
    if folder is not None:
        environment["PYTHONPATH"] = folder
    done = subprocess.run(
        [sys.executable, FAULTS / "linearizability.py", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("options", [[], ["--deltas"]])
def test_history_of_killed_and_stopped_processes_is_linearizable(options):
    if options and (why := extension.why_impossible()):
        pytest.skip(f"NOT TESTED with small maps that have deltas: {why}")
    code, told = run("--seconds", 3, *options)
    assert code == 0, told
    assert ", 0 failures" in told


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    if why := extension.why_impossible():
        pytest.skip(f"NOT TESTED with mutants: {why}")
    return extension.Builder(tmp_path_factory.mktemp("extension"))


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_is_found(builder, mutant):
    folder = builder.link(mutant, MUTANTS[mutant])
    code, told = run("--seconds", 120, "--round", 2, "--stop-early", folder=folder)
    assert code == 1, told
    # By the history, and not only by an exception of an operation.
    assert re.search(r"FAILED in round \d+: (kept|removed|contended|files)\b", told), told


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", DELTA_MUTANTS)
def test_mutant_of_deltas_is_found(builder, mutant):
    folder = builder.link(mutant, DELTA_MUTANTS[mutant])
    code, told = run("--seconds", 120, "--round", 2, "--stop-early", "--deltas", folder=folder)
    assert code == 1, told
    # By the history, or by a reader that meets half a delta, whichever comes first.
    found = r"FAILED in round \d+: (kept|removed|contended|files|\d+ processes ended)\b"
    assert re.search(found, told), told


# ---- the checker: histories that are written by hand ---------------------------------------------

FIRST, SECOND = (1, 1), (1, 2)
ONE, TWO = (2, 1), (3, 1)


def share(token, start, end, outcome=DONE):
    return Write(SHARE, token, outcome, start, end, history.NO_ID, 0)


def update(token, start, end, generation, outcome=DONE):
    return Write(UPDATE, token, outcome, start, end, history.NO_ID, generation)


def remove(token, start, end, outcome=DONE):
    return Write(REMOVE, token, outcome, start, end, history.NO_ID, 0)


def complaints(writes, reads, absences=(), is_removed=False):
    """Of reads (start, end, generation, base, updates); each content is a version of its own."""
    told = History("map", is_removed)
    told.writes += writes
    told.absences += absences
    for start, end, generation, base, updates in reads:
        unique_id = repr((generation, base, updates)).encode()
        told.add_version(unique_id, Version(generation, base, None, updates))
        told.add_read(DONE, start, end, unique_id, generation)
    return told.check()


@pytest.mark.parametrize("is_removed", [False, True])
def test_checker_accepts_what_overlaps(is_removed):
    writes = [share(FIRST, 0, 10), update(ONE, 11, 20, 2), update(TWO, 12, 19, 3)]
    reads = [
        (5, 30, 1, FIRST, []),
        (13, 14, 2, FIRST, [ONE]),
        (14, 30, 3, FIRST, [ONE, TWO]),
        (15, 16, 3, FIRST, [ONE, TWO]),
    ]
    assert complaints(writes, reads, is_removed=is_removed) == []


@pytest.mark.parametrize("is_removed", [False, True])
@pytest.mark.parametrize(
    ("writes", "reads", "expected"),
    {
        "goes back": (
            [share(FIRST, 0, 10), update(ONE, 11, 20, 2)],
            [(12, 13, 2, FIRST, [ONE]), (14, 15, 1, FIRST, [])],
            "generation 1 was there",
        ),
        "misses what has returned": (
            [share(FIRST, 0, 10), update(ONE, 11, 20, 2)],
            [(21, 22, 1, FIRST, [])],
            "",
        ),
        "misses a share that has returned": (
            [share(FIRST, 0, 10), share(SECOND, 11, 20)],
            [(5, 9, 1, FIRST, []), (21, 22, 1, FIRST, [])],
            "had no effect",
        ),
        "loses an update": (
            [share(FIRST, 0, 10), update(ONE, 11, 20, 2), update(TWO, 12, 21, 2)],
            [(5, 6, 1, FIRST, []), (25, 26, 2, FIRST, [TWO])],
            "",
        ),
        "loses what was seen": (
            [share(FIRST, 0, 10), update(ONE, 11, 20, 2), update(TWO, 12, 21, 3)],
            [(13, 14, 2, FIRST, [ONE]), (25, 26, 3, FIRST, [TWO])],
            "has lost updates",
        ),
        "comes before it began": (
            [share(FIRST, 0, 10), update(ONE, 11, 20, 2)],
            [(5, 6, 2, FIRST, [ONE])],
            "was seen before it began",
        ),
        "comes after it was killed, and again": (
            [share(FIRST, 0, 10), share(SECOND, 30, 40), update(ONE, 11, 20, 0, BEGUN)],
            [(12, 13, 2, FIRST, [ONE]), (41, 42, 4, SECOND, [ONE])],
            "took effect twice",
        ),
        "was there at the same time": (
            [share(FIRST, 0, 10), share(SECOND, 5, 12)],
            [
                (20, 21, 1, FIRST, []),
                (22, 23, 2, SECOND, []),
                (24, 25, 1, FIRST, []),
                (26, 27, 2, SECOND, []),
            ],
            "",
        ),
        "same generation": (
            [share(FIRST, 0, 10), update(ONE, 11, 20, 2), update(TWO, 12, 21, 2)],
            [(13, 14, 2, FIRST, [ONE]), (15, 16, 2, FIRST, [TWO])],
            "two versions have generation 2",
        ),
    }.values(),
)
def test_checker_finds(writes, reads, expected, is_removed):
    told = complaints(writes, reads, is_removed=is_removed)
    assert any(expected in one for one in told), told


def test_checker_finds_a_name_that_was_free_for_a_moment():
    writes = [share(FIRST, 0, 10), share(SECOND, 11, 20), remove((4, 1), 40, 50)]
    reads = [(5, 6, 1, FIRST, []), (25, 26, 2, SECOND, [])]
    told = complaints(writes, reads, [(15, 16)], is_removed=True)
    assert told == ["map: the name was free, and nobody had removed it"]
    assert complaints(writes, reads, [(45, 46)], is_removed=True) == []


def test_checker_finds_a_remove_that_had_no_effect():
    writes = [share(FIRST, 0, 10), remove((4, 1), 20, 30)]
    reads = [(5, 6, 1, FIRST, []), (31, 32, 1, FIRST, [])]
    assert any("had no effect" in told for told in complaints(writes, reads, is_removed=True))


def test_checker_finds_a_follower_that_keeps_what_was_replaced():
    ms = 1_000_000
    told = History("map", True)
    told.writes += [share(FIRST, 0, 1), remove((4, 1), 2, 3), share(SECOND, 4, 5)]
    for name, base in (b"first", FIRST), (b"second", SECOND):
        told.add_version(name, Version(1, base, None, []))
    told.add_read(DONE, 1, 2, b"first", 1)
    told.add_read(DONE, 6, 90 * ms, b"second", 1)
    told.add_read(DONE, 80 * ms, 90 * ms, b"second", 1)
    told.add_read(history.KEPT, 40 * ms, 41 * ms, b"first", 1)
    assert any("which a follower kept" in one for one in told.check())


EXPECTING = (5, 1)


@pytest.mark.parametrize(
    ("outcome", "seconds", "expected"),
    [(history.REFUSED, 6, "did not find"), (history.TIMED_OUT, 6, None),
     (history.TIMED_OUT, 1, "timed out too early")],
)  # fmt: skip
def test_checker_tells_a_refusal_from_a_timeout(outcome, seconds, expected):
    end = 10 + seconds * 10**9
    told = History("map", False)
    told.add_version(b"first", Version(1, FIRST, None, []))
    told.writes.append(share(FIRST, 0, 1))
    told.writes.append(Write(SHARE, EXPECTING, outcome, 10, end, b"first", 0))
    told.add_read(DONE, 2, 3, b"first", 1)
    told.add_read(DONE, end + 1, end + 2, b"first", 1)
    found = told.check()
    assert (found == []) if expected is None else any(expected in one for one in found), found


def test_checker_finds_a_read_of_what_nobody_has_read_whole():
    told = History("map", False)
    told.writes.append(share(FIRST, 0, 1))
    told.add_read(DONE, 2, 3, b"unknown", 1)
    assert any("nobody has read all of version" in one for one in told.check())


def test_checker_accepts_that_a_killed_operation_did_not_happen():
    writes = [share(FIRST, 0, 10), share(SECOND, 11, NEVER, BEGUN), update(ONE, 12, 13, 0, BEGUN)]
    assert complaints(writes, [(20, 21, 1, FIRST, [])]) == []
