"""The manifest of one version: an image, and the differences after it.

    image         a snapshot, in parts:
        header        in the manifest itself: different in each publication of the same map
        chunks        the bytes after the header, in order; each named by its sha256
    differences   rows, in order: what changed up to a version; each blob named by its sha256

Every agent reads the manifest of every version, so it is small: the list of chunks is a blob of its
own, unless it is short. Rows with the same version are parts of one difference.

    image 10      row 12      row 15      row 15      row 20      version 20
                  |<- 10..11  |<---- from 12..14      |<- 15..19

A row leads from any version at or behind the row before it to its own version. So a follower
applies the rows behind the version that it has.

A manifest comes from a server and may be invalid. parse() accepts only manifests that are
consistent in themselves; the code that fetches the blobs checks them against the manifest.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from .._header import HEADER_SIZE
from ._errors import ReplicationError

FORMAT: Final = 2
LARGEST_CHUNK: Final = 4 << 20
LARGEST_LIST: Final = 16 << 20
# Of the puts and removals in one blob. Compression can add a little.
LARGEST_RAW: Final = 4 << 20
_LARGEST_BLOB: Final = LARGEST_RAW + (64 << 10)
# How many versions differences may lead to, and which part of the image they may add up to.
MOST_ROWS: Final = 32
SHARE_OF_IMAGE: Final = 8
# A longer list of chunks is a blob of its own.
_INLINE: Final = 1024
# Versions are milliseconds of the publisher's clock, which may be ahead of ours by a day.
_LARGEST_VERSION: Final = 2**53
_AHEAD: Final = 24 * 60 * 60 * 1000
_CLOCK_IS_SET: Final = 1_600_000_000_000
_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")
_CONTENT: Final = re.compile(r"[0-9a-f]{32}\Z")


_LONGEST_JSON: Final = 64 << 10
_CHUNKS: Final = b'"chunks":'
# Keys have at most 200 characters.
_ROW: Final = re.compile(
    rb'(\["[0-9a-f]{64}",[0-9]{1,10},(?:null|"(?:[^"\\]|\\.){0,4000}")\])(?:,|(?=\]))'
)
_LONGEST_REASON: Final = 200


class Version(NamedTuple):
    """One version of a map, as returned by push(), rollback() and pull() and yielded by follow().

    size is that of the image in bytes, and of the differences after it. sha256 is that of the
    newest part: the last difference, or the image if there is none. transferred counts the bytes of
    this version that were sent or received. is_new is true when this call stored or published the
    version.
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


class Blob(NamedTuple):
    sha256: str
    size: int


class Difference(NamedTuple):
    version: int
    sha256: str
    size: int
    raw_size: int  # decompressed


@dataclass(frozen=True)
class Image:
    version: int  # the one that it was first pushed as
    entries: int
    size: int
    sha256: str
    header: bytes
    content: int | None  # None in manifests of format 1
    chunks: tuple[Chunk, ...] | None  # None while only the list's name is known
    chunk_list: Blob | None  # None if the manifest has the list itself

    def with_chunks(self, data: bytes) -> Image:
        """The image with its list of chunks, from the bytes of that blob."""
        try:
            chunks = _chunks(_read_rows(data, 0, len(data)), self.size)
        except (ValueError, TypeError, RecursionError) as error:
            raise ReplicationError(f"the list of chunks is damaged: {_reason(error)}") from None
        return replace(self, chunks=chunks)

    def list_data(self) -> bytes:
        return _to_json(self.chunks)


def make_image(
    version: int,
    entries: int,
    size: int,
    sha256: str,
    header: bytes,
    content: int | None,
    chunks: tuple[Chunk, ...],
) -> Image:
    data = _to_json(chunks)
    is_inline = len(data) <= _INLINE
    chunk_list = None if is_inline else Blob(hashlib.sha256(data).hexdigest(), len(data))
    return Image(version, entries, size, sha256, header, content, chunks, chunk_list)


@dataclass(frozen=True)
class Manifest:
    version: int
    entries: int
    content: int | None  # see content_after(); None in manifests of format 1
    image: Image
    differences: tuple[Difference, ...] = ()

    def to_bytes(self, *, has_list: bool = False) -> bytes:
        """has_list: with the list of chunks, however long, as it is kept on a disk."""
        image = self.image
        fields = {
            "format": FORMAT,
            "version": self.version,
            "entries": self.entries,
            "content": _hex(self.content),
            "image": {
                "version": image.version,
                "entries": image.entries,
                "size": image.size,
                "sha256": image.sha256,
                "header": base64.b64encode(image.header).decode(),
                "content": _hex(image.content),
                "list": image.chunk_list,
                "chunks": image.chunks if has_list or image.chunk_list is None else None,
            },
            "differences": self.differences,
        }
        return _to_json(fields)

    @property
    def size(self) -> int:
        return self.image.size + sum(row.raw_size for row in self.differences)

    def with_version(self, version: int) -> Manifest:
        return replace(self, version=version)

    def rows_behind(self, version: int) -> tuple[Difference, ...]:
        return tuple(row for row in self.differences if row.version > version)

    def blobs(self) -> dict[str, int]:
        """The size of each blob of the version, by its sha256. Its chunks must be known."""
        image = self.image
        sizes = {chunk.sha256: chunk.size for chunk in image.chunks or ()}
        if image.chunk_list is not None:
            sizes[image.chunk_list.sha256] = image.chunk_list.size
        return sizes | {row.sha256: row.size for row in self.differences}

    def describe(self, name: str, transferred: int, is_new: bool) -> Version:
        sha256 = self.differences[-1].sha256 if self.differences else self.image.sha256
        return Version(name, self.version, self.entries, self.size, sha256, transferred, is_new)


def is_within_limits(image: Image, rows: Iterable[Difference]) -> bool:
    """Whether the differences are few and small enough to be worth fetching one after another."""
    rows = tuple(rows)
    return (
        len({row.version for row in rows}) <= MOST_ROWS
        and sum(row.raw_size for row in rows) * SHARE_OF_IMAGE <= image.size
    )


def parse(data: bytes, *, is_ours: bool = False) -> Manifest:
    """Raises ReplicationError unless the manifest is complete and consistent.

    is_ours: it was written by to_bytes() on this machine, whose differences have no limits.
    """
    try:
        fields = json.loads(data) if is_ours else _from_json(data)
        manifest = _parse_1(fields) if fields["format"] == 1 else _parse_2(fields)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"field {error} is missing" if isinstance(error, KeyError) else _reason(error)
        raise ReplicationError(f"the manifest is damaged: {reason}") from None
    if not is_ours and not is_within_limits(manifest.image, manifest.differences):
        raise ReplicationError("the manifest is damaged: the differences exceed their limits")
    return manifest


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


def _parse_1(fields: dict[str, Any]) -> Manifest:
    """Format 1: an image, and no digest of its content."""
    image = _image(fields | {"content": None, "list": None})
    return Manifest(image.version, image.entries, None, image)


def _parse_2(fields: dict[str, Any]) -> Manifest:
    if fields["format"] != FORMAT:
        raise ValueError(f"format {fields['format']!r} is not supported")
    manifest = Manifest(
        version=_version(fields["version"]),
        entries=_count(fields["entries"]),
        content=_content(fields["content"]),
        image=_image(fields["image"]),
        differences=tuple(_difference(*row) for row in fields["differences"]),
    )
    image, rows = manifest.image, manifest.differences
    versions = [image.version, *(row.version for row in rows), manifest.version]
    if versions != sorted(versions) or (rows and rows[0].version == image.version):
        raise ValueError("the versions of the differences are not in order")
    if rows and (manifest.content is None or image.content is None):
        raise ValueError("there are differences, but no digest of the content")
    if not rows and (manifest.entries, manifest.content) != (image.entries, image.content):
        raise ValueError("the version differs from its image, but there are no differences")
    return manifest


def _image(fields: dict[str, Any]) -> Image:
    size, chunk_list, rows = _count(fields["size"]), fields["list"], fields["chunks"]
    if chunk_list is None and rows is None:
        raise ValueError("the chunks are missing")
    image = Image(
        version=_version(fields["version"]),
        entries=_count(fields["entries"]),
        size=size,
        sha256=_sha256(fields["sha256"]),
        header=base64.b64decode(fields["header"], validate=True),
        content=_content(fields["content"]),
        chunks=None if rows is None else _chunks(rows, size),
        chunk_list=None if chunk_list is None else _blob(*chunk_list),
    )
    if len(image.header) != HEADER_SIZE:
        raise ValueError(f"the header is not {HEADER_SIZE} bytes long")
    return image


def _chunks(rows: Any, size: int) -> tuple[Chunk, ...]:
    chunks = tuple(_chunk(*row) for row in rows)
    if HEADER_SIZE + sum(chunk.size for chunk in chunks) != size:
        raise ValueError("the chunk sizes do not add up to the snapshot size")
    return chunks


def _chunk(sha256: Any, size: Any, key: Any) -> Chunk:
    if key is not None and type(key) is not str:
        raise ValueError(f"chunk key {key!r} is not a string")
    return Chunk(_sha256(sha256), _size(size, LARGEST_CHUNK), key)


def _blob(sha256: Any, size: Any) -> Blob:
    return Blob(_sha256(sha256), _size(size, LARGEST_LIST))


def _difference(version: Any, sha256: Any, size: Any, raw_size: Any) -> Difference:
    sizes = _size(size, _LARGEST_BLOB), _size(raw_size, LARGEST_RAW)
    return Difference(_version(version), _sha256(sha256), *sizes)


def _size(value: Any, largest: int) -> int:
    if not 0 < _count(value) <= largest:
        raise ValueError(f"size {value} is out of range")
    return int(value)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} is not a valid count")
    return value


def _version(value: Any) -> int:
    version = _count(value)
    if version > _LARGEST_VERSION:
        raise ValueError(f"version {version} is out of range")
    return version


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or not _SHA256.match(value):
        raise ValueError(f"{value!r} is not a valid sha256")
    return value


def _content(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _CONTENT.match(value):
        raise ValueError(f"{value!r} is not a valid digest of the content")
    return int(value, 16)


def _hex(content: int | None) -> str | None:
    return None if content is None else f"{content:032x}"


def _from_json(data: bytes) -> Any:
    """The fields of a manifest from a server, in a few times as much memory as its size.

    JSON can take thirty times as much. So only what is short is read as that; a long manifest is of
    format 1, with the chunks at its end.
    """
    if len(data) <= _LONGEST_JSON:
        return json.loads(data)
    begin = data.find(_CHUNKS, 0, _LONGEST_JSON)
    if begin < 0 or not data.endswith(b"}"):
        raise ValueError("it is too long")
    fields = json.loads(data[:begin] + b'"chunks":null}')
    if not isinstance(fields, dict):
        raise TypeError("it is not an object")
    return fields | {"chunks": _read_rows(data, begin + len(_CHUNKS), len(data) - 1)}


def _read_rows(data: bytes, begin: int, end: int) -> Iterator[Sequence[Any]]:
    """The rows of a list of chunks, one at a time, in the form that _to_json() writes."""
    if data[begin : begin + 1] != b"[" or data[end - 1 : end] != b"]":
        raise ValueError("it is not a list")
    begin += 1
    while begin < end - 1:
        match = _ROW.match(data, begin, end)
        if match is None:
            raise ValueError("a row of the list is not valid")
        yield json.loads(match[1])
        begin = match.end()


def _reason(error: Exception) -> str:
    """Values of a server may be of any length."""
    return str(error)[:_LONGEST_REASON]


def _to_json(value: Any) -> bytes:
    # ASCII: a key may have lone surrogates.
    return json.dumps(value, separators=(",", ":")).encode()
