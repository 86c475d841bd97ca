"""Pushing: the publisher's side.

    1  compare the map with the version that was pushed last, which is kept on this disk:
       send the difference, or an image if there is no such version or the differences get too large
    2  upload the blobs that the server does not have; each will expire
    3  one MULTI: manifest, the one before as `previous`, an entry in the stream;
       the blobs of both do not expire any more, those of older versions begin to
    4  list the name in the namespace, check that all blobs are still there, and keep the version

A push that is killed before 3 leaves blobs that expire. Old blobs are removed the same way: an
agent that still fetches an older version has the grace period to finish. A concurrent push cannot
interfere, because 3 happens only if the manifest is still the one that 1 started with.

A server that evicts keys, or loses its last writes, may lack a blob at any time. So 4 sends what is
missing again, and tells if that does not last either.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from pathlib import Path

from ._blobs import chunks_are, get_blob, is_same_image, with_chunks
from ._errors import NothingPushed, ReplicationError, ServerError
from ._kept import Kept
from ._manifest import Manifest, Version, check_version, parse
from ._operations import (
    Command,
    Commands,
    Commit,
    Keys,
    Scan,
    Steps,
    Work,
    ask_for_memory,
    get,
    grouped,
)
from ._source import Outgoing, Source, as_difference, as_image, open_source

log = logging.getLogger("sharedmap.replication")

# The memory that a transfer uses at a time, besides the map itself.
BATCH = 8 << 20
_ATTEMPTS = 100
_STREAM_LENGTH = 1000
_CHECKS = 3


def push(
    name: str,
    local: str | None,
    path: str | os.PathLike[str] | None,
    everything: bool,
    grace: float,
    namespace: str | None = None,
    folder: Path | None = None,
) -> Steps[Version]:
    """`folder` is where the publisher keeps what it pushed last."""
    keys = Keys(name, namespace)
    source: Source = yield Work(open_source, name, local, path)
    kept: Kept | None = None
    try:
        kept = yield Work(Kept, folder)
        yield Work(source.verify, kept.base)
        push = _Push(name, keys, source, kept, everything, max(1, int(grace)))
        for _ in range(_ATTEMPTS):
            version = yield from push.attempt()
            if version is not None:
                return version
            log.info("%s: another push happened meanwhile; retrying", name)
    finally:
        source.close()
        if kept is not None:
            kept.close()
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


class _Push:
    def __init__(
        self, name: str, keys: Keys, source: Source, kept: Kept, everything: bool, grace: int
    ) -> None:
        self.name = name
        self.keys = keys
        self.source = source
        self.kept = kept
        self.everything = everything
        self.grace = grace
        self.transferred = 0

    def attempt(self) -> Steps[Version | None]:
        """None if another push happened meanwhile, or if the kept version is damaged."""
        keys = self.keys
        raw, raw_previous, members = yield Commands(
            [get(keys.manifest), get(keys.previous), ("SMEMBERS", keys.damaged)]
        )
        readable = [_readable(raw), _readable(raw_previous)]
        version = _next_version(*readable, self.kept.manifest)
        current = yield from with_chunks(keys, readable[0], self.kept.manifest)
        previous = yield from with_chunks(keys, readable[1], current, self.kept.manifest)
        live, old = _names_of(current), _names_of(current) | _names_of(previous)
        is_lost = current is None and raw is not None
        if is_lost or (previous is None and readable[1] is not None):
            # A list of chunks is lost, but the chunks must expire all the same.
            old |= yield from _all_blobs(keys)
        damaged = {member.decode("ascii", "replace") for member in members}

        outgoing = yield from self._outgoing(current, version, damaged, old)
        manifest = outgoing.manifest
        sizes = manifest.blobs()
        missing = yield from self._missing(sizes, old)
        missing = {*sizes} if self.everything else missing | (damaged & sizes.keys())
        try:
            yield from self._upload(outgoing, missing, old)
        except (OSError, ReplicationError) as error:
            if isinstance(error, ServerError) or outgoing.origin == "image":
                raise
            log.warning("%s: %s; sending the complete map", self.name, error)
            yield Work(self.kept.forget)
            return None
        repaired = sorted(damaged & missing)
        is_new = manifest is not current
        if is_new:
            # A version that cannot be read is not one to roll back to.
            commands = _new_version(keys, manifest, raw if current is not None else None)
            commands += [("PERSIST", keys.chunk(sha256)) for sha256 in sorted(sizes)]
            expired = sorted(old - live - sizes.keys())
            commands += [("EXPIRE", keys.chunk(sha256), self.grace) for sha256 in expired]
            if damaged:
                # Those that are not repaired are of older versions.
                commands.append(("SREM", keys.damaged, *sorted(damaged)))
            if (yield Commit(keys.manifest, raw, commands)) is None:
                return None
        elif repaired or not self._is_acknowledged(manifest):
            # The same entries. Agents have them already, or fetch them now that they are complete.
            # A push that was told that replicas lack the version waits for them now.
            commands = [_announce(keys, manifest)]
            if repaired:
                commands.append(("SREM", keys.damaged, *repaired))
            if (yield Commit(keys.manifest, raw, commands)) is None:
                return None
        listed = manifest.describe(self.name, self.transferred, is_new)
        yield from _list(keys, listed, is_announced=is_new or bool(repaired))
        if is_new or missing:
            yield from self._check(outgoing)
        # Last, as an image takes a while, and agents need not wait for it.
        yield Work(self._keep, outgoing)
        return listed._replace(transferred=self.transferred)

    def _outgoing(
        self, current: Manifest | None, version: int, damaged: set[str], old: set[str]
    ) -> Steps[Outgoing]:
        """What is going to be the newest version: `current` itself if that has the same content."""
        if current is not None and (yield from self._is_kept(current)):
            difference: Outgoing | None = yield Work(
                as_difference, self.source, self.kept, current, version
            )
            if difference is not None:
                return difference
        chunks = (current.image.chunks if current is not None else None) or ()
        anchors = [chunk.key for chunk in chunks if chunk.key is not None]
        image: Outgoing = yield Work(as_image, self.source, anchors, version)
        if current is None or not self.source.is_content_of(current):
            return image
        if current.image.chunks == image.manifest.image.chunks and not current.differences:
            return replace(image, manifest=current)
        # The same content in other blobs, which are not on this disk.
        lost = yield from self._missing(current.blobs(), old)
        if lost or self.everything or damaged & current.blobs().keys():
            return image
        return Outgoing(current, self.kept.read, origin="server")

    def _is_kept(self, current: Manifest) -> Steps[bool]:
        """Whether image and differences of the version are on this disk, or have got there now."""
        kept = self.kept.manifest
        if kept is None or current.content is None or not is_same_image(kept.image, current.image):
            return False
        for row in current.differences:
            if not (yield Work(self.kept.has, row)):
                data = yield from get_blob(self.keys, row.sha256, row.size)
                if data is None:
                    return False
                yield Work(self.kept.add, {row.sha256: data})
        return True

    def _is_acknowledged(self, manifest: Manifest) -> bool:
        """Whether a push from here has succeeded with it."""
        kept = self.kept.manifest
        return kept is not None and kept.version == manifest.version

    def _keep(self, outgoing: Outgoing) -> None:
        if outgoing.origin == "image":
            self.kept.save(outgoing.manifest, self.source.base, self.source.image_file())
        elif outgoing.origin == "kept":
            self.kept.add(outgoing.blobs)
            self.kept.save(outgoing.manifest, self.source.base)

    def _missing(self, sizes: dict[str, int], old: set[str]) -> Steps[set[str]]:
        return _missing(self.keys, sizes, old, self.grace)

    def _upload(self, outgoing: Outgoing, missing: set[str], lasting: set[str]) -> Steps[None]:
        batch: list[Command] = []
        size = 0
        for sha256 in sorted(missing):
            data = yield Work(outgoing.read, sha256)
            expiry = () if sha256 in lasting else ("EX", self.grace)
            batch.append(("SET", self.keys.chunk(sha256), data, *expiry))
            size += len(data)
            self.transferred += len(data)
            if size >= BATCH:
                yield Commands(batch)
                batch, size = [], 0
        if batch:
            yield Commands(batch)

    def _check(self, outgoing: Outgoing) -> Steps[None]:
        """Raises ReplicationError if the server does not keep what it was sent."""
        sizes = outgoing.manifest.blobs()
        missing: set[str] = set()
        for attempt in range(_CHECKS):
            missing = yield from self._missing(sizes, {*sizes})
            if not missing:
                break
            if attempt < _CHECKS - 1:
                yield from self._upload(outgoing, missing, {*sizes})
        memory = yield from ask_for_memory(self.keys)
        policy = str(memory.get("maxmemory_policy", ""))
        if policy.startswith("allkeys"):
            log.warning(
                "%s: the server's maxmemory-policy is %s, so it may evict parts of the map; use"
                " noeviction",
                self.name,
                policy,
            )
        if missing:
            raise ReplicationError(
                f"{self.name}: {chunks_are(len(missing), 'missing')} on the server again after"
                " being sent; does it evict keys?"
            )


def _names_of(manifest: Manifest | None) -> set[str]:
    return set() if manifest is None else {*manifest.blobs()}


def _all_blobs(keys: Keys) -> Steps[set[str]]:
    found: list[bytes] = yield Scan(keys.all_chunks())
    return {name.rpartition(b":")[2].decode("ascii", "replace") for name in found}


def _new_version(keys: Keys, manifest: Manifest, before: bytes | None) -> list[Command]:
    """The commands that make it the newest one. `before` can be rolled back to."""
    kept: Command = ("DEL", keys.previous) if before is None else ("SET", keys.previous, before)
    return [("SET", keys.manifest, manifest.to_bytes()), kept, _announce(keys, manifest)]


def _announce(keys: Keys, manifest: Manifest) -> Command:
    fields = ("version", manifest.version)
    return ("XADD", keys.stream, "MAXLEN", "~", _STREAM_LENGTH, "*", *fields)


def _list(keys: Keys, version: Version, *, is_announced: bool) -> Steps[None]:
    """Lists the name, and announces the version to agents of several maps. Both are found by
    polling as well, so the push succeeds without them."""
    fields = ("name", keys.name, "version", version.version)
    commands: list[Command] = [("SADD", keys.names, keys.name)]
    if is_announced:
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


def _missing(keys: Keys, sizes: dict[str, int], old: set[str], grace: int) -> Steps[set[str]]:
    """The blobs that are missing or incomplete. Those that expire get the full time again."""
    missing: set[str] = set()
    for names in grouped(sorted(sizes)):
        replies = yield Commands([("STRLEN", keys.chunk(sha256)) for sha256 in names])
        there = {name for name, size in zip(names, replies, strict=True) if size == sizes[name]}
        renewed = sorted(there - old)
        if renewed:
            yield Commands([("EXPIRE", keys.chunk(sha256), grace) for sha256 in renewed])
        missing |= {*names} - there
    return missing


def rollback(name: str, namespace: str | None = None) -> Steps[Version]:
    keys = Keys(name, namespace)
    for _ in range(_ATTEMPTS):
        raw, raw_previous = yield Commands([get(keys.manifest), get(keys.previous)])
        if raw_previous is None:
            raise NothingPushed(f"{name}: there is no previous version to roll back to")
        current, named = _readable(raw), parse(raw_previous)
        previous = yield from with_chunks(keys, named)
        sizes = previous.blobs() if previous is not None else {}
        missing = yield from _missing(keys, sizes, {*sizes}, 1)
        if missing or previous is None:
            raise ReplicationError(
                f"{name}: {chunks_are(len(missing) or 1, 'missing')} of the previous version on the"
                " server"
            )
        manifest = previous.with_version(_next_version(current, previous))
        before = raw if current is not None else None
        if (yield Commit(keys.manifest, raw, _new_version(keys, manifest, before))) is not None:
            version = manifest.describe(name, 0, True)
            yield from _list(keys, version, is_announced=True)
            return version
    raise ReplicationError(f"{name}: too many concurrent pushes; try again")
