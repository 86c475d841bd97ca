"""Differences: only what has changed travels, and what arrives is the whole version."""

import random

import machines
import pytest
from machines import manifest_of, many, publish
from strategies import exact_items

import sharedmap
from sharedmap import replication

server, shared_server, small_chunks = machines.server, machines.shared_server, machines.small_chunks
host, hosts, own_server = machines.host, machines.hosts, machines.own_server

COUNT = 3000


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

    def is_on(self, host):
        return exact_items(sorted(host.read().items())) == exact_items(sorted(self.dict.items()))


# ---- only what has changed -------------------------------------------------------------------


def test_change_is_pushed_and_pulled_as_a_difference(changing, host):
    whole = host.pull()
    changing.update({"key 000002": "changed", "new": b"\x00"}, remove=["key 000001"])
    version = changing.push()
    assert version.is_new and 0 < version.transferred < 1000 < whole.transferred
    assert changing.rows() == 1
    pulled = host.pull()
    assert (pulled.version, pulled.transferred) == (version.version, version.transferred)
    assert (pulled.entries, pulled.size, pulled.sha256) == version[2:5]
    assert changing.is_on(host)
