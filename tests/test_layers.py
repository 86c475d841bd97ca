"""The house of the sources: each file stands on the floors below it, blind to those above."""

import os
import re

import pytest
from helpers import HERE
from house import (
    COMMENT,
    FLOORS,
    SEEN_BY_BINDING,
    SOURCES,
    STRING,
    c_files,
    code,
    floor_of,
    other_includes,
    own_includes,
)

if not (SOURCES / "core").is_dir():
    pytest.skip(
        "an installed package is tested, its sources are elsewhere", allow_module_level=True
    )

# Floors that could see a lower one but must not: what they must not know of.
TREE = {"rbtree_node", "rbtree"}
STRANGERS = {
    "sort": {"arena", "hash"},
    "rbtree": {"arena", "hash", "sort"},
    "order_index": {*TREE, "slab", "arena", "entry", "hash", "sort"},
    "hash_index": {*TREE, "arena", "entry", "slice", "snapshot_header", "sort"},
    "snapshot_writer": {*TREE, "arena", "sort"},
    "snapshot_reader": {*TREE, "arena", "snapshot_writer", "sort"},
    "snapshot_search": {*TREE, "arena", "hash", "hash_index", "snapshot_writer", "sort"},
    "merge": {*TREE, "arena", "hash_index", "snapshot_writer", "sort"},
    "segment": {*TREE, "hash_index", "merge", "snapshot_reader", "snapshot_writer", "sort"},
    "publish": {*TREE, "hash_index", "sort"},
}

# What the core takes from the language; what it takes from the system is for `segment` alone, but
# for the few that are named here.
STANDARD_HEADERS = {
    "assert.h",
    "limits.h",
    "stdalign.h",
    "stdatomic.h",
    "stdbool.h",
    "stddef.h",
    "stdint.h",
    "stdlib.h",
    "string.h",
}

SYSTEM_HEADERS_ELSEWHERE = {
    "fork_list.c": {"pthread.h"},
    "memory.c": {"errno.h", "sys/mman.h"},
    "slab.c": {"sanitizer/asan_interface.h"},
}
SYSTEM_CALLS_ELSEWHERE = {
    "fork_list.c": {
        "pthread_atfork",
        "pthread_mutex_lock",
        "pthread_mutex_unlock",
        "pthread_once",
    },
    "memory.c": {"madvise"},
}

# Modules of the standard library that the binding may ask for, when they are first needed.
IMPORTED_BY_BINDING = {"collections.abc", "copy", "copyreg", "os", "pwd"}

SYSTEM_CALLS = [
    "access",
    "chmod",
    "chown",
    "clock_gettime",
    "clone",
    "close",
    "copy_file_range",
    "creat",
    "dup",
    "dup2",
    "eventfd",
    "execve",
    "fallocate",
    "fchmod",
    "fchown",
    "fcntl",
    "fdatasync",
    "flock",
    "fopen",
    "fork",
    "fread",
    "fstat",
    "fstatat",
    "fsync",
    "ftruncate",
    "futex",
    "fwrite",
    "getdents",
    "getenv",
    "getpid",
    "getrandom",
    "geteuid",
    "getuid",
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "ioctl",
    "kill",
    "link",
    "linkat",
    "lockf",
    "lseek",
    "lstat",
    "madvise",
    "memfd_create",
    "mkdir",
    "mlock",
    "mmap",
    "mprotect",
    "mremap",
    "msync",
    "munmap",
    "nanosleep",
    "open",
    "openat",
    "opendir",
    "pipe",
    "poll",
    "posix_fallocate",
    "posix_madvise",
    "prctl",
    "pread",
    "printf",
    "pthread_atfork",
    "pthread_create",
    "pthread_mutex_lock",
    "pthread_mutex_unlock",
    "pthread_once",
    "pwrite",
    "read",
    "readdir",
    "readlink",
    "recv",
    "rename",
    "renameat",
    "rmdir",
    "sched_yield",
    "select",
    "semctl",
    "semop",
    "send",
    "shm_open",
    "shm_unlink",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
    "sigaction",
    "signal",
    "socket",
    "stat",
    "statfs",
    "statvfs",
    "symlink",
    "sync",
    "syscall",
    "sysconf",
    "time",
    "truncate",
    "umask",
    "uname",
    "unlink",
    "unlinkat",
    "usleep",
    "waitpid",
    "write",
    "writev",
]

MOST_LINES = 700

CORE = c_files("core")
BINDING = c_files("binding")

each_core_file = pytest.mark.parametrize("file", CORE, ids=lambda file: file.name)
each_binding_file = pytest.mark.parametrize("file", BINDING, ids=lambda file: file.name)
each_file = pytest.mark.parametrize(
    "file", CORE + BINDING, ids=lambda file: f"{file.parent.name}/{file.name}"
)


def calls(file):
    return set(re.findall(r"(?<!->)(?<!\.)\b([a-z_0-9]+)\s*\(", code(file)))


@each_core_file
def test_core_file_has_a_floor(file):
    assert floor_of(file.name) is not None


def test_every_floor_has_a_file():
    assert {floor_of(file.name) for file in CORE} == set(FLOORS)
    assert set(FLOORS) >= SEEN_BY_BINDING | set(STRANGERS) | set().union(*STRANGERS.values())


@each_core_file
def test_core_file_includes_only_floors_below(file):
    own = FLOORS.index(floor_of(file.name))
    for include in own_includes(file):
        assert include.startswith("core/"), include
        assert FLOORS.index(floor_of(include)) <= own, include


@each_core_file
def test_core_file_does_not_include_strangers(file):
    included = {floor_of(include) for include in own_includes(file)}
    assert included & STRANGERS.get(floor_of(file.name), set()) == set()


@each_core_file
def test_core_file_that_no_other_floor_may_include_is_included_by_none(file):
    """In a floor of several files the header named like the floor is the only way in."""
    for include in own_includes(file):
        floor = floor_of(include)
        assert floor == floor_of(file.name) or include == f"core/{floor}.h", include


@each_core_file
def test_core_file_never_heard_of_python(file):
    assert re.findall(r"\b_?Py\w*", code(file)) == []
    assert [include for include in other_includes(file) if include.lower().startswith("py")] == []


@each_core_file
def test_system_headers_are_included_by_segment_only(file):
    if floor_of(file.name) == "segment" and file.suffix == ".c":
        return
    allowed = SYSTEM_HEADERS_ELSEWHERE.get(file.name, set())
    assert set(other_includes(file)) - STANDARD_HEADERS <= allowed


@each_core_file
def test_system_calls_are_made_by_segment_only(file):
    if floor_of(file.name) == "segment":
        return
    allowed = SYSTEM_CALLS_ELSEWHERE.get(file.name, set())
    assert calls(file) & set(SYSTEM_CALLS) <= allowed


@each_binding_file
def test_binding_file_makes_no_system_call(file):
    assert calls(file) & set(SYSTEM_CALLS) == set()


@each_binding_file
def test_binding_file_includes_no_system_header(file):
    allowed = STANDARD_HEADERS | {"Python.h", "structmember.h", "errno.h", "math.h"}
    assert set(other_includes(file)) - allowed == set()


@each_binding_file
def test_binding_file_includes_only_what_hides_layout_and_system(file):
    for include in own_includes(file):
        folder, name = include.split("/")
        assert folder in ("binding", "core"), include
        if folder == "core":
            assert name.removesuffix(".h") in SEEN_BY_BINDING, include


@each_binding_file
def test_binding_file_knows_no_byte_of_the_layout(file):
    assert (
        re.findall(
            r"\b(?:SNAPSHOT|RECORD)_\w+|\bsnapshot_header_\w+|\bsnapshot_write\w*", code(file)
        )
        == []
    )


@each_binding_file
def test_binding_file_imports_only_what_it_names(file):
    """Bytes from shared memory must not become code, hence not the name of a module either."""
    code = re.sub(
        f"({STRING})|{COMMENT}", lambda found: found[1] or " ", file.read_text(), flags=re.DOTALL
    )
    imported = re.findall(r"\bPyImport_\w+\s*\([^)]*\)", code)
    assert set(imported) <= {f'PyImport_ImportModule("{name}")' for name in IMPORTED_BY_BINDING}


@each_file
def test_include_says_its_folder(file):
    assert [include for include in own_includes(file) if "/" not in include] == []


@each_file
def test_file_is_short_enough_to_be_read(file):
    assert len(file.read_text().splitlines()) <= MOST_LINES


def test_files_of_the_tests_are_short_enough_to_be_read():
    lengths = {
        file.relative_to(HERE): len(file.read_text().splitlines())
        for file in HERE.rglob("*")
        if file.suffix in (".py", ".c", ".h", ".sh")
    }
    assert {"test_layers.py", "core/check.h"} <= {os.fspath(file) for file in lengths}
    assert {file: length for file, length in lengths.items() if length > MOST_LINES} == {}


def test_segment_makes_the_system_calls_that_these_tests_look_for():
    """So that the tests above cannot pass by looking for nothing."""
    found = set().union(*(calls(file) for file in CORE if floor_of(file.name) == "segment"))
    assert {"open", "mmap", "linkat", "rename", "posix_fallocate", "pwrite"} <= found & set(
        SYSTEM_CALLS
    )


def test_comments_do_not_count_as_code(tmp_path):
    file = tmp_path / "file.c"
    file.write_text('/* Py_None */ a = "Py_None"; // Py_None\nb = \'"\'; c = d; /* open( */')
    assert "Py" not in code(file)
    assert "open" not in code(file)
    assert "c = d" in code(file)
