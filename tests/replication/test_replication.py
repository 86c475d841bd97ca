"""Maps on many machines: what is pushed, what is fetched, and what is refused on the way."""

import base64
import hashlib
import json
import os
import struct

import machines
import numpy
import pytest
from helpers import header_field, segment_path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from independent_reader import hash_bytes, seal
from machines import VALUES, chunks_of, keys_of, manifest_of, many, publish
from redis_server import PROGRAMS, end_server, make_server
from strategies import ALL_VALUES, KEYS, by_key, exact_items

import sharedmap
from sharedmap import replication
from sharedmap.replication import _chunks, _push
from sharedmap.replication._manifest import parse
from sharedmap.replication._operations import Commit, Keys
from sharedmap.replication._server.drive import Server

server, shared_server, small_chunks = machines.server, machines.shared_server, machines.small_chunks
only_images = machines.only_images
host, hosts = machines.host, machines.hosts


# ---- there and back --------------------------------------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("index", ["hash", "tree"])
def test_what_is_pushed_is_what_is_pulled(program, index, name, hosts):
    server = make_server(program)
    try:
        sharedmap.share(VALUES, name, index=index)
        version = replication.push(server.url, name)
        assert (version.name, version.entries, version.is_new) == (name, len(VALUES), True)
        assert version.size == sharedmap.sharedmap(name).nbytes
        host = hosts(server, name)
        assert host.pull().version == version.version
        assert host.read() == VALUES
    finally:
        end_server(server)


def any_entries(test):
    """Draws entries with nested values, which the test pushes under one name."""
    drawn = given(entries=st.dictionaries(KEYS, ALL_VALUES, min_size=1, max_size=5))
    allowed = [HealthCheck.function_scoped_fixture]
    return settings(max_examples=60, deadline=None, print_blob=True, suppress_health_check=allowed)(
        drawn(test)
    )


@any_entries
def test_any_nested_values_are_pulled_as_they_were(server, name, host, entries):
    publish(name, entries)
    replication.push(server.url, name)
    host.pull()
    assert exact_items(host.read().items()) == by_key(exact_items(entries.items()))


@any_entries
def test_any_nested_values_are_followed_as_they_were(server, name, host, entries):
    publish(name, entries)
    version = replication.push(server.url, name)
    if host.thread is None:
        host.start()
    # The same content as before is no new version, and the agent has nothing to say of it.
    while version.is_new and host.next().version != version.version:
        pass
    assert exact_items(host.read().items()) == by_key(exact_items(entries.items()))


def test_values_that_somebody_encoded_arrive_as_they_are(server, name, host):
    tree = sharedmap.rbtree(encode=lambda value: b"\x80secret")
    tree["object"] = object()
    tree.share(name)
    replication.push(server.url, name)
    host.pull()
    with sharedmap.sharedmap(host.local, decode=bytes) as opened:
        assert dict(opened) == {"object": b"\x80secret"}


@pytest.mark.parametrize("value", [{}, {"a": 1}], ids=["empty", "one"])
def test_smallest_maps_travel(server, name, host, value):
    publish(name, value)
    replication.push(server.url, name)
    host.pull()
    assert host.read() == value


def test_aligned_values_are_aligned_on_the_other_machine(server, name, host):
    rows = {"k" * size: bytes(size + 1) for size in range(100)}
    sharedmap.share(rows, name, align=64)
    replication.push(server.url, name)
    host.pull()
    assert host.read() == rows
    with sharedmap.sharedmap(host.local) as opened:
        addresses = [numpy.frombuffer(opened.view(key), "u1").ctypes.data for key in rows]
    assert {address % 64 for address in addresses} == {0}


def test_saved_file_can_be_pushed(server, name, host, tmp_path):
    sharedmap.rbtree(VALUES).save(tmp_path / "map")
    replication.push(server.url, name, path=tmp_path / "map")
    host.pull()
    assert host.read() == VALUES


def test_local_map_has_the_mode_that_was_asked_for(server, name, names, tmp_path):
    publish(name, VALUES)
    replication.push(server.url, name)
    local = names()
    replication.pull(server.url, name, local=local, directory=tmp_path, mode=0o644)
    assert os.stat(segment_path(local)).st_mode & 0o777 == 0o644


def test_name_with_any_characters_has_keys_of_its_own(server, names, hosts):
    two = [names("{}}}:chunk:x{{"), names("{} \ud800*[a]\n")]
    for number, name in enumerate(two):
        publish(name, {"number": number})
        replication.push(server.url, name)
    for number, name in enumerate(two):
        host = hosts(server, name)
        host.pull()
        assert host.read() == {"number": number}


def test_push_of_the_same_content_is_no_new_version(server, name):
    publish(name, VALUES)
    first = replication.push(server.url, name)
    publish(name, VALUES)
    second = replication.push(server.url, name)
    assert (second.version, second.is_new, second.transferred) == (first.version, False, 0)


def test_versions_grow_and_never_fall_behind_the_clock(server, name, monkeypatch):
    found = []
    for number in range(3):
        publish(name, {"number": number})
        found.append(replication.push(server.url, name).version)
    monkeypatch.setattr(_push.time, "time_ns", lambda: 0)
    publish(name, {"number": "clock"})
    found.append(replication.push(server.url, name).version)
    assert found == sorted(set(found))
    assert found[3] == found[2] + 1


# ---- only what has changed -------------------------------------------------------------------


def described(data, anchors=()):
    with sharedmap.sharedmap.frombuffer(data) as opened:
        return _chunks.describe(memoryview(data), opened, data[:512], anchors)


def test_chunks_are_as_large_as_they_are_said_to_be():
    data = sharedmap.rbtree(many(20_000, 700)).dump()
    manifest, cuts = described(data)
    records = [chunk for chunk in manifest.chunks if chunk.key is not None]
    assert len(records) >= 5
    assert all(1 << 20 <= chunk.size <= 4 << 20 for chunk in records)
    assert all(chunk.size <= 4 << 20 for chunk in manifest.chunks)
    assert b"".join(data[p.begin : p.end] for p in cuts.values()) == data[512:]


@pytest.mark.parametrize("size", [0, 1, 20, 700, 1999, 2000, 2001, 30_000])
@pytest.mark.parametrize("index", ["hash", "tree"])
@pytest.mark.parametrize("kind", [str, bytes])
def test_chunks_are_the_whole_snapshot_whatever_is_in_it(small_chunks, size, index, kind):
    anchors = []
    value = many(40) | {"key 000020x": "x" * size, "k" * 300: "long key"}
    for _ in range(3):
        tree = sharedmap.rbtree({k: v if kind is str else v.encode() for k, v in value.items()})
        data = tree.dump(index=index)
        manifest, cuts = described(data, anchors)
        assert b"".join(data[cuts[c.sha256].begin : cuts[c.sha256].end] for c in manifest.chunks)
        assert sum(chunk.size for chunk in manifest.chunks) == len(data) - 512
        assert all(0 < chunk.size <= 2000 for chunk in manifest.chunks)
        assert manifest.size == len(data)
        anchors = [chunk.key for chunk in manifest.chunks if chunk.key is not None]
        assert all(len(anchor) <= 256 for anchor in anchors)
        value[f"key {size % 40:06}y"] = "inserted"
        value.pop(f"key {(size + 7) % 40:06}", None)
        size += 9


def with_records_last(data):
    """The same map, as somebody else may write it: the indices before the records."""
    records, size, index, buckets = (header_field(data, at, "Q") for at in (112, 120, 64, 80))
    behind = data[index:]
    moved = len(data) - index
    head = bytearray(data[:512])
    for at, offset in ((64, 512), (80, buckets - index + 512), (112, 512 + moved)):
        struct.pack_into("<Q", head, at, offset)
    body = behind + data[records:index]
    state = 0
    for at in range(0, len(body), 65536):
        state = hash_bytes(body[at : at + 65536], state)
    struct.pack_into("<Q", head, 56, state)
    assert size <= index - records
    return seal(bytes(head) + body)


def test_chunks_are_the_whole_snapshot_in_whatever_order_its_regions_are(small_chunks):
    entries = many(100, 60)
    data = with_records_last(sharedmap.rbtree(entries).dump())
    with sharedmap.sharedmap.frombuffer(data) as m:
        m.verify()
        assert dict(m) == entries
    manifest, cuts = described(data)
    assert len(manifest.chunks) > 3
    assert b"".join(data[p.begin : p.end] for p in cuts.values()) == data[512:]


def transferred(server, name, value):
    publish(name, value)
    return replication.push(server.url, name).transferred


def test_value_that_does_not_grow_costs_one_chunk(server, name, host, small_chunks, only_images):
    value = many()
    whole = transferred(server, name, value)
    host.pull()
    value["key 000250"] = "x" * 20
    listed = 2000 + 100 * len(chunks_of(server, name))
    assert 0 < transferred(server, name, value) <= listed
    assert 0 < host.pull().transferred <= listed
    assert host.read() == value
    assert whole > 15_000


@pytest.mark.parametrize("kind", [str, bytes])
def test_value_that_grows_costs_one_chunk_and_the_indices(
    server, name, host, small_chunks, only_images, kind
):
    value = {key: text if kind is str else text.encode() for key, text in many().items()}
    transferred(server, name, value)
    host.pull()
    value["key 000250"] = kind() + (b"x" if kind is bytes else "x") * 33
    indices = 500 * (4 + 7) + 2 * 1000
    assert 0 < transferred(server, name, value) <= 2000 + indices
    host.pull()
    assert host.read() == value


def test_chunks_stay_the_same_over_many_changes(server, name, host, small_chunks, only_images):
    """Cuts do not wear out: after each of many changes most of the records stay where they are."""
    value = many()
    transferred(server, name, value)
    host.pull()
    for number in range(0, 500, 25):
        value[f"key {number:06} and more"] = "y" * (number % 90)
        del value[f"key {number + 1:06}"]
        assert transferred(server, name, value) <= 2 * 2000 + 500 * (4 + 7) + 2 * 1000
        host.pull()
    assert host.read() == value


def test_chunks_that_no_version_needs_expire_after_the_grace_period(server, name, small_chunks):
    publish(name, many(300))
    replication.push(server.url, name)
    first = set(chunks_of(server, name))
    for number in (1, 2):
        publish(name, {f"{number} {key}": f"{text}{number}" for key, text in many(300).items()})
        replication.push(server.url, name, grace=1000)
    ttl = {key: server.client.ttl(key) for key in keys_of(server, name) if b":chunk:" in key}
    kept = {key for key, seconds in ttl.items() if seconds == -1}
    assert first <= ttl.keys()
    assert first.isdisjoint(kept)
    assert all(990 <= ttl[key] <= 1000 for key in first)
    assert set(chunks_of(server, name)) <= kept


def test_chunk_that_is_needed_again_does_not_expire(server, name, host, small_chunks):
    for value in (many(300), {"a": 1}, {"a": 2}, many(300)):
        publish(name, value)
        version = replication.push(server.url, name, grace=1000)
    assert version.transferred == 0
    assert all(server.client.ttl(key) == -1 for key in chunks_of(server, name))
    host.pull()
    assert host.read() == many(300)


def steps_until(steps, server_url, kind):
    """Performs steps up to the first of that kind, which is returned and not performed."""
    server = Server(server_url)
    answer = None
    try:
        while True:
            step = steps.send(answer)
            if isinstance(step, kind):
                return step
            answer = server.perform(step)
    finally:
        server.close()


def test_push_that_is_killed_leaves_chunks_that_expire_and_nothing_else(server, name, small_chunks):
    publish(name, many(300))
    steps = _push.push(name, None, None, False, 1000)
    steps_until(steps, server.url, Commit)
    steps.close()
    keys = keys_of(server, name)
    assert len(keys) > 5
    assert all(b":chunk:" in key and 990 <= server.client.ttl(key) <= 1000 for key in keys)


def test_of_two_pushes_at_the_same_time_both_happen(server, name, names, host):
    other = names()
    publish(name, {"of": "one"})
    publish(other, {"of": "other"})
    steps = _push.push(name, None, None, False, 1000)
    commit = steps_until(steps, server.url, Commit)
    between = replication.push(server.url, name, local=other)
    connection = Server(server.url)
    assert connection.perform(commit) is None
    with pytest.raises(StopIteration) as end:
        step = steps.send(None)
        while True:
            step = steps.send(connection.perform(step))
    connection.close()
    assert end.value.value.version > between.version
    host.pull()
    assert host.read() == {"of": "one"}
    replication.rollback(server.url, name)
    host.pull()
    assert host.read() == {"of": "other"}


def test_manifest_and_announcement_come_in_one_transaction(server, name):
    publish(name, VALUES)
    steps = _push.push(name, None, None, False, 1000)
    commit = steps_until(steps, server.url, Commit)
    steps.close()
    assert [command[0] for command in commit.commands[:3]] == ["SET", "DEL", "XADD"]
    assert commit.commands[0][1] == Keys(name).manifest == commit.key


# ---- going back ------------------------------------------------------------------------------


def test_rollback_makes_the_version_before_the_newest(server, name, host, small_chunks):
    first, second = many(300), many(310)
    for value in (first, second):
        publish(name, value)
        replication.push(server.url, name)
        host.pull()
    version = replication.rollback(server.url, name)
    pulled = host.pull()
    assert (pulled.version, pulled.transferred) == (version.version, 0)
    assert host.read() == first
    replication.rollback(server.url, name)
    host.pull()
    assert host.read() == second


def test_rollback_without_a_version_before_is_refused(server, name):
    publish(name, VALUES)
    replication.push(server.url, name)
    with pytest.raises(replication.NothingPushed):
        replication.rollback(server.url, name)


def test_rollback_to_a_version_that_is_not_whole_is_refused(server, name, small_chunks):
    publish(name, many(300))
    replication.push(server.url, name)
    lost = chunks_of(server, name)[1]
    publish(name, {"a": 1})
    version = replication.push(server.url, name)
    server.client.delete(lost)
    with pytest.raises(replication.ReplicationError, match="1 chunk is missing"):
        replication.rollback(server.url, name)
    assert parse(server.client.get(Keys(name).manifest)).version == version.version


# ---- what is refused -------------------------------------------------------------------------


@pytest.fixture
def pushed(server, name, host, small_chunks, only_images):
    """A map that the host has in its first version, and that was pushed in a second one."""
    publish(name, many(300))
    replication.push(server.url, name)
    host.pull()
    publish(name, {key: text[::-1] for key, text in many(300).items()})
    replication.push(server.url, name)
    return name


def refused(host, match):
    """The host says why it does not take the newest version, and stays with the one it has."""
    with pytest.raises(replication.ReplicationError, match=match):
        replication.pull(
            host.url, host.name, local=host.local + "2", directory=host.directory / "2"
        )
    assert host.local + "2" not in sharedmap.names()
    version = host.pull()
    assert host.read() == many(300)
    assert version.is_new is False


def test_corrupted_chunk_is_refused_and_repaired_by_the_next_push(server, host, pushed):
    key = chunks_of(server, pushed)[2]
    server.client.setrange(key, 100, b"\x00damage")
    refused(host, "1 chunk is damaged")
    assert server.client.smembers(Keys(pushed).damaged) == {key.rpartition(b":")[2]}
    version = replication.push(server.url, pushed)
    assert (version.is_new, version.transferred > 0) == (False, True)
    assert not server.client.exists(Keys(pushed).damaged)
    host.pull()
    assert host.read() == {key: text[::-1] for key, text in many(300).items()}


@pytest.mark.parametrize("how", ["missing", "short", "long"])
def test_chunk_that_is_not_whole_is_refused_and_repaired(server, host, pushed, how):
    key = chunks_of(server, pushed)[0]
    data = server.client.get(key)
    server.client.set(key, {"missing": b"", "short": data[:-1], "long": data + b"x"}[how])
    if how == "missing":
        server.client.delete(key)
    refused(host, f"1 chunk is {'missing' if how == 'missing' else 'damaged'}")
    assert replication.push(server.url, pushed).is_new is False
    host.pull()
    assert host.read() != many(300)


def test_truncated_manifest_is_refused_and_replaced_by_the_next_push(server, host, pushed):
    key = Keys(pushed).manifest
    data = server.client.get(key)
    server.client.set(key, data[:-1])
    refused(host, "manifest is damaged")
    assert replication.push(server.url, pushed).is_new
    host.pull()
    assert host.read() != many(300)


def test_chunks_of_a_manifest_that_nobody_can_read_expire(server, names, small_chunks):
    name = names("{}[*?\\^-]")
    other = names()
    for each in (name, other):
        publish(each, many(300))
        replication.push(server.url, each)
    chunks = chunks_of(server, name)
    server.client.set(Keys(name).manifest, b"{")
    publish(name, {"a": 1})
    replication.push(server.url, name, grace=1000)
    assert all(990 <= server.client.ttl(key) <= 1000 for key in chunks)
    assert all(server.client.ttl(key) == -1 for key in chunks_of(server, name))
    assert all(server.client.ttl(key) == -1 for key in chunks_of(server, other))


def change_manifest(server, name, change):
    """The list of chunks is in the manifest, and of the same content as before."""
    key = Keys(name).manifest
    fields = json.loads(manifest_of(server, name).to_bytes(has_list=True))
    fields["version"] += 1
    fields["image"]["list"] = None
    change(fields, fields["image"])
    server.client.set(key, json.dumps(fields))


WRONG = {
    "order": lambda fields, image: image["chunks"].reverse(),
    "sha256": lambda fields, image: image.update(sha256="0" * 64),
    "header": lambda fields, image: image.update(header="A" * 682 + "8="),
    "size": lambda fields, image: image.update(size=image["size"] + 64),
    "chunk": lambda fields, image: image["chunks"].pop(),
    "no chunks": lambda fields, image: image.update(chunks=None),
    "format": lambda fields, image: fields.update(format=3),
    "digest": lambda fields, image: image["chunks"][0].__setitem__(0, "../../etc/passwd"),
    "huge": lambda fields, image: image["chunks"][0].__setitem__(1, 2**62),
    "negative": lambda fields, image: image["chunks"][0].__setitem__(1, -1),
    "bool": lambda fields, image: fields.update(version=True),
    "rows": lambda fields, image: image.update(chunks=[[]]),
    "list": lambda fields, image: image.update(list=["0" * 64, 2**40]),
    "content": lambda fields, image: (
        fields.update(content="0" * 32),
        image.update(content="0" * 32),
    ),
    "content of the image": lambda fields, image: image.update(content="0" * 32),
    "no content": lambda fields, image: fields.update(content=None),
    "entries": lambda fields, image: fields.update(entries=1),
    "image": lambda fields, image: fields.update(image=None),
    "older": lambda fields, image: image.update(version=fields["version"] + 1),
    "none": lambda fields, image: fields.clear(),
}


@pytest.mark.parametrize("what", WRONG)
def test_manifest_that_lies_is_refused(server, host, pushed, what):
    change_manifest(server, pushed, WRONG[what])
    refused(host, ".")


def test_bytes_that_are_no_snapshot_are_refused_whatever_their_sha256(server, host, pushed):
    header, body = b"\x89SMAP\r\n\x1a" + bytes(504), b"x" * 100
    server.client.set(Keys(pushed).chunk(hashlib.sha256(body).hexdigest()), body)

    def change(fields, image):
        image["header"] = base64.b64encode(header).decode()
        image["chunks"] = [[hashlib.sha256(body).hexdigest(), 100, None]]
        image.update(size=612, sha256=hashlib.sha256(header + body).hexdigest())

    change_manifest(server, pushed, change)
    refused(host, "version|header|snapshot")


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"{", b"\xff", b'{"format": 1}', b"[" * 10**5]
)
def test_bytes_that_are_no_manifest_are_one_kind_of_error(data):
    with pytest.raises(replication.ReplicationError):
        parse(data)


def test_damaged_map_is_not_pushed(server, name, tmp_path):
    path = tmp_path / "map"
    sharedmap.rbtree(VALUES).save(path)
    data = bytearray(path.read_bytes())
    data[530] ^= 1
    path.write_bytes(data)
    with pytest.raises(sharedmap.SnapshotError):
        replication.push(server.url, name, path=path)
    assert keys_of(server, name) == []
