"""docs/guide/command-line.md: what it shows is what happens."""

import doctest
import re
import shlex
import subprocess

import pytest
from command import PROGRAM
from helpers import HANG, HERE

from sharedmap._cli import arguments, errors

GUIDE = HERE.parent / "docs/guide/command-line.md"

if not GUIDE.exists():
    pytest.skip("an installed package is tested, its guide is elsewhere", allow_module_level=True)


def sessions(text):
    """Each command of the console blocks, and what is printed for it."""
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            yield command, printed


def test_sessions_of_the_guide_happen_as_they_are_shown(name, tmp_path):
    text = GUIDE.read_text()
    # The map has another name here; files have the one that is shown.
    shell = f'sharedmap() {{ {shlex.join(PROGRAM)} "$@"; }}\n'
    count = 0
    for command, printed in sessions(text):
        script = shell + re.sub(r"(?<![/\w.])prices(?![\w.])", name, command)
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=HANG,
        )
        got = done.stdout.replace(name, "prices")
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert doctest.OutputChecker().check_output(printed, got, flags), (command, got)
        count += 1
    assert count > 15


def test_exit_codes_of_the_guide_are_those_of_the_program():
    table = GUIDE.read_text().partition("## Exit codes")[2]
    found = {int(code): text for code, text in re.findall(r"^\| (\d) \| (.*) \|$", table, re.M)}
    assert found == errors.MEANINGS


def test_guide_names_every_command():
    parser = arguments.make_parser()
    commands = next(iter(parser._subparsers._group_actions)).choices
    table = GUIDE.read_text().partition("## Load and look")[0]
    assert {*re.findall(r"`([a-z]+)`", table)} >= {*commands}
