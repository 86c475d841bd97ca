"""Drives pushing and following with redis-py, with an event loop and without."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import time
from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import Any, TypeVar

from ._errors import ServerError
from ._manifest import Version
from ._operations import Commands, Commit, Operation, Scan, Sleep, Steps, Work

_T = TypeVar("_T")
_MARGIN = 10.0
# A push waits only for replies, which may take that long.
PUSH_WAIT = 20.0
# How many keys of a server are looked at by one command.
_SCANNED = 1000
# The pause before a task that ignored its cancellation is cancelled again.
_AGAIN = 0.05


def _load(module: str) -> Any:
    """Imports a module of redis-py only when it is needed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ServerError(f"replication needs redis-py; run: pip install redis ({error})") from None


def _settings(longest_wait: float) -> dict[str, Any]:
    retry = _load("redis.retry")
    backoff = _load("redis.backoff")
    return {
        "protocol": 2,
        "decode_responses": False,
        "socket_connect_timeout": _MARGIN,
        # A blocking command returns within its timeout; later, the connection is dead.
        "socket_timeout": longest_wait + _MARGIN,
        # An agent has a backoff of its own, and a push that fails reports it.
        "retry": retry.Retry(backoff.NoBackoff(), 0),
    }


class _Translated(contextlib.AbstractContextManager[None]):
    """Translates the exceptions of redis-py to ServerError."""

    def __init__(self) -> None:
        self.error: Any = _load("redis.exceptions").RedisError

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if error is not None and isinstance(error, (self.error, OSError, EOFError)):
            # Some exceptions name the address that refused, and some have no message.
            raise ServerError(f"{error}".strip() or type(error).__name__) from error


def has_answered(error: ServerError) -> bool:
    """Whether the server is there, and refuses this one request."""
    refusal: type[Exception] = _load("redis.exceptions").ResponseError
    return isinstance(error.__cause__, refusal)


class Server:
    def __init__(self, url: str, longest_wait: float) -> None:
        redis = _load("redis")
        self.watch_error: Any = redis.WatchError
        self.client: Any = redis.Redis.from_url(url, **_settings(longest_wait))

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.client.close()

    def perform(self, operation: Operation) -> Any:
        if isinstance(operation, Work):
            return operation.function(*operation.arguments)
        if isinstance(operation, Sleep):
            return time.sleep(operation.seconds)
        with _Translated():
            if isinstance(operation, Scan):
                return [*self.client.scan_iter(match=operation.pattern, count=_SCANNED)]
            if isinstance(operation, Commands):
                with self.client.pipeline(transaction=False) as pipe:
                    for command in operation.commands:
                        pipe.execute_command(*command)
                    return pipe.execute()
            return self.commit(operation)

    def commit(self, operation: Commit) -> list[Any] | None:
        with self.client.pipeline(transaction=True) as pipe:
            pipe.watch(operation.key)
            if pipe.get(operation.key) != operation.expected:
                return None
            pipe.multi()
            for command in operation.commands:
                pipe.execute_command(*command)
            try:
                replies: list[Any] = pipe.execute()
            except self.watch_error:
                return None
            return replies

    def drive(self, steps: Steps[_T]) -> Generator[Version, None, _T]:
        """Performs all steps; yields what is for the user, returns the result."""
        answer: Any = None
        failure: Exception | None = None
        try:
            while True:
                try:
                    step = steps.send(answer) if failure is None else steps.throw(failure)
                except StopIteration as stop:
                    result: _T = stop.value
                    return result
                answer = failure = None
                if isinstance(step, Version):
                    yield step
                    continue
                try:
                    answer = self.perform(step)
                except Exception as error:
                    failure = error
        finally:
            steps.close()

    def run(self, steps: Steps[_T]) -> _T:
        driven = self.drive(steps)
        while True:
            try:
                next(driven)
            except StopIteration as stop:
                result: _T = stop.value
                return result


async def _finished(coroutine: Coroutine[Any, Any, _T], *, can_end_early: bool) -> _T:
    """Awaits the coroutine, such that no part of it still runs after a cancellation.

    A thread cannot be cancelled, and its files are closed when this function returns, so it is
    awaited. And redis-py can miss a cancellation, so it is cancelled again until it is done.
    """
    task = asyncio.ensure_future(coroutine)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        while not task.done():
            if can_end_early:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task], timeout=_AGAIN)
        # Its exception is retrieved, or asyncio would log it.
        if not task.cancelled():
            task.exception()
        raise
    return task.result()


class AsyncServer:
    def __init__(self, url: str, longest_wait: float) -> None:
        redis = _load("redis.asyncio")
        self.watch_error: Any = _load("redis.exceptions").WatchError
        settings = _settings(longest_wait)
        settings["retry"] = _load("redis.asyncio.retry").Retry(
            _load("redis.backoff").NoBackoff(), 0
        )
        self.client: Any = redis.Redis.from_url(url, **settings)

    async def close(self) -> None:
        with contextlib.suppress(Exception):
            await self.client.aclose()

    async def perform(self, operation: Operation) -> Any:
        if isinstance(operation, Work):
            thread = asyncio.to_thread(operation.function, *operation.arguments)
            return await _finished(thread, can_end_early=False)
        if isinstance(operation, Sleep):
            return await asyncio.sleep(operation.seconds)
        with _Translated():
            if isinstance(operation, Scan):
                return await _finished(self.scan(operation), can_end_early=True)
            if isinstance(operation, Commands):
                return await _finished(self.execute(operation), can_end_early=True)
            return await _finished(self.commit(operation), can_end_early=True)

    async def scan(self, operation: Scan) -> list[Any]:
        found = self.client.scan_iter(match=operation.pattern, count=_SCANNED)
        return [key async for key in found]

    async def execute(self, operation: Commands) -> list[Any]:
        async with self.client.pipeline(transaction=False) as pipe:
            for command in operation.commands:
                pipe.execute_command(*command)
            replies: list[Any] = await pipe.execute()
            return replies

    async def commit(self, operation: Commit) -> list[Any] | None:
        async with self.client.pipeline(transaction=True) as pipe:
            await pipe.watch(operation.key)
            if await pipe.get(operation.key) != operation.expected:
                return None
            pipe.multi()
            for command in operation.commands:
                pipe.execute_command(*command)
            try:
                replies: list[Any] = await pipe.execute()
            except self.watch_error:
                return None
            return replies

    async def drive(self, steps: Steps[Any], result: list[Any]) -> AsyncGenerator[Version]:
        """Performs all steps; yields what is for the user, appends the result."""
        answer: Any = None
        failure: Exception | None = None
        try:
            while True:
                try:
                    step = steps.send(answer) if failure is None else steps.throw(failure)
                except StopIteration as stop:
                    result.append(stop.value)
                    return
                answer = failure = None
                if isinstance(step, Version):
                    yield step
                    continue
                try:
                    answer = await self.perform(step)
                except Exception as error:
                    failure = error
        finally:
            steps.close()

    async def run(self, steps: Steps[_T]) -> _T:
        result: list[_T] = []
        async for _ in self.drive(steps, result):
            pass
        return result[0]
