"""Replies that are changed at random: fuzz/replies.py, in short."""

import subprocess
import sys

import pytest
from helpers import TESTS
from redis_groups import require

LIMIT = 120
SCRIPT = TESTS / "fuzz" / "replies.py"


def fuzz(*arguments):
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    return done.returncode, done.stdout


@pytest.mark.slow
def test_only_what_was_pushed_is_published_and_errors_are_of_one_kind():
    """`make fuzz` does it for longer."""
    require()
    code, told = fuzz("--runs", 60)
    assert code == 0, told
    assert "60 runs: " in told
