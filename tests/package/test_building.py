"""setup.py compiles what has changed, and nothing else."""

import os
import shutil
import subprocess
import sys

import pytest
from helpers import TOP

if not (TOP / "setup.py").exists():
    pytest.skip(
        "an installed package is tested, its setup.py is elsewhere", allow_module_level=True
    )
if shutil.which(os.environ.get("CC", "cc")) is None:
    pytest.skip("NOT TESTED: there is no compiler", allow_module_level=True)

FILES = {
    "pyproject.toml": "[project]\nname = 'sharedmap'\nversion = '1'\n",
    "src/sharedmap/__init__.py": "",
    "src/core/base/number.h": "#define NUMBER 1\nint number(void);\n",
    "src/core/base/number.c": """
#include "core/base/number.h"
int number(void) { return NUMBER; }
""",
    "src/core/other.c": "int other(void);\nint other(void) { return 0; }\n",
    "src/binding/module.c": """
#include <Python.h>
#include "core/base/number.h"
static struct PyModuleDef definition = { PyModuleDef_HEAD_INIT, "_sharedmap", NULL, 0, NULL };
PyMODINIT_FUNC PyInit__sharedmap(void) {
    PyObject *module = PyModule_Create(&definition);
    PyModule_AddIntConstant(module, "number", number());
    return module;
}
""",
}
ALL = {"number", "other", "module"}


class Checkout:
    """A small package that the real setup.py builds."""

    def __init__(self, folder):
        self.folder = folder
        self.objects = {}
        shutil.copy(TOP / "setup.py", folder)
        for name, text in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def build(self, **environment):
        command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
        environment = os.environ | environment
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True)

    def compiled(self, **environment):
        """Builds, and names the files that had to be compiled for it."""
        done = self.build(**environment)
        assert done.returncode == 0, done.stderr.decode()
        before = self.objects
        found = self.folder.glob("build/temp.*/**/*.o")
        self.objects = {file.stem: file.stat().st_mtime_ns for file in found}
        return {name for name, date in self.objects.items() if before.get(name) != date}

    def number(self):
        program = "from sharedmap import _sharedmap; print(_sharedmap.number)"
        return int(
            subprocess.check_output([sys.executable, "-c", program], cwd=self.folder / "src")
        )


@pytest.fixture
def checkout(tmp_path):
    checkout = Checkout(tmp_path)
    assert checkout.compiled() == ALL
    return checkout


def test_unchanged_files_are_not_compiled_again(checkout):
    assert checkout.compiled() == set()
    assert checkout.number() == 1


@pytest.mark.parametrize(
    ("name", "affected"),
    [
        ("src/core/other.c", {"other"}),
        ("src/core/base/number.h", {"number", "module"}),
        ("pyproject.toml", set()),
    ],
)
def test_changed_file_is_compiled_and_what_includes_it(checkout, name, affected):
    checkout.write(name, FILES[name] + "\n")
    assert checkout.compiled() == affected
    assert checkout.compiled() == set()


def test_extension_is_linked_from_what_was_compiled(checkout):
    checkout.write("src/core/base/number.h", "#define NUMBER 2\nint number(void);\n")
    checkout.compiled()
    assert checkout.number() == 2


def test_other_switches_compile_everything(checkout):
    assert checkout.compiled(SHAREDMAP_DEBUG="1") == ALL
    assert checkout.compiled(SHAREDMAP_DEBUG="1") == set()
    assert checkout.compiled() == ALL


def test_header_that_is_gone_is_noticed(checkout):
    (checkout.folder / "src/core/base/number.h").unlink()
    done = checkout.build()
    assert done.returncode != 0
    assert b"number.h" in done.stderr


def test_file_that_could_not_be_compiled_is_compiled_next_time(checkout):
    date = (checkout.folder / "src/core/other.c").stat().st_mtime_ns
    checkout.write("src/core/other.c", "#error not yet\n")
    assert checkout.build().returncode != 0
    # The old object is newer than this.
    checkout.write("src/core/other.c", FILES["src/core/other.c"])
    os.utime(checkout.folder / "src/core/other.c", ns=(date, date))
    assert checkout.compiled() == {"other"}


# ---- what it does not run on ---------------------------------------------------------------------

MESSAGE = "sharedmap needs CPython on 64-bit, little-endian Linux or macOS; nothing was built."
ELSEWHERE = {
    "sys.platform = 'win32'": f"{MESSAGE} On Windows, use WSL.",
    "sys.platform = 'freebsd14'": MESSAGE,
    "sys.maxsize = 2**31 - 1": MESSAGE,
    "sys.byteorder = 'big'": MESSAGE,
    "sys.implementation.name = 'pypy'": MESSAGE,
}
BUILD_ELSEWHERE = """
import sys, setuptools.command.build_ext as command, setuptools.command.sdist
command.build_ext.finalize_options = lambda self: None
source, folder, *changes = sys.argv[1:]
for change in changes:
    kept = sys.platform, sys.maxsize, sys.byteorder, sys.implementation.name
    sys.argv = ["setup.py", "build_ext", "--build-lib", folder]
    try:
        exec(change)
        exec(compile(open(source).read(), source, "exec"))
    except SystemExit as stopped:
        told = stopped.code
    sys.platform, sys.maxsize, sys.byteorder, sys.implementation.name = kept
    print(told)
"""


def test_build_on_another_system_stops_and_says_what_is_needed(tmp_path):
    words = [sys.executable, "-c", BUILD_ELSEWHERE, TOP / "setup.py", tmp_path, *ELSEWHERE]
    done = subprocess.run(words, cwd=TOP, capture_output=True, text=True)
    told = [line for line in done.stdout.splitlines() if line != "running build_ext"]
    assert told == [*ELSEWHERE.values()]
    assert list(tmp_path.iterdir()) == []
