"""Entries and results become text: for people, or with --json for programs."""

from __future__ import annotations

import binascii
import contextlib
import math
import stat
import sys
import time
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Final

from .._encoded import Encoded

# An object whose only member is one of these is not what it looks like (formats.py): in a value,
# and as a value.
_INNER: Final = frozenset({"$base64", "$tuple", "$dict", "$float"})
_OUTER: Final = _INNER | {"base64", "encoded"}


def _tagged(value: Any, special: frozenset[str] = _INNER) -> Any:
    """A value whose JSON tells tuples from lists, bytes from text, and knows every float."""
    if type(value) is list:
        return [_tagged(item) for item in value]
    if type(value) is tuple:
        return {"$tuple": [_tagged(item) for item in value]}
    if type(value) is dict:
        members = {key: _tagged(item) for key, item in value.items()}
        is_special = len(value) == 1 and not special.isdisjoint(value)
        return {"$dict": members} if is_special else members
    if type(value) is float and not math.isfinite(value):
        return {"$float": repr(value)}
    return {"$base64": _base64(value)} if type(value) is bytes else value


def value_to_json(value: Any) -> str:
    return to_json(_tagged(value, _OUTER) if type(value) in (list, tuple, dict, float) else value)


def to_json(value: Any) -> str:
    import json

    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_member)
    if text.isprintable():
        return text
    # Outside of strings there is none of these.
    return "".join(c if is_harmless(c) else json.dumps(c)[1:-1] for c in text)


def _member(value: Any) -> Any:
    """bytes and encoded values; an encoded value that is JSON is written as that JSON."""
    import json

    if isinstance(value, Encoded):
        with contextlib.suppress(ValueError, RecursionError):
            decoded = json.loads(value.data)
            # JSON that load would take for something else stays encoded.
            if isinstance(decoded, (list, dict)) and _tagged(decoded, _OUTER) == decoded:
                return decoded
        return {"encoded": _base64(value.data)}
    return {"base64": _base64(value)}


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def to_text(value: Any) -> str:
    """A value as people write it; not escaped."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Encoded):
        return value.data.decode("utf-8", "backslashreplace")
    if isinstance(value, (list, tuple, dict)):
        return value_to_json(value)
    text: str = value.decode("utf-8", "backslashreplace")
    return text


def to_bytes(value: Any) -> bytes:
    """A value as it is, for files and pipes."""
    if isinstance(value, Encoded):
        return value.data
    if isinstance(value, bytes):
        return value
    return to_text(value).encode("utf-8", "surrogatepass")


def is_harmless(character: str) -> bool:
    """Whether a terminal shows the character, and only shows it.

    It obeys controls, shows text in another order after formats of bidirectional text (Cf), and
    cannot show lone surrogates.
    """
    return character.isprintable() or unicodedata.category(character) == "Zs"


def printable(text: str) -> str:
    """With escapes, as Python's, for all that is not harmless."""
    if text.isprintable():
        return text
    return "".join(c if is_harmless(c) else ascii(c)[1:-1] for c in text)


def escape(text: str) -> str:
    """The same, unambiguous: backslashes are escaped, too."""
    return printable(text.replace("\\", "\\\\"))


def width(text: str) -> int:
    """How many columns of a terminal the text has, which contains nothing but what it shows."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    # Marks are shown over the character before them, and so are vowels and finals of Hangul.
    if unicodedata.category(character) in ("Mn", "Me") or "\u1160" <= character <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def padded(text: str, columns: int, *, is_right: bool = False) -> str:
    spaces = " " * (columns - width(text))
    return spaces + text if is_right else text + spaces


def clipped(text: str, columns: int | None) -> str:
    """The text, of which an ellipsis replaces what does not fit. A tab counts as one column."""
    if columns is None or width(text) <= columns:
        return text
    used = 1
    for index, character in enumerate(text):
        used += _columns(character)
        if used > columns:
            return text[:index] + "…"
    return text


def pair_to_json(key: str, value: Any) -> str:
    return f'{{"key": {to_json(key)}, "value": {value_to_json(value)}}}'


def entry_text(key: str | None, value: Any, is_json: bool) -> str:
    """A line of output; without a key only the value."""
    if is_json:
        only_value = f'{{"value": {value_to_json(value)}}}'
        return only_value if key is None else pair_to_json(key, value)
    text = escape(to_text(value))
    return text if key is None else f"{escape(key)}\t{text}"


def write_entry(key: str, value: Any, is_json: bool) -> None:
    sys.stdout.write(f"{entry_text(key, value, is_json)}\n")


def report(result: dict[str, Any], is_json: bool, sentence: str) -> None:
    """The result of a command."""
    print(to_json(result) if is_json else escape(sentence))


def print_fields(fields: dict[str, Any]) -> None:
    columns = max(map(len, fields))
    for name, value in fields.items():
        print(f"{name:{columns}}  {escape(to_text(value))}")


def print_table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """The first column left-aligned, the others right-aligned."""
    lines = [titles, *([escape(to_text(cell)) for cell in row] for row in rows)]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = zip(line[1:], widths[1:], strict=True)
        right = [padded(cell, columns, is_right=True) for cell, columns in cells]
        print("  ".join([padded(line[0], widths[0]), *right]).rstrip())


# ---- numbers for people ----------------------------------------------------------------------


def entries_text(count: int) -> str:
    return f"{count:,} entry" if count == 1 else f"{count:,} entries"


def size_text(size: int) -> str:
    if size < 10240:
        return f"{size:,} B"
    for unit in ("KiB", "MiB"):
        size_in_unit = size / (1024 if unit == "KiB" else 1024**2)
        if size_in_unit < 10240:
            return f"{size_in_unit:,.1f} {unit}"
    return f"{size / 1024**3:,.1f} GiB"


def age_text(seconds: float) -> str:
    if seconds < 120:
        return f"{max(seconds, 0):.0f} s"
    for limit, unit, name in ((7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86400:,.0f} d"


def time_text(when: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))


def mode_text(mode: int) -> str:
    return f"{stat.S_IMODE(mode):04o}"
