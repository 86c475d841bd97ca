"""Three machines, one publisher, and everything is killed: faults/many_machines.py, in small."""

import shutil
import subprocess
import sys

import pytest
from helpers import HERE
from redis_server import PROGRAMS

LIMIT = 120


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_machine_comes_to_the_last_version_and_never_serves_a_mixed_one(as_root, program):
    """`make machines` does it with a thousand versions."""
    if shutil.which(program) is None:
        pytest.skip(f"NOT TESTED many machines with {program}: it is not installed")
    script = HERE / "faults" / "many_machines.py"
    more = ["--versions", "40", "--trouble", "0.4", "--program", program]
    done = subprocess.run(
        [sys.executable, script, *more], capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "40 versions in" in done.stdout
