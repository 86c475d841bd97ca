"""Values of other types, passed on without being decoded.

An encoded value can be copied from map to map without the user's decode(). Opened with
decode=Encoded and published with encode=encode_again, its bytes stay the same.
"""

from __future__ import annotations

from typing import Any


class Encoded:
    """The bytes of one such value."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


def encode_again(value: Any) -> Any:
    """Leaves containers to the map, which stores them natively."""
    return value.data if type(value) is Encoded else NotImplemented
