"""Drives pushing and following over connections to a server, with an event loop and without."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from typing import Any, TypeVar

from .._errors import ServerError
from .._manifest import Version
from .._operations import Operation, Sleep, Steps, Work
from .connection import AsyncConnection, Connection, finished, load
from .resp import Refused
from .routes import Close, Exchange, Give, Pause, Routes, Routine, Take
from .urls import parse

_T = TypeVar("_T")


def has_answered(error: ServerError) -> bool:
    """Whether the server is there, and refuses this one request."""
    return isinstance(error, Refused)


class Server:
    def __init__(self, url: str) -> None:
        self.target = parse(url)
        self.routes = Routes(self.target)
        self.idle: dict[Any, list[Connection]] = {}
        load("redis")

    def close(self) -> None:
        for connections in self.idle.values():
            while connections:
                connections.pop().close()

    def perform(self, operation: Operation) -> Any:
        if isinstance(operation, Work):
            return operation.function(*operation.arguments)
        if isinstance(operation, Sleep):
            return time.sleep(operation.seconds)
        return self._run(self.routes.perform(operation))

    def _run(self, routine: Routine) -> Any:
        answer: Any = None
        failure: Exception | None = None
        taken: list[Connection] = []
        try:
            while True:
                try:
                    request = routine.send(answer) if failure is None else routine.throw(failure)
                except StopIteration as stop:
                    return stop.value
                finally:
                    # An exception that leads to itself would keep its frames, with all they read.
                    answer = failure = None
                try:
                    answer = self._request(request, taken)
                except Exception as error:
                    failure = error
        finally:
            routine.close()
            for connection in taken:
                connection.close()

    def _request(self, request: Any, taken: list[Connection]) -> Any:
        if isinstance(request, Take):
            taken.append(self._take(request))
            return taken[-1]
        if isinstance(request, Exchange):
            return request.connection.exchange(request.commands)
        if isinstance(request, Pause):
            return time.sleep(request.seconds)
        taken.remove(request.connection)
        if isinstance(request, Close):
            request.connection.close()
        elif isinstance(request, Give):
            self.idle.setdefault(request.address, []).append(request.connection)
        return None

    def _take(self, request: Take) -> Connection:
        idle = self.idle.get(request.address, []) if request.kind == "server" else []
        while idle:
            connection = idle.pop()
            if connection.is_usable():
                return connection
            connection.close()
        return Connection(self.target, request.address, request.kind)

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
                finally:
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


class AsyncServer:
    def __init__(self, url: str) -> None:
        self.target = parse(url)
        self.routes = Routes(self.target)
        self.idle: dict[Any, list[AsyncConnection]] = {}
        load("redis.asyncio")

    async def close(self) -> None:
        for connections in self.idle.values():
            while connections:
                await connections.pop().close()

    async def perform(self, operation: Operation) -> Any:
        if isinstance(operation, Work):
            thread = asyncio.to_thread(operation.function, *operation.arguments)
            return await finished(thread)
        if isinstance(operation, Sleep):
            return await asyncio.sleep(operation.seconds)
        return await self._run(self.routes.perform(operation))

    async def _run(self, routine: Routine) -> Any:
        answer: Any = None
        failure: Exception | None = None
        taken: list[AsyncConnection] = []
        try:
            while True:
                try:
                    request = routine.send(answer) if failure is None else routine.throw(failure)
                except StopIteration as stop:
                    return stop.value
                finally:
                    # An exception that leads to itself would keep its frames, with all they read.
                    answer = failure = None
                try:
                    answer = await self._request(request, taken)
                except Exception as error:
                    failure = error
        finally:
            routine.close()
            for connection in taken:
                await connection.close()

    async def _request(self, request: Any, taken: list[AsyncConnection]) -> Any:
        if isinstance(request, Take):
            taken.append(await self._take(request))
            return taken[-1]
        if isinstance(request, Exchange):
            return await request.connection.exchange(request.commands)
        if isinstance(request, Pause):
            return await asyncio.sleep(request.seconds)
        taken.remove(request.connection)
        if isinstance(request, Close):
            await request.connection.close()
        elif isinstance(request, Give):
            self.idle.setdefault(request.address, []).append(request.connection)
        return None

    async def _take(self, request: Take) -> AsyncConnection:
        idle = self.idle.get(request.address, []) if request.kind == "server" else []
        while idle:
            connection = idle.pop()
            if connection.is_usable():
                return connection
            await connection.close()
        connection = AsyncConnection(self.target, request.address, request.kind)
        await connection.connect()
        return connection

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
                finally:
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
