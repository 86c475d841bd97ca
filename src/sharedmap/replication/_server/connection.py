"""Connections to a server, with and without an event loop.

redis-py connects: name, TLS, user, database. Until then it reads from the socket, so what it gets
is bounded there. Then the commands and replies are ours (resp.py), each exchange with a budget of
bytes and a deadline. A connection whose exchange failed in any way is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import io
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

from .._errors import ReplicationError, ServerError
from .replies import MARGIN, MOST_ITEMS, seconds_for, seconds_of, size_of
from .resp import LINE, LONGEST_LINE, LONGEST_TEXT, Budget, invalid, pack, read_reply
from .urls import Address, Target

_T = TypeVar("_T")
_CONNECT_SECONDS = 10.0
_HANDSHAKE = 64 << 10
_BLOCK = 64 << 10
# The pause before a task that ignored its cancellation is cancelled again.
_AGAIN = 0.05


def load(module: str) -> Any:
    """Imports a module of redis-py only when it is needed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ServerError(f"replication needs redis-py; run: pip install redis ({error})") from None


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Whatever redis-py and the system raise, where a server may have sent anything."""
    try:
        yield
    except ReplicationError:
        raise
    except TimeoutError:
        raise ServerError("the server does not answer in time") from None
    except Exception as error:
        # redis-py 5 does not repeat what is wrong with a certificate.
        known = error.__context__ if isinstance(error.__context__, ssl.SSLError) else error
        # Some exceptions name the address that refused, and some have no message.
        raise ServerError(f"{known}".strip()[:LONGEST_TEXT] or type(error).__name__) from error


def _budget(commands: Sequence[Sequence[Any]]) -> Budget:
    size = sum(size_of(command) for command in commands)
    # What a transaction has queued is answered twice.
    size = MARGIN + (2 * size if commands[-1][0] == "EXEC" else size)
    return Budget(size, MOST_ITEMS + 4 * len(commands))


def _arguments(target: Target, address: Address | None, kind: str) -> dict[str, Any]:
    settings = dict(target.sentinel_settings if kind == "sentinel" else target.settings)
    settings.setdefault("socket_connect_timeout", _CONNECT_SECONDS)
    if address is None:
        settings["path"] = target.path
    else:
        settings["host"], settings["port"] = address
    return settings | {
        "protocol": 2,
        "decode_responses": False,
        "socket_timeout": _CONNECT_SECONDS,
    }


def _kind_of(target: Target) -> str:
    if target.path:
        return "UnixDomainSocketConnection"
    return "SSLConnection" if target.has_tls else "Connection"


# ---- without an event loop -------------------------------------------------------------------


class _Socket:
    """A socket with a deadline and, as long as redis-py reads from it, a budget."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped
        self.deadline = time.monotonic() + _CONNECT_SECONDS
        self.budget: Budget | None = Budget(_HANDSHAKE, 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def _hurry(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._wrapped.settimeout(left)

    def recv(self, size: int) -> bytes:
        self._hurry()
        data: bytes = self._wrapped.recv(size)
        if self.budget is not None:
            self.budget.spend(len(data))
        else:
            # A server that sends nothing does not get the time for all of it.
            self.deadline += seconds_for(len(data))
        return data

    def is_silent(self) -> bool:
        """Whether nothing has come, not even the end. A TLS socket may read what is no data."""
        self._wrapped.settimeout(0)
        try:
            self._wrapped.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        return False

    def sendall(self, data: bytes) -> None:
        # A TLS socket would give each record the whole time.
        view = memoryview(data)
        while view:
            self._hurry()
            sent = self._wrapped.send(view[:_BLOCK])
            self.deadline += seconds_for(sent)
            view = view[sent:]


def _bounded(base: Any) -> Any:
    """The class of redis-py's connections, with a bounded socket."""

    def connect(connection: Any) -> _Socket:
        return _Socket(base._connect(connection))

    return type(f"Bounded{base.__name__}", (base,), {"_connect": connect})


class Connection:
    def __init__(self, target: Target, address: Address | None, kind: str) -> None:
        module = load("redis.connection")
        arguments = _arguments(target, address, kind)
        # An agent has a backoff of its own, and a push that fails reports it.
        arguments["retry"] = load("redis.retry").Retry(load("redis.backoff").NoBackoff(), 0)
        # The parser in C allocates what a reply announces, before it comes.
        arguments["parser_class"] = module._RESP2Parser
        with _translated():
            self.link: Any = _bounded(getattr(module, _kind_of(target)))(**arguments)
            try:
                self.link.connect()
            except BaseException:
                self.close()
                raise
        self.socket: _Socket = self.link._sock
        self.socket.budget = None
        self.received = b""
        self.start = 0  # of what is not parsed yet

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.link.disconnect()

    def is_usable(self) -> bool:
        """Whether the server has neither closed it nor sent what was not asked for."""
        try:
            return self.start == len(self.received) and self.socket.is_silent()
        except OSError:
            return False

    def exchange(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        budget = _budget(commands)
        try:
            with _translated():
                self.socket.deadline = time.monotonic() + seconds_of(commands)
                for block in pack(commands):
                    self.socket.sendall(block)
                return [self._read(budget) for _ in commands]
        except BaseException:
            self.close()
            raise

    def _read(self, budget: Budget) -> Any:
        parser = read_reply(budget)
        wanted = next(parser)
        while True:
            data = self._line() if wanted == LINE else self._exactly(wanted)
            try:
                wanted = parser.send(data)
            except StopIteration as stop:
                return stop.value

    def _receive(self, size: int) -> bytes:
        data = self.socket.recv(size)
        if not data:
            raise ServerError("the server closed the connection")
        return data

    def _line(self) -> bytes:
        while (end := self.received.find(b"\r\n", self.start)) < 0:
            self.received, self.start = self.received[self.start :] + self._receive(_BLOCK), 0
            if len(self.received) > LONGEST_LINE + _BLOCK:
                raise invalid("a line is too long")
        line, self.start = self.received[self.start : end], end + 2
        if len(line) > LONGEST_LINE:
            raise invalid("a line is too long")
        return line

    def _exactly(self, size: int) -> bytes:
        first = self.received[self.start : self.start + size]
        self.start += len(first)
        if len(first) == size:
            return first
        # Memory is taken for what has come, not for what was announced, and it is not copied.
        data = io.BytesIO()
        data.write(first)
        while (missing := size - data.tell()) > 0:
            data.write(self._receive(min(missing, _BLOCK)))
        return data.getvalue()


# ---- with an event loop ----------------------------------------------------------------------


async def finished(
    coroutine: Coroutine[Any, Any, _T], deadline: Callable[[], float] | None = None
) -> _T:
    """Awaits the coroutine, such that no part of it still runs after a cancellation.

    A thread cannot be cancelled, and its files are closed when this function returns, so without
    a deadline it is awaited. A deadline may move while the coroutine runs; after it, the coroutine
    is cancelled. redis-py can miss a cancellation, so it is cancelled again until it is done.
    """
    task = asyncio.ensure_future(coroutine)
    try:
        while deadline is None or (left := deadline() - time.monotonic()) > 0:
            await asyncio.wait([task], timeout=None if deadline is None else left)
            if task.done():
                return task.result()
        await _ended(task, can_end_early=True)
        raise TimeoutError
    except asyncio.CancelledError:
        await _ended(task, can_end_early=deadline is not None)
        raise
    finally:
        # Its exception leads here, and would keep what it has read until the next collection.
        del task


async def _ended(task: asyncio.Future[Any], *, can_end_early: bool) -> None:
    while not task.done():
        if can_end_early:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=_AGAIN)
    # Its exception is retrieved, or asyncio would log it.
    if not task.cancelled():
        task.exception()


class _Reader:
    """The stream of a connection, with a budget as long as redis-py reads from it."""

    def __init__(self, wrapped: asyncio.StreamReader) -> None:
        self.wrapped = wrapped
        self.budget = Budget(_HANDSHAKE, 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)

    async def readexactly(self, size: int) -> bytes:
        self.budget.spend(size)
        return await self.wrapped.readexactly(size)

    async def readline(self) -> bytes:
        line = await self.wrapped.readline()
        self.budget.spend(len(line))
        return line


def _async_bounded(base: Any) -> Any:
    """The class of redis-py's connections, with a bounded reader.

    Over a Unix socket, redis-py connects and signs in with one call, so the reader is bounded as
    soon as it is set.
    """

    def set_reader(connection: Any, reader: asyncio.StreamReader | None) -> None:
        connection._bounded = None if reader is None else _Reader(reader)

    reader = property(lambda connection: connection._bounded, set_reader)
    return type(f"Bounded{base.__name__}", (base,), {"_reader": reader})


class AsyncConnection:
    def __init__(self, target: Target, address: Address | None, kind: str) -> None:
        module = load("redis.asyncio.connection")
        arguments = _arguments(target, address, kind)
        arguments["retry"] = load("redis.asyncio.retry").Retry(load("redis.backoff").NoBackoff(), 0)
        arguments["parser_class"] = module._AsyncRESP2Parser
        with _translated():
            self.link: Any = _async_bounded(getattr(module, _kind_of(target)))(**arguments)
        self.deadline = 0.0
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def connect(self) -> None:
        try:
            with _translated():
                end = time.monotonic() + 2 * _CONNECT_SECONDS
                await finished(self.link.connect(), lambda: end)
        except BaseException:
            await self.close()
            raise
        self.reader = self.link._reader.wrapped
        self.writer = self.link._writer

    async def close(self) -> None:
        with contextlib.suppress(Exception):
            await self.link.disconnect(nowait=True)

    def is_usable(self) -> bool:
        if self.writer.is_closing() or self.reader.at_eof():
            return False
        # asyncio has no other way to ask whether something has come.
        return not getattr(self.reader, "_buffer", b"") and self.reader.exception() is None

    async def exchange(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        budget = _budget(commands)
        self.deadline = time.monotonic() + seconds_of(commands)
        try:
            with _translated():
                return await finished(self._exchange(commands, budget), lambda: self.deadline)
        except BaseException:
            await self.close()
            raise

    async def _exchange(self, commands: Sequence[Sequence[Any]], budget: Budget) -> list[Any]:
        for block in pack(commands):
            for begin in range(0, len(block), _BLOCK):
                self.writer.write(block[begin : begin + _BLOCK])
                await self.writer.drain()
                self.deadline += seconds_for(_BLOCK)
        return [await self._read(budget) for _ in commands]

    async def _read(self, budget: Budget) -> Any:
        parser = read_reply(budget)
        wanted = next(parser)
        while True:
            try:
                if wanted == LINE:
                    data = (await self.reader.readuntil(b"\r\n"))[:-2]
                else:
                    data = await self._exactly(wanted)
            except asyncio.IncompleteReadError:
                raise ServerError("the server closed the connection") from None
            except asyncio.LimitOverrunError:
                raise invalid("a line is too long") from None
            if wanted == LINE and len(data) > LONGEST_LINE:
                raise invalid("a line is too long")
            try:
                wanted = parser.send(data)
            except StopIteration as stop:
                return stop.value

    async def _exactly(self, size: int) -> bytes:
        # As above: readexactly() would collect all of it, and then copy it.
        data = io.BytesIO()
        while (missing := size - data.tell()) > 0:
            block = await self.reader.read(min(missing, _BLOCK))
            if not block:
                raise ServerError("the server closed the connection")
            data.write(block)
            self.deadline += seconds_for(len(block))
        return data.getvalue()
