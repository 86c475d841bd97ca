"""What the server stores: its maps, the state of one, and its removal."""

import asyncio

import machines
import pytest
from machines import VALUES, blobs_of, chunks_of, keys_of, manifest_of, many, publish
from redis.exceptions import NoPermissionError

import sharedmap
from sharedmap import replication
from sharedmap.replication import _stored, aio
from sharedmap.replication._operations import Commit, Keys
from sharedmap.replication._server.drive import Server

server, shared_server, small_chunks = machines.server, machines.shared_server, machines.small_chunks
host, hosts, own_server = machines.host, machines.hosts, machines.own_server


def push(server, name, value, **options):
    publish(name, value)
    return replication.push(server.url, name, **options)


def listed(server, **options):
    return {each.name: each for each in replication.maps(server.url, **options)}


# ---- the list --------------------------------------------------------------------------------


def test_maps_are_those_that_were_pushed(server, names):
    pushed = {name: push(server, name, VALUES) for name in (names(), names())}
    found = listed(server)
    for name, version in pushed.items():
        stored = found[name]
        assert stored[1:4] == (version.version, len(VALUES), version.size)
        assert stored.pushed_at == pytest.approx(version.version / 1000)
        assert stored.problem is None
    assert [*found] == sorted(found)


def test_maps_of_other_namespaces_are_not_listed(server, names):
    one, two, three = names(), names(), names()
    push(server, one, VALUES)
    push(server, two, VALUES, namespace="staging")
    push(server, three, VALUES, namespace="st*")
    assert listed(server).keys() & {one, two, three} == {one}
    assert [*listed(server, namespace="staging")] == [two]
    assert [*listed(server, namespace="st*", scan=True)] == [three]


def test_maps_that_older_versions_have_pushed_are_found_by_a_scan(server, names):
    name = names("{}:{{*}}\udcff")
    push(server, name, VALUES)
    server.client.srem(Keys(name).names, Keys(name).name)
    assert name not in listed(server)
    assert listed(server, scan=True)[name].entries == len(VALUES)


def test_map_that_the_server_lost_is_listed_with_the_problem(server, names):
    lost, damaged = names(), names()
    for name in (lost, damaged):
        push(server, name, VALUES)
    server.client.delete(Keys(lost).manifest)
    server.client.set(Keys(damaged).manifest, b"{")
    found = listed(server)
    assert found[lost][1:] == (0, 0, 0, 0.0, "the server has no version of it any more")
    assert found[damaged].problem.startswith("the manifest is damaged")


def test_names_that_nobody_can_have_pushed_are_not_listed(server, name):
    push(server, name, VALUES)
    server.client.sadd(Keys(name).names, b"", b"\xff")
    try:
        assert {name} <= listed(server).keys() and "" not in listed(server)
    finally:
        server.client.srem(Keys(name).names, b"", b"\xff")


# ---- the state of one ------------------------------------------------------------------------


def test_stat_counts_what_is_stored(server, name, small_chunks):
    first = push(server, name, many())
    found = replication.stat(server.url, name)
    assert found[:4] == (name, first.version, 500, first.size)
    blobs = blobs_of(server, name)
    assert (found.previous, found.blobs) == (None, len(blobs))
    assert found.stored_size == sum(map(server.client.strlen, blobs)) > 10_000
    assert (found.missing, found.damaged, found.announced) == (0, 0, 1)
    assert found.policy == "noeviction"
    assert found.used_memory > 0 and found.max_memory == 0
    push(server, name, {"other": 1})
    assert replication.stat(server.url, name).previous == first.version


def test_stat_tells_what_is_missing_and_what_is_damaged(server, name, host, small_chunks):
    push(server, name, many())
    missing, shorter, damaged, *_ = chunks_of(server, name)
    server.client.delete(missing)
    server.client.set(shorter, b"x")
    server.client.setrange(damaged, 3, b"oops")
    with pytest.raises(replication.ReplicationError):
        host.pull()
    found = replication.stat(server.url, name)
    assert (found.missing, found.damaged) == (2, 1)
    replication.push(server.url, name)
    found = replication.stat(server.url, name)
    assert (found.missing, found.damaged) == (0, 0)


def test_map_whose_list_of_chunks_is_lost_is_told_and_removed(server, name, small_chunks):
    push(server, name, many())
    keys = Keys(name)
    chunk_list = manifest_of(server, name).image.chunk_list
    server.client.delete(keys.chunk(chunk_list.sha256))
    found = replication.stat(server.url, name)
    assert (found.blobs, found.missing) == (1, 1)
    assert listed(server)[name].problem is None  # it asks for manifests only
    replication.remove(server.url, name)
    assert keys_of(server, name) == []


def test_stat_of_what_is_not_there_or_cannot_be_read(server, name):
    with pytest.raises(replication.NothingPushed, match="no version was pushed"):
        replication.stat(server.url, name)
    push(server, name, VALUES)
    push(server, name, {})
    server.client.set(Keys(name).previous, b"{")
    assert replication.stat(server.url, name).previous is None
    server.client.set(Keys(name).manifest, b"{")
    with pytest.raises(replication.ReplicationError, match="the manifest is damaged"):
        replication.stat(server.url, name)


def test_stat_of_a_user_who_may_not_ask_for_the_memory(server, name):
    push(server, name, VALUES)
    server.client.execute_command("ACL", "SETUSER", "default", "-info")
    try:
        with pytest.raises(NoPermissionError):
            server.client.info("memory")
        found = replication.stat(server.url, name)
    finally:
        server.client.execute_command("ACL", "SETUSER", "default", "+info")
    assert (found.policy, found.used_memory, found.max_memory) == (None, None, None)
    assert found.missing == 0


# ---- removal ---------------------------------------------------------------------------------


def test_removed_map_leaves_nothing_on_the_server(server, names, small_chunks):
    name, other = names(), names()
    for value in (many(), many(600), {"a": 1}):
        push(server, name, value)
    push(server, other, VALUES)
    replication.remove(server.url, name)
    # Chunks of the version before the previous one expire.
    assert all(server.client.ttl(key) > 0 for key in keys_of(server, name))
    assert listed(server).keys() & {name, other} == {other}
    with pytest.raises(replication.NothingPushed, match="no version was pushed"):
        replication.remove(server.url, name)


def test_thousands_of_blobs_are_removed_in_batches(server, name):
    """The server answers others in between: no command names more than 256 of them."""
    push(server, name, VALUES)
    keys = Keys(name)
    blobs = [f"{number:064x}" for number in range(3000)]
    server.client.mset({keys.chunk(digest): b"x" for digest in blobs})
    server.client.set(keys.manifest, b"{")  # so that they are looked for
    batches = []

    class Watched(Server):
        def perform(self, operation):
            commands = getattr(operation, "commands", ())
            batches.append([command for command in commands if command[0] == "UNLINK"])
            return super().perform(operation)

    watched = Watched(server.url)
    try:
        watched.run(_stored.remove(name, None))
    finally:
        watched.close()
    assert sum(len(command) - 1 for batch in batches for command in batch) == 3001
    assert max(len(command) - 1 for batch in batches for command in batch) == 256
    assert keys_of(server, name) == []


def test_machines_keep_their_version_of_a_removed_map(server, name, host):
    push(server, name, VALUES)
    host.pull()
    replication.remove(server.url, name)
    host.pull()
    assert host.read() == VALUES
    push(server, name, {"a": 1})
    host.pull()
    assert host.read() == {"a": 1}


class Interrupted(Server):
    """Calls `between` in front of the n-th commit."""

    def __init__(self, url, number, between):
        super().__init__(url)
        self.number, self.between = number, between

    def perform(self, operation):
        if isinstance(operation, Commit):
            self.number -= 1
            if self.number == 0:
                self.between()
        return super().perform(operation)


def remove(server, name, number, between):
    interrupted = Interrupted(server.url, number, between)
    try:
        interrupted.run(_stored.remove(name, None))
    finally:
        interrupted.close()


def test_version_that_is_pushed_during_the_removal_is_removed_or_complete(
    server, name, hosts, small_chunks
):
    """Before the manifest is removed it is removed, too; after that it stays."""
    push(server, name, many())
    remove(server, name, 1, lambda: push(server, name, many(501)))
    assert Keys(name).manifest not in keys_of(server, name)
    push(server, name, many(502))
    # The same chunks, most of which the removal was about to delete.
    remove(server, name, 2, lambda: push(server, name, many(503)))
    host = hosts(server, name)
    host.pull()
    assert host.read() == many(503)
    assert name in listed(server)
    used = {*blobs_of(server, name)}
    ttl = {key: server.client.ttl(key) for key in keys_of(server, name) if b"chunk:" in key}
    assert {key for key in ttl if ttl[key] == -1} == used


def test_removal_that_was_killed_leaves_nothing_for_long(server, name, small_chunks):
    class Killed(Exception):
        pass

    def kill():
        raise Killed

    push(server, name, many())
    with pytest.raises(Killed):
        remove(server, name, 1, kill)
    assert replication.stat(server.url, name).missing == 0
    with pytest.raises(Killed):
        remove(server, name, 2, kill)
    left = keys_of(server, name)
    assert left and all(server.client.ttl(key) > 0 for key in left)
    with pytest.raises(replication.NothingPushed):
        replication.stat(server.url, name)


def test_what_is_left_of_a_map_is_removed(server, name):
    """Its manifest was evicted, or only its name was listed."""
    push(server, name, VALUES)
    server.client.delete(Keys(name).manifest)
    replication.remove(server.url, name)
    assert keys_of(server, name) == []
    server.client.sadd(Keys(name).names, name)
    replication.remove(server.url, name)
    assert name not in listed(server)


def test_functions_for_an_event_loop_do_the_same(server, name):
    push(server, name, VALUES)

    async def run():
        assert name in {each.name for each in await aio.maps(server.url, scan=True)}
        assert (await aio.stat(server.url, name)).entries == len(VALUES)
        await aio.remove(server.url, name)
        assert name not in {each.name for each in await aio.maps(server.url)}

    asyncio.run(run())
    with sharedmap.sharedmap(name) as opened:
        assert opened == VALUES


# ---- what a push writes for all maps of the namespace ------------------------------------------


def test_each_new_version_is_announced_to_the_namespace(server, name):
    keys = Keys(name)
    versions = [push(server, name, {"number": number}).version for number in range(2)]
    replication.push(server.url, name)  # the same content is no version
    versions.append(replication.rollback(server.url, name).version)
    entries = [fields for _, fields in server.client.xrange(keys.pushes)]
    ours = [int(each[b"version"]) for each in entries if each[b"name"] == name.encode()]
    assert ours == versions


def test_push_that_cannot_list_the_name_succeeds_and_says_so(server, name, caplog):
    server.client.execute_command("ACL", "SETUSER", "default", "-sadd")
    try:
        version = push(server, name, VALUES)
    finally:
        server.client.execute_command("ACL", "SETUSER", "default", "+sadd")
    assert version.is_new
    assert "pushed, but not listed on the server" in caplog.text
    assert name not in listed(server)
    assert not replication.push(server.url, name).is_new
    assert name in listed(server)
