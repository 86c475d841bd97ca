"""Clusters and sentinels: every map is found, also when its server is another one than before."""

import asyncio
import re
import shlex
import signal
import subprocess
import sys

import pytest
from helpers import TESTS, TOP
from live import content
from redis_groups import SERVICE, Cluster, Sentinels, require
from redis_server import PROGRAMS

import sharedmap
from sharedmap import replication
from sharedmap.replication import aio
from sharedmap.replication._operations import Keys
from sharedmap.replication._server import routes
from sharedmap.replication._server.drive import Server
from sharedmap.replication._server.routes import slot_of

LIMIT = 120
SCRIPT = TESTS / "faults" / "failover.py"


def in_slot_of_each(cluster, name):
    """Names that the three masters share between them."""
    found = {}
    number = 0
    while len(found) < 3:
        candidate = f"{name}.{number}"
        found.setdefault(cluster.master_of(Keys(candidate).manifest).port, candidate)
        number += 1
    return sorted(found.values())


@pytest.fixture(scope="module")
def cluster():
    require()
    group = Cluster()
    yield group
    group.close()


@pytest.fixture(scope="module")
def sentinels():
    require()
    group = Sentinels("redis-server")
    yield group
    group.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cluster", "sentinel"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_is_lost_when_the_master_is_killed(kind, program):
    """`make machines` does it with more failovers."""
    require(program)
    done = subprocess.run(
        [sys.executable, SCRIPT, "--kinds", kind, "--failovers", "1", "--program", program],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 failovers in" in done.stdout
    assert " 0 wrong" in done.stdout


# ---- clusters --------------------------------------------------------------------------------


def test_maps_of_every_node_of_a_cluster_travel(cluster, names, tmp_path):
    for name in in_slot_of_each(cluster, names()):
        here = {"local": name, "directory": tmp_path}
        versions = []
        for number in range(2):
            sharedmap.share({"number": number}, name, force=True)
            versions.append(replication.push(cluster.url, name).version)
        assert asyncio.run(aio.rollback(cluster.url, name)).version > versions[-1]
        sharedmap.remove(name)
        replication.pull(cluster.url, name, **here)
        assert content(name) == {"number": 0}
        asyncio.run(aio.push(cluster.url, name))
        assert next(replication.follow(cluster.url, name, **here)).entries == 1
        sharedmap.remove(name)
        assert name in {each.name for each in replication.maps(cluster.url, scan=True)}


def test_url_of_one_node_that_is_down_is_no_obstacle(cluster, names, tmp_path):
    name = names()
    sharedmap.share({"a": 1}, name)
    hosts = cluster.url.removeprefix("redis+cluster://")
    replication.push(f"redis+cluster://127.0.0.1:1,{hosts}", name)
    with pytest.raises(replication.ServerError, match="refused"):
        replication.push("redis+cluster://127.0.0.1:1,127.0.0.1:2", name)


def test_map_that_moves_to_another_node_is_found_there(cluster, names, tmp_path):
    name = names()
    values = {f"key {number}": number for number in range(20)}
    sharedmap.share(values, name)
    here = {"local": names(), "directory": tmp_path}
    replication.push(cluster.url, name)
    server = Server(cluster.url)
    keys = Keys(name)
    slot = slot_of(keys.manifest)
    source = cluster.master_of(keys.manifest)
    target = next(node for node in cluster.nodes if node is not source)
    own, other = (node.client.execute_command("CLUSTER", "MYID") for node in (source, target))
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", own)
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", other)
    # Half of the keys are still at the old node, which says ASK for those that are not.
    moved = sorted(source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100))
    assert len(moved) == 3
    for key in moved[::2]:
        source.client.execute_command("MIGRATE", "127.0.0.1", target.port, key, 0, 1000)
    replication.pull(cluster.url, name, **here)
    assert content(here["local"]) == values
    assert asyncio.run(aio.pull(cluster.url, name, **here)).is_new is False
    # It has seen the old node, and is told MOVED by it.
    reading = replication._operations.Commands([("STRLEN", keys.manifest)])
    assert server.perform(reading)[0] > 0
    source.client.execute_command("MIGRATE", "127.0.0.1", target.port, moved[1], 0, 1000)
    for node in (target, source, *cluster.nodes):
        node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", other)
    assert server.perform(reading)[0] > 0
    server.close()
    sharedmap.share({"a": 1}, name, force=True)
    replication.push(cluster.url, name)
    assert target.client.exists(keys.manifest)


def test_maps_of_a_cluster_are_listed_checked_and_removed(cluster, names):
    found = in_slot_of_each(cluster, names())
    for name in found:
        sharedmap.share({"a": 1}, name)
        replication.push(cluster.url, name)
        sharedmap.remove(name)
    for scan in (False, True):
        assert {*found} <= {each.name for each in replication.maps(cluster.url, scan=scan)}
    for name in found:
        status = replication.stat(cluster.url, name)
        assert (status.missing, status.policy) == (0, "noeviction")
        replication.remove(cluster.url, name)
        with pytest.raises(replication.NothingPushed):
            replication.stat(cluster.url, name)
    assert not {*found} & {each.name for each in replication.maps(cluster.url, scan=True)}


def test_rights_that_the_guide_gives_are_enough_in_a_cluster(cluster, names, tmp_path):
    page = TOP / "docs/guide/many-machines.md"
    if not page.exists():
        pytest.skip("an installed package is tested, its guide is elsewhere")
    section = page.read_text().partition("## Rights")[2].partition("\n## ")[0]
    lines = re.findall(r"^    (ACL SETUSER (\w+) on >(\w+) .*~.*)$", section, re.M)
    (more,) = re.findall(r"^    ACL SETUSER agent (\+cluster.*)$", section, re.M)
    urls = {}
    for line, user, password in lines:
        for node in cluster.nodes:
            node.client.execute_command(*shlex.split(line))
            node.client.execute_command("ACL", "SETUSER", user, more)
        urls[user] = cluster.url.replace("://", f"://{user}:{password}@")
    for name in in_slot_of_each(cluster, names()):
        sharedmap.share({"a": 1}, name)
        replication.push(urls["publisher"], name)
        sharedmap.remove(name)
        replication.pull(urls["agent"], name, directory=tmp_path)
        assert content(name) == {"a": 1}
        sharedmap.remove(name)
        assert name in {each.name for each in replication.maps(urls["operator"], scan=True)}
        assert replication.stat(urls["operator"], name).policy == "noeviction"
        replication.remove(urls["operator"], name)


def test_name_that_a_cluster_cannot_keep_together_is_refused(cluster, names):
    name = "}" + names()
    sharedmap.share({"a": 1}, name)
    try:
        with pytest.raises(ValueError, match="must not begin with }"):
            replication.push(cluster.url, name)
    finally:
        sharedmap.remove(name)


def test_url_that_leads_to_another_kind_of_server_says_which_to_use(
    cluster, sentinels, names, tmp_path
):
    name = names()
    sharedmap.share({"a": 1}, name)
    owner = cluster.master_of(Keys(name).manifest)
    other = next(node for node in cluster.nodes if node is not owner)
    servers = {
        f"redis://127.0.0.1:{other.port}": "a node of a cluster: use redis\\+cluster://",
        f"redis://127.0.0.1:{sentinels.sentinels[0].port}": "a sentinel: use redis\\+sentinel://",
        f"redis+cluster://127.0.0.1:{sentinels.servers[0].port}": "not a node of a cluster: use",
        f"redis+cluster://127.0.0.1:{sentinels.sentinels[0].port}": "not a node of a cluster: use",
        f"redis+sentinel://127.0.0.1:{other.port}/{SERVICE}": "not a sentinel: use redis://",
        sentinels.url.replace(SERVICE, "other"): "do not know the service",
    }
    for url, message in servers.items():
        with pytest.raises(replication.ServerError, match=message):
            replication.push(url, name)
        with pytest.raises(replication.ServerError, match=message):
            asyncio.run(aio.pull(url, name, directory=tmp_path))


# ---- sentinels -------------------------------------------------------------------------------


def test_maps_of_a_service_travel_whichever_sentinel_is_down(sentinels, names, tmp_path):
    name = names()
    here = {"local": names(), "directory": tmp_path}
    first, *others = sentinels.url.removeprefix("redis+sentinel://").split("/")[0].split(",")
    urls = [
        f"redis+sentinel://{first},127.0.0.1:1/{SERVICE}",
        f"redis+sentinel://127.0.0.1:1,{others[0]}/{SERVICE}/0",
        f"valkey+sentinel://127.0.0.1:1,127.0.0.1:2,{others[1]}/{SERVICE}?socket_connect_timeout=5",
    ]
    for number, url in enumerate(urls):
        sharedmap.share({"number": number}, name, force=True)
        replication.push(url, name)
        assert asyncio.run(aio.pull(url, name, **here)).is_new
        assert content(here["local"]) == {"number": number}


def test_rights_that_the_guide_gives_are_enough_for_sentinels(sentinels, names, tmp_path):
    page = TOP / "docs/guide/many-machines.md"
    if not page.exists():
        pytest.skip("an installed package is tested, its guide is elsewhere")
    (line,) = re.findall(r"^    (ACL SETUSER lookup .*)$", page.read_text(), re.M)
    for node in sentinels.sentinels:
        node.client.execute_command(*shlex.split(line))
    name = names()
    sharedmap.share({"a": 1}, name)
    user = "?sentinel_username=lookup&sentinel_password=secret4"
    assert replication.push(sentinels.url + user, name).is_new
    sharedmap.remove(name)
    replication.pull(sentinels.url + user, name, directory=tmp_path)
    assert content(name) == {"a": 1}


def test_push_waits_until_the_replica_has_the_version(sentinels, names):
    """Otherwise a failover right after it could lose the version."""
    name = names()
    replica = sentinels.servers[1]
    for number in range(20):
        sharedmap.share({"number": number}, name, force=True)
        version = replication.push(sentinels.url, name)
        stored = replica.client.get(Keys(name).manifest)
        assert f'"version":{version.version}'.encode() in stored


def test_push_that_a_replica_does_not_confirm_fails_and_can_be_repeated(
    sentinels, names, monkeypatch
):
    name = names()
    sharedmap.share({"a": 1}, name)
    monkeypatch.setattr(routes, "_REPLICATION_MILLISECONDS", 50)
    replica = sentinels.servers[1].process
    replica.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(replication.ServerError, match="0 of 1 replicas have it"):
            replication.push(sentinels.url, name)
        with pytest.raises(replication.ServerError, match="0 of 1 replicas have it"):
            replication.push(sentinels.url, name)
    finally:
        replica.send_signal(signal.SIGCONT)
    monkeypatch.undo()
    assert not replication.push(sentinels.url, name).is_new
