"""Differences: the puts and the removals from one version to a later one.

    blob = zlib( size of A, 8 bytes, big-endian | A: the puts | B: the removed keys )

A and B are ordinary snapshots without a hash index, so they are read by the code that reads every
map, and verified by it. In B all values are None. A blob comes from a server and may hold anything:
it is decompressed up to the size in the manifest and no further.

In memory a difference is a dict from each key to its value, or to REMOVED. Two differences that
follow each other are one, in which the last of each key counts: `first | second`. That is how rows
are merged when there are too many of them.

Each version has a digest of its content, the sum of a hash of each entry. So the digest of a
version follows from that of the version before, the entries that are replaced and the entries that
are put. Publisher and follower compare it with the digest of all entries before they go on.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any, Final, NamedTuple

from .._encoded import Encoded, encode_again
from .._sharedmap import rbtree, sharedmap
from ._errors import ReplicationError
from ._manifest import LARGEST_RAW, MOST_ROWS, Difference

# Rows that are never merged: followers that missed only the last few versions fetch only these.
_NEWEST: Final = 16
_SIZE_BYTES: Final = 8
_MODULUS: Final = 2**128


class _Removed:
    def __repr__(self) -> str:
        return "REMOVED"


REMOVED: Final = _Removed()
Changes = dict[str, Any]
# The bytes of a blob that is there, by its row.
Read = Callable[[Difference], bytes]


class Part(NamedTuple):
    """One blob of a difference."""

    data: bytes
    raw_size: int

    def row(self, version: int) -> Difference:
        sha256 = hashlib.sha256(self.data).hexdigest()
        return Difference(version, sha256, len(self.data), self.raw_size)


def puts_of(changes: Changes) -> Changes:
    return {key: value for key, value in changes.items() if value is not REMOVED}


def removed_by(changes: Changes) -> list[str]:
    return [key for key, value in changes.items() if value is REMOVED]


def snapshot_of(entries: Changes) -> bytes:
    return rbtree(entries, encode=encode_again).dump(index="tree")


def open_snapshot(data: bytes | memoryview) -> sharedmap[Any]:
    return sharedmap.frombuffer(data, decode=Encoded)


def encode(changes: Changes) -> list[Part] | None:
    """The blobs, by ranges of keys. None if an entry is too large for one."""
    raw = _to_raw(changes)
    if len(raw) <= LARGEST_RAW:
        return [Part(zlib.compress(raw), len(raw))]
    del raw
    if len(changes) < 2:
        return None
    keys = iter(sorted(changes))
    half = {key: changes[key] for key in islice(keys, len(changes) // 2)}
    first = encode(half)
    second = encode({key: changes[key] for key in keys}) if first is not None else None
    return None if first is None or second is None else first + second


def _to_raw(changes: Changes) -> bytes:
    puts = snapshot_of(puts_of(changes))
    removed = snapshot_of(dict.fromkeys(removed_by(changes)))
    return len(puts).to_bytes(_SIZE_BYTES, "big") + puts + removed


def decode(row: Difference, data: bytes) -> Changes:
    """Raises ReplicationError for whatever encode() has not made."""
    try:
        return _from_raw(_decompress(data, row.raw_size))
    except (ValueError, zlib.error) as error:
        raise ReplicationError(f"difference {row.sha256} is damaged: {error}") from None


def _decompress(data: bytes, size: int) -> bytes:
    stream = zlib.decompressobj()
    raw = stream.decompress(data, size + 1)
    if len(raw) != size or not stream.eof or stream.unused_data:
        raise ValueError("the size does not match the manifest")
    return raw


def _from_raw(raw: bytes) -> Changes:
    middle = _SIZE_BYTES + int(raw[:_SIZE_BYTES].hex(), 16)
    with open_snapshot(raw[_SIZE_BYTES:middle]) as puts, open_snapshot(raw[middle:]) as removed:
        puts.verify()
        removed.verify()
        if any(value is not None for value in removed.values()):
            raise ValueError("a removed key has a value")
        changes = dict(puts) | dict.fromkeys(removed, REMOVED)
        if len(changes) != len(puts) + len(removed):
            raise ValueError("a key is both put and removed")
        return changes


def decode_all(rows: Iterable[Difference], read: Read) -> Changes:
    """What all the rows together change."""
    changes: Changes = {}
    for row in rows:
        changes |= decode(row, read(row))
    return changes


def content_between(content: int, old: sharedmap[Any], new: sharedmap[Any]) -> int:
    """The digest of a version in which the entries of `new` stand where those of `old` stood."""
    return (content - old._content_digest() + new._content_digest()) % _MODULUS


def content_after(content: int, old: sharedmap[Any], changes: Changes) -> int:
    """The digest that a map with this digest has after the changes."""
    with open_snapshot(snapshot_of(puts_of(changes))) as puts:
        return (content - old._content_digest(changes) + puts._content_digest()) % _MODULUS


def merge(
    rows: Sequence[Difference], read: Read
) -> tuple[tuple[Difference, ...], dict[str, bytes]] | None:
    """At most MOST_ROWS differences that say the same, and the blobs of those that are new.

    The two that are merged follow each other and are the smallest of all but the newest. None if
    there are too many, and two would be too large for one blob.
    """
    groups = [tuple(group) for _, group in groupby(rows, key=lambda row: row.version)]
    blobs: dict[str, bytes] = {}

    def read_any(row: Difference) -> bytes:
        return blobs[row.sha256] if row.sha256 in blobs else read(row)

    while len(groups) > MOST_ROWS:
        sizes = [sum(row.raw_size for row in group) for group in groups]
        at = min(range(len(groups) - _NEWEST - 1), key=lambda i: sizes[i] + sizes[i + 1])
        parts = encode(decode_all(groups[at] + groups[at + 1], read_any))
        if parts is None or len(parts) > 1:
            return None
        row = parts[0].row(groups[at + 1][0].version)
        blobs[row.sha256] = parts[0].data
        groups[at : at + 2] = [(row,)]
    merged = tuple(_flat(groups))
    kept = {row.sha256 for row in merged}
    return merged, {sha256: data for sha256, data in blobs.items() if sha256 in kept}


def _flat(groups: Iterable[tuple[Difference, ...]]) -> Iterator[Difference]:
    for group in groups:
        yield from group
