"""A publisher pushes and agents follow, while the server that has the map is killed and fails over.

    python3 tests/faults/failover.py [--kinds cluster sentinel] [--failovers N] [--agents N]
        [--program valkey-server]

    publisher ---> master --> replica        three masters and three replicas of a cluster, or
                     ^                       a master, a replica and three sentinels
                     +------- agents ---> local maps

The publisher pushes one version after the other, and each again until its push returns. Between
two of them, the master of the map is killed with SIGKILL while a push runs. When a push has
returned from the new master, the killed server is started again, as a replica of it.

Every push that has returned is looked for at the new master. A push waits for the replicas that its
master has. A master whose only replica is connecting again has none, and acknowledges alone unless
min-replicas-to-write forbids it; what is missing then, the publisher repeats by its next push. And

    going on     no agent publishes a version after a later one
    verified     each version has the entries with which it was pushed
    complete     in the end every agent has the last version

Exits with a failure if anything was different.
"""

import argparse
import asyncio
import contextlib
import os
import pathlib
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, os.fspath(HERE.parent / "support"))

import redis  # noqa: E402
import redis_groups  # noqa: E402
from live import wait_until  # noqa: E402

import sharedmap  # noqa: E402
from sharedmap import replication  # noqa: E402
from sharedmap.replication import aio  # noqa: E402
from sharedmap.replication._manifest import parse  # noqa: E402
from sharedmap.replication._operations import Keys  # noqa: E402

ENTRIES = 500
BETWEEN = 5  # pushes between two failovers
LIMIT = 60  # seconds until there is a new master, at most
POLL = 0.5
KINDS = {
    "cluster": lambda program: redis_groups.Cluster(program, replicas=1),
    "sentinel": redis_groups.Sentinels,
}


def value_of(number):
    return {f"key {key:04}": f"{number:08}" + "x" * (number * key % 7) for key in range(ENTRIES)}


def number_of(name):
    """Which version it is. Raises AssertionError if it has entries of two."""
    with sharedmap.sharedmap(name) as opened:
        opened.verify()
        number = int(opened["key 0000"])
        assert dict(opened) == value_of(number), f"version {number} is mixed"
        return number


class Agent(threading.Thread):
    """Follows in a thread, with an event loop or without, until it has seen the last version."""

    def __init__(self, url, name, directory, with_loop):
        super().__init__(daemon=True)
        self.url, self.name, self.with_loop = url, name, with_loop
        self.local = f"{name}-{directory.name}"
        self.options = {"local": self.local, "directory": directory, "poll": POLL}
        self.seen = []
        self.last = None
        self.wrong = []

    def run(self):
        try:
            if self.with_loop:
                asyncio.run(self.follow_with_loop())
            else:
                self.follow()
        except Exception as error:
            self.wrong.append(f"{self.local}: {error!r}")

    def follow(self):
        with contextlib.closing(replication.follow(self.url, self.name, **self.options)) as found:
            for version in found:
                if self.sees(version):
                    return

    async def follow_with_loop(self):
        follower = aio.follow(self.url, self.name, **self.options)
        async with contextlib.aclosing(follower) as found:
            async for version in found:
                if self.sees(version):
                    return

    def sees(self, version):
        number = number_of(self.local)
        if self.seen and (version.version, number) < self.seen[-1]:
            self.wrong.append(f"{self.local}: {version.version} after {self.seen[-1]}")
        self.seen.append((version.version, number))
        return number == self.last


class Publisher:
    def __init__(self, url, name):
        self.url, self.name = url, name
        self.number = 0
        self.acknowledged = 0  # the version of the last push that returned
        self.pushes = self.repeated = 0

    def push_next(self):
        self.number += 1
        self.push()

    def push(self):
        sharedmap.share(value_of(self.number), self.name, force=True)
        end = time.monotonic() + LIMIT
        while True:
            self.pushes += 1
            try:
                self.acknowledged = replication.push(self.url, self.name).version
                return
            except replication.ReplicationError:
                assert time.monotonic() < end, f"no push has returned for {LIMIT} seconds"
                self.repeated += 1
                time.sleep(0.05)


def version_at(node, name):
    raw = node.client.get(Keys(name).manifest)
    return parse(raw).version if raw else 0


def has_new_master(group, key, old):
    """The node that took over, or None as long as none has."""
    for node in group.nodes:
        if node is not old and node.process.poll() is None:
            with contextlib.suppress(redis.RedisError, LookupError):
                new = group.master_of(key)
                if new is not old and new.client.execute_command("ROLE")[0] == b"master":
                    # It may still hold the cluster to be down, and refuse this.
                    new.client.exists(key)
                    return new
    return None


def fail_over(group, publisher, told):
    """Kills the master of the map while a push runs, and waits for the new one."""
    key = Keys(publisher.name).manifest
    old = group.master_of(key)
    acknowledged = publisher.acknowledged
    pushing = threading.Thread(target=publisher.push_next, daemon=True)
    pushing.start()
    old.kill()
    end = time.monotonic() + LIMIT
    while (new := has_new_master(group, key, old)) is None:
        assert time.monotonic() < end, f"no new master for {LIMIT} seconds"
        time.sleep(0.01)
    # Before the push: it repeats what is missing.
    told["missing"] += version_at(new, publisher.name) < acknowledged
    pushing.join(2 * LIMIT)
    assert not pushing.is_alive(), "a push does not return"
    return old


def come_back(group, old, key):
    """Starts the killed server again, as a replica of the one that took over."""
    group.start_again(old, key)
    role = old.client.execute_command
    wait_until(lambda: role("ROLE")[0] == b"slave", "the old master is a replica")
    wait_until(lambda: role("ROLE")[3] == b"connected", "the replica is connected")
    master = group.master_of(key).client.execute_command
    wait_until(lambda: master("ROLE")[2], "the master has a replica")


def run(kind, arguments):
    name = f"failover-{os.getpid()}-{kind}"
    group = KINDS[kind](arguments.program)
    told = {"missing": 0}
    agents = []
    begin = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as directory:
            os.environ["STATE_DIRECTORY"] = os.path.join(directory, "publisher")
            publisher = Publisher(group.url, name)
            publisher.push_next()
            for number in range(arguments.agents):
                state = pathlib.Path(directory, f"agent-{number}")
                agents.append(Agent(group.url, name, state, with_loop=bool(number % 2)))
                agents[-1].start()
            old = None
            for _ in range(arguments.failovers):
                if old is not None:
                    come_back(group, old, Keys(name).manifest)
                for _ in range(BETWEEN):
                    publisher.push_next()
                old = fail_over(group, publisher, told)
            for agent in agents:
                agent.last = publisher.number + 1
            publisher.push_next()
            for agent in agents:
                agent.join(LIMIT)
                if agent.is_alive():
                    agent.wrong.append(f"{agent.local}: has {agent.seen[-1:]} in the end")
    finally:
        group.close()
        for local in [name, *(agent.local for agent in agents)]:
            with contextlib.suppress(FileNotFoundError):
                sharedmap.remove(local)
    wrong = [each for agent in agents for each in agent.wrong]
    print(
        f"{kind}: {arguments.failovers} failovers in {time.monotonic() - begin:.0f} s,"
        f" {publisher.number} versions, {publisher.pushes} pushes of which {publisher.repeated}"
        f" failed and were repeated, {told['missing']} acknowledged ones missing at a new master,"
        f" {sum(len(agent.seen) for agent in agents)} versions published by {len(agents)} agents,"
        f" {len(wrong)} wrong",
        flush=True,
    )
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=[*KINDS])
    parser.add_argument("--failovers", type=int, default=5)
    parser.add_argument("--agents", type=int, default=3)
    parser.add_argument("--program", default="redis-server")
    arguments = parser.parse_args()
    wrong = [each for kind in arguments.kinds for each in run(kind, arguments)]
    if wrong:
        sys.exit("FAILED: " + "\n".join(wrong))


if __name__ == "__main__":
    main()
