"""An editable install rebuilds its extension when a source has changed: tools/develop.py."""

import shutil
import subprocess
import sys

import pytest
from helpers import HANG, TOP

TOOL = TOP / "tools/develop.py"

if not TOOL.exists():
    pytest.skip("an installed package is tested, its tools are elsewhere", allow_module_level=True)

# Instead of a compiler: quicker, and it says with which switches it was called.
SETUP = """
import os, pathlib, sys, sysconfig
source = pathlib.Path("src/core/source.c").read_text()
if "#error" in source:
    sys.exit("source.c:1: " + source)
suffix = sysconfig.get_config_var("EXT_SUFFIX")
extension = pathlib.Path(f"src/sharedmap/_sharedmap{suffix}")
extension.write_text(f"{source} {sys.argv[1:]} {os.environ.get('SHAREDMAP_DEBUG')}")
"""
PROGRAM = """
import pathlib, runpy, sys
runpy.run_path("tools/develop.py")["install"]({"SHAREDMAP_DEBUG": "1"})
sys.path.insert(0, "src")
import sharedmap
(extension,) = pathlib.Path("src/sharedmap").glob("*.so")
print(extension.read_text(), extension.stat().st_mtime_ns)
"""


@pytest.fixture
def checkout(tmp_path):
    for folder in ("src/core", "src/binding", "src/sharedmap", "tools"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(TOOL, tmp_path / "tools")
    (tmp_path / "setup.py").write_text(SETUP)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "src/sharedmap/__init__.py").touch()
    (tmp_path / "src/core/source.c").write_text("first")
    return tmp_path


def imported(checkout):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=checkout, capture_output=True, text=True, timeout=HANG
    )


def test_import_builds_with_the_switches_that_were_remembered(checkout):
    told = imported(checkout).stdout
    assert told.startswith("first ['--quiet', 'build_ext', '--inplace'] 1 ")


def test_import_builds_again_only_what_has_changed(checkout):
    first = imported(checkout).stdout
    assert imported(checkout).stdout == first
    (checkout / "src/core/source.c").write_text("second")
    assert imported(checkout).stdout.startswith("second ")


def test_import_builds_again_when_a_source_is_gone(checkout):
    (checkout / "src/core/other.c").touch()
    first = imported(checkout).stdout
    (checkout / "src/core/other.c").unlink()
    assert imported(checkout).stdout != first


def test_import_of_what_cannot_be_built_says_why(checkout):
    imported(checkout)
    (checkout / "src/core/source.c").write_text("#error not yet")
    done = imported(checkout)
    assert done.returncode == 1
    assert "ImportError: the extension of sharedmap could not be rebuilt" in done.stderr
    assert "source.c:1: #error not yet" in done.stderr
