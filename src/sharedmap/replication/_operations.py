"""What pushing and following ask of the outside world.

They are generators that yield these and get the answers, so that one text of each serves programs
with an event loop and programs without. Whoever drives them (_redis.py) performs each operation,
sends the answer back, and throws what goes wrong into the generator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ._manifest import Version

Command = tuple[Any, ...]


@dataclass(frozen=True)
class Commands:
    """Some commands at once; answered with a list."""

    commands: Sequence[Command]


@dataclass(frozen=True)
class Commit:
    """One MULTI, if the key has still that value. Answered with a list, or None if it has not."""

    key: bytes
    expected: bytes | None
    commands: Sequence[Command]


class Work:
    """A call that takes its time; an event loop leaves it to a thread."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function = function
        self.arguments = arguments


@dataclass(frozen=True)
class Sleep:
    seconds: float


Operation = Commands | Commit | Work | Sleep
_T = TypeVar("_T")

# Yields also versions: those are for the user.
Steps = Generator[Operation | Version, Any, _T]


class Keys:
    """The keys of one map. The braces keep all of them on one node of a cluster."""

    def __init__(self, name: str) -> None:
        if not name:
            raise ValueError("the name must not be empty")
        self.base = b"sharedmap:{" + name.encode("utf-8", "surrogatepass") + b"}:"
        self.manifest = self.base + b"manifest"
        self.previous = self.base + b"previous"
        self.stream = self.base + b"versions"
        self.damaged = self.base + b"damaged"

    def all_chunks(self) -> bytes:
        """A pattern that the keys of all chunks match, and no others."""
        return re.sub(rb"([*?\[\]\\^-])", rb"\\\1", self.base) + b"chunk:*"

    def chunk(self, digest: str) -> bytes:
        return self.base + b"chunk:" + digest.encode()
