"""The watchdog of the tests: one that hangs is a failure that says where, and the others run."""

import subprocess
import sys

from helpers import HANG, SUPPORT

CONFTEST = f"""
import sys
sys.path.insert(0, {str(SUPPORT)!r})
import watchdog

def pytest_configure(config):
    watchdog.register(config, limit=1)
"""

# No thread of Python could end it: the call never releases the GIL.
TESTS = """
import ctypes

def test_before():
    pass

def test_that_hangs():
    ctypes.PyDLL(None).poll(None, 0, -1)

def test_after():
    pass
"""


def test_hanging_test_is_a_failure_with_its_stacks_and_the_others_run(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    words = ["-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile", "-v"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "test_it.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 1, done
    assert "crashed while running 'test_it.py::test_that_hangs'" in done.stdout
    assert "1 failed, 2 passed, 1 error" in done.stdout
    assert 'test_it.py", line 8 in test_that_hangs' in done.stderr
