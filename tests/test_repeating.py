"""What plays at random can be played again: a failure says how."""

import re
import subprocess
import sys

import pytest
from helpers import FAULTS, HANG, HERE

PROPERTY = """
from hypothesis import given, strategies

@given(strategies.integers())
def test_no_number_is_large(number):
    assert number < 1000
"""


def test_failing_property_prints_how_to_repeat_it(tmp_path):
    (tmp_path / "test_property.py").write_text(PROPERTY)
    (tmp_path / "conftest.py").symlink_to(HERE / "conftest.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_property.py"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(HERE), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert "number=1000" in done.stdout
    assert "@reproduce_failure(" in done.stdout


@pytest.mark.parametrize("tool", ["hammer.py", "many_machines.py", "republish.py"])
def test_tool_that_plays_at_random_takes_a_seed_and_prints_it(tool):
    source = (FAULTS / tool).read_text()
    assert re.search(r'add_argument\("--seed", type=int', source)
    assert re.search(r'print\(f"seed \{(options\.)?seed\}"\)', source)
