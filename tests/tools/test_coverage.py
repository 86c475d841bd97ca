"""What `make coverage` tells of a source of which one branch of two is taken."""

import shutil
import subprocess
import sys

import pytest
from helpers import TESTS, TOP

if not (TOP / "src/core").is_dir():
    pytest.skip(
        "an installed package is tested, its sources are elsewhere", allow_module_level=True
    )

if shutil.which("gcc") is None or shutil.which("gcov") is None:
    pytest.skip("NOT TESTED: there is no gcc that counts branches", allow_module_level=True)

SOURCE = """
int
main(int count, char **words)
{
    %s
    if (count %s 1) {%s
        return 1;
    }
    return 0;
}
"""

EXPLAINED = "  // Untested: nobody calls it with words."


@pytest.fixture
def cover(tmp_path):
    def run(*parts):
        (tmp_path / "program.c").write_text(SOURCE % parts)
        command = ["gcc", "--coverage", "program.c", "-o", "program"]
        subprocess.run(command, cwd=tmp_path, check=True)
        subprocess.run([tmp_path / "program"], check=False)
        tool = [sys.executable, TESTS / "coverage/coverage.py", tmp_path, "--sources", tmp_path]
        return subprocess.run(tool, capture_output=True, text=True)

    return run


def test_branch_that_is_not_taken_is_told_and_is_a_failure(cover):
    told = cover("", ">", "")
    assert told.returncode == 1
    assert "program.c:6: branch 1 of 2 is not taken: if (count > 1) {" in told.stdout
    assert "50.0 %" in told.stdout


@pytest.mark.parametrize(
    "parts",
    [
        ("// Untested: nobody calls it\n    // with words.", ">", ""),
        ("", ">", EXPLAINED),
    ],
)
def test_branch_with_an_explanation_is_counted_and_is_none(cover, parts):
    told = cover(*parts)
    assert told.returncode == 0, told.stdout
    assert "is not taken" not in told.stdout
    assert told.stdout.splitlines()[-1].split() == ["2", "50.0", "%", "1", "all"]


@pytest.mark.parametrize("comment", ["// Nobody calls it with words.", "// Untested:"])
def test_comment_without_the_word_or_without_a_reason_is_no_explanation(cover, comment):
    assert cover(comment, ">", "").returncode == 1


def test_explanation_speaks_for_one_statement_only(cover):
    assert cover("// Untested: nobody calls it.\n    count += 0;", ">", "").returncode == 1


# Without branches there are none that could be left out.
TAKEN = "// %s: words come by chance.\n    count = count;"


def test_explanation_of_what_is_taken_is_a_failure(cover):
    told = cover(TAKEN % "Untested", ">", EXPLAINED)
    assert told.returncode == 1
    assert "program.c:5: what this explains is taken" in told.stdout


def test_branch_that_chance_takes_may_be_taken_or_not(cover):
    assert cover(TAKEN % "Rarely tested", ">", EXPLAINED).returncode == 0
    assert cover("// Rarely tested: words come by chance.", ">", "").returncode == 0


def test_source_that_was_not_built_is_a_failure(cover, tmp_path):
    (tmp_path / "other.c").write_text("int other;\n")
    told = cover("// Untested: nobody calls it with words.", ">", "")
    assert told.returncode == 1
    assert "other.c: nothing was counted" in told.stdout
