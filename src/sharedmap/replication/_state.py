"""The files of an agent on the disk of its machine.

    DIRECTORY/sharedmap.NAME/
        lock                    held while an agent runs
        SHA256.partial          an image being fetched; chunks in it are not fetched again
        SHA256.snapshot         an image, complete, as it was pushed
        SHA256.difference       what changed after it
        VERSION.candidate       the manifest of a version, until it is published
        VERSION.manifest        the same once it is: only with it, the version is valid

So a version that cannot be published on this machine never takes the place of one that can. The
last two versions stay: the newest to be published again after a reboot, both as a source of
chunks, so that a rollback fetches nothing. No file is used before it has been verified.

A manifest here names the differences that are here. They say the same as those on the server, but
those of older versions may have been merged in another way.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from .._encoded import Encoded
from .._names import file_name
from .._sharedmap import sharedmap
from ._blobs import is_intact, is_same_image
from ._difference import content_after, decode_all, merge
from ._errors import ReplicationError
from ._files import lock_folder, sync, write_file
from ._incoming import Incoming
from ._local import Local
from ._manifest import Difference, Image, Manifest, is_ahead, parse

_KEPT: Final = 2
_BLOCK_SIZE: Final = 1 << 20


class State:
    def __init__(self, directory: Path, local: str, mode: int) -> None:
        self.path = directory / os.fsdecode(file_name(local))
        self.local = Local(local, mode)
        lock = lock_folder(self.path)
        if lock is None:
            raise FileExistsError(
                errno.EEXIST,
                "another agent uses this directory",
                os.fspath(self.path),
            )
        self.lock = lock
        self.staged: Manifest | None = None
        try:
            self.versions = self._read_versions("manifest")
            # An agent was killed between publishing and recording: that it goes on from there.
            for candidate in self._read_versions("candidate"):
                if candidate.version > self.newest_version and self.is_published(candidate):
                    self.staged = candidate
                    self.record()
        except BaseException:
            os.close(self.lock)
            raise

    def close(self) -> None:
        os.close(self.lock)

    @property
    def newest(self) -> Manifest | None:
        return self.versions[0] if self.versions else None

    def file_of(self, manifest: Manifest, kind: str) -> Path:
        return self.path / f"{manifest.version}.{kind}"

    def file_of_image(self, image: Image, kind: str = "snapshot") -> Path:
        return self.path / f"{image.sha256}.{kind}"

    def file_of_row(self, row: Difference) -> Path:
        return self.path / f"{row.sha256}.difference"

    @property
    def newest_version(self) -> int:
        """What a version must be above to be followed."""
        # One that is ahead came while the clock was not set. It is better than none.
        newest = self.newest
        return 0 if newest is None or is_ahead(newest) else newest.version

    def _read_versions(self, kind: str) -> list[Manifest]:
        """The newest first, those that are ahead last. Incomplete versions are skipped."""
        found: list[Manifest] = []
        for path in self.path.glob(f"*.{kind}"):
            with contextlib.suppress(OSError, ReplicationError):
                manifest = parse(path.read_bytes(), is_ours=True)
                if self.file_of(manifest, kind) == path and manifest.image.chunks is not None:
                    found.append(manifest)
                    self._take_over(manifest)
        return sorted(
            found, key=lambda manifest: (not is_ahead(manifest), manifest.version), reverse=True
        )

    def _take_over(self, manifest: Manifest) -> None:
        """An agent of format 1 named the images by their versions."""
        if manifest.content is None:
            with contextlib.suppress(FileNotFoundError):
                os.replace(self.file_of(manifest, "snapshot"), self.file_of_image(manifest.image))

    # ---- fetching ----------------------------------------------------------------------------

    def with_chunks(self, image: Image) -> Image | None:
        """The image with its list of chunks, if it is known here."""
        if image.chunks is not None:
            return image
        for kept in self.versions:
            if is_same_image(kept.image, image):
                return replace(image, chunks=kept.image.chunks)
        return None

    def clear(self, manifest: Manifest) -> None:
        """Removes what neither this version needs nor one that was recorded."""
        self._prune(manifest)
        # What could not be published the last time is complete.
        self.file_of(manifest, "candidate").unlink(missing_ok=True)

    def has_image(self, image: Image) -> bool:
        try:
            self._verify_image(image, self.file_of_image(image))
        except (ReplicationError, FileNotFoundError):
            return False
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False
        return True

    def begin(self, image: Image) -> Incoming:
        """Chunks of a damaged image are used, too."""
        path = self.file_of_image(image, "partial")
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.file_of_image(image), path)
        stored = [(kept.image, self.file_of_image(kept.image)) for kept in reversed(self.versions)]
        return Incoming(path, image, stored)

    def complete(self, image: Image) -> None:
        """The image has been fetched. Raises ReplicationError if it is not what it should be."""
        path = self.file_of_image(image, "partial")
        try:
            self._verify_image(image, path)
        except ReplicationError:
            # Each chunk has the sha256 of the manifest, so the manifest is wrong: discard all.
            path.unlink(missing_ok=True)
            raise
        os.rename(path, self.file_of_image(image))

    def has_row(self, row: Difference) -> bool:
        try:
            self.read_row(row)
        except (ReplicationError, OSError):
            return False
        return True

    def put_row(self, row: Difference, data: bytes) -> bool:
        """Keeps the blob if its size and sha256 match."""
        if not is_intact(data, row.sha256, row.size):
            return False
        write_file(self.file_of_row(row), data)
        return True

    def read_row(self, row: Difference) -> bytes:
        path = self.file_of_row(row)
        data = path.read_bytes()
        if not is_intact(data, row.sha256, row.size):
            raise ReplicationError(f"{path}: the sha256 does not match the manifest")
        return data

    # ---- verifying ---------------------------------------------------------------------------

    def _verify_image(self, image: Image, path: Path) -> None:
        """Checks size and sha256, and that it is a valid snapshot."""
        digest = hashlib.sha256()
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != image.size:
                raise ReplicationError(f"{path}: the size does not match the manifest")
            while block := file.read(_BLOCK_SIZE):
                digest.update(block)
        if digest.hexdigest() != image.sha256:
            raise ReplicationError(f"{path}: the sha256 does not match the manifest")
        try:
            with sharedmap.open(os.fspath(path)) as opened:
                opened.verify()
        except ValueError as error:
            raise ReplicationError(f"{path}: {error}") from None

    def verify(self, manifest: Manifest) -> None:
        """Raises ReplicationError unless image and differences are what the manifest says."""
        self._verify_image(manifest.image, self.file_of_image(manifest.image))
        self.verify_content(manifest)

    def verify_content(self, manifest: Manifest) -> None:
        """The image must have been verified."""
        if manifest.content is None:
            return
        changes = decode_all(manifest.differences, self.read_row)
        with self._open_image(manifest.image) as image:
            content = image._content_digest()
            if content != manifest.image.content:
                raise ReplicationError("the content of the image does not match the manifest")
            if content_after(content, image, changes) != manifest.content:
                raise ReplicationError("the content does not match the manifest")

    def _open_image(self, image: Image) -> sharedmap[Any]:
        return sharedmap.open(os.fspath(self.file_of_image(image)), decode=Encoded)

    # ---- publishing and recording ------------------------------------------------------------

    def is_published(self, manifest: Manifest) -> bool:
        return self.local.is_published(manifest)

    def publish(self, manifest: Manifest) -> None:
        """Publishes a version that has been verified."""
        changes = decode_all(manifest.differences, self.read_row)
        if changes:
            with self._open_image(manifest.image) as image:
                self.local.publish(manifest, image, changes)
        else:
            # Without hooks, the values are not copied to private memory on their way.
            with sharedmap.open(os.fspath(self.file_of_image(manifest.image))) as image:
                self.local.publish(manifest, image, changes)

    def stage(self, manifest: Manifest) -> None:
        """Keeps the verified version as one that is about to be published.

        An agent that is killed then finds it. After a power failure nothing is published, so only
        record() makes it durable.
        """
        write_file(self.file_of(manifest, "candidate"), manifest.to_bytes(has_list=True))
        self.staged = manifest

    def is_staged(self, manifest: Manifest) -> bool:
        """Whether the version is published already, and only remains to be recorded."""
        staged = self.staged
        return (
            staged is not None and staged.version == manifest.version and self.is_published(staged)
        )

    def advance(self, manifest: Manifest, rows: tuple[Difference, ...]) -> bool:
        """Applies the rows to the local map, which then is the version, staged and published.

        False if the local map is not the version before, or if the result would not be the content
        of the manifest.
        """
        newest = self.newest
        if newest is None or newest.content is None or not self.is_published(newest):
            return False
        changes = decode_all(rows, self.read_row)
        with self.local.open() as before:
            # Another program may have changed the map just now.
            if before is None or not self.local.is_known(newest, before):
                return False
            try:
                content = content_after(newest.content, before, changes)
            except ValueError:
                return False  # the local map is damaged
            if content != manifest.content:
                return False
            self.stage(manifest)
            return self.local.update(manifest, before, changes)

    def record(self) -> None:
        """Makes the version that was staged, and is published, the newest one, durably."""
        manifest = self.staged
        assert manifest is not None
        for row in manifest.differences:
            if not any(row in kept.differences for kept in self.versions):
                sync(self.file_of_row(row))
        if not any(is_same_image(kept.image, manifest.image) for kept in self.versions):
            sync(self.file_of_image(manifest.image))
        sync(self.file_of(manifest, "candidate"))
        os.rename(self.file_of(manifest, "candidate"), self.file_of(manifest, "manifest"))
        self.staged = None
        self.versions.insert(0, manifest)
        del self.versions[_KEPT:]
        sync(self.path)
        # Without it, there are more files than needed.
        with contextlib.suppress(OSError, ReplicationError):
            self._merge_newest()
        self._prune()

    def _merge_newest(self) -> None:
        """Leaves few differences: a follower adds one with each version."""
        newest = self.versions[0]
        merged = merge(newest.differences, self.read_row)
        if merged is None or not merged[1]:
            return
        rows, blobs = merged
        for row in rows:
            if row.sha256 in blobs:
                self.put_row(row, blobs[row.sha256])
                sync(self.file_of_row(row))
        newest = replace(newest, differences=rows)
        path = self.file_of(newest, "candidate")
        write_file(path, newest.to_bytes(has_list=True))
        sync(path)
        os.rename(path, self.file_of(newest, "manifest"))
        sync(self.path)
        self.versions[0] = newest

    def forget(self, manifest: Manifest) -> None:
        self.versions.remove(manifest)
        self._prune()

    def _prune(self, *coming: Manifest) -> None:
        kept = {"lock"}
        for manifest in self.versions:
            kept |= {self.file_of(manifest, "manifest").name, *self._names_of(manifest)}
        for manifest in coming:
            kept |= {self.file_of(manifest, "candidate").name, *self._names_of(manifest)}
            kept.add(self.file_of_image(manifest.image, "partial").name)
        for path in self.path.iterdir():
            if path.name not in kept:
                path.unlink()

    def _names_of(self, manifest: Manifest) -> Iterator[str]:
        yield self.file_of_image(manifest.image).name
        yield from (self.file_of_row(row).name for row in manifest.differences)
