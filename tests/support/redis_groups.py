"""Servers that fail over: a cluster, and a master with a replica that sentinels watch.

All are real servers on ports of the loopback interface, in a directory of their own.
"""

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
import redis
from live import wait_until
from redis.crc import key_slot

MASTERS = 3
SERVICE = "shop"
_NODE_TIMEOUT = 1000  # milliseconds after which a node counts as down
_SLOTS = 16384


def free_ports(count):
    """Ports that no program has. Another one may take them before they are used: try again."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Node:
    """One server with a port. It can be killed, and started again with what is on its disk."""

    def __init__(self, program, directory, port, *options):
        self.port = port
        self.directory = Path(directory, str(port))
        self.directory.mkdir()
        self.client = redis.Redis(port=port)
        self.command = [program, *options, "--port", str(port), "--bind", "127.0.0.1"]
        self.command += ["--dir", str(self.directory), "--logfile", "log"]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self.answers, "the server answers")

    def answers(self):
        assert self.process.poll() is None, Path(self.directory, "log").read_text()
        try:
            return self.client.ping()
        except redis.RedisError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.client.close()
        if self.process is not None:
            self.kill()


class Group:
    """Some nodes, and what is the same for every kind of group."""

    def __init__(self, program):
        self.program = program
        self.directory = tempfile.mkdtemp(prefix="sharedmap-redis-")
        self.nodes = []
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def add(self, port, *options):
        common = ("--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0")
        self.nodes.append(Node(self.program, self.directory, port, *common, *options))
        return self.nodes[-1]

    def node_at(self, port):
        return next(node for node in self.nodes if node.port == port)

    def close(self):
        for node in self.nodes:
            node.close()
        shutil.rmtree(self.directory)


class Cluster(Group):
    """Three masters and, if asked for, a replica of each."""

    def __init__(self, program="redis-server", replicas=0):
        self.replicas = replicas
        super().__init__(program)

    def start(self):
        count = MASTERS * (1 + self.replicas)
        ports = free_ports(2 * count)
        for port, bus in zip(ports[:count], ports[count:], strict=True):
            timeout = ("--cluster-node-timeout", str(_NODE_TIMEOUT))
            always = ("--cluster-replica-validity-factor", "0")
            on = ("--cluster-enabled", "yes", "--cluster-port", str(bus))
            self.add(port, *on, *timeout, *always)
        for number, node in enumerate(self.nodes):
            node.start()
            node.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        first = self.nodes[0].client
        for port, bus in zip(ports[1:count], ports[count + 1 :], strict=True):
            first.execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
        ends = [_SLOTS * number // MASTERS for number in range(MASTERS + 1)]
        for node, begin, end in zip(self.nodes, ends, ends[1:], strict=False):
            node.client.execute_command("CLUSTER", "ADDSLOTS", *range(begin, end))
        for node in self.nodes:
            wait_until(lambda node=node: self.knows_all(node), "the nodes know each other")
        for number, node in enumerate(self.nodes[MASTERS:]):
            master = self.nodes[number % MASTERS].client.execute_command("CLUSTER", "MYID")
            node.client.execute_command("CLUSTER", "REPLICATE", master)
        for node in self.nodes:
            wait_until(lambda node=node: self.is_ready(node), "the cluster is ready")
        self.url = f"redis+cluster://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}"

    @staticmethod
    def start_again(node, key):
        """A node that was killed. Its file says which nodes there are."""
        node.start()

    def knows_all(self, node):
        known = node.client.execute_command("CLUSTER", "NODES").decode()
        return known.count("\n") == len(self.nodes) and "handshake" not in known

    def is_ready(self, node):
        info = node.client.execute_command("CLUSTER", "INFO").decode()
        role = node.client.execute_command("ROLE")
        if role[0] == b"slave" and role[3] != b"connected":
            return False
        if role[0] == b"master" and self.replicas and len(role[2]) != self.replicas:
            return False
        return "cluster_state:ok" in info

    def master_of(self, key):
        """The node that has the key."""
        slot = key_slot(key)
        for node in self.nodes:
            if node.process.poll() is None:
                for begin, end, master in self.slots_of(node):
                    if begin <= slot <= end:
                        return self.node_at(master)
        raise LookupError("no node has the key")

    @staticmethod
    def slots_of(node):
        rows = node.client.execute_command("CLUSTER", "SLOTS")
        return [(begin, end, members[0][1]) for begin, end, *members in rows]


class Sentinels(Group):
    """A master, a replica, and three sentinels that agree by two votes."""

    def start(self):
        master, replica, *sentinels = free_ports(5)
        self.servers = [self.add(master)]
        self.servers += [self.add(replica)]
        for node in self.servers:
            node.start()
        self.servers[1].client.replicaof("127.0.0.1", master)
        role = self.servers[1].client.execute_command
        wait_until(lambda: role("ROLE")[3] == b"connected", "the replica is connected")
        self.sentinels = []
        for port in sentinels:
            file = Path(self.directory, f"sentinel-{port}.conf")
            file.write_text(
                f"sentinel monitor {SERVICE} 127.0.0.1 {master} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} 500\n"
                f"sentinel failover-timeout {SERVICE} 3000\n"
            )
            node = Node(self.program, self.directory, port)
            node.command = [self.program, str(file), "--sentinel", *node.command[1:]]
            self.nodes.append(node)
            self.sentinels.append(node)
            node.start()
        for node in self.sentinels:
            wait_until(lambda node=node: self.is_ready(node), "the sentinels know each other")
        self.url = "redis+sentinel://" + ",".join(f"127.0.0.1:{port}" for port in sentinels)
        self.url += f"/{SERVICE}"

    @staticmethod
    def is_ready(node):
        state = node.client.sentinel_master(SERVICE)
        return state["num-slaves"] == 1 and state["num-other-sentinels"] == 2

    def start_again(self, node, key):
        """As a replica: sentinels would write that into its file, if it had one."""
        options = ["--replicaof", "127.0.0.1", str(self.master_of(key).port)]
        command, node.command = node.command, [*node.command, *options]
        node.start()
        node.command = command

    def master_of(self, key):
        address = self.sentinels[0].client.execute_command(
            "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE
        )
        return self.node_at(int(address[1]))


def require(program="redis-server"):
    if shutil.which(program) is None:
        pytest.skip(f"NOT TESTED many machines with {program}: it is not installed")
