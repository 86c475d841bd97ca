"""An image while it is being fetched."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from .._header import HEADER_SIZE
from ._files import with_path, write_at
from ._manifest import Chunk, Image

# An image that is on this disk, and its file.
Stored = tuple[Image, Path]


class Incoming:
    """A chunk may come from anywhere if its sha256 matches."""

    def __init__(self, path: Path, image: Image, stored: Iterable[Stored]) -> None:
        """Reserves disk space for the image, so that a full disk is found now."""
        self.path = path
        self.is_resumed = path.exists()
        self.files: list[int] = []
        self.known: dict[str, tuple[int, int]] = {}
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with with_path(path):
                os.ftruncate(self.descriptor, image.size)
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(self.descriptor, 0, image.size)
                write_at(self.descriptor, image.header, 0)
        except BaseException:
            os.close(self.descriptor)
            # The first error is the one to tell.
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        for other, file in stored:
            self._open_stored(other, file)

    def _open_stored(self, image: Image, path: Path) -> None:
        with contextlib.suppress(OSError):
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self.files.append(file)
            offset = HEADER_SIZE
            for chunk in image.chunks or ():
                self.known[chunk.sha256] = (file, offset)
                offset += chunk.size

    def take(self, chunk: Chunk, offset: int) -> bool:
        """Takes the chunk from this machine's disk, if it is there."""
        if self.is_resumed:
            with with_path(self.path):
                data = os.pread(self.descriptor, chunk.size, offset)
            if hashlib.sha256(data).hexdigest() == chunk.sha256:
                return True
        if chunk.sha256 in self.known:
            file, known_offset = self.known[chunk.sha256]
            try:
                data = os.pread(file, chunk.size, known_offset)
            except OSError:
                return False  # the server has it, too
            return self.put(chunk, offset, data)
        return False

    def put(self, chunk: Chunk, offset: int, data: bytes) -> bool:
        """Writes the chunk if its size and sha256 match."""
        if len(data) != chunk.size or hashlib.sha256(data).hexdigest() != chunk.sha256:
            return False
        with with_path(self.path):
            write_at(self.descriptor, data, offset)
        return True

    def close(self) -> None:
        for file in (self.descriptor, *self.files):
            os.close(file)
