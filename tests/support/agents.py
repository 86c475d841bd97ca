"""What the tests of agents of several maps share: an agent in a thread, and names that match."""

import asyncio
import contextlib
import threading

import pytest
from helpers import HANG
from live import wait_until

import sharedmap
from sharedmap import replication
from sharedmap.replication import aio
from sharedmap.replication._operations import Keys


class Running:
    """An agent in an event loop of a thread of its own."""

    def __init__(self, url, patterns, directory, **options):
        self.agent = aio.Agent(url, patterns, directory=directory, **options)
        self.versions = []
        self.failure = None
        self.loop = asyncio.new_event_loop()
        self.task = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        async def follow():
            self.task = asyncio.current_task()
            async with contextlib.aclosing(self.agent.versions()) as versions:
                async for version in versions:
                    self.versions.append(version)

        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            try:
                runner.run(follow())
            except asyncio.CancelledError:
                pass
            except Exception as error:
                self.failure = error

    def call(self, function, *arguments):
        async def run():
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(HANG)

    def status(self):
        return self.call(self.agent.status)

    def state(self):
        """{name: state}"""
        return {each.name: each.state for each in self.status().maps}

    def of(self, name):
        return next((each for each in self.status().maps if each.name == name), None)

    def wait(self, condition, what="the agent gets there"):
        def holds():
            assert self.thread.is_alive(), self.failure
            return condition()

        wait_until(holds, what)

    def follow_to(self, *names):
        self.wait(lambda: self.state() == dict.fromkeys(names, "following"), f"follows {names}")

    def stop(self):
        if self.thread.is_alive():
            wait_until(lambda: self.task is not None or not self.thread.is_alive(), "it runs")
            self.loop.call_soon_threadsafe(self.task.cancel)
        self.thread.join(HANG)
        assert not self.thread.is_alive()
        return self.failure


@pytest.fixture
def agents(tmp_path):
    """agents(url, patterns): runs until the test ends, with the same directory each time."""
    started = []

    def start(url, patterns, **options):
        directory = options.pop("directory", tmp_path / "state")
        started.append(Running(url, patterns, directory, **options))
        return started[-1]

    yield start
    for running in started:
        running.stop()


def published(name):
    """The content of a published map, or None."""
    try:
        with sharedmap.sharedmap(name) as opened:
            opened.verify()
            return dict(opened)
    except FileNotFoundError:
        return None


def push(server, name, value, **options):
    """Pushes from a file, so that what is published under the name comes from an agent."""
    path = f"{server.directory}/pushed.map"
    sharedmap.rbtree(value).save(path, force=True)
    return replication.push(server.url, name, path=path, **options)


def push_many(server, names, value):
    """Pushes to the first name, and copies that on the server: faster for many."""
    first, *others = names
    push(server, first, value)
    base = Keys(first).base
    with server.client.pipeline(transaction=False) as pipe:
        for key in server.client.scan_iter(count=10_000):
            if key.startswith(base):
                for name in others:
                    pipe.copy(key, Keys(name).base + key.removeprefix(base))
        pipe.sadd(Keys(first).names, *others)
        pipe.execute()
