"""The one extension, its two build switches, and archives that are the same whenever they are made.

SHAREDMAP_DEBUG=1                     no optimisation, assertions, test hooks, all warnings
SHAREDMAP_SANITIZE=address,undefined  what the compiler calls -fsanitize=...

Everything else is in pyproject.toml. Why setuptools and not meson-python, which would rebuild an
editable install by itself: an extension has to be compiled with the switches that its Python was
compiled with, the distribution's hardening among them, which setuptools takes over and Meson does
not; `meson dist` makes a source archive of a git repository only, not of an unpacked archive; and
an installation took as long with either, as most of it is pip's. tools/develop.py rebuilds instead.
"""

import gzip
import os
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

# What bdist_wheel takes for the date of all files; the first that a zip file can hold.
DATE = int(os.environ.setdefault("SOURCE_DATE_EPOCH", "315532800"))

# Where it was built is nobody's business, and would make two builds differ.
COMPILE = ["-std=c11", "-fvisibility=hidden", f"-ffile-prefix-map={os.getcwd()}=."]
LINK, MACROS = [], []
WARNINGS = "-Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes -Wno-unused-parameter"

if os.environ.get("SHAREDMAP_DEBUG", "0") not in ("", "0"):
    COMPILE += ["-O0", "-g3", "-UNDEBUG", "-U_FORTIFY_SOURCE", *WARNINGS.split()]
    MACROS += [("SHAREDMAP_TESTING", None)]
if sanitizers := os.environ.get("SHAREDMAP_SANITIZE"):
    LINK += [f"-fsanitize={sanitizers}", "-fno-omit-frame-pointer", "-g"]
    COMPILE += LINK


class BuildExtension(build_ext):
    def run(self):
        here = (sys.implementation.name, sys.platform, sys.maxsize, sys.byteorder)
        if here != ("cpython", "linux", 2**63 - 1, "little"):
            sys.exit("sharedmap needs CPython on 64-bit, little-endian Linux; nothing was built.")
        self.force = True  # the switches are in no file's date
        version = self.distribution.get_version()
        self.extensions[0].define_macros.append(("SHAREDMAP_VERSION", f'"{version}"'))
        super().run()

    def build_extensions(self):
        """Compiles as many files at a time as there are processors."""
        compile_in_turn = self.compiler.compile

        def compile_at_once(sources, **options):
            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                done = pool.map(lambda source: compile_in_turn([source], **options), sources)
                return [file for files in done for file in files]

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
