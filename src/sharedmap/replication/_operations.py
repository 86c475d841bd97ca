"""The operations that pushing and following need: server commands, blocking work, sleeping.

Pushing and following are generators that yield operations and receive the results. So the same code
serves programs with an event loop and programs without. The driver (_redis.py) performs each
operation, sends the result back, and throws exceptions into the generator.
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
    """A pipeline of commands; the result is the list of replies."""

    commands: Sequence[Command]


@dataclass(frozen=True)
class Commit:
    """One MULTI, if the key still has that value. The result is a list, or None if it has not."""

    key: bytes
    expected: bytes | None
    commands: Sequence[Command]


class Work:
    """A blocking call; with an event loop it runs in a thread."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function = function
        self.arguments = arguments


@dataclass(frozen=True)
class Sleep:
    seconds: float


Operation = Commands | Commit | Work | Sleep
_T = TypeVar("_T")

# Also yields versions, which the driver passes on to the user.
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
