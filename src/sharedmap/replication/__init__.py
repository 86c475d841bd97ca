"""Maps on many machines, by way of Redis or Valkey.

One machine pushes a map to the server; an agent on each other machine follows, and publishes every
version in its own shared memory. Workers read only that, so losing the server takes no map away.

    push(url, name)           stores what is published here as the newest version
    rollback(url, name)       makes the version before it the newest
    follow(url, name)         the agent: yields each version when it is published here
    pull(url, name)           the same, once

The same functions for asyncio are in sharedmap.replication.aio. On the command line they are
`sharedmap push`, `rollback` and `follow`. Needs redis-py, the extra `redis`.
"""

from __future__ import annotations

from collections.abc import Generator

from . import _follow, _push
from ._errors import NothingPushed, ReplicationError, ServerError
from ._manifest import Version
from ._redis import PUSH_WAIT, Server
from ._state import AnyPath, as_path

__all__ = [
    "NothingPushed",
    "ReplicationError",
    "ServerError",
    "Version",
    "follow",
    "pull",
    "push",
    "rollback",
]


def push(
    url: str,
    name: str,
    *,
    local: str | None = None,
    path: AnyPath | None = None,
    everything: bool = False,
    grace: float = 3600.0,
) -> Version:
    """Store the published map, or the file at `path`, as the newest version of the name.

    `local` is its name here, if another. It is verified first, and only chunks that the server does
    not have travel; with `everything` all of them. Chunks that neither this version nor the one
    before needs are kept for `grace` seconds. When the content is what the newest version has,
    there is no new one.

    Raises FileNotFoundError and SnapshotError as opening the map does, ServerError when the server
    cannot be reached or refuses. Until the last step nobody notices anything.
    """
    server = Server(url, PUSH_WAIT)
    try:
        return server.run(_push.push(name, local, path, everything, grace))
    finally:
        server.close()


def rollback(url: str, name: str) -> Version:
    """Make the version before the newest one the newest; a second rollback takes that back.

    Raises NothingPushed when there is none, ReplicationError when it is not whole any more.
    """
    server = Server(url, PUSH_WAIT)
    try:
        return server.run(_push.rollback(name))
    finally:
        server.close()


def follow(
    url: str,
    name: str,
    *,
    local: str | None = None,
    directory: AnyPath | None = None,
    poll: float = 30.0,
    mode: int = 0o600,
) -> Generator[Version]:
    """Publish here what is pushed; yield each version once it is published. Never ends.

    What the disk has is published at once, without asking the server. `directory` is where
    versions are kept: $STATE_DIRECTORY, which systemd sets, or ~/.local/state/sharedmap. The server
    says when there is something new; besides, it is asked every `poll` seconds.

    Whatever goes wrong later is logged, under "sharedmap.replication", and tried again. Raises
    FileExistsError when another agent has the directory.
    """
    server = Server(url, poll)
    try:
        steps = _follow.follow(name, local, as_path(directory), poll, mode)
        yield from server.drive(steps)
    finally:
        server.close()


def pull(
    url: str,
    name: str,
    *,
    local: str | None = None,
    directory: AnyPath | None = None,
    mode: int = 0o600,
) -> Version:
    """Publish the newest version here, once; return it.

    If the server cannot be reached, what the disk has is published and returned. Raises ServerError
    or NothingPushed when there is nothing there either.
    """
    server = Server(url, PUSH_WAIT)
    try:
        return server.run(_follow.pull(name, local, as_path(directory), mode))
    finally:
        server.close()
