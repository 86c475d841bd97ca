"""Namespaces: one server for maps that have nothing to do with each other."""

import asyncio

import machines
import pytest

import sharedmap
from sharedmap import replication
from sharedmap.replication import aio
from sharedmap.replication._operations import Keys

server, shared_server = machines.server, machines.shared_server


def test_keys_of_a_namespace_begin_with_it():
    keys = Keys("prices", "staging")
    assert keys.manifest == b"staging:sharedmap:{prices}:manifest"
    assert keys.names == b"staging:sharedmap:names"
    assert keys.pushes == b"staging:sharedmap:pushes"
    assert Keys("prices").manifest == b"sharedmap:{prices}:manifest"
    assert Keys("prices").names == b"sharedmap:names"


def test_maps_of_two_namespaces_do_not_see_each_other(server, names, tmp_path):
    name, local = names(), names()
    for number, namespace in enumerate([None, "staging", "a:b*[x]"]):
        sharedmap.share({"number": number}, name, force=True)
        with pytest.raises(replication.NothingPushed):
            replication.pull(server.url, name, directory=tmp_path, namespace=namespace)
        with pytest.raises(replication.NothingPushed):
            replication.rollback(server.url, name, namespace=namespace)
        replication.push(server.url, name, namespace=namespace)
        here = {"local": local, "directory": tmp_path / str(number), "namespace": namespace}
        replication.pull(server.url, name, **here)
        with sharedmap.sharedmap(local) as opened:
            assert opened == {"number": number}
        sharedmap.remove(local)
        version = next(replication.follow(server.url, name, **here))
        assert version.entries == 1
        assert asyncio.run(aio.pull(server.url, name, **here)).version == version.version


@pytest.mark.parametrize("namespace", ["", "{", "a}b"])
def test_namespace_that_is_not_valid_is_refused(name, tmp_path, namespace):
    sharedmap.share({"a": 1}, name)
    url = f"unix://{tmp_path}/none"
    for call in (replication.push, replication.rollback, replication.pull):
        with pytest.raises(ValueError, match="must not be empty or contain braces"):
            call(url, name, namespace=namespace)
    with pytest.raises(ValueError, match="must not be empty or contain braces"):
        next(replication.follow(url, name, directory=tmp_path / "state", namespace=namespace))
