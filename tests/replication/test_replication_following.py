"""Agents: what they do when something is pushed, and when something goes wrong."""

import contextlib
import errno
import json
import logging
import os
import sys
import time

import machines
import pytest
import redis
from helpers import segment_path
from live import wait_until
from machines import VALUES, many, publish

import sharedmap
from sharedmap import replication
from sharedmap.replication import _follow, _incoming, _local, _push, _state
from sharedmap.replication._operations import Keys

server, shared_server, small_chunks = machines.server, machines.shared_server, machines.small_chunks
host, hosts, own_server = machines.host, machines.hosts, machines.own_server


# ---- following -------------------------------------------------------------------------------


def test_follower_is_told_of_each_push(server, name, host):
    publish(name, {"number": 0})
    replication.push(server.url, name)
    host.start()  # it looks by itself after HANG seconds only
    for number in range(1, 5):
        host.follow_to({"number": number - 1})
        publish(name, {"number": number})
        replication.push(server.url, name)
    host.follow_to({"number": 4})


def test_follower_waits_for_the_first_push(server, name, host):
    host.start()
    publish(name, VALUES)
    replication.push(server.url, name)
    host.follow_to(VALUES)


def test_follower_notices_a_version_that_nobody_announced(server, name, host):
    publish(name, {"number": 1})
    replication.push(server.url, name)
    host.start(poll=0.05)
    host.follow_to({"number": 1})
    publish(name, {"number": 2})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_push, "_announce", lambda keys, manifest: ("PING",))
        replication.push(server.url, name)
    host.follow_to({"number": 2})


def test_follower_restores_a_local_map_that_was_removed(server, name, host):
    publish(name, VALUES)
    replication.push(server.url, name)
    host.start(poll=0.05)
    host.follow_to(VALUES)
    sharedmap.remove(host.local)
    host.follow_to(VALUES)


def test_follower_survives_cut_connections(server, name, host):
    publish(name, {"number": 0})
    replication.push(server.url, name)
    host.start()
    host.follow_to({"number": 0})
    for number in range(1, 6):
        server.cut_connections()
        publish(name, {"number": number})
        replication.push(server.url, name)
        host.follow_to({"number": number})


def test_follower_keeps_the_map_while_the_server_is_dead_and_goes_on_after(own_server, name, hosts):
    host = hosts(own_server, name)
    publish(name, {"number": 1})
    replication.push(own_server.url, name)
    host.start()
    host.follow_to({"number": 1})
    own_server.kill()
    assert host.read() == {"number": 1}
    with pytest.raises(replication.ServerError):
        replication.push(own_server.url, name)
    own_server.start()  # it has forgotten everything
    assert host.read() == {"number": 1}
    publish(name, {"number": 2})
    replication.push(own_server.url, name)
    host.follow_to({"number": 2})


def test_follower_never_goes_back_to_what_a_server_remembers(server, name, host, caplog):
    publish(name, {"number": 1})
    replication.push(server.url, name)
    old = server.client.get(Keys(name).manifest)
    publish(name, {"number": 2})
    replication.push(server.url, name)
    host.pull()
    server.client.set(Keys(name).manifest, old)
    with caplog.at_level(logging.WARNING, "sharedmap.replication"):
        host.pull()
    assert host.read() == {"number": 2}
    assert "older version" in caplog.text
    publish(name, {"number": 3})
    replication.push(server.url, name)
    host.pull()
    assert host.read() == {"number": 3}


def test_machine_that_was_restarted_needs_no_server(own_server, name, hosts, caplog):
    host = hosts(own_server, name)
    publish(name, VALUES)
    replication.push(own_server.url, name)
    host.pull()
    own_server.kill()
    sharedmap.remove(host.local)
    with caplog.at_level(logging.WARNING, "sharedmap.replication"):
        version = host.pull()
    assert version.is_new
    assert host.read() == VALUES
    assert "from disk" in caplog.text
    own_server.start()


def test_without_server_and_without_disk_there_is_an_error(name, tmp_path):
    with pytest.raises(replication.ServerError):
        replication.pull(f"unix://{tmp_path}/none", name, directory=tmp_path)


def test_name_that_was_never_pushed_is_an_error(server, name, host):
    with pytest.raises(replication.NothingPushed):
        host.pull()


@pytest.mark.parametrize("how", ["cut", "flip", "gone"])
def test_version_that_was_damaged_on_the_disk_is_fetched_again(server, name, host, how, caplog):
    publish(name, VALUES)
    replication.push(server.url, name)
    host.pull()
    (path,) = host.directory.glob("*/*.snapshot")
    data = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
    else:
        data[600] ^= 1
        path.write_bytes(data if how == "flip" else data[:-64])
    sharedmap.remove(host.local)
    with caplog.at_level(logging.WARNING, "sharedmap.replication"):
        assert host.pull().transferred > 0
    assert "fetching the version again" in caplog.text
    assert host.read() == VALUES


def test_fetching_goes_on_where_it_was_ended(server, name, host, small_chunks, monkeypatch):
    publish(name, many(1000))
    whole = replication.push(server.url, name).transferred
    count = 0

    def fail_later(self, batch):
        nonlocal count
        count += 1
        if count == 5:
            raise replication.ServerError("cut")
        return (yield from original(self, batch))

    original = _follow.Follower._fetch_batch
    with monkeypatch.context() as patch:
        patch.setattr(_follow.Follower, "_fetch_batch", fail_later)
        with pytest.raises(replication.ServerError):
            host.pull()
    assert 0 < host.pull().transferred < whole - 10_000
    assert host.read() == many(1000)


def test_disk_keeps_two_versions_and_nothing_else(server, name, host):
    for number in range(5):
        publish(name, {"number": number})
        replication.push(server.url, name)
        version = host.pull()
    (folder,) = host.directory.iterdir()
    kept = sorted(path.name for path in folder.iterdir())
    assert len(kept) == 5
    assert {f"{version.sha256}.snapshot", f"{version.version}.manifest", "lock"} <= {*kept}


def test_second_agent_with_the_same_directory_is_refused(server, name, host):
    publish(name, VALUES)
    replication.push(server.url, name)
    host.start()
    host.next()
    with pytest.raises(FileExistsError, match="another agent"):
        host.pull()


def test_full_disk_is_told_and_the_local_map_stays(server, name, host, monkeypatch, caplog):
    publish(name, {"number": 1})
    replication.push(server.url, name)
    host.pull()
    publish(name, {"number": 2})
    replication.push(server.url, name)

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_incoming.os, "posix_fallocate", fail)
        with pytest.raises(OSError, match="No space"):
            host.pull()
    assert host.read() == {"number": 1}
    (folder,) = host.directory.iterdir()
    assert not list(folder.glob("*.partial"))
    host.pull()
    assert host.read() == {"number": 2}


def test_agent_that_cannot_publish_when_it_starts_tries_again(server, name, host):
    publish(name, VALUES)
    replication.push(server.url, name)
    host.pull()
    sharedmap.remove(host.local)
    obstacle = segment_path(host.local)
    os.symlink("/nowhere", obstacle)
    told = []

    def clear(record):
        told.append(record.getMessage())
        os.unlink(obstacle)
        return True

    log = logging.getLogger("sharedmap.replication")
    log.addFilter(clear)
    try:
        agent = replication.follow(
            server.url, name, local=host.local, directory=host.directory, poll=0.05
        )
        with contextlib.closing(agent) as versions:
            assert next(versions).is_new
    finally:
        log.removeFilter(clear)
        if os.path.islink(obstacle):
            os.unlink(obstacle)
    assert "not a regular file" in told[0]
    assert host.read() == VALUES


def test_trouble_is_told_once_and_so_is_its_end(server, name, host, caplog):
    publish(name, {"number": 1})
    replication.push(server.url, name)
    host.pull()
    server.client.set(Keys(name).manifest, b"{")

    def calls():
        return server.client.info("commandstats")["cmdstat_xread"]["calls"]

    with caplog.at_level(logging.INFO, "sharedmap.replication"):
        host.start(poll=0.01)
        host.next()
        # Each attempt asks for the manifest.
        asked = calls()
        wait_until(lambda: calls() >= asked + 5, "five attempts more")
        publish(name, {"number": 2})
        replication.push(server.url, name)
        host.follow_to({"number": 2})
    told = [record.message for record in caplog.records if "replacing" not in record.message]
    assert len([message for message in told if "manifest is damaged" in message]) == 1
    assert len([message for message in told if "recovered" in message]) == 1


@pytest.mark.parametrize("error", [errno.EACCES, errno.ENOMEM])
def test_version_that_cannot_be_read_now_is_not_thrown_away(server, name, host, monkeypatch, error):
    publish(name, VALUES)
    replication.push(server.url, name)
    host.pull()
    sharedmap.remove(host.local)
    kept = sorted(path.name for path in host.directory.rglob("*"))

    def refuse(self, *arguments):
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patch:
        patch.setattr(_state.State, "verify", refuse)
        with pytest.raises(OSError, match=os.strerror(error)):
            host.pull()
    assert sorted(path.name for path in host.directory.rglob("*")) == kept
    assert host.pull().transferred == 0
    assert host.read() == VALUES


def test_version_that_the_disk_has_lost_is_fetched_again(server, name, host, monkeypatch):
    publish(name, VALUES)
    replication.push(server.url, name)
    host.pull()
    sharedmap.remove(host.local)

    def fail(self, manifest):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(_state.State, "verify", fail)
    assert host.pull().transferred > 0
    assert host.read() == VALUES


def test_without_redis_py_the_error_says_what_to_install(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(replication.ServerError, match="pip install redis"):
        replication.push("redis://localhost", name)


def test_server_that_refuses_is_a_server_error(server, name):
    publish(name, VALUES)
    server.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(replication.ServerError, match="maxmemory"):
            replication.push(server.url, name)
    finally:
        server.client.config_set("maxmemory", 0)
    assert isinstance(redis.ResponseError(), redis.RedisError)


# ---- what must not take the map away ---------------------------------------------------------


@pytest.fixture
def refuse_two(monkeypatch):
    """This machine cannot publish a map that says number 2, as if that were too large for it."""
    real = _local.share

    def share(opened, *arguments, **options):
        if dict(opened) == {"number": 2}:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(opened, *arguments, **options)

    monkeypatch.setattr(_local, "share", share)


def test_version_that_cannot_be_published_takes_nothing_away(server, name, host, refuse_two):
    publish(name, {"number": 1})
    first = replication.push(server.url, name)
    host.pull()
    publish(name, {"number": 2})
    replication.push(server.url, name)
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            host.pull()
        assert host.read() == {"number": 1}
    (folder,) = host.directory.iterdir()
    assert [path.name for path in folder.glob("*.manifest")] == [f"{first.version}.manifest"]
    # After a reboot.
    sharedmap.remove(host.local)
    with pytest.raises(OSError, match="No space"):
        host.pull()
    assert host.read() == {"number": 1}
    publish(name, {"number": 3})
    replication.push(server.url, name)
    host.pull()
    assert host.read() == {"number": 3}
    kinds = sorted(path.suffix for path in folder.iterdir())
    assert kinds == ["", ".manifest", ".manifest", ".snapshot", ".snapshot"]


def test_follower_falls_back_to_the_version_before_and_follows_the_next(
    server, name, host, refuse_two
):
    publish(name, {"number": 1})
    replication.push(server.url, name)
    host.start(poll=0.05)
    host.follow_to({"number": 1})
    publish(name, {"number": 2})
    replication.push(server.url, name)
    sharedmap.remove(host.local)
    host.follow_to({"number": 1})
    publish(name, {"number": 3})
    replication.push(server.url, name)
    host.follow_to({"number": 3})


def test_newest_on_disk_that_cannot_be_published_any_more_gives_way(
    server, name, host, monkeypatch, caplog
):
    for number in (1, 2):
        publish(name, {"number": number})
        replication.push(server.url, name)
        host.pull()
    sharedmap.remove(host.local)
    with monkeypatch.context() as patch:
        real = _local.share
        patch.setattr(
            _local,
            "share",
            lambda opened, *rest, **options: _fail_for_two(real, opened, *rest, **options),
        )
        assert host.pull().is_new
    assert host.read() == {"number": 1}
    assert "is published instead" in caplog.text
    host.pull()
    assert host.read() == {"number": 2}


def _fail_for_two(share, opened, *arguments, **options):
    if dict(opened) == {"number": 2}:
        raise OverflowError("the map is too large for a snapshot")
    return share(opened, *arguments, **options)


def test_agent_that_was_killed_before_it_recorded_goes_on_from_there(
    own_server, name, hosts, monkeypatch
):
    host = hosts(own_server, name)
    publish(name, {"number": 1})
    replication.push(own_server.url, name)
    host.pull()
    publish(name, {"number": 2})
    second = replication.push(own_server.url, name)
    with monkeypatch.context() as patch:
        patch.setattr(_state.State, "record", lambda state: exec("raise KeyboardInterrupt"))
        with pytest.raises(KeyboardInterrupt):
            host.pull()
    assert host.read() == {"number": 2}
    state = _state.State(host.directory, host.local, 0o600)
    assert state.newest.version == second.version
    state.close()


@pytest.mark.parametrize("version", [2**63 - 1, 2**53, None], ids=["largest", "limit", "two days"])
def test_manifest_far_ahead_of_the_clock_is_refused_and_replaced(server, name, host, version):
    publish(name, {"number": 1})
    true = replication.push(server.url, name).version
    key = Keys(name).manifest
    poisoned = json.loads(server.client.get(key))
    poisoned["version"] = version or true + 2 * 24 * 60 * 60 * 1000
    server.client.set(key, json.dumps(poisoned))
    with pytest.raises(replication.ReplicationError, match=r"range|ahead of the clock"):
        host.pull()
    publish(name, {"number": 2})
    assert abs(replication.push(server.url, name).version - true) < 60 * 60 * 1000
    host.pull()
    assert host.read() == {"number": 2}


def test_version_that_was_followed_before_the_clock_was_set_gives_way(
    server, name, host, monkeypatch
):
    publish(name, {"number": 1})
    replication.push(server.url, name)
    key = Keys(name).manifest
    ahead = json.loads(server.client.get(key))
    ahead["version"] = 2**53
    server.client.set(key, json.dumps(ahead))
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: 0)
        assert host.pull().version == 2**53
    publish(name, {"number": 2})
    replication.push(server.url, name)
    host.pull()
    assert host.read() == {"number": 2}
    # After a reboot.
    sharedmap.remove(host.local)
    server.client.delete(key)
    host.pull()
    assert host.read() == {"number": 2}


def test_version_a_little_ahead_of_the_clock_is_followed(server, name, host):
    publish(name, {"number": 1})
    replication.push(server.url, name)
    key = Keys(name).manifest
    ahead = json.loads(server.client.get(key))
    ahead["version"] += 60 * 60 * 1000
    server.client.set(key, json.dumps(ahead))
    assert host.pull().version == ahead["version"]


@pytest.mark.parametrize("kind", ["fifo", "link", "directory"])
def test_what_is_no_map_under_the_local_name_does_not_stop_the_agent(
    server, name, host, plant, tmp_path, kind
):
    publish(name, VALUES)
    replication.push(server.url, name)
    make = {
        "fifo": os.mkfifo,
        "link": lambda path: os.symlink(tmp_path / "fifo", path),
        "directory": os.mkdir,
    }
    os.mkfifo(tmp_path / "fifo")
    path = plant(host.local, make[kind])
    writer = None
    if kind == "fifo":
        # One that somebody holds open, so that reading it does not end.
        writer = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    with pytest.raises((OSError, ValueError)):
        host.pull()
    state = _state.State(host.directory, host.local, 0o600)
    assert state.local._read() is None
    state.close()
    if writer is not None:
        os.close(writer)
