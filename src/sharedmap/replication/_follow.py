"""Following: the agent of one machine.

    disk ---> local map                         immediately, without the server
    server: newest manifest
       |        +---> differences from the version here ---> verified ---> update() --+
       |        +---> image and all differences -----------> verified ---> share() ---+--> recorded
       ^                                                                                      |
       +---- wait for the stream, or until the next poll -------------------------------------+

If this machine has a version of the same image, only the differences behind it are fetched. They
are applied if the digest of the content is then that of the manifest. Otherwise, the new version is
built from the image and all differences, as far as possible from those on the disk.

The local map is only ever replaced by a complete, verified and newer version. Errors before that
are logged, and the operation is retried. The agent never removes a map.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from .._header import HEADER_SIZE
from ._blobs import chunks_are, is_intact, is_same_image
from ._errors import NothingPushed, ReplicationError, ServerError
from ._files import default_directory
from ._incoming import Incoming
from ._manifest import Difference, Image, Manifest, Version, check_version, parse
from ._operations import Commands, Keys, Sleep, Steps, Work, get
from ._push import BATCH
from ._state import State

log = logging.getLogger("sharedmap.replication")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
_IS_LOST = (errno.ENOENT, errno.EIO)
# A blob: its sha256, its size, and what takes its bytes if they are intact.
Wanted = tuple[str, int, Callable[[bytes], bool]]


class Follower:
    def __init__(self, name: str, state: State, poll: float, namespace: str | None = None) -> None:
        self.name = name
        self.state = state
        self.keys = Keys(name, namespace)
        self.poll = poll
        self.last = b"0-0"  # of the stream
        self.pause = 0.0  # the backoff; 0 without errors
        self.last_logged: dict[str, str] = {}
        self.server_version: int | None = None  # what the server had when it was last asked
        self.is_well = False  # the server had the version of this machine
        self.is_in_trouble = False  # that has been told, and not yet its end
        self.received = (0, 0)  # of which version how many bytes

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
                yield Work(self.state.verify, manifest)
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
        self.is_well = False
        if raw is None:
            if newest is not None:
                self.say("server", "the server has no version any more; keeping the last one")
            else:
                self.say("server", "no version was pushed under this name yet; waiting for one")
            return None
        manifest = parse(raw)
        check_version(manifest)
        self.server_version = manifest.version
        if newest is None or manifest.version > self.state.newest_version:
            try:
                version = yield from self.fetch(manifest)
            except (ReplicationError, OSError, ValueError) as error:
                if (yield Work(self.state.is_staged, manifest)):
                    raise  # only recording has failed
                # What is on the disk stays published, or is published again.
                before = yield from self.recover()
                if before is None or not before.is_new:
                    raise
                self.say("trouble", f"{error}; version {before.version} is published again")
                return before
            self._is_well_again()
            return version
        if manifest.version < newest.version:
            self.say(
                "server", "the server has an older version than this machine; keeping the newer one"
            )
        else:
            self._is_well_again()
        recovered = yield from self.recover()
        return recovered if recovered is not None and recovered.is_new else None

    def _is_well_again(self) -> None:
        """This machine has the version of the server."""
        self.is_well = True
        self.last_logged.pop("server", None)

    def fetch(self, manifest: Manifest) -> Steps[Version]:
        if self.received[0] != manifest.version:
            self.received = (manifest.version, 0)
        # An attempt before may have published it, and then failed to record it.
        is_published = yield Work(self.state.is_staged, manifest)
        if not is_published and not (yield from self._fetch_differences(manifest)):
            yield from self._fetch_all(manifest)
        yield Work(self.state.record)
        return manifest.describe(self.name, self.received[1], True)

    def _fetch_differences(self, manifest: Manifest) -> Steps[bool]:
        """Applies what has changed to the local map. False if that is not possible."""
        newest = self.state.newest
        if newest is None or not is_same_image(newest.image, manifest.image):
            return False
        rows = manifest.rows_behind(newest.version)
        if not rows or newest.content is None:
            return False
        yield from self._fetch_rows(rows)
        # The differences up to the newest version are here already.
        known = replace(manifest, image=newest.image, differences=(*newest.differences, *rows))
        is_published: bool = yield Work(self.state.advance, known, rows)
        return is_published

    def _fetch_all(self, manifest: Manifest) -> Steps[None]:
        """Publishes image and differences, of which parts may be on the disk already."""
        image = yield from self._fetch_list(manifest.image)
        manifest = replace(manifest, image=image)
        yield Work(self.state.clear, manifest)
        if not (yield Work(self.state.has_image, image)):
            incoming: Incoming = yield Work(self.state.begin, image)
            try:
                yield from self._fetch_chunks(image, incoming)
            finally:
                incoming.close()
            yield Work(self.state.complete, image)
        yield from self._fetch_rows(manifest.differences)
        yield Work(self.state.verify_content, manifest)
        yield Work(self.state.stage, manifest)
        yield Work(self.state.publish, manifest)

    def _fetch_list(self, image: Image) -> Steps[Image]:
        known = self.state.with_chunks(image)
        chunk_list = image.chunk_list
        if known is not None or chunk_list is None:
            return known or image
        found: list[bytes] = []

        def take(data: bytes) -> bool:
            found.append(data)
            return is_intact(data, chunk_list.sha256, chunk_list.size)

        yield from self._fetch_batch([(*chunk_list, take)])
        return image.with_chunks(found[0])

    def _fetch_chunks(self, image: Image, incoming: Incoming) -> Steps[None]:
        wanted: list[Wanted] = []
        offset = HEADER_SIZE
        for chunk in image.chunks or ():
            if not (yield Work(incoming.take, chunk, offset)):
                wanted.append((chunk.sha256, chunk.size, partial(incoming.put, chunk, offset)))
            offset += chunk.size
        yield from self._fetch(wanted)

    def _fetch_rows(self, rows: Sequence[Difference]) -> Steps[None]:
        wanted: list[Wanted] = []
        for row in rows:
            if not (yield Work(self.state.has_row, row)):
                wanted.append((row.sha256, row.size, partial(self.state.put_row, row)))
        yield from self._fetch(wanted)

    def _fetch(self, wanted: Sequence[Wanted]) -> Steps[None]:
        batch: list[Wanted] = []
        size = 0
        for blob in wanted:
            batch.append(blob)
            size += blob[1]
            if size >= BATCH:
                yield from self._fetch_batch(batch)
                batch, size = [], 0
        if batch:
            yield from self._fetch_batch(batch)

    def _fetch_batch(self, batch: Sequence[Wanted]) -> Steps[None]:
        replies: list[Any] = yield Commands(
            [get(self.keys.chunk(sha256), size) for sha256, size, _ in batch]
        )
        missing: list[str] = []
        damaged: list[str] = []
        for (sha256, _, put), data in zip(batch, replies, strict=True):
            if data is None:
                missing.append(sha256)
                continue
            self.received = (self.received[0], self.received[1] + len(data))
            if not (yield Work(put, data)):
                damaged.append(sha256)
        if missing or damaged:
            yield from self._report(missing, damaged)

    def _report(self, missing: list[str], damaged: list[str]) -> Steps[None]:
        """Tells the server, so that the next push sends them again. Always raises."""
        # An agent may have no right to write, and works without it.
        with contextlib.suppress(ServerError):
            yield Commands([("SADD", self.keys.damaged, *missing, *damaged)])
        found = [(missing, "missing"), (damaged, "damaged")]
        told = ", ".join(chunks_are(len(names), what) for names, what in found if names)
        raise ReplicationError(f"{told} on the server, for example {(missing or damaged)[0]}")

    def run(self) -> Steps[None]:
        while True:
            try:
                version = yield from self.check_current()
                self.pause = 0.0
                if self.is_well and self.is_in_trouble:
                    log.info("%s: recovered", self.name)
                    self.is_in_trouble = False
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
        self.is_in_trouble = True
        self.pause = min(2 * self.pause or FIRST_PAUSE, LONGEST_PAUSE, self.poll)
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
        follower = Follower(name, state, poll, namespace)
        recovered: Version | None = None
        try:
            recovered = yield from follower.recover()
        except (OSError, ValueError) as error:
            follower.say("start", f"{error}; retrying")
        if recovered is not None:
            yield recovered
        yield from follower.run()
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
        follower = Follower(name, state, 1.0, namespace)
        here = yield from follower.recover()
        try:
            newer = yield from follower.check_current()
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
