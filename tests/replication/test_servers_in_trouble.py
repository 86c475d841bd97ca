"""Servers that lose, evict or refuse something: what is told, and what is not."""

import logging
import random

import machines
import pytest
from live import wait_until
from machines import VALUES, chunks_of, publish

import sharedmap
from sharedmap import replication
from sharedmap.replication._operations import Keys

server, shared_server, own_server = machines.server, machines.shared_server, machines.own_server
host, hosts = machines.host, machines.hosts


@pytest.fixture
def log(caplog):
    with caplog.at_level(logging.INFO, "sharedmap.replication"):
        yield caplog


def told(log, part):
    return [record.message for record in log.records if part in record.message]


def test_server_that_lost_its_data_is_no_recovery_until_there_is_a_version(
    own_server, name, hosts, log
):
    host = hosts(own_server, name)
    publish(name, {"number": 1})
    replication.push(own_server.url, name)
    host.start(poll=0.05)
    host.follow_to({"number": 1})
    own_server.kill()
    wait_until(lambda: told(log, "the local map stays published"), "the agent is in trouble")
    own_server.start()  # it has forgotten everything
    wait_until(lambda: told(log, "has no version any more"), "the agent asked again")
    publish(name, {"number": 2})
    assert told(log, "recovered") == []
    replication.push(own_server.url, name)
    host.follow_to({"number": 2})
    wait_until(lambda: told(log, "recovered"), "the agent tells that it is well again")
    order = [record.message for record in log.records]
    assert len(told(log, "recovered")) == len(told(log, "has no version any more")) == 1
    assert order.index(told(log, "recovered")[0]) > order.index(told(log, "any more")[0])


def test_server_with_an_older_version_is_no_recovery(server, name, host, log):
    publish(name, {"number": 1})
    replication.push(server.url, name)
    old = server.client.get(Keys(name).manifest)
    publish(name, {"number": 2})
    replication.push(server.url, name)
    host.start(poll=0.05)
    host.follow_to({"number": 2})
    server.client.set(Keys(name).manifest, b"{")
    wait_until(lambda: told(log, "manifest is damaged"), "the agent is in trouble")
    server.client.set(Keys(name).manifest, old)
    wait_until(lambda: told(log, "older version"), "the agent asked again")
    assert told(log, "recovered") == []
    publish(name, {"number": 3})
    replication.push(server.url, name)
    host.follow_to({"number": 3})
    wait_until(lambda: told(log, "recovered"), "the agent tells that it is well again")


def test_name_that_was_not_pushed_yet_is_told_once(server, name, host, log):
    def asked():
        return server.client.info("commandstats").get("cmdstat_xread", {"calls": 0})["calls"]

    begin = asked()
    host.start(poll=0.02)
    wait_until(lambda: asked() >= begin + 5, "five attempts")
    assert len(told(log, "no version was pushed under this name yet")) == 1
    publish(name, VALUES)
    replication.push(server.url, name)
    host.follow_to(VALUES)
    assert told(log, "recovered") == []


@pytest.fixture
def small_server(own_server):
    """It has space for part of the map below, and evicts the rest."""
    own_server.client.config_set("maxmemory-policy", "allkeys-random")
    used = own_server.client.info("memory")["used_memory"]
    own_server.client.config_set("maxmemory", used + (6 << 20))
    return own_server


def test_push_to_a_server_that_evicts_parts_of_it_is_an_error(small_server, name, log):
    chance = random.Random(1)
    publish(name, {f"{number:04}": chance.randbytes(1 << 16) for number in range(160)})
    with pytest.raises(replication.ReplicationError, match=r"chunks? (is|are) missing .* evict"):
        replication.push(small_server.url, name)
    (warning,) = told(log, "allkeys-random")
    assert "use noeviction" in warning


def test_push_to_a_server_that_may_evict_is_warned_of(small_server, name, host, log):
    publish(name, VALUES)
    assert replication.push(small_server.url, name).is_new
    assert len(told(log, "allkeys-random")) == 1
    log.clear()
    small_server.client.config_set("maxmemory-policy", "volatile-lru")
    publish(name, {"a": 1})
    replication.push(small_server.url, name)
    small_server.client.execute_command("ACL", "SETUSER", "default", "-info")
    publish(name, {"a": 2})
    assert replication.push(small_server.url, name).is_new
    assert told(log, "") == []


def test_agent_that_may_only_read_tells_what_is_missing(server, name, host):
    publish(name, VALUES)
    replication.push(server.url, name)
    server.client.acl_setuser(
        "reader", enabled=True, passwords=["+pw"], keys=["*"], categories=["+@read", "+@connection"]
    )
    (chunk,) = chunks_of(server, name)
    server.client.delete(chunk)
    host.url = f"unix://reader:pw@{server.socket}"
    with pytest.raises(replication.ReplicationError, match=r"^1 chunk is missing on the server"):
        host.pull()
    assert not server.client.exists(Keys(name).damaged)
    replication.push(server.url, name)
    host.pull()
    assert host.read() == VALUES
    assert host.local in sharedmap.names()


def test_push_that_cannot_be_listed_is_pushed_all_the_same(server, name, host, log):
    publish(name, VALUES)
    keys = Keys(name)
    server.client.acl_setuser(
        "writer",
        enabled=True,
        passwords=["+pw"],
        keys=[b"~" + keys.base.replace(b"{", b"?") + b"*"],
        categories=["+@all"],
    )
    version = replication.push(f"unix://writer:pw@{server.socket}", name)
    assert version.is_new
    assert told(log, "pushed, but not listed on the server")
    host.pull()
    assert host.read() == VALUES
