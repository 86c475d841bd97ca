"""What the tests of many machines share: a server, machines that follow, small chunks."""

import contextlib
import queue
import threading
from dataclasses import replace

import pytest
from helpers import HANG
from redis_server import end_server, make_server

import sharedmap
from sharedmap import replication
from sharedmap.replication import _chunks, _follow, _push
from sharedmap.replication._manifest import parse
from sharedmap.replication._operations import Keys

VALUES = {"": 1, "a": "text", "b": b"\x00", "c": None, "红": -(2**70), "\ud800": 0.5, "t": True}


@pytest.fixture(scope="module")
def shared_server():
    server = make_server()
    yield server
    end_server(server)


@pytest.fixture
def server(shared_server):
    """One server for all tests of the file that do not kill it; they have names of their own."""
    return shared_server


@pytest.fixture
def own_server():
    server = make_server()
    yield server
    end_server(server)


@pytest.fixture
def small_chunks(monkeypatch):
    """As with maps of a gigabyte, only smaller."""
    monkeypatch.setattr(_chunks, "SMALLEST", 500)
    monkeypatch.setattr(_chunks, "USUAL", 1000)
    monkeypatch.setattr(_chunks, "LARGEST_CHUNK", 2000)
    monkeypatch.setattr(_push, "BATCH", 4000)
    monkeypatch.setattr(_follow, "BATCH", 4000)


@pytest.fixture
def only_images(monkeypatch):
    """As when everything has changed: what then travels is chunks."""
    monkeypatch.setattr(_push, "as_difference", lambda *arguments: None)


class Host:
    """A machine that follows: a local name and a directory of its own."""

    def __init__(self, url, name, local, directory):
        self.url, self.name, self.local, self.directory = url, name, local, directory
        self.versions = queue.Queue()
        self.thread = None
        self.wants_end = False

    def pull(self):
        return replication.pull(self.url, self.name, local=self.local, directory=self.directory)

    def read(self):
        with sharedmap.sharedmap(self.local) as opened:
            opened.verify()
            return dict(opened)

    def start(self, poll=HANG):
        """The agent in a thread; it ends with the next version once wants_end is set."""
        self.agent = replication.follow(
            self.url, self.name, local=self.local, directory=self.directory, poll=poll
        )
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        with contextlib.closing(self.agent) as versions:
            for version in versions:
                self.versions.put(version)
                if self.wants_end:
                    return

    def next(self):
        return self.versions.get(timeout=HANG)

    def follow_to(self, value):
        """Waits until the local map is that."""
        while True:
            self.next()
            if self.read() == value:
                return


@pytest.fixture
def hosts(names, tmp_path):
    made = []

    def make(server, name):
        local = names()
        made.append(Host(server.url, name, local, tmp_path / f"host {len(made)}"))
        return made[-1]

    yield make
    for host in made:
        if host.thread is not None and host.thread.is_alive():
            host.wants_end = True
            # What ends it is a version, pushed to whatever server there still is.
            sharedmap.share({"the": "end", "of": host.local}, host.local, force=True)
            replication.push(host.url, host.name, local=host.local)
            host.thread.join(HANG)
            assert not host.thread.is_alive()


@pytest.fixture
def host(server, name, hosts):
    return hosts(server, name)


def publish(name, value):
    sharedmap.share(value, name, force=True)
    return value


def many(count=500, size=20):
    return {f"key {number:06}": f"{number:0{size}}" for number in range(count)}


def keys_of(server, name):
    return [key for key in server.client.scan_iter() if key.startswith(Keys(name).base)]


def manifest_of(server, name):
    """With its list of chunks."""
    manifest = parse(server.client.get(Keys(name).manifest))
    image = manifest.image
    if image.chunks is None:
        image = image.with_chunks(server.client.get(Keys(name).chunk(image.chunk_list.sha256)))
    return replace(manifest, image=image)


def chunks_of(server, name):
    return [Keys(name).chunk(chunk.sha256) for chunk in manifest_of(server, name).image.chunks]


def blobs_of(server, name):
    return [Keys(name).chunk(sha256) for sha256 in manifest_of(server, name).blobs()]
