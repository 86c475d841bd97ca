"""Killed in the middle of it: kill_everywhere.c, the mutants that it must find, and hammer.py.

Here they run in small; `make faults` runs them in full.
"""

import os
import shutil
import subprocess
import sys
import tempfile

import pytest
from helpers import FAULTS, TOP

LIMIT = 300

pytestmark = pytest.mark.slow

if not (TOP / "src/core").is_dir():
    pytest.skip(
        "an installed package is tested, its sources are elsewhere", allow_module_level=True
    )

sys.path.insert(0, os.fspath(FAULTS))
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
}


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    if shutil.which(os.environ.get("CC", "cc").split()[0]) is None:
        pytest.skip("NOT TESTED who is killed where: there is no C compiler")
    directory = tmp_path_factory.mktemp("faults")
    build.build(directory, MUTANTS)
    return directory


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    if done.returncode == NOT_TESTED and done.stdout.startswith("NOT TESTED"):
        pytest.skip(done.stdout.strip())
    return done.returncode, done.stdout + done.stderr


def test_every_mutant_is_tested():
    assert list(MUTANTS) == list(build.MUTANTS)


def test_core_survives_kills_at_every_19th_instruction_of_each_operation(tools):
    """`make faults` takes every one, and more of those at which another process begins."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="test-faults-") as directory:
        strides = ["--stride", "19", "--race-stride", "997"]
        code, told = run(tools / "kill_everywhere", *strides, "--directory", directory)
        assert code == 0, told
        assert " 0 failures" in told
        assert os.listdir(directory) == []


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_is_found(tools, mutant):
    tool = tools / f"kill_everywhere-{mutant}"
    rows, stride = MUTANTS[mutant]
    strides = ["--stride", str(stride), "--race-stride", str(stride)]
    code, told = run(tool, "--stop-early", "--only", rows, *strides)
    assert code == 1, told
    assert "instructions: " in told  # and not for any other reason
    assert " 0 failures" not in told


def test_random_kills_harm_nobody():
    code, told = run(sys.executable, FAULTS / "hammer.py", "--kills", "100")
    assert code == 0, told
    assert "100 kills" in told
