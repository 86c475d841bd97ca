"""Waiting for new snapshots inside an event loop.

A loop sleeps on descriptors. One descriptor reports every name in /dev/shm, so a loop needs one
descriptor and no thread, however many maps are watched. When the system has no descriptor left, the
loop polls every POLL seconds instead.
"""

import asyncio
import weakref
from contextlib import contextmanager

from . import _sharedmap
from ._sharedmap import SnapshotError, sharedmap

POLL = 0.05


class _Hub:
    """The watchers of one loop: its descriptor, and their events by name."""

    def __init__(self):
        self.loop = None  # only set while there are watchers: a hub must not keep its loop alive
        self.events = {}  # name -> the asyncio.Event of each watcher
        self.descriptor = None
        self.timer = None

    @contextmanager
    def interest(self, name):
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

    def start(self):
        self.loop = asyncio.get_running_loop()
        try:
            self.descriptor = _sharedmap._watch_open()
        except OSError:
            self.poll()
        else:
            self.loop.add_reader(self.descriptor, self.read)

    def stop(self):
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.descriptor is not None:
            self.loop.remove_reader(self.descriptor)
            _sharedmap._watch_close(self.descriptor)
            self.descriptor = None
        self.loop = None

    def read(self):
        names = _sharedmap._watch_read(self.descriptor)
        # None: the queue overflowed, and names were dropped.
        self.wake(self.events if None in names else names)

    def poll(self):
        self.wake(self.events)
        self.timer = self.loop.call_later(POLL, self.poll)

    def wake(self, names):
        for name in names:
            for event in self.events.get(name, ()):
                event.set()


_hubs = weakref.WeakKeyDictionary()


async def watch(name, *, decode=None, owner=None):
    """Yield the published map, now and after each publication. Never ends.

    Each item is a sharedmap that does not follow. Several publications while the caller is busy
    yield only the newest snapshot. When nothing is published under the name yet, it waits. After
    the first valid snapshot, those that are damaged or cannot be opened are skipped.

    Raises PermissionError, SnapshotError and ValueError as sharedmap(name) does.

    >>> import asyncio
    >>> from sharedmap import remove, share, watch
    >>> async def first():
    ...     async for m in watch("doc:watch"):
    ...         return m["a"]
    >>> share({"a": 1}, "doc:watch", force=True)
    True
    >>> asyncio.run(first())
    1
    >>> remove("doc:watch")
    True
    """
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = _Hub()
    current = None
    with hub.interest(name) as event:
        while True:
            # Cleared before the check, so that a later publication sets it again.
            event.clear()
            if current is None:
                try:
                    current = sharedmap(name, decode=decode, owner=owner)
                    is_new = True
                except FileNotFoundError:
                    is_new = False
            else:
                try:
                    is_new = current.refresh()
                except (SnapshotError, OSError):
                    is_new = False
            if is_new:
                yield current.snapshot()
            else:
                await event.wait()
