"""Libraries that share in other ways: streams in shared memory and server processes."""

import contextlib
import importlib.util
import pickle
import shutil
import subprocess
import sys
import time
from multiprocessing import get_context, resource_tracker
from multiprocessing.managers import DictProxy, SyncManager
from pathlib import Path
from typing import Any, ClassVar

from .base import Contender

NO_ORDER = {"prefix": "keeps no order"}


class Ultra(Contender):
    """Each reader holds a dict of its own and checks for changes at each access."""

    name = "ultradict2"
    title = "UltraDict2"
    modules = ("UltraDict2",)
    distributions = ("UltraDict2",)
    quick = False
    newest = "m[k]"
    why = NO_ORDER

    def start(self) -> None:
        from UltraDict2 import UltraDict

        self.ultra = UltraDict
        self.written: Any = None

    imports = start

    def publish(self, data: dict[str, str]) -> None:
        """One dump of everything; entry by entry it would dump again and again."""
        self.remove()
        self.written = self.ultra(name=self.place, create=True, auto_unlink=False)
        self.written.data.update(data)
        self.written.dump()

    def published_bytes(self) -> int:
        dumped = bytes(self.written.full_dump_memory_name_remote).decode().strip().strip("\0")
        return Path("/dev/shm", dumped).stat().st_size

    def open(self) -> dict[str, Any]:
        m = self.ultra(name=self.place, create=False, auto_unlink=False)
        return {"m": m, "get": m.get}

    def close(self, names: dict[str, Any]) -> None:
        names["m"].close()
        names.clear()

    def remove(self) -> None:
        if getattr(self, "written", None) is not None:
            self.written.close(unlink=True)
            self.written = None


class SharedMemoryDict(Contender):
    """The whole dict is a pickle in shared memory; each access unpickles it."""

    name = "shared-memory-dict"
    title = "shared-memory-dict"
    modules = ("shared_memory_dict",)
    distributions = ("shared-memory-dict",)
    largest = 200_000
    why_largest = "unpickles the whole dict at each access: up to 100 k entries only"
    enough = 10
    newest = "m[k]"
    many = "list(map(dict(m.items()).get, q))"
    why = NO_ORDER

    def start(self) -> None:
        from shared_memory_dict import SharedMemoryDict as Implementation

        self.implementation = Implementation
        self.written: Any = None

    imports = start

    def publish(self, data: dict[str, str]) -> None:
        self.remove()
        self.size = len(pickle.dumps(data, pickle.HIGHEST_PROTOCOL)) + 4096
        self.written = self.implementation(name=self.place, size=self.size)
        self.written.update(data)

    def published_bytes(self) -> int:
        return self.size

    def open(self) -> dict[str, Any]:
        m = self.implementation(name=self.place, size=1)
        # Else the first reader that ends takes the memory away from all others.
        with contextlib.suppress(KeyError):
            resource_tracker.unregister(m.shm._name, "shared_memory")
        return {"m": m, "get": m.get}

    def remove(self) -> None:
        if getattr(self, "written", None) is not None:
            self.written.shm.close()
            self.written.shm.unlink()
            self.written = None


class TableManager(SyncManager):
    """A manager whose dict other processes find by its address."""


class Manager(Contender):
    """A dict in a server process; each access is a message and its answer."""

    name = "manager"
    title = "multiprocessing.Manager().dict()"
    quick = False
    enough = 1000
    newest = "m[k]"
    scan = "m.items()"
    why = NO_ORDER
    key = b"benchmark"

    def start(self) -> None:
        table: dict[str, str] = {}
        self.address = str(self.folder / "manager.socket")
        TableManager.register("table", callable=lambda: table, proxytype=DictProxy)
        self.manager = TableManager(self.address, self.key, ctx=get_context("fork"))
        self.manager.start()
        self.table = self.manager.table()  # type: ignore[attr-defined]

    def publish(self, data: dict[str, str]) -> None:
        self.table.update(data)

    def published_bytes(self) -> None:
        return None

    def server_processes(self) -> list[int]:
        return [self.manager._process.pid]  # type: ignore[attr-defined]

    def imports(self) -> None:
        self.address = str(self.folder / "manager.socket")
        TableManager.register("table", proxytype=DictProxy)

    def open(self) -> dict[str, Any]:
        manager = TableManager(self.address, self.key)
        manager.connect()
        m = manager.table()  # type: ignore[attr-defined]
        return {"m": m, "get": m.get}

    def remove(self) -> None:
        self.manager.shutdown()


class Redis(Contender):
    """A hash in a Redis server on the same machine, over a Unix socket."""

    name = "redis"
    title = "redis, unix socket"
    modules = ("redis",)
    distributions = ("redis",)
    quick = False
    enough = 1000
    hit = "hget(name, k)"
    miss = "hget(name, k)"
    newest = "hget(name, k)"
    many = "hmget(name, q)"
    scan = "list(hgetall(name).items())"
    why = NO_ORDER
    server: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> str | None:
        if shutil.which("redis-server") is None:
            return "the program redis-server is not installed"
        return super().missing()

    @classmethod
    def versions(cls) -> dict[str, str]:
        told = subprocess.run(["redis-server", "--version"], capture_output=True, text=True)
        server = told.stdout.partition("v=")[2].split()[0]
        return {"redis-py": super().versions()["redis"], "redis-server": server}

    def imports(self) -> None:
        import redis

        self.socket = str(self.folder / "redis.socket")
        self.connect = lambda: redis.Redis(unix_socket_path=self.socket, decode_responses=True)

    def start(self) -> None:
        self.imports()
        options = ["--port", "0", "--unixsocket", self.socket, "--save", "", "--appendonly", "no"]
        self.server = subprocess.Popen(
            ["redis-server", *options, "--dir", str(self.folder)], stdout=subprocess.DEVNULL
        )
        self.client = self.connect()
        for _ in range(100):
            with contextlib.suppress(Exception):
                self.client.ping()
                return
            time.sleep(0.1)
        raise TimeoutError("redis-server does not answer")

    def publish(self, data: dict[str, str]) -> None:
        pairs = list(data.items())
        for start in range(0, len(pairs), 10_000):
            self.client.hset("new", mapping=dict(pairs[start : start + 10_000]))
        self.client.rename("new", self.place)

    def published_bytes(self) -> int:
        return self.client.memory_usage(self.place, samples=0)

    def server_processes(self) -> list[int]:
        return [self.server.pid] if self.server else []

    def open(self) -> dict[str, Any]:
        client = self.connect()
        names = {"client": client, "name": self.place}
        return names | {key: getattr(client, key) for key in ("hget", "hmget", "hgetall")}

    def close(self, names: dict[str, Any]) -> None:
        names["client"].close()
        names.clear()

    def remove(self) -> None:
        if self.server is not None:
            self.server.terminate()
            self.server.wait()


class Stash(Contender):
    """gunicorn's tables for all workers: in its dirty arbiter, which each access asks."""

    name = "stash"
    title = "gunicorn.dirty.stash"
    modules = ("gunicorn.dirty",)
    distributions = ("gunicorn",)
    largest = 1_000
    why_largest = "publishes key by key: 1 k entries only"
    enough = 1000
    hit = "get(table, k)"
    miss = "get_or_none(k)"
    newest = "get(table, k)"
    many = "[get(table, k) for k in q]"
    scan = None
    why: ClassVar[dict[str, str]] = NO_ORDER | {"scan": "reads all entries key by key"}

    @property
    def socket(self) -> str:
        return str(self.folder / "stash.socket")

    @classmethod
    def missing(cls) -> str | None:
        if importlib.util.find_spec("gunicorn") is None:
            return "the module gunicorn is not installed"
        return super().missing()

    def start(self) -> None:
        """gunicorn's dirty arbiter without its web server."""
        self.parent = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contenders.stash", self.socket],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.imports()
        for _ in range(100):
            with contextlib.suppress(Exception):
                self.client(self.socket).tables()
                return
            time.sleep(0.1)
        raise TimeoutError("the arbiter does not answer")

    def imports(self) -> None:
        from gunicorn.dirty.stash import StashClient, StashError

        self.client, self.error = StashClient, StashError

    def publish(self, data: dict[str, str]) -> None:
        client = self.client(self.socket)
        client.delete_table(self.place)
        for key, value in data.items():
            client.put(self.place, key, value)

    def published_bytes(self) -> None:
        return None

    def server_processes(self) -> list[int]:
        pid = self.parent.pid
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]

    def open(self) -> dict[str, Any]:
        client = self.client(self.socket)
        get, table, error = client.get, self.place, self.error

        def get_or_none(key: str) -> Any:  # of version 27: get() raises despite its default
            try:
                return get(table, key)
            except error:
                return None

        return {"client": client, "get": get, "table": table, "get_or_none": get_or_none}

    def close(self, names: dict[str, Any]) -> None:
        names["client"].close()
        names.clear()

    def remove(self) -> None:
        self.parent.terminate()
        self.parent.wait()
