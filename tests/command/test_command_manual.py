"""The manual page and the completion of shells, both made of the parser."""

import argparse
import re
import shutil
import subprocess
import sys

import pytest
from command import PROGRAM, failed
from helpers import HANG

import sharedmap
from sharedmap._cli import arguments, errors, manual


def subcommands():
    found = manual.commands(arguments.make_parser())
    return {name: parser for name, (_, parser) in found.items()}


@pytest.fixture
def page(command):
    done = command("--manual")
    assert (done.code, done.err) == (0, "")
    return done.out


def shown(page):
    """The text of a page without macros, escapes and line breaks."""
    text = re.sub(r"(?m)^\.(?:B|I|SS|SH) ", "", page)
    text = text.replace("\\(aq", "'").replace("\\(ga", "`").replace("\\(ti", "~")
    text = re.sub(r"\\f[BR]|\\&", "", text).replace("\\-", "-").replace("\\e", "\\")
    return " ".join(text.split())


@pytest.mark.parametrize("name", subcommands())
def test_manual_page_has_every_option_of_a_command(page, name):
    section = shown(page.partition(f'.SS "{name}"\n')[2].partition(".SS")[0])
    parser = subcommands()[name]
    for action in parser._actions:
        if "--help" not in action.option_strings and action.help != argparse.SUPPRESS:
            assert all(option in section for option in action.option_strings), action
            help_text = parser._get_formatter()._expand_help(action) if action.help else ""
            assert " ".join(help_text.split()) in section


def test_manual_page_has_the_exit_codes(page):
    text = shown(page)
    for code, meaning in errors.MEANINGS.items():
        assert f".TP {code} {meaning} " in text


def test_no_text_of_the_manual_page_is_a_request(page):
    assert "\n\n" not in page
    requests = {line[1:].split()[0] for line in page.splitlines() if line[0] in ".'"}
    assert requests == {"TH", "SH", "SS", "PP", "TP", "B", "I", "nf", "fi"}


def test_manual_page_is_read_without_a_warning(page):
    if shutil.which("groff") is None:
        pytest.skip("NOT TESTED: groff is not installed")
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-Kutf8"],
        input=page.encode(),
        capture_output=True,
        timeout=HANG,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_requests_and_escapes_in_text_are_not_obeyed():
    assert manual._text(".so /etc/passwd") == "\\&.so /etc/passwd"
    assert manual._text("'x\\fB") == "\\(aqx\\efB"


# ---- completion ------------------------------------------------------------------------------

BASH = """
{script}
sharedmap() {{ {program} "$@"; }}
compopt() {{ :; }}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_shtab_sharedmap
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def complete(command, tmp_path):
    """complete("get a"): what bash offers for the last word."""
    pytest.importorskip("shtab")
    script = command("--completion", "bash").out

    def run(words):
        program = BASH.format(script=script, program=" ".join(PROGRAM), words=words)
        return subprocess.run(
            ["bash", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=HANG
        ).stdout.splitlines()

    return run


def test_bash_completes_commands_and_options(complete):
    assert complete("sharedmap ver") == ["verify"]
    assert complete("sharedmap scan --max") == ["--max-width"]
    assert complete("sharedmap save --index ''") == ["hash", "tree"]


def test_bash_completes_names_of_maps_and_files(complete, names, tmp_path):
    given = [names(), names()]
    for name in given:
        sharedmap.share({}, name)
    (tmp_path / "some.map").touch()
    prefix = given[0].rpartition(".")[0]
    for words in ("get", "diff", "cp", "watch", "rm", "verify", "push redis://x"):
        assert complete(f"sharedmap {words} {prefix}") == given
    assert complete("sharedmap get --file some") == ["some.map"]
    assert complete("sharedmap load m some") == ["some.map"]


def test_bash_expands_nothing_in_a_name(complete, names, tmp_path):
    """Another user of the machine chooses names, too."""
    name = names("{}$(touch pwned)`touch pwned` ;touch pwned")
    sharedmap.share({}, name)
    (found,) = complete(f"sharedmap get {name.partition('$')[0]}")
    assert not (tmp_path / "pwned").exists()
    unquoted = subprocess.run(
        ["bash", "-c", f"printf %s {found}"], capture_output=True, text=True, cwd=tmp_path
    ).stdout
    assert unquoted == name
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("shell", manual.SHELLS)
def test_every_shell_has_a_script(command, shell):
    pytest.importorskip("shtab")
    done = command("--completion", shell)
    assert (done.code, done.err) == (0, "")
    assert "sharedmap ls --names" in done.out


def test_completion_without_its_library_says_what_to_install(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert failed(command("--completion", "bash"), errors.FAILED, "shtab", "`cli`")


def test_ls_prints_only_names(command, names):
    given = [names("{} \x1b"), names()]
    for name in given:
        sharedmap.share({}, name)
    prefix = given[1].rpartition(".")[0]
    told = command("ls", "--prefix", prefix, "--names").out.splitlines()
    assert told == [given[0].replace("\x1b", "\\x1b"), given[1]]
    assert command("ls", "--names", "--json").code == errors.USAGE
