"""Types for annotations: what a map stores without an encoder, and what comes back.

config: sharedmap.sharedmap[Value] says that a map has native values, nested as deep as they may be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

__all__ = ["Storable", "Value"]

Value: TypeAlias = (
    str
    | bytes
    | int
    | float
    | bool
    | list["Value"]
    | tuple["Value", ...]
    | dict[str, "Value"]
    | None
)
"""What comes back from a map without a decoder."""


class _Scalar(Protocol):
    """A number of numpy. Its dates and complex numbers have items of other types."""

    @property
    def dtype(self) -> Any: ...
    def item(self) -> str | bytes | float: ...


# Sequence and Mapping: a list[int] is no list[Storable], since the callee could put a str into it.
Storable: TypeAlias = (
    Value | bytearray | memoryview | _Scalar | Sequence["Storable"] | Mapping[str, "Storable"]
)
"""What a map stores without an encoder: also what is converted to a Value."""
