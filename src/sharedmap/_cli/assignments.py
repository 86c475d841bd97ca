"""KEY=TEXT and KEY:=JSON of `update`, also from files: the changes that they are.

KEY=TEXT      keeps the type of the value that is there; text for a new key
KEY:=JSON     any type
KEY=@FILE     the same with the contents of a file, and
KEY:=@FILE    with - standard input
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._encoded import Encoded
from .._sharedmap import sharedmap
from .errors import USAGE, CommandError
from .formats.values import json_value
from .maps import Options


def read_assignments(options: Options) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    texts: dict[str, str | bytes] = {}
    for assignment in options.assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise CommandError(f"{assignment!r} is neither KEY=TEXT nor KEY:=JSON", USAGE)
        is_json = key.endswith(":")
        key = key[:-1] if is_json else key
        if key in changes or key in texts:
            raise CommandError(f"{key!r} is assigned twice", USAGE)
        content = _contents(text[1:]) if text.startswith("@") else text
        if not is_json:
            texts[key] = content
            continue
        try:
            changes[key] = _parsed(key, content, options.nested)
        except ValueError as error:
            raise CommandError(f"{assignment!r}: {error}", USAGE) from None
    if texts:
        changes |= _typed(texts, _present(options.map, texts))
    return changes


def _parsed(key: str, text: str | bytes, nested: bool) -> Any:
    if isinstance(text, bytes):
        raise ValueError("not valid UTF-8")
    return json_value(key, text, nested)


def _contents(path: str) -> str | bytes:
    """Text, or the bytes of what is not UTF-8."""
    with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
        data = file.read()
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def like_present(name: str, texts: dict[str, Any]) -> dict[str, Any]:
    """The cells of a table, which have no types, as the types that are present."""
    cells: dict[str, str | bytes] = {k: text for k, text in texts.items() if type(text) is str}
    return texts | _typed(cells, _present(name, cells))


def _present(name: str, keys: Iterable[str]) -> list[Any]:
    # Another publisher can change a type between this and the update, as it can right after.
    with sharedmap(name, decode=Encoded) as opened:
        return opened.get_many(keys)


def _typed(texts: dict[str, str | bytes], present: list[Any]) -> dict[str, Any]:
    return {
        key: _like(key, text, value)
        for (key, text), value in zip(texts.items(), present, strict=True)
    }


def _like(key: str, text: str | bytes, present: Any) -> Any:
    """The text as a value of the type that is present."""
    kind = type(present)
    if present is None or type(text) is kind is str:
        return text
    if kind is bytes:
        return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    try:
        value = _parsed(key, text, False)
    except ValueError:
        value = None
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is kind:
        return value
    name = "encoded value" if kind is Encoded else "text" if kind is str else kind.__name__
    article = "" if kind is str else "an " if name[0] in "aeiou" else "a "
    raise CommandError(
        f"{key!r} contains {article}{name}, and the new value is not;"
        f" {key}:=JSON stores any type, such as {key}:='\"text\"'",
        USAGE,
    )
