"""One agent for all maps of a machine: failures, restarts, and what it uses at a time."""

import contextlib
import logging
import os
import subprocess
import threading
from pathlib import Path

import agents as support
import machines
import pytest
import redis_groups
from agents import published, push, push_many
from command import start
from helpers import HANG
from live import wait_until

import sharedmap
from sharedmap import replication
from sharedmap._names import file_name
from sharedmap.replication import _follow
from sharedmap.replication._operations import Keys

server, shared_server, own_server = machines.server, machines.shared_server, machines.own_server
agents = support.agents


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, "sharedmap.replication")
    return caplog


def damage(server, name):
    """The next agent that fetches the map finds no manifest that can be read."""
    server.client.set(Keys(name).manifest, b"{}")


def test_map_that_fails_does_not_delay_another(server, names, agents, log):
    good, bad = names(), names()
    for name in (good, bad):
        push(server, name, {"number": 0})
    damage(server, bad)
    running = agents(server.url, f"{names.token}*", parallel=1, poll=HANG)
    running.wait(lambda: running.state() == {good: "following", bad: "failing"})
    assert "manifest is damaged" in running.of(bad).error
    status = running.status()
    assert (status.ok, status.reachable, status.error) == (False, True, None)
    for number in range(1, 4):
        push(server, good, {"number": number})
        running.wait(lambda number=number: published(good) == {"number": number})
    assert running.of(bad).failures >= 1
    push(server, bad, {"number": 1})
    running.follow_to(good, bad)
    assert running.of(bad).error is None
    told = [record.message for record in log.records if bad in record.message]
    # Once, however often it was tried, and once that it is over.
    assert len([line for line in told if "damaged" in line and "stays published" in line]) == 1
    assert told[-1] == f"{bad}: recovered"


def test_map_that_hangs_holds_only_its_own_slot(server, names, agents, monkeypatch):
    good, bad = names(), names()
    for name in (good, bad):
        push(server, name, {"number": 0})
    is_over = threading.Event()
    original = _follow.Follower.check_current

    def hang(self):
        if self.name == bad:
            yield _follow.Work(is_over.wait, HANG)
        return (yield from original(self))

    monkeypatch.setattr(_follow.Follower, "check_current", hang)
    running = agents(server.url, f"{names.token}*", parallel=2, poll=HANG)
    try:
        running.wait(lambda: running.state() == {good: "following", bad: "starting"})
        push(server, good, {"number": 1})
        running.wait(lambda: published(good) == {"number": 1})
    finally:
        is_over.set()
    running.follow_to(good, bad)


def test_server_that_goes_away_is_told_once_for_all_maps(own_server, names, agents, log):
    many = [names() for _ in range(5)]
    for name in many:
        push(own_server, name, {"a": 1})
    running = agents(own_server.url, f"{names.token}*", poll=0.05)
    running.follow_to(*many)
    log.clear()
    own_server.kill()
    running.wait(lambda: not running.status().reachable)
    status = running.status()
    assert not status.ok
    assert "local maps stay published" in status.error
    assert {each.state for each in status.maps} == {"following"}
    own_server.start()
    running.wait(lambda: running.status().reachable)
    # It has forgotten everything.
    running.wait(lambda: {*running.state().values()} == {"failing"})
    for name in many:
        push(own_server, name, {"a": 2})
    running.follow_to(*many)
    assert published(many[-1]) == {"a": 2}
    told = [record.message for record in log.records]
    assert len([line for line in told if "local maps stay published" in line]) <= 2
    assert told.count("the server answers again") == 1


def test_maps_on_the_disk_are_published_without_the_server(own_server, names, agents):
    many = [names() for _ in range(3)]
    for name in many:
        push(own_server, name, {"name": name})
    running = agents(own_server.url, [f"{names.token}*"], poll=HANG)
    running.follow_to(*many)
    running.stop()
    own_server.kill()
    for name in many:
        sharedmap.remove(name)
    running = agents(own_server.url, [f"{names.token}*"], poll=0.05)
    running.wait(running.agent.ready.is_set)
    for name in many:
        assert published(name) == {"name": name}
    assert {each.state for each in running.status().maps} == {"starting"}
    assert not running.status().ok
    own_server.start()
    for name in many:
        push(own_server, name, {"name": "new"})
    running.follow_to(*many)


def test_agent_without_server_and_disk_is_ready_after_it_has_asked(names, agents, tmp_path):
    running = agents(f"unix://{tmp_path}/none", [names(), f"{names.token}*"], poll=0.05)
    running.wait(running.agent.ready.is_set)
    assert not running.status().ok


def test_second_agent_is_refused_the_maps_of_the_first(server, names, agents, tmp_path):
    one, two = names(), names()
    for name in (one, two):
        push(server, name, {"a": 1})
    first = agents(server.url, one, poll=HANG)
    first.follow_to(one)
    second = agents(server.url, f"{names.token}*", poll=HANG)
    second.thread.join(HANG)
    assert isinstance(second.failure, FileExistsError)
    # Nothing is left locked.
    third = agents(server.url, two, poll=HANG)
    third.follow_to(two)


def test_user_without_rights_to_the_names_polls_its_own_maps(own_server, names, agents, log):
    name = names()
    push(own_server, name, {"a": 1})
    own_server.client.execute_command(
        "ACL", "SETUSER", "reader", "on", ">word", f"~sharedmap:{{{name}}}:*", "+@all"
    )
    url = own_server.url.replace("unix://", "unix://reader:word@")
    running = agents(url, name, poll=0.05)
    running.wait(lambda: running.state() == {name: "following"})
    push(own_server, name, {"a": 2})
    running.wait(lambda: published(name) == {"a": 2})
    running.wait(lambda: "no news of pushes" in (running.status().error or ""))
    assert len([each for each in log.messages if "no news of pushes" in each]) == 1


@pytest.mark.slow
def test_two_hundred_maps_are_fetched_four_at_a_time(server, names, agents, monkeypatch):
    many = [names() for _ in range(200)]
    push_many(server, many, {"a": 1})
    at_once = most = 0
    original = _follow.Follower.check_current

    def count(self):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            return (yield from original(self))
        finally:
            at_once -= 1

    monkeypatch.setattr(_follow.Follower, "check_current", count)
    running = agents(server.url, f"{names.token}*", parallel=4, poll=HANG)
    running.follow_to(*many)
    assert most == 4
    assert all(published(name) == {"a": 1} for name in many[::20])
    connections = int(server.client.info("clients")["connected_clients"])
    assert connections <= 4 + 1 + 5
    push(server, many[100], {"a": 2})
    running.wait(lambda: published(many[100]) == {"a": 2})


def test_map_whose_directory_cannot_be_used_fails_alone(server, names, agents, tmp_path):
    good, bad = names(), names()
    for name in (good, bad):
        push(server, name, {"a": 1})
    folder = tmp_path / "state" / os.fsdecode(file_name(bad))
    folder.parent.mkdir(parents=True)
    folder.write_bytes(b"a file where its directory should be")
    running = agents(server.url, f"{names.token}*", poll=0.05)
    running.wait(lambda: running.state() == {good: "following", bad: "failing"})
    assert str(folder) in running.of(bad).error
    folder.unlink()
    running.follow_to(good, bad)


def private_memory(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(status.partition("RssAnon:")[2].split()[0])


@pytest.mark.slow
def test_memory_is_that_of_the_maps_that_are_fetched_at_a_time(server, names, tmp_path):
    value = os.urandom(64 << 10)
    many = [names() for _ in range(50)]
    push_many(server, many, {f"{number:04}": value for number in range(64)})
    health = tmp_path / "health.json"
    words = ("follow", server.url, f"{names.token}*", "--state", tmp_path, "--health", health)
    with start(*words, "--parallel", "2", stdout=subprocess.DEVNULL) as agent:
        most = before = 0

        def are_all_here():
            nonlocal most, before
            most = max(most, private_memory(agent))
            before = before or (most if health.exists() else 0)
            return health.exists() and health.read_bytes().count(b'"following"') == len(many)

        wait_until(are_all_here, "all are followed")
        # Two maps of 4 MiB: what is received, what is made of it, and what malloc keeps. With all
        # of them at once it is ten times as much.
        assert most - before < 80 << 20
        agent.terminate()
        assert agent.wait(HANG) == 0


# ---- in a cluster ----------------------------------------------------------------------------


@pytest.mark.slow
def test_node_of_a_cluster_that_is_down_only_fails_its_own_maps(names, agents):
    redis_groups.require()
    cluster = redis_groups.Cluster()
    try:
        for node in cluster.nodes:
            # As long as a node is down, the others go on.
            node.client.config_set("cluster-require-full-coverage", "no")
        many = [names() for _ in range(12)]
        for name in many:
            push(cluster, name, {"a": 1})
        running = agents(cluster.url, f"{names.token}*", poll=0.05)
        running.follow_to(*many)
        # The one that is asked first whether there is a server.
        lost = cluster.master_of(Keys("0").manifest)
        theirs = {name for name in many if cluster.master_of(Keys(name).manifest) is lost}
        assert theirs
        assert theirs != {*many}
        lost.kill()
        running.wait(
            lambda: {n for n, state in running.state().items() if state != "following"} == theirs
        )
        other = next(name for name in many if name not in theirs)
        push(cluster, other, {"a": 2})
        running.wait(lambda: published(other) == {"a": 2})
        assert running.status().reachable
        assert not running.status().ok
        for node in cluster.nodes:
            node.kill()
        running.wait(lambda: not running.status().reachable)
        assert all(published(name) for name in many)
    finally:
        cluster.close()


@pytest.mark.slow
def test_agent_goes_on_with_the_master_that_sentinels_choose(names, agents):
    redis_groups.require()
    group = redis_groups.Sentinels("redis-server")
    try:
        many = [names() for _ in range(3)]
        for name in many:
            push(group, name, {"a": 1})
        running = agents(group.url, f"{names.token}*")
        running.follow_to(*many)
        group.master_of(None).kill()
        running.wait(lambda: not running.status().reachable)

        def is_pushed():
            with contextlib.suppress(replication.ReplicationError):
                return push(group, many[0], {"a": 2})
            return None

        wait_until(is_pushed, "the replica is the master")
        running.wait(lambda: published(many[0]) == {"a": 2})
        running.wait(lambda: running.status().ok)
    finally:
        group.close()
