"""JSON, JSON Lines, CSV and TSV become entries, one after the other.

Readers hold only a block of the input in memory. Invalid input is a BadInput with the line number.
Values without an equivalent in JSON:

    {"base64": "..."}     bytes
    {"encoded": "..."}    the result of a user's encode(), in base64, too
    [...] and {...}       list and dict; with --nested their JSON, to be read with decode=json.loads

And in lists and dicts:

    {"$base64": "..."}    bytes
    {"$tuple": [...]}     a tuple
    {"$dict": {...}}      a dict whose only key is one of these words
"""

from __future__ import annotations

import base64
import codecs
import csv
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from .._encoded import Encoded
from .errors import BadInput
from .maps import Options

Entry = tuple[str, Any]

_SUFFIXES: Final = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
}
_BLOCK_SIZE: Final = 1 << 20
# How deep a map stores containers.
_MOST_DEPTH: Final = 200
_PLAIN: Final = (str, int, float, bool, type(None))


def format_of(path: str | None, given: str | None) -> str:
    """The format that was given, or that of the file's suffix; by default JSON Lines."""
    if given is not None:
        return given
    suffix = (path or "").lower().rpartition(".")
    return _SUFFIXES.get("." + suffix[2] if suffix[1] else "", "jsonl")


def read_entries(file: BinaryIO, form: str, options: Options) -> Iterator[Entry]:
    if form == "json":
        return read_json(file, options.nested)
    if form == "jsonl":
        return read_json_lines(file, options)
    return read_table(file, "," if form == "csv" else "\t", options)


# ---- values ----------------------------------------------------------------------------------


def storable(key: str, value: Any, nested: bool) -> Any:
    """The value that a map stores for this JSON value. ValueError if it cannot store it."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, dict) and len(value) == 1:
        ((kind, text),) = value.items()
        if kind in ("base64", "encoded") and isinstance(text, str):
            data = _from_base64(key, text)
            return data if kind == "base64" else Encoded(data)
    if not nested:
        return _untagged(key, value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Encoded(text.encode("utf-8", "surrogatepass"))


def _from_base64(key: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError(f"the value of {key!r} is not valid base64") from None


def _untagged(key: str, value: Any, depth: int = 0) -> Any:
    """The container of which export has made this."""
    if not isinstance(value, (list, dict)):
        return value
    depth += 1
    if depth > _MOST_DEPTH:
        raise ValueError(f"the value of {key!r} is nested more than {_MOST_DEPTH} levels deep")
    if isinstance(value, list):
        return [_untagged(key, item, depth) for item in value]
    if len(value) == 1:
        ((kind, inner),) = value.items()
        if kind == "$base64" and isinstance(inner, str):
            return _from_base64(key, inner)
        if kind == "$tuple" and isinstance(inner, list):
            return tuple([_untagged(key, item, depth) for item in inner])
        if kind == "$dict" and isinstance(inner, dict):
            value = inner
    return {name: _untagged(key, item, depth) for name, item in value.items()}


def parse_json(text: str) -> Any:
    """One JSON value. The ValueError has no line number; the caller knows the line."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("arrays or objects are nested too deeply") from None


TYPES: Final[dict[str, Callable[[str], Any]]] = {
    "str": str,
    "int": int,
    "float": float,
    "json": parse_json,
}


# ---- lines -----------------------------------------------------------------------------------


class _Lines:
    """The lines of a file as text; `number` is that of the last line returned."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        for data in self.file:
            self.number += 1
            if self.number == 1 and data.startswith(codecs.BOM_UTF8):
                data = data[len(codecs.BOM_UTF8) :]
            try:
                yield data.decode()
            except UnicodeDecodeError as error:
                raise BadInput(
                    self.number,
                    f"byte {error.start + 1} of the line is not valid UTF-8 ({error.reason})",
                ) from None


def read_json_lines(file: BinaryIO, options: Options) -> Iterator[Entry]:
    """Each line ["key", value], or an object with two members for key and value."""
    key_name: str = "key" if options.key is None else options.key
    value_name: str = "value" if options.value is None else options.value
    lines = _Lines(file)
    for line in lines:
        if line.isspace():
            continue
        try:
            row = parse_json(line)
            if isinstance(row, list) and len(row) == 2:
                key, value = row
            elif isinstance(row, dict):
                missing = [name for name in (key_name, value_name) if name not in row]
                if missing:
                    raise ValueError(f"the object has no member {missing[0]!r}")
                key, value = row[key_name], row[value_name]
            else:
                raise ValueError("neither an object nor a [key, value] array")
            if type(key) is not str:
                raise ValueError("the key is not a string")
            if type(value) not in _PLAIN:
                value = storable(key, value, options.nested)
        except ValueError as error:
            raise BadInput(lines.number, str(error)) from None
        yield key, value


# ---- tables ----------------------------------------------------------------------------------


def _column(given: str | None, default: int, name: str, header: list[str] | None) -> int:
    """The index of a column, given by its name or, without a header, by its number from 1."""
    if header is None:
        if given is None:
            return default
        if not given.isdecimal() or int(given) == 0:
            raise ValueError(
                f"with --no-header, --{name} must be a column number from 1 on, not {given!r}"
            )
        return int(given) - 1
    wanted = name if given is None else given
    if wanted not in header:
        raise ValueError(f"the header has no column {wanted!r}; it has {', '.join(header)}")
    return header.index(wanted)


def read_table(file: BinaryIO, delimiter: str, options: Options) -> Iterator[Entry]:
    lines = _Lines(file)
    csv.field_size_limit(sys.maxsize)
    rows = csv.reader(iter(lines), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    columns: tuple[int, int] | None = None
    convert = TYPES[options.type]
    begin = 1
    try:
        for row in rows:
            if not row:
                pass
            elif columns is None and header is None and options.header:
                header = row
                columns = _columns(options, header)
            else:
                columns = columns or _columns(options, None)
                if len(row) <= max(columns):
                    raise ValueError(
                        f"the row has only {len(row)} of {max(columns) + 1} required columns"
                    )
                key, text = row[columns[0]], row[columns[1]]
                value = storable(key, convert(text), options.nested)
                yield key, value
            begin = lines.number + 1
    except (ValueError, csv.Error) as error:
        raise BadInput(begin, str(error)) from None


def _columns(options: Options, header: list[str] | None) -> tuple[int, int]:
    return (
        _column(options.key, 0, "key", header),
        _column(options.value, 1, "value", header),
    )


# ---- one JSON object -------------------------------------------------------------------------

_SPACE: Final = " \t\n\r"
# How close to the end of what was read an error can be the fault of what is still missing: the
# longest literal, -Infinity, and two escapes of a pair of surrogates are shorter.
_TAIL: Final = 16


class _JsonBuffer:
    """A window on the text: the part that was read and is not parsed yet."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.decode = json.JSONDecoder().raw_decode
        self.text = ""
        self.at = 0
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
        is_first = self.decoder.getstate() == (b"", 0) and not self.text and self.line == 1
        try:
            more = self.decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            line = self.line_at(len(self.text)) + error.object.count(b"\n", 0, error.start)
            raise BadInput(line, f"not valid UTF-8 ({error.reason})") from None
        if is_first and more.startswith("\ufeff"):
            more = more[1:]
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
                value, end = self.decode(self.text, self.at)
            except json.JSONDecodeError as error:
                is_string = error.msg.startswith("Unterminated string")
                if not is_string and error.pos < len(self.text) - _TAIL:
                    raise self.fail(error.msg, error.pos) from None
                if not self.read():
                    raise self.fail(error.msg, error.pos) from None
            except RecursionError:
                raise self.fail("arrays or objects are nested too deeply") from None
            else:
                # A number at the end of the buffer may continue behind it.
                if end < len(self.text) or not self.read():
                    self.at = end
                    return value


def read_json(file: BinaryIO, nested: bool) -> Iterator[Entry]:
    """The members of one object, in their order."""
    buffer = _JsonBuffer(file)
    buffer.take("{")
    if buffer.peek() == "}":
        buffer.take("}")
    else:
        separator = ","
        while separator == ",":
            if buffer.peek() != '"':
                buffer.take('"')
            key = buffer.value()
            buffer.take(":")
            begin = buffer.line_at(buffer.at)
            value = buffer.value()
            try:
                value = storable(key, value, nested)
            except ValueError as error:
                raise BadInput(begin, str(error)) from None
            yield key, value
            separator = buffer.take(",}")
    if buffer.peek():
        raise buffer.fail("unexpected data after the object")
