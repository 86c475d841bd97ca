"""What is generated from the parser: the manual page, and the completion of shells."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from typing import Any, Final

from .._names import PLACE
from .._sharedmap import __version__
from .errors import FAILED, MEANINGS, CommandError

SHELLS: Final = ("bash", "zsh", "fish")

# ---- the manual page -------------------------------------------------------------------------


def manual_page(parser: argparse.ArgumentParser) -> str:
    """sharedmap(1), in the macros that every man understands."""
    lines = [
        f'.TH SHAREDMAP 1 "" "sharedmap {__version__}" "User Commands"',
        ".SH NAME",
        _text("sharedmap - publish, inspect and update maps in shared memory"),
        ".SH SYNOPSIS",
        ".B sharedmap\n.I COMMAND\n[OPTION ...] [ARGUMENT ...]",
        ".SH DESCRIPTION",
        *_paragraphs(parser.description or ""),
        ".SH COMMANDS",
    ]
    for name, (summary, command) in commands(parser).items():
        lines += [f'.SS "{name}"', *_command(name, summary, command)]
    lines += [".SH EXIT STATUS"]
    for code, meaning in MEANINGS.items():
        lines += [".TP", f".B {code}", _text(meaning)]
    lines += [".SH FILES", ".TP", f".I {_text(PLACE)}", _text("the published maps"), ".SH EXAMPLES"]
    lines += _verbatim((parser.epilog or "").partition("examples:\n")[2].partition("\n\n")[0])
    return "\n".join(lines) + "\n"


def commands(
    parser: argparse.ArgumentParser,
) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """The summary and the parser of each command; some have a name of two words."""
    (action,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    summaries = {each.dest: each.help or "" for each in action._get_subactions()}
    found: dict[str, tuple[str, argparse.ArgumentParser]] = {}
    for name, command in action.choices.items():
        if command._subparsers is None:
            found[name] = (summaries[name], command)
        else:
            found |= {f"{name} {second}": each for second, each in commands(command).items()}
    return found


def _command(name: str, summary: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    positionals = [each for each in parser._actions if not each.option_strings]
    # "..." stands for more of the same, and an optional argument is in brackets.
    formatter = parser._get_formatter()
    arguments = " ".join(
        formatter._format_args(each, str(each.metavar or each.dest)) for each in positionals
    )
    yield f".B sharedmap {name}\n" + _text(f"[OPTION ...] {arguments}")
    # Its first line is the summary.
    yield from _paragraphs(f"{summary[0].upper()}{summary[1:]}.")
    yield from _paragraphs((parser.description or "").partition("\n\n")[2])
    for action in parser._actions:
        if action.help is argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
            continue
        yield ".TP"
        yield _text(_invocation(action), bold=bool(action.option_strings))
        yield _text(formatter._expand_help(action) if action.help else "")


def _invocation(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar or action.dest)
    names = ", ".join(action.option_strings)
    if action.nargs == 0:
        return names
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else None
    return f"{names} {action.metavar or choices or action.dest.upper()}"


def _paragraphs(text: str) -> Iterator[str]:
    """Prose is filled; what is indented stays as it is."""
    for part in filter(None, text.strip("\n").split("\n\n")):
        if any(line.startswith("  ") for line in part.splitlines()):
            yield from _verbatim(part)
        else:
            yield ".PP\n" + _text(" ".join(part.split()))


def _verbatim(text: str) -> list[str]:
    return [".PP", ".nf", *map(_text, text.splitlines()), ".fi"]


def _text(text: str, *, bold: bool = False) -> str:
    """The text without what roff takes for a request or an escape."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha")
    text = text.replace("`", "\\(ga").replace("'", "\\(aq")
    return f"\\fB{text}\\fR" if bold else f"\\&{text}" if text[:1] == "." else text


# ---- completion ------------------------------------------------------------------------------

# Names come from any user of the machine, so no shell may expand them. compgen -W does.
_NAMES: Final = {
    "bash": "_sharedmap_names",
    "zsh": "_sharedmap_names",
    "fish": "(sharedmap ls --names 2>/dev/null)",
}
_PREAMBLES: Final = {
    "bash": """\
_sharedmap_names() {
  local name
  sharedmap ls --names 2>/dev/null | while IFS= read -r name; do
    [[ $name == "$1"* ]] && printf '%q\\n' "$name"
  done
  compgen -f -- "$1"
}
""",
    "zsh": """\
_sharedmap_names() {
  local -a names
  names=("${(@f)$(sharedmap ls --names 2>/dev/null)}")
  compadd -a names
  _files
}
""",
}
_OF_MAPS: Final = {"MAP", "NAME", "NEW", "OLD", "SOURCE", "TARGET"}
_OF_FILES: Final = {"FILE", "PATH"}


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    try:
        import shtab
    except ImportError:
        raise CommandError(
            "completion needs the package shtab, which the extra `cli` installs", FAILED
        ) from None
    for first, (_, command) in commands(parser).items():
        if first.startswith("server "):
            continue  # its names are not those of this machine
        for action in _with_values(command._actions):
            # NAME of an option is that of a column or member, but for --map.
            is_map = not action.option_strings or action.dest == "local"
            if is_map and action.metavar in _OF_MAPS:
                action.complete = _NAMES
            # The PATH of --at is one inside a document.
            elif action.metavar in _OF_FILES and action.dest != "at":
                action.complete = shtab.FILE
            elif action.metavar == "DIRECTORY":
                action.complete = shtab.DIRECTORY
    text: str = shtab.complete(parser, shell, preamble=_PREAMBLES.get(shell, ""))
    return text


def _with_values(actions: Iterable[argparse.Action]) -> Iterator[Any]:
    return (each for each in actions if each.nargs != 0)
