"""Cross-compiles the extension for macOS with zig's C compiler, and checks what comes out.

    python -m pip install ziglang
    python tools/macos.py [FOLDER]

For each processor: every source compiles without a warning, the library is linked with the symbols
of CPython left undefined, it exports only the module's init, and what else it needs is in the list
below. Nothing of it is run: there is no macOS here. The headers of CPython are those of the Python
that runs this, whose settings for sizes are the same. zig cannot link a bundle; Python loads a
dynamic library as well. Without ziglang it says NOT TESTED.
"""

import importlib.util
import os
import shlex
import struct
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).parents[1]
TARGETS = ("aarch64-macos", "x86_64-macos")
SWITCHES = shlex.split(
    "-std=c11 -O2 -DNDEBUG -fvisibility=hidden -Wall -Wextra -Wshadow -Wmissing-prototypes"
    " -Wno-unused-parameter -Werror -DSHAREDMAP_VERSION='\"\"'"
)
EXPORTED = "_PyInit__sharedmap"
# What the library takes from libSystem, and what for.
NEEDED = {
    "memory": "bzero __bzero free malloc posix_memalign memchr memcmp memcpy memmove memset"
    " __memcpy_chk",
    "text": "snprintf __snprintf_chk strcmp strerror strlen strncmp strrchr strspn",
    "files": "close fchmod fcntl fstat fsync link lstat open pread pwrite read rename stat unlink",
    "directories": "closedir mkdir opendir readdir faccessat fstatvfs statvfs",
    "mappings": "mmap minherit munmap",
    "users and places": "confstr geteuid getenv",
    "time and waiting": "clock_gettime nanosleep",
    "random bytes": "getentropy",
    "forks and threads": "pthread_atfork pthread_mutex_init pthread_mutex_lock pthread_mutex_unlock"
    " pthread_once _tlv_bootstrap",
    "the C library itself": "__error __stack_chk_fail __stack_chk_guard",
}
# nlist_64 of Mach-O: what the bits of n_type mean, and the command that has the table.
EXTERNAL, KIND, UNDEFINED, SYMBOL_TABLE = 0x01, 0x0E, 0x00, 0x2


def symbols(path):
    """The exported and the undefined symbols of a 64-bit Mach-O file."""
    data = path.read_bytes()
    magic, _, _, _, count = struct.unpack_from("<5I", data)
    if magic != 0xFEEDFACF:
        sys.exit(f"{path}: not a 64-bit Mach-O file")
    exported, undefined, at = set(), set(), 32
    for _ in range(count):
        command, size, *table = struct.unpack_from("<6I", data, at)
        at += size
        if command != SYMBOL_TABLE:
            continue
        first, entries, texts, _ = table
        for index in range(entries):
            text, kind = struct.unpack_from("<IB", data, first + 16 * index)
            if kind & EXTERNAL:
                begin = texts + text
                name = data[begin : data.index(b"\0", begin)].decode()
                (undefined if kind & KIND == UNDEFINED else exported).add(name)
    return exported, undefined


def unexplained(undefined):
    """Symbols that are neither CPython's nor in the list; `$` is followed by a variant's name."""
    listed = {f"_{name}" for names in NEEDED.values() for name in names.split()}
    listed.add("dyld_stub_binder")  # the only one without an underscore
    return {
        name
        for name in undefined
        if not name.startswith(("_Py", "__Py")) and name.split("$")[0] not in listed
    }


def build(target, folder):
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", target]
    include = sysconfig.get_path("include")
    sources = sorted([*TOP.glob("src/core/**/*.c"), *TOP.glob("src/binding/*.c")])

    def compile_one(source):
        built = folder / (source.relative_to(TOP / "src").as_posix().replace("/", "_") + ".o")
        command = [*compiler, *SWITCHES, f"-I{TOP}/src", "-isystem", include]
        subprocess.run([*command, "-c", source, "-o", built], check=True)
        return built

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, sources))
    library = folder / f"_sharedmap.{target}.so"
    link = [*compiler, "-shared", "-Wl,-undefined,dynamic_lookup", *objects, "-o", library]
    subprocess.run(link, check=True)
    return library, len(objects)


def main():
    if importlib.util.find_spec("ziglang") is None:
        print("NOT TESTED macOS: the package ziglang is not installed")
        return
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="sharedmap-macos-"))
    for target in TARGETS:
        objects = folder / target
        objects.mkdir(parents=True, exist_ok=True)
        library, count = build(target, objects)
        exported, undefined = symbols(library)
        exported -= {"___dso_handle", "__mh_dylib_header"}  # the linker's own
        if exported != {EXPORTED}:
            sys.exit(f"{target}: exports {sorted(exported)}, not only {EXPORTED}")
        if strange := unexplained(undefined):
            sys.exit(f"{target}: needs {sorted(strange)}, which nothing in the list explains")
        ours = sum(name.startswith(("_Py", "__Py")) for name in undefined)
        print(
            f"{target}: {count} files, {library.stat().st_size:,} bytes; needs {ours} symbols of"
            f" CPython and {len(undefined) - ours} of the system"
        )


if __name__ == "__main__":
    main()
