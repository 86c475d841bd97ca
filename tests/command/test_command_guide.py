"""docs/guide/command-line.md: its tables. What it shows, test_documentation.py runs."""

import re

import pytest
from helpers import TOP

from sharedmap._cli import arguments, errors, manual

GUIDE = TOP / "docs/guide/command-line.md"

if not GUIDE.exists():
    pytest.skip("an installed package is tested, its guide is elsewhere", allow_module_level=True)


def test_exit_codes_of_the_guide_are_those_of_the_program():
    table = GUIDE.read_text().partition("## Exit codes")[2]
    found = {int(code): text for code, text in re.findall(r"^\| (\d) \| (.*) \|$", table, re.M)}
    assert found == errors.MEANINGS


def test_guide_names_every_command():
    commands = manual.commands(arguments.make_parser())
    table = GUIDE.read_text().partition("## Load and query")[0]
    assert {*re.findall(r"`([a-z ]+)`", table)} >= {*commands}
