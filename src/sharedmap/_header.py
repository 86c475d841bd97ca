"""The headers of a base and of its newest delta, by the tables of docs/FORMAT.md, 3 and 10.

The only module that knows the offsets of fields. Hardly anything is checked here: opening a map
checks its headers.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

HEADER_SIZE: Final = 512
_MAGIC: Final = b"\x89SMAP\r\n\x1a"
_HASH_INDEX: Final = 1
# The words that change: head and waiting_since.
_CHANGING: Final = (slice(192, 196), slice(200, 208))
# The first line, three regions, and of the third line what tells one publication from another.
_FIELDS: Final = struct.Struct("<8s4I2Q2B2H2x2Q 4Q16x2Q Q16s8x2Q16xI")
_DELTA_MAGIC: Final = b"\x89SMDE\r\n\x1a"
_DELTA_FIELDS: Final = struct.Struct("<8s5QI4xQ Q16s8xQ24x")
# Bit 0 of the head; the others count units of 64 bytes.
_SUPERSEDED: Final = 1
_UNIT: Final = 64


class Header(NamedTuple):
    magic: bytes
    version: int
    header_size: int
    kind: int
    flags: int
    total_size: int
    entry_count: int
    reference_size: int
    reference_shift: int
    label_size: int
    value_alignment: int  # 0 means 8
    hash_seed: int
    content_checksum: int
    sorted_offset: int
    sorted_size: int
    hash_offset: int  # 0 without a hash index
    hash_size: int
    records_offset: int
    records_size: int
    generation: int
    unique_id: bytes
    published_at: int  # nanoseconds since 1970 UTC; 0 if never
    limit: int  # of the file; 0 if there can be no deltas
    head: int

    @property
    def align(self) -> int:
        """What share() takes to align values in the same way."""
        return self.value_alignment or 8

    @property
    def is_superseded(self) -> bool:
        return bool(self.head & _SUPERSEDED)

    @property
    def delta_offset(self) -> int | None:
        """Where the newest delta begins in the file; None if there is none."""
        number = self.head >> 1
        return self.total_size + (number - 1) * _UNIT if number else None

    @property
    def index_kind(self) -> Literal["hash", "tree"]:
        return "hash" if self.flags & _HASH_INDEX else "tree"

    @property
    def content(self) -> tuple[int, int, int]:
        """What two publications of the same entries without deltas have in common."""
        return self.entry_count, self.content_checksum, self.head & ~_SUPERSEDED

    def record(self, data: memoryview, index: int) -> int:
        """The offset of an entry's record; behind the last entry, the end of the records."""
        if index == self.entry_count:
            return self.records_offset + self.records_size
        at = self.sorted_offset + index * self.reference_size
        reference = int.from_bytes(data[at : at + self.reference_size], "little")
        return self.records_offset + (reference << self.reference_shift)


class Version(NamedTuple):
    """The newest version in a file: that of the newest delta, or of the base if there is none."""

    header: Header  # of the base
    entry_count: int
    size: int  # from the beginning of the base to the end of that delta
    generation: int
    unique_id: bytes
    published_at: int
    is_complete: bool  # the file has all of it, and no more than it may


class Delta(NamedTuple):
    """One delta, as the version that it makes."""

    offset: int
    size: int
    entry_count: int  # of the version
    generation: int
    unique_id: bytes
    published_at: int


def parse(data: bytes | memoryview) -> Header:
    return Header._make(_FIELDS.unpack_from(data))


def _pread(file: int, size: int, offset: int = 0) -> bytes:
    """Bytes of a file, fewer only at its end: some file systems give less at once."""
    data = b""
    while len(data) < size and (more := os.pread(file, size - len(data), offset + len(data))):
        data += more
    return data


def read(path: bytes, *, is_ours: bool = False) -> Version | None:
    """The newest version in a file; None if the file does not begin like a snapshot.

    With is_ours, also None for a link and for what belongs to another user.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        file = os.open(path, flags | os.O_NOFOLLOW if is_ours else flags)
    except OSError as error:
        if is_ours and error.errno in (errno.ELOOP, errno.ENXIO):
            return None
        raise
    try:
        status = os.fstat(file)
        # A FIFO would keep its reader waiting.
        if not stat.S_ISREG(status.st_mode) or (is_ours and status.st_uid != os.geteuid()):
            return None
        data = _pread(file, HEADER_SIZE)
        if len(data) < HEADER_SIZE or not data.startswith(_MAGIC):
            return None
        return _read_version(file, parse(data))
    except OSError as error:
        # What is asked of a descriptor does not tell the path.
        error.filename = os.fsdecode(path)
        raise
    finally:
        # Some file systems have an error for that, too; nothing was written.
        with contextlib.suppress(OSError):
            os.close(file)


def _read_version(file: int, header: Header) -> Version:
    size, is_complete = header.total_size, True
    fields = (header.entry_count, size, header.generation, header.unique_id, header.published_at)
    begin = header.delta_offset
    if begin is not None:
        # A damaged header can lead anywhere.
        data = _pread(file, _DELTA_FIELDS.size, begin) if begin < header.limit else b""
        is_complete = len(data) == _DELTA_FIELDS.size and data.startswith(_DELTA_MAGIC)
        if is_complete:
            delta = _DELTA_FIELDS.unpack(data)
            size = begin + delta[1]
            fields = (delta[3], size, *delta[8:])
    # The size after the head: the file may be growing.
    found = os.fstat(file).st_size
    is_complete = is_complete and size <= found <= max(header.limit, header.total_size)
    return Version(header, *fields, is_complete)


def deltas(path: bytes, header: Header) -> Iterator[Delta]:
    """All deltas in a file, oldest first: also those that only older versions need.

    Each begins where the one before it ends. Ends early where the file is not valid.
    """
    newest = header.delta_offset
    if newest is None:
        return
    with open(path, "rb", buffering=0) as file:
        begin = header.total_size
        while begin <= newest:
            data = _pread(file.fileno(), _DELTA_FIELDS.size, begin)
            if len(data) < _DELTA_FIELDS.size or not data.startswith(_DELTA_MAGIC):
                return
            fields = _DELTA_FIELDS.unpack(data)
            yield Delta(begin, fields[1], fields[3], *fields[8:])
            if fields[1] < _UNIT:
                return
            begin += fields[1]


def unmarked(header: bytes | memoryview) -> bytes:
    """The bytes of the header as they were when the base was published."""
    copy = bytearray(header)
    for word in _CHANGING:
        copy[word] = bytes(word.stop - word.start)
    return bytes(copy)


def is_snapshot(head: bytes) -> bool:
    """Whether a file that begins so is a saved map, valid or not."""
    return head.startswith(_MAGIC)
