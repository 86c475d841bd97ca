"""Killed in the middle of it: kill_everywhere.c, the mutants that it must find, and hammer.py.

Here they run in small; `make faults` runs them in full.
"""

import os
import shutil
import subprocess
import sys
import tempfile

import pytest
from helpers import FAULTS, TESTS, TOP

LIMIT = 300

pytestmark = pytest.mark.slow

if not (TOP / "src/core").is_dir():
    pytest.skip(
        "an installed package is tested, its sources are elsewhere", allow_module_level=True
    )

sys.path.insert(0, os.fspath(FAULTS))
for folder in ("hostile", "fuzz", "threads"):
    sys.path.append(os.fspath(TESTS / folder))
import build_hostile  # noqa: E402
import build_package  # noqa: E402
import extension  # noqa: E402
import fuzz  # noqa: E402
import mutants  # noqa: E402
import sanitized  # noqa: E402

import build  # noqa: E402

NOT_TESTED = 77  # as kill_everywhere ends where it cannot do its work

# Which rows of the two tables to look at, and at which of their points. The tool would find it
# without being told where, only later.
MUTANTS = {
    "late-mark": ("share over a map", 1),
    "late-mark-of-remove": ("remove", 1),
    "no-lock": ("share | share", 5),
    "no-second-look": ("remove | share", 5),
    "keeps-leftover": ("update", 1),
    "early-unlink": ("save over a map", 1),
    "late-stamp": ("first share", 1),
    "same-generation": ("update", 1),
    "update-lets-go": ("update | update", 50),
    "early-head": ("append to a base", 1),
    "appends-to-marked": ("update of a marked delta", 1),
    "appends-without-lock": ("append | append", 50),
    "mark-loses-head": ("share over a delta", 1),
    "sparse-room": ("append to a base", 1),
    "other-seed": ("append to a base", 1),
    "generation-of-base": ("append over a delta", 1),
    "overwrites-young": ("append over two deltas", 1),
    "over-young": ("append over two deltas", 1),
    "drops-tombstones": ("fold", 1),
    "rank-off-by-one": ("append to a base", 1),
    "fold-keeps-shift": ("fold", 1),
    "limit-not-checked": ("copy for want of room", 1),
    "size-before-head": ("open | append", 13),
    "no-catch-up": ("compaction | append", 500),
    "compacts-anything": ("compaction | share", 500),
    "compacts-to-a-new-version": ("compaction", 1),
    "compacts-without-head": ("compaction | append", 500),
    "keeps-leftover-of-copy": ("share over a delta", 1),
}

# What is wrong with the mutants of deltas and compaction, where there are not several ways to
# find it: which comes first in a race depends on the machine.
COMPLAINTS = {
    "early-head": "the head leads elsewhere",
    "appends-to-marked": "it is not what its name says",
    "mark-loses-head": "who opens gets neither",
    "sparse-room": "the file has a hole",
    "other-seed": "the map is damaged",
    "generation-of-base": "who opens gets neither",
    "overwrites-young": "the map is damaged",
    "over-young": "the head leads elsewhere",
    "drops-tombstones": "who opens gets neither",
    "rank-off-by-one": "the map is damaged",
    "fold-keeps-shift": "the map is damaged",
    "limit-not-checked": "the snapshot is truncated",
    "compacts-to-a-new-version": "who opens gets neither",
    "keeps-leftover-of-copy": "a file is left after the next action",
}


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    if shutil.which(os.environ.get("CC", "cc").split()[0]) is None:
        pytest.skip("NOT TESTED who is killed where: there is no C compiler")
    directory = tmp_path_factory.mktemp("faults")
    build.build(directory)
    return directory


@pytest.fixture(scope="module")
def wrong_tools(tools):
    """The same folder, with the mutants."""
    build.build(tools, MUTANTS)
    return tools


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    if done.returncode == NOT_TESTED and done.stdout.startswith("NOT TESTED"):
        pytest.skip(done.stdout.strip())
    return done.returncode, done.stdout + done.stderr


def test_every_mutant_is_tested():
    assert list(MUTANTS) == list(build.MUTANTS)


# Only `make mutants` builds them all, and sources may move on without it.
@pytest.mark.parametrize(
    "table",
    [
        build.MUTANTS,
        extension.MUTANTS,
        build_hostile.MUTANTS,
        build_package.MUTANTS,
        sanitized.RACY,
        *fuzz.MUTANTS.values(),
    ],
)
def test_every_mutant_is_a_change_of_the_sources_of_today(table):
    for name, changes in table.items():
        assert mutants.mutate(name, changes)


def test_core_survives_kills_at_every_43rd_instruction_of_each_operation(tools):
    """`make faults` takes every one, and more of those at which another process begins."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="test-faults-") as directory:
        strides = ["--stride", "43", "--most-points", "25", "--race-stride", "9973"]
        code, told = run(tools / "kill_everywhere", *strides, "--directory", directory)
        assert code == 0, told
        assert " 0 failures" in told
        assert os.listdir(directory) == []


def check_found(tools, mutant, rows, stride):
    tool = tools / f"kill_everywhere-{mutant}"
    strides = ["--stride", str(stride), "--race-stride", str(stride)]
    code, told = run(tool, "--stop-early", "--only", rows, *strides)
    assert code == 1, told
    assert "instructions: " in told  # and not for any other reason
    assert " 0 failures" not in told
    assert COMPLAINTS.get(mutant, "") in told


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_is_found(wrong_tools, mutant):
    check_found(wrong_tools, mutant, *MUTANTS[mutant])


@pytest.mark.mutant
def test_mark_after_the_rename_is_found_in_a_compaction_too(wrong_tools):
    check_found(wrong_tools, "late-mark", "compaction", 1)


@pytest.mark.parametrize("options", [[], ["--deltas"]])
def test_random_kills_harm_nobody(options):
    if options and (why := extension.why_impossible()):
        pytest.skip(f"NOT TESTED with small maps that have deltas: {why}")
    code, told = run(sys.executable, FAULTS / "hammer.py", "--kills", "100", *options)
    assert code == 0, told
    assert "100 kills" in told
