"""A server may send anything: how much memory and time it can cost, and what comes out of it."""

import asyncio
import contextlib
import itertools
import json
import socket
import subprocess
import sys
import threading
import time

import pytest
from helpers import HANG
from resp_server import FakeServer, array, bulk

import sharedmap
from sharedmap import replication
from sharedmap.replication import aio
from sharedmap.replication._server import connection, replies, resp
from sharedmap.replication._server.drive import Server

MIB = 1 << 20
MANIFEST = 4 * MIB
# What an agent may take beside what it is fetching.
ALLOWED = 8 * MIB
# Seconds after which a fake server closes the connections of a client that has no deadline.
TOO_LONG = 10

AGENT = """
import asyncio, logging, sys
from sharedmap import replication
from sharedmap.replication import aio
logging.disable()
url, name, state, with_loop = sys.argv[1:]

async def main():
    while True:
        print(flush=True)
        if not sys.stdin.readline():
            break
        try:
            if with_loop == "True":
                await aio.pull(url, name, directory=state)
            else:
                replication.pull(url, name, directory=state)
        except replication.ReplicationError as error:
            print(type(error).__name__, str(error)[:300].encode(), flush=True)

asyncio.run(main())
"""


def endless(first, block, size=256 << 10):
    yield first
    filled = block * (size // len(block))
    while True:
        yield filled


def of_manifest(data):
    """A reply that has the manifest which was asked for, and says nothing else."""
    return lambda words: bulk(data) if words[0] == b"GETRANGE" else array()


def nested_manifest(item):
    return b'{"format":2,"version":[' + item * ((MANIFEST - 100) // len(item)) + b"1]}"


def manifest_of_rows():
    """The longest list of chunks that there can be: 50,000."""
    row = json.dumps(["0" * 64, 1, None], separators=(",", ":")).encode()
    rows = b",".join([row] * ((MANIFEST - 2000) // (len(row) + 1)))
    fields = {"format": 1, "version": 1, "entries": 1, "size": 1, "sha256": "0" * 64}
    head = json.dumps(fields | {"header": ""}, separators=(",", ":")).encode()
    return head[:-1] + b',"chunks":[' + rows + b"]}"


ATTACKS = {
    "a line without an end": (lambda words: endless(b"+", b"x"), 0),
    "an error without an end": (lambda words: endless(b"-ERR ", b"x"), 0),
    "a string of 4 GiB": (lambda words: endless(b"$4294967296\r\n", b"x"), 0),
    "an array of 4 G items": (lambda words: endless(b"*4294967296\r\n", b":1\r\n"), 0),
    "arrays in arrays": (lambda words: endless(b"", b"*1\r\n"), 0),
    "empty arrays": (lambda words: endless(b"*65000\r\n", b"*0\r\n"), 0),
    "entries without an end": (lambda words: endless(b"*1\r\n*60000\r\n", b"$1\r\nx\r\n"), 0),
    "more than was asked for": (lambda words: bulk(b"x" * (MANIFEST + MIB)), 0),
    "a number of 10,000 digits": (lambda words: b":" + b"9" * 10_000 + b"\r\n", 0),
    "a manifest of 4 MiB that is none": (of_manifest(b"x" * MANIFEST), MANIFEST),
    "a manifest of lists": (of_manifest(nested_manifest(b"[],")), MANIFEST),
    "a manifest of numbers": (of_manifest(nested_manifest(b"1,")), MANIFEST),
    "a manifest of strings": (of_manifest(nested_manifest(b'"",')), MANIFEST),
    "a manifest of commas": (of_manifest(nested_manifest(b'",,,,,",')), MANIFEST),
    "a manifest with a long text": (of_manifest(b'{"format":"' + b"x" * MANIFEST), MANIFEST),
    # A list of 50,000 chunks takes four times its size.
    "a manifest of rows": (of_manifest(manifest_of_rows()), 4 * MANIFEST),
}


def rss_anon(process):
    with open(f"/proc/{process.pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) << 10


@pytest.fixture(params=[False, True], ids=["without a loop", "with a loop"])
def agent(request, name, tmp_path):
    """An agent in a process of its own, whose server does as `fake.answers` says."""
    fake = FakeServer(lambda words: None)
    command = [sys.executable, "-c", AGENT, fake.url, name, tmp_path, str(request.param)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()

    def pull(answers):
        """What the agent says of it, and the most memory that it had meanwhile."""
        fake.answers = answers
        process.stdin.write(b"\n")
        process.stdin.flush()
        most = 0
        said = []
        reader = iter(process.stdout.readline, b"\n")
        thread = threading.Thread(target=lambda: said.extend(reader))
        thread.start()
        while thread.is_alive():
            most = max(most, rss_anon(process))
            thread.join(0.0005)
        most = max(most, rss_anon(process))
        return b"".join(said).decode(), most

    yield pull
    process.stdin.close()
    process.wait(HANG)
    process.stdout.close()
    fake.close()


@pytest.mark.slow
def test_memory_of_an_agent_is_bounded_whatever_the_server_sends(agent):
    agent(lambda words: None)
    _, base = agent(lambda words: b"-ERR no\r\n")
    grown = {}
    for attack, (answers, fetched) in ATTACKS.items():
        said, most = agent(answers)
        assert said.startswith(("ServerError", "Refused", "ReplicationError")), (attack, said)
        grown[attack] = (most - base - fetched) / MIB
    print({attack: round(size, 1) for attack, size in grown.items()})  # for `pytest -s`
    assert not {attack: size for attack, size in grown.items() if size > ALLOWED / MIB}


@pytest.mark.parametrize("has_port", [False, True], ids=["unix", "tcp"])
def test_reply_while_redis_py_signs_in_is_bounded(call, fakes, has_port):
    """Not by redis-py, whose parser allocates whatever a reply announces."""
    # Over a Unix socket, redis-py signs in twice.
    large = iter([bulk(b"x" * MIB)])
    fake = fakes(lambda words: next(large, None), greetings=(), has_port=has_port)
    with pytest.raises(replication.ServerError, match="larger than what was asked for"):
        call("pull", fake.url)


# ---- time ------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(replies, "_SECONDS", 0.2)
    monkeypatch.setattr(replies, "_SLOWEST", 1 << 40)
    monkeypatch.setattr(connection, "_CONNECT_SECONDS", 0.2)


@pytest.fixture(params=[False, True], ids=["without a loop", "with a loop"])
def call(request, name, tmp_path):
    """Any of the functions, with an event loop or without, of the map that is published."""

    def run(function, url):
        here = {} if function in ("push", "rollback") else {"directory": tmp_path}
        if request.param:
            return asyncio.run(getattr(aio, function)(url, name, **here))
        return getattr(replication, function)(url, name, **here)

    sharedmap.share({"a": 1}, name)
    return run


@pytest.fixture
def fakes():
    made = []

    def make(answers, **options):
        made.append(FakeServer(answers, **options))
        return made[-1]

    yield make
    for fake in made:
        fake.close()


def slowly(blocks, is_over):
    """For so long that a client without a deadline is still there, which then fails otherwise."""
    end = time.monotonic() + TOO_LONG
    for block in blocks:
        yield block
        if is_over.wait(0.005) or time.monotonic() > end:
            break
    is_over.wait(max(0, end - time.monotonic()))
    raise ConnectionAbortedError


@pytest.mark.parametrize("function", ["push", "pull", "rollback"])
@pytest.mark.parametrize("what", ["nothing", "bytes", "replies", "greetings"])
def test_server_that_is_slow_without_an_end_is_given_up(call, fakes, impatient, function, what):
    is_over = threading.Event()
    dribbles = {
        "nothing": (),
        "bytes": (b"$500\r\n", *[b"x"] * 10_000),
        "replies": (b"*5000\r\n", *[b":1\r\n"] * 10_000),
        "greetings": itertools.repeat(b"+"),
    }

    def answers(words):
        yield from slowly(dribbles[what], is_over)

    fake = fakes(answers, greetings=() if what == "greetings" else {"AUTH", "CLIENT"})
    try:
        with pytest.raises(replication.ServerError, match=r"in time|[Tt]imeout|too long|items"):
            call(function, fake.url)
    finally:
        is_over.set()


def test_server_that_does_not_read_is_given_up(name, impatient, tmp_path):
    """What is sent has a deadline, too."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        timer = threading.Timer(TOO_LONG, listener.close)
        timer.start()
        sharedmap.share({"a": b"x" * MIB}, name)
        server = Server(f"unix://{path}")
        commands = replication._operations.Commands([("SET", b"key", b"x" * (8 * MIB))])
        try:
            with pytest.raises(replication.ServerError, match=r"in time|[Tt]imeout"):
                server.perform(commands)
        finally:
            timer.cancel()


# ---- types -----------------------------------------------------------------------------------

REPLIES = [
    b"$-1\r\n",
    b"*-1\r\n",
    b":7\r\n",
    b":-1\r\n",
    b":9223372036854775807\r\n",
    b"+OK\r\n",
    b"$0\r\n\r\n",
    b"$3\r\nabc\r\n",
    b"$3\r\nabcde",
    b"$-7\r\n",
    b"$+3\r\nabc\r\n",
    b"$ 3\r\nabc\r\n",
    b"$1_0\r\nabcdefghij\r\n",
    b"*0\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n*0\r\n",
    b"*2\r\n:1\r\n*1\r\n:1\r\n",
    b"*1\r\n*2\r\n$3\r\n0-1\r\n*1\r\n$1\r\nx\r\n",
    b"*1\r\n*2\r\n$3\r\n0-1\r\n$1\r\nx\r\n",
    b"*2\r\n$1\r\nx\r\n-ERR in an array\r\n",
    b"-ERR\r\n",
    b"-\r\n",
    b"-NOAUTH Authentication required.\r\n",
    b"-MOVED 1 127.0.0.1:1\r\n",
    b"-MOVED\r\n",
    b"-ASK 1 :99999\r\n",
    b"-LOADING \xff\x1b[31m\r\n",
    b"%1\r\n+a\r\n+b\r\n",
    b"_\r\n",
    b"#t\r\n",
    b"\r\n",
    b"\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x15\x03\x01\x00\x02\x02\x46\r\n",
]


@pytest.mark.parametrize("function", ["push", "pull", "rollback"])
def test_replies_of_any_type_are_one_kind_of_error(call, fakes, impatient, function):
    """Or none: some are what another server answers to one of the commands."""
    fake = fakes(None)
    for fake.greetings in ({"AUTH", "CLIENT"}, ()):
        for reply in REPLIES:
            fake.answers = lambda words, reply=reply: reply
            with contextlib.suppress(replication.ReplicationError):
                call(function, fake.url)


@pytest.mark.parametrize("url", ["redis+cluster", "redis+sentinel"])
def test_nodes_that_answer_anything_are_one_kind_of_error(call, fakes, impatient, url):
    fake = fakes(None, has_port=True)
    for reply in REPLIES:
        fake.answers = lambda words, reply=reply: reply
        with pytest.raises(replication.ReplicationError):
            call("pull", f"{url}://127.0.0.1:{fake.port}" + "/shop" * ("sentinel" in url))


@pytest.mark.parametrize("line", [b"$+3", b"$ 3", b"$1_0", b"*\xd9\xa3", b":1e3", b":", b":--1"])
def test_number_that_only_python_reads_is_none(line):
    parser = resp.read_reply(resp.Budget(MIB, 10))
    assert next(parser) == resp.LINE
    with pytest.raises(replication.ServerError, match="a number that is not valid"):
        parser.send(line)
