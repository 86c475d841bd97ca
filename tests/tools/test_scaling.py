"""Benchmarks run, and name what they measure: threads, interpreters, key objects, many hosts."""

import shutil
import subprocess
import sys

import pytest
from helpers import TOP

if not (TOP / "benchmarks").is_dir():
    pytest.skip(
        "an installed package is tested, its benchmarks are elsewhere", allow_module_level=True
    )


def run(script, *arguments):
    command = [sys.executable, f"benchmarks/{script}", "--entries", "1000", *arguments]
    told = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return [line.strip("| ").split(" | ") for line in told.stdout.splitlines()]


def test_threads_beside_each_other_and_in_interpreters_of_their_own():
    lines = run("scaling.py", "--rounds", "2", "--lookups", "2000")
    titles = [line[0] for line in lines]
    expected = [
        "one `m[k]`",
        "one `m.get`",
        "one `get_many`",
        "each `m[k]`",
        "one dict",
        "each dict",
    ]
    if sys.version_info >= (3, 13):
        expected += ["interpreter `m[k]`", "interpreter dict"]
    for title in [*expected, "empty loop"]:
        assert titles.count(title) == 2, "for random keys and for hot ones"


def test_each_dataset_has_a_row_with_its_memory_by_fork_and_by_spawn():
    command = [
        sys.executable,
        "-m",
        "benchmarks.data_loader",
        "--entries",
        "1000",
        "--workers",
        "2",
    ]
    told = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    rows = [line.strip("| ").split(" | ") for line in told.stdout.splitlines()]
    assert [len(row) for row in rows if row[0] in ("list", "dict", "map")] == [3, 3, 3]


def test_each_kind_of_key_object_has_a_row_and_those_with_a_target_a_verdict():
    verdicts = {line[0]: line[-1] for line in run("key_objects.py", "--rounds", "3")[4:]}
    assert verdicts.keys() == {"hashed", "hot unhashed", "fresh", "unhashed, again"}
    for title, verdict in verdicts.items():
        assert (verdict in ("reached", "not reached")) == (title != "hashed")


def can_have_hosts():
    programs = all(map(shutil.which, ("redis-server", "ip", "nsenter", "unshare")))
    return programs and subprocess.run(["unshare", "--mount", "--net", "true"]).returncode == 0


def test_many_hosts_see_each_round(as_root):
    if not can_have_hosts():
        pytest.skip("NOT TESTED many hosts: a server or network namespaces are missing")
    lines = run("many_hosts.py", "--hosts", "2", "--rounds", "1", "--warmup", "0")
    figures = {line[0]: float(line[1].replace(",", "")) for line in lines if len(line) == 4}
    assert all(figure > 0 for figure in figures.values())
    assert len(figures) == 5
