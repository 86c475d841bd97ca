"""The files of an agent on the disk of its machine.

    DIRECTORY/sharedmap.NAME/
        lock                    held while an agent runs
        VERSION.partial         being fetched; chunks in it are not fetched again
        VERSION.snapshot        complete, as it was pushed
        VERSION.candidate       its manifest, until it is published
        VERSION.manifest        the same once it is: only with it, the version is valid

So a version that cannot be published on this machine never takes the place of one that can. The
last two versions stay: the newest to be published again after a reboot, both as a source of
chunks, so that a rollback fetches nothing. No file is used before it has been verified.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .. import _header
from .._header import HEADER_SIZE
from .._names import file_name, path_of
from .._sharedmap import share, sharedmap
from ._errors import ReplicationError
from ._manifest import Chunk, Manifest, is_ahead, parse

AnyPath = str | os.PathLike[str]

_KEPT: Final = 2
_BLOCK_SIZE: Final = 1 << 20


def default_directory() -> Path:
    """The state directory that systemd gives to a service, or that of the user."""
    service = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if service:
        return Path(service)
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(home) / "sharedmap"


def as_path(directory: AnyPath | None) -> Path | None:
    return None if directory is None else Path(directory)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Gives errors of descriptors the path that they lead to."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


def _write(descriptor: int, data: bytes, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, memoryview(data)[done:], offset + done)


class State:
    def __init__(self, directory: Path, local: str, mode: int) -> None:
        self.local = local
        self.mode = mode
        self.path = directory / os.fsdecode(file_name(local))
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.lock)
            raise FileExistsError(
                errno.EEXIST,
                "another agent uses this directory",
                os.fspath(self.path),
            ) from None
        self.published: tuple[int, tuple[int, int, int] | None] = (0, None)
        try:
            self.versions = self._read_versions("manifest")
            # An agent was killed between publishing and recording: that it goes on from there.
            for candidate in self._read_versions("candidate"):
                if self.is_published(candidate) and candidate.version > self.newest_version:
                    self.record(candidate)
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
                manifest = parse(path.read_bytes())
                if self.file_of(manifest, kind) == path:
                    found.append(manifest)
        return sorted(
            found, key=lambda manifest: (not is_ahead(manifest), manifest.version), reverse=True
        )

    # ---- fetching ----------------------------------------------------------------------------

    def begin(self, manifest: Manifest) -> Incoming:
        """Reserves disk space for the version, so that a full disk is found now."""
        path = self.file_of(manifest, "partial")
        for other in self.path.glob("*.partial"):
            if other != path:
                other.unlink()
        for candidate in self._read_versions("candidate"):
            if candidate.version != manifest.version:
                self.file_of(candidate, "candidate").unlink()
                self.file_of(candidate, "snapshot").unlink(missing_ok=True)
        # What could not be published the last time is complete.
        self.file_of(manifest, "candidate").unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.file_of(manifest, "snapshot"), path)
        is_resumed = path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with _named(path):
                os.ftruncate(descriptor, manifest.size)
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(descriptor, 0, manifest.size)
                _write(descriptor, manifest.header, 0)
        except BaseException:
            os.close(descriptor)
            # The first error is the one to tell.
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return Incoming(self, manifest, descriptor, is_resumed)

    def verify(self, manifest: Manifest, kind: str) -> None:
        """Checks size and sha256, and that it is a valid snapshot."""
        path = self.file_of(manifest, kind)
        digest = hashlib.sha256()
        with _named(path), path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != manifest.size:
                raise ReplicationError(f"{path}: the size does not match the manifest")
            while block := file.read(_BLOCK_SIZE):
                digest.update(block)
        if digest.hexdigest() != manifest.sha256:
            raise ReplicationError(f"{path}: the sha256 does not match the manifest")
        try:
            with sharedmap.open(os.fspath(path)) as opened:
                opened.verify()
        except ValueError as error:
            raise ReplicationError(f"{path}: {error}") from None

    def stage(self, manifest: Manifest) -> None:
        """Keeps the fetched and verified version, durably, as one that may become the newest."""
        os.rename(self.file_of(manifest, "partial"), self.file_of(manifest, "snapshot"))
        beside = self.path / "manifest.new"
        with _named(beside), beside.open("wb") as file:
            file.write(manifest.to_bytes())
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, self.file_of(manifest, "candidate"))
        self._sync()

    def record(self, manifest: Manifest) -> None:
        """Makes the version that was staged, and is published, the newest one, durably."""
        os.rename(self.file_of(manifest, "candidate"), self.file_of(manifest, "manifest"))
        self._sync()
        self.versions.insert(0, manifest)
        self._prune()

    def _sync(self) -> None:
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with _named(self.path):
                os.fsync(directory)
        finally:
            os.close(directory)

    def forget(self, manifest: Manifest) -> None:
        self.versions.remove(manifest)
        self.file_of(manifest, "manifest").unlink(missing_ok=True)
        self.file_of(manifest, "snapshot").unlink(missing_ok=True)

    def _prune(self) -> None:
        del self.versions[_KEPT:]
        kept = {"lock", *(f"{m.version}.{kind}" for m in self.versions for kind in _KINDS)}
        for path in self.path.iterdir():
            if path.name not in kept:
                path.unlink()

    # ---- publishing --------------------------------------------------------------------------

    def publish(self, manifest: Manifest) -> None:
        header = _header.parse(manifest.header)
        with sharedmap.open(os.fspath(self.file_of(manifest, "snapshot"))) as opened:
            try:
                share(
                    opened,
                    self.local,
                    force=True,
                    mode=self.mode,
                    index=header.index_kind,
                    align=header.align,
                )
            except (OverflowError, MemoryError) as error:
                raise ReplicationError(f"{self.local}: {error or 'out of memory'}") from None
        self.published = (manifest.version, self._local_content())

    def _local_content(self) -> tuple[int, int, int] | None:
        try:
            found = _header.read(path_of(self.local), is_ours=True)
        except OSError:
            return None
        return found.header.content if found is not None else None

    def is_published(self, manifest: Manifest) -> bool:
        """Whether the local map has that content, judged by its header."""
        found = self._local_content()
        # A package of another version than the publisher's may write the same entries differently.
        pushed = _header.parse(manifest.header).content
        return found == pushed or self.published == (manifest.version, found)


_KINDS: Final = ("manifest", "snapshot")


class Incoming:
    """A version while it is being fetched. A chunk may come from anywhere if its sha256 matches."""

    def __init__(self, state: State, manifest: Manifest, descriptor: int, is_resumed: bool) -> None:
        self.descriptor = descriptor
        self.path = state.file_of(manifest, "partial")
        self.is_resumed = is_resumed
        self.files: list[int] = []
        self.known: dict[str, tuple[int, int]] = {}
        for kept in reversed(state.versions):
            with contextlib.suppress(OSError):
                file = os.open(state.file_of(kept, "snapshot"), os.O_RDONLY | os.O_CLOEXEC)
                self.files.append(file)
                offset = HEADER_SIZE
                for chunk in kept.chunks:
                    self.known[chunk.sha256] = (file, offset)
                    offset += chunk.size

    def take(self, chunk: Chunk, offset: int) -> bool:
        """Takes the chunk from this machine's disk, if it is there."""
        if self.is_resumed:
            with _named(self.path):
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
        with _named(self.path):
            _write(self.descriptor, data, offset)
        return True

    def sync(self) -> None:
        with _named(self.path):
            os.fsync(self.descriptor)

    def close(self) -> None:
        for file in (self.descriptor, *self.files):
            os.close(file)
