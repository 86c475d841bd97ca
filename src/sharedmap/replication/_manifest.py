"""The manifest of one version: the parts of its snapshot.

    header     in the manifest itself: different in each publication of the same map
    chunks     the bytes after the header, in order; each named by its sha256

A manifest comes from a server and may be invalid. parse() accepts only manifests that are
consistent in themselves; the code that fetches the chunks checks them against the manifest.
"""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from .._header import HEADER_SIZE
from ._errors import ReplicationError

FORMAT: Final = 1
LARGEST_CHUNK: Final = 4 << 20
# Versions are milliseconds of the publisher's clock, which may be ahead of ours by a day.
_LARGEST_VERSION: Final = 2**53
_AHEAD: Final = 24 * 60 * 60 * 1000
_CLOCK_IS_SET: Final = 1_600_000_000_000
_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")


class Version(NamedTuple):
    """One version of a map, as returned by push(), rollback() and pull() and yielded by follow().

    size is that of the snapshot in bytes. transferred counts the bytes that this call sent or
    received. is_new is true when this call stored or published the version.
    """

    name: str
    version: int
    entries: int
    size: int
    sha256: str
    transferred: int
    is_new: bool


class Chunk(NamedTuple):
    sha256: str
    size: int
    key: str | None  # of its first record, if it begins with a record


@dataclass(frozen=True)
class Manifest:
    version: int
    entries: int
    size: int
    sha256: str
    header: bytes
    chunks: tuple[Chunk, ...]

    def to_bytes(self) -> bytes:
        fields = {
            "format": FORMAT,
            "version": self.version,
            "entries": self.entries,
            "size": self.size,
            "sha256": self.sha256,
            "header": base64.b64encode(self.header).decode(),
            "chunks": self.chunks,
        }
        # ASCII: a key may have lone surrogates.
        return json.dumps(fields, separators=(",", ":")).encode()

    def with_version(self, version: int) -> Manifest:
        return replace(self, version=version)

    def digests(self) -> set[str]:
        return {chunk.sha256 for chunk in self.chunks}

    def describe(self, name: str, transferred: int, is_new: bool) -> Version:
        return Version(
            name, self.version, self.entries, self.size, self.sha256, transferred, is_new
        )


def parse(data: bytes) -> Manifest:
    """Raises ReplicationError unless the manifest is complete and consistent."""
    try:
        return _parse(json.loads(data))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ReplicationError(f"the manifest is damaged: {reason}") from None


def is_ahead(manifest: Manifest) -> bool:
    """Whether no publisher can have made the version by now.

    Followed, it would keep every later version out, as these are smaller.
    """
    now = time.time_ns() // 1_000_000
    # A machine may start with a clock that is not set yet.
    return now > _CLOCK_IS_SET and manifest.version > now + _AHEAD


def check_version(manifest: Manifest) -> None:
    """Raises ReplicationError for a version that is ahead."""
    if is_ahead(manifest):
        raise ReplicationError(
            f"the manifest is damaged: version {manifest.version} is more than a day ahead of the"
            " clock"
        )


def _parse(fields: dict[str, Any]) -> Manifest:
    if fields["format"] != FORMAT:
        raise ValueError(f"format {fields['format']!r} is not supported")
    manifest = Manifest(
        version=_version(fields["version"]),
        entries=_count(fields["entries"]),
        size=_count(fields["size"]),
        sha256=_digest(fields["sha256"]),
        header=base64.b64decode(fields["header"], validate=True),
        chunks=tuple(_chunk(*row) for row in fields["chunks"]),
    )
    if len(manifest.header) != HEADER_SIZE:
        raise ValueError(f"the header is not {HEADER_SIZE} bytes long")
    if HEADER_SIZE + sum(chunk.size for chunk in manifest.chunks) != manifest.size:
        raise ValueError("the chunk sizes do not add up to the snapshot size")
    return manifest


def _chunk(digest: Any, size: Any, key: Any) -> Chunk:
    if not 0 < _count(size) <= LARGEST_CHUNK:
        raise ValueError(f"chunk size {size} is out of range")
    if key is not None and type(key) is not str:
        raise ValueError(f"chunk key {key!r} is not a string")
    return Chunk(_digest(digest), size, key)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} is not a valid count")
    return value


def _version(value: Any) -> int:
    version = _count(value)
    if version > _LARGEST_VERSION:
        raise ValueError(f"version {version} is out of range")
    return version


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not _DIGEST.match(value):
        raise ValueError(f"{value!r} is not a valid sha256")
    return value
