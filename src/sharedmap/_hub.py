"""What one event loop needs to hear of publications: a descriptor, and an event of each waiter.

A loop sleeps on descriptors. One descriptor tells it about every map with a name, so a loop needs
one of it and no thread, however many maps are watched. Where the system has no descriptor left, the
loop checks every POLL seconds instead.

This is a module of its own because it imports asyncio, which `import sharedmap` does not.
"""

from __future__ import annotations

import asyncio
import errno
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from . import _sharedmap

POLL: Final = 0.05


class Hub:
    """The descriptor of one loop, and the events of those that wait, by the name they wait for."""

    def __init__(self) -> None:
        # Set only while there is a watcher: the hub must not keep the loop alive.
        self.loop: asyncio.AbstractEventLoop | None = None
        self.events: dict[str, list[asyncio.Event]] = {}  # one of each watcher
        self.descriptor: int | None = None
        self.timer: asyncio.TimerHandle | None = None

    @contextmanager
    def interest(self, name: str) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        if not self.events:
            self.start()
        self.events.setdefault(name, []).append(event)
        try:
            yield event
        finally:
            self.events[name].remove(event)
            if not self.events[name]:
                del self.events[name]
            if not self.events:
                self.stop()

    def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        try:
            self.descriptor = _sharedmap._watch_open()
        except OSError:
            self.poll()
        else:
            self.loop.add_reader(self.descriptor, self.read)

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.descriptor is not None:
            assert self.loop is not None
            self.loop.remove_reader(self.descriptor)
            _sharedmap._watch_close(self.descriptor)
            self.descriptor = None
        self.loop = None

    def read(self) -> None:
        assert self.descriptor is not None
        names = _sharedmap._watch_read(self.descriptor)
        # None: so much happened that names were dropped. No map has the empty name.
        self.wake(self.events if None in names else filter(None, names))

    def poll(self) -> None:
        assert self.loop is not None
        self.wake(self.events)
        self.timer = self.loop.call_later(POLL, self.poll)

    def wake(self, names: Iterable[str]) -> None:
        for name in names:
            for event in self.events.get(name, ()):
                event.set()


def is_shortage(error: BaseException) -> bool:
    """Whether it passes by itself, when the process or the system has more to give."""
    if isinstance(error, OSError):
        return error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR)
    return isinstance(error, MemoryError)


async def pause(event: asyncio.Event, seconds: float) -> None:
    """Waits for the event, but no longer than that."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()


def running_hub() -> Hub:
    """The one of the running loop."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = Hub()
    return hub
