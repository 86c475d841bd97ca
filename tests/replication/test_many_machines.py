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

# An agent that takes a chunk for what it says it is.
FOUND = "if len(data) != chunk.size or hashlib.sha256(data).hexdigest() != chunk.sha256:"
PUT = "if len(data) != chunk.size:"


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
def test_agent_that_believes_in_damaged_chunks_is_found(as_root, tmp_path):
    """No reader would see them: the checksums of the snapshot are wrong, too."""
    if shutil.which("redis-server") is None:
        pytest.skip("NOT TESTED many machines with a mutant: redis-server is not installed")
    package = tmp_path / "sharedmap"
    shutil.copytree(pathlib.Path(sharedmap.__file__).parent, package)
    state = package / "replication/_incoming.py"
    text = state.read_text()
    assert text.count(FOUND) == 1
    state.write_text(text.replace(FOUND, PUT))
    for seed in range(3):  # with each of them enough chunks are damaged, but for bad luck
        arguments = ["--versions", 20, "--trouble", 1, "--machines", 1, "--seed", seed]
        code, told = run(*arguments, PYTHONPATH=os.fspath(tmp_path))
        if code != 0:
            break
    assert code == 1, told
    assert "FAILED: no agent has told of a damaged chunk" in told
