"""A map that is large enough for differences, and was pushed once, for tests of what follows."""

import logging
import random
import re

import pytest
from machines import manifest_of, many, publish

import sharedmap
from sharedmap import replication
from sharedmap.replication import _difference, _kept, _manifest
from sharedmap.replication._operations import Keys

COUNT = 5000  # fewer are always copied by update()


@pytest.fixture
def changing(server, name):
    """A map that is large enough for differences, and was pushed once."""
    map = Changing(server, name)
    map.push()
    return map


class Changing:
    def __init__(self, server, name):
        self.server, self.name = server, name
        self.dict = publish(name, many(COUNT, 60))
        self.random = random.Random(1)

    def update(self, changes=None, remove=()):
        if changes is None:
            changes = {self.key(): f"changed {self.random.random()}" for _ in range(3)}
        sharedmap.update(self.name, changes, remove=remove)
        self.dict |= changes
        for key in remove:
            del self.dict[key]

    def key(self):
        return f"key {self.random.randrange(COUNT):06}"

    def push(self, **options):
        return replication.push(self.server.url, self.name, **options)

    def change(self):
        self.update()
        return self.push()

    def manifest(self):
        return manifest_of(self.server, self.name)

    def rows(self):
        return len(self.manifest().differences)

    def kept(self):
        """The folder of the publisher."""
        return _kept.folder_of(self.server.url, None, self.name)

    def difference(self):
        """The key of the newest one."""
        return Keys(self.name).chunk(self.manifest().differences[-1].sha256)

    def is_on(self, host):
        """Compared by type and bytes of each value."""
        with sharedmap.sharedmap(self.name) as mine, sharedmap.sharedmap(host.local) as local:
            local.verify()
            return local.diff(mine) == ([], [], []) and len(mine) == len(self.dict)


def refused(host, before, why, caplog):
    """The host says why it does not take the newest version, and keeps the one it has."""
    with caplog.at_level(logging.WARNING, "sharedmap.replication"):
        assert host.pull().is_new is False
    assert re.search(why, caplog.text)
    assert host.read() == before


@pytest.fixture
def few_rows(monkeypatch):
    monkeypatch.setattr(_manifest, "MOST_ROWS", 6)
    monkeypatch.setattr(_difference, "MOST_ROWS", 6)
    monkeypatch.setattr(_difference, "_NEWEST", 3)
