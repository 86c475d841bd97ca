"""Pushes and follows through a proxy that changes what the server answers.

    python3 tests/fuzz/replies.py [--runs N | --seconds S] [--seed N]

    push, pull, rollback, follow <--- proxy <--- redis-server
                                        |
                                        one block of replies is damaged, or something else

A run is one operation, with an event loop or without, in which one block is changed, chosen at
random: bytes are flipped, removed or repeated, numbers become others, or the block is replaced by
what no server would send. Then the connection is closed, or goes on out of step.

Only a ReplicationError may come out, and soon. Whatever is published on this machine must be a map
that was pushed, and verify. After that, without the proxy, the next pushes and pulls must repair
what the publisher was made to believe. A follower has to reach the version by itself. In the end
the process must not have grown. Exits with a failure otherwise; --seed repeats it.
"""

import argparse
import asyncio
import contextlib
import faulthandler
import itertools
import logging
import os
import pathlib
import random
import re
import resource
import select
import shutil
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
from sharedmap.replication._server import replies  # noqa: E402

SLOW = 20  # seconds that no operation may take
PATIENCE = 0.5  # seconds that a reply has, besides its size
MOST_BLOCKS = 14
GROWTH = 64 << 20
OPERATIONS = ("push", "pull", "rollback", "follow")

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


def changed(block, chance):
    """The block as the client gets it."""
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
    lines = [0, *(match.end() for match in re.finditer(rb"\r\n", block))]
    at = chance.choice(lines)
    strange = chance.choice(STRANGE)
    return block[:at] + strange + (block[at:] if kind == 6 else b"")


class Proxy:
    """Changes the block of that number, counted over all connections, or none."""

    def __init__(self, path, server):
        self.server = server
        self.url = f"unix://{path}"
        self.chance = random.Random()
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
                    self.count += 1
                    if self.count == self.number:
                        client.sendall(changed(block, self.chance))
                        if self.chance.random() < 0.8:
                            return
                    else:
                        client.sendall(block)


class Case:
    """One operation, of a map and a directory of its own."""

    def __init__(self, seed, server, proxy, directory):
        self.chance = random.Random(seed)
        self.server, self.proxy = server, proxy
        self.name = f"fuzz-{os.getpid()}"
        self.here = {"local": f"{self.name}-here", "directory": directory}
        self.operation = self.chance.choice(OPERATIONS)
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
        for number in range(self.chance.randrange(1, 4)):
            self.share()
            replication.push(self.server.url, self.name)
            if number == 0 and self.chance.random() < 0.7:
                replication.pull(self.server.url, self.name, **self.here)
        if self.operation == "push":
            self.share()
        self.proxy.chance = self.chance
        self.proxy.count = 0
        self.proxy.number = self.chance.randrange(1, MOST_BLOCKS)
        begin = time.monotonic()
        try:
            self.perform()
            self.outcome = "passed"
        except replication.ReplicationError as error:
            self.outcome = "refused"
            assert len(str(error)) < 1000, "the message is too long"
        finally:
            self.proxy.number = None
        assert time.monotonic() - begin < SLOW, "it took too long"
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
                    if is_last():
                        return

        local = self.here["local"]
        if self.with_loop:
            asyncio.run(asyncio.wait_for(with_loop(), SLOW))
            return
        with contextlib.closing(replication.follow(url, name, poll=0.05, **self.here)) as found:
            for _ in found:
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    logging.disable()
    replies._SECONDS = PATIENCE
    server = redis_server.make_server()
    outcomes = {}
    end = time.monotonic() + arguments.seconds
    try:
        with tempfile.TemporaryDirectory(prefix="sharedmap-") as directory:
            os.environ["STATE_DIRECTORY"] = directory
            proxy = Proxy(f"{directory}/proxy", server)
            for run in itertools.count():
                if run == arguments.runs or (not arguments.runs and time.monotonic() > end):
                    break
                case = Case(f"{arguments.seed}-{run}", server, proxy, f"{directory}/{run}")
                # Whatever hangs is shown.
                faulthandler.dump_traceback_later(3 * SLOW, exit=True)
                try:
                    case.run()
                except BaseException:
                    print(f"FAILED: {case.operation}, run {run} of seed {arguments.seed}")
                    raise
                finally:
                    case.close()
                key = (case.operation, case.outcome)
                outcomes[key] = outcomes.get(key, 0) + 1
                if run == 50:
                    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    finally:
        faulthandler.cancel_dump_traceback_later()
        redis_server.end_server(server)
    if run > 50:
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) << 10
        assert grown < GROWTH, f"the process has grown by {grown >> 20} MiB"
    text = ", ".join(f"{count} {' '.join(key)}" for key, count in sorted(outcomes.items()))
    print(f"{run} runs: {text}")


if __name__ == "__main__":
    main()
