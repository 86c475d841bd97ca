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
    assert not any(
        name.startswith(("PyMarshal_", "PyRun_", "PyEval_Eval", "PyImport_")) for name in needed
    )
