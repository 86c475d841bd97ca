"""Maps on many machines, for programs with an event loop.

The functions of sharedmap.replication as coroutines, with the same arguments and errors. Blocking
work, such as hashing and verifying, runs in threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from . import _follow, _push, _stored
from ._agent.agent import Agent
from ._files import AnyPath, as_path
from ._kept import folder_of
from ._manifest import Version
from ._server.drive import AsyncServer
from ._stored import StoredMap, StoredStatus

__all__ = ["Agent", "follow", "maps", "pull", "push", "remove", "rollback", "stat"]


async def push(
    url: str,
    name: str,
    *,
    local: str | None = None,
    path: AnyPath | None = None,
    everything: bool = False,
    grace: float = 3600.0,
    namespace: str | None = None,
) -> Version:
    """Store the published map, or the file at `path`, as the newest version of the name."""
    server = AsyncServer(url)
    folder = folder_of(url, namespace, name)
    try:
        return await server.run(_push.push(name, local, path, everything, grace, namespace, folder))
    finally:
        await server.close()


async def rollback(url: str, name: str, *, namespace: str | None = None) -> Version:
    """Make the previous version the newest one; a second rollback reverts the first."""
    server = AsyncServer(url)
    try:
        return await server.run(_push.rollback(name, namespace))
    finally:
        await server.close()


async def follow(
    url: str,
    name: str,
    *,
    local: str | None = None,
    directory: AnyPath | None = None,
    poll: float = 30.0,
    mode: int = 0o600,
    namespace: str | None = None,
) -> AsyncGenerator[Version]:
    """Publish each pushed version on this machine and yield it. Never ends."""
    server = AsyncServer(url)
    try:
        steps = _follow.follow(name, local, as_path(directory), poll, mode, namespace)
        async with contextlib.aclosing(server.drive(steps, [])) as versions:
            async for version in versions:
                yield version
    finally:
        await server.close()


async def pull(
    url: str,
    name: str,
    *,
    local: str | None = None,
    directory: AnyPath | None = None,
    mode: int = 0o600,
    namespace: str | None = None,
) -> Version:
    """Publish the newest version on this machine, once; return it."""
    server = AsyncServer(url)
    try:
        return await server.run(_follow.pull(name, local, as_path(directory), mode, namespace))
    finally:
        await server.close()


async def maps(url: str, *, namespace: str | None = None, scan: bool = False) -> list[StoredMap]:
    """The maps of a namespace that the server stores, in the order of their names."""
    server = AsyncServer(url)
    try:
        return await server.run(_stored.maps(namespace, scan))
    finally:
        await server.close()


async def stat(url: str, name: str, *, namespace: str | None = None) -> StoredStatus:
    """The state of a map on the server: its versions, its blobs, and the memory of the server."""
    server = AsyncServer(url)
    try:
        return await server.run(_stored.stat(name, namespace))
    finally:
        await server.close()


async def remove(url: str, name: str, *, namespace: str | None = None) -> None:
    """Remove a map from the server. The machines that follow it keep their version."""
    server = AsyncServer(url)
    try:
        await server.run(_stored.remove(name, namespace))
    finally:
        await server.close()
