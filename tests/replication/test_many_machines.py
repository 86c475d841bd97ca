"""Three machines, one publisher, and everything is killed: faults/many_machines.py, in small."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from helpers import TESTS
from redis_server import PROGRAMS

import sharedmap

LIMIT = 120
SCRIPT = TESTS / "faults" / "many_machines.py"

# What an agent does not check -> file, how often what is replaced is there, what is replaced by
# what, and how the tool finds it.
BELIEVES = {
    # No reader would see these two: other checks refuse the version, but nobody tells the server.
    "chunks": (
        "_incoming.py",
        1,
        "if len(data) != chunk.size or hashlib.sha256(data).hexdigest() != chunk.sha256:",
        "if not data:",
        "FAILED: no agent has told of a damaged chunk",
    ),
    "differences": (
        "_state.py",
        2,
        "if not is_intact(data, row.sha256, row.size):",
        "if not data:",
        "FAILED: no agent has told of a damaged difference",
    ),
    "the order of differences": (
        "_state.py",
        1,
        "if content != manifest.content:",
        "if content < 0:",
        "is mixed",
    ),
}
OPTIONS = {
    "chunks": ["--kinds", "spoil_blob", "--whole", 1],
    "differences": ["--kinds", "spoil_blob", "--whole", 0],
    "the order of differences": ["--kinds", "spoil_rows", "--whole", 0],
}


def run(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=os.environ | environment,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_machine_comes_to_the_last_version_and_never_serves_a_mixed_one(as_root, program):
    """`make machines` does it with a thousand versions."""
    if shutil.which(program) is None:
        pytest.skip(f"NOT TESTED many machines with {program}: it is not installed")
    code, told = run("--versions", 30, "--trouble", 0.4, "--program", program)
    assert code == 0, told
    assert "30 versions in" in told


@pytest.mark.slow
@pytest.mark.parametrize("what", BELIEVES)
def test_agent_that_believes_everything_is_found(as_root, tmp_path, what):
    if shutil.which("redis-server") is None:
        pytest.skip("NOT TESTED many machines with a mutant: redis-server is not installed")
    file, count, found, put, message = BELIEVES[what]
    package = tmp_path / "sharedmap"
    shutil.copytree(pathlib.Path(sharedmap.__file__).parent, package)
    path = package / "replication" / file
    text = path.read_text()
    assert text.count(found) == count
    path.write_text(text.replace(found, put))
    options = ["--versions", 10, "--trouble", 1, "--machines", 1, "--seed", 2, "--wait", 3]
    code, told = run(*options, *OPTIONS[what], PYTHONPATH=os.fspath(tmp_path))
    assert code == 1, told
    assert message in told
