"""The operations that pushing and following need: server commands, blocking work, sleeping.

Pushing and following are generators that yield operations and receive the results. So the same code
serves programs with an event loop and programs without. The driver (_server/drive.py) performs each
operation, sends the result back, and throws exceptions into the generator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ._errors import ServerError
from ._manifest import Version

Command = tuple[Any, ...]

# One of format 1 lists its chunks, in some 100 bytes each: those of a map of 80 GiB.
LARGEST_MANIFEST = 4 << 20
# So many small commands are sent together.
QUERIES = 256


@dataclass(frozen=True)
class Commands:
    """Commands that are sent together; the result is the list of replies (_server/replies.py).

    In a cluster each goes to the node that has its key. Those without a key, such as INFO, go to
    the node that has `key`.
    """

    commands: Sequence[Command]
    key: bytes | None = None


@dataclass(frozen=True)
class Commit:
    """One MULTI, if the key still has that value. The result is a list, or None if it has not.

    The value is compared as get(key) reads it.
    """

    key: bytes
    expected: bytes | None
    commands: Sequence[Command]


@dataclass(frozen=True)
class Scan:
    """All keys of the server that match the pattern, on every node. They are read in parts."""

    pattern: bytes


class Work:
    """A blocking call; with an event loop it runs in a thread."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function = function
        self.arguments = arguments


@dataclass(frozen=True)
class Sleep:
    seconds: float


Operation = Commands | Commit | Scan | Work | Sleep
_T = TypeVar("_T")

# Also yields versions, which the driver passes on to the user.
Steps = Generator[Operation | Version, Any, _T]


def get(key: bytes, most: int = LARGEST_MANIFEST) -> Command:
    """Reads the value of a key that may have `most` bytes. The result is None without one.

    It is one byte longer if the value is larger: more is not sent.
    """
    return ("GETRANGE", key, 0, most)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def namespace_prefix(namespace: str | None) -> bytes:
    """What stands before each key of the namespace. Raises ValueError if it is not valid."""
    if namespace is None:
        return b""
    # A brace would move the hash tag, by which a cluster keeps the keys of a map together.
    if not namespace or "{" in namespace or "}" in namespace:
        raise ValueError(
            f"namespace {namespace!r} is not valid; it must not be empty or contain braces"
        )
    return _encode(namespace) + b":"


def names_key(namespace: str | None) -> bytes:
    """The set of the names that were pushed."""
    return namespace_prefix(namespace) + b"sharedmap:names"


def escaped(text: bytes) -> bytes:
    """A pattern that matches only this text."""
    return re.sub(rb"([*?\[\]\\^-])", rb"\\\1", text)


class Keys:
    """The keys of one map. The braces keep all of them on one node of a cluster.

    `names` and `pushes` are those of the namespace: the set of the names that were pushed, and a
    stream with an entry for each push of any of them.
    """

    def __init__(self, name: str, namespace: str | None = None) -> None:
        if not name:
            raise ValueError("the name must not be empty")
        prefix = namespace_prefix(namespace)
        self.name = _encode(name)
        self.base = prefix + b"sharedmap:{" + self.name + b"}:"
        self.manifest = self.base + b"manifest"
        self.previous = self.base + b"previous"
        self.stream = self.base + b"versions"
        self.damaged = self.base + b"damaged"
        self.names = names_key(namespace)
        self.pushes = prefix + b"sharedmap:pushes"

    def all_chunks(self) -> bytes:
        """A pattern that the keys of all chunks match, and no others."""
        return escaped(self.base) + b"chunk:*"

    def chunk(self, digest: str) -> bytes:
        return self.base + b"chunk:" + digest.encode()


def grouped(items: Sequence[_T], size: int = QUERIES) -> Iterator[Sequence[_T]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


def ask_for_memory(keys: Keys) -> Steps[dict[str, Any]]:
    """What the server tells of its memory; nothing where the user may not ask."""
    try:
        (memory,) = yield Commands([("INFO", "memory")], keys.manifest)
    except ServerError:
        return {}
    return memory if isinstance(memory, dict) else {}
