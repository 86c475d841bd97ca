"""Following: what the agent of a machine does.

    disk ---> local map                      at once, before any server is asked
    server: newest manifest ---> chunks ---> partial file ---> verified ---> disk ---> local map
       ^                                                                                  |
       +---- wait for the stream, or until it is time to look anyway ---------------------+

The local map is only ever replaced by a whole, verified and newer version. Everything that can go
wrong before that is logged, and tried again: nothing here removes a map.
"""

from __future__ import annotations

import errno
import logging
from pathlib import Path
from typing import Any

from .._header import HEADER_SIZE
from ._chunks import chunks_text
from ._errors import NothingPushed, ReplicationError, ServerError
from ._manifest import Chunk, Manifest, Version, parse
from ._operations import Commands, Keys, Sleep, Steps, Work
from ._push import BATCH
from ._state import Incoming, State, default_directory

log = logging.getLogger("sharedmap.replication")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_IS_LOST = (errno.ENOENT, errno.EIO)


class Agent:
    def __init__(self, name: str, state: State, poll: float) -> None:
        self.name = name
        self.state = state
        self.keys = Keys(name)
        self.poll = poll
        self.last = b"0-0"  # of the stream
        self.pause = 0.0  # 0 while all is well
        self.said: dict[str, str] = {}

    def say(self, about: str, message: str) -> None:
        """Tells of what is wrong once, however often it is tried again."""
        if self.said.get(about) != message:
            log.warning("%s: %s", self.name, message)
            self.said[about] = message

    def recover(self) -> Steps[Version | None]:
        """Publishes what is on the disk, unless it is published still."""
        while (manifest := self.state.newest) is not None:
            is_published = yield Work(self.state.is_published, manifest)
            if is_published:
                return manifest.describe(self.name, 0, False)
            try:
                yield Work(self.state.verify, manifest, "snapshot")
            except (ReplicationError, OSError) as error:
                # That it cannot be read at this moment, or by this user, says nothing against it.
                if isinstance(error, OSError) and error.errno not in _IS_LOST:
                    raise
                log.warning("%s: %s; fetching the version again", self.name, error)
                self.state.forget(manifest)
                continue
            yield Work(self.state.publish, manifest)
            return manifest.describe(self.name, 0, True)
        return None

    def look(self) -> Steps[Version | None]:
        """One look at the server. A version if there is a newer one, or if it was missing here."""
        entries, raw = yield Commands(
            [("XREVRANGE", self.keys.stream, "+", "-", "COUNT", 1), ("GET", self.keys.manifest)]
        )
        self.last = entries[0][0] if entries else b"0-0"
        newest = self.state.newest
        if raw is None:
            if newest is not None:
                self.say("server", "the server has no version any more; keeping the last one")
            return None
        manifest = parse(raw)
        if newest is None or manifest.version > newest.version:
            version = yield from self.fetch(manifest)
            self.said.pop("server", None)
            return version
        if manifest.version < newest.version:
            self.say(
                "server", "the server has an older version than this machine; keeping the newer one"
            )
        else:
            self.said.pop("server", None)
        recovered = yield from self.recover()
        return recovered if recovered is not None and recovered.is_new else None

    def fetch(self, manifest: Manifest) -> Steps[Version]:
        incoming: Incoming = yield Work(self.state.begin, manifest)
        try:
            transferred = yield from self._fetch_chunks(manifest, incoming)
            yield Work(incoming.sync)
        finally:
            incoming.close()
        try:
            yield Work(self.state.verify, manifest, "partial")
        except ReplicationError:
            # Each chunk is what the manifest says, so the manifest is wrong: nothing of use in it.
            self.state.file_of(manifest, "partial").unlink(missing_ok=True)
            raise
        yield Work(self.state.finish, manifest)
        yield Work(self.state.publish, manifest)
        return manifest.describe(self.name, transferred, True)

    def _fetch_chunks(self, manifest: Manifest, incoming: Incoming) -> Steps[int]:
        transferred = 0
        batch: list[tuple[Chunk, int]] = []
        size = 0
        offset = HEADER_SIZE
        for chunk in manifest.chunks:
            at, offset = offset, offset + chunk.size
            if (yield Work(incoming.take, chunk, at)):
                continue
            batch.append((chunk, at))
            size += chunk.size
            if size >= BATCH:
                transferred += yield from self._fetch_batch(batch, incoming)
                batch, size = [], 0
        if batch:
            transferred += yield from self._fetch_batch(batch, incoming)
        return transferred

    def _fetch_batch(self, batch: list[tuple[Chunk, int]], incoming: Incoming) -> Steps[int]:
        replies: list[Any] = yield Commands(
            [("GET", self.keys.chunk(chunk.sha256)) for chunk, _ in batch]
        )
        bad: list[str] = []
        good = 0
        for (chunk, offset), data in zip(batch, replies, strict=True):
            if data is not None and (yield Work(incoming.put, chunk, offset, data)):
                good += chunk.size
            else:
                bad.append(chunk.sha256)
        if bad:
            # The next push sends them again.
            yield Commands([("SADD", self.keys.damaged, *bad)])
            raise ReplicationError(
                f"{chunks_text(len(bad))} missing or damaged on the server, for example {bad[0]}"
            )
        return good

    def run(self) -> Steps[None]:
        while True:
            try:
                version = yield from self.look()
                if self.pause:
                    log.info("%s: recovered", self.name)
                    self.pause = 0.0
                    self.said.pop("trouble")
                if version is not None:
                    yield version
                yield from self.wait(self.poll)
            except ServerError as error:
                self.say("trouble", f"{error}; the local map stays published")
                yield Sleep(self.next_pause())
            except (ReplicationError, OSError, ValueError) as error:
                self.say("trouble", f"{error}; the local map stays published")
                try:
                    # What comes next may well be good.
                    yield from self.wait(self.next_pause())
                except ServerError:
                    yield Sleep(self.pause)

    def next_pause(self) -> float:
        self.pause = min(2 * self.pause or _FIRST_PAUSE, _LONGEST_PAUSE, self.poll)
        return self.pause

    def wait(self, seconds: float) -> Steps[None]:
        """Until somebody pushes; the answer does not matter, because look() looks at everything."""
        milliseconds = max(1, int(1000 * seconds))
        yield Commands(
            [("XREAD", "COUNT", 1, "BLOCK", milliseconds, "STREAMS", self.keys.stream, self.last)]
        )


def _open(name: str, local: str | None, directory: Path | None, mode: int) -> State:
    return State(directory or default_directory(), local or name, mode)


def follow(
    name: str, local: str | None, directory: Path | None, poll: float, mode: int
) -> Steps[None]:
    state = _open(name, local, directory, mode)
    try:
        agent = Agent(name, state, poll)
        recovered: Version | None = None
        try:
            recovered = yield from agent.recover()
        except (OSError, ValueError) as error:
            agent.say("start", f"{error}; retrying")
        if recovered is not None:
            yield recovered
        yield from agent.run()
    finally:
        state.close()


def pull(name: str, local: str | None, directory: Path | None, mode: int) -> Steps[Version]:
    state = _open(name, local, directory, mode)
    try:
        agent = Agent(name, state, 1.0)
        here = yield from agent.recover()
        try:
            newer = yield from agent.look()
        except ReplicationError as error:
            if here is None:
                raise
            log.warning("%s: %s; publishing the last version from disk", name, error)
            newer = None
        version = newer or here
        if version is None:
            raise NothingPushed(f"{name}: no version was pushed under this name")
        return version
    finally:
        state.close()
