"""The one extension, its build switches, and archives that are the same whenever they are made.

SHAREDMAP_DEBUG=1                     no optimisation, assertions, test hooks, all warnings
SHAREDMAP_PORTABLE=1                  on Linux, too, only what every POSIX system has
SHAREDMAP_SANITIZE=address,undefined  what the compiler calls -fsanitize=...

Everything else is in pyproject.toml. Why setuptools and not meson-python, which would rebuild an
editable install by itself: an extension has to be compiled with the switches that its Python was
compiled with, the distribution's hardening among them, which setuptools takes over and Meson does
not; `meson dist` makes a source archive of a git repository only, not of an unpacked archive; and
an installation took as long with either, as most of it is pip's. tools/develop.py rebuilds instead.

Only what changed is compiled. An object is up to date when it is newer than its source and every
header that the compiler read, and the same command made it. Both are recorded beside the object, in
build/temp.*, a folder for each environment: FILE.d names the files, as make would read them, and
FILE.command is the command, because the switches are in no file's date. After an update of the
compiler: `make clean`.
"""

import gzip
import os
import shlex
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

# What bdist_wheel takes for the date of all files; the first that a zip file can hold.
DATE = int(os.environ.setdefault("SOURCE_DATE_EPOCH", "315532800"))

# Where it was built is nobody's business, and would make two builds differ.
COMPILE = ["-std=c11", "-fvisibility=hidden", f"-ffile-prefix-map={os.getcwd()}=."]
if sys.platform == "linux":
    COMPILE += ["-MMD", "-MP"]  # write down which headers were read; not for two processors at once
LINK, MACROS = [], []
PROCESSORS = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
WARNINGS = "-Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes -Wno-unused-parameter"

if os.environ.get("SHAREDMAP_DEBUG", "0") not in ("", "0"):
    COMPILE += ["-O0", "-g3", "-UNDEBUG", "-U_FORTIFY_SOURCE", *WARNINGS.split()]
    MACROS += [("SHAREDMAP_TESTING", None)]
if os.environ.get("SHAREDMAP_PORTABLE", "0") not in ("", "0"):
    MACROS += [("SHAREDMAP_PORTABLE", None)]
if sanitizers := os.environ.get("SHAREDMAP_SANITIZE"):
    LINK += [f"-fsanitize={sanitizers}", "-fno-omit-frame-pointer", "-g"]
    COMPILE += LINK


def is_up_to_date(built, command):
    """Whether `command` made this object from the files as they are now."""
    try:
        if Path(built).with_suffix(".command").read_text() != command:
            return False
        rule = Path(built).with_suffix(".d").read_text().replace("\\\n", " ").splitlines()[0]
        _, *sources = shlex.split(rule)
        date = os.stat(built).st_mtime_ns
        return all(os.stat(source).st_mtime_ns < date for source in sources)
    except OSError:  # one of them is missing
        return False


class BuildExtension(build_ext):
    def run(self):
        here = (sys.implementation.name, sys.maxsize, sys.byteorder)
        if here != ("cpython", 2**63 - 1, "little") or sys.platform not in ("linux", "darwin"):
            advice = " On Windows, use WSL." if sys.platform == "win32" else ""
            sys.exit(
                "sharedmap needs CPython on 64-bit, little-endian Linux or macOS; nothing was"
                f" built.{advice}"
            )
        self.force = True  # always link, which is quick; build_extensions() says what is compiled
        self.build_temp += f"-{os.path.basename(sys.prefix)}"
        version = self.distribution.get_version()
        self.extensions[0].define_macros.append(("SHAREDMAP_VERSION", f'"{version}"'))
        super().run()

    def build_extensions(self):
        """Compiles what is out of date, as many files at a time as there are processors."""
        compile_in_turn, compile_one = self.compiler.compile, self.compiler._compile

        def compile_if_needed(built, source, suffix, switches, switches_behind, macros):
            command = shlex.join([*self.compiler.compiler_so, *switches, source, *switches_behind])
            record = Path(built).with_suffix(".command")
            if not is_up_to_date(built, command):
                record.unlink(missing_ok=True)  # what fails or is killed is out of date
                compile_one(built, source, suffix, switches, switches_behind, macros)
                record.write_text(command)

        def compile_at_once(sources, **options):
            with ThreadPoolExecutor(PROCESSORS) as pool:
                done = pool.map(lambda source: compile_in_turn([source], **options), sources)
                return [file for files in done for file in files]

        self.compiler._compile = compile_if_needed
        self.compiler.compile = compile_at_once
        super().build_extensions()


class SourceArchive(sdist):
    def make_archive(self, base_name, format, root_dir=None, base_dir=None, **_):
        """The same bytes for the same files, whoever has them and since when."""

        def anonymous(member):
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = DATE
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        name = f"{base_name}.tar.gz"
        with (
            open(name, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=DATE) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            archive.add(base_dir, filter=anonymous)
        return name


extension = Extension(
    "sharedmap._sharedmap",
    sources=sorted(glob("src/core/**/*.c", recursive=True) + glob("src/binding/*.c")),
    depends=sorted(glob("src/**/*.h", recursive=True)),
    include_dirs=["src"],
    define_macros=MACROS,
    extra_compile_args=COMPILE,
    extra_link_args=LINK,
)
setup(ext_modules=[extension], cmdclass={"build_ext": BuildExtension, "sdist": SourceArchive})
