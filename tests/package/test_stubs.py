"""The stubs: what type checkers are told is what there is, and what they conclude is right.

Checkers are no part of the test requirements: without them the tests that need one are skipped. The
examples are run in any case, as what type checkers accept should also work.
"""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import typing_examples
from helpers import SUPPORT, TOP

import sharedmap

EXAMPLES = SUPPORT / "typing_examples.py"
PROGRAMS = TOP / "examples"


def needs(module):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"needs {module}, which is a requirement of lint and not of test")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """What mypy knows of the standard library, which it need not read again for each test."""
    return tmp_path_factory.mktemp("mypy")


def run(module, *arguments, folder):
    """Runs the checker away from our sources: what is installed is checked."""
    ended = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout


def test_package_is_marked_as_typed():
    package = os.path.dirname(sharedmap.__file__)
    assert {"py.typed", "_sharedmap.pyi"} <= {*os.listdir(package)}


def test_examples_of_typing_run(name, tmp_path):
    typing_examples.main(name, os.fspath(tmp_path / "map"))


@pytest.mark.slow
def test_stubs_agree_with_the_package(tmp_path):
    needs("mypy")
    # No list of exceptions: there are none.
    run("mypy.stubtest", "sharedmap", folder=tmp_path)


@pytest.mark.slow
def test_mypy_accepts_the_examples_of_typing(cache):
    needs("mypy")
    # An ignore comment that ignores nothing is an error, so what must be one is one.
    run("mypy", "--config-file=", "--strict", os.fspath(EXAMPLES), folder=cache)


@pytest.mark.slow
def test_mypy_accepts_the_programs(cache):
    needs("mypy")
    if not PROGRAMS.is_dir():
        pytest.skip("an installed package is tested, its examples are elsewhere")
    programs = sorted(map(os.fspath, PROGRAMS.glob("*.py")))
    # Django has no types of its own.
    options = ["--config-file=", "--strict", "--disable-error-code=import-untyped"]
    run("mypy", *options, *programs, folder=cache)


def run_pyright(folder, **settings):
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    run("pyright", "--pythonpath", sys.executable, folder=folder)


@pytest.mark.slow
def test_pyright_accepts_the_examples_of_typing(tmp_path):
    needs("pyright")
    run_pyright(
        tmp_path,
        include=[os.fspath(EXAMPLES)],
        typeCheckingMode="strict",
        reportUnnecessaryTypeIgnoreComment=True,
        # Those are mypy's; pyright has comments of its own.
        enableTypeIgnoreComments=False,
    )


@pytest.mark.slow
def test_pyright_accepts_the_programs(tmp_path):
    needs("pyright")
    # Strict, it would want to know more of the standard library than the library says.
    run_pyright(tmp_path, include=[os.fspath(PROGRAMS)], typeCheckingMode="standard")
