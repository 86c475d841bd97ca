"""What a change costs on many machines: bytes on the wire, time until workers have it, CPU.

    python benchmarks/many_hosts.py [--entries N] [--changed N] [--hosts N] [--rounds N]
        [--package PATH] [--program valkey-server]

    publisher, server  --- a cable of its own --->  agent ---> /dev/shm of host 1 ---> worker
                       --- a cable of its own --->  agent ---> /dev/shm of host 2 ---> worker

A host is a network namespace, a mount namespace with a /dev/shm of its own, an agent and a worker
that waits for the new value; root is needed for that, and the programs ip, unshare and nsenter. In
each round the publisher changes random entries by update() and pushes; the next round begins when
every worker has seen this one. Bytes are those of the cables' interfaces, with all headers, in both
directions. Times begin with the call of update(), and end when a worker has the new value in its
hands. All hosts share the processors of one machine, so the times of many of them are long.

--package is a folder with another build of the package (`pip install --no-deps --target PATH .`),
so that two versions can be compared by the same program.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

NAME = "many-hosts"
ROUND = "round"  # the key whose value is the number of the round
PATIENCE = 300
TICKS = os.sysconf("SC_CLK_TCK")
OWN_SHM = 'mount -t tmpfs -o mode=1777,size=90% tmpfs /dev/shm && exec "$0" "$@"'
NAMESPACE = ("unshare", "--mount", "--net", "sh", "-c", OWN_SHM)


# ---- what runs on a host ---------------------------------------------------------------------


def follow(url, state):
    from sharedmap import replication

    for _ in replication.follow(url, NAME, directory=state, poll=60):
        pass


def work():
    """Says each round and when its value was there, by a clock that all processes share."""
    import sharedmap

    last = -1
    with sharedmap.sharedmap(NAME, follow=True, wait=None) as opened:
        while True:
            number = opened[ROUND]
            now = time.monotonic()
            if number != last:
                print(json.dumps([number, now]), flush=True)
                last = number
            opened.wait(1)


class Host:
    def __init__(self, number, directory):
        self.number = number
        self.url = f"redis://10.77.{number}.1:6379"
        # It lives as long as its standard input, and keeps the namespaces.
        self.keeper = subprocess.Popen(
            [*NAMESPACE, "sh", "-c", "echo; read line"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.keeper.stdout.readline()
        self._lay_cable()
        self.worker = self._start("--work", stdout=subprocess.PIPE)
        self.agent = self._start("--follow", self.url, f"{directory}/host {number}")
        self.seen = {}

    def _enter(self, *words):
        return ["nsenter", "--mount", "--net", f"--target={self.keeper.pid}", *words]

    def _lay_cable(self):
        here, there = f"host{self.number}", "cable"
        netns = str(self.keeper.pid)
        for words in (
            ["ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", netns],
            ["ip", "addr", "add", f"10.77.{self.number}.1/24", "dev", here],
            ["ip", "link", "set", here, "up"],
            self._enter("ip", "link", "set", "lo", "up"),
            self._enter("ip", "addr", "add", f"10.77.{self.number}.2/24", "dev", there),
            self._enter("ip", "link", "set", there, "up"),
        ):
            subprocess.run(words, check=True)

    def _start(self, *arguments, **options):
        # nsenter becomes the program, so the process is the one that is measured.
        return subprocess.Popen(
            self._enter(sys.executable, os.path.abspath(__file__), *arguments), **options
        )

    def wait_for(self, number):
        """When the worker had the value of a round."""
        deadline = time.monotonic() + PATIENCE
        while number not in self.seen:
            left = deadline - time.monotonic()
            if not select.select([self.worker.stdout], [], [], max(left, 0))[0]:
                sys.exit(f"host {self.number} does not see round {number}")
            found, when = json.loads(self.worker.stdout.readline())
            self.seen[found] = when
        return self.seen[number]

    def cpu_seconds(self):
        """Of the agent so far, with all its threads."""
        with open(f"/proc/{self.agent.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def close(self):
        for process in (self.agent, self.worker):
            process.kill()
            process.wait()
        self.worker.stdout.close()
        self.keeper.communicate(b"\n")


def bytes_on_cables():
    """Of each host, in both directions together."""
    found = {}
    with open("/proc/net/dev") as lines:
        for line in lines:
            name, colon, counters = line.partition(":")
            if colon and name.strip().startswith("host"):
                fields = counters.split()
                found[name.strip()] = int(fields[0]) + int(fields[8])
    return found


# ---- the publisher ---------------------------------------------------------------------------


@contextlib.contextmanager
def running_server(program, directory):
    words = ["--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dir", directory]
    server = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        server.kill()
        server.wait()


def first_push(url):
    """Until the server has started."""
    from sharedmap import replication

    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return replication.push(url, NAME)
        except replication.ServerError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def key_of(number):
    return f"user:{number:08}"


def measure(options, hosts, url):
    import sharedmap
    from sharedmap import replication

    chance = random.Random(options.seed)
    rows = {name: [] for name in ("delay", "update", "push", "bytes", "agents", "push CPU")}
    # A publisher usually has its map open, and update() is faster then.
    with sharedmap.sharedmap(NAME, follow=True):
        for number in range(1, options.rounds + options.warmup + 1):
            keys = chance.sample(range(options.entries), options.changed - 1)
            changes = {key_of(key): f"changed {number:09} {key:09}" for key in keys}
            wire, cpu = bytes_on_cables(), sum(host.cpu_seconds() for host in hosts)
            own = resource.getrusage(resource.RUSAGE_SELF)
            begin = time.monotonic()
            sharedmap.update(NAME, {**changes, ROUND: number})
            updated = time.monotonic()
            replication.push(url, NAME)
            pushed = time.monotonic()
            spent = resource.getrusage(resource.RUSAGE_SELF)
            arrivals = [host.wait_for(number) for host in hosts]
            wait_for_rest(hosts)
            if number <= options.warmup:
                continue
            after = bytes_on_cables()
            rows["delay"] += [arrival - begin for arrival in arrivals]
            rows["update"].append(updated - begin)
            rows["push"].append(pushed - updated)
            rows["bytes"] += [after[cable] - wire[cable] for cable in wire]
            rows["agents"].append(sum(host.cpu_seconds() for host in hosts) - cpu)
            rows["push CPU"].append(spent.ru_utime + spent.ru_stime - own.ru_utime - own.ru_stime)
    return rows


def wait_for_rest(hosts):
    """What an agent still does after its worker has the value counts, too: until all are idle."""
    now = [host.cpu_seconds() for host in hosts]
    while True:
        time.sleep(0.2)
        before, now = now, [host.cpu_seconds() for host in hosts]
        if before == now:
            return


def percentile(values, part):
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


def tell(options, rows):
    import sharedmap

    print(f"sharedmap {sharedmap.__version__} in {os.path.dirname(sharedmap.__file__)}")
    print(
        f"{options.entries} entries, {options.changed} changed, {options.hosts} hosts,"
        f" {options.rounds} rounds, {os.cpu_count()} processors"
    )
    print("| | MEDIAN | 99 % | MEAN |")
    print("|---|---:|---:|---:|")
    for what, name, factor in (
        ("bytes on the wire, of a follower and version", "bytes", 1),
        ("ms from update() to the value in a worker", "delay", 1000),
        ("ms of update()", "update", 1000),
        ("ms of push()", "push", 1000),
        ("CPU ms of push()", "push CPU", 1000),
    ):
        values = [value * factor for value in rows[name]]
        figures = (statistics.median(values), percentile(values, 0.99), statistics.mean(values))
        print(f"| {what} | " + " | ".join(f"{figure:,.1f}" for figure in figures) + " |")
    # In ticks of 10 ms: only their sum is exact.
    total = sum(rows["agents"])
    each = 1000 * total / options.hosts / options.rounds
    print(f"CPU of the agents: {total:.2f} s, {each:.2f} ms for each version and host")


def run(options):
    import sharedmap

    directory = tempfile.mkdtemp(prefix="many-hosts-")
    os.environ["STATE_DIRECTORY"] = directory  # the publisher's; agents have folders of their own
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    url = "redis://127.0.0.1:6379"
    hosts = []
    try:
        with running_server(options.program, directory):
            entries = {key_of(number): f"value {number:015}" for number in range(options.entries)}
            sharedmap.share({**entries, ROUND: 0}, NAME)
            del entries
            first_push(url)
            for number in range(options.hosts):
                hosts.append(Host(number, directory))
            for host in hosts:
                host.wait_for(0)
            rows = measure(options, hosts, url)
            # Before the server ends, of which they would tell.
            close_all(hosts)
            tell(options, rows)
    finally:
        close_all(hosts)
        shutil.rmtree(directory)


def close_all(hosts):
    while hosts:
        hosts.pop().close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--entries", type=int, default=1_000_000)
    add("--changed", type=int, default=100, help="entries, in each round")
    add("--hosts", type=int, default=10)
    add("--rounds", type=int, default=50)
    add("--warmup", type=int, default=3, help="rounds before those that count")
    add("--package", metavar="PATH", help="a folder with another build of the package")
    add("--program", default="redis-server")
    add("--seed", type=int, default=21)
    add("--work", action="store_true", help=argparse.SUPPRESS)
    add("--follow", nargs=2, help=argparse.SUPPRESS)
    add("--in-namespace", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work()
    elif options.follow:
        follow(*options.follow)
    elif options.in_namespace:
        run(options)
    else:
        # The publisher's machine, too, has namespaces of its own, and nothing is left of it.
        environment = dict(os.environ)
        if options.package is not None:
            environment["PYTHONPATH"] = os.path.abspath(options.package)
        program = [sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--in-namespace"]
        os.execvpe(NAMESPACE[0], [*NAMESPACE, *program], environment)


if __name__ == "__main__":
    main()
