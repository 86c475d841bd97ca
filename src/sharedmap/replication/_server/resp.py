"""The protocol of the server, RESP2, for a server that may send anything.

It may be broken or hostile, so what a reply may cost is known before it is read: a Budget of bytes
and of items, lines and numbers of a few characters, arrays a few levels deep. Nothing is allocated
before it is paid for. redis-py connects and signs in; what follows is read here, because its
parsers have no bounds, and because these few lines serve programs with an event loop and without.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Final

from .._errors import ServerError

LINE: Final = -1
LONGEST_LINE: Final = 16 << 10
_DEEPEST: Final = 8
_NUMBER: Final = re.compile(rb"-?[0-9]{1,19}")
# Larger values are sent as they are, without a copy.
_COPIED: Final = 16 << 10
# Of what a server says, in a message.
LONGEST_TEXT: Final = 300


class Refusal:
    """An error that the server returns in place of a reply."""

    def __init__(self, text: str) -> None:
        self.code = text.partition(" ")[0]
        self.text = text.removeprefix("ERR ")[:LONGEST_TEXT]


class Refused(ServerError):
    """The server is there, and refuses this one request."""


def invalid(what: str) -> ServerError:
    return ServerError(f"the server's reply is not valid: {what}")


class Budget:
    """What the replies to some commands may have at most."""

    def __init__(self, size: int, items: int) -> None:
        self.size = size
        self.items = items

    def spend(self, size: int) -> None:
        self.size -= size
        if self.size < 0:
            raise invalid("it is larger than what was asked for")

    def spend_items(self, count: int) -> None:
        self.items -= count
        if self.items < 0:
            raise invalid("it has more items than what was asked for")


def read_reply(budget: Budget, depth: int = 0) -> Generator[int, bytes, Any]:
    """Parses one reply: yields LINE or a number of bytes, and receives that.

    Returns bytes, an int, None, a Refusal, or a list of these.
    """
    line = yield LINE
    budget.spend(len(line) + 2)
    kind, text = line[:1], line[1:]
    if kind == b"+":
        return text
    if kind == b"-":
        return Refusal(text.decode("utf-8", "backslashreplace"))
    if kind not in (b":", b"$", b"*"):
        raise invalid("it is not of the Redis protocol")
    if not _NUMBER.fullmatch(text):
        raise invalid("it has a number that is not valid")
    number = int(text)
    if kind == b":":
        return number
    if number < 0:
        return None
    if kind == b"$":
        budget.spend(number + 2)
        data = yield number
        if (yield 2) != b"\r\n":
            raise invalid("a string is longer than its size says")
        return data
    budget.spend_items(number)
    if depth == _DEEPEST:
        raise invalid("its arrays are nested too deep")
    items: list[Any] = []
    for _ in range(number):
        items.append((yield from read_reply(budget, depth + 1)))
    return items


def pack(commands: Sequence[Sequence[Any]]) -> Iterator[bytes]:
    """The bytes of the commands, in blocks."""
    block = bytearray()
    for command in commands:
        block += f"*{len(command)}\r\n".encode()
        for word in command:
            data = word if isinstance(word, bytes) else str(word).encode()
            block += f"${len(data)}\r\n".encode()
            if len(data) > _COPIED:
                yield bytes(block)
                yield data
                block = bytearray()
            else:
                block += data
            block += b"\r\n"
    yield bytes(block)
