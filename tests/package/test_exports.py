"""What the built extension shows to the rest of the process: its init function and nothing else."""

import shutil
import subprocess

import pytest

from sharedmap import _sharedmap


def nm(*options):
    if shutil.which("nm") is None:
        pytest.skip("needs nm, which comes with every C compiler")
    printed = subprocess.run(
        ["nm", "-D", *options, _sharedmap.__file__], check=True, capture_output=True, text=True
    )
    return [line.split() for line in printed.stdout.splitlines()]


def test_extension_exports_its_init_function_only():
    assert [line[-1] for line in nm("--defined-only")] == ["PyInit__sharedmap"]


def test_extension_needs_no_function_that_trusts_the_length_of_what_it_copies():
    needed = {line[-1].split("@")[0] for line in nm("--undefined-only")}
    assert "PyModuleDef_Init" in needed
    assert needed.isdisjoint({"strcpy", "strcat", "sprintf", "vsprintf", "gets"})


def test_extension_does_not_unpickle_or_evaluate():
    """Bytes from shared memory must not become code."""
    needed = {line[-1] for line in nm("--undefined-only")}
    assert not any(name.startswith(("PyMarshal_", "PyRun_", "PyEval_Eval")) for name in needed)
    # By a name that stands in the source: tests/package/test_layers.py looks which.
    assert {name for name in needed if name.startswith("PyImport_")} <= {"PyImport_ImportModule"}


READ_EVERYTHING = """
import sys
events = []
t = sharedmap.rbtree({"str": "x", "bytes": b"x", "int": -(2**100), "float": 0.5, "none": None})
t["bool"] = True
t.share(name)
t.save(path)
h = sharedmap.rbtree(encode=lambda value: b"os.system('true')")
h["encoded"] = object()
data = h.dump()

def read(m):
    for key in m:
        key in m, m.view(key), m.floor(key), m.index(key), list(m[key:])
        try:
            m[key], m.get(key), m.get_many([key])
        except TypeError:
            assert key == "encoded"
    try:
        list(m.items()), m == dict(m)
    except TypeError:
        assert "encoded" in m
    m.keys() == set(m), m.verify(), m.refresh(), m.stale, m.snapshot(), m.nbytes, repr(m)
    m.close()

def read_everything():
    read(sharedmap.sharedmap(name))
    read(sharedmap.sharedmap.open(path))
    read(sharedmap.sharedmap.frombuffer(data))

# The first time, so that what the standard library imports when needed is there.
read_everything()
sys.addaudithook(lambda event, arguments: events.append(event))
before = len(events)
read_everything()
heard = events[before:]
"""


def test_reading_runs_no_code_and_imports_nothing(workers, name, tmp_path):
    worker = workers()
    worker.run(READ_EVERYTHING, name=name, path=str(tmp_path / "map"))
    assert worker.eval("heard") == []
    # So that this cannot pass by hearing nothing.
    worker.run("exec('pass')")
    assert "exec" in worker.eval("events")
