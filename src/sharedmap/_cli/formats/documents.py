"""YAML, TOML, INI and .env become entries. Such a file is read at once."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from ..errors import BadInput
from ..maps import Options
from .choice import of_members, some
from .compression import missing
from .json_text import member_reader, pointer
from .values import Native, key_text

Entry = tuple[str, Any]


def read_document(file: BinaryIO, form: str, options: Options) -> Iterator[Entry]:
    data = file.read()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(
            line, f"not valid UTF-8 ({error.reason}); --encoding names another encoding"
        ) from None
    document = _PARSERS[form](text)
    native = Native(options, most=1000 + 10 * len(text))
    try:
        yield from _entries(_found(document, options), options, native)
    except (ValueError, RecursionError) as error:
        raise BadInput(None, str(error)) from None


def _found(document: Any, options: Options) -> Any:
    for step in pointer(options.at or ""):
        if isinstance(document, dict):
            names = {key_text(name): name for name in document}
            if step not in names:
                raise ValueError(f"--at: there is no {step!r}; there is {some(names)}")
            document = document[names[step]]
        elif isinstance(document, list) and step.isdecimal() and int(step) < len(document):
            document = document[int(step)]
        else:
            raise ValueError(f"--at: there is no {step!r}")
    return document


def _entries(document: Any, options: Options, native: Native) -> Iterator[Entry]:
    if isinstance(document, dict):
        read = member_reader(options, native)
        for name, value in document.items():
            yield read(key_text(name), value)
    elif isinstance(document, list):
        pick = of_members(options)
        for record in document:
            key, value = pick(record)
            yield key, native(key, value)
    elif document is not None:
        raise ValueError("the document is neither a mapping nor a list of entries")


# ---- YAML ------------------------------------------------------------------------------------


def _construct_mapping(self: Any, node: Any, deep: bool = False) -> Any:
    """Refuses a key that occurs twice, of which other readers take the last."""
    seen: set[tuple[str, str]] = set()
    for key_node, _ in node.value:
        key = (key_node.tag, key_node.value)
        if key_node.tag == "tag:yaml.org,2002:merge" or not isinstance(key_node.value, str):
            continue
        if key in seen:
            line = key_node.start_mark.line + 1
            raise BadInput(line, f"the key {key_node.value!r} occurs twice")
        seen.add(key)
    return super(type(self), self).construct_mapping(node, deep)


def _parse_yaml(text: str) -> Any:
    try:
        yaml: Any = importlib.import_module("yaml")
    except ImportError:
        raise missing("YAML", "PyYAML", "yaml") from None
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = type("Loader", (base,), {"construct_mapping": _construct_mapping})
    try:
        return yaml.load(text, loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        parts = (getattr(error, name, None) for name in ("context", "problem"))
        problem = ", ".join(filter(None, parts)) or str(error)
        raise BadInput(mark.line + 1 if mark else None, problem) from None
    except RecursionError:
        raise BadInput(None, "the document is nested too deeply") from None
    except ValueError as error:  # a date that does not exist
        raise BadInput(None, str(error)) from None


# ---- TOML, INI -------------------------------------------------------------------------------


def _parse_toml(text: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(None, str(error) or "the document is nested too deeply") from None


def _parse_ini(text: str) -> Any:
    import configparser

    # No section has defaults for the others, and a percent sign is one.
    parser = configparser.ConfigParser(interpolation=None, default_section="\0")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        parser.read_string(text)
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or next(
            (number for number, _ in getattr(error, "errors", [])), None
        )
        raise BadInput(line, error.message.partition("\n")[0].replace("'<string>'", "")) from None
    return {section: dict(parser[section]) for section in parser.sections()}


# ---- .env ------------------------------------------------------------------------------------

_BLANK: Final = re.compile(r"\s*(#[^\n]*)?(\n|\Z)")
_NAME: Final = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*")
_QUOTED: Final = re.compile(r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_PLAIN: Final = re.compile(r"[^\n]*")
_AFTER: Final = re.compile(r"[ \t\r]*(#[^\n]*)?(\n|\Z)")
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}


def _parse_env(text: str) -> Any:
    """NAME=text, NAME='text' or NAME="text" with escapes. $NAME is text, not another's value."""
    found: dict[str, str] = {}
    at = 0

    def fail(message: str) -> BadInput:
        return BadInput(text.count("\n", 0, at) + 1, message)

    while at < len(text):
        if match := _BLANK.match(text, at):
            at = match.end()
            continue
        name = _NAME.match(text, at)
        if not name:
            raise fail("neither NAME=value nor a comment")
        end = name.end()
        if text[end : end + 1] in ("'", '"') and end < len(text):
            quoted = _QUOTED.match(text, end)
            if not quoted:
                raise fail("a quote is not closed")
            value = quoted[1]
            if value is None:
                value = re.sub(
                    r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), quoted[2], flags=re.DOTALL
                )
            after = _AFTER.match(text, quoted.end())
            if not after:
                raise fail("unexpected text after the quote")
            end = after.end()
        else:
            plain = _PLAIN.match(text, end)
            assert plain is not None
            value = re.sub(r"(^|[ \t])#.*", "", plain[0]).strip()
            end = plain.end()
        if name[1] in found:
            raise fail(f"{name[1]!r} occurs twice")
        found[name[1]] = value
        at = end
    return found


_PARSERS: Final[dict[str, Callable[[str], Any]]] = {
    "yaml": _parse_yaml,
    "toml": _parse_toml,
    "ini": _parse_ini,
    "env": _parse_env,
}
FORMS: Final = frozenset(_PARSERS)
