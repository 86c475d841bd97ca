"""Cross-compiles the extension for macOS, FreeBSD and musl, and checks what comes out.

    python -m pip install ziglang
    python tools/cross.py [FOLDER]

For each target: every source compiles without a warning, the extension is linked with the symbols
of CPython left undefined, it exports only the module's init, and what else it needs is in the list
below. Nothing of it is run: there is none of these systems here. The headers of CPython are those
of the Python that runs this, whose settings for sizes are the same.

The compiler and the headers are zig's, from the package ziglang; without it this says NOT TESTED.
zig 0.17 crashes when it is to link a bundle, so ld64.lld does that (Debian's package lld). Without
it the check is made of a dynamic library, which zig can link.
"""

import importlib.util
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from glob import iglob
from pathlib import Path

TOP = Path(__file__).parents[1]
TARGETS = ("aarch64-macos", "x86_64-macos", "x86_64-freebsd", "aarch64-linux-musl")
SWITCHES = shlex.split(
    "-std=c11 -O2 -DNDEBUG -fPIC -fvisibility=hidden -Wall -Wextra -Wshadow -Wmissing-prototypes"
    " -Wno-unused-parameter -Werror -DSHAREDMAP_VERSION='\"\"'"
)
EXPORTED = "PyInit__sharedmap"
# What the extension takes from the C library, and what for.
NEEDED = {
    "memory": "bcmp bzero __bzero free malloc posix_memalign memchr memcmp memcpy memmove memset"
    " __memcpy_chk",
    "text": "snprintf __snprintf_chk strcmp strerror strlen strncmp strrchr strspn strtoul",
    "files": "access close fchmod fcntl fstat fsync ftruncate link linkat lstat open"
    " posix_fallocate pread pwrite read rename stat unlink",
    "locks of FreeBSD": "flock",
    "directories": "closedir mkdir opendir readdir faccessat fstatvfs statvfs",
    "mappings": "madvise mmap minherit munmap sysconf",
    "users and places": "confstr geteuid getenv",
    "time and waiting": "clock_gettime nanosleep",
    "waking by kqueue": "futimens kevent kqueue",
    "what only Linux has": "inotify_add_watch inotify_init1 syscall",
    "random bytes": "getentropy getrandom",
    "forks and threads": "pthread_atfork pthread_mutex_init pthread_mutex_lock pthread_mutex_unlock"
    " pthread_once _tlv_bootstrap",
    "the C library itself": "__errno_location __error __stack_chk_fail __stack_chk_guard"
    " __tls_get_addr dyld_stub_binder",
}
# nlist_64 of Mach-O: what the bits of n_type mean, and the command that has the table.
EXTERNAL, KIND, UNDEFINED, SYMBOL_TABLE = 0x01, 0x0E, 0x00, 0x2
# Of its header: what kind of file it is.
MACHO_LIBRARY, MACHO_BUNDLE = 6, 8
LINKERS_OWN = {"__dso_handle", "_mh_dylib_header", "_mh_bundle_header"}
LEAST_MACOS = "11.0"


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


def symbols_of_elf(path):
    """The same of a shared library for FreeBSD or Linux, by binutils."""
    listed = subprocess.run(["nm", "-D", path], check=True, capture_output=True, text=True).stdout
    exported, undefined = set(), set()
    for line in listed.splitlines():
        *_, kind, name = line.split()
        (undefined if kind in "Uw" else exported).add(name.partition("@")[0])
    return exported, undefined


def is_of_cpython(name):
    return name.startswith(("Py", "_Py"))


def unexplained(undefined):
    """Symbols that are neither CPython's nor in the list; `$` is followed by a variant's name."""
    listed = {name for names in NEEDED.values() for name in names.split()}
    return {
        name for name in undefined if not is_of_cpython(name) and name.split("$")[0] not in listed
    }


def library_of_system(folder):
    """The symbols of libSystem, without the processors that lld of 2022 does not know."""
    import ziglang

    described = Path(ziglang.__file__).parent / "lib/libc/darwin/libSystem.tbd"
    text = re.sub(r",\s*arm64e\.x1-\w+|arm64e\.x1-\w+,\s*", "", described.read_text())
    (folder / "libSystem.tbd").write_text(text.replace("arm64e-", "arm64-"))
    return folder


def link(target, compiler, objects, folder):
    """The extension, and the kind of file that it is."""
    library = folder / f"_sharedmap.{target}.so"
    linker = shutil.which("ld64.lld") or next(iglob("/usr/lib/llvm-*/bin/ld64.lld"), None)
    if target.endswith("macos") and linker is not None:
        processor = {"aarch64": "arm64"}.get(target.partition("-")[0], "x86_64")
        command = [linker, "-bundle", "-undefined", "dynamic_lookup", "-arch", processor]
        command += ["-platform_version", "macos", LEAST_MACOS, LEAST_MACOS]
        command += [f"-L{library_of_system(folder)}", "-lSystem", "-o", library, *objects]
    else:
        lookup = ["-Wl,-undefined,dynamic_lookup"] if target.endswith("macos") else []
        command = [*compiler, "-shared", *lookup, *objects, "-o", library]
    subprocess.run(command, check=True)
    return library


def build(target, folder):
    version = f".{LEAST_MACOS}" if target.endswith("macos") else ""
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", target + version]
    include = sysconfig.get_path("include")
    sources = sorted([*TOP.glob("src/core/**/*.c"), *TOP.glob("src/binding/*.c")])

    def compile_one(source):
        built = folder / (source.relative_to(TOP / "src").as_posix().replace("/", "_") + ".o")
        command = [*compiler, *SWITCHES, f"-I{TOP}/src", "-isystem", include]
        subprocess.run([*command, "-c", source, "-o", built], check=True)
        return built

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, sources))
    return link(target, compiler, objects, folder), len(objects)


def kind_of(path):
    """What of files the system has to load."""
    magic, _, _, kind = struct.unpack_from("<4I", path.read_bytes())
    if magic != 0xFEEDFACF:
        return "shared library"
    return {MACHO_BUNDLE: "bundle", MACHO_LIBRARY: "dynamic library"}[kind]


def check(target, folder):
    folder.mkdir(parents=True, exist_ok=True)
    library, count = build(target, folder)
    if target.endswith("macos"):
        exported, undefined = symbols(library)
        # The only one without an underscore, which all others begin with.
        exported, undefined = (
            {name if name == "dyld_stub_binder" else name[1:] for name in names}
            for names in (exported, undefined)
        )
        exported -= LINKERS_OWN
    else:
        exported, undefined = symbols_of_elf(library)
    if exported != {EXPORTED}:
        sys.exit(f"{target}: exports {sorted(exported)}, not only {EXPORTED}")
    if strange := unexplained(undefined):
        sys.exit(f"{target}: needs {sorted(strange)}, which nothing in the list explains")
    ours = sum(map(is_of_cpython, undefined))
    print(
        f"{target}: {count} files, a {kind_of(library)} of {library.stat().st_size:,} bytes; needs"
        f" {ours} symbols of CPython and {len(undefined) - ours} of the system",
        flush=True,
    )


def main():
    if importlib.util.find_spec("ziglang") is None:
        print("NOT TESTED other systems: the package ziglang is not installed")
        return
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="sharedmap-cross-"))
    for target in TARGETS:
        check(target, folder / target)


if __name__ == "__main__":
    main()
