"""The map that is pushed, and what of it is sent: a difference, or an image."""

from __future__ import annotations

import contextlib
import itertools
import logging
import mmap
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

from .._encoded import Encoded, encode_again
from .._header import HEADER_SIZE, Header, read, unmarked
from .._header import parse as parse_header
from .._names import path_of
from .._sharedmap import rbtree, sharedmap
from ._chunks import Cut, describe
from ._difference import (
    REMOVED,
    Changes,
    content_between,
    decode_all,
    encode,
    merge,
    open_snapshot,
    puts_of,
    snapshot_of,
)
from ._errors import ReplicationError
from ._kept import Kept
from ._manifest import Image, Manifest, is_within_limits

log = logging.getLogger("sharedmap.replication")

_SAMPLES: Final = 512


class Source:
    """One version of a map or of a saved file.

    verify() comes first. The bytes of a base never change, so of one that an earlier push has
    verified only the deltas are. An image is always made of verified bytes.

    For an image the version is needed as the bytes of a snapshot. Without deltas it is read where
    it is. A file with deltas may get more of them while it is read, and is compacted now and then,
    so what is pushed would never be twice the same. Such a version is flattened: in memory of its
    own, which takes as much as the map for as long as the push.
    """

    def __init__(self, opened: sharedmap[Any], path: bytes) -> None:
        self.map = opened
        self.path = path
        self.mapping: mmap.mmap | None = None
        self.data: memoryview | None = None
        self.header = b""
        self.cuts: dict[str, Cut] = {}
        self.is_verified = False
        self.entries = len(opened)
        self.content = 0
        found = read(path)
        self.layout = layout_of(found.header) if found is not None else ("hash", 8)
        # The id of the base, if the file is still the one that was opened.
        is_same = found is not None and found.unique_id.hex() == opened.id
        self.base = found.header.unique_id.hex() if found is not None and is_same else None
        self._map_base()

    def verify(self, verified_base: str | None = None) -> None:
        if self.base is not None and self.base == verified_base:
            self.map._verify_deltas()
        else:
            self._verify_all()
        self.content = self.map._content_digest()

    def _verify_all(self) -> None:
        if not self.is_verified:
            self.map.verify()
            self.is_verified = True

    def _map_base(self) -> None:
        """Maps the bytes of the base, if that alone is the version that is open."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            data = os.pread(descriptor, HEADER_SIZE, 0)
            # Each version has an id of its own, and so has each delta.
            if len(data) == HEADER_SIZE and parse_header(data).unique_id.hex() == self.map.id:
                size = parse_header(data).total_size
                self.mapping = mmap.mmap(descriptor, size, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)

    def describe(self, anchors: Iterable[str], version: int) -> Image:
        self._verify_all()
        if self.data is None:
            self.data = memoryview(self.mapping if self.mapping is not None else self._flatten())
            # The words that change are local and must not be transferred.
            self.header = unmarked(self.data[:HEADER_SIZE])
        image, self.cuts = describe(
            self.data, self.map, self.header, anchors, version, self.content
        )
        return image

    def _flatten(self) -> bytes:
        index, align = self.layout
        with self.map as version:
            tree = rbtree(version, encode=encode_again)
            data = tree.dump(version.name or "", index=index, align=align)
        self.map = open_snapshot(data)
        return data

    def chunk(self, sha256: str) -> bytes:
        cut = self.cuts[sha256]
        assert self.data is not None
        return bytes(self.data[cut.begin : cut.end])

    def is_content_of(self, manifest: Manifest) -> bool:
        same = (self.entries, self.content) == (manifest.entries, manifest.content)
        return same and self.layout == layout_of(parse_header(manifest.image.header))

    def image_file(self) -> tuple[bytes | memoryview, ...]:
        assert self.data is not None
        return self.header, self.data[HEADER_SIZE:]

    def close(self) -> None:
        self.map.close()
        if self.data is not None:
            self.data.release()
        if self.mapping is not None:
            # The traceback of an exception may still use the mapping; it is unmapped with that.
            with contextlib.suppress(BufferError):
                self.mapping.close()


def layout_of(header: Header) -> tuple[Literal["hash", "tree"], int]:
    """What two publications of the same entries can differ in."""
    return header.index_kind, header.align


def open_source(name: str, local: str | None, path: str | os.PathLike[str] | None) -> Source:
    if path is not None:
        return Source(sharedmap.open(path, decode=Encoded), os.fsencode(path))
    return Source(sharedmap(local or name, decode=Encoded), path_of(local or name))


@dataclass
class Outgoing:
    """A version to be pushed, and where its blobs are."""

    manifest: Manifest
    read: Callable[[str], bytes]
    origin: Literal["image", "kept", "server"]
    # Of differences that the publisher does not have on its disk yet.
    blobs: dict[str, bytes] = field(default_factory=dict)


def as_image(source: Source, anchors: Iterable[str], version: int) -> Outgoing:
    image = source.describe(anchors, version)
    blobs = {}
    if image.chunk_list is not None:
        blobs[image.chunk_list.sha256] = image.list_data()
    manifest = Manifest(version, image.entries, image.content, image)

    def read_blob(sha256: str) -> bytes:
        return blobs[sha256] if sha256 in blobs else source.chunk(sha256)

    return Outgoing(manifest, read_blob, "image")


def as_difference(source: Source, kept: Kept, last: Manifest, version: int) -> Outgoing | None:
    """The difference from the last version, whose image and differences are kept.

    The last version itself if nothing has changed. None if an image is better.
    """
    if source.layout != layout_of(parse_header(last.image.header)):
        return None
    try:
        changes = _changes(source, kept, last)
        if changes is None:
            return None
        if not changes:
            return Outgoing(last, kept.read, "kept")
        parts = encode(changes)
        if parts is None:
            return None
        blobs = {part.row(version).sha256: part.data for part in parts}
        rows = (*last.differences, *(part.row(version) for part in parts))
        merged = merge(rows, lambda row: blobs.get(row.sha256) or kept.read_row(row))
    except (OSError, ValueError, ReplicationError) as error:
        log.warning("%s; sending the complete map", error)
        return None
    if merged is None or not is_within_limits(last.image, merged[0]):
        return None
    blobs |= merged[1]
    manifest = Manifest(version, source.entries, source.content, last.image, merged[0])
    return Outgoing(manifest, partial(_read_from, blobs, kept), "kept", blobs)


def _read_from(blobs: dict[str, bytes], kept: Kept, sha256: str) -> bytes:
    return blobs[sha256] if sha256 in blobs else kept.read(sha256)


def _changes(source: Source, kept: Kept, last: Manifest) -> Changes | None:
    """From the last version to that of the source. None if there are too many."""
    with kept.open_image() as image:
        if _are_mostly_new(source.map, image) or _are_mostly_new(image, source.map):
            return None
        since = decode_all(last.differences, kept.read_row)
        keys = list({*itertools.chain(*source.map.diff(image)), *since})
        before = dict(zip(keys, image.get_many(keys, REMOVED), strict=True)) | since
        after = dict(zip(keys, source.map.get_many(keys, REMOVED), strict=True))
    with (
        open_snapshot(snapshot_of(puts_of(before))) as old,
        open_snapshot(snapshot_of(puts_of(after))) as new,
    ):
        if last.content is None or content_between(last.content, old, new) != source.content:
            raise ReplicationError(f"{kept.folder}: this is not the version that was pushed last")
        return {key: after[key] for key in itertools.chain(*new.diff(old))}


def _are_mostly_new(one: sharedmap[Any], other: sharedmap[Any]) -> bool:
    """Whether so many entries are different that a difference would be too large.

    Judged by some of them: a list of all the keys could take more memory than the map.
    """
    count = len(one)
    if count < 8 * _SAMPLES:
        return False
    entries = dict(one.peekitem(number * count // _SAMPLES) for number in range(_SAMPLES))
    found = other.get_many(entries, REMOVED)
    differing = sum(map(_differs, entries.values(), found))
    return differing > _SAMPLES // 4


def _differs(one: Any, other: Any) -> bool:
    if isinstance(one, Encoded) and isinstance(other, Encoded):
        return one.data != other.data
    return type(one) is not type(other) or bool(one != other)
