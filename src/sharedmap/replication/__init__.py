"""Maps on many machines, by way of Redis or Valkey.

One machine pushes a map to the server. An agent on each other machine follows the name, and
publishes every version in its own shared memory. Workers read only that memory, so they keep their
maps when the server fails.

    push(url, name)           store the published map as the newest version
    rollback(url, name)       make the previous version the newest one
    follow(url, name)         the agent: publish each version here, and yield it
    pull(url, name)           publish the newest version here, once
    Agent(url, names)         the agent of many maps, by names and patterns
    maps(url)                 the maps that the server stores
    stat(url, name)           the state of one of them: are all its blobs there?
    remove(url, name)         remove one from the server

The same for asyncio is in sharedmap.replication.aio. On the command line they are
`sharedmap push`, `rollback`, `follow` and `server`. Needs redis-py, the extra `redis`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterable
from typing import TypeVar

from . import _follow, _push, _stored
from ._agent.agent import Agent as AsyncAgent
from ._agent.followed import AgentStatus, MapStatus
from ._errors import NothingPushed, ReplicationError, ServerError
from ._files import AnyPath, as_path
from ._kept import folder_of
from ._manifest import Version
from ._server.drive import Server
from ._stored import StoredMap, StoredStatus

_T = TypeVar("_T")

__all__ = [
    "Agent",
    "AgentStatus",
    "MapStatus",
    "NothingPushed",
    "ReplicationError",
    "ServerError",
    "StoredMap",
    "StoredStatus",
    "Version",
    "follow",
    "maps",
    "pull",
    "push",
    "remove",
    "rollback",
    "stat",
]


def push(
    url: str,
    name: str,
    *,
    local: str | None = None,
    path: AnyPath | None = None,
    everything: bool = False,
    grace: float = 3600.0,
    namespace: str | None = None,
) -> Version:
    """Store the published map, or the file at `path`, as the newest version of the name.

    `local` is the name of the map on this machine, if different. The map is verified first. What
    has changed since the last push from this machine is sent, or, where a difference is not
    possible, the chunks that the server does not have; with `everything`, all of the version. The
    version is kept in $STATE_DIRECTORY or ~/.local/state/sharedmap for the next push. What neither
    this version nor the previous one uses stays on the server for `grace` seconds. When the newest
    version has the same content already, no new version is made. Maps of different `namespace` have
    nothing to do with each other, so one server can keep staging and production apart.

    The push is atomic: other machines see the new version when it is complete, or not at all.
    Raises FileNotFoundError and SnapshotError as opening the map does. Raises ServerError when the
    server is unreachable or refuses, ReplicationError when concurrent pushes win every attempt, or
    when the server does not keep what it was sent.
    """
    server = Server(url)
    folder = folder_of(url, namespace, name)
    try:
        return server.run(_push.push(name, local, path, everything, grace, namespace, folder))
    finally:
        server.close()


def rollback(url: str, name: str, *, namespace: str | None = None) -> Version:
    """Make the previous version the newest one; a second rollback reverts the first.

    Raises NothingPushed when there is no previous version, ReplicationError when it is incomplete
    or damaged on the server. Raises ServerError when the server is unreachable or refuses.
    """
    server = Server(url)
    try:
        return server.run(_push.rollback(name, namespace))
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
    namespace: str | None = None,
) -> Generator[Version]:
    """Publish each pushed version on this machine and yield it. Never ends.

    The last version on disk is published immediately, without the server. `directory` keeps the
    versions; the default is $STATE_DIRECTORY, which systemd sets, or ~/.local/state/sharedmap. The
    server notifies of new versions; in addition the agent polls it every `poll` seconds.

    Later errors are logged under "sharedmap.replication" and retried. Raises FileExistsError when
    another agent uses the directory.
    """
    server = Server(url)
    try:
        steps = _follow.follow(name, local, as_path(directory), poll, mode, namespace)
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
    namespace: str | None = None,
) -> Version:
    """Publish the newest version on this machine, once; return it.

    When the server is unreachable, the last version on disk is published and returned. Raises
    ServerError or NothingPushed when there is no version on disk either. Raises FileExistsError
    when another agent uses the directory.
    """
    server = Server(url)
    try:
        return server.run(_follow.pull(name, local, as_path(directory), mode, namespace))
    finally:
        server.close()


def maps(url: str, *, namespace: str | None = None, scan: bool = False) -> list[StoredMap]:
    """The maps of a namespace that the server stores, in the order of their names.

    They are listed by each push. With `scan`, all keys of the server are searched as well, for maps
    that only older versions of this package have pushed. Raises ServerError when the server is
    unreachable or refuses.
    """
    server = Server(url)
    try:
        return server.run(_stored.maps(namespace, scan))
    finally:
        server.close()


def stat(url: str, name: str, *, namespace: str | None = None) -> StoredStatus:
    """The state of a map on the server: its versions, its blobs, and the memory of the server.

    Transfers no values. Raises NothingPushed when there is no such map, ReplicationError when its
    manifest is damaged. Raises ServerError when the server is unreachable or refuses.
    """
    server = Server(url)
    try:
        return server.run(_stored.stat(name, namespace))
    finally:
        server.close()


def remove(url: str, name: str, *, namespace: str | None = None) -> None:
    """Remove a map from the server. The machines that follow it keep their version.

    An agent sees all of the map, or none of it. Raises NothingPushed when there is no such map,
    ServerError when the server is unreachable or refuses.
    """
    server = Server(url)
    try:
        server.run(_stored.remove(name, namespace))
    finally:
        server.close()


class Agent:
    """Follows all maps that names and patterns select; one agent is enough for a machine.

    In a pattern `*`, `?` and `[...]` are special, as in a shell. Maps that a pattern selects are
    followed as they appear on the server. One that is removed there is no longer followed, and
    its local map stays. At most `parallel` maps are fetched at a time, and a failure delays only
    its own map. `local` is another local name, for one name without a pattern. The other arguments
    are those of follow().
    """

    def __init__(
        self,
        url: str,
        names: str | Iterable[str],
        *,
        local: str | None = None,
        directory: AnyPath | None = None,
        poll: float = 30.0,
        mode: int = 0o600,
        namespace: str | None = None,
        parallel: int = 4,
    ) -> None:
        self._agent = AsyncAgent(
            url,
            names,
            local=local,
            directory=directory,
            poll=poll,
            mode=mode,
            namespace=namespace,
            parallel=parallel,
        )

    def versions(self) -> Generator[Version]:
        """Run the agent, and yield each version that is published here. Never ends.

        Nothing is followed while the caller does not ask for the next version. Of several versions
        of a map, only the last is yielded. Raises FileExistsError when another agent uses the
        directory of a map. Needs a thread without a running event loop.
        """
        return _drive(self._agent.versions())

    def once(self) -> Generator[tuple[str, Version | Exception]]:
        """Publish the newest version of each map, once; yield that, or why there is none.

        When the server is unreachable, the last versions on disk are published and yielded. Raises
        ServerError or NothingPushed when there is no map at all.
        """
        return _drive(self._agent.once())

    def status(self) -> AgentStatus:
        """Return what the agent knows of its server and its maps. It asks nothing."""
        return self._agent.status()

    def set_names(self, names: str | Iterable[str]) -> None:
        """Replace the names and patterns, between two versions if the agent runs.

        Maps that they do not select any more are no longer followed, and stay published.
        """
        self._agent.set_names(names)


def _drive(results: AsyncGenerator[_T]) -> Generator[_T]:
    """Runs an event loop whenever the caller asks for the next result."""

    async def get_next() -> _T:
        return await anext(results)

    with asyncio.Runner() as runner:
        try:
            while True:
                try:
                    result = runner.run(get_next())
                except StopAsyncIteration:
                    return
                yield result
        finally:
            runner.run(results.aclose())
