"""Blobs on the server: chunks, lists of chunks and differences, each named by its sha256."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from ._errors import ReplicationError
from ._manifest import Image, Manifest
from ._operations import Commands, Keys, Steps, get


def is_intact(data: bytes, sha256: str, size: int) -> bool:
    return len(data) == size and hashlib.sha256(data).hexdigest() == sha256


def get_blob(keys: Keys, sha256: str, size: int) -> Steps[bytes | None]:
    """None if it is missing or damaged."""
    (data,) = yield Commands([get(keys.chunk(sha256), size)])
    return data if data is not None and is_intact(data, sha256, size) else None


def with_chunks(
    keys: Keys, manifest: Manifest | None, *known: Manifest | None
) -> Steps[Manifest | None]:
    """The manifest with its list of chunks, of one that is known if it has the same image.

    None if the list is missing or damaged.
    """
    if manifest is None:
        return None
    image = manifest.image
    if image.chunks is not None or image.chunk_list is None:
        return manifest
    for other in known:
        if other is not None and is_same_image(other.image, image):
            return replace(manifest, image=replace(image, chunks=other.image.chunks))
    data = yield from get_blob(keys, *image.chunk_list)
    if data is None:
        return None
    try:
        return replace(manifest, image=image.with_chunks(data))
    except ReplicationError:
        return None


def is_same_image(one: Image, other: Image) -> bool:
    return (one.sha256, one.size, one.chunk_list) == (other.sha256, other.size, other.chunk_list)


def chunks_are(count: int, what: str) -> str:
    """For messages: "1 chunk is missing", "2 chunks are missing"."""
    return f"{count:,} {'chunk is' if count == 1 else 'chunks are'} {what}"
