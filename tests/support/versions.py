"""Maps that are published as versions, a base with deltas, and what their files say of these.

A map has room for deltas when it has a name and at least 4,096 entries. What is said here of a file
is read from its bytes, without the extension.
"""

import os
import struct

from helpers import segment_path

import sharedmap

# Above the number from which on a map has room, also when some of them are removed.
ENTRIES = 5000


def key_of(number):
    return f"key {number:05}"


def value_of(number):
    """Values of all types and of many sizes, and bytes in between, which are aligned."""
    return (
        number,
        f"value {number}",
        b"\0\xff" * (number % 50),
        number / 7,
        "é" * (number % 30),
        -(number**9),
        number % 2 == 0,
        None,
    )[number % 8]


def base_entries(count=ENTRIES):
    return {key_of(number): value_of(number) for number in range(count)}


def head_of(name):
    with open(segment_path(name), "rb") as file:
        return struct.unpack_from("<I", file.read(512), 192)[0]


def allocated(name):
    """Bytes that the file has in memory."""
    return os.stat(segment_path(name)).st_blocks * 512


def limit_of(name):
    with open(segment_path(name), "rb") as file:
        return struct.unpack_from("<Q", file.read(512), 168)[0]


def inode_of(name):
    return os.stat(segment_path(name)).st_ino


class Delta:
    """What the header of a delta says."""

    def __init__(self, data, head):
        total_size = struct.unpack_from("<Q", data, 24)[0]
        self.begin = total_size + ((head >> 1) - 1) * 64
        fields = struct.unpack_from("<8s5Q2IQQ16s", data, self.begin)
        self.magic, self.size, self.entry_count, self.length = fields[:4]
        self.beneath, self.generation = fields[6], fields[9]
        assert self.magic == b"\x89SMDE\r\n\x1a"


def deltas_of(name):
    """The deltas of the newest version, from the newest down."""
    with open(segment_path(name), "rb") as file:
        data = file.read()
    found = []
    head = struct.unpack_from("<I", data, 192)[0] & ~1
    while head:
        found.append(Delta(data, head))
        head = found[-1].beneath
    return found


class History:
    """A published map and the dict that it must read like."""

    def __init__(self, name, entries=None, **options):
        self.name = name
        self.dict = base_entries() if entries is None else dict(entries)
        sharedmap.share(self.dict, name, **options)

    def update(self, changes=(), remove=(), **options):
        changes = dict(changes)
        generation = sharedmap.update(self.name, changes, remove, **options)
        # A copy: whoever has the one before has a version of it.
        self.dict = {k: v for k, v in self.dict.items() if k not in remove} | changes
        return generation

    def open(self, **options):
        return sharedmap.sharedmap(self.name, **options)


def one_delta(history):
    """Replaced, removed and added, at both ends and in between."""
    history.update(
        {
            "": "the empty key",
            key_of(1): "replaced",
            key_of(2): b"replaced" * 200,
            "key 00002+": "added",
            "key 00002+ and more": 2**70,
            "zz": "added at the end",
        },
        remove=[key_of(0), key_of(3), key_of(4), key_of(ENTRIES - 1), "absent"],
    )


def two_deltas(history):
    """One over the other: each thing that a key can be in the old one and in the young one."""
    one_delta(history)
    history.update(
        {
            key_of(0): "removed, and put again",
            key_of(1): "replaced twice",
            key_of(3): None,
            key_of(5): "replaced by the young one",
            "a": "added by the young one",
            "key 00002+": "added, and replaced",
            "zzz": "added behind the end",
        },
        remove=["", key_of(2), key_of(6), "key 00002+ and more", "zz"],
    )


def many_deltas(history):
    """As many as there are over sixty updates, folded now and then."""
    for number in range(60):
        at = number * 37 % ENTRIES
        history.update(
            {key_of(at): f"changed {number}", f"new {number * 7 % 60:02}": number},
            remove=[key_of(at + 1), f"new {number * 11 % 60:02}"] if number % 3 else [],
        )


# How many deltas a version has afterwards.
SHAPES = {"one delta": (one_delta, 1), "two deltas": (two_deltas, 2), "many": (many_deltas, 2)}


def make(shape, name, **options):
    """A History of that shape, whose file has the deltas that the shape is named after."""
    history = History(name, **options)
    before = inode_of(name)
    work, count = SHAPES[shape]
    work(history)
    assert inode_of(name) == before
    assert len(deltas_of(name)) == count
    return history
