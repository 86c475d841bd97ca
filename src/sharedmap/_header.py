"""The header of a snapshot, by the table of docs/FORMAT.md, section 3.

The only module that knows the offsets of fields. Nothing is checked here: opening a map checks its
header.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
from typing import Final, Literal, NamedTuple

HEADER_SIZE: Final = 512
_MAGIC: Final = b"\x89SMAP\r\n\x1a"
_HASH_INDEX: Final = 1
# The words that change: superseded and waiting_since.
_CHANGING: Final = (slice(192, 196), slice(200, 208))
# The first line, three regions, and of the third line what tells one publication from another.
_FIELDS: Final = struct.Struct("<8s4I2Q2BHI2Q 4Q16x2Q Q16s40xI")


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
    reserved: int
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
    superseded: int

    @property
    def index_kind(self) -> Literal["hash", "tree"]:
        return "hash" if self.flags & _HASH_INDEX else "tree"

    @property
    def content(self) -> tuple[int, int]:
        """What two publications of the same entries have in common."""
        return self.entry_count, self.content_checksum

    def record(self, data: memoryview, index: int) -> int:
        """The offset of an entry's record; behind the last entry, the end of the records."""
        if index == self.entry_count:
            return self.records_offset + self.records_size
        at = self.sorted_offset + index * self.reference_size
        reference = int.from_bytes(data[at : at + self.reference_size], "little")
        return self.records_offset + (reference << self.reference_shift)


def parse(data: bytes | memoryview) -> Header:
    return Header._make(_FIELDS.unpack_from(data))


def _pread(file: int, size: int) -> bytes:
    """The first bytes of a file, fewer only at its end: some file systems give less at once."""
    data = b""
    while len(data) < size and (more := os.pread(file, size - len(data), len(data))):
        data += more
    return data


def read(path: bytes, *, is_ours: bool = False) -> Header | None:
    """The header of a file; None if the file does not begin like a snapshot.

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
    except OSError as error:
        # What is asked of a descriptor does not tell the path.
        error.filename = os.fsdecode(path)
        raise
    finally:
        # Some file systems have an error for that, too; nothing was written.
        with contextlib.suppress(OSError):
            os.close(file)
    return parse(data) if len(data) == HEADER_SIZE and data.startswith(_MAGIC) else None


def unmarked(header: bytes | memoryview) -> bytes:
    """The bytes of the header as they were when the snapshot was published."""
    copy = bytearray(header)
    for word in _CHANGING:
        copy[word] = bytes(word.stop - word.start)
    return bytes(copy)
