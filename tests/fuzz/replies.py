"""Pushes and follows through a proxy that changes what the server answers.

    python3 tests/fuzz/replies.py [--runs N | --seconds S] [--seed N] [--slow S]

    push, pull, rollback, follow <--- proxy <--- redis-server
                                        |
                                        one block of replies is damaged, or something else

A run is one operation, with an event loop or without, in which one block is changed, chosen at
random: bytes are flipped, removed or repeated, numbers become others, a manifest says something
else in valid JSON, or the block is replaced by what no server would send, or by a reply without an
end. Then the connection is closed, or goes on out of step.

Only a ReplicationError may come out, and soon. Whatever is published on this machine must be a map
that was pushed, and verify. The process must not have grown. After that, without the proxy, the
next pushes and pulls must repair what the publisher was made to believe. A follower has to reach
the version by itself. Exits with a failure otherwise; --seed repeats it.

tests/tools/test_replies.py plants mistakes in the package, which have to be found here.
"""

import argparse
import asyncio
import contextlib
import faulthandler
import itertools
import json
import logging
import os
import pathlib
import random
import re
import resource
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, os.fspath(HERE.parent / "support"))

import redis_server  # noqa: E402

import sharedmap  # noqa: E402
from sharedmap import replication  # noqa: E402
from sharedmap.replication import aio  # noqa: E402
from sharedmap.replication._server import connection, replies  # noqa: E402

PATIENCE = 0.2  # seconds that a changed reply has, besides its size
GROWTH = 64 << 20
WARM = 50  # runs after which the process has what it needs
# Operation: how many blocks it is answered in, about.
OPERATIONS = {"push": 12, "pull": 6, "rollback": 9, "follow": 7}

STRANGE = [
    b"$-1\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b":0\r\n",
    b":-3\r\n",
    b"+OK\r\n",
    b"+QUEUED\r\n",
    b"$0\r\n\r\n",
    b"$4294967296\r\n",
    b"*4294967296\r\n",
    b"*65000\r\n" + b"*0\r\n" * 65_000,
    b"*1\r\n" * 5_000,
    b":" + b"9" * 20_000 + b"\r\n",
    b"+" + b"x" * 200_000 + b"\r\n",
    b"-ERR " + b"x" * 10_000 + b"\r\n",
    b"-MOVED 1 127.0.0.1:1\r\n",
    b"-ASK 1 127.0.0.1:99999\r\n",
    b"-LOADING it is\r\n",
    b"-READONLY it is\r\n",
    b"-EXECABORT it is\r\n",
    b"%1\r\n+a\r\n+b\r\n",
    b"_\r\n",
    b"\x00" * 1000,
]


TYPES = [b":7\r\n", b"*1\r\n+x\r\n", b"*2\r\n:1\r\n*0\r\n", b"*1\r\n*1\r\n:1\r\n"]

# How a reply begins that has no end, what follows, and how many bytes of it are sent at most. A
# client that reads all of them has grown by more than it may.
ENDLESS = [
    (b"$4294967296\r\n", b"x", 2 * GROWTH),
    (b"+", b"x", 2 * GROWTH),
    (b"*4294967296\r\n", b"*0\r\n", GROWTH // 8),
]
# Which block is changed: the first with a manifest, the first with another large string, any.
MANIFEST = re.compile(rb"\$[0-9]+\r\n\{")
BLOB = re.compile(rb"\$[0-9]{3,}\r\n[^{]")
ANY = re.compile(b"")


def changed(block, chance):
    """The blocks that the client gets for this one."""
    kind = chance.randrange(7)
    if kind == 0:
        return endless(block, chance)
    strings = strings_of(block)
    if kind < 6 and strings:
        # Everything around it is in step.
        largest = max(strings, key=lambda string: len(string[2]))
        begin, end, data = largest if kind > 1 else chance.choice(strings)
        return [block[:begin] + other_string(data, chance) + block[end:]]
    if kind < 6:
        return [flipped(block, chance)]
    return [other_bytes(block, chance)]


def flipped(data, chance):
    """As long, and what is inside may still be valid."""
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def strings_of(block):
    """Where the strings begin and end, and what they are."""
    found = []
    for match in re.finditer(rb"\$([0-9]{1,9})\r\n", block):
        end = match.end() + int(match[1])
        if block[end : end + 2] == b"\r\n":
            found.append((match.start(), end + 2, block[match.end() : end]))
    return found


def other_string(data, chance):
    kind = chance.randrange(6)
    if kind == 0:
        return chance.choice(STRANGE)
    if kind == 1:
        return chance.choice(TYPES)
    if data.startswith(b"{") and kind > 2:
        data = other_json(data, chance)
    elif data and kind > 2:
        data = flipped(data, chance)
    elif data:
        data = other_bytes(data, chance)
    return f"${len(data)}\r\n".encode() + data + b"\r\n"


def endless(block, chance):
    at = chance.choice(lines_of(block))
    first, filled, size = chance.choice(ENDLESS)
    yield block[:at] + first
    filled *= (64 << 10) // len(filled)
    for _ in range(size // len(filled)):
        yield filled


def lines_of(block):
    return [0, *(match.end() for match in re.finditer(rb"\r\n", block))]


def other_json(data, chance):
    """Valid JSON with an item removed, repeated, moved or replaced by another one."""
    value = json.loads(data)
    containers = [value]
    for container in containers:
        items = container.values() if isinstance(container, dict) else container
        containers += [item for item in items if isinstance(item, dict | list) and item]
    kind = chance.randrange(4)
    if value.get("differences") and chance.random() < 0.7:
        kind = chance.choice([0, 0, kind])
        containers = [value["differences"]]
    container, donor = chance.choice(containers), chance.choice(containers)
    place, other = chance.choice(places_of(container)), chance.choice(places_of(donor))
    if kind == 0:
        del container[place]
    elif kind == 1 and isinstance(container, list):
        container.insert(place, container[place])
    elif kind == 2 and type(container[place]) is int:
        container[place] += chance.choice([-1, 1])
    elif type(donor[other]) is type(container[place]) and chance.random() < 0.9:
        container[place] = json.loads(json.dumps(donor[other]))
    else:
        container[place] = chance.choice([None, 0, -1, 1.5, "", [], {}, True])
    return json.dumps(value).encode()


def places_of(container):
    return [*container] if isinstance(container, dict) else range(len(container))


def other_bytes(block, chance):
    kind = chance.randrange(8)
    at = chance.randrange(len(block))
    size = chance.choice([1, 1, 2, 8, len(block)])
    if kind == 0:
        flipped = bytes(byte ^ (1 << chance.randrange(8)) for byte in block[at : at + size])
        return block[:at] + flipped + block[at + size :]
    if kind == 1:
        return block[:at] + block[at + size :]
    if kind == 2:
        return block[: at + size] + block[at:]
    if kind == 3:
        return block[:at] + chance.randbytes(size) + block[at:]
    if kind == 4:
        return block[:at]
    if kind == 5:  # another number, whatever it counts
        numbers = [*re.finditer(rb"[0-9]+", block)]
        if numbers:
            number = chance.choice(numbers)
            other = chance.choice([0, 1, int(number[0]) + 1, 2**31, 2**63, -1])
            return block[: number.start()] + str(other).encode() + block[number.end() :]
    at = chance.choice(lines_of(block))
    strange = chance.choice(STRANGE)
    return block[:at] + strange + (block[at:] if kind == 6 else b"")


class Proxy:
    """Changes the block of that number among those that match, of all connections, or none."""

    def __init__(self, path, server):
        self.server = server
        self.url = f"unix://{path}"
        self.chance = random.Random()
        self.pattern = ANY
        self.number = None
        self.count = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.pass_on, args=(client,), daemon=True).start()

    def pass_on(self, client):
        server = socket.socket(socket.AF_UNIX)
        with client, server, contextlib.suppress(OSError):
            server.connect(self.server.socket)
            while True:
                ready, _, _ = select.select([client, server], [], [])
                if client in ready:
                    data = client.recv(1 << 16)
                    if not data:
                        return
                    server.sendall(data)
                if server in ready:
                    block = server.recv(1 << 16)
                    if not block:
                        return
                    is_one = self.pattern.search(block) is not None
                    self.count += is_one
                    if is_one and self.count == self.number:
                        for other in changed(block, self.chance):
                            client.sendall(other)
                        if self.chance.random() < 0.8:
                            return
                    else:
                        client.sendall(block)


class TookTooLong(BaseException):
    """Nothing takes it for an error of the server."""


def give_up(*_):
    raise TookTooLong


@contextlib.contextmanager
def impatient():
    before = replies._SECONDS, connection._CONNECT_SECONDS
    replies._SECONDS = connection._CONNECT_SECONDS = PATIENCE
    try:
        yield
    finally:
        replies._SECONDS, connection._CONNECT_SECONDS = before


class Case:
    """One operation, of a map and a directory of its own."""

    def __init__(self, seed, server, proxy, directory, slow):
        self.chance = random.Random(seed)
        self.slow = slow
        self.server, self.proxy = server, proxy
        self.name = f"fuzz-{os.getpid()}"
        self.here = {"local": f"{self.name}-here", "directory": directory}
        self.operation = self.chance.choice([*OPERATIONS])
        self.with_loop = self.chance.random() < 0.5
        self.pushed = []
        self.outcome = None

    def share(self):
        """A few entries more or others than before, so that some versions are differences."""
        value = {f"key {key:03}": f"{key:050}" for key in range(300)}
        for _ in range(len(self.pushed) + 1):
            value[f"key {self.chance.randrange(320):03}"] = self.chance.randbytes(20)
        self.pushed.append(value)
        sharedmap.share(value, self.name, force=True)

    def is_pushed(self):
        with contextlib.suppress(FileNotFoundError), sharedmap.sharedmap(self.here["local"]) as m:
            m.verify()
            assert dict(m) in self.pushed, "a map that was not pushed is published"

    def run(self):
        self.server.client.flushall()
        pushes = self.chance.choice([1, 2, 3, 3])
        for number in range(pushes):
            self.share()
            replication.push(self.server.url, self.name)
            # Something remains to be fetched.
            if number == 0 and pushes > 1 and self.chance.random() < 0.7:
                replication.pull(self.server.url, self.name, **self.here)
        if self.operation == "push":
            self.share()
        self.proxy.chance = self.chance
        self.proxy.count = 0
        self.proxy.number = self.chance.randint(1, OPERATIONS[self.operation])
        self.proxy.pattern = self.chance.choice([MANIFEST, BLOB, ANY])
        if self.proxy.pattern is not ANY:
            self.proxy.number = 1
        signal.setitimer(signal.ITIMER_REAL, self.slow)
        try:
            with impatient():
                self.perform()
            self.outcome = "passed"
        except replication.ReplicationError as error:
            self.outcome = "refused"
            assert len(str(error)) < 1000, "the message is too long"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.proxy.number = None
        self.is_pushed()
        self.repair()

    def perform(self):
        url, name = self.proxy.url, self.name
        if self.operation == "follow":
            self.follow(url, name)
            return
        options = self.here if self.operation == "pull" else {}
        if self.with_loop:
            asyncio.run(getattr(aio, self.operation)(url, name, **options))
        else:
            getattr(replication, self.operation)(url, name, **options)

    def follow(self, url, name):
        def is_last():
            with contextlib.suppress(FileNotFoundError), sharedmap.sharedmap(local) as opened:
                return dict(opened) == self.pushed[-1]

        async def with_loop():
            async with contextlib.aclosing(aio.follow(url, name, poll=0.05, **self.here)) as found:
                async for _ in found:
                    self.is_pushed()
                    if is_last():
                        return

        local = self.here["local"]
        if self.with_loop:
            asyncio.run(with_loop())
            return
        with contextlib.closing(replication.follow(url, name, poll=0.05, **self.here)) as found:
            for _ in found:
                self.is_pushed()
                if is_last():
                    return

    def repair(self):
        """By the next pushes: an agent tells the server what it misses."""
        # A damaged manifest that is valid may have a version ahead of all others.
        shutil.rmtree(self.here["directory"], ignore_errors=True)
        self.share()
        for attempt in range(3):
            replication.push(self.server.url, self.name)
            try:
                replication.pull(self.server.url, self.name, **self.here)
                break
            except replication.ReplicationError:
                assert attempt < 2, "what is missing is not sent again"
        with sharedmap.sharedmap(self.here["local"]) as opened:
            assert dict(opened) == self.pushed[-1], "the last version is another one"

    def close(self):
        for name in (self.name, self.here["local"]):
            with contextlib.suppress(FileNotFoundError):
                sharedmap.remove(name)


def most_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--slow", type=float, default=20, help="what no operation may take")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    logging.disable()
    signal.signal(signal.SIGALRM, give_up)
    server = redis_server.make_server()
    outcomes = {}
    end = time.monotonic() + arguments.seconds
    try:
        with tempfile.TemporaryDirectory(prefix="sharedmap-") as directory:
            os.environ["STATE_DIRECTORY"] = directory
            proxy = Proxy(f"{directory}/proxy", server)
            base = most_memory()
            for run in itertools.count():
                if run == arguments.runs or (not arguments.runs and time.monotonic() > end):
                    break
                seed, own = f"{arguments.seed}-{run}", f"{directory}/{run}"
                case = Case(seed, server, proxy, own, arguments.slow)
                # Whatever hangs, and no signal ends, is shown.
                faulthandler.dump_traceback_later(3 * arguments.slow, exit=True)
                try:
                    case.run()
                    grown = most_memory() - base
                    assert grown < GROWTH, f"the process has grown by {grown >> 20} MiB"
                except BaseException:
                    print(f"FAILED: {case.operation}, run {run} of seed {arguments.seed}")
                    raise
                finally:
                    case.close()
                key = (case.operation, case.outcome)
                outcomes[key] = outcomes.get(key, 0) + 1
                if run < WARM:
                    base = most_memory()
    finally:
        faulthandler.cancel_dump_traceback_later()
        redis_server.end_server(server)
    text = ", ".join(f"{count} {' '.join(key)}" for key, count in sorted(outcomes.items()))
    print(f"{run} runs: {text}")


if __name__ == "__main__":
    main()
