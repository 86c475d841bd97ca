"""Three machines follow one publisher by way of Redis, and everything is killed now and then.

    python3 tests/faults/many_machines.py [--versions N] [--machines N] [--trouble CHANCE]
        [--kinds NAME,...] [--whole CHANCE] [--wait SECONDS] [--seed N] [--program valkey-server]

    publisher ---> server ---> agent ---> /dev/shm of machine 1 ---> reader
                          ---> agent ---> /dev/shm of machine 2 ---> reader
                          ---> agent ---> /dev/shm of machine 3 ---> reader

A machine is a mount namespace with a /dev/shm of its own (root is needed for that), and agent and
reader are processes. Most versions are updates, of which the difference travels; some are whole
maps, which travel as images. Between two versions, by the chance that is given, 0 to 1:

    the server is killed with SIGKILL and started again; one time in two it has forgotten everything
    an agent is killed with SIGKILL and started again
    the publisher is killed with SIGKILL while it pushes, or loses what it keeps on its disk
    all connections are cut
    the manifest is truncated, or an older one is put back

And while the agents are stopped, so that they meet it after the next version was pushed:

    a chunk or a difference of the newest version is damaged, removed, or replaced by another
    the manifest lists two differences in the wrong order, or one of them not at all

Every value of a version has its number in it, or that of the last whole map; part of them are as
long as the number says, and each version changes one entry that the next ones leave alone. So no
two versions can be mixed, and no difference left out, without being noticed. A reader keeps
following the local map:

    whole        all values are of one version, and the snapshot verifies
    going on     no version comes after a later one
    there        the map can be opened at any time, once it was there

An agent that fetches a damaged chunk or difference has to tell the server, some versions have to
come to each machine as updates of its map, and in the end every machine has to come to the last
version by itself. Exits with a failure if anything was different.
"""

import argparse
import contextlib
import functools
import json
import logging
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
from sharedmap._names import path_of  # noqa: E402
from sharedmap.replication import _chunks  # noqa: E402
from sharedmap.replication._operations import Keys  # noqa: E402

NAME = "travels"
ENTRIES = 4500  # smaller maps are copied by each update
WALK = 50
HANG = 60
KINDS = ("kill_server", "kill_agent", "kill_agent", "cut", "kill_publisher", "forget_pushed")
KINDS += ("cut_manifest", "put_back", "spoil_blob", "spoil_blob", "spoil_rows")
COUNTED = ("server killed", "server forgot", "agents killed", "cut")
COUNTED += ("publisher killed", "publisher forgot", "manifest", "older manifest")
COUNTED += ("chunk", "chunk told", "difference", "difference told")
COUNTED += ("removed", "removed told", "rows")
ENOUGH = 3  # blobs damaged: one of them is met by an agent that is there
OWN_SHM = 'mount -t tmpfs -o mode=1777 tmpfs /dev/shm && exec "$0" "$@"'
NAMESPACE = ("unshare", "--mount", "sh", "-c", OWN_SHM)


@functools.lru_cache(maxsize=2)
def whole_of(whole):
    return {f"fixed/{key:04}": f"{whole:0120}" for key in range(ENTRIES)}


def value_of(number, whole):
    """Most entries change with each whole map only; of the others some grow and shrink, some come
    and go, and of the last of them each version changes another one."""
    value = whole_of(whole) | {"number": number, "whole": whole}
    value |= {f"grows/{key:04}": f"{number:08}" + "x" * (number * 7 % 50) for key in range(20)}
    value |= {f"comes/{key:04}": f"{number:08}".encode() for key in range(number % 9)}
    return value | {f"walks/{key:04}": number - (number - key) % WALK for key in range(WALK)}


# ---- what runs on a machine ------------------------------------------------------------------


def read_on_machine():
    """Follows the local map; says what it sees, a line for each version, and what is wrong."""
    opened = None
    last = -1
    file = None
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
            number, whole = fresh["number"], fresh["whole"]
            if dict(fresh) != value_of(number, whole):
                print(json.dumps({"wrong": f"version {number} is mixed"}), flush=True)
            if number < last:
                print(json.dumps({"wrong": f"version {number} after {last}"}), flush=True)
            if number != last:
                # An update goes on in the same file.
                file, before = os.stat(path_of(NAME)).st_ino, file
                print(json.dumps({"version": number, "update": file == before}), flush=True)
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
        self.updates = 0
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
                self.updates += line["update"]
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

    def __init__(self, server, machines, chance, state, kinds):
        self.server, self.machines, self.random, self.state = server, machines, chance, state
        self.kinds = kinds
        self.later = None  # what is done to a version before an agent sees it
        self.pushes = 0  # until that
        self.wants_kill = False
        self.manifests = []
        self.number = 0
        self.counts = dict.fromkeys(COUNTED, 0)

    def make(self):
        kind = getattr(self, self.random.choice(self.kinds))
        later = (self.spoil_blob, self.spoil_rows)
        if kind in later:
            self.wait_for_followers()
            self.signal_agents(signal.SIGSTOP)
            # The order of differences matters to an agent that has none of two.
            self.later, self.pushes = kind, 2 if kind == self.spoil_rows else 1
        else:
            kind()

    def push(self, url, number):
        """Killed or not, the version is pushed in the end."""
        self.number = number
        if self.wants_kill:
            self.wants_kill = False
            self.counts["publisher killed"] += 1
            publisher = os.fork()
            if publisher == 0:
                with contextlib.suppress(BaseException):
                    push(url)
                os._exit(0)
            time.sleep(self.random.random() * 0.05)
            os.kill(publisher, signal.SIGKILL)
            os.waitpid(publisher, 0)
        push(url)
        manifest = self.server.client.get(Keys(NAME).manifest)
        self.manifests = [*self.manifests[-20:], manifest]
        return json.loads(manifest)

    def after_push(self, is_last):
        """A version that nobody has fetched yet is damaged, but for the last, which must arrive."""
        self.pushes -= 1
        if self.later is None or (self.pushes > 0 and not is_last):
            return
        told = None if is_last else self.later()
        self.signal_agents(signal.SIGCONT)
        self.later = None
        if told is not None:
            self.wait_for_notice(*told)

    def wait_for_followers(self):
        """Until all have followed, unless that takes long: one may not be able to."""
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            for machine in self.machines:
                machine.look()
            if all(machine.versions[-1:] == [self.number] for machine in self.machines):
                return
            time.sleep(0.005)

    def wait_for_notice(self, kind, sha256):
        """Until an agent has told the server of the damage. One that is just starting, or that
        lost its connection, may take too long."""
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            if self.server.client.sismember(Keys(NAME).damaged, sha256):
                self.counts[f"{kind} told"] += 1
                return
            time.sleep(0.005)

    def signal_agents(self, number):
        for machine in self.machines:
            machine.agent.send_signal(number)

    def kill_agent(self):
        self.random.choice(self.machines).kill_agent()
        self.counts["agents killed"] += 1

    def cut(self):
        self.server.cut_connections()
        self.counts["cut"] += 1

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

    def kill_publisher(self):
        self.wants_kill = True

    def forget_pushed(self):
        """All of what the publisher keeps, or one file of it, or some bytes."""
        files = [path for path in self.state.rglob("*") if path.is_file() and path.name != "lock"]
        self.counts["publisher forgot"] += bool(files)
        how = self.random.choice(["all", "file", "bytes"])
        for path in files if how == "all" else self.random.sample(files, min(1, len(files))):
            data = bytearray(path.read_bytes())
            if how == "bytes" and data:
                data[self.random.randrange(len(data))] ^= 255
                path.write_bytes(data)
            else:
                path.unlink()

    def spoil_blob(self):
        """What an agent has to fetch: the newest difference, or a part of a new image."""
        keys, client = Keys(NAME), self.server.client
        fields = json.loads(client.get(keys.manifest))
        rows = fields["differences"]
        if rows:
            kind, sha256 = "difference", rows[-1][1]
            others = [row[1] for row in rows[:-1]]
        else:
            chunks = chunks_of(client, fields["image"])
            kind, (sha256, *_) = "chunk", self.random.choice(chunks)
            others = [chunk[0] for chunk in chunks if chunk[0] != sha256]
        how = self.random.choice(["damaged", "removed", "replaced"])
        if how == "removed":
            client.delete(keys.chunk(sha256))
            kind = "removed"
        elif how == "replaced" and others:
            client.copy(keys.chunk(self.random.choice(others)), keys.chunk(sha256), replace=True)
        else:
            offset = self.random.randrange(client.strlen(keys.chunk(sha256)) - 8)
            client.setrange(keys.chunk(sha256), offset, os.urandom(8))
        self.counts[kind] += 1
        return kind, sha256

    def spoil_rows(self):
        """A manifest that is consistent in itself, and says what was never published."""
        keys, client = Keys(NAME), self.server.client
        fields = json.loads(client.get(keys.manifest))
        rows = fields["differences"]
        if len(rows) < 2:
            return
        if self.random.random() < 0.5:
            (first, *one), (second, *two) = rows[-2:]
            rows[-2:] = [[first, *two], [second, *one]]
        else:
            del rows[-2]
        client.set(keys.manifest, json.dumps(fields))
        client.xadd(keys.stream, {"version": fields["version"]})
        self.counts["rows"] += 1

    def cut_manifest(self):
        manifest = self.server.client.get(Keys(NAME).manifest)
        if manifest:
            cut = manifest[: self.random.randrange(len(manifest))]
            self.server.client.set(Keys(NAME).manifest, cut)
            self.counts["manifest"] += 1

    def put_back(self):
        if self.manifests:
            manifest = self.random.choice(self.manifests)
            self.server.client.set(Keys(NAME).manifest, manifest)
            self.counts["older manifest"] += 1


def chunks_of(client, image):
    """The rows of the list, which is a blob of its own unless it is short."""
    if image["list"] is None:
        return image["chunks"]
    return json.loads(client.get(Keys(NAME).chunk(image["list"][0])))


def publish(number, whole):
    """As a publisher does: by updates where there is a version before."""
    if number == whole:
        sharedmap.share(value_of(number, whole), NAME, force=True)
        return
    new = value_of(number, whole)
    with sharedmap.sharedmap(NAME) as before:
        puts = {key: value for key, value in new.items() if before.get(key) != value}
        sharedmap.update(NAME, puts, remove=[key for key in before if key not in new])


def push(url):
    """Until it is done: what a publisher does whose server is away for a moment."""
    deadline = time.monotonic() + HANG
    while True:
        try:
            return replication.push(url, NAME, grace=60)
        except replication.ServerError:
            if time.monotonic() > deadline:
                raise


def run(options):
    # What a publisher has to say of all this is no failure.
    logging.getLogger("sharedmap.replication").setLevel(logging.ERROR)
    # As with maps of a gigabyte, only smaller: an image has some twenty chunks.
    _chunks.SMALLEST, _chunks.USUAL, _chunks.LARGEST_CHUNK = 20_000, 40_000, 80_000
    chance = random.Random(options.seed)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="sharedmap-machines-"))
    state = directory / "publisher"
    os.environ["STATE_DIRECTORY"] = os.fspath(state)
    server = redis_server.make_server(options.program, lasting=True)
    machines = []
    whole, differences = 1, 0
    try:
        for number in range(options.machines):
            machines.append(Machine(number, server.url, directory))
        trouble = Trouble(server, machines, chance, state, options.kinds.split(","))
        for number in range(1, options.versions + 1):
            if chance.random() < options.whole:
                whole = number
            publish(number, whole)
            manifest = trouble.push(server.url, number)
            differences += bool(manifest["differences"])
            trouble.after_push(is_last=number == options.versions)
            # Sometimes there is time to follow, sometimes there is none.
            time.sleep(chance.random() * 0.02)
            if number == 1:
                wait_for_all(machines, 1, options.wait)
            is_quiet = trouble.later is not None or number == options.versions
            if not is_quiet and chance.random() < options.trouble:
                trouble.make()
            for machine in machines:
                machine.look()
        wait_for_all(machines, options.versions, options.wait)
        return machines, trouble.counts, differences
    finally:
        for machine in machines:
            machine.close()
        redis_server.end_server(server)
        shutil.rmtree(directory)


def wait_for_all(machines, last, seconds):
    deadline = time.monotonic() + seconds
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
    parser.add_argument("--trouble", type=float, default=0.25, help="how often, 0 to 1")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--whole", type=float, default=0.05, help="how often a map is whole")
    parser.add_argument("--wait", type=float, default=HANG, help="for the last version, in s")
    parser.add_argument("--kinds", default=",".join(KINDS), help="of trouble, all by default")
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
    machines, counts, differences = run(options)
    for number, machine in enumerate(machines):
        seen = f"{len(machine.versions)} versions seen, {machine.updates} of them as updates"
        print(f"machine {number}: {seen}, agent killed {machine.kills} times")
    print(f"pushed as differences: {differences}, as images: {options.versions - differences}")
    print(", ".join(f"{what}: {count}" for what, count in counts.items()))
    print(f"{options.versions} versions in {time.monotonic() - begin:.0f} s")
    wrong = [f"machine {n}: {what}" for n, m in enumerate(machines) for what in sorted({*m.wrong})]
    for what in ("chunk", "difference"):
        if counts[what] >= ENOUGH and counts[f"{what} told"] == 0:
            wrong.append(f"no agent has told of a damaged {what}")
    if counts["removed"] >= ENOUGH and counts["removed told"] == 0:
        wrong.append("no agent has told of one that was removed")
    if differences == 0:
        wrong.append("no version was pushed as a difference")
    wrong += [
        f"machine {number}: no version came as an update"
        for number, machine in enumerate(machines)
        if machine.updates == 0
    ]
    for what in wrong:
        print("FAILED:", what)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
