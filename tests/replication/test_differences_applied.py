"""What an agent does with differences: what it applies, and what it does not."""

import contextlib
import errno
import logging
import os
import shutil

import changing as support
import machines
import pytest
from changing import refused
from helpers import segment_path
from machines import blobs_of, keys_of, manifest_of, many, publish
from versions import deltas_of

import sharedmap
from sharedmap import replication
from sharedmap.replication import _kept, _local, _manifest, _state
from sharedmap.replication._operations import Keys

server, shared_server, small_chunks = machines.server, machines.shared_server, machines.small_chunks
host, hosts = machines.host, machines.hosts
changing, few_rows = support.changing, support.few_rows


def back_and_on(changing, host):
    """The host has a version that was rolled back, and the newest one leads from the one before."""
    changing.change()
    before = dict(changing.dict)
    changing.update({"key 000001": "only in the version that is rolled back"})
    changing.push()
    host.pull()
    replication.rollback(changing.server.url, changing.name)
    changing.dict = publish(changing.name, before)
    changing.change()
    assert changing.rows() == 2


def test_difference_that_leads_from_another_version_is_not_applied(changing, host):
    """The digest of the content finds it; image and differences are on the disk or fetched."""
    back_and_on(changing, host)
    assert 0 < host.pull().transferred < 2000
    assert changing.is_on(host)


def test_follower_that_skips_the_check_of_the_content_would_be_found(changing, host, monkeypatch):
    back_and_on(changing, host)
    content = changing.manifest().content
    monkeypatch.setattr(_state, "content_after", lambda *_: content)
    host.pull()
    assert not changing.is_on(host)


def test_manifest_whose_content_is_not_that_of_its_differences_is_refused(changing, host, caplog):
    host.pull()
    before = host.read()
    changing.change()
    manifest = changing.manifest()
    lie = _manifest.replace(manifest, content=manifest.content ^ 1, version=manifest.version + 1)
    changing.server.client.set(Keys(changing.name).manifest, lie.to_bytes())
    refused(host, before, "content does not match", caplog)
    changing.push()
    host.pull()
    assert changing.is_on(host)


def test_rollback_to_a_version_with_differences_and_back(changing, host):
    changing.change()
    first = dict(changing.dict)
    changing.change()
    host.pull()
    replication.rollback(changing.server.url, changing.name)
    assert host.pull().transferred == 0
    assert host.read() == first
    replication.rollback(changing.server.url, changing.name)
    assert host.pull().transferred == 0
    assert changing.is_on(host)
    changing.change()
    host.pull()
    assert changing.is_on(host)


def test_local_map_that_was_changed_is_replaced(changing, host):
    host.pull()
    sharedmap.update(host.local, {"key 000001": "by another program"})
    version = changing.change()
    assert host.pull().transferred == version.transferred
    assert changing.is_on(host)
    sharedmap.update(host.local, {"key 000001": "by another program"})
    assert host.pull().is_new
    assert changing.is_on(host)


def test_local_map_that_is_changed_while_a_difference_is_applied_is_replaced(
    changing, host, monkeypatch
):
    host.pull()
    changing.change()
    real = _local.update

    def update(name, *arguments, **options):
        real(name, {"key 000001": "by another program"})
        return real(name, *arguments, **options)

    monkeypatch.setattr(_local, "update", update)
    host.pull()
    assert changing.is_on(host)
    assert deltas_of(host.local) == []


def test_local_map_that_is_changed_right_after_is_replaced(changing, host, monkeypatch):
    host.pull()
    changing.change()
    real = _local.update

    def update(name, *arguments, **options):
        generation = real(name, *arguments, **options)
        real(name, {"key 000001": "by another program"})
        return generation

    with monkeypatch.context() as patch:
        patch.setattr(_local, "update", update)
        host.pull()
    host.pull()
    assert changing.is_on(host)


def test_machine_that_was_restarted_builds_the_version_without_the_server(changing, host):
    changing.change()
    host.pull()
    changing.change()
    version = host.pull()
    sharedmap.remove(host.local)
    host.url += "-is-down"
    again = host.pull()
    assert (again.version, again.is_new, again.transferred) == (version.version, True, 0)
    assert changing.is_on(host)


def test_agent_that_finds_its_version_published_does_not_publish_it_again(changing, host):
    changing.change()
    host.pull()
    changing.change()
    assert host.pull().is_new
    with sharedmap.sharedmap(host.local) as opened:
        identity = opened.id
    assert host.pull().is_new is False
    with sharedmap.sharedmap(host.local) as opened:
        assert opened.id == identity
    # Of the same content, published by another program.
    publish(host.local, host.read())
    assert host.pull().is_new is False


def test_agent_that_was_killed_before_it_recorded_goes_on_from_there(changing, host, monkeypatch):
    host.pull()
    version = changing.change()
    with monkeypatch.context() as patch:
        patch.setattr(_state.State, "record", lambda *_: exec("raise KeyboardInterrupt"))
        with pytest.raises(KeyboardInterrupt):
            host.pull()
    assert changing.is_on(host)
    state = _state.State(host.directory, host.local, 0o600)
    assert state.newest.version == version.version
    state.close()
    sharedmap.remove(host.local)
    host.pull()
    assert changing.is_on(host)


@pytest.mark.parametrize("is_difference", [True, False])
def test_version_that_cannot_be_recorded_stays_published(
    changing, host, monkeypatch, is_difference
):
    """The map never goes back to the version that was recorded last."""
    host.pull()
    if is_difference:
        changing.change()
    else:
        changing.dict = publish(changing.name, many(4000))
        changing.push()

    def fail(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(_state, "sync", fail)
        with pytest.raises(OSError, match="No space"):
            host.pull()
    with sharedmap.sharedmap(host.local) as opened:
        identity = opened.id
        assert changing.is_on(host)
        host.pull()
        assert opened.id == identity
    sharedmap.remove(host.local)
    host.pull()
    assert changing.is_on(host)


def test_differences_that_cannot_be_merged_on_a_full_disk_are_kept(
    changing, host, monkeypatch, few_rows
):
    host.pull()

    def fail(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(_state.State, "_merge_newest", fail)
        for _ in range(8):
            version = changing.change()
            assert host.pull().version == version.version
    sharedmap.remove(host.local)
    assert host.pull().transferred == 0
    assert changing.is_on(host)


def test_local_map_that_is_damaged_is_replaced(changing, host):
    host.pull()
    with open(segment_path(host.local), "r+b") as file:
        file.seek(512)
        file.write(bytes(300_000))
    changing.update({f"key {number:06}": number for number in range(0, 5000, 100)})
    changing.push()
    host.pull()
    assert changing.is_on(host)


@pytest.mark.parametrize("how", ["cut", "flip", "gone"])
def test_difference_that_was_damaged_on_the_disk_is_fetched_again(changing, host, how, caplog):
    host.pull()
    version = changing.change()
    host.pull()
    (path,) = host.directory.glob("*/*.difference")
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data if how == "flip" else data[:-1])
    if how == "gone":
        path.unlink()
    sharedmap.remove(host.local)
    with caplog.at_level(logging.WARNING, "sharedmap.replication"):
        assert host.pull().transferred == version.transferred
    assert "fetching the version again" in caplog.text
    assert changing.is_on(host)


@pytest.mark.parametrize("how", ["cut", "flip", "gone", "other"])
def test_difference_that_is_damaged_on_the_server_is_refused_and_repaired(
    changing, host, how, caplog
):
    host.pull()
    before = host.read()
    changing.change()
    key, client = changing.difference(), changing.server.client
    data = client.get(key)
    if how == "gone":
        client.delete(key)
    elif how == "flip":
        client.setrange(key, 40, bytes([data[40] ^ 1]))
    else:
        client.set(key, data[:-1] if how == "cut" else b"x" * len(data))
    refused(host, before, "1 chunk is (missing|damaged)", caplog)
    again = changing.push()
    assert (again.is_new, again.transferred) == (False, len(data))
    host.pull()
    assert changing.is_on(host)


def test_list_of_chunks_that_is_damaged_is_refused_and_repaired(server, name, host, small_chunks):
    value = publish(name, many(3000))
    replication.push(server.url, name)
    key = Keys(name).chunk(manifest_of(server, name).image.chunk_list.sha256)
    server.client.setrange(key, 3, b"oops")
    with pytest.raises(replication.ReplicationError, match="1 chunk is damaged"):
        host.pull()
    assert replication.push(server.url, name).is_new is False
    host.pull()
    assert host.read() == value
    server.client.delete(key)
    shutil.rmtree(_kept.folder_of(server.url, None, name))
    # Nothing knows the chunks of the newest version any more, so they expire with it.
    value = publish(name, {"a": 1})
    assert replication.push(server.url, name, grace=1000).is_new
    left = {*keys_of(server, name)} - {*blobs_of(server, name)}
    assert all(server.client.ttl(key) > 0 for key in left if b":chunk:" in key)
    host.pull()
    assert host.read() == value


def test_bytes_of_a_version_that_was_fetched_in_two_attempts_are_counted(changing, host):
    host.pull()
    sent = changing.change().transferred
    missing = changing.difference()
    sent += changing.change().transferred
    client = changing.server.client
    data = client.getdel(missing)
    agent = replication.follow(
        host.url, host.name, local=host.local, directory=host.directory, poll=0.05
    )
    log = logging.getLogger("sharedmap.replication")

    def repair(record):
        client.set(missing, data)
        return True

    log.addFilter(repair)
    try:
        with contextlib.closing(agent) as versions:
            version = next(version for version in versions if version.is_new)
    finally:
        log.removeFilter(repair)
    assert changing.is_on(host)
    assert version.transferred == sent
