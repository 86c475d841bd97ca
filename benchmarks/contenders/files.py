"""Libraries that publish a file which readers map: LMDB, MDBX, cdb, MARISA, SQLite."""

import ctypes
import os
import sys
from pathlib import Path
from typing import Any, ClassVar

from .. import prepare
from .base import Contender

IPC_RMID = 0
NO_ORDER = {"prefix": "keeps no order"}
REPLACED = NO_ORDER | {"newest": "a new version is a new file, which readers have to open"}


ENOUGH = 250_000  # random ones of 1 M keys lie on practically all pages


class Lmdb(Contender):
    """A B+ tree; values are read in one transaction that stays open."""

    name = "lmdb"
    title = "py-lmdb, engine 0.9"
    engine = 0
    modules = ("lmdb",)
    distributions = ("lmdb",)
    largest = 1_000_000_000
    hit = "get(k.encode()).decode()"
    miss = "get(k.encode())"
    many = "[get(k.encode()).decode() for k in q]"  # getmulti() takes a third longer
    scan = "[(k.decode(), v.decode()) for k, v in cursor()]"
    prefix = "scan_prefix(k.encode())"
    walk = "sum(1 for _ in cursor())"
    newest = "begin().get(k.encode()).decode()"

    def start(self) -> None:
        import lmdb

        self.lmdb = lmdb

    imports = start

    def publish(self, data: dict[str, str]) -> None:
        self.replace_file(lambda path: self.write(path, data))

    def write(self, path: str, data: dict[str, str]) -> None:
        """All in one transaction and in key order, which is the fastest way."""
        pairs = sorted((key.encode(), value.encode()) for key, value in data.items())
        room = 2**24 + 4 * sum(len(key) + len(value) + 32 for key, value in pairs)
        options = {"map_size": room, "subdir": False, "lock": False, "sync": False}
        options["lib_version"] = self.engine
        with self.lmdb.open(path, **options) as store, store.begin(write=True) as change:
            change.cursor().putmulti(pairs, append=True)

    def open(self) -> dict[str, Any]:
        store = self.lmdb.open(str(self.path), subdir=False, readonly=True, lib_version=self.engine)
        reading = store.begin()
        cursor = reading.cursor()

        def scan_prefix(prefix: bytes) -> list[tuple[str, str]]:
            found = []
            if cursor.set_range(prefix):
                for key, value in cursor:
                    if not key.startswith(prefix):
                        break
                    found.append((key.decode(), value.decode()))
            return found

        return {
            "store": store,
            "begin": store.begin,
            "get": reading.get,
            "cursor": reading.cursor,
            "scan_prefix": scan_prefix,
        }

    def close(self, names: dict[str, Any]) -> None:
        names["store"].close()
        names.clear()


class Lmdb1(Lmdb):
    """The same with LMDB 1.0, which py-lmdb offers beside 0.9."""

    name = "lmdb-1"
    title = "py-lmdb, engine 1.0"
    engine = 1
    quick = False


class Mdbx(Contender):
    """LMDB's descendant, through its own binding; one transaction that stays open."""

    name = "mdbx"
    title = "clibmdbx"
    modules = ("clibmdbx",)
    distributions = ("clibmdbx",)
    quick = False
    largest = 10_000_000
    why_largest = "up to 10 M entries only"
    hit = "get(k.encode()).decode()"
    miss = "get(k.encode())"
    many = "[v.decode() for v in get_many([k.encode() for k in q])]"
    scan = "[(k.decode(), v.decode()) for k, v in items()]"
    walk = "sum(1 for _ in items())"
    newest = "get_newest(k.encode()).decode()"
    prefix = "scan_prefix(k.encode())"

    def start(self) -> None:
        import clibmdbx

        self.mdbx = clibmdbx

    imports = start

    def publish(self, data: dict[str, str]) -> None:
        self.replace_file(lambda path: self.write(path, data))

    def write(self, path: str, data: dict[str, str]) -> None:
        """All in one transaction and in key order, as for LMDB."""
        pairs = sorted((key.encode(), value.encode()) for key, value in data.items())
        flags = self.mdbx.MDBX_SAFE_NOSYNC
        with (
            self.mdbx.Environment(path, subdir=False, flags=flags) as store,
            store.write() as change,
        ):
            change.put_many(pairs)

    def open(self) -> dict[str, Any]:
        store = self.mdbx.Environment(str(self.path), subdir=False, readonly=True)
        reading = store.read()

        def scan_prefix(prefix: bytes) -> list[tuple[str, str]]:
            found = []
            cursor = reading.cursor()
            pair = cursor.set_range(prefix)
            while pair and pair[0].startswith(prefix):
                found.append((pair[0].decode(), pair[1].decode()))
                pair = cursor.next()
            return found

        return {
            "store": store,
            "reading": reading,
            "get": reading.get,
            "get_many": reading.get_many,
            "items": lambda: reading.cursor().items(),
            "get_newest": store.get,
            "scan_prefix": scan_prefix,
        }

    def close(self, names: dict[str, Any]) -> None:
        store, reading = names["store"], names["reading"]
        names.clear()
        reading.abort()
        store.close()


class Cdbx(Contender):
    """A cdb by a C extension from the package index. It takes str keys as Latin-1."""

    name = "cdbx"
    title = "cdbx"
    modules = ("cdbx",)
    distributions = ("cdbx",)
    largest = 40_000_000  # a cdb ends at 4 GiB
    why_largest = "a cdb holds up to 4 GiB"
    hit = "m[k].decode()"
    miss = "get(k)"
    many = "[m[k].decode() for k in q]"
    scan = "[(k.decode(), v.decode()) for k, v in m.items()]"
    walk = "sum(1 for _ in m.items())"
    why = REPLACED

    def start(self) -> None:
        import cdbx

        self.cdb = cdbx.CDB

    imports = start

    def publish(self, data: dict[str, str]) -> None:
        self.replace_file(lambda path: self.write(path, data))

    def write(self, path: str, data: dict[str, str]) -> None:
        maker = self.cdb.make(path)
        for key, value in data.items():
            maker.add(key, value.encode())
        maker.commit().close()

    def open(self) -> dict[str, Any]:
        m = self.cdb(str(self.path))
        return {"m": m, "get": m.get}

    def close(self, names: dict[str, Any]) -> None:
        names["m"].close()
        names.clear()


class TinyCdb(Contender):
    """Debian's libcdb through the binding in cdb_binding.c."""

    name = "tinycdb"
    title = "tinycdb, C binding"
    largest = 40_000_000  # a cdb ends at 4 GiB
    why_largest = "a cdb holds up to 4 GiB"
    scan = "m.items()"
    why = REPLACED

    @classmethod
    def missing(cls) -> str | None:
        return prepare.build_cdb()

    @classmethod
    def versions(cls) -> dict[str, str]:
        return {"libcdb": prepare.cdb_version()}

    def start(self) -> None:
        sys.path.insert(0, str(prepare.cdb_folder()))
        import cdb_binding

        self.cdb = cdb_binding

    imports = start

    def publish(self, data: dict[str, str]) -> None:
        self.replace_file(lambda path: self.cdb.write(path, data))

    def open(self) -> dict[str, Any]:
        m = self.cdb.Reader(str(self.path))
        return {"m": m, "get": m.get}


class Marisa(Contender):
    """A trie that stores shared prefixes and suffixes once."""

    name = "marisa-trie"
    title = "marisa_trie.BytesTrie, mapped"
    modules = ("marisa_trie",)
    distributions = ("marisa-trie",)
    quick = False
    enough = ENOUGH
    hit = "m[k][0].decode()"
    many = "[m[k][0].decode() for k in q]"
    scan = "[(k, v.decode()) for k, v in m.items()]"
    prefix = "[(key, v.decode()) for key, v in m.items(k)]"
    why: ClassVar[dict[str, str]] = {"newest": REPLACED["newest"]}

    def start(self) -> None:
        import marisa_trie

        self.trie = marisa_trie.BytesTrie

    imports = start

    def publish(self, data: dict[str, str]) -> None:
        trie = self.trie((key, value.encode()) for key, value in data.items())
        self.replace_file(trie.save)

    def open(self) -> dict[str, Any]:
        m = self.trie()
        m.mmap(str(self.path))
        return {"m": m}


class Sqlite(Contender):
    """One table WITHOUT ROWID, mapped, opened as immutable."""

    name = "sqlite3"
    title = "sqlite3, mmap, immutable"
    modules = ("sqlite3",)
    quick = False
    enough = ENOUGH
    hit = "execute(one, (k,)).fetchone()[0]"
    miss = "execute(one, (k,)).fetchone()"
    many = "list(map(dict(execute(some, q)).get, q))"
    scan = "execute('select k, v from t order by k').fetchall()"
    prefix = "execute(between, (k, k + last)).fetchall()"
    walk = "sum(1 for _ in execute('select k, v from t'))"
    newest = "fresh(one, (k,)).fetchone()[0]"

    @classmethod
    def versions(cls) -> dict[str, str]:
        import sqlite3

        return {"sqlite": sqlite3.sqlite_version}

    def start(self) -> None:
        import sqlite3

        self.connect = sqlite3.connect

    imports = start

    def publish(self, data: dict[str, str]) -> None:
        self.replace_file(lambda path: self.write(path, data))

    def write(self, path: str, data: dict[str, str]) -> None:
        connection = self.connect(path)
        connection.execute("pragma journal_mode = off")
        connection.execute("pragma synchronous = off")
        connection.execute("create table t (k text primary key, v text) without rowid")
        connection.executemany("insert into t values (?, ?)", sorted(data.items()))
        connection.commit()
        connection.close()

    def open(self) -> dict[str, Any]:
        connection = self.connect(f"file:{self.path}?immutable=1&mode=ro", uri=True)
        connection.execute(f"pragma mmap_size = {2 * os.path.getsize(self.path)}")
        # Not immutable: each statement is a transaction, which checks for a newer version.
        checking = self.connect(f"file:{self.path}?mode=ro", uri=True, isolation_level=None)
        checking.execute(f"pragma mmap_size = {2 * os.path.getsize(self.path)}")
        holders = ", ".join("?" * 1000)
        return {
            "connection": connection,
            "checking": checking,
            "fresh": checking.cursor().execute,
            "execute": connection.cursor().execute,
            "one": "select v from t where k = ?",
            "some": f"select k, v from t where k in ({holders})",
            "between": "select k, v from t where k >= ? and k < ? order by k",
            "last": chr(sys.maxunicode),
        }

    def close(self, names: dict[str, Any]) -> None:
        names["connection"].close()
        names["checking"].close()
        names.clear()


class Ancestor(Contender):
    """sharedmap 1.0.6 in C++; it has the same module name, so it lives in a folder of its own."""

    name = "ancestor"
    title = "sharedmap 1.0.6 (C++)"
    largest = 1_000_000
    enough = ENOUGH
    hit = "get(k)"
    miss = "get(k)"
    scan = None
    why: ClassVar[dict[str, str]] = {
        "scan": "can not iterate",
        "prefix": "has no range queries",
        "newest": "a new version is a new segment, which readers have to open",
    }

    @classmethod
    def missing(cls) -> str | None:
        return prepare.install_ancestor()

    @classmethod
    def versions(cls) -> dict[str, str]:
        return {"sharedmap (C++)": prepare.ANCESTOR.partition("==")[2]}

    def start(self) -> None:
        sys.path.insert(0, str(prepare.ancestor_folder()))
        import sharedmap

        self.module = sharedmap

    imports = start

    def publish(self, data: dict[str, str]) -> None:
        tree = self.module.rbtree()
        put = tree.set
        for key, value in data.items():
            put(key, value)
        self.remove()
        before = set(segments())
        tree.share(self.place)
        self.written = {n: size for n, size in segments().items() if n not in before}

    def published_bytes(self) -> int:
        return sum(self.written.values())

    def open(self) -> dict[str, Any]:
        return {"get": self.module.sharedmap(self.place).get}

    def remove(self) -> None:
        """By number: the ancestor's own remove() does not find the segment with number 0."""
        for number in getattr(self, "written", {}):
            ctypes.CDLL(None).shmctl(number, IPC_RMID, None)
        self.written = {}


def segments() -> dict[int, int]:
    """Number and size of each System V segment."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {int(fields[1]): int(fields[3]) for fields in map(str.split, lines)}
