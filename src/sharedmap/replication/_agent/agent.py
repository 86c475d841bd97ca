"""The agent of one machine: follows all maps that names and patterns select.

    server: set of all names, stream of all pushes
       |
       v
    one task that listens ---- wakes ----> one task for each map ----> check, fetch, publish
                                           (its own backoff)           (`parallel` at a time)

A map is followed by _follow.py. So all of the agent's memory that grows with what is fetched is
that of `parallel` maps. A failure delays its own map only. If the server is unreachable, one task
asks it for all.

Not here: what a status looks like to others, in health.py; signals and systemd, in sharedmap/_cli.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator
from typing import Any, Final

from ..._names import name_of
from .. import _follow
from .._errors import NothingPushed, ReplicationError, ServerError
from .._files import AnyPath, as_path, default_directory
from .._follow import FIRST_PAUSE, LONGEST_PAUSE
from .._manifest import Version
from .._operations import Commands, Keys, Work
from .._server.drive import AsyncServer, has_answered
from .._state import State
from .followed import AgentStatus, Followed, Names

log = logging.getLogger("sharedmap.replication")

# However many names a server lists.
MOST_MAPS: Final = 10_000
_MOST_STREAMS: Final = 100
_PAGE: Final = 256
# How many keys of a cluster are asked for; with three nodes, almost surely of all.
_NODES: Final = 8
_LOCAL_ERRORS: Final = (ReplicationError, OSError, ValueError)


def _decode(data: bytes) -> str | None:
    """The name; None for what no push has written."""
    with contextlib.suppress(UnicodeDecodeError):
        return data.decode("utf-8", "surrogatepass") or None
    return None


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """A reply of a server that is none, or is hostile, may be anything."""
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise ServerError(f"the server has sent an unexpected reply: {error}") from None


class Agent:
    """Follows all maps that names and patterns select; one agent is enough for a machine.

    In a pattern `*`, `?` and `[...]` are special, as in a shell. Maps that a pattern selects are
    followed as they appear on the server. One that is removed there is no longer followed, and
    its local map stays. At most `parallel` maps are fetched at a time, and a failure delays only
    its own map. `local` is another local name, for one name without a pattern; all other arguments
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
        if parallel < 1:
            raise ValueError(f"parallel must be at least 1, not {parallel}")
        self._names = Names(names)
        self._new_names: Names | None = None  # once they are to change
        if local is not None and not self._names.is_one_name:
            raise ValueError("another local name needs one name without a pattern")
        self._local = local
        self._directory = as_path(directory) or default_directory()
        self._poll, self._mode, self._namespace = poll, mode, namespace
        # Of a map without a name: only the keys of the namespace are used.
        self._keys = Keys("-", namespace)
        self._maps: dict[str, Followed] = {}
        self._slots = asyncio.Semaphore(parallel)
        self._is_running = False
        self._server = AsyncServer(url)
        self._asking = asyncio.Lock()
        self._is_reachable = True
        self._problems: dict[str, str] = {}  # those that concern no single map
        self._listening: asyncio.Task[None] | None = None
        self._on_disk: set[str] = set()
        self._listed: set[str] | None = None  # names that the server has; None before it was asked
        self._has_lost_all = False
        self._pending: dict[str, Version] = {}
        self._news = asyncio.Event()
        self._broken: BaseException | None = None
        self.changed = asyncio.Event()  # set with each change of the status
        self.ready = asyncio.Event()  # set once each map is published, or was asked for

    # ---- for the user --------------------------------------------------------------------------

    def status(self) -> AgentStatus:
        """What the agent knows at the moment. It asks nothing."""
        maps = tuple(each.describe() for _, each in sorted(self._maps.items()))
        problem = "; ".join(self._problems.values()) or None
        is_ok = problem is None and all(each.state == "following" for each in maps)
        return AgentStatus(is_ok and self._is_running, self._is_reachable, problem, maps)

    def set_names(self, names: str | Iterable[str]) -> None:
        """Replaces the names and patterns, also while the agent runs.

        Maps that they do not select any more are no longer followed, and stay published.
        """
        chosen = Names(names)
        if self._local is not None and not chosen.is_one_name:
            raise ValueError("another local name needs one name without a pattern")
        self._new_names = chosen
        self._news.set()

    async def versions(self) -> AsyncGenerator[Version]:
        """Runs the agent, and yields each version that is published here. Never ends.

        Of several versions of a map that come while the caller is busy, the last is yielded.
        """
        try:
            await self._recover_all()
            self._is_running = True
            for each in self._maps.values():
                each.task = self._start(self._follow(each))
            self._listening = self._start(self._listen())
            self._change()
            while True:
                self._news.clear()
                if self._new_names is not None:
                    self._change_names(self._new_names)
                while self._pending:
                    yield self._pending.pop(next(iter(self._pending)))
                if self._broken is not None:
                    raise self._broken
                await self._news.wait()
        finally:
            self._is_running = False
            await _end(self._listening, *(each.task for each in self._maps.values()))
            await self._close()

    def _change_names(self, names: Names) -> None:
        self._names, self._new_names = names, None
        self._on_disk = self._find_on_disk()
        self._reconcile()
        # It starts again with the streams of these names, and lists what they select.
        if self._listening is not None:
            self._listening.cancel()
        self._listening = self._start(self._listen())

    async def once(self) -> AsyncGenerator[tuple[str, Version | Exception]]:
        """Publishes the newest version of each map, once; yields that, or why there is none.

        If the server is unreachable, the last versions on disk are published and yielded. Raises
        ServerError or NothingPushed if there is no map at all.
        """
        tasks: list[asyncio.Task[tuple[str, Version | Exception]]] = []
        try:
            chosen = self._names.plain | self._find_on_disk()
            if self._names.patterns:
                try:
                    chosen |= await self._list()
                except ServerError as error:
                    if not chosen:
                        raise
                    log.warning("%s; publishing what is on the disk", error)
            if not chosen:
                raise NothingPushed(f"no map on the server matches {' '.join(self._names.given)}")
            tasks += [asyncio.create_task(self._pull(name)) for name in sorted(chosen)]
            for task in tasks:
                yield await task
        finally:
            await _end(*tasks)
            await self._close()

    # ---- the maps ------------------------------------------------------------------------------

    def _find_on_disk(self) -> set[str]:
        """The selected names that have a folder."""
        if self._local is not None:
            return set()  # its folder has the local name
        folders = (os.fsencode(path.name) for path in self._directory.glob("*/"))
        names = {name for name in map(name_of, folders) if name is not None}
        return {name for name in names if self._names.select(name)}

    async def _recover_all(self) -> None:
        """Publishes what is on the disk. Raises FileExistsError if another agent uses it."""
        await self._server.perform(Work(os.makedirs, self._directory, 0o700, True))
        self._on_disk = self._find_on_disk()
        names = sorted(self._names.plain | self._on_disk)
        self._maps = {name: Followed(name) for name in names}
        tasks = [asyncio.create_task(self._recover(each)) for each in self._maps.values()]
        try:
            for each, task in zip(self._maps.values(), tasks, strict=True):
                try:
                    await task
                except FileExistsError:
                    raise
                except _LOCAL_ERRORS as error:
                    each.fail(str(error))
        finally:
            await _end(*tasks)

    def _open(self, each: Followed) -> None:
        # In a thread whose result is lost if the task is cancelled.
        state = State(self._directory, self._local or each.name, self._mode)
        try:
            each.follower = _follow.Follower(each.name, state, self._poll, self._namespace)
        except BaseException:
            state.close()
            raise

    async def _recover(self, each: Followed) -> None:
        """Opens the files of the map, and publishes what is there."""
        async with self._slots:
            await self._server.perform(Work(self._open, each))
            assert each.follower is not None
            try:
                version = await self._server.run(each.follower.recover())
            except _LOCAL_ERRORS as error:
                each.fail(str(error))
            else:
                self._publish(each, version)

    def _publish(self, each: Followed, version: Version | None) -> None:
        """A version is published here: tells the caller."""
        if version is not None:
            each.version = version
            each.received += version.transferred
            self._pending[version.name] = version
            self._news.set()

    async def _follow(self, each: Followed) -> None:
        while True:
            await self._reach()
            each.wake.clear()
            await self._check(each)
            self._change()
            if each.is_gone:
                self._reconcile()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(each.pause or self._poll, self._poll)):
                    await each.wake.wait()

    async def _check(self, each: Followed) -> None:
        try:
            if each.follower is None:
                await self._recover(each)
            assert each.follower is not None
            async with self._slots:
                version = await self._server.run(each.follower.check_current())
        except ServerError as error:
            # What concerns all maps is logged once, by _ask().
            if has_answered(error) or await self._ask():
                each.fail(str(error))
        except _LOCAL_ERRORS as error:
            each.fail(str(error))
        else:
            self._publish(each, version)
            each.succeed()

    async def _pull(self, name: str) -> tuple[str, Version | Exception]:
        async with self._slots:
            steps = _follow.pull(name, self._local, self._directory, self._mode, self._namespace)
            try:
                return name, await self._server.run(steps)
            except _LOCAL_ERRORS as error:
                return name, error

    def _reconcile(self) -> None:
        """Follows what is selected and is not followed yet; ends what is not any more."""
        if not self._is_running:
            return
        found = {
            name for name in self._on_disk | (self._listed or set()) if self._names.select(name)
        }
        self._problems.pop("names", None)
        for name in sorted(self._names.plain | found):
            if name not in self._maps:
                if len(self._maps) >= MOST_MAPS:
                    self._say("names", f"more than {MOST_MAPS} maps; the others are not followed")
                    break
                self._maps[name] = each = Followed(name)
                each.task = self._start(self._follow(each))
        for each in self._maps.values():
            if not self._names.select(each.name):
                self._drop(each)
            elif each.name not in self._names.plain and self._is_removed(each):
                log.info("%s: removed from the server; the local map stays published", each.name)
                self._on_disk.discard(each.name)
                self._drop(each)
        self._change()

    def _is_removed(self, each: Followed) -> bool:
        # The names are lost together with the maps: that is a failure, not a removal.
        if self._listed is None or self._has_lost_all:
            return False
        return each.is_gone and each.name not in self._listed

    def _drop(self, each: Followed) -> None:
        if not each.is_ending and each.task is not None:
            each.is_ending = True
            # Until it has ended, its files are in use, and it cannot be followed again.
            each.task.add_done_callback(lambda _: self._forget(each))
            each.task.cancel()

    def _forget(self, each: Followed) -> None:
        if self._is_running:
            each.release()
            del self._maps[each.name]
            self._reconcile()

    # ---- the server ----------------------------------------------------------------------------

    async def _reach(self) -> None:
        """Waits until the server answers, if it did not the last time. One task asks for all."""
        if self._is_reachable:
            return
        async with self._asking:
            pause = FIRST_PAUSE
            while not self._is_reachable:
                await asyncio.sleep(min(pause, self._poll))
                pause = min(2 * pause, LONGEST_PAUSE)
                await self._ask()

    async def _ask(self) -> bool:
        """Whether the server answers, even if by a refusal."""
        error = await self._ping()
        if error is not None:
            self._is_reachable = False
            self._say("server", f"{error}; the local maps stay published")
            return False
        self._is_reachable = True
        if self._problems.pop("server", None) is not None:
            log.info("the server answers again")
            self._change()
        return True

    async def _ping(self) -> ServerError | None:
        """The error if no server answers. One node of a cluster is enough: it has maps, too."""
        failure: ServerError | None = None
        for number in range(_NODES if self._server.routes.is_cluster else 1):
            # Different keys are on different nodes.
            key = Keys(str(number)).manifest
            try:
                await self._server.perform(Commands([("PING",)], key))
            except ServerError as error:
                if not has_answered(error):
                    failure = failure or error
                    continue
            return None
        return failure

    async def _listen(self) -> None:
        """Wakes the maps that are pushed, and notices names that appear and disappear."""
        pause = 0.0
        while True:
            await self._reach()
            try:
                last = await self._ends_of_streams()
                # What was pushed before is found by asking.
                for each in self._maps.values():
                    each.wake.set()
                while True:
                    listed = time.monotonic()
                    await self._list_selected()
                    if self._problems.pop("listen", None) is not None:
                        self._change()
                    pause = 0.0
                    while (left := listed + self._poll - time.monotonic()) > 0:
                        await self._wait_for_push(last, left)
            except ServerError as error:
                if has_answered(error) or await self._ask():
                    about = f"no news of pushes, checking every {self._poll:g} s: {error}"
                    self._say("listen", about)
                    pause = min(2 * pause or FIRST_PAUSE, self._poll)
                    await asyncio.sleep(pause)

    async def _ends_of_streams(self) -> dict[bytes, bytes]:
        """The last entry of the stream of all pushes, and of those of the plain names.

        An older publisher only writes to the stream of its map.
        """
        keys = [self._keys.pushes]
        if not self._server.routes.is_cluster:  # there, these are on several servers
            names = sorted(self._names.plain)
            keys += [Keys(name, self._namespace).stream for name in names[:_MOST_STREAMS]]
        replies = await self._server.perform(
            Commands([("XREVRANGE", key, "+", "-", "COUNT", 1) for key in keys])
        )
        with _understood():
            return {
                key: entries[0][0] if entries else b"0-0"
                for key, entries in zip(keys, replies, strict=True)
            }

    async def _wait_for_push(self, last: dict[bytes, bytes], seconds: float) -> None:
        milliseconds = max(1, int(1000 * seconds))
        command = ("XREAD", "COUNT", _PAGE, "BLOCK", milliseconds, "STREAMS", *last, *last.values())
        started = time.monotonic()
        (reply,) = await self._server.perform(Commands([command]))
        if not reply and time.monotonic() - started < seconds / 2:
            await asyncio.sleep(min(FIRST_PAUSE, seconds))  # a server that does not wait
        pushed: dict[str, bool] = {}  # whether the map is still there
        with _understood():
            for key, entries in reply or ():
                last[key] = entries[-1][0]
                if key == self._keys.pushes:
                    for _, fields in entries:
                        name = _decode(fields[b"name"])
                        if name is not None and self._names.select(name):
                            pushed[name] = fields[b"version"] != b"0"
                else:
                    pushed |= {n: True for n in self._names.plain if self._stream(n) == key}
        self._wake(pushed)

    def _stream(self, name: str) -> bytes:
        return Keys(name, self._namespace).stream

    def _wake(self, pushed: dict[str, bool]) -> None:
        for name, is_there in pushed.items():
            if self._listed is not None:
                (self._listed.add if is_there else self._listed.discard)(name)
            if name in self._maps:
                self._maps[name].wake.set()
        if pushed:
            self._has_lost_all = False
            self._reconcile()

    async def _list_selected(self) -> None:
        if not self._names.patterns:
            return  # plain names are followed whether the server has them or not
        listed = await self._list()
        counts = await self._server.perform(
            Commands([("EXISTS", self._keys.names), ("EXISTS", self._keys.pushes)])
        )
        self._listed = listed
        self._has_lost_all = counts == [0, 0]
        self._reconcile()

    async def _list(self) -> set[str]:
        """The selected names that the server has."""
        found: set[str] = set()
        cursor = 0
        while True:
            (reply,) = await self._server.perform(
                Commands([("SSCAN", self._keys.names, cursor, "COUNT", _PAGE)])
            )
            with _understood():
                cursor, members = int(reply[0]), reply[1]
                names = {_decode(member) for member in members}
            found |= {name for name in names if name is not None and self._names.select(name)}
            if not cursor or len(found) > MOST_MAPS:
                return found

    # ---- the parts of the machine --------------------------------------------------------------

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        task.add_done_callback(self._notice_end)
        return task

    def _notice_end(self, task: asyncio.Task[None]) -> None:
        """A task ends only if it is cancelled or has a bug, which the caller gets."""
        if not task.cancelled():
            self._broken = self._broken or task.exception()
            self._news.set()

    def _say(self, about: str, message: str) -> None:
        if self._problems.get(about) != message:
            log.warning("%s", message)
            self._problems[about] = message
            self._change()

    def _change(self) -> None:
        self.changed.set()
        was_asked = self._listed is not None or not self._names.patterns or bool(self._maps)
        if not self._is_reachable or (
            was_asked and all(each.is_settled for each in self._maps.values())
        ):
            self.ready.set()

    async def _close(self) -> None:
        for each in self._maps.values():
            each.release()
        await self._server.close()


async def _end(*tasks: asyncio.Task[Any] | None) -> None:
    started = [task for task in tasks if task is not None]
    for task in started:
        task.cancel()
    await asyncio.gather(*started, return_exceptions=True)
