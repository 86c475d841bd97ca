"""CONTRIBUTING.md, the targets of `make`, and the changelog: what is there is named there."""

import re
import subprocess

import pytest
from helpers import TESTS, TOP

if not (TOP / "Makefile").exists():
    pytest.skip("an installed package is tested, not its Makefile", allow_module_level=True)

MAKEFILE = (TOP / "Makefile").read_text()
CONTRIBUTING = (TOP / "CONTRIBUTING.md").read_text()


def targets():
    """Those with a name that one would type; others are files."""
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", MAKEFILE, re.MULTILINE))


def test_every_target_is_in_the_list_that_make_prints():
    described = set(re.findall(r"^([a-z-]+):[^\n]*## \S", MAKEFILE, re.MULTILINE))
    assert targets() - described == {"help"}


def test_every_target_is_in_the_guide_for_contributors():
    named = set(re.findall(r"^\| `make ([a-z-]+)", CONTRIBUTING, re.MULTILINE))
    assert named == targets() - {"help"}


def test_no_file_can_stand_in_for_a_target():
    phony = re.findall(r"^\.PHONY: ((?:[^\n]*\\\n)*[^\n]*)", MAKEFILE, re.MULTILINE)
    assert targets() <= set(" ".join(phony).replace("\\\n", " ").split())


def ci(*arguments):
    command = ["bash", TOP / ".ci/run", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_sections_of_ci_are_named_and_are_targets_of_make():
    names = ci("--list").stdout.split()
    assert {"test", "lint", "coverage", "archives"} <= set(names)
    assert set(names) <= targets()


def test_section_that_ci_does_not_have_is_an_error_before_anything_runs():
    done = ci("lint", "no-such-section")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no section no-such-section" in done.stderr


@pytest.mark.parametrize("folder", ["faults", "hostile", "fuzz"])
def test_folder_of_tools_says_what_each_finds(folder):
    told = (TESTS / folder / "README.md").read_text()
    tools = [file for file in (TESTS / folder).glob("*.py") if "__main__" in file.read_text()]
    assert tools
    assert [file.name for file in tools if file.name not in told] == []


def test_version_has_its_chapter_in_the_changelog():
    changelog = (TOP / "CHANGELOG.md").read_text()
    (version,) = re.findall(r'^version = "(.*)"$', (TOP / "pyproject.toml").read_text(), re.M)
    chapters = re.findall(r"^## \[(.*?)\](?: - (\d{4}-\d\d-\d\d))?$", changelog, re.MULTILINE)
    if "dev" in version:
        assert chapters[0] == ("Unreleased", "")
        chapters = chapters[1:]
    else:
        assert chapters[1][0] == version
    assert all(date for name, date in chapters if name != "Unreleased")
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", changelog, re.MULTILINE)) <= kinds
