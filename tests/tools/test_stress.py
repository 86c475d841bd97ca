"""Everything fails that can, and nothing grows: the tools in tests/faults that use the extension.

Here they run in small; `make stress` runs them in full. Each must also find what is wrong on
purpose, else its silence would mean nothing.
"""

import ast
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest
from helpers import FAULTS, TESTS

import sharedmap

sys.path.insert(0, os.fspath(FAULTS))
sys.path.insert(0, os.fspath(TESTS / "threads"))
import allocations
import extension
import file_system
import mutants
import sanitized

import build

LIMIT = 600

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    if why := extension.why_impossible():
        pytest.skip(f"NOT TESTED with test hooks and mutants: {why}")
    return extension.Builder(tmp_path_factory.mktemp("extension"))


@pytest.fixture(scope="module")
def hooked(builder):
    """The folder of an extension with test hooks, in which small maps have room for deltas."""
    return builder.link("small", build.SMALL)


@pytest.fixture
def mutant(builder, tmp_path):
    """mutant(name): the folder of an extension that is wrong on purpose."""
    return lambda name: builder.link(name, (extension.MUTANTS | build.MUTANTS)[name])


def run(tool, *arguments, folder=None, python=sys.executable):
    environment = dict(os.environ)
    if folder is not None:
        environment["PYTHONPATH"] = folder
    done = subprocess.run(
        [python, FAULTS / tool, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=LIMIT,
    )
    return done.returncode, done.stdout


# ---- system calls ------------------------------------------------------------------------------


@pytest.fixture
def strace():
    if shutil.which("strace") is None:
        pytest.skip("NOT TESTED that system calls fail: strace is not installed")


def test_failing_system_calls_harm_nobody(strace):
    code, told = run("system_calls.py", "--stride", 179)
    assert code == 0, told
    assert " 0 failures" in told


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("name", "only"),
    [
        ("leaks-descriptor", "first share"),
        ("leaks-mapping", "update"),
        ("believes-pwrite", "first share"),
        ("keeps-temporary", "save"),
        ("forgets-name", "first share"),
        ("loses-old", "refresh"),
    ],
)
def test_mutant_is_found_by_failing_system_calls(strace, mutant, name, only):
    stride = 5 if name == "keeps-temporary" else 1  # renaming comes last of all
    arguments = ["--only", only, "--stop-early", "--stride", stride]
    code, told = run("system_calls.py", *arguments, folder=mutant(name))
    assert code == 1, told
    assert "FAILED" in told


def test_stalled_processes_hold_up_nobody(strace):
    """`make faults` stops each operation after every call."""
    code, told = run("stalls.py", "--stride", 61)
    assert code == 0, told
    assert " 0 failures" in told


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("name", "only", "finding"),
    [
        ("readers-lock", "share", "FAILED share: "),  # hangs, or keeps a publisher from its turn
        ("unlocks-early", "share", "a temporary name without a lock"),
        ("no-lock", "update", "and not with"),
        ("update-lets-go", "update", "published is generation"),
    ],
)
def test_mutant_is_found_by_stalls(strace, mutant, name, only, finding):
    code, told = run("stalls.py", "--only", only, "--stop-early", folder=mutant(name))
    assert code == 1, told
    assert finding in told


# ---- files -------------------------------------------------------------------------------------


def test_failing_and_hanging_file_system_harms_nobody():
    """`make faults` takes each case."""
    file_system.need()
    code, told = run("failing_files.py", "--stride", 53)
    assert code == 0, told
    assert " 0 failures" in told


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("name", "only", "operation", "finding"),
    [
        ("ignores-signals", "save", "FSYNC", "Ctrl-C did not come through"),
        ("hangs-with-the-gil", "open", "OPEN", "no other thread runs"),
        ("keeps-temporary", "save", "RENAME", "files: "),
        ("believes-pwrite", "save", "WRITE", "checksum does not match"),
    ],
)
def test_mutant_is_found_by_a_failing_file_system(mutant, name, only, operation, finding):
    file_system.need()
    arguments = ["--only", only, "--operation", operation, "--stop-early"]
    code, told = run("failing_files.py", *arguments, folder=mutant(name))
    assert code == 1, told
    assert finding in told


# ---- allocations -------------------------------------------------------------------------------

# A few of all, and those where something was wrong once.
SOME_CALLS = [
    "t.share(name, force",
    "update(old",
    "t.update(",
    'm.keys() & {"a"',
    "s.__reduce_ex__",
    "h.pop(",
]


@pytest.mark.parametrize("only", SOME_CALLS)
def test_failing_allocations_harm_nobody(hooked, only):
    code, told = run("allocations.py", "--only", only, "--rounds", 4, folder=hooked)
    assert code == 0, told
    assert " 0 failures" in told


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("name", "only", "finding"),
    [
        ("half-an-update", "t.update(MORE)", "something is changed"),
        ("leaks-place", "t.update({", "grows in each round"),
        ("loses-attributes", "s.__reduce_ex__", "instead of"),
        ("leaks-bytes", "s.__reduce_ex__", "grows in each round"),
    ],
)
def test_mutant_is_found_by_failing_allocations(mutant, name, only, finding):
    code, told = run("allocations.py", "--only", only, folder=mutant(name))
    assert code == 1, told
    assert finding in told


# The variables of allocations.py by what they are.
VARIABLES = {
    sharedmap.rbtree: {"rbtree", "t", "h", "s"},
    sharedmap.sharedmap: {"sharedmap", "m", "d", "f", "moved", "following"},
}


def last_step(source):
    """(variable or None, name): of what is called or asked for last; only that lacks memory."""
    node = ast.parse(source, mode="eval").body
    node = node.func if isinstance(node, ast.Call) else node
    if isinstance(node, ast.Name):
        return None, node.id
    name = getattr(node, "attr", None)
    while not isinstance(node, ast.Name):
        node = next(ast.iter_child_nodes(node))
    return node.id, name


def test_every_public_name_is_called_without_memory():
    steps = {last_step(source) for source in allocations.CALLS}
    called = {name for variable, name in steps if variable is None}
    excepted = {"FollowWarning", "SnapshotError", "StaleError", "watch", "__version__"}
    public = set(sharedmap.__all__) - excepted
    assert public - called == set()
    for kind, variables in VARIABLES.items():
        called = {name for variable, name in steps if variable in variables}
        assert {name for name in dir(kind) if not name.startswith("_")} - called == set()


# ---- interpreters and forks --------------------------------------------------------------------


def test_interpreters_come_and_go():
    code, told = run("interpreters.py", "--count", 20)
    assert code == 0, told
    assert "20 interpreters" in told


@pytest.mark.parametrize("by", ["python", "c", "bare"])
def test_forks_at_any_moment_harm_nobody(by):
    forks = 150 if by == "python" else 50
    code, told = run("forks.py", "--forks", forks, "--by", by)
    assert code == 0, told
    assert f"{forks} forks by {by}" in told


@pytest.mark.mutant
def test_mutant_is_found_by_interpreters(mutant):
    code, told = run("interpreters.py", "--count", 8, folder=mutant("one-state"))
    # A type that an interpreter has taken along is found, or used when it is gone.
    assert code < 0 or (code == 1 and "FAILED" in told), (code, told)


@pytest.mark.mutant
@pytest.mark.parametrize("name", ["child-keeps-files", "child-waits"])
def test_mutant_is_found_by_forks(mutant, name):
    code, told = run("forks.py", "--forks", 3000, "--limit", 3, folder=mutant(name))
    assert code == 1, told
    assert "FAILED child" in told


@pytest.mark.mutant
@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="with a GIL, lookups are not counted"
)
def test_mutant_is_found_by_forks_in_c(mutant):
    """Python's own fork first stops all threads where none of them is in a lookup."""
    arguments = ["--forks", 1000, "--limit", 3, "--by", "bare"]
    code, told = run("forks.py", *arguments, folder=mutant("child-counts-readers"))
    assert code == 1, told
    assert "FAILED child" in told


# ---- leaks -------------------------------------------------------------------------------------


def test_nothing_grows():
    code, told = run("leaks.py", "--cycles", 1000)
    assert code == 0, told
    assert " 0 failures" in told


def test_no_cycle_is_no_success():
    code, told = run("leaks.py", "--only", "nosuch")
    assert code == 1, told
    assert "0 kinds of cycles" in told


def test_no_reference_grows(debug_builder):
    python, builder = debug_builder
    code, told = run("leaks.py", "--cycles", 1000, folder=builder.link(), python=python)
    assert code == 0, told
    assert "references +" in told


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("name", "only"),
    [("leaks-mapping", "share_update"), ("leaks-entries", "open_publish")],
)
def test_mutant_is_found_by_what_grows(mutant, name, only):
    code, told = run("leaks.py", "--cycles", 200, "--only", only, folder=mutant(name))
    assert code == 1, told
    assert "FAILED" in told


@pytest.mark.mutant
def test_mutant_is_found_by_references(debug_builder):
    python, builder = debug_builder
    folder = builder.link("leaks-reference", extension.MUTANTS["leaks-reference"])
    code, told = run("leaks.py", "--cycles", 200, "--only", "close", folder=folder, python=python)
    assert code == 1, told
    assert "FAILED" in told


@pytest.mark.mutant
def test_mutant_is_found_by_the_leak_sanitizer(tmp_path):
    """As `make sanitize` looks at the tests of the core."""
    if why := extension.why_impossible():
        pytest.skip(f"NOT TESTED that leaks of the core are found: {why}")
    flags = ["-std=c11", "-g", "-fsanitize=address", "-DSHAREDMAP_TESTING", "-pthread"]
    core = [
        mutants.TOP / "src/core" / name
        for name in ("base/memory.c", "tree/slab.c", "base/status.c")
    ]
    sources = [*core, mutants.TOP / "tests/core/test_slab.c"]
    wrong = {"frees-nothing": extension.MUTANTS["frees-nothing"]}
    programs = mutants.Tool(flags, compiler="gcc").build(tmp_path / "slab", sources, wrong)
    for program, is_wrong in zip(programs, (False, True), strict=True):
        done = subprocess.run([program], capture_output=True, text=True)
        assert (done.returncode != 0) == is_wrong, done.stderr
        assert ("LeakSanitizer" in done.stderr) == is_wrong, done.stderr


# ---- what other test files must find -----------------------------------------------------------


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("name", "file", "only"),
    [
        ("ignores-full-shm", "publish/test_full_shm.py", "every_size"),
        ("believes-anybody", "publish/test_permissions.py", "not_believed"),
        ("lets-others-write", "damage/test_foreign_files.py", "file_that_others_may_write"),
        ("replaces-anybodys", "publish/test_permissions.py", "root_is_refused"),
        ("obeys-umask", "publish/test_publish.py", "umask"),
    ],
)
def test_mutant_is_found_by_the_tests_of(as_root, mutant, name, file, only):
    environment = os.environ | {"PYTHONPATH": mutant(name)}
    command = [sys.executable, "-m", "pytest", "-q", "-k", only, TESTS / file]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    assert re.search(r"\b[1-9]\d* failed", done.stdout), done.stdout
    assert " error" not in done.stdout.splitlines()[-1]


# ---- threads -----------------------------------------------------------------------------------


def test_threads_share_everything():
    """Without a GIL, and under ThreadSanitizer, in `make threads`."""
    code, told = run("../threads/stress.py", "--rounds", 500)
    assert code == 0, told
    assert " 0 failures" in told


def test_handles_are_closed_beside_threads_that_read_them():
    """`make threads` does that for a minute, and limits how long a close() takes."""
    code, told = run("../threads/closing.py", "--rounds", 20, "--limit", "inf")
    assert code == 0, told
    assert "20 rounds" in told
    assert " 0 failures" in told


@pytest.mark.mutant
def test_mutant_is_found_by_threads(mutant):
    for _ in range(5):  # it is chance who comes in between
        code, told = run("../threads/stress.py", "--rounds", 500, folder=mutant("no-guard"))
        if code != 0:
            break
    # What was written while it changed is of no publication, or no snapshot at all.
    assert code < 0 or (code == 1 and "FAILED" in told), told


@pytest.mark.mutant
@pytest.mark.parametrize("name", sanitized.RACY)
def test_mutant_of_the_sanitized_threads_can_be_built(name):
    """`make threads` looks for it: here there is no Python with ThreadSanitizer."""
    changes = sanitized.RACY[name]
    assert set(mutants.mutate(name, changes)) == {
        f"src/{file}" if file.startswith("binding/") else f"src/core/{file}"
        for file, _, _ in changes
    }


# ---- many processes ----------------------------------------------------------------------------


@pytest.mark.mutant
def test_mutant_is_found_by_random_kills(mutant):
    code, told = run("hammer.py", "--kills", 100, folder=mutant("same-generation"))
    assert code == 1, told
    assert "went back from" in told


@pytest.mark.mutant
def test_mutant_is_found_by_republishing(mutant):
    numbers = ["--publications", 100, "--entries", 50, "--readers", 2]
    code, told = run("republish.py", *numbers, folder=mutant("same-generation"))
    assert code == 1, told
    assert "2 readers failed" in told


@pytest.mark.parametrize("options", [["--entries", 100], ["--entries", 4500, "--updates"]])
def test_republishing_in_small(options):
    code, told = run("republish.py", "--publications", 1000, "--readers", 2, *options)
    assert code == 0, told
    assert "0 readers failed" in told


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL anyway"
)
def test_gil_stays_off():
    program = "import sys, sharedmap; sys.exit(sys._is_gil_enabled())"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True)
    assert done.returncode == 0, done.stderr


# ---- none is left out --------------------------------------------------------------------------


def test_every_mutant_is_tested():
    """Their names are in the parameters of tests, or in calls of mutant() and the like."""
    tree = ast.parse(pathlib.Path(__file__).read_text())
    words = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert [name for name in extension.MUTANTS if name not in words] == []
