"""The comparison of two builds; here both are the one that is installed."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import TOP

import sharedmap

if not (TOP / "benchmarks").is_dir():
    pytest.skip(
        "an installed package is tested, its benchmarks are elsewhere", allow_module_level=True
    )

BUILD = str(Path(sharedmap.__file__).parents[1])


def compare(*arguments):
    command = [sys.executable, "-m", "benchmarks.ab", *arguments]
    return subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)


def test_each_operation_gets_a_row_with_a_ratio():
    operations = ["hit", "many", "seek", "prefix", "publish", "insert"]
    told = compare(
        BUILD, BUILD, *operations, "--sizes", "1k", "--datasets", "paths", "--rounds", "2"
    )
    assert told.returncode == 0, told.stderr
    rows = [line.strip("| ").split(" | ") for line in told.stdout.splitlines()[2:]]
    assert [row[:2] for row in rows] == [[operation, "1k paths"] for operation in operations]
    for row in rows:
        lower, upper = map(float, row[3].split(" to "))
        assert 0 < lower <= float(row[2]) <= upper


def test_folder_without_the_package_is_refused(tmp_path):
    told = compare(BUILD, str(tmp_path), "hit")
    assert told.returncode != 0
    assert "has no package sharedmap" in told.stderr


def test_unknown_operation_is_refused():
    told = compare(BUILD, BUILD, "hit", "hat")
    assert told.returncode == 2
    assert "unknown operations: hat" in told.stderr
