"""Compressed files, gzip, bzip2, xz and zstd: told by their first bytes, and written by suffix."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import importlib
import io
import lzma
import re
import sys
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, Final

from ..errors import BadInput, CommandError

COMPRESSIONS: Final = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}


_BZIP2: Final = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")


def compression_of(head: bytes) -> str | None:
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if _BZIP2.match(head):
        return "bzip2"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    return "zstd" if head.startswith(b"\x28\xb5\x2f\xfd") else None


def missing(what: str, package: str, extra: str) -> CommandError:
    return CommandError(
        f"{what} needs the package {package}, which is not installed:"
        f" pip install 'sharedmap[{extra}]'"
    )


class _Zstandard(io.RawIOBase):
    """Frames of zstd. The package's own reader takes a truncated one for a valid one."""

    def __init__(self, inner: BinaryIO, zstandard: Any) -> None:
        self.inner = inner
        self.make = zstandard.ZstdDecompressor().decompressobj
        self.frame: Any = None
        self.data = b""
        self.result = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.result:
            # Little input at a time: a frame can be thousands of times as large.
            self.data = self.data or self.inner.read(4096)
            if not self.data:
                if self.frame is not None:
                    raise EOFError
                return 0
            self.frame = self.frame or self.make()
            self.result = memoryview(self.frame.decompress(self.data))
            self.data = b""
            if self.frame.eof:
                self.data, self.frame = self.frame.unused_data, None
        count = min(len(buffer), len(self.result))
        buffer[:count] = self.result[:count]
        self.result = self.result[count:]
        return count


def _zstandard() -> Any:
    try:
        return importlib.import_module("zstandard")
    except ImportError:
        raise missing("zstd", "zstandard", "zstd") from None


def _open_zstd(file: BinaryIO) -> Any:
    if sys.version_info >= (3, 14):
        return importlib.import_module("compression.zstd").ZstdFile(file)
    return _Zstandard(file, _zstandard())


_OPEN: Final[dict[str, Callable[[BinaryIO], Any]]] = {
    "gzip": lambda file: gzip.GzipFile(fileobj=file),
    "bzip2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "zstd": _open_zstd,
}


class Decompressed(io.RawIOBase):
    """Makes one error of those of all libraries."""

    def __init__(self, kind: str, file: BinaryIO) -> None:
        self.kind = kind
        self.inner = _OPEN[kind](file)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            count: int = self.inner.readinto(buffer)
        except EOFError:
            raise BadInput(None, f"the {self.kind} data is truncated") from None
        except CommandError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            if not isinstance(error, (OSError, zlib.error, lzma.LZMAError)) and (
                type(error).__name__ != "ZstdError"
            ):
                raise
            raise BadInput(None, f"the {self.kind} data is damaged: {error}") from None
        return count


def make_compressor(file: BinaryIO, path: str) -> contextlib.AbstractContextManager[Any] | None:
    """A writer that compresses into the file, or None if the suffix is not that of one."""
    name = path.lower()
    if name.endswith(".gz"):
        # Without a name and time the same entries make the same bytes.
        return gzip.GzipFile("", "wb", fileobj=file, mtime=0)
    if name.endswith(".bz2"):
        return bz2.BZ2File(file, "wb")
    if name.endswith(".xz"):
        return lzma.LZMAFile(file, "wb")
    if not name.endswith(".zst"):
        return None
    if sys.version_info >= (3, 14):
        writer: Any = importlib.import_module("compression.zstd").ZstdFile(file, "wb")
        return writer  # type: ignore[no-any-return]
    return _zstandard().ZstdCompressor().stream_writer(file, closefd=False)  # type: ignore[no-any-return]
