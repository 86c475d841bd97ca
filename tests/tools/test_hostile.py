"""Bytes that somebody damaged or forged, and bytes that somebody changes meanwhile.

hostile.c asks the core, read_all.py asks the extension, and writer.py sets a process on it that
writes into the file. Each has mutants that it must find. Here they run in small; `make hostile`
runs them in full.
"""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from helpers import TESTS, TOP, segment_path

import sharedmap

HOSTILE = TESTS / "hostile"
LIMIT = 300

# Small, but with cases of each kind. Mutants are looked for among more of them.
SMALL = 293
MUTANT_STRIDE = 97
# Where a mutant is found early. The tool would find it without being told where, only later.
KINDS = {
    "endless-probe": ["crowded"],
    "delta-size-unchecked": ["layers-tree"],
    "delta-parts-unchecked": ["layers-tree"],
    "rank-unchecked": ["layers-tree"],
    "step-overflows": ["layers-hash-wide"],
    "ranks-unverified": ["layers-tree"],
    "delta-checksum-ignored": ["layers-tree"],
}

if not (TOP / "src/core").is_dir():
    pytest.skip(
        "an installed package is tested, its sources are elsewhere", allow_module_level=True
    )

sys.path.insert(0, os.fspath(HOSTILE))
import build_hostile  # noqa: E402
import build_package  # noqa: E402

COMPILER = os.environ.get("CC", "cc").split()[0]
needs_compiler = pytest.mark.skipif(
    shutil.which(COMPILER) is None, reason="NOT TESTED with mutants: there is no C compiler"
)


def run(*command, **environment):
    done = subprocess.run(
        [os.fspath(word) for word in command],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=os.environ | environment,
    )
    return done.returncode, done.stdout + done.stderr


# --- damaged and forged bytes, the core ---------------------------------------------------------


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    directory = tmp_path_factory.mktemp("hostile")
    build_hostile.build(directory)
    return directory


@pytest.fixture(scope="module")
def wrong_tools(tools):
    """The same folder, with the mutants."""
    build_hostile.build(tools, ["all"])
    return tools


@needs_compiler
@pytest.mark.slow
def test_core_survives_some_of_all_damages(tools):
    """Few of them: `make hostile` takes all."""
    code, told = run(tools / "hostile", "--stride", str(SMALL))
    assert code == 0, told
    assert " 0 failures" in told


@pytest.mark.mutant
@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("mutant", build_hostile.MUTANTS)
def test_mutant_of_the_reader_is_found(wrong_tools, mutant):
    kinds = KINDS.get(mutant, [])
    code, told = run(wrong_tools / f"hostile-{mutant}", "--stride", str(MUTANT_STRIDE), *kinds)
    assert code == 1, told
    assert "in case " in told  # and not for any other reason


# --- the same, with the extension ---------------------------------------------------------------


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    return build_package.build(tmp_path_factory.mktemp("packages"), ["all"])


def test_extension_survives_damaged_and_forged_bytes():
    """Few of them: `make hostile` takes all."""
    code, told = run(sys.executable, HOSTILE / "read_all.py", "--stride", "29")
    assert code == 0, told
    assert " 0 failures" in told


@pytest.mark.mutant
@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("mutant", build_package.READERS)
def test_mutant_of_the_extension_is_found(packages, mutant):
    path = packages[mutant]
    code, told = run(sys.executable, HOSTILE / "read_all.py", "--stride", "7", PYTHONPATH=path)
    assert path in told  # it was the mutant
    assert code == 1, told
    assert "Error" in told or "crashed" in told  # and not for any other reason


# --- bytes that change meanwhile ----------------------------------------------------------------


@pytest.mark.slow
def test_no_str_is_corrupt_whatever_is_written_while_it_is_decoded():
    """Few of them: `make hostile` looks up a million."""
    code, told = run(sys.executable, HOSTILE / "writer.py", "--lookups", "20000")
    assert code == 0, told
    assert " 0 corrupt" in told


@pytest.mark.mutant
@needs_compiler
@pytest.mark.slow
@pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2,
    reason="NOT TESTED: reads and writes have to happen at the same time, on two processors",
)
@pytest.mark.parametrize("mutant", build_package.DECODERS)
def test_mutant_of_the_decoder_is_found(packages, mutant):
    command = [sys.executable, HOSTILE / "writer.py", "--lookups", "5000000", "--stop-early"]
    code, told = run(*command, PYTHONPATH=packages[mutant])
    assert packages[mutant] in told  # it was the mutant
    assert code == 1, told
    assert "corrupt: " in told  # and not for any other reason


# --- what nobody can promise --------------------------------------------------------------------


def test_owner_who_cuts_a_map_short_ends_its_readers_with_sigbus(name, workers):
    """Outside of the promise. docs/SECURITY.md says so, and has to say something else if not."""
    sharedmap.share({"a": "1"}, name)
    reader = workers()
    reader.run("m = sharedmap.sharedmap(name)", name=name)
    os.truncate(segment_path(name), 0)
    with pytest.raises(AssertionError, match=f"died, status {-signal.SIGBUS}"):
        reader.eval("m['a']")


def test_map_that_was_read_into_memory_does_not_mind_that_its_file_is_cut_short(tmp_path, other):
    path = tmp_path / "a.map"
    sharedmap.rbtree(a="1").save(path)
    other.run("import pathlib; data = pathlib.Path(path).read_bytes()", path=os.fspath(path))
    other.run("m = sharedmap.sharedmap.frombuffer(data); m.verify()")
    os.truncate(path, 0)
    assert other.eval("m['a']") == "1"
