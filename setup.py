"""The one extension and its two build switches; everything else is in pyproject.toml.

SHAREDMAP_DEBUG=1                     no optimisation, assertions, test hooks, all warnings
SHAREDMAP_SANITIZE=address,undefined  what the compiler calls -fsanitize=...
"""

import os
import sys
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

COMPILE, LINK, MACROS = ["-std=c11", "-fvisibility=hidden"], [], []
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


extension = Extension(
    "sharedmap._sharedmap",
    sources=sorted(glob("src/core/*.c") + glob("src/binding/*.c")),
    depends=sorted(glob("src/*/*.h")),
    include_dirs=["src"],
    define_macros=MACROS,
    extra_compile_args=COMPILE,
    extra_link_args=LINK,
)
setup(ext_modules=[extension], cmdclass={"build_ext": BuildExtension})
