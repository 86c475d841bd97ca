"""Pushing: the publisher's side.

    1  upload the chunks that the server does not have; each will expire
    2  one MULTI: manifest, the one before as `previous`, an entry in the stream;
       the chunks of both do not expire any more, those of older versions begin to
    3  list the name in the namespace

A push that is killed before 2 leaves chunks that expire. Old chunks are removed the same way: an
agent that still fetches an older version has the grace period to finish. A concurrent push cannot
interfere, because 2 happens only if the manifest is still the one that 1 started with.

A server that evicts keys, or loses its last writes, may lack a chunk at any time. So 2 also checks
that all chunks exist, and missing chunks are sent again.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

from .._encoded import Encoded, encode_again
from .._header import HEADER_SIZE, read, unmarked
from .._header import parse as parse_header
from .._names import path_of
from .._sharedmap import rbtree, sharedmap
from ._chunks import Cut, chunks_text, describe
from ._errors import NothingPushed, ReplicationError, ServerError
from ._manifest import Manifest, Version, check_version, parse
from ._operations import Command, Commands, Commit, Keys, Steps, Work, get

log = logging.getLogger("sharedmap.replication")

# The memory that a transfer uses at a time, besides the map itself.
BATCH = 8 << 20
_QUERY_BATCH = 256
_ATTEMPTS = 100
_STREAM_LENGTH = 1000


class Source:
    """One version of a map or of a saved file, verified, as the bytes of a snapshot.

    A version without deltas is read where it is. A file with deltas may get more of them while it
    is read, and is compacted now and then, so what is pushed would never be twice the same. Such a
    version is flattened: in memory of its own, which takes as much as the map for as long as the
    push.
    """

    def __init__(self, opened: sharedmap[Any], path: bytes, name: str) -> None:
        self.name = name
        self.map = opened
        self.mapping: mmap.mmap | None = None
        self.cuts: dict[str, Cut] = {}
        opened.verify()
        base = self._base_of(path)
        self.data = base if base is not None else self._flatten(path)
        # The words that change are local and must not be transferred.
        self.header = unmarked(self.data[:HEADER_SIZE])

    def _base_of(self, path: bytes) -> memoryview | None:
        """The bytes of the base, if that alone is the version that is open."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            data = os.pread(descriptor, HEADER_SIZE, 0)
            # Each version has an id of its own, and so has each delta.
            if len(data) < HEADER_SIZE or parse_header(data).unique_id.hex() != self.map.id:
                return None
            size = parse_header(data).total_size
            self.mapping = mmap.mmap(descriptor, size, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)
        return memoryview(self.mapping)

    def _flatten(self, path: bytes) -> memoryview:
        found = read(path)
        index = found.header.index_kind if found is not None else "hash"
        with self.map as version:
            tree = rbtree(version, encode=encode_again)
            data = tree.dump(version.name or "", index=index)
        self.map = sharedmap.frombuffer(data, decode=Encoded)
        return memoryview(data)

    def describe(self, anchors: Sequence[str]) -> Manifest:
        manifest, self.cuts = describe(self.data, self.map, self.header, anchors)
        return manifest

    def chunk(self, digest: str) -> bytes:
        cut = self.cuts[digest]
        return bytes(self.data[cut.begin : cut.end])

    def close(self) -> None:
        self.map.close()
        self.data.release()
        if self.mapping is not None:
            # The traceback of an exception may still use the mapping; it is unmapped with that.
            with contextlib.suppress(BufferError):
                self.mapping.close()


def open_source(name: str, local: str | None, path: str | os.PathLike[str] | None) -> Source:
    if path is not None:
        return Source(sharedmap.open(path, decode=Encoded), os.fsencode(path), name)
    return Source(sharedmap(local or name, decode=Encoded), path_of(local or name), name)


def push(
    name: str,
    local: str | None,
    path: str | os.PathLike[str] | None,
    everything: bool,
    grace: float,
    namespace: str | None = None,
) -> Steps[Version]:
    keys = Keys(name, namespace)
    source: Source = yield Work(open_source, name, local, path)
    try:
        for _ in range(_ATTEMPTS):
            version = yield from _push_once(source, keys, everything, max(1, int(grace)))
            if version is not None:
                yield from _list(keys, version)
                return version
            log.info("%s: another push happened meanwhile; retrying", name)
    finally:
        source.close()
    raise ReplicationError(f"{name}: too many concurrent pushes; try again")


def _readable(data: bytes | None) -> Manifest | None:
    if data is None:
        return None
    try:
        manifest = parse(data)
        check_version(manifest)
        return manifest
    except ReplicationError as error:
        log.warning("%s; replacing it", error)
        return None


def _push_once(source: Source, keys: Keys, everything: bool, grace: int) -> Steps[Version | None]:
    raw, raw_previous, members = yield Commands(
        [get(keys.manifest), get(keys.previous), ("SMEMBERS", keys.damaged)]
    )
    current, previous = _readable(raw), _readable(raw_previous)
    damaged = {member.decode("ascii", "replace") for member in members}
    anchors = [chunk.key for chunk in current.chunks if chunk.key is not None] if current else []
    manifest: Manifest = yield Work(source.describe, anchors)
    live = current.digests() if current else set[str]()
    old = live | (previous.digests() if previous else set[str]())
    if current is None and raw is not None:
        # Its list of chunks is lost, but the chunks must expire all the same.
        old |= yield from _all_chunks(keys)

    missing = yield from _missing(manifest, keys, old, grace)
    if everything:
        missing = manifest.digests()
    missing |= damaged & manifest.digests()
    yield from _upload(source, keys, sorted(missing), old, grace)
    transferred = sum(source.cuts[digest].end - source.cuts[digest].begin for digest in missing)
    repaired = sorted(damaged & missing)
    if current is not None and current.chunks == manifest.chunks:
        # The same entries. Agents have them already, or fetch them now that they are complete.
        if repaired:
            yield Commands([("SREM", keys.damaged, *repaired), _announce(keys, current)])
        return current.describe(source.name, transferred, False)

    manifest = manifest.with_version(_next_version(current, previous))
    digests = sorted(manifest.digests())
    commands: list[Command] = [("SET", keys.manifest, manifest.to_bytes())]
    # A version that cannot be read is not one to roll back to.
    commands.append(("SET", keys.previous, raw) if current is not None else ("DEL", keys.previous))
    commands.append(_announce(keys, manifest))
    commands += [("PERSIST", keys.chunk(digest)) for digest in digests]
    commands += [
        ("EXPIRE", keys.chunk(digest), grace) for digest in sorted(old - live - {*digests})
    ]
    if repaired:
        commands.append(("SREM", keys.damaged, *repaired))
    queries = [("STRLEN", keys.chunk(digest)) for digest in digests]
    replies = yield Commit(keys.manifest, raw, [*commands, *queries])
    if replies is None:
        return None
    sizes = dict(zip(digests, replies[-len(queries) :], strict=True)) if queries else {}
    lost = [chunk.sha256 for chunk in manifest.chunks if sizes[chunk.sha256] != chunk.size]
    yield from _upload(source, keys, sorted(set(lost)), {*digests}, grace)
    return manifest.describe(source.name, transferred, True)


def _all_chunks(keys: Keys) -> Steps[set[str]]:
    found: set[str] = set()
    cursor = 0
    while True:
        ((cursor, names),) = yield Commands(
            [("SCAN", cursor, "MATCH", keys.all_chunks(), "COUNT", 1000)], keys.base
        )
        found |= {name.rpartition(b":")[2].decode("ascii", "replace") for name in names}
        if not int(cursor):
            return found


def _announce(keys: Keys, manifest: Manifest) -> Command:
    fields = ("version", manifest.version, "sha256", manifest.sha256)
    return ("XADD", keys.stream, "MAXLEN", "~", _STREAM_LENGTH, "*", *fields)


def _list(keys: Keys, version: Version) -> Steps[None]:
    """Lists the name, and announces the version to agents of several maps. Both are found by
    polling as well, so the push succeeds without them."""
    fields = ("name", keys.name, "version", version.version)
    commands: list[Command] = [("SADD", keys.names, keys.name)]
    if version.is_new:
        commands.append(("XADD", keys.pushes, "MAXLEN", "~", _STREAM_LENGTH, "*", *fields))
    try:
        yield Commands(commands)
    except ServerError as error:
        log.warning("%s: pushed, but not listed on the server: %s", version.name, error)


def _next_version(*manifests: Manifest | None) -> int:
    """By the clock, in milliseconds. So a server that lost its last writes never gets a version
    smaller than one that it has already served."""
    known = [manifest.version for manifest in manifests if manifest is not None]
    return max([time.time_ns() // 1_000_000, *(version + 1 for version in known)])


def _missing(manifest: Manifest, keys: Keys, old: set[str], grace: int) -> Steps[set[str]]:
    """The chunks that are missing or incomplete. Those that expire get the full time again."""
    sizes = {chunk.sha256: chunk.size for chunk in manifest.chunks}
    missing: set[str] = set()
    for digests in _grouped(sorted(sizes), _QUERY_BATCH):
        replies = yield Commands([("STRLEN", keys.chunk(digest)) for digest in digests])
        there = {
            digest for digest, size in zip(digests, replies, strict=True) if size == sizes[digest]
        }
        renewed = sorted(there - old)
        if renewed:
            yield Commands([("EXPIRE", keys.chunk(digest), grace) for digest in renewed])
        missing |= {*digests} - there
    return missing


def _upload(
    source: Source, keys: Keys, digests: Sequence[str], lasting: set[str], grace: int
) -> Steps[None]:
    batch: list[Command] = []
    size = 0
    for digest in digests:
        data = source.chunk(digest)
        expiry = () if digest in lasting else ("EX", grace)
        batch.append(("SET", keys.chunk(digest), data, *expiry))
        size += len(data)
        if size >= BATCH:
            yield Commands(batch)
            batch, size = [], 0
    if batch:
        yield Commands(batch)


def _grouped(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


def rollback(name: str, namespace: str | None = None) -> Steps[Version]:
    keys = Keys(name, namespace)
    for _ in range(_ATTEMPTS):
        raw, raw_previous = yield Commands([get(keys.manifest), get(keys.previous)])
        if raw_previous is None:
            raise NothingPushed(f"{name}: there is no previous version to roll back to")
        current, previous = _readable(raw), parse(raw_previous)
        missing = yield from _missing(previous, keys, previous.digests(), 1)
        if missing:
            raise ReplicationError(
                f"{name}: {chunks_text(len(missing))} of the previous version missing on the server"
            )
        manifest = previous.with_version(_next_version(current, previous))
        kept: Command = ("SET", keys.previous, raw) if current else ("DEL", keys.previous)
        commands = [("SET", keys.manifest, manifest.to_bytes()), kept, _announce(keys, manifest)]
        if (yield Commit(keys.manifest, raw, commands)) is not None:
            version = manifest.describe(name, 0, True)
            yield from _list(keys, version)
            return version
    raise ReplicationError(f"{name}: too many concurrent pushes; try again")
