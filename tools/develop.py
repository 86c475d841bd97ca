"""Installs the package editable, so that it is rebuilt whenever it is imported and out of date.

    python tools/develop.py

The package is then imported from src/, where its extension is put, too. A file in the environment's
site-packages runs install() whenever its Python starts: the first `import sharedmap` compares dates
and, if need be, has setup.py build the extension once more; what the compiler says when it cannot
is an ImportError. The switches of setup.py, and CC, are remembered as they were at installation.
"""

import fcntl
import importlib.abc
import os
import pathlib
import subprocess
import sys
import sysconfig

TOP = pathlib.Path(__file__).resolve().parents[1]
SWITCHES = ["CC", "SHAREDMAP_DEBUG", "SHAREDMAP_PORTABLE", "SHAREDMAP_SANITIZE"]


def is_out_of_date():
    extension = TOP / f"src/sharedmap/_sharedmap{sysconfig.get_config_var('EXT_SUFFIX')}"
    # The folders, too: a file that was removed has no date any more.
    sources = [TOP / "setup.py", TOP / "pyproject.toml", TOP / "src/core", TOP / "src/binding"]
    sources += [*TOP.glob("src/core/*/"), *TOP.glob("src/**/*.[ch]")]
    newest = max(source.stat().st_mtime_ns for source in sources)
    return not extension.exists() or extension.stat().st_mtime_ns < newest


def build(switches):
    (TOP / "build").mkdir(exist_ok=True)
    with open(TOP / "build/develop.lock", "w") as lock:
        # Many processes may import it at once; the others wait for the first, and find it built.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_out_of_date():
            return
        environment = {name: value for name, value in os.environ.items() if name not in SWITCHES}
        done = subprocess.run(
            [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
            cwd=TOP,
            env=environment | switches,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    if done.returncode != 0:
        raise ImportError(f"the extension of sharedmap could not be rebuilt:\n{done.stdout}")


class Rebuilder(importlib.abc.MetaPathFinder):
    """Finds nothing, but is asked first."""

    def __init__(self, switches):
        self.switches = switches

    def find_spec(self, name, path=None, target=None):
        if name == "sharedmap" and is_out_of_date():
            build(self.switches)
        return None


def install(switches):
    sys.meta_path.insert(0, Rebuilder(switches))


def main():
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "setuptools >= 77", "--editable", f"{TOP}[test]"], check=True)
    switches = {name: os.environ[name] for name in SWITCHES if name in os.environ}
    hook = f"import runpy; runpy.run_path({os.fspath(TOP / 'tools/develop.py')!r})"
    place = pathlib.Path(sysconfig.get_path("purelib"), "sharedmap_develop.pth")
    place.write_text(f"{hook}['install']({switches!r})\n")


if __name__ == "__main__":
    main()
