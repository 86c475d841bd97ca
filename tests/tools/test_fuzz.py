"""The fuzz targets find what is planted in the core, and nothing in the core as it is.

`make fuzz` runs them for longer; tests/fuzz/fuzz.py says how it all works.
"""

import os
import subprocess
import sys

import pytest
from helpers import TESTS, TOP

FUZZ = TESTS / "fuzz"

pytestmark = pytest.mark.slow

if not (TOP / "src/core").is_dir():
    pytest.skip(
        "an installed package is tested, its sources are elsewhere", allow_module_level=True
    )

sys.path.insert(0, os.fspath(FUZZ))
import fuzz  # noqa: E402

# What `make fuzz` takes for each target; all mutants are found long before.
SHORT_FORM = ["-max_total_time=60"]


@pytest.fixture(scope="module")
def fuzzers(tmp_path_factory):
    directory = tmp_path_factory.mktemp("fuzz")
    source, program = directory / "nothing.c", directory / "nothing"
    source.write_text("int LLVMFuzzerTestOneInput(const char *b, long n) { return b && n < 0; }")
    compiler = os.environ.get("FUZZ_CC", "clang")
    try:
        command = [compiler, "-fsanitize=fuzzer,address", os.fspath(source), "-o", program]
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("NOT TESTED by fuzzing: there is no clang that knows -fsanitize=fuzzer")
    return fuzz.Fuzzers(directory)


def test_every_target_has_mutants():
    assert list(fuzz.MUTANTS) == fuzz.TARGETS


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_committed_inputs_and_some_more_are_survived(fuzzers, target):
    assert fuzz.fuzz(fuzzers, target, ["-runs=3000"])


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("target", "mutant"),
    [(target, name) for target in fuzz.TARGETS for name in fuzz.MUTANTS[target]],
)
def test_mutant_is_found_in_the_short_form(fuzzers, target, mutant):
    assert fuzz.find_mutant(fuzzers, target, mutant, SHORT_FORM)
