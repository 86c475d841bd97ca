"""follow as a service: signals, names from a file, the health file, HTTP, systemd."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import time

import machines
import pytest
from agents import published, push
from command import failed, run, start
from helpers import HANG
from live import until, wait_until

import sharedmap
from sharedmap import replication
from sharedmap._cli import errors
from sharedmap.replication._agent import health, metrics
from sharedmap.replication._agent.followed import AgentStatus, MapStatus

server, shared_server = machines.server, machines.shared_server


@contextlib.contextmanager
def follow(server, *words, state, **options):
    """The agent as a program; it has to end well."""
    with start("follow", server.url, *words, "--state", state, "--json", **options) as agent:
        yield agent
        agent.terminate()
        assert agent.wait(HANG) == 0, agent.stderr and agent.stderr.read()


def next_name(agent):
    return json.loads(agent.next_line())["name"]


def read(path):
    return json.loads(path.read_bytes()) if path.exists() else {"maps": [], "ok": None}


def states(path):
    return {each["name"]: each["state"] for each in read(path)["maps"]}


# ---- names -----------------------------------------------------------------------------------


def test_names_are_read_again_on_sighup(server, names, tmp_path):
    one, two, three = names("a:{}"), names("b:{}"), names("c:{}")
    for name in (one, two, three):
        push(server, name, {"a": 1})
    file, told = tmp_path / "names", tmp_path / "health"
    file.write_text(f"# a comment\n\n  {one}\n")
    with follow(server, three, "--names", file, "--health", told, state=tmp_path) as agent:
        assert {next_name(agent), next_name(agent)} == {one, three}
        file.write_text(f"b:{names.token}*\n")
        agent.send_signal(signal.SIGHUP)
        assert next_name(agent) == two
        wait_until(lambda: states(told).keys() == {two, three}, "the other one is dropped")
        file.unlink()
        agent.send_signal(signal.SIGHUP)
        assert b"read again" in agent.stderr.readline()
        assert b"the names stay the same" in agent.stderr.readline()
        push(server, two, {"a": 2})
        assert next_name(agent) == two
    assert published(one) == {"a": 1}


def test_invalid_arguments_are_one_line(command, server, tmp_path):
    empty = tmp_path / "names"
    empty.write_text("# nothing\n")
    url = server.url
    assert failed(command("follow", url), errors.USAGE, "--names FILE")
    assert failed(command("follow", url, "--names", empty), errors.FAILED, "no name")
    assert failed(command("follow", url, "--names", tmp_path / "none"), errors.ABSENT, "none")
    for several in (("a", "b"), ("a*",)):
        words = ("follow", url, *several, "--map", "c", "--state", tmp_path)
        assert failed(command(*words), errors.USAGE, "--map")
    assert failed(command("follow", url, "a", "--namespace", "{"), errors.FAILED, "namespace")
    for option in (("--health", tmp_path / "health"), ("--metrics", "0")):
        assert failed(command("follow", url, "a", "--once", *option), errors.USAGE, "--once")
    told = tmp_path / "none" / "health"
    words = ("follow", url, "a", "--state", tmp_path, "--health", told)
    done = run(*words)
    assert (done.code, done.out) == (errors.ABSENT, b"")
    assert done.err.count(b"\n") == 1


def test_once_tells_of_each_map(command, server, names, tmp_path):
    one, two, bad = names(), names(), names()
    for name in (one, two, bad):
        push(server, name, {"a": 1})
    server.client.delete(*machines.chunks_of(server, bad))
    words = ("follow", server.url, f"{names.token}*", "--once", "--state", tmp_path, "--json")
    done = run(*words)
    assert done.code == errors.BAD_DATA
    told = [json.loads(line)["name"] for line in done.out.splitlines()]
    assert told == [one, two]
    assert done.err.count(b"\n") == 1
    assert bad.encode() in done.err
    assert failed(command("follow", server.url, "none*", "--once", "--state", tmp_path), 3, "none*")


# ---- health ----------------------------------------------------------------------------------


def test_health_file_says_how_each_map_is_doing(server, names, tmp_path):
    good, bad = names(), names()
    for name in (good, bad):
        version = push(server, name, {"a": 1, "b": 2})
    chunks = machines.chunks_of(server, bad)
    server.client.delete(*chunks)
    path = tmp_path / "health"
    words = (good, f"{names.token}*", "--health", path, "--poll", "0.1")
    with follow(server, *words, state=tmp_path) as agent:
        wait_until(lambda: states(path) == {good: "following", bad: "failing"}, "both are told")
        found = read(path)
        assert (found["ok"], found["reachable"], found["error"]) == (False, True, None)
        of = {each["name"]: each for each in found["maps"]}
        assert of[good]["entries"] == 2
        assert of[good]["server_version"] == of[good]["version"]
        assert of[good]["received"] > 0
        assert (of[bad]["version"], of[bad]["server_version"]) == (None, version.version)
        assert of[bad]["failures"] > 0
        assert "chunk is missing on the server" in of[bad]["error"]
        done = run("doctor", "--health", path)
        assert done.code == errors.FINDINGS
        assert done.out.startswith(f"! {bad}: ".encode())
        # Also without any change.
        before = os.stat(path).st_ino
        wait_until(lambda: os.stat(path).st_ino != before, "it is written again")
        push(server, bad, {"a": 3})
        wait_until(lambda: read(path)["ok"] is True, "all is well")
        assert run("doctor", "--health", path).code == 0
        agent.kill()
        agent.wait()
        data = read(path) | {"expires": "2026-01-01T00:00:00Z"}
        path.write_text(json.dumps(data))
        done = run("doctor", "--health", path)
        assert (done.code, b"has not written" in done.out) == (errors.FINDINGS, True)
        agent.returncode = 0


def test_health_file_that_is_none_is_an_error(command, tmp_path):
    path = tmp_path / "health"
    assert failed(command("doctor", "--health", path), errors.ABSENT, str(path))
    for data in (b"", b"[]", b'{"error": null, "maps": [{}]}', b"\xff", b"[" * 100_000):
        path.write_bytes(data)
        assert failed(command("doctor", "--health", path), errors.BAD_DATA, "health file")


def a_map(name="a", **fields):
    empty = dict.fromkeys(MapStatus._fields)
    known = {"state": "following", "lag": 0.0, "received": 0, "failures": 0}
    return MapStatus(**{**empty, **known, "name": name, **fields})


def test_health_is_json_whatever_names_contain():
    status = AgentStatus(True, True, None, (a_map("\ud800\n\u202e"),))
    data = health.to_bytes(status, 1)
    assert json.loads(data)["maps"][0]["name"] == "\ud800\n\u202e"
    assert data.count(b"\n") == 1


# ---- HTTP ------------------------------------------------------------------------------------


def port_of(agent):
    line = agent.stderr.readline()
    assert line.startswith(b"sharedmap: metrics at http://"), line
    return int(line.partition(b"127.0.0.1:")[2].partition(b"/")[0])


def ask(port, path, method="GET"):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, HANG)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_health_and_metrics_are_served(server, names, tmp_path):
    one, later = names(), names()
    version = push(server, one, {"a": 1})
    with follow(server, one, later, "--metrics", "0", state=tmp_path) as agent:
        port = port_of(agent)
        wait_until(lambda: "waiting" in ask(port, "/health")[1], "both are asked for")
        assert ask(port, "/health")[0] == 503
        push(server, later, {"a": 1})
        wait_until(lambda: ask(port, "/health")[0] == 200, "both are followed")
        code, body = ask(port, "/health?x=y")
        assert (code, {each["name"] for each in json.loads(body)["maps"]}) == (200, {one, later})
        code, body = ask(port, "/metrics")
        assert code == 200
        assert "sharedmap_agent_ok 1.0" in body
        assert f'sharedmap_map_entries{{name="{one}"}} 1.0' in body
        assert f'sharedmap_map_state{{name="{one}",state="following"}} 1.0' in body
        line = next(line for line in body.splitlines() if line.startswith("sharedmap_map_version{"))
        assert int(float(line.split()[1])) in range(version.version, version.version + 60_000)
        assert ask(port, "/")[0] == 404
        assert ask(port, "/health", "POST")[0] == 405
        assert ask(port, "/health", "HEAD") == (200, "")


def serve(conversation):
    """Runs conversation(connect) with a server in the same event loop."""
    status = AgentStatus(True, True, None, (a_map(),))

    async def main():
        served = metrics.HttpServer(lambda: status, 1)
        url = await served.start("127.0.0.1", 0)
        port = int(url.rpartition(":")[2])
        try:
            await conversation(lambda: asyncio.open_connection("127.0.0.1", port))
        finally:
            await served.close()

    asyncio.run(asyncio.wait_for(main(), HANG))


async def received(client):
    """All that the server sends until it closes the connection."""
    with contextlib.suppress(ConnectionError):
        return await client[0].read()
    return b""


def test_more_clients_than_a_few_are_sent_away(monkeypatch):
    monkeypatch.setattr(metrics, "_PATIENCE", 10 * HANG)

    async def conversation(connect):
        hanging = [await connect() for _ in range(metrics._MOST_CLIENTS)]
        for _, writer in hanging:
            writer.write(b"GET /health")
        assert await received(await connect()) == b""
        hanging[0][1].write(b" HTTP/1.1\r\n\r\n")
        assert (await received(hanging[0])).startswith(b"HTTP/1.1 200 OK\r\n")
        again = await connect()
        again[1].write(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert b"sharedmap_agent_ok 1.0" in await received(again)

    serve(conversation)


def test_client_that_sends_nothing_is_sent_away(monkeypatch):
    monkeypatch.setattr(metrics, "_PATIENCE", 0.01)

    async def conversation(connect):
        assert await received(await connect()) == b""

    serve(conversation)


def test_clients_can_send_anything():
    async def conversation(connect):
        for request in (b"x" * 100_000, b"\r\n\r\n", b"GET\r\n\r\n", b"\xff / \r\n\r\n"):
            client = await connect()
            client[1].write(request)
            client[1].write_eof()
            assert (await received(client)).partition(b"\r\n")[0] in (
                b"",
                b"HTTP/1.1 404 Not Found",
                b"HTTP/1.1 405 Method Not Allowed",
            )

    serve(conversation)


def test_metrics_without_their_package_are_an_error(command, server, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client.registry", None)
    words = ("follow", server.url, "a", "--metrics", "0", "--state", tmp_path)
    assert failed(command(*words), errors.FAILED, "sharedmap[metrics]")


def test_metrics_of_any_name_are_utf_8():
    status = AgentStatus(True, True, None, (a_map('\ud800"\n', version=2**53),))
    data = metrics.HttpServer(lambda: status, 1).generate(
        metrics.HttpServer(lambda: status, 1).registry
    )
    assert "\\ud800" in data.decode("utf-8")


# ---- systemd ---------------------------------------------------------------------------------


class Systemd:
    """The socket of a service manager."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(HANG)
        self.told = {}

    def next(self, word):
        """Waits for such an assignment; returns its value."""
        deadline = time.monotonic() + HANG
        while time.monotonic() < deadline:
            told = dict(line.split("=") for line in self.socket.recv(4096).decode().split("\n"))
            self.told |= told
            if word in told:
                return told[word]
        raise AssertionError(f"no {word}, only {self.told}")


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    address = str(tmp_path / "notify") if request.param == "path" else f"\0{os.urandom(8).hex()}"
    made = Systemd(address)
    made.variable = "@" + address[1:] if address[0] == "\0" else address
    with made.socket:
        yield made


def test_systemd_is_told_when_maps_are_there_and_that_the_loop_lives(
    server, names, tmp_path, systemd
):
    name = names()
    push(server, name, {"a": 1})
    file = tmp_path / "names"
    file.write_text(name)
    environment = {**os.environ, "NOTIFY_SOCKET": systemd.variable, "WATCHDOG_USEC": "30000"}
    with follow(server, "--names", file, state=tmp_path, env=environment) as agent:
        systemd.next("READY")
        assert published(name) == {"a": 1}
        wait_until(
            lambda: systemd.next("WATCHDOG") and "1 map: 1 following" in systemd.told["STATUS"],
            "its status is told",
        )
        for _ in range(3):
            systemd.next("WATCHDOG")
        agent.send_signal(signal.SIGHUP)
        systemd.next("RELOADING")
        assert int(systemd.told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        systemd.next("READY")
        # A loop that hangs says nothing any more.
        agent.send_signal(signal.SIGSTOP)
        systemd.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            while True:
                systemd.socket.recv(4096)
        systemd.socket.settimeout(HANG)
        agent.send_signal(signal.SIGCONT)
        systemd.next("WATCHDOG")
        agent.terminate()
        systemd.next("STOPPING")


def test_agent_without_systemd_or_with_the_watchdog_of_another_says_nothing(monkeypatch):
    from sharedmap.replication._agent.notify import Notifier

    for variables in (
        {},
        {"NOTIFY_SOCKET": "/none", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/none", "WATCHDOG_USEC": "x"},
        {"WATCHDOG_USEC": "1"},
    ):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        notifier = Notifier()
        assert notifier.interval is None
        notifier.ready()
        assert "NOTIFY_SOCKET" not in os.environ


def test_agent_is_ready_with_the_disk_alone(server, name, tmp_path):
    push(server, name, {"a": 1})
    replication.pull(server.url, name, directory=tmp_path / "state")
    sharedmap.remove(name)
    manager = Systemd(str(tmp_path / "notify"))
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
    nowhere = f"unix://{tmp_path}/none"
    words = ("follow", nowhere, name, "--state", tmp_path / "state")
    with manager.socket, start(*words, env=environment) as agent:
        manager.next("READY")
        assert published(name) == {"a": 1}
        agent.terminate()
        assert agent.wait(HANG) == 0


def test_agent_that_is_ending_ignores_another_sigterm(server, name, tmp_path):
    """However many are sent, none kills it, and standard error has no traceback."""
    push(server, name, {"a": 1})
    for _ in range(5):
        with start("follow", server.url, name, "--state", tmp_path, "--json") as agent:
            assert next_name(agent) == name
            for _ in until(lambda: agent.poll() is not None, "it ends"):
                agent.send_signal(signal.SIGTERM)
            assert agent.returncode == 0
            assert b"Traceback" not in agent.stderr.read()


def test_agent_survives_any_number_of_sighups(server, name, tmp_path):
    push(server, name, {"a": 1})
    file, errors = tmp_path / "names", tmp_path / "errors"
    file.write_text(name)
    with (
        errors.open("wb") as written,
        follow(server, "--names", file, state=tmp_path, stderr=written) as agent,
    ):
        assert next_name(agent) == name
        for _ in until(lambda: errors.read_bytes().count(b"read again") > 100, "it reads again"):
            agent.send_signal(signal.SIGHUP)
    assert b"Traceback" not in errors.read_bytes()
