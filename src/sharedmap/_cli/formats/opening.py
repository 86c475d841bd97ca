"""A file becomes a stream of UTF-8: compression and encoding are told by its first bytes.

    file --head--> decompression --head--> UTF-8 --> buffer

Data that ends too early is an error of the stream, never the end of the input.
"""

from __future__ import annotations

import codecs
import io
import os
import stat
from collections.abc import Callable
from typing import Any, BinaryIO, Final

from ..._header import is_snapshot
from ..errors import BadInput, CommandError
from .compression import Decompressed, compression_of

_BLOCK_SIZE: Final = 1 << 20
_HEAD_SIZE: Final = 16

# UTF-32 first: its mark begins like that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What is recognized by its first bytes: the format, or why it cannot be read.
BINARY_FORMATS: Final = {b"SQLite format 3\0": "sqlite", b"PAR1": "parquet", b"ARROW1": "arrow"}
_STRANGERS: Final = {
    b"PK\x03\x04": "a zip archive, such as .xlsx, .ods or .npz; export it as CSV",
    b"\xd0\xcf\x11\xe0": "an old Office document, such as .xls; export it as CSV",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"\x89PNG": "an image",
    b"\x7fELF": "a program",
    b"Obj\x01": "an Avro file",
}


class Head(io.RawIOBase):
    """A stream whose first bytes are known before it is read."""

    def __init__(self, inner: Any, advance: Callable[[int], object] | None = None) -> None:
        self.inner = inner
        self.advance = advance
        self.head = b""
        while len(self.head) < _HEAD_SIZE:
            more = inner.read(_HEAD_SIZE - len(self.head))
            if not more:
                break
            self.head += more
        self.rest = self.head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.rest:
            count = min(len(buffer), len(self.rest))
            buffer[:count] = self.rest[:count]
            self.rest = self.rest[count:]
        else:
            count = self.inner.readinto(buffer) or 0
        if self.advance is not None:
            self.advance(count)
        return count

    def skip(self, count: int) -> None:
        self.rest = self.rest[count:]


class _Transcoded(io.RawIOBase):
    """Text of another encoding as UTF-8."""

    def __init__(self, inner: Any, encoding: str) -> None:
        self.inner = inner
        self.encoding = encoding
        self.decoder = codecs.getincrementaldecoder(encoding)()
        self.result = memoryview(b"")
        self.line = 1
        self.is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.result:
            if self.is_over:
                return 0
            data = self.inner.read(1 << 16)
            self.is_over = not data
            try:
                text = self.decoder.decode(data or b"", final=self.is_over)
            except UnicodeError as error:
                reason = getattr(error, "reason", error)
                raise BadInput(
                    None,
                    f"after line {self.line}: not valid {self.encoding} ({reason})",
                ) from None
            self.line += text.count("\n")
            self.result = memoryview(text.encode("utf-8", "surrogatepass"))
        count = min(len(buffer), len(self.result))
        buffer[:count] = self.result[:count]
        self.result = self.result[count:]
        return count


def open_raw(path: str | None) -> io.FileIO:
    """Standard input, or the file. A directory is told by its own name, not by a descriptor."""
    if path is None:
        return io.FileIO(0, closefd=False)
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if stat.S_ISDIR(os.fstat(number).st_mode):
        os.close(number)
        raise CommandError(f"{path} is a directory; only files can be read")
    return io.FileIO(number)


def decompressed(raw: Any, advance: Callable[[int], object]) -> Head:
    """The stream behind its compression, with its first bytes."""
    file = Head(raw, advance)
    kind = compression_of(file.head)
    if kind is None:
        return file
    inner = io.BufferedReader(Decompressed(kind, io.BufferedReader(file, _BLOCK_SIZE)))
    return Head(inner)


def refuse_stranger(head: bytes) -> None:
    if is_snapshot(head):
        raise BadInput(None, "this is a saved map; `sharedmap publish FILE NAME` publishes it")
    for magic, what in _STRANGERS.items():
        if head.startswith(magic):
            raise BadInput(None, f"this is {what}")


def as_text(file: Head, encoding: str | None) -> BinaryIO:
    """The stream as UTF-8 without a byte order mark."""
    if encoding is None:
        for mark, name in _MARKS:
            if file.head.startswith(mark):
                if name == "utf-8":
                    file.skip(len(mark))
                else:
                    encoding = name
                break
    if encoding is None or codecs.lookup(encoding).name == "utf-8":
        if file.head.startswith(codecs.BOM_UTF8) and file.rest == file.head:
            file.skip(len(codecs.BOM_UTF8))
        return io.BufferedReader(file, _BLOCK_SIZE)
    inner = io.BufferedReader(file, _BLOCK_SIZE)
    return io.BufferedReader(_Transcoded(inner, encoding), _BLOCK_SIZE)


class Lines:
    """The lines of UTF-8 as text; `number` is that of the last line returned."""

    def __init__(self, file: BinaryIO, skip: int = 0) -> None:
        self.file = file
        self.number = 0
        while self.number < skip and file.readline():
            self.number += 1

    def __iter__(self) -> Any:
        for data in self.file:
            self.number += 1
            try:
                yield data.decode()
            except UnicodeDecodeError as error:
                raise BadInput(
                    self.number,
                    f"byte {error.start + 1} of the line is not valid UTF-8 ({error.reason});"
                    " --encoding names another encoding, such as latin-1",
                ) from None
