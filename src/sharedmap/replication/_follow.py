"""Following: the agent of one machine.

    disk ---> local map                      immediately, without the server
    server: newest manifest ---> chunks ---> partial file ---> verified ---> local map ---> disk
       ^                                                                                  |
       +---- wait for the stream, or until the next poll ---------------------------------+

The local map is only ever replaced by a complete, verified and newer version. Errors before that
are logged, and the operation is retried. The agent never removes a map.
"""

from __future__ import annotations

import errno
import logging
from pathlib import Path
from typing import Any

from .._header import HEADER_SIZE
from ._chunks import chunks_text
from ._errors import NothingPushed, ReplicationError, ServerError
from ._manifest import Chunk, Manifest, Version, check_version, parse
from ._operations import Commands, Keys, Sleep, Steps, Work, get
from ._push import BATCH
from ._state import Incoming, State, default_directory

log = logging.getLogger("sharedmap.replication")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_IS_LOST = (errno.ENOENT, errno.EIO)


class Agent:
    def __init__(self, name: str, state: State, poll: float, namespace: str | None = None) -> None:
        self.name = name
        self.state = state
        self.keys = Keys(name, namespace)
        self.poll = poll
        self.last = b"0-0"  # of the stream
        self.pause = 0.0  # the backoff; 0 without errors
        self.last_logged: dict[str, str] = {}
        self.server_version: int | None = None  # what the server had when it was last asked

    def say(self, about: str, message: str) -> None:
        """Logs a problem once, however often the operation is retried."""
        if self.last_logged.get(about) != message:
            log.warning("%s: %s", self.name, message)
            self.last_logged[about] = message

    def recover(self) -> Steps[Version | None]:
        """Publishes the newest version on disk that can be, unless it is still published."""
        failed: Exception | None = None
        for manifest in [*self.state.versions]:
            is_published = yield Work(self.state.is_published, manifest)
            if is_published:
                return manifest.describe(self.name, 0, False)
            try:
                yield Work(self.state.verify, manifest, "snapshot")
            except (ReplicationError, OSError) as error:
                # A file that cannot be read now, or by this user, is not damaged.
                if isinstance(error, OSError) and error.errno not in _IS_LOST:
                    raise
                log.warning("%s: %s; fetching the version again", self.name, error)
                self.state.forget(manifest)
                continue
            try:
                yield Work(self.state.publish, manifest)
            except (ReplicationError, OSError, ValueError) as error:
                failed = failed or error
                continue
            if failed is not None:
                self.say("start", f"{failed}; version {manifest.version} is published instead")
            return manifest.describe(self.name, 0, True)
        if failed is not None:
            raise failed
        return None

    def check_current(self) -> Steps[Version | None]:
        """Checks the server once. A version if it is newer, or was not published here."""
        entries, raw = yield Commands(
            [("XREVRANGE", self.keys.stream, "+", "-", "COUNT", 1), get(self.keys.manifest)]
        )
        self.last = entries[0][0] if entries else b"0-0"
        newest = self.state.newest
        self.server_version = None
        if raw is None:
            if newest is not None:
                self.say("server", "the server has no version any more; keeping the last one")
            return None
        manifest = parse(raw)
        check_version(manifest)
        self.server_version = manifest.version
        if newest is None or manifest.version > self.state.newest_version:
            try:
                version = yield from self.fetch(manifest)
            except (ReplicationError, OSError, ValueError) as error:
                # What is on the disk stays published, or is published again.
                before = yield from self.recover()
                if before is None or not before.is_new:
                    raise
                self.say("trouble", f"{error}; version {before.version} is published again")
                return before
            self.last_logged.pop("server", None)
            return version
        if manifest.version < newest.version:
            self.say(
                "server", "the server has an older version than this machine; keeping the newer one"
            )
        else:
            self.last_logged.pop("server", None)
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
            # Each chunk has the sha256 of the manifest, so the manifest is wrong: discard all.
            self.state.file_of(manifest, "partial").unlink(missing_ok=True)
            raise
        yield Work(self.state.stage, manifest)
        yield Work(self.state.publish, manifest)
        yield Work(self.state.record, manifest)
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
            [get(self.keys.chunk(chunk.sha256), chunk.size) for chunk, _ in batch]
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
                version = yield from self.check_current()
                if self.pause:
                    log.info("%s: recovered", self.name)
                    self.pause = 0.0
                    self.last_logged.pop("trouble", None)
                if version is not None:
                    yield version
                yield from self.wait(self.poll)
            except ServerError as error:
                self.say("trouble", f"{error}; the local map stays published")
                yield Sleep(self.next_pause())
            except (ReplicationError, OSError, ValueError) as error:
                self.say("trouble", f"{error}; the local map stays published")
                try:
                    # The next version may be valid.
                    yield from self.wait(self.next_pause())
                except ServerError:
                    yield Sleep(self.pause)

    def next_pause(self) -> float:
        self.pause = min(2 * self.pause or _FIRST_PAUSE, _LONGEST_PAUSE, self.poll)
        return self.pause

    def wait(self, seconds: float) -> Steps[None]:
        """Waits for a push. The reply is ignored: check_current() reads the state itself."""
        milliseconds = max(1, int(1000 * seconds))
        yield Commands(
            [("XREAD", "COUNT", 1, "BLOCK", milliseconds, "STREAMS", self.keys.stream, self.last)]
        )


def _open(name: str, local: str | None, directory: Path | None, mode: int) -> State:
    return State(directory or default_directory(), local or name, mode)


def follow(
    name: str,
    local: str | None,
    directory: Path | None,
    poll: float,
    mode: int,
    namespace: str | None = None,
) -> Steps[None]:
    state = _open(name, local, directory, mode)
    try:
        agent = Agent(name, state, poll, namespace)
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


def pull(
    name: str,
    local: str | None,
    directory: Path | None,
    mode: int,
    namespace: str | None = None,
) -> Steps[Version]:
    state = _open(name, local, directory, mode)
    try:
        agent = Agent(name, state, 1.0, namespace)
        here = yield from agent.recover()
        try:
            newer = yield from agent.check_current()
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
