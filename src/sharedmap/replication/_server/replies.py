"""What each command costs, and what its reply has to be.

A server may answer anything, and the code that asks expects a number or bytes. So each reply is
checked here, by the name of its command; what is not in the tables cannot be sent.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from .resp import Refusal, Refused, invalid

Reply = Any
_SMALL: Final = 512
_CONTROL: Final = 1 << 20
_ENTRY: Final = 16 << 10
# A refusal, and what a server may add.
MARGIN: Final = 64 << 10
MOST_ITEMS: Final = 64 << 10
_SECONDS: Final = 10.0
# Slower, and the server is not one that can be used.
_SLOWEST: Final = 64 << 10


def _integer(reply: Reply) -> int:
    if type(reply) is not int:
        raise TypeError
    return reply


def _bytes(reply: Reply) -> bytes:
    if not isinstance(reply, bytes):
        raise TypeError
    return reply


def _bytes_or_none(reply: Reply) -> bytes | None:
    return None if reply is None else _bytes(reply)


def _filled(reply: Reply) -> bytes | None:
    """GETRANGE of a key that does not exist is an empty string."""
    return _bytes(reply) or None


def _list(reply: Reply) -> list[Any]:
    if not isinstance(reply, list):
        raise TypeError
    return reply


def _strings(reply: Reply) -> list[bytes]:
    return [_bytes(item) for item in _list(reply)]


def _set(reply: Reply) -> set[bytes]:
    return set(_strings(reply))


def _pairs(reply: Reply) -> dict[bytes, bytes]:
    items = _strings(reply)
    return dict(zip(items[::2], items[1::2], strict=True))


def _entries(reply: Reply) -> list[tuple[bytes, dict[bytes, bytes]]]:
    found: list[tuple[bytes, dict[bytes, bytes]]] = []
    for entry in _list(reply):
        identity, fields = _list(entry)
        # The fields of an entry that was removed are nil.
        found.append((_bytes(identity), {} if fields is None else _pairs(fields)))
    return found


def _streams(reply: Reply) -> list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]:
    found: list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]] = []
    for stream in [] if reply is None else _list(reply):
        key, entries = _list(stream)
        found.append((_bytes(key), _entries(entries)))
    return found


def _page(reply: Reply) -> tuple[int, list[bytes]]:
    cursor, items = _list(reply)
    text = _bytes(cursor)
    if not text.isdigit() or len(text) > 20:
        raise ValueError
    return int(text), _strings(items)


def _info(reply: Reply) -> dict[str, int | str]:
    lines = _bytes(reply).decode("utf-8", "replace").splitlines()
    return {
        name: int(value) if re.fullmatch("[0-9]{1,18}", value) else value
        for name, colon, value in (line.partition(":") for line in lines)
        if colon and not name.startswith("#")
    }


_INTEGERS: Final = (
    *("DEL", "EXISTS", "EXPIRE", "PERSIST", "SADD", "SISMEMBER"),
    *("SREM", "STRLEN", "UNLINK", "WAIT", "XLEN"),
)
_CHECKS: Final[dict[str, Callable[[Reply], Any]]] = {
    **dict.fromkeys(_INTEGERS, _integer),
    **dict.fromkeys(["ASKING", "MULTI", "PING", "UNWATCH", "WATCH"], _bytes),
    **dict.fromkeys(["SET", "XADD"], _bytes_or_none),
    **dict.fromkeys(["CLUSTER", "EXEC", "ROLE"], _list),
    **dict.fromkeys(["SCAN", "SSCAN"], _page),
    "GETRANGE": _filled,
    "INFO": _info,
    "SENTINEL": _list,
    "SMEMBERS": _set,
    "XREAD": _streams,
    "XREVRANGE": _entries,
}
# Those whose replies are as large as what is stored.
_LARGE: Final = {"CLUSTER", "INFO", "ROLE", "SCAN", "SENTINEL", "SMEMBERS", "SSCAN"}


def name_of(command: Sequence[Any]) -> str:
    name = str(command[0]).upper()
    if name not in _CHECKS:
        raise ValueError(f"{name} is not in the table of replies")
    return name


def _option(command: Sequence[Any], name: str) -> int | None:
    for word, value in itertools.pairwise(command):
        if word == name:
            return int(value)
    return None


def size_of(command: Sequence[Any]) -> int:
    """The bytes that a valid reply has at most."""
    name = name_of(command)
    if name == "GETRANGE":
        return int(command[3]) - int(command[2]) + 1 + _SMALL
    if name in ("XREAD", "XREVRANGE"):
        count = _option(command, "COUNT")
        return _CONTROL if count is None else min(_CONTROL, _ENTRY * count)
    return _CONTROL if name in _LARGE else _SMALL


def seconds_of(commands: Sequence[Sequence[Any]]) -> float:
    """The time that the server has to answer, besides that for what is transferred."""
    wait = 0.0
    for command in commands:
        if name_of(command) == "XREAD":
            wait += (_option(command, "BLOCK") or 0) / 1000
        elif name_of(command) == "WAIT":
            wait += int(command[2]) / 1000
    return wait + _SECONDS


def seconds_for(size: int) -> float:
    """The time that is given for each transfer of so many bytes, once they have come or gone."""
    return size / _SLOWEST


def checked(command: Sequence[Any], reply: Reply) -> Any:
    """The reply in the form that its command has. Raises ServerError if it is something else."""
    name = name_of(command)
    if isinstance(reply, Refusal):
        raise Refused(reply.text)
    try:
        return _CHECKS[name](reply)
    except (TypeError, ValueError):
        raise invalid(f"it is not a reply to {name}") from None
