"""Values of other types, passed on without being decoded.

An encoded value can be copied from map to map without the user's decode(). Opened with
decode=Encoded and published with encode=Encoded.bytes, its bytes stay the same.
"""

from __future__ import annotations


class Encoded:
    """The bytes of one such value."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def bytes(self) -> bytes:
        return self.data
