"""A map with deltas on many machines: a push is of one version, whatever is published meanwhile."""

import hashlib

import machines
import pytest
from helpers import segment_path
from strategies import exact_items
from versions import SHAPES, History, base_entries, deltas_of, key_of, make

import sharedmap
from sharedmap import _header, replication
from sharedmap._encoded import Encoded
from sharedmap.replication import _source
from sharedmap.replication._manifest import parse
from sharedmap.replication._operations import Keys

server, shared_server, small_chunks = machines.server, machines.shared_server, machines.small_chunks
host, hosts = machines.host, machines.hosts

each_shape = pytest.mark.parametrize("shape", SHAPES)
each_index = pytest.mark.parametrize("index", ["hash", "tree"])


def exact_dict(entries):
    return exact_items(sorted(entries.items()))


@each_shape
@each_index
def test_what_is_pushed_is_what_is_pulled(server, name, host, shape, index):
    history = make(shape, name, index=index)
    version = replication.push(server.url, name)
    assert (version.entries, version.is_new) == (len(history.dict), True)
    host.pull()
    assert exact_dict(host.read()) == exact_dict(history.dict)
    with sharedmap.sharedmap(name) as mine, sharedmap.sharedmap(host.local) as local:
        assert deltas_of(host.local) == []
        assert mine == local
    manifest = parse(server.client.get(Keys(name).manifest))
    assert manifest.image.header[192:196] == bytes(4)


def test_values_that_somebody_encoded_arrive_as_they_are(server, name, host):
    history = History(name)
    sharedmap.update(name, {"object": object()}, encode=lambda value: b"\x80secret")
    replication.push(server.url, name)
    host.pull()
    with sharedmap.sharedmap(host.local, decode=Encoded) as opened:
        assert opened["object"].data == b"\x80secret"
        assert len(opened) == len(history.dict) + 1


def test_push_of_the_same_content_without_deltas_is_no_new_version(server, name):
    history = make("many", name)
    first = replication.push(server.url, name)
    assert replication.push(server.url, name).is_new is False
    sharedmap.share(history.dict, name, force=True)
    second = replication.push(server.url, name)
    assert (second.version, second.is_new, second.transferred) == (first.version, False, 0)


def test_update_is_pushed_as_a_new_version_that_transfers_only_part(
    server, name, host, small_chunks
):
    history = History(name, base_entries())
    whole = replication.push(server.url, name).transferred
    history.update({key_of(2504): 2505})
    version = replication.push(server.url, name)
    assert version.is_new
    # A value of the same size: one chunk of records, and no index.
    assert 0 < version.transferred < whole / 10
    host.pull()
    assert exact_dict(host.read()) == exact_dict(history.dict)


@pytest.mark.parametrize("shape", [None, *SHAPES])
def test_source_is_one_version_though_the_file_goes_on(name, shape):
    """Without deltas it is read where it is, in a file that gets its first one meanwhile."""
    history = History(name) if shape is None else make(shape, name)
    expected = exact_dict(history.dict)
    source = _source.open_source(name, None, None)
    try:
        source.verify()
        assert (source.mapping is not None) == (shape is None)
        history.update({key_of(10): "meanwhile"})
        manifest = source.describe([], 1)
        history.update({key_of(11): "meanwhile"}, remove=[key_of(12)])
        again = source.describe(
            [chunk.key for chunk in manifest.chunks if chunk.key is not None], 1
        )
        data = source.header + b"".join(source.chunk(chunk.sha256) for chunk in again.chunks)
        assert (again.sha256, len(data)) == (manifest.sha256, manifest.size)
        assert hashlib.sha256(data).hexdigest() == manifest.sha256
        with sharedmap.sharedmap.frombuffer(data) as opened:
            opened.verify()
            assert exact_items(opened.items()) == expected
    finally:
        source.close()


def test_file_that_was_replaced_while_it_was_opened_is_flattened(name, monkeypatch):
    history = History(name)
    expected = exact_dict(history.dict)
    read = _source.read

    def replace(path):
        sharedmap.share({"another": 1}, name, force=True)
        return read(path)

    monkeypatch.setattr(_source, "read", replace)
    source = _source.open_source(name, None, None)
    try:
        source.verify()
        assert source.mapping is None
        source.describe([], 1)
        assert exact_items(source.map.items()) == expected
    finally:
        source.close()


def damage(name, offset):
    with open(segment_path(name), "r+b") as file:
        file.seek(offset)
        before = file.read(8)
        file.seek(offset)
        file.write(bytes(byte ^ 0xFF for byte in before))


def test_damaged_delta_is_not_pushed(server, name):
    make("two deltas", name)
    damage(name, deltas_of(name)[1].begin + 130)
    with pytest.raises(sharedmap.SnapshotError):
        replication.push(server.url, name)
    assert server.client.get(Keys(name).manifest) is None


@pytest.mark.parametrize("part", ["delta", "record", "index"])
def test_map_that_is_damaged_after_a_push_is_not_pushed_again(server, name, part):
    """Of a base that was verified by a push, the next one verifies only the deltas."""
    history = History(name, base_entries())
    sharedmap.update(name, {key_of(1): "first"})
    version = replication.push(server.url, name)
    sharedmap.update(name, {key_of(3): "second"})
    with open(segment_path(name), "rb") as file:
        data = file.read()
    header = _header.parse(data)
    offsets = {
        "delta": deltas_of(name)[-1].begin + 130,
        "record": header.record(memoryview(data), len(history.dict) // 2) + 16,
        "index": header.sorted_offset + 8,
    }
    damage(name, offsets[part])
    with pytest.raises(sharedmap.SnapshotError):
        replication.push(server.url, name)
    assert parse(server.client.get(Keys(name).manifest)).version == version.version


def test_local_map_that_was_updated_is_published_again(server, name, host):
    history = History(name)
    replication.push(server.url, name)
    host.pull()
    sharedmap.update(host.local, {key_of(3): "by somebody here"})
    assert len(deltas_of(host.local)) == 1
    host.pull()
    assert exact_dict(host.read()) == exact_dict(history.dict)
