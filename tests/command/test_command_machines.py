"""push, follow and rollback on the command line."""

import json
import signal

import machines
import pytest
from command import failed, run, start
from helpers import HANG
from live import content

import sharedmap
from sharedmap._cli import errors

server, shared_server = machines.server, machines.shared_server


def test_map_travels_and_is_rolled_back(command, server, names, tmp_path):
    name, local = names(), names()
    follow = ("follow", server.url, name, "--map", local, "--state", tmp_path, "--once", "--json")
    for number in range(2):
        sharedmap.share({"number": number}, name, force=True)
        pushed = json.loads(command("push", server.url, name, "--json").out)
        assert (pushed["done"], pushed["entries"]) == ("pushed", 1)
        followed = json.loads(command(*follow).out)
        assert (followed["done"], followed["version"]) == ("published", pushed["version"])
        assert content(local) == {"number": number}
    assert command("push", server.url, name).out.startswith(f"unchanged {name}: version ")
    assert command("rollback", server.url, name).out.startswith(f"rolled back {name}: version ")
    assert command(*follow).code == 0
    assert content(local) == {"number": 0}


def test_map_can_come_from_a_file_or_have_another_name(command, server, names, tmp_path):
    name, local = names(), names()
    sharedmap.rbtree(a=1).save(tmp_path / "map")
    assert command("push", server.url, name, "--source", tmp_path / "map").code == 0
    sharedmap.share({"a": 2}, local)
    assert command("push", server.url, name, "--map", local).code == 0


def test_failures_are_one_line_and_an_exit_code(command, server, names, tmp_path):
    name = names()
    nowhere = f"unix://{tmp_path}/none"
    state = ("--state", tmp_path / "state", "--once")
    assert failed(command("push", server.url, name), errors.ABSENT, name)
    assert failed(command("follow", server.url, name, *state), errors.ABSENT, name)
    assert failed(command("rollback", server.url, name), errors.ABSENT, name)
    sharedmap.share({}, name)
    assert failed(command("push", nowhere, name), errors.NO_SERVER)
    assert failed(command("follow", nowhere, name, *state), errors.NO_SERVER)
    assert failed(command("rollback", nowhere, name), errors.NO_SERVER)
    assert failed(command("push", "http://nowhere", name), errors.USAGE, "redis://")


def test_url_can_come_from_the_environment(command, server, name, monkeypatch):
    sharedmap.share({}, name)
    monkeypatch.setenv("SHAREDMAP_URL", server.url)
    assert command("push", "-", name).code == 0
    monkeypatch.delenv("SHAREDMAP_URL")
    assert failed(command("push", "-", name), errors.USAGE, "SHAREDMAP_URL")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, -signal.SIGINT)])
def test_agent_publishes_until_it_is_ended(server, names, tmp_path, number, code):
    name, local = names(), names()
    words = ("follow", server.url, name, "--map", local, "--state", tmp_path, "--json")
    with start(*words) as agent:
        for value in range(3):
            sharedmap.share({"value": value}, name, force=True)
            assert run("push", server.url, name).code == 0
            told = json.loads(agent.next_line())
            assert (told["done"], told["is_new"]) == ("published", True)
            assert content(local) == {"value": value}
        agent.send_signal(number)
        assert agent.wait(HANG) == code
        assert agent.stdout.read() == b""
        # It may have been there before the first push.
        assert all(line.endswith(b"waiting for one\n") for line in agent.stderr)
    assert content(local) == {"value": 2}


def test_agent_that_is_killed_goes_on_from_the_disk(server, names, tmp_path):
    name, local = names(), names()
    sharedmap.share({"a": 1}, name)
    assert run("push", server.url, name).code == 0
    words = ("follow", server.url, name, "--map", local, "--state", tmp_path, "--json")
    with start(*words) as agent:
        assert json.loads(agent.next_line())["is_new"]
        agent.kill()
        agent.wait()
    with start(*words) as again:
        told = json.loads(again.next_line())
        assert (told["transferred"], told["is_new"]) == (0, False)
        again.send_signal(signal.SIGTERM)
        assert again.wait(HANG) == 0
    assert content(local) == {"a": 1}


def test_second_agent_is_refused_in_one_line(server, names, tmp_path):
    name, local = names(), names()
    sharedmap.share({"a": 1}, name)
    assert run("push", server.url, name).code == 0
    words = ("follow", server.url, name, "--map", local, "--state", tmp_path)
    with start(*words) as agent:
        assert agent.next_line().startswith(b"published")
        done = run(*words)
        assert (done.code, done.out) == (errors.CONFLICT, b"")
        assert done.err.count(b"\n") == 1
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(HANG) == 0


def test_maps_on_the_server_are_listed_checked_and_removed(command, server, names):
    name, lost = names(), names()
    sharedmap.share({"a": 1}, name)
    url = server.url
    assert command("push", url, name, "--namespace", "staging").code == 0
    staging = ("--namespace", "staging")
    assert command("server", "ls", url, *staging).out.splitlines()[1].startswith(f"{name}  ")
    server.client.sadd("staging:sharedmap:names", lost)
    listed = command("server", "ls", url, *staging).out.splitlines()
    assert listed[-1] == f"! {lost}: the server has no version of it any more"
    assert "blobs            1\n" in command("server", "stat", url, name, *staging).out
    (chunk,) = server.client.scan_iter(match="staging:*chunk:*")
    server.client.delete(chunk)
    done = command("server", "stat", *staging, url, name)
    assert (done.code, "missing          1\n" in done.out) == (errors.BAD_DATA, True)
    assert done.err == f"sharedmap: {name}: 1 blob missing or damaged on the server; push again\n"
    done = command("server", "rm", url, name, lost, "none", *staging)
    assert done.out == "".join(f"removed {each} from the server\n" for each in (name, lost))
    assert (done.code, done.err) == (errors.ABSENT, "sharedmap: no such map: 'none'\n")
    assert command("server", "rm", url, name, "--force", *staging).code == 0
    assert command("server", "ls", url, *staging).out == ""
