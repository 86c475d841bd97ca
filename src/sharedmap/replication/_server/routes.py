"""Which server gets a command: the one of the URL, the master of a service, a node of a cluster.

All keys of a map have one hash tag, so that one node of a cluster has them, and a transaction on
it works as on any server. redis-py's own clients for clusters and sentinels are not used: those of
redis-py 5 have no WATCH, and the ones for asyncio make connections that cannot be bounded. What is
needed of them is here: whom to ask, and what MOVED and ASK mean.

The routines are generators, like those for pushing and following: they yield requests for
connections, which a driver performs (drive.py), with an event loop or without.
"""

from __future__ import annotations

import binascii
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .._errors import ServerError
from .._operations import Command, Commands, Commit, Scan, get
from .replies import checked, name_of
from .resp import Refusal, Refused, invalid
from .urls import Address, Target

_SLOTS: Final = 16384
_ATTEMPTS: Final = 5
_PAUSE: Final = 0.1
_PAGE: Final = 1000
_LARGEST_SCAN: Final = 256 << 20
# Replicas answer within milliseconds; one that has just come back, after five seconds or so.
_REPLICATION_MILLISECONDS: Final = 10_000
_WITHOUT_KEY: Final = {"INFO", "PING", "SCAN"}
_USE_CLUSTER: Final = (
    "the server is a node of a cluster: use redis+cluster:// or rediss+cluster:// in the URL"
)
_USE_SENTINEL: Final = (
    "the server is a sentinel: use redis+sentinel://HOST:PORT/SERVICE or rediss+sentinel://"
)


@dataclass(frozen=True)
class Take:
    """A connection, idle or new, to that address; None is the socket of the URL."""

    address: Address | None
    kind: str = "server"


@dataclass(frozen=True)
class Exchange:
    """Sends commands over a connection. The result is the list of replies."""

    connection: Any
    commands: Sequence[Command]


@dataclass(frozen=True)
class Give:
    """Gives a connection back for the next who takes one."""

    address: Address | None
    connection: Any


@dataclass(frozen=True)
class Close:
    connection: Any


@dataclass(frozen=True)
class Pause:
    seconds: float


Routine = Generator[Take | Exchange | Give | Close | Pause, Any, Any]


def slot_of(key: bytes) -> int:
    """The hash slot of a key: of what its first braces enclose, unless that is empty."""
    begin = key.find(b"{")
    end = key.find(b"}", begin + 1)
    if begin >= 0 and end > begin + 1:
        key = key[begin + 1 : end]
    return binascii.crc_hqx(key, 0) % _SLOTS


def key_of(command: Command) -> bytes | None:
    name = name_of(command)
    if name in _WITHOUT_KEY:
        return None
    key = command[command.index("STREAMS") + 1] if name == "XREAD" else command[1]
    return key if isinstance(key, bytes) else str(key).encode()


def _address_of(refusal: Refusal, asked: Address) -> Address:
    """MOVED 3999 127.0.0.1:6381: without a host it is the one that was asked."""
    host, _, port = refusal.text.rpartition(" ")[2].rpartition(":")
    return _valid_address(host or asked[0], port)


def _valid_address(host: str, port: Any) -> Address:
    number = int(port) if str(port).isdigit() and len(str(port)) <= len("65535") else 0
    if not 0 < number <= 65535 or not host.isprintable():
        raise invalid("it has an address that is not valid")
    return host, number


class Routes:
    def __init__(self, target: Target) -> None:
        self.target = target
        self.is_cluster = target.kind == "cluster"
        self.seeds = list(target.addresses)
        self.master: Address | None = None
        self.slots: list[tuple[int, int, Address]] = []
        self.nodes: list[Address] = []

    def perform(self, operation: Commands | Commit | Scan) -> Routine:
        try:
            if isinstance(operation, Commit):
                self._check_slots(operation)
                return (yield from self._commit(operation))
            if isinstance(operation, Scan):
                return (yield from self._scan(operation))
            return (yield from self._perform_commands(operation))
        except ServerError:
            # The next operation may need another server.
            self._forget()
            raise

    def _forget(self) -> None:
        self.master = None
        self.slots = []

    def _check_slots(self, operation: Commit) -> None:
        slots = {slot_of(key) for command in operation.commands if (key := key_of(command))}
        if self.is_cluster and not slots <= {slot_of(operation.key)}:
            # The braces around it would be empty, and then a cluster takes no notice of them.
            raise ValueError("in a cluster, the name of a map must not begin with }")

    # ---- whom to ask -------------------------------------------------------------------------

    def _locate(self, key: bytes | None) -> Routine:
        if self.target.path:
            return None
        if self.target.kind == "server":
            return self.seeds[0]
        if self.target.kind == "sentinel":
            if self.master is None:
                self.master = yield from self._find_master()
            return self.master
        if not self.slots:
            yield from self._learn_slots()
        slot = slot_of(key or b"")
        for begin, end, address in self.slots:
            if begin <= slot <= end:
                return address
        raise ServerError("no node of the cluster has the hash slot of the map")

    def _ask_all(self, addresses: Sequence[Address], command: Command, kind: str) -> Routine:
        """The address that answers first, and its reply."""
        failure: ServerError | None = None
        for address in addresses:
            try:
                connection = yield Take(address, kind)
                (reply,) = yield Exchange(connection, [command])
            except ServerError as error:
                failure = failure or error
                continue
            yield Close(connection)
            if not isinstance(reply, Refusal):
                return address, reply
            failure = Refused(reply.text)
            text = reply.text.lower()
            if kind == "sentinel" and text.startswith("unknown command"):
                failure = ServerError("the server is not a sentinel: use redis:// in the URL")
            elif command[0] == "CLUSTER" and ("unknown" in text or "disabled" in text):
                failure = ServerError(
                    "the server is not a node of a cluster: use redis:// in the URL"
                )
        raise failure or ServerError("no server to ask")

    def _find_master(self) -> Routine:
        failure: ServerError | None = None
        for seed in [*self.seeds]:
            command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.target.service)
            try:
                _, reply = yield from self._ask_all([seed], command, "sentinel")
                if reply is None:
                    raise ServerError("the sentinels do not know the service of the URL")
                host, port = checked(command, reply)
                address = _valid_address(host.decode("utf-8", "replace"), port.decode())
            except (ValueError, AttributeError):
                failure = failure or invalid("it is not a reply to SENTINEL")
            except ServerError as error:
                failure = failure or error
            else:
                # The next question goes to the one that answered.
                self.seeds.remove(seed)
                self.seeds.insert(0, seed)
                return address
        raise failure or ServerError("no sentinel to ask")

    def _learn_slots(self) -> Routine:
        known = list(dict.fromkeys([*self.nodes, *self.seeds]))
        asked, reply = yield from self._ask_all(known, ("CLUSTER", "SLOTS"), "server")
        slots: list[tuple[int, int, Address]] = []
        nodes: list[Address] = []
        try:
            for begin, end, *members in checked(("CLUSTER", "SLOTS"), reply):
                for host, port, *_ in members:
                    name = host.decode("utf-8", "replace") if host else asked[0]
                    nodes.append(_valid_address(name, port))
                if type(begin) is not int or type(end) is not int:
                    raise TypeError
                slots.append((begin, end, nodes[-len(members)]))
        except (TypeError, ValueError, AttributeError, IndexError):
            raise invalid("it is not a reply to CLUSTER") from None
        self.slots, self.nodes = slots, nodes

    # ---- commands ----------------------------------------------------------------------------

    def _exchange(self, address: Address | None, commands: Sequence[Command]) -> Routine:
        connection = yield Take(address)
        replies = yield Exchange(connection, commands)
        # A server that became a replica has this connection for a client that reads.
        if any(isinstance(reply, Refusal) and reply.code == "READONLY" for reply in replies):
            yield Close(connection)
        else:
            yield Give(address, connection)
        return replies

    def _perform_commands(self, operation: Commands) -> Routine:
        commands = operation.commands
        replies: list[Any] = [None] * len(commands)
        pending = list(range(len(commands)))
        for attempt in range(_ATTEMPTS):
            groups: dict[Address | None, list[int]] = {}
            for index in pending:
                address = yield from self._locate(key_of(commands[index]) or operation.key)
                groups.setdefault(address, []).append(index)
            pending = []
            for address, indices in groups.items():
                found = yield from self._exchange(address, [commands[i] for i in indices])
                for index, reply in zip(indices, found, strict=True):
                    replies[index] = yield from self._asked(address, commands[index], reply)
                    if self._is_moved(replies[index]):
                        pending.append(index)
            if not pending:
                break
            self._forget()
            yield Pause(_PAUSE * attempt)
        for reply in replies:
            if isinstance(reply, Refusal):
                yield from self._refuse(reply, groups)
        return [checked(*both) for both in zip(commands, replies, strict=True)]

    def _is_moved(self, reply: Any) -> bool:
        return (
            self.is_cluster
            and isinstance(reply, Refusal)
            and reply.code in ("MOVED", "TRYAGAIN", "CLUSTERDOWN")
        )

    def _asked(self, address: Address | None, command: Command, reply: Any) -> Routine:
        """The reply, or that of the node to which the key is moving now."""
        if not (self.is_cluster and isinstance(reply, Refusal) and reply.code == "ASK"):
            return reply
        assert address is not None
        target = _address_of(reply, address)
        replies = yield from self._exchange(target, [("ASKING",), command])
        return replies[1]

    def _refuse(self, refusal: Refusal, addresses: Any) -> Routine:
        """Raises ServerError; to a URL that leads to another kind of server, with the right one."""
        if self.target.kind == "server":
            if refusal.code in ("MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT"):
                raise ServerError(_USE_CLUSTER)
            if refusal.text.lower().startswith("unknown command"):
                (role,) = yield from self._exchange(next(iter(addresses)), [("ROLE",)])
                if isinstance(role, list) and role[:1] == [b"sentinel"]:
                    raise ServerError(_USE_SENTINEL)
        raise Refused(refusal.text)

    def _scan(self, operation: Scan) -> Routine:
        masters = [(yield from self._locate(None))]
        if self.is_cluster:
            masters = sorted({address for _, _, address in self.slots})
        found: set[bytes] = set()
        size = 0
        for address in masters:
            cursor = 0
            while True:
                command = ("SCAN", cursor, "MATCH", operation.pattern, "COUNT", _PAGE)
                (reply,) = yield from self._exchange(address, [command])
                if isinstance(reply, Refusal):
                    yield from self._refuse(reply, [address])
                cursor, keys = checked(command, reply)
                found.update(keys)
                size += sum(map(len, keys))
                if size > _LARGEST_SCAN:
                    raise ServerError("the server has too many keys")
                if not cursor:
                    break
        return [*found]

    # ---- transactions ------------------------------------------------------------------------

    def _commit(self, operation: Commit) -> Routine:
        for attempt in range(_ATTEMPTS):
            address = yield from self._locate(operation.key)
            connection = yield Take(address)
            reading = get(operation.key)
            # Of before the commit: a replica that is lost meanwhile has not got it.
            asked = [("WATCH", operation.key), reading, ("INFO", "replication")]
            *replies, info = yield Exchange(connection, asked)
            if any(self._is_moved(reply) for reply in replies):
                yield Give(address, connection)
                self._forget()
                yield Pause(_PAUSE * attempt)
                continue
            for reply in replies:
                if isinstance(reply, Refusal):
                    yield Close(connection)
                    yield from self._refuse(reply, [address])
            if checked(reading, replies[1]) != operation.expected:
                yield Exchange(connection, [("UNWATCH",)])
                yield Give(address, connection)
                return None
            results = yield from self._execute(connection, operation.commands)
            if results is not None:
                yield from self._wait_for_replicas(connection, info)
            yield Give(address, connection)
            return results
        raise ServerError("the cluster is moving the map to another node; try again")

    def _execute(self, connection: Any, commands: Sequence[Command]) -> Routine:
        transaction = [("MULTI",), *commands, ("EXEC",)]
        *queued, results = yield Exchange(connection, transaction)
        refusals = [reply for reply in [*queued, results] if isinstance(reply, Refusal)]
        if not refusals and results is None:
            return None
        if not refusals:
            if not isinstance(results, list) or len(results) != len(commands):
                yield Close(connection)
                raise invalid("it is not a reply to EXEC")
            refusals = [reply for reply in results if isinstance(reply, Refusal)]
        if refusals:
            # In a cluster, what was refused here may be accepted elsewhere: the next try asks.
            yield Close(connection)
            raise Refused(refusals[0].text)
        return [checked(*both) for both in zip(commands, results, strict=True)]

    def _wait_for_replicas(self, connection: Any, info: Any) -> Routine:
        """A server tells of a commit before its replicas have it, and a failover may lose it."""
        if isinstance(info, Refusal):
            return  # the user may not ask
        count = checked(("INFO", "replication"), info).get("connected_slaves")
        if not isinstance(count, int) or not count:
            return
        waiting = ("WAIT", count, _REPLICATION_MILLISECONDS)
        (reply,) = yield Exchange(connection, [waiting])
        if isinstance(reply, int) and reply < count:
            yield Close(connection)
            raise ServerError(
                f"the version is on the server, but {reply} of {count} replicas have it, and a"
                " failover may lose it; push again"
            )
