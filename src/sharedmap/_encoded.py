"""Values of other types, passed on without being understood.

What somebody's encode() made of a value can be copied from map to map without their decode():
opened with decode=Encoded and published with encode=Encoded.bytes, the bytes stay what they are.
"""

from __future__ import annotations


class Encoded:
    """The bytes of one such value."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def bytes(self) -> bytes:
        return self.data
