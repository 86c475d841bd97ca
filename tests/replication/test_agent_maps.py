"""One agent for all maps of a machine: names, patterns, what appears and what disappears."""

import logging

import agents as support
import machines
import pytest
from agents import published, push
from helpers import HANG

import sharedmap
from sharedmap import replication
from sharedmap.replication._agent import agent as agent_module
from sharedmap.replication._operations import Keys

server, shared_server, own_server = machines.server, machines.shared_server, machines.own_server
agents = support.agents


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, "sharedmap.replication")
    return caplog


# ---- names and patterns ----------------------------------------------------------------------


def test_agent_follows_names_and_patterns(server, names, agents):
    one, two, other, plain = names("a:{}"), names("a:{}"), names("b:{}"), names("c:{}")
    for name in (one, two, other, plain):
        push(server, name, {"name": name})
    running = agents(server.url, [f"a:{names.token}*", plain])
    running.follow_to(one, two, plain)
    for name in (one, two, plain):
        assert published(name) == {"name": name}
    assert published(other) is None
    status = running.status()
    assert (status.ok, status.reachable, status.error) == (True, True, None)
    assert {version.name for version in running.versions} == {one, two, plain}


def test_each_push_is_followed_without_polling(server, names, agents):
    one, two = names(), names()
    for name in (one, two):
        push(server, name, {"number": 0})
    running = agents(server.url, f"{names.token}*", poll=HANG)
    running.follow_to(one, two)
    for number in range(1, 4):
        for name in (one, two):
            version = push(server, name, {"number": number})
            running.wait(lambda name=name, v=version: running.of(name).version == v.version)
            assert published(name) == {"number": number}
    before = published(one)
    replication.rollback(server.url, one)
    running.wait(lambda: published(one) != before)
    assert published(one) == {"number": 2}


def test_map_that_appears_on_the_server_is_followed(server, names, agents):
    running = agents(server.url, f"{names.token}*", poll=HANG)
    running.wait(running.agent.ready.is_set)
    assert running.status().maps == ()
    assert running.status().ok
    for _ in range(2):
        name = names()
        push(server, name, {"a": 1})
        running.wait(lambda name=name: published(name) == {"a": 1})


def test_name_that_was_never_announced_is_found_by_polling(server, names, agents):
    name = names()
    running = agents(server.url, f"{names.token}*", poll=0.05)
    push(server, name, {"a": 1})
    # As if the push had been killed before.
    server.client.xtrim(Keys(name).pushes, maxlen=0)
    running.follow_to(name)


def test_push_of_a_publisher_that_only_knows_streams_of_maps_is_followed(server, names, agents):
    name = names()
    push(server, name, {"number": 1})
    running = agents(server.url, name, poll=HANG)
    running.follow_to(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sharedmap.replication._push._list", lambda *_, **__: iter(()))
        push(server, name, {"number": 2})
    running.wait(lambda: published(name) == {"number": 2})


def test_map_that_is_removed_from_the_server_stays_and_is_not_followed(server, names, agents, log):
    one, two = names(), names()
    for name in (one, two):
        push(server, name, {"a": 1})
    running = agents(server.url, f"{names.token}*", poll=HANG)
    running.follow_to(one, two)
    replication.remove(server.url, one)
    running.follow_to(two)
    assert published(one) == {"a": 1}
    assert running.status().ok
    assert f"{one}: removed from the server" in log.text
    push(server, one, {"a": 2})
    running.follow_to(one, two)
    assert published(one) == {"a": 2}


def test_last_map_can_be_removed_too(own_server, names, agents):
    name = names()
    push(own_server, name, {"a": 1})
    running = agents(own_server.url, f"{names.token}*", poll=0.05)
    running.follow_to(name)
    replication.remove(own_server.url, name)
    running.follow_to()
    assert published(name) == {"a": 1}


def test_plain_name_is_followed_before_and_after_the_server_has_it(server, name, agents, log):
    running = agents(server.url, name, poll=HANG)
    running.wait(lambda: running.state() == {name: "waiting"})
    assert not running.status().ok
    push(server, name, {"a": 1})
    running.follow_to(name)
    replication.remove(server.url, name)
    running.wait(lambda: running.state() == {name: "failing"})
    assert "no version any more" in running.of(name).error
    push(server, name, {"a": 2})
    running.follow_to(name)
    assert published(name) == {"a": 2}


def test_server_that_lost_everything_is_a_failure_and_no_removal(own_server, names, agents):
    one, two = names(), names()
    for name in (one, two):
        push(own_server, name, {"a": 1})
    running = agents(own_server.url, f"{names.token}*", poll=0.05)
    running.follow_to(one, two)
    own_server.client.flushall()
    running.wait(lambda: running.state() == {one: "failing", two: "failing"})
    assert published(one) == published(two) == {"a": 1}
    push(own_server, one, {"a": 2})
    running.wait(lambda: running.of(one).state == "following")
    assert published(one) == {"a": 2}


def test_names_can_be_changed_while_it_runs(server, names, agents):
    one, two, three = names("a:{}"), names("b:{}"), names("c:{}")
    for name in (one, two, three):
        push(server, name, {"a": 1})
    running = agents(server.url, [one, f"b:{names.token}*"], poll=HANG)
    running.follow_to(one, two)
    running.call(running.agent.set_names, [f"[bc]:{names.token}*"])
    running.follow_to(two, three)
    assert published(one) == {"a": 1}
    # A map that is dropped can be followed again at once.
    running.call(running.agent.set_names, [three])
    running.call(running.agent.set_names, [two, three])
    running.follow_to(two, three)
    push(server, two, {"a": 2})
    running.wait(lambda: published(two) == {"a": 2})
    with pytest.raises(ValueError, match="name must not be empty"):
        running.call(running.agent.set_names, [])


def test_namespaces_are_apart(server, names, agents):
    one, two = names(), names()
    push(server, one, {"a": 1}, namespace="staging")
    push(server, two, {"a": 2}, namespace="production")
    running = agents(server.url, f"{names.token}*", namespace="staging", poll=HANG)
    running.follow_to(one)
    push(server, two, {"a": 3}, namespace="staging")
    running.follow_to(one, two)
    assert published(two) == {"a": 3}


def test_names_that_are_none_are_ignored(own_server, names, agents):
    name = names()
    push(own_server, name, {"a": 1})
    own_server.client.sadd(Keys(name).names, b"\xff" + name.encode(), b"")
    own_server.client.xadd(Keys(name).pushes, {"name": b"\xff", "version": "x"})
    running = agents(own_server.url, "*", poll=0.05)
    running.follow_to(name)
    own_server.client.xadd(Keys(name).pushes, {"other": "fields"})
    push(own_server, name, {"a": 2})
    running.wait(lambda: published(name) == {"a": 2})


def test_server_that_lists_too_many_names_is_told_about(server, names, agents, monkeypatch):
    monkeypatch.setattr(agent_module, "MOST_MAPS", 2)
    for _ in range(4):
        push(server, names(), {"a": 1})
    running = agents(server.url, f"{names.token}*", poll=HANG)
    running.wait(lambda: len(running.status().maps) == 2 and running.status().error)
    assert "more than 2 maps" in running.status().error
    assert not running.status().ok


def test_arguments_are_checked(tmp_path):
    for arguments, options in (
        (("http://x", "a"), {}),
        (("redis://x", ""), {}),
        (("redis://x", []), {}),
        (("redis://x", "a"), {"parallel": 0}),
        (("redis://x", "a*"), {"local": "b"}),
        (("redis://x", ["a", "b"]), {"local": "c"}),
        (("redis://x", "a"), {"namespace": "{"}),
    ):
        with pytest.raises(ValueError, match=r"."):
            replication.Agent(*arguments, directory=tmp_path, **options)


def test_one_map_can_have_another_local_name(server, names, agents):
    name, local = names(), names()
    push(server, name, {"a": 1})
    running = agents(server.url, name, local=local, poll=HANG)
    running.follow_to(name)
    assert published(local) == {"a": 1}
    assert published(name) is None


# ---- without an event loop -------------------------------------------------------------------


def test_agent_in_a_program_without_an_event_loop(server, names, tmp_path):
    one, two = names(), names()
    for name in (one, two):
        push(server, name, {"a": 1})
    agent = replication.Agent(server.url, f"{names.token}*", directory=tmp_path, poll=HANG)
    versions = agent.versions()
    assert {next(versions).name, next(versions).name} == {one, two}
    three = names()
    push(server, three, {"a": 3})
    assert next(versions).name == three
    assert {each.name for each in agent.status().maps} == {one, two, three}
    agent.set_names(two)
    push(server, three, {"a": 4})
    push(server, two, {"a": 2})
    assert next(versions).name == two
    versions.close()
    assert not agent.status().ok
    assert published(three) == {"a": 3}


def test_all_maps_once(server, names, tmp_path):
    one, two, missing = names(), names(), names()
    for name in (one, two):
        push(server, name, {"a": 1})
    selected = [f"{names.token}*", missing]
    results = dict(replication.Agent(server.url, selected, directory=tmp_path).once())
    assert (results[one].entries, results[two].entries) == (1, 1)
    assert isinstance(results[missing], replication.NothingPushed)
    nowhere = f"unix://{tmp_path}/none"
    sharedmap.remove(one)
    results = dict(replication.Agent(nowhere, f"{names.token}*", directory=tmp_path).once())
    assert (results[one].entries, results[two].entries) == (1, 1)
    assert published(one) == {"a": 1}
    with pytest.raises(replication.ServerError):
        next(replication.Agent(nowhere, "none*", directory=tmp_path).once())
    with pytest.raises(replication.NothingPushed, match=r"none\*"):
        next(replication.Agent(server.url, "none*", directory=tmp_path).once())
