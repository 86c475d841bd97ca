"""Opens damaged and forged snapshots with the extension and calls every method that reads.

    python3 tests/hostile/read_all.py [--stride N]

The bytes come from a buffer that ends with them, from a file, and from shared memory. Any answer
or SnapshotError will do for a forgery, but no other exception than those that each method has for
what is not there; an accident that passes verify() must give the answers of the original. Exit
status 1 for everything else, and for a crash.
"""

import argparse
import copy
import ctypes
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import tempfile
import uuid

sys.path.insert(0, os.fspath(pathlib.Path(__file__).resolve().parents[1] / "support"))
import independent_reader

import sharedmap

HEADER_SIZE = 512

ENTRIES = {
    "": "the empty key",
    "aaa": "323",
    "bytes": b"\x00\xff",
    "float": 1.5,
    "int": 256,
    "long int": 1 << 100,
    "none": None,
    "text": "é红😀\ud800",
    "true": True,
    "k" * 130: "v" * 70,
    "红": "x",
}
INTACT = sharedmap.sharedmap.frombuffer(sharedmap.rbtree(ENTRIES).dump())
KEYS = [*ENTRIES, "\0", "between", "\U0010ffff"]

# What is no failure: not there, out of range, and a value that wants a decoder.
MISSES = (sharedmap.SnapshotError, KeyError, IndexError)


def for_keys(method):
    def call(shared):
        for key in KEYS:
            try:
                method(shared, key)
            except MISSES:
                pass

    return call


def for_range(of):
    """What a range has to read."""

    def call(shared):
        part = of(shared)
        for read in (len, list, lambda p: list(reversed(p)), lambda p: list(p.items())):
            attempt(read, part)
        for read in (lambda p: p.first(), lambda p: p.last(), lambda p: p.peekitem(0)):
            attempt(read, part)
        attempt(lambda p: [p.get(key) for key in KEYS], part)
        attempt(lambda p: [p.floor(key) for key in KEYS], part)

    return call


def index(shared, key):
    try:
        shared.index(key)
    except ValueError as error:
        # The one for a key that is not there; text that is no text is a SnapshotError.
        assert type(error) in (ValueError, sharedmap.SnapshotError), repr(error)


READS = [
    len,
    list,
    dict,
    repr,
    copy.copy,
    lambda m: list(reversed(m)),
    lambda m: list(m.values()),
    lambda m: list(reversed(m.values())),
    lambda m: list(m.items()),
    lambda m: list(reversed(m.items())),
    lambda m: m.keys() & set(KEYS),
    lambda m: m.items() ^ set(),
    lambda m: m.items() <= set(ENTRIES.items()),
    lambda m: "323" in m.values(),
    lambda m: m == ENTRIES,
    lambda m: m.to_dict(),
    lambda m: m | {},
    lambda m: m == m.snapshot(),
    lambda m: m.diff(m.snapshot()),
    lambda m: m.diff(INTACT),
    lambda m: INTACT.diff(m),
    lambda m: m.get_many(KEYS),
    lambda m: m.first(),
    lambda m: m.last(),
    lambda m: (m.name, m.generation, m.nbytes, m.closed, m.stale),
    lambda m: [m.peekitem(i) for i in range(-1, 3)],
    lambda m: sharedmap.rbtree(m),
    lambda m: sharedmap.rbtree(m).dump(),
    for_keys(lambda m, key: m[key]),
    for_keys(lambda m, key: m.get(key)),
    for_keys(lambda m, key: key in m),
    for_keys(lambda m, key: m.keys().isdisjoint([key])),
    for_keys(lambda m, key: (key, "323") in m.items()),
    for_keys(lambda m, key: m.floor(key)),
    for_keys(lambda m, key: m.ceiling(key)),
    for_keys(lambda m, key: m.lower(key)),
    for_keys(lambda m, key: m.higher(key)),
    for_keys(lambda m, key: m.longest_prefix(key + key)),
    for_keys(lambda m, key: m.bisect_left(key)),
    for_keys(lambda m, key: m.bisect_right(key)),
    for_keys(lambda m, key: bytes(m.view(key))),
    for_keys(index),
    for_range(lambda m: m["a":"n"]),
    for_range(lambda m: m.prefix("t")),
    for_range(lambda m: m["b":]["c":"x"]),
]


def attempt(read, shared):
    try:
        return read(shared)
    except MISSES:
        return None
    except TypeError as error:
        if "encode" not in str(error):
            raise
        return None


def interrogate(shared, is_forged):
    for read in READS:
        attempt(read, shared)
    try:
        shared.verify()
    except sharedmap.SnapshotError:
        return False
    if not is_forged:
        assert dict(shared) == ENTRIES
    return True


# --- cases --------------------------------------------------------------------------------------


def sealed(data):
    """With both checksums right again."""
    content = 0
    for at in range(HEADER_SIZE, len(data), 65536):
        content = independent_reader.hash_bytes(data[at : at + 65536], content)
    return independent_reader.seal(data[:56] + struct.pack("<Q", content) + data[64:])


def with_number(data, at, width, number):
    return (
        data[:at] + (number & (1 << 8 * width) - 1).to_bytes(width, "little") + data[at + width :]
    )


def damages(data):
    """(bytes, whether only the header was touched): bits, bytes, words, truncations."""
    size = len(data)
    for at in range(size):
        for mask in (1, 2, 4, 8, 16, 32, 64, 128, 0xFF):
            yield with_number(data, at, 1, data[at] ^ mask)
    edges = [0, 1, -1, 2**31, 2**32 - 1, 2**63, size, size - 1, size + 1]
    for width in (4, 8):
        for at in range(0, size, width):
            for number in edges:
                yield with_number(data, at, width, number)
    for cut in range(0, size, 8):
        yield data[:cut]
        if cut >= HEADER_SIZE:
            yield with_number(data[:cut], 24, 8, cut)
    yield data + bytes(64)
    yield with_number(data + bytes(64), 24, 8, size + 64)


def cases(data, stride):
    for i, damaged in enumerate(damages(data)):
        if i % stride == 0:
            yield damaged, False
            if len(damaged) >= HEADER_SIZE:
                yield sealed(damaged), True


def in_buffer(data):
    """A map on memory that ends where the bytes end."""
    return sharedmap.sharedmap.frombuffer((ctypes.c_char * len(data)).from_buffer_copy(data))


class Files:
    """The same bytes as a saved file and as a published name."""

    def __init__(self, folder, name):
        self.path = os.path.join(folder, "hostile.map")
        self.name = name
        self.shm = f"/dev/shm/sharedmap.{name}"

    def write(self, path, data):
        # A new file each time: nobody writes into one that is mapped.
        if os.path.exists(path):
            os.unlink(path)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)

    def saved(self, data):
        self.write(self.path, data)
        return sharedmap.sharedmap.open(self.path)

    def published(self, data):
        self.write(self.shm, data)
        return sharedmap.sharedmap(self.name)

    def update(self, _):
        """What is published is merged with changes and published again."""
        generation = sharedmap.update(self.name, {"aaa": "new", "zzz": 1}, remove=["int"])
        with sharedmap.sharedmap(self.name) as shared:
            assert shared.generation == generation
        return True


def run_cases(files, stride):
    count = opened = verified = updated = 0
    for kind in ("hash", "tree"):
        data = sharedmap.rbtree(ENTRIES).dump(index=kind)
        interrogate(in_buffer(data), False)
        for damaged, is_forged in cases(data, stride):
            # The three ways to open take turns.
            way = (in_buffer, files.saved, files.published)[count % 3]
            count += 1
            try:
                shared = way(damaged)
            except sharedmap.SnapshotError:
                continue
            opened += 1
            verified += interrogate(shared, is_forged)
            if way == files.published:
                pickle.loads(pickle.dumps(shared)).close()
                updated += attempt(files.update, shared) is True
            shared.close()
    print(f"{count} cases, {opened} opened, {verified} verified, {updated} updated, 0 failures")
    # Damage that is refused at once would show nothing of reading.
    return 0 if opened > count // 10 and verified and updated else 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--within", nargs=2, metavar=("FOLDER", "NAME"))
    arguments = parser.parse_args()
    if arguments.within:
        return run_cases(Files(*arguments.within), arguments.stride)
    # In a process of its own: one that crashes cleans nothing up.
    print(sharedmap.__file__, flush=True)
    name = f"hostile-{uuid.uuid4().hex[:16]}"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        command = [sys.executable, __file__, "--stride", str(arguments.stride)]
        code = subprocess.run([*command, "--within", folder, name]).returncode
        sharedmap.remove(name)
    if code < 0:
        print(f"crashed with signal {-code}")
    return 0 if code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
