"""Cuts a snapshot into chunks, such that the next version shares as many of them as possible.

    | header |    records, in key order    |        indices            |
             |       |          |     |    |       |       |       |   |
             a       f          m     s            fixed sizes

When an entry grows, all records behind it move, but hardly any of them changes. So records are not
cut at offsets but at keys: those at which the previous version was cut. That takes one lookup per
chunk, and reads none of its bytes. A chunk that has become too small is merged with the next one; a
chunk that has become too large is divided.

The indices contain offsets of records, so behind the first record that has moved they always
change. Therefore they are cut at fixed distances. An entry that changes without growing leaves the
indices unchanged.

Padding does not prevent this: aligned values are aligned to 8 bytes, and behind the first such
record everything moves by a multiple of 8.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from .._header import HEADER_SIZE, parse
from .._sharedmap import sharedmap
from ._manifest import LARGEST_CHUNK, Chunk, Image, make_image

SMALLEST: Final = 1 << 20
USUAL: Final = 2 << 20
# Longer keys are not stored in a manifest.
LONGEST_KEY: Final = 256


class Cut(NamedTuple):
    begin: int
    end: int
    key: str | None


class Layout:
    """The regions and records of a base, which must have been verified.

    The map has the same bytes, and no deltas.
    """

    def __init__(self, data: memoryview, opened: sharedmap[Any]) -> None:
        self.data = data
        self.header = parse(data)
        self.size = self.header.total_size
        self.count = self.header.entry_count
        # Where those behind the sorted index begin; a region that is absent has the offset 0.
        self.other_indices = sorted({self.header.hash_offset} - {0})
        # Ours have the records first; the format lets others order their regions as they like.
        indices = [self.header.sorted_offset, *self.other_indices]
        self.is_ours = self.header.records_offset == HEADER_SIZE and indices == sorted(indices)
        self.map = opened

    def record(self, index: int) -> int:
        return self.header.record(self.data, index)

    def index_at(self, offset: int) -> int:
        """The first entry whose record begins at the offset or behind it."""
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if self.record(middle) < offset:
                low = middle + 1
            else:
                high = middle
        return low

    def key(self, index: int) -> str | None:
        if index == self.count:
            return None
        key: str = self.map.peekitem(index)[0]
        return key if len(key) <= LONGEST_KEY else None


def _cut_records(layout: Layout, anchors: Iterable[str]) -> list[tuple[int, str | None]]:
    """The offsets at which chunks begin, and the keys there."""
    begin = layout.header.records_offset
    end = layout.record(layout.count)
    cuts: list[tuple[int, str | None]] = [(begin, None)]
    wanted = sorted({layout.map.bisect_left(anchor) for anchor in anchors})
    for offset, index in [*((layout.record(index), index) for index in wanted), (end, None)]:
        while offset - cuts[-1][0] > LARGEST_CHUNK:
            cuts.append(_divide(layout, cuts[-1][0]))
        if index is not None and offset - cuts[-1][0] >= SMALLEST and end - offset >= SMALLEST:
            cuts.append((offset, layout.key(index)))
    return cuts


def _divide(layout: Layout, begin: int) -> tuple[int, str | None]:
    """A cut of about the usual size behind `begin`, at a record unless that one is enormous."""
    index = layout.index_at(begin + USUAL)
    offset = layout.record(index)
    if offset - begin <= LARGEST_CHUNK:
        return offset, layout.key(index)
    return begin + LARGEST_CHUNK, None


def find_cuts(layout: Layout, anchors: Iterable[str]) -> Iterator[Cut]:
    """All chunks, in order, without gaps from the header to the end."""
    if layout.size - HEADER_SIZE <= USUAL:
        starts: list[tuple[int, str | None]] = [(HEADER_SIZE, None)]
    elif not layout.is_ours:
        starts = [(offset, None) for offset in range(HEADER_SIZE, layout.size, USUAL)]
    else:
        starts = _cut_records(layout, anchors)
        # The padding between records and index depends on their size, so it has no cut of its own.
        indices = [layout.record(layout.count), *layout.other_indices, layout.size]
        for begin, end in itertools.pairwise(indices):
            starts += [(offset, None) for offset in range(begin, end, USUAL)]
    ends = [offset for offset, _ in starts[1:]] + [layout.size]
    for (begin, key), end in zip(starts, ends, strict=True):
        if begin < end:  # the empty map has no bytes but the header's
            yield Cut(begin, end, key)


def describe(
    data: memoryview,
    opened: sharedmap[Any],
    header: bytes,
    anchors: Iterable[str],
    version: int = 0,
    content: int | None = None,
) -> tuple[Image, dict[str, Cut]]:
    """The image that a snapshot is, and the cut of each chunk by its sha256."""
    layout = Layout(data, opened)
    snapshot_hash = hashlib.sha256(header)
    chunks: list[Chunk] = []
    cuts: dict[str, Cut] = {}
    for cut in find_cuts(layout, anchors):
        chunk = data[cut.begin : cut.end]
        sha256 = hashlib.sha256(chunk).hexdigest()
        snapshot_hash.update(chunk)
        chunks.append(Chunk(sha256, len(chunk), cut.key))
        cuts[sha256] = cut
    sha256 = snapshot_hash.hexdigest()
    image = make_image(version, layout.count, layout.size, sha256, header, content, tuple(chunks))
    return image, cuts
