"""What a publisher keeps on its disk: the version that it pushed last.

    DIRECTORY/pushed/SHA256 of server, namespace and name/
        lock                    held during a push
        manifest                of that version, with the list of chunks
        base                    the id of the local map's base, which has been verified
        image                   its image, a snapshot
        SHA256.difference       its differences

The next push compares the map with it, and sends only the difference. So nothing here is needed:
without it, the next push sends an image. Nothing is made durable or verified when it is opened, as
everything that leaves here is checked: blobs by their sha256, a difference by the digest of the
content.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .._encoded import Encoded
from .._header import HEADER_SIZE
from .._sharedmap import sharedmap
from ._errors import ReplicationError
from ._files import default_directory, lock_folder, write_file
from ._manifest import Difference, Manifest, parse

log = logging.getLogger("sharedmap.replication")

_told: set[str] = set()


def location_of(url: str) -> str:
    """The part of a URL that says which server and database it leads to: no credentials."""
    parts = urlsplit(url)
    database = parse_qs(parts.query).get("db", [""])[0]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}?{database}"


def folder_of(url: str, namespace: str | None, name: str) -> Path:
    identity = json.dumps([location_of(url), namespace, name]).encode()
    return default_directory() / "pushed" / hashlib.sha256(identity).hexdigest()


class Kept:
    """Holds the lock. A folder that is absent or cannot be used is the same as an empty one."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder or Path()
        self.lock: int | None = None
        self.manifest: Manifest | None = None
        self.base: str | None = None
        if folder is None:
            return
        try:
            self.lock = lock_folder(folder)
            if self.lock is not None:
                self.manifest = parse((folder / "manifest").read_bytes(), is_ours=True)
                self.base = (folder / "base").read_text("ascii", "replace")
        except FileNotFoundError:
            pass
        except (OSError, ReplicationError) as error:
            self._tell(error)

    def close(self) -> None:
        if self.lock is not None:
            os.close(self.lock)

    def _tell(self, error: Exception) -> None:
        """Once, however many pushes this process makes."""
        if f"{error}" not in _told:
            _told.add(f"{error}")
            log.warning("%s; the next push sends the complete map", error)

    def path_of(self, row: Difference) -> Path:
        return self.folder / f"{row.sha256}.difference"

    def open_image(self) -> sharedmap[Any]:
        return sharedmap.open(os.fspath(self.folder / "image"), decode=Encoded)

    def read(self, sha256: str) -> bytes:
        """A blob of the version, verified. Raises ReplicationError or OSError without it."""
        data = self._read(sha256)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ReplicationError(f"{self.folder}: {sha256} is damaged")
        return data

    def read_row(self, row: Difference) -> bytes:
        return self.read(row.sha256)

    def _read(self, sha256: str) -> bytes:
        if self.manifest is not None:
            image = self.manifest.image
            if image.chunk_list is not None and sha256 == image.chunk_list.sha256:
                return image.list_data()
            offset = HEADER_SIZE
            for chunk in image.chunks or ():
                if chunk.sha256 == sha256:
                    with (self.folder / "image").open("rb") as file:
                        return os.pread(file.fileno(), chunk.size, offset)
                offset += chunk.size
        return (self.folder / f"{sha256}.difference").read_bytes()

    def has(self, row: Difference) -> bool:
        try:
            self.read_row(row)
        except (OSError, ReplicationError):
            return False
        return True

    # ---- writing -----------------------------------------------------------------------------

    def add(self, blobs: dict[str, bytes]) -> None:
        """Blobs of differences, for what save() is going to be told."""
        if self.lock is not None:
            with self._telling():
                for sha256, data in blobs.items():
                    write_file(self.folder / f"{sha256}.difference", data)

    def save(
        self,
        manifest: Manifest,
        base: str | None,
        image: tuple[bytes | memoryview, ...] | None = None,
    ) -> None:
        """Keeps the version, with its image if that is another than the kept one."""
        if self.lock is None:
            return
        with self._telling():
            if image is not None:
                self.forget()
                write_file(self.folder / "image", *image)
            write_file(self.folder / "base", (base or "").encode())
            write_file(self.folder / "manifest", manifest.to_bytes(has_list=True))
            self.manifest = manifest
            kept = {self.path_of(row).name for row in manifest.differences}
            for path in self.folder.iterdir():
                if path.name not in {"lock", "manifest", "base", "image", *kept}:
                    path.unlink()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.manifest = None
            self._tell(error)

    def forget(self) -> None:
        """The next push sends an image."""
        self.manifest = None
        if self.lock is not None:
            with contextlib.suppress(OSError):
                (self.folder / "manifest").unlink()
