"""What contenders need beyond installed packages: a binding for libcdb, and the C++ ancestor.

Both go into build/benchmarks, in a folder for each version of Python, and are made once.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "build" / "benchmarks" / f"{sysconfig.get_config_var('SOABI')}"
ANCESTOR = "sharedmap==1.0.6"
SETUP = """
from setuptools import Extension, setup
setup(name="cdb_binding", ext_modules=[Extension("cdb_binding", [{source!r}], libraries=["cdb"])])
"""


def cdb_folder() -> Path:
    return CACHE / "cdb"


def ancestor_folder() -> Path:
    return CACHE / "ancestor"


def build_cdb() -> str | None:
    """Builds the binding; says why it could not."""
    folder, source = cdb_folder(), Path(__file__).with_name("cdb_binding.c")
    built = list(folder.glob("cdb_binding*.so"))
    if built and built[0].stat().st_mtime > source.stat().st_mtime:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath("setup.py").write_text(SETUP.format(source=str(source)))
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", "--force"]
    return run(command, folder, "building the binding for libcdb")


def cdb_version() -> str:
    for line in Path("/usr/include/cdb.h").read_text().splitlines():
        if line.startswith("#define TINYCDB_VERSION"):
            return line.split()[-1]
    return "unknown"


def install_ancestor() -> str | None:
    """Installs the ancestor into its folder; says why it could not."""
    folder = ancestor_folder()
    if list(folder.glob("sharedmap*.so")):
        return None
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--target", str(folder), ANCESTOR]
    return run(command, ROOT, f"installing {ANCESTOR}")


def run(command: list[str], folder: Path, what: str) -> str | None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
    errors = [line for line in lines if "error" in line.lower()] or lines
    message = errors[0].strip().replace(str(ROOT), ".").replace(str(Path.home()), "~")
    return f"{what} failed: {message}"
