"""What a server stores: its maps, the state of one, and its removal.

    names          the names that were pushed       ---> maps
    manifest       version, entries, blobs of a map ---> maps, stat
    previous       the version before, the same     ---> stat
    chunk:SHA256   the blobs                        ---> stat: are all there?

A removal deletes manifest, previous and the rest in one MULTI, which lets the blobs expire, too. So
no agent sees a part of the map, and a removal that is killed leaves nothing for long. After that
the blobs are deleted in batches, each only if no push came meanwhile.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ._blobs import with_chunks
from ._errors import NothingPushed, ReplicationError
from ._manifest import Manifest, parse
from ._operations import (
    Command,
    Commands,
    Commit,
    Keys,
    Scan,
    Steps,
    ask_for_memory,
    escaped,
    get,
    grouped,
    names_key,
    namespace_prefix,
)

# A hostile one has 4 MiB.
_MANIFESTS: Final = 8
_ATTEMPTS: Final = 100
# What a removal that is killed leaves on the server expires after this time.
_GRACE: Final = 3600


class StoredMap(NamedTuple):
    """A map on the server, as maps() lists it.

    pushed_at is the time of its push, in seconds since 1970, by the clock of the publisher.
    `problem` says why the map cannot be followed, and the numbers are 0 then. It is usually None.
    """

    name: str
    version: int
    entries: int
    size: int
    pushed_at: float
    problem: str | None


class StoredStatus(NamedTuple):
    """The state of a map on the server, as stat() finds it.

    `previous` is the version that rollback() returns to, if there is one. The newest consists of
    the image of version `image` and of `differences`, which lead to so many later versions and have
    difference_size bytes. `blobs` counts the chunks of the image and the differences. stored_size
    counts the bytes of those that are there, of both versions. `missing` blobs of the newest
    version are not there, or have another size; `damaged` ones were reported by agents. The next
    push repairs both. `announced` is the length of the stream that notifies agents. policy,
    used_memory and max_memory are those of the server, or None where the user may not ask.
    """

    name: str
    version: int
    entries: int
    size: int
    pushed_at: float
    previous: int | None
    image: int
    differences: int
    difference_size: int
    blobs: int
    stored_size: int
    missing: int
    damaged: int
    announced: int
    policy: str | None
    used_memory: int | None
    max_memory: int | None


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")


def _names(namespace: str | None, scan: bool) -> Steps[list[str]]:
    (members,) = yield Commands([("SMEMBERS", names_key(namespace))])
    found = {*members}
    if scan:
        before, behind = namespace_prefix(namespace) + b"sharedmap:{", b"}:manifest"
        keys = yield Scan(escaped(before) + b"*" + behind)
        found |= {key[len(before) : -len(behind)] for key in keys}
    decoded: set[str] = set()
    for name in found - {b""}:
        try:
            decoded.add(_decode(name))
        except ValueError:
            continue  # no push has written that
    return sorted(decoded)


def maps(namespace: str | None, scan: bool) -> Steps[list[StoredMap]]:
    names = yield from _names(namespace, scan)
    found: list[StoredMap] = []
    for group in grouped(names, _MANIFESTS):
        replies = yield Commands([get(Keys(name, namespace).manifest) for name in group])
        found += [_stored(name, raw) for name, raw in zip(group, replies, strict=True)]
    return found


def _stored(name: str, raw: bytes | None) -> StoredMap:
    if raw is None:
        return StoredMap(name, 0, 0, 0, 0.0, "the server has no version of it any more")
    try:
        manifest = parse(raw)
    except ReplicationError as error:
        return StoredMap(name, 0, 0, 0, 0.0, str(error))
    pushed_at = manifest.version / 1000
    return StoredMap(name, manifest.version, manifest.entries, manifest.size, pushed_at, None)


def stat(name: str, namespace: str | None) -> Steps[StoredStatus]:
    keys = Keys(name, namespace)
    raw, raw_previous, members, announced = yield Commands(
        [
            get(keys.manifest),
            get(keys.previous),
            ("SMEMBERS", keys.damaged),
            ("XLEN", keys.stream),
        ]
    )
    if raw is None:
        raise NothingPushed(f"{name}: no version was pushed under this name")
    manifest = parse(raw)
    previous = _readable(raw_previous)
    sizes = yield from _sizes(keys, manifest)
    older = {} if previous is None else (yield from _sizes(keys, previous))
    found: dict[str, int] = {}
    for group in grouped(sorted(sizes | older)):
        replies = yield Commands([("STRLEN", keys.chunk(digest)) for digest in group])
        found |= zip(group, replies, strict=True)
    damaged = {member.decode("ascii", "replace") for member in members}
    missing = {digest for digest, size in sizes.items() if found[digest] != size}
    memory = yield from ask_for_memory(keys)
    return StoredStatus(
        name=name,
        version=manifest.version,
        entries=manifest.entries,
        size=manifest.size,
        pushed_at=manifest.version / 1000,
        previous=None if previous is None else previous.version,
        image=manifest.image.version,
        differences=len({row.version for row in manifest.differences}),
        difference_size=sum(row.size for row in manifest.differences),
        blobs=len(sizes),
        stored_size=sum(found.values()),
        missing=len(missing),
        damaged=len(damaged & (sizes.keys() - missing)),
        announced=announced,
        policy=memory.get("maxmemory_policy"),
        used_memory=memory.get("used_memory"),
        max_memory=memory.get("maxmemory"),
    )


def _sizes(keys: Keys, manifest: Manifest) -> Steps[dict[str, int]]:
    """The size of each blob, as far as the manifest and the list of chunks tell."""
    known = yield from with_chunks(keys, manifest)
    return (known or manifest).blobs()


def _readable(raw: bytes | None) -> Manifest | None:
    if raw is None:
        return None
    try:
        return parse(raw)
    except ReplicationError:
        return None


def remove(name: str, namespace: str | None) -> Steps[None]:
    keys = Keys(name, namespace)
    for _ in range(_ATTEMPTS):
        raw, raw_previous, others = yield Commands(
            [
                get(keys.manifest),
                get(keys.previous),
                ("EXISTS", keys.stream, keys.damaged),
            ]
        )
        (is_listed,) = yield Commands([("SISMEMBER", keys.names, keys.name)])
        if raw is None and raw_previous is None and not others and not is_listed:
            raise NothingPushed(f"{name}: no version was pushed under this name")
        blobs = yield from _all_blobs(keys, raw, raw_previous)
        commands: list[Command] = [
            ("DEL", keys.manifest, keys.previous, keys.stream, keys.damaged),
            *(("EXPIRE", blob, _GRACE) for blob in blobs),
        ]
        if (yield Commit(keys.manifest, raw, commands)) is not None:
            break
    else:
        raise ReplicationError(f"{name}: too many concurrent pushes; try again")
    _, raw = yield Commands([("SREM", keys.names, keys.name), get(keys.manifest)])
    if raw is not None:
        # It was pushed again meanwhile, and may have been listed before it was taken off the list.
        yield Commands([("SADD", keys.names, keys.name)])
    else:
        # Agents of several maps ask for it now. It is also a sign that no data was lost.
        yield Commands([("XADD", keys.pushes, "*", "name", keys.name, "version", 0)])
    for group in grouped(blobs):
        if (yield Commit(keys.manifest, None, [("UNLINK", *group)])) is None:
            return  # pushed again, so some are in use; the others expire


def _all_blobs(keys: Keys, *manifests: bytes | None) -> Steps[list[bytes]]:
    """The keys of all blobs that do not expire."""
    found: set[str] = set()
    is_lost = False
    for raw in manifests:
        manifest = _readable(raw)
        if manifest is not None:
            known = yield from with_chunks(keys, manifest)
            is_lost = is_lost or known is None
            found |= (known or manifest).blobs().keys()
    if (
        is_lost
        or manifests[0] is None
        or any(raw is not None and _readable(raw) is None for raw in manifests)
    ):
        # The list of them is lost.
        scanned: list[bytes] = yield Scan(keys.all_chunks())
        return sorted({*scanned, *(keys.chunk(digest) for digest in found)})
    return sorted(keys.chunk(digest) for digest in found)
