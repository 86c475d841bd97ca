"""The house of the sources: each folder stands on those below it, and so does each file in it."""

import ast
import functools
import os
import re
import shutil
import subprocess
import sysconfig
from collections import defaultdict

import house
import mutants
import pytest
from helpers import TESTS
from house import (
    COMMENT,
    FOLDERS,
    SEEN_BY_BINDING,
    SOURCES,
    STRING,
    c_files,
    code,
    folder_of,
    other_includes,
    own_includes,
    unit_of,
)

if not (SOURCES / "core").is_dir():
    pytest.skip(
        "an installed package is tested, its sources are elsewhere", allow_module_level=True
    )

# Units that could see a lower one but must not: what they must not know of.
HASH_INDEX = "core/snapshot/hash_index"
READER, WRITER = "core/snapshot/snapshot", "core/snapshot/writer"
ARENA, SORT, HASH = "core/base/arena", "core/base/sort", "core/base/hash"
STRANGERS = {
    "core/base/sort": {ARENA, HASH},
    HASH_INDEX: {"core/base/entry", "core/base/slice", "core/snapshot/header"},
    READER: {WRITER},
    "core/snapshot/search": {HASH, HASH_INDEX, WRITER},
    "core/snapshot/merge": {HASH_INDEX, WRITER},
    "core/publish": {HASH_INDEX},
}
# And folders: what their files must not know of the folders that they stand on.
STRANGERS_OF_FOLDERS = {
    "core/tree": {ARENA, HASH, SORT},
    "core/snapshot": {ARENA, SORT},
    "core/segment": {HASH_INDEX, READER, WRITER, SORT, "core/snapshot/merge"},
    "core": {SORT},
}
# But a log of deltas is copied and sorted where it is read: others may write to its bytes.
EXCEPTIONS = {"core/snapshot/delta_log": {ARENA, SORT}}

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
    "core/base/memory": {"errno.h", "sys/mman.h"},
    "core/tree/slab": {"sanitizer/asan_interface.h"},
}

# The functions that an object needs from outside and that ask nothing of the system.
LANGUAGE = {"memchr", "memcmp", "memcpy", "memmove", "memset", "strcmp", "strlen", "strrchr"}
SYSTEM_ELSEWHERE = {
    "core/base/memory": {"__errno_location", "free", "madvise", "malloc", "posix_memalign"}
}
# Only the interpreter's API asks the system for the binding.
LANGUAGE_OF_BINDING = LANGUAGE | {"__errno_location", "strerror"}

# Two files that need each other, because the language does: a view iterates over its mapping, and
# a mapping makes its views.
CIRCLES = {frozenset({"binding/mapping_type", "binding/view_type"})}

# Modules that the binding may ask for, when they are first needed.
IMPORTED_BY_BINDING = {"collections.abc", "os", "pwd", "sharedmap._copying", "sharedmap._derived"}

MOST_LINES = 700

CORE = house.core_files()
BINDING = c_files("binding")


def name_of(file):
    return file.relative_to(SOURCES).as_posix()


each_core_file = pytest.mark.parametrize("file", CORE, ids=name_of)
each_binding_file = pytest.mark.parametrize("file", BINDING, ids=name_of)
each_file = pytest.mark.parametrize("file", CORE + BINDING, ids=name_of)


# ---- what a file includes ----------------------------------------------------------------------


def test_every_folder_is_known():
    folders = {folder_of(file) for file in (SOURCES / "core").rglob("*.[ch]")}
    assert folders == set(FOLDERS)
    known = {unit_of(file) for file in CORE}
    assert known >= SEEN_BY_BINDING | set(STRANGERS) | set(EXCEPTIONS) | set(SYSTEM_ELSEWHERE)
    assert known >= set().union(*STRANGERS.values(), *STRANGERS_OF_FOLDERS.values())


@each_core_file
def test_core_file_includes_only_folders_below(file):
    own = folder_of(file)
    for include in own_includes(file):
        assert folder_of(include) in {own, *FOLDERS[own]}, include


@each_core_file
def test_core_file_does_not_include_strangers(file):
    included = {unit_of(include) for include in own_includes(file)}
    assert not included & STRANGERS.get(unit_of(file), set())
    strangers = STRANGERS_OF_FOLDERS.get(folder_of(file), set())
    assert not included & (strangers - EXCEPTIONS.get(unit_of(file), set()))


@each_core_file
def test_core_file_never_heard_of_python(file):
    assert re.findall(r"\b_?Py\w*", code(file)) == []
    assert [include for include in other_includes(file) if include.lower().startswith("py")] == []


@each_core_file
def test_system_headers_are_included_by_segment_only(file):
    if folder_of(file) == "core/segment" and file.suffix == ".c":
        return
    allowed = SYSTEM_HEADERS_ELSEWHERE.get(unit_of(file), set())
    if file.name == "fork_list.c":
        allowed = {"pthread.h"}
    assert set(other_includes(file)) - STANDARD_HEADERS <= allowed


@each_binding_file
def test_binding_file_includes_no_system_header(file):
    allowed = STANDARD_HEADERS | {"Python.h", "structmember.h", "errno.h", "math.h", "signal.h"}
    assert set(other_includes(file)) - allowed == set()


@each_binding_file
def test_binding_file_includes_only_what_hides_layout_and_system(file):
    for include in own_includes(file):
        assert folder_of(include) == "binding" or unit_of(include) in SEEN_BY_BINDING, include


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


# Where platforms differ, and what tells them apart.
OF_PLATFORMS = ("core/base/memory", "core/segment/system")
PLATFORM = re.compile(
    r"^\s*#\s*(?:el)?if(?:n?def)?\b.*"
    r"(?:linux|unix|apple|mach|bsd|win32|SYSTEM_IS|PORTABLE|MADV|O_TMPFILE|F_OFD|F_PREALLOCATE|FUTEX|INOTIFY)",
    re.IGNORECASE | re.MULTILINE,
)


@each_file
def test_only_few_files_tell_platforms_apart(file):
    found = PLATFORM.findall(file.read_text())
    assert found == [] or unit_of(file).startswith(OF_PLATFORMS)


@pytest.mark.parametrize(
    "line",
    [
        "#ifdef __linux__",
        "#if defined(__APPLE__)",
        "# elif SYSTEM_IS_LINUX",
        "#ifndef MADV_COLLAPSE",
        "#ifdef F_OFD_SETLK",
    ],
)
def test_line_that_tells_platforms_apart_is_found(line):
    assert PLATFORM.search(f"int a;\n{line}\nint b;")
    assert not PLATFORM.search("#ifdef SHAREDMAP_TESTING\n#if PY_VERSION_HEX >= 0x030D0000")


@each_file
def test_include_says_its_folder(file):
    assert [include for include in own_includes(file) if "/" not in include] == []


@each_file
def test_file_is_short_enough_to_be_read(file):
    assert len(file.read_text().splitlines()) <= MOST_LINES


def test_files_of_the_tests_are_short_enough_to_be_read():
    lengths = {
        file.relative_to(TESTS): len(file.read_text().splitlines())
        for file in TESTS.rglob("*")
        if file.suffix in (".py", ".c", ".h", ".sh")
    }
    assert {"package/test_layers.py", "core/check.h"} <= {os.fspath(file) for file in lengths}
    assert {file: length for file, length in lengths.items() if length > MOST_LINES} == {}


def test_comments_do_not_count_as_code(tmp_path):
    file = tmp_path / "file.c"
    file.write_text('/* Py_None */ a = "Py_None"; // Py_None\nb = \'"\'; c = d; /* open( */')
    assert "Py" not in code(file)
    assert "open" not in code(file)
    assert "c = d" in code(file)


# ---- what a module of the package knows ----------------------------------------------------------

# Names of files: the prefix, the tilde of temporary ones, the escapes.
OF_NAMES = re.compile(rb"sharedmap\\?\.|[~%]")
OF_PATHS = re.compile(r"/dev/shm/|sharedmap~|%02[xX]|sharedmap\.\Z")


def literals(tree):
    """The constants of a module, without its docstrings."""
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in told:
            yield node.value


def knows_of_header(source):
    """Signs that a module takes a header apart: unpacking, offsets, the magic number."""
    tree = ast.parse(source)
    found = {value for value in literals(tree) if isinstance(value, bytes) and b"SMAP" in value}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            found |= modules & {"struct", "ctypes"}
        elif isinstance(node, ast.Attribute) and node.attr in ("from_bytes", "cast"):
            found.add(node.attr)
        elif isinstance(node, ast.Subscript | ast.Call):
            slices = [node.slice] if isinstance(node, ast.Subscript) else []
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "slice":
                slices = node.args
            numbers = {value for part in slices for value in literals(part)}
            found |= {number for number in numbers if isinstance(number, int) and number >= 8}
    return found


def knows_of_names(source):
    """Signs that a module makes or reads the name of a map's file."""
    return {
        value
        for value in literals(ast.parse(source))
        if (isinstance(value, bytes) and OF_NAMES.search(value))
        or (isinstance(value, str) and OF_PATHS.search(value))
    }


MODULES = sorted((SOURCES / "sharedmap").rglob("*.py"))


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_only_one_module_knows_offsets_and_one_knows_names(file):
    source, name = file.read_text(), name_of(file)
    assert bool(knows_of_header(source)) == (name == "sharedmap/_header.py")
    assert bool(knows_of_names(source)) == (name == "sharedmap/_names.py")


@pytest.mark.parametrize(
    "line",
    [
        "import struct",
        "from struct import unpack_from",
        "flags = header[20]",
        "digits = header[136:152].hex()",
        "mark = header[slice(192, 196)]",
        "size = int.from_bytes(header[at:], 'little')",
        "size = memoryview(header).cast('Q')[at]",
        "is_ours = header.startswith(b'\\x89SMAP')",
    ],
)
def test_module_that_takes_a_header_apart_is_found(line):
    source = (SOURCES / "sharedmap/_cli/reading.py").read_text()
    assert not knows_of_header(source)
    assert knows_of_header(f"{source}\n{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "path = b'/dev/shm/sharedmap.' + name",
        "path = f'/dev/shm/{file}'",
        "pattern = re.compile(rb'(sharedmap\\..+)')",
        "temporary = path + b'~'",
        "temporary = f'{path}.sharedmap~'",
        "escaped = b'%%%02X' % byte",
        "file = f'sharedmap.{name}'",
    ],
)
def test_module_that_makes_a_name_is_found(line):
    source = (SOURCES / "sharedmap/_cli/doctor.py").read_text()
    assert not knows_of_names(source)
    assert knows_of_names(f"{source}\n{line}\n")


# ---- what an object needs from others, by the linker's word --------------------------------------

FLAGS = ["-std=c11", "-O1", "-DNDEBUG", '-DSHAREDMAP_VERSION="x"', "-fvisibility=hidden"]


@functools.cache
def symbols_of(file):
    """(kind, name) of each global symbol. What is in an object is part of the file's name."""
    told = subprocess.run(["nm", "-g", file], check=True, capture_output=True, text=True)
    return [line.split()[-2:] for line in told.stdout.splitlines()]


def symbols(objects):
    """What each source defines and what it needs from elsewhere, by its unit."""
    defined, needed = {}, {}
    for source, file in objects.items():
        unit = source.removeprefix("src/").removesuffix(".c")
        needed[unit] = set()
        for kind, name in symbols_of(file):
            if kind in "UwW" and name != "_GLOBAL_OFFSET_TABLE_":
                needed[unit].add(name)
            elif kind not in "UwW":
                defined[name] = unit
    return defined, needed


def calls(defined, needed):
    """{unit: the other units of which it needs something}."""
    return {
        unit: {defined[name] for name in names & defined.keys()} - {unit}
        for unit, names in needed.items()
    }


def from_outside(defined, needed):
    """{unit: what none of our own units defines}; what hardening adds is the compiler's."""
    ours = re.compile(r"__\w+_chk(_fail)?$")
    plain = {
        unit: {name for name in names if not ours.match(name)} for unit, names in needed.items()
    }
    return {unit: names - defined.keys() for unit, names in plain.items()}


def reached(graph, node):
    """All to which the lines of the graph lead from the node, in one step or more."""
    found, waiting = set(), [node]
    while waiting:
        for other in graph.get(waiting.pop(), ()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def circles(graph):
    """Sets of nodes that reach each other, but for single ones."""
    reach = {node: reached(graph, node) for node in graph}
    return {
        frozenset(other for other in reach[node] if node in reach.get(other, ()))
        for node in graph
        if node in reach[node]
    }


def included_units():
    """{unit: the other units that its files include}; a header inside a unit is part of it."""
    graph = defaultdict(set)
    for file in CORE + BINDING:
        unit = unit_of(file).removesuffix("_inside")
        others = {unit_of(include).removesuffix("_inside") for include in own_includes(file)}
        graph[unit] |= others - {unit}
    return graph


def calls_unseen(defined, needed):
    """{unit of the binding: what it calls of others whose header it does not even reach}."""
    graph = included_units()
    unseen = {
        unit: {other for other in others if other.startswith("binding/")} - reached(graph, unit)
        for unit, others in calls(defined, needed).items()
        if unit.startswith("binding/")
    }
    return {unit: others for unit, others in unseen.items() if others}


def asks_the_system(defined, needed):
    """{unit: what it asks of the system and must not}."""
    found = defaultdict(set)
    for unit, names in from_outside(defined, needed).items():
        if folder_of(unit + ".c") == "core/segment":
            continue
        if unit.startswith("binding/"):
            strange = {name for name in names if not name.startswith(("Py", "_Py"))}
            strange -= LANGUAGE_OF_BINDING
        else:
            strange = names - LANGUAGE - SYSTEM_ELSEWHERE.get(unit, set())
        if strange:
            found[unit] = strange
    return found


@pytest.fixture(scope="module")
def tool():
    if shutil.which(os.environ.get("CC", "cc").split()[0]) is None or shutil.which("nm") is None:
        pytest.skip("NOT TESTED what objects need: there is no C compiler")
    include = sysconfig.get_path("include")
    if not os.path.exists(f"{include}/Python.h"):
        pytest.skip(f"NOT TESTED what objects need: Python's headers are not in {include}")
    return mutants.Tool([*FLAGS, "-isystem", include])


@pytest.fixture(scope="module")
def objects(tool):
    return tool.compile([file for file in CORE + BINDING if file.suffix == ".c"])


def test_no_files_call_each_other_in_circles(objects):
    assert circles(calls(*symbols(objects))) <= CIRCLES


def test_no_units_include_each_other_in_circles():
    assert circles(included_units()) <= CIRCLES


def test_binding_includes_what_it_calls(objects):
    assert calls_unseen(*symbols(objects)) == {}


def test_mutant_that_calls_what_it_does_not_include_is_found(tool, objects, tmp_path):
    first = '#include "binding/text.h"'
    up = "int batch_sort(void *batch);\nint (*up)(void *) = batch_sort;"
    changes = [("binding/text.c", first, f"{first}\n{up}")]
    wrong = objects | tool.compile_mutant("unseen", changes, tmp_path)
    assert calls_unseen(*symbols(wrong)) == {"binding/text": {"binding/batch"}}


def test_no_headers_include_each_other_in_circles():
    graph = defaultdict(set)
    for file in CORE + BINDING:
        if file.suffix == ".h":
            graph[name_of(file)] |= set(own_includes(file))
    assert circles(graph) == set()


def test_no_modules_of_the_package_import_each_other_in_circles():
    assert circles(house.package_imports()) == set()


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}, "e": {"a"}}
    assert circles(graph) == {frozenset("bc"), frozenset("d")}


def test_only_segment_asks_the_system(objects):
    assert asks_the_system(*symbols(objects)) == {}


@pytest.mark.parametrize(
    ("file", "unit"),
    [("base/sort.c", "core/base/sort"), ("binding/value.c", "binding/value")],
)
def test_mutant_that_asks_the_system_is_found(tool, objects, tmp_path, file, unit):
    first = f'#include "{unit}.h"'
    changes = [(file, first, f"{first}\nint getpid(void);\nint (*asks)(void) = getpid;")]
    wrong = objects | tool.compile_mutant("asks", changes, tmp_path)
    assert asks_the_system(*symbols(wrong)) == {unit: {"getpid"}}


def test_mutant_that_closes_a_circle_is_found(tool, objects, tmp_path):
    """An arena takes its memory from `memory`, which must not know of it."""
    first = '#include "core/base/memory.h"'
    closed = "void arena_clear(void *arena);\nvoid (*up)(void *) = arena_clear;"
    wrong = objects | tool.compile_mutant(
        "circle", [("base/memory.c", first, f"{first}\n{closed}")], tmp_path
    )
    circle = frozenset({"core/base/arena", "core/base/memory"})
    assert circle in circles(calls(*symbols(wrong)))


def test_segment_asks_the_system_for_what_publishing_needs(objects):
    """So that the tests above cannot pass by looking for nothing."""
    defined, needed = symbols(objects)
    outside = from_outside(defined, needed)
    asked = set().union(*(names for unit, names in outside.items() if "/segment/" in unit))
    assert {"open", "mmap", "linkat", "rename", "posix_fallocate", "pwrite"} <= asked
