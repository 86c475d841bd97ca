"""One of the maps that an agent follows: its status, and the names and patterns that select it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from .._follow import FIRST_PAUSE, LONGEST_PAUSE, Follower
from .._manifest import Version

log = logging.getLogger("sharedmap.replication")


class MapStatus(NamedTuple):
    """What an agent knows of one map. Times are seconds since the epoch, as of time.time().

    state is "starting" before the server was first asked, "following", "waiting" for the first
    push, or "failing". version, entries, size and pushed describe the version that is published
    here, if there is one. server_version is that of the server, and lag by how many seconds it was
    pushed later. received counts bytes, failures the attempts that failed; error is the present
    failure. checked is the time of the last check that succeeded.
    """

    name: str
    state: Literal["starting", "following", "waiting", "failing"]
    version: int | None
    entries: int | None
    size: int | None
    pushed: float | None
    server_version: int | None
    lag: float
    received: int
    failures: int
    error: str | None
    checked: float | None


class AgentStatus(NamedTuple):
    """What an agent knows of its server and of all maps that it follows.

    ok is true while the server answers and each map is "following". error says what concerns no
    single map: the server is unreachable, or refuses to list its names.
    """

    ok: bool
    reachable: bool
    error: str | None
    maps: tuple[MapStatus, ...]


class Names:
    """Names and patterns that select maps, as in a shell: `*`, `?` and `[...]` are special."""

    def __init__(self, given: Iterable[str]) -> None:
        if isinstance(given, str):
            given = [given]
        self.given = [*dict.fromkeys(given)]
        if not self.given or "" in self.given:
            raise ValueError("the name must not be empty")
        self.patterns = [name for name in self.given if any(c in name for c in "*?[")]
        self.plain = {*self.given} - {*self.patterns}
        self.is_one_name = len(self.given) == 1 and not self.patterns

    def select(self, name: str) -> bool:
        return name in self.plain or any(fnmatchcase(name, each) for each in self.patterns)


class Followed:
    """One map that is followed, and what is known of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.follower: Follower | None = None
        self.task: asyncio.Task[None] | None = None
        self.is_ending = False
        self.wake = asyncio.Event()
        self.pause = 0.0  # the backoff; 0 without errors
        self.state: Literal["starting", "following", "waiting", "failing"] = "starting"
        self.version: Version | None = None
        self.received = 0
        self.failures = 0
        self.error: str | None = None
        self.checked: float | None = None
        self.is_gone = False  # the server was asked, and has no such map

    @property
    def server_version(self) -> int | None:
        return self.follower.server_version if self.follower is not None else None

    @property
    def is_settled(self) -> bool:
        """Whether the map is published here, or the server was asked for it."""
        return self.version is not None or self.state != "starting"

    def release(self) -> None:
        if self.follower is not None:
            self.follower.state.close()
            self.follower = None

    def fail(self, error: str) -> None:
        """Logs a problem once, however often the operation is retried."""
        self.failures += 1
        self.pause = min(2 * self.pause or FIRST_PAUSE, LONGEST_PAUSE)
        if error != self.error:
            log.warning("%s: %s; the local map stays published", self.name, error)
        self.state, self.error, self.is_gone = "failing", error, False

    def succeed(self) -> None:
        """The server was asked. What it has may still not be what is published here."""
        self.checked = time.time()
        self.pause = 0.0
        server, here = self.server_version, self.version
        was_failing = self.state == "failing"
        self.is_gone = server is None
        # The follower has logged these.
        if server is None:
            self.state = "waiting" if here is None else "failing"
            self.error = None if here is None else "the server has no version any more"
        elif here is None or server != here.version:
            self.state = "failing"
            is_older = here is not None and server < here.version
            problem = "has an older version" if is_older else "has a version that is not usable"
            self.error = f"the server {problem}"
        else:
            self.state, self.error = "following", None
            if self.follower is not None:
                self.follower.last_logged.pop("trouble", None)  # the next one is told again
            if was_failing:
                log.info("%s: recovered", self.name)

    def describe(self) -> MapStatus:
        here, server = self.version, self.server_version
        behind = server - here.version if here is not None and server is not None else 0
        return MapStatus(
            name=self.name,
            state=self.state,
            version=here.version if here is not None else None,
            entries=here.entries if here is not None else None,
            size=here.size if here is not None else None,
            # Versions are the publisher's clock, in milliseconds.
            pushed=here.version / 1000 if here is not None else None,
            server_version=server,
            lag=max(0, behind) / 1000,
            received=self.received,
            failures=self.failures,
            error=self.error,
            checked=self.checked,
        )
