"""After a power failure during save() the path leads to the old map or to the new one."""

import shutil
import subprocess
import sys

import pytest
from helpers import TESTS


def test_power_failure_leaves_the_old_map_or_the_new_one_and_mutants_are_found():
    if shutil.which("strace") is None:
        pytest.skip("NOT TESTED what a power failure leaves: strace is not installed")
    program = TESTS / "protocol/power_failure.py"
    run = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=300)
    if "ptrace" in run.stderr.lower():
        pytest.skip("may not trace: " + run.stderr)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count(" states, 0 wrong") == 4
    assert run.stdout.count(": found, ") == 12
