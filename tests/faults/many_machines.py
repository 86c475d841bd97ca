"""Three machines follow one publisher by way of Redis, and everything is killed now and then.

    python3 tests/faults/many_machines.py [--versions N] [--machines N] [--trouble CHANCE]
        [--seed N] [--program valkey-server]

    publisher ---> server ---> agent ---> /dev/shm of machine 1 ---> reader
                          ---> agent ---> /dev/shm of machine 2 ---> reader
                          ---> agent ---> /dev/shm of machine 3 ---> reader

A machine is a mount namespace with a /dev/shm of its own (root is needed for that), and agent and
reader are processes. Between two versions, by the chance that is given, 0 to 1:

    the server is killed with SIGKILL and started again; one time in two it has forgotten everything
    an agent is killed with SIGKILL and started again
    all connections are cut
    a chunk of the newest version is damaged before an agent has got it
    the manifest is cut short

Every value of a version has its number in it, and part of them are as long as the number says, so
that no two versions can be mixed without being noticed. A reader keeps following the local map:

    whole        all values are of one version, and the snapshot verifies
    going on     no version comes after a later one
    there        the map can be opened at any time, once it was there

An agent that fetches a damaged chunk has to tell the server,

and in the end every machine has to come to the last version by itself. Exits with a failure if
anything was different.
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, os.fspath(HERE.parent / "support"))

import redis_server  # noqa: E402

import sharedmap  # noqa: E402
from sharedmap import replication  # noqa: E402
from sharedmap.replication import _chunks  # noqa: E402
from sharedmap.replication._manifest import parse  # noqa: E402
from sharedmap.replication._operations import Keys  # noqa: E402

NAME = "travels"
ENTRIES = 400
HANG = 60
KINDS_OF_TROUBLE = ("server killed", "server forgot", "agents killed", "cut")
KINDS_OF_TROUBLE += ("chunk", "damage told", "manifest")
ENOUGH = 3  # chunks damaged: one of them is met by an agent that is there
OWN_SHM = 'mount -t tmpfs -o mode=1777 tmpfs /dev/shm && exec "$0" "$@"'
NAMESPACE = ("unshare", "--mount", "sh", "-c", OWN_SHM)


def value_of(number):
    """Some entries of fixed size, some that grow and shrink, some that come and go."""
    value = {f"fixed/{key:04}": f"{number:08}" for key in range(ENTRIES)}
    value |= {f"grows/{key:04}": f"{number:08}" + "x" * (number * 7 % 50) for key in range(20)}
    value |= {f"comes/{key:04}": f"{number:08}".encode() for key in range(number % 9)}
    return value


# ---- what runs on a machine ------------------------------------------------------------------


def read_on_machine():
    """Follows the local map; says what it sees, a line for each version, and what is wrong."""
    opened = None
    last = -1
    print("{}", flush=True)
    while True:
        if opened is None:
            try:
                opened = sharedmap.sharedmap(NAME)
            except FileNotFoundError:
                time.sleep(0.001)
                continue
        # Always a new look at the name, too: it must be there at any time.
        with sharedmap.sharedmap(NAME) as fresh:
            fresh.verify()
            number = int(fresh["fixed/0000"])
            if dict(fresh) != value_of(number):
                print(json.dumps({"wrong": f"version {number} is mixed"}), flush=True)
            if number < last:
                print(json.dumps({"wrong": f"version {number} after {last}"}), flush=True)
            if number != last:
                print(json.dumps({"version": number}), flush=True)
                last = number
        opened.wait(1)
        opened.refresh()


class Machine:
    """A shell in a namespace of its own, in which agent and reader are started."""

    def __init__(self, number, url, directory):
        self.state = directory / f"machine {number}"
        self.log = open(directory / f"log {number}", "wb")
        self.url = url
        # It lives as long as its standard input, and keeps the namespace.
        self.keeper = subprocess.Popen(
            [*NAMESPACE, "sh", "-c", "echo; read line"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.keeper.stdout.readline()
        self.versions = []
        self.wrong = []
        self.rest = b""
        self.reader = self._start("--read", stdout=subprocess.PIPE)
        self.reader.stdout.readline()
        os.set_blocking(self.reader.stdout.fileno(), False)
        self.agent = None
        self.kills = 0
        self.start_agent()

    def _start(self, *arguments, **options):
        enter = ["nsenter", "--mount", f"--target={self.keeper.pid}"]
        program = [sys.executable, os.fspath(HERE / "many_machines.py"), *arguments]
        return subprocess.Popen([*enter, *program], stderr=self.log, **options)

    def start_agent(self):
        self.agent = self._start(
            "--follow", self.url, os.fspath(self.state), stdout=subprocess.DEVNULL
        )

    def kill_agent(self):
        self.agent.kill()
        self.agent.wait()
        self.kills += 1
        self.start_agent()

    def look(self):
        """What the reader has said since the last time."""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self.reader.stdout.fileno(), 65536):
                self.rest += piece
        *lines, self.rest = self.rest.split(b"\n")
        for line in map(json.loads, lines):
            if "wrong" in line:
                self.wrong.append(line["wrong"])
            else:
                self.versions.append(line["version"])
        for process, what in ((self.reader, "reader"), (self.agent, "agent")):
            if process.poll() is not None:
                self.wrong.append(f"the {what} has ended with {process.returncode}")

    def close(self):
        for process in (self.agent, self.reader):
            process.kill()
            process.wait()
        self.reader.stdout.close()
        self.keeper.communicate(b"\n")
        self.log.close()


# ---- what is done to them --------------------------------------------------------------------


class Trouble:
    """Makes it, and counts it."""

    def __init__(self, server, machines, chance):
        self.server, self.machines, self.random = server, machines, chance
        self.are_agents_stopped = False
        self.counts = dict.fromkeys(KINDS_OF_TROUBLE, 0)

    def make(self):
        kind = self.random.choice(["server", "agent", "agent", "cut", "chunk", "manifest"])
        if kind == "server":
            self.kill_server()
        elif kind == "agent":
            self.random.choice(self.machines).kill_agent()
            self.counts["agents killed"] += 1
        elif kind == "cut":
            self.server.cut_connections()
            self.counts["cut"] += 1
        elif kind == "chunk":
            self.signal_agents(signal.SIGSTOP)
            self.are_agents_stopped = True
        else:
            self.cut_manifest()

    def after_push(self, is_last):
        """A version that nobody has fetched yet is damaged, but for the last, which must arrive."""
        if not self.are_agents_stopped:
            return
        damaged = None if is_last else self.damage_chunk()
        self.signal_agents(signal.SIGCONT)
        self.are_agents_stopped = False
        if damaged is not None:
            self.wait_for_notice(damaged)

    def wait_for_notice(self, digest):
        """Until an agent has told the server of the damage. One that is just starting, or that
        lost its connection, may take too long."""
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            if self.server.client.sismember(Keys(NAME).damaged, digest):
                self.counts["damage told"] += 1
                return
            time.sleep(0.005)

    def signal_agents(self, number):
        for machine in self.machines:
            machine.agent.send_signal(number)

    def kill_server(self):
        self.server.kill()
        self.counts["server killed"] += 1
        if self.random.random() < 0.5:
            for path in pathlib.Path(self.server.directory).glob("appendonlydir*"):
                shutil.rmtree(path)
            self.counts["server forgot"] += 1
        # For a while there is none at all.
        time.sleep(self.random.random() * 0.05)
        self.server.start()

    def damage_chunk(self):
        data = self.server.client.get(Keys(NAME).manifest)
        with contextlib.suppress(TypeError, replication.ReplicationError):
            manifest = parse(data)
            digest, size = self.random.choice([*manifest.blobs().items()])
            key = Keys(NAME).chunk(digest)
            self.server.client.setrange(key, self.random.randrange(size - 8), os.urandom(8))
            self.counts["chunk"] += 1
            return digest
        return None

    def cut_manifest(self):
        manifest = self.server.client.get(Keys(NAME).manifest)
        if manifest:
            cut = manifest[: self.random.randrange(len(manifest))]
            self.server.client.set(Keys(NAME).manifest, cut)
            self.counts["manifest"] += 1


def push(url, number):
    """Until it is done: what a publisher does whose server is away for a moment."""
    sharedmap.share(value_of(number), NAME, force=True)
    deadline = time.monotonic() + HANG
    while True:
        try:
            return replication.push(url, NAME, grace=60)
        except replication.ServerError:
            if time.monotonic() > deadline:
                raise


def run(options):
    # As with maps of a gigabyte, only smaller: a version has some ten chunks.
    _chunks.SMALLEST, _chunks.USUAL, _chunks.LARGEST_CHUNK = 1000, 2000, 4000
    chance = random.Random(options.seed)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="sharedmap-machines-"))
    os.environ["STATE_DIRECTORY"] = os.fspath(directory / "publisher")
    server = redis_server.make_server(options.program, lasting=True)
    machines = []
    try:
        for number in range(options.machines):
            machines.append(Machine(number, server.url, directory))
        trouble = Trouble(server, machines, chance)
        for number in range(1, options.versions + 1):
            push(server.url, number)
            trouble.after_push(is_last=number == options.versions)
            # Sometimes there is time to follow, sometimes there is none.
            time.sleep(chance.random() * 0.02)
            if number < options.versions and chance.random() < options.trouble:
                trouble.make()
            for machine in machines:
                machine.look()
        wait_for_all(machines, options.versions)
        return machines, trouble.counts
    finally:
        for machine in machines:
            machine.close()
        redis_server.end_server(server)
        shutil.rmtree(directory)


def wait_for_all(machines, last):
    deadline = time.monotonic() + HANG
    for machine in machines:
        while machine.versions[-1:] != [last] and time.monotonic() < deadline:
            machine.look()
            time.sleep(0.01)
        if machine.versions[-1:] != [last]:
            machine.wrong.append(f"never came to version {last}, but to {machine.versions[-1:]}")


def follow_on_machine(url, state):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for _ in replication.follow(url, NAME, directory=state, poll=2):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--versions", type=int, default=1000)
    parser.add_argument("--machines", type=int, default=3)
    parser.add_argument("--trouble", type=float, default=0.1, help="how often, 0 to 1")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--program", default="redis-server")
    parser.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--follow", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--in-namespace", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read_on_machine()
    if options.follow:
        follow_on_machine(*options.follow)
    if not options.in_namespace:
        # The publisher's machine, too, has a /dev/shm of its own, and nothing is left of it.
        program = [sys.executable, os.fspath(HERE / "many_machines.py"), *sys.argv[1:]]
        program += ["--in-namespace", "--seed", str(options.seed)]
        os.execvp(NAMESPACE[0], [*NAMESPACE, *program])
    print(f"seed {options.seed}")
    begin = time.monotonic()
    machines, counts = run(options)
    for number, machine in enumerate(machines):
        seen = len(machine.versions)
        print(f"machine {number}: {seen} versions seen, agent killed {machine.kills} times")
    print(", ".join(f"{what}: {count}" for what, count in counts.items()))
    print(f"{options.versions} versions in {time.monotonic() - begin:.0f} s")
    wrong = [f"machine {n}: {what}" for n, m in enumerate(machines) for what in sorted({*m.wrong})]
    if counts["chunk"] >= ENOUGH and counts["damage told"] == 0:
        wrong.append("no agent has told of a damaged chunk")
    for what in wrong:
        print("FAILED:", what)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
