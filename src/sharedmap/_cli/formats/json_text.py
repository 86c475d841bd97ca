"""JSON and JSON Lines become entries, without holding more of the input than a block."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from ..errors import BadInput
from ..maps import Options
from . import choice
from .opening import Lines
from .values import key_text, parse_json, scanner, storable

Entry = tuple[str, Any]

_BLOCK_SIZE: Final = 1 << 20
_PLAIN: Final = (str, int, bool, type(None))
_SPACE: Final = " \t\n\r"


def record_reader(options: Options) -> Callable[[Any], Entry]:
    """From a record, an object or an array of two, to its entry."""
    pick = choice.of_members(options)
    is_pair = not choice.is_given(options)

    def read(record: Any) -> Entry:
        if is_pair and isinstance(record, list) and len(record) == 2:
            key, value = record
            key = key if type(key) is str else key_text(key)
        elif isinstance(record, dict):
            key, value = pick(record)
        else:
            raise ValueError("neither an object nor a [key, value] array")
        return key, value if type(value) in _PLAIN else storable(key, value, options)

    return read


def read_json_lines(file: BinaryIO, options: Options) -> Iterator[Entry]:
    """Each line ["key", value], or an object with two members for key and value."""
    scan, read = scanner(options), record_reader(options)
    lines = Lines(file)
    for line in lines:
        if not line.strip(_SPACE):
            continue
        try:
            entry = read(parse_json(line, scan))
        except ValueError as error:
            raise BadInput(lines.number, str(error)) from None
        yield entry


# ---- one JSON document -----------------------------------------------------------------------

# How close to the end of what was read an error can be the fault of what is still missing: the
# longest literal, -Infinity, and two escapes of a pair of surrogates are shorter.
_TAIL: Final = 16


class _JsonBuffer:
    """A window on the text: the part that was read and is not parsed yet."""

    def __init__(self, file: BinaryIO, scan: Callable[[str, int], tuple[Any, int]]) -> None:
        self.file = file
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.scan = scan
        self.text = ""
        self.at = 0
        self.value_at = 0  # where the last value began
        self.line = 1  # of the window's first character
        self.is_complete = False

    def line_at(self, at: int) -> int:
        return self.line + self.text.count("\n", 0, at)

    def fail(self, message: str, at: int | None = None) -> BadInput:
        return BadInput(self.line_at(self.at if at is None else at), message)

    def read(self) -> bool:
        """Reads at least as much as the buffer holds, so that parsing again stays linear."""
        if self.is_complete:
            return False
        data = self.file.read(max(_BLOCK_SIZE, len(self.text) - self.at))
        self.line = self.line_at(self.at)
        self.text = self.text[self.at :]
        self.at = 0
        try:
            more = self.decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            line = self.line_at(len(self.text)) + error.object.count(b"\n", 0, error.start)
            raise BadInput(
                line,
                f"not valid UTF-8 ({error.reason}); --encoding names another encoding",
            ) from None
        self.text += more
        self.is_complete = not data
        return True

    def peek(self) -> str:
        """The next character that is not a space; "" at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in _SPACE:
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.read():
                return ""

    def take(self, expected: str) -> str:
        found = self.peek()
        if not found or found not in expected:
            wanted = " or ".join(repr(c) for c in expected)
            raise self.fail(
                f"expected {wanted}, found {found!r}" if found else "unexpected end of input"
            )
        self.at += 1
        return found

    def value(self) -> Any:
        if not self.peek():
            raise self.fail("unexpected end of input")
        while True:
            try:
                value, end = self.scan(self.text, self.at)
            except StopIteration as error:
                self._more_or_fail("Expecting value", error.value)
            except json.JSONDecodeError as error:
                self._more_or_fail(error.msg, error.pos)
            except ValueError as error:
                raise self.fail(str(error)) from None
            except RecursionError:
                raise self.fail("arrays or objects are nested too deeply") from None
            else:
                # A number at the end of the buffer may continue behind it.
                if end < len(self.text) or not self.read():
                    self.value_at, self.at = self.at, end
                    return value

    def _more_or_fail(self, message: str, at: int) -> None:
        is_string = message.startswith("Unterminated string")
        if (not is_string and at < len(self.text) - _TAIL) or not self.read():
            raise self.fail(message, at)

    def children(self) -> Iterator[str]:
        """The names of the members, or the indices of the items, that come next.

        The one who iterates reads the value of each.
        """
        begin = self.take("{[")
        end = "}" if begin == "{" else "]"
        if self.peek() == end:
            self.at += 1
            return
        index = 0
        while True:
            if begin == "{":
                if self.peek() != '"':
                    self.take('"')
                name = self.value()
                self.take(":")
            else:
                name = str(index)
                index += 1
            yield name
            if self.take(f",{end}") == end:
                return


def pointer(text: str) -> list[str]:
    """The steps of a JSON pointer, RFC 6901."""
    return [step.replace("~1", "/").replace("~0", "~") for step in text.split("/")[1:]]


def read_json(file: BinaryIO, options: Options) -> Iterator[Entry]:
    """The members of an object, or the items of an array, in their order."""
    buffer = _JsonBuffer(file, scanner(options))
    yield from _read_at(buffer, pointer(options.at or ""), options)
    if buffer.peek():
        more = "; is this JSON Lines? --format jsonl" if buffer.text[buffer.at] in "{[" else ""
        raise buffer.fail(f"unexpected data after the document{more}")


def _read_at(buffer: _JsonBuffer, steps: list[str], options: Options) -> Iterator[Entry]:
    first = buffer.peek()
    if not first:
        raise buffer.fail("unexpected end of input")
    if first not in "{[":
        raise buffer.fail("neither an object nor an array of entries")
    if not steps:
        yield from _read_entries(buffer, first == "[", options)
        return
    step, *rest = steps
    is_found = False
    names: list[str] = []
    for name in buffer.children():
        if name != step:
            buffer.value()
            names.append(name)
        elif is_found:
            raise buffer.fail(f"the member {step!r} occurs twice")
        else:
            is_found = True
            yield from _read_at(buffer, rest, options)
    if not is_found:
        raise buffer.fail(f"--at: there is no {step!r}; there is {choice.some(names)}")


def _read_entries(buffer: _JsonBuffer, is_array: bool, options: Options) -> Iterator[Entry]:
    read_record = record_reader(options)
    read_member = member_reader(options, lambda key, value: storable(key, value, options))
    for name in buffer.children():
        value = buffer.value()
        try:
            entry = read_record(value) if is_array else read_member(name, value)
        except ValueError as error:
            # Lines are counted only now: a count for each value would be quadratic.
            raise buffer.fail(str(error), buffer.value_at) from None
        yield entry


def member_reader(
    options: Options, store: Callable[[str, Any], Any]
) -> Callable[[str, Any], Entry]:
    """From a member, which is an entry, or a record if --key, --value or --row is given."""
    if not choice.is_given(options):
        return lambda name, value: (name, store(name, value))
    pick = choice.of_members(options, is_keyed=True)

    def read(name: str, record: Any) -> Entry:
        try:
            key, value = pick(record)
        except ValueError as error:
            more = f"; --at /{name} reads its items" if isinstance(record, list) else ""
            raise ValueError(f"the member {name!r}: {error}{more}") from None
        key = key if options.key else name
        return key, store(key, value)

    return read
