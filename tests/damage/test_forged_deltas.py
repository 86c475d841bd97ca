"""Deltas that lie, with checksums that fit: whatever is read, it takes no more than linear time.

A delta of a published map is written over: where its entries are, how many there are, what their
ranks come to, what it lies over. Each call may refuse it or answer something else, but not look at
the same bytes again and again.
"""

import os
import struct

import pytest
from helpers import segment_path
from independent_reader import BYTES, align, hash_bytes
from test_bounded_work import cost

import sharedmap

HEADER = 128
# Base and delta of the smaller map; a delta may change an eighth.
ENTRIES, CHANGED = 4200, 420


def key_of(number):
    return f"key {number:05}"


class Delta:
    """The newest delta of a map's file, to be changed and sealed again."""

    def __init__(self, name):
        self.data = bytearray(segment_path_bytes(name))
        total_size, head = struct.unpack_from("<Q160xI", self.data, 24)
        self.begin = total_size + ((head >> 1) - 1) * 64
        self.total_size = total_size
        self.size, self.count, self.length, self.records = self.fields("<4Q", 8)
        self.index = HEADER + align(self.records)
        self.ranks = self.index + align(4 * self.count)

    def fields(self, form, at):
        return struct.unpack_from(form, self.data, self.begin + at)

    def put(self, form, at, *values):
        struct.pack_into(form, self.data, self.begin + at, *values)

    def sealed(self):
        content = bytes(self.data[self.begin + HEADER : self.begin + self.size])
        self.put("<Q", 56, hash_bytes(content))
        self.put("<Q", 88, 0)
        self.put("<Q", 88, hash_bytes(bytes(self.data[self.begin : self.begin + HEADER])))
        return bytes(self.data)


def segment_path_bytes(name):
    with open(segment_path(name), "rb") as file:
        return file.read()


def forge_nothing(delta):
    pass


def forge_one_record(delta):
    """All entries are the largest, which is the first."""
    delta.put(f"<{delta.count}I", delta.index, *delta.fields("<I", delta.index) * delta.count)


def forge_records_backwards(delta):
    references = delta.fields(f"<{delta.count}I", delta.index)
    delta.put(f"<{delta.count}I", delta.index, *reversed(references))


def forge_nested_records(delta):
    """Each begins in the middle of the one before, and says that all of them belong to it."""
    head = struct.pack("<H", 4 << 9 | 62 << 3 | BYTES)
    unit = delta.records // delta.count // 8 * 8
    first = delta.begin + HEADER - delta.total_size
    for number in range(delta.count):
        left = delta.records - number * unit - 16
        record = head + struct.pack("<I4s", left, b"%04x" % number)
        delta.put(f"<{unit}s", HEADER + number * unit, record.ljust(unit, b"\0")[:unit])
        delta.put("<I", delta.index + 4 * number, first + number * unit)


def forge_ranks(below, rank):
    def forge(delta):
        pairs = [(below(delta, j), rank(delta, j)) for j in range(delta.count + 1)]
        numbers = [number & 0xFFFFFFFF for pair in pairs for number in pair]
        delta.put(f"<{len(numbers)}I", delta.ranks, *numbers)

    return forge


def forge_count(delta):
    delta.put("<Q", 16, delta.count * 2)


def forge_length(delta):
    delta.put("<Q", 24, 2**62)


def forge_loop(delta):
    """It lies over itself."""
    delta.put("<I", 48, struct.unpack_from("<I", delta.data, 192)[0])


FORGED = {
    "nothing": forge_nothing,
    "one record": forge_one_record,
    "records backwards": forge_records_backwards,
    "nested records": forge_nested_records,
    "ranks of the first": forge_ranks(lambda delta, j: 0, lambda delta, j: 0),
    "ranks of the last": forge_ranks(lambda delta, j: ENTRIES, lambda delta, j: ENTRIES),
    "ranks falling": forge_ranks(lambda delta, j: -j, lambda delta, j: delta.count - j),
    "ranks apart": forge_ranks(lambda delta, j: 0, lambda delta, j: delta.length - 1),
}
OVERLAPPING = ["one record", "nested records"]
# Of these not even a header is believed.
REFUSED = {"count": forge_count, "length": forge_length, "loop": forge_loop}


def each_rank(m, name):
    for rank in range(0, len(m), 7):
        try:
            m.peekitem(rank)
        except sharedmap.SnapshotError:
            pass
    for number in range(0, ENTRIES, 7):
        m.bisect_left(key_of(number))


def share(m, name):
    try:
        sharedmap.share(m, name + ".copy", force=True)
    finally:
        sharedmap.remove(name + ".copy")


CALLS = {
    "verify": lambda m, name: m.verify(),
    "items": lambda m, name: list(m.items()),
    "reversed": lambda m, name: list(reversed(m.items())),
    "slice": lambda m, name: list(m["key 00100":].items()),
    "get many": lambda m, name: m.get_many([key_of(n) for n in range(0, len(m), 5)]),
    "each rank": each_rank,
    "rbtree": lambda m, name: sharedmap.rbtree(m),
    "share": share,
    "update": lambda m, name: sharedmap.update(name, {"new": os.urandom(8)}),
    "fold": lambda m, name: sharedmap.update(name, {key_of(n): n for n in range(0, 400, 8)}),
}


def plant(name, plant_bytes, forge, factor):
    """The name leads to a map with a forged delta; the number of its bytes."""
    count = ENTRIES * factor
    sharedmap.share({key_of(number): number for number in range(count)}, name, force=True)
    # The first value is as large as all of the others, of 16 bytes each.
    changes = {key_of(n * 10): b"x" * 9 for n in range(CHANGED * factor)}
    sharedmap.update(name, changes | {key_of(0): b"x" * 16 * CHANGED * factor})
    delta = Delta(name)
    assert delta.count == CHANGED * factor
    forge(delta)
    data = delta.sealed()
    sharedmap.remove(name)
    plant_bytes(name, data)
    return len(data)


@pytest.mark.parametrize("kind", FORGED)
def test_forged_delta_is_read_or_refused_in_linear_time_and_memory(names, plant_bytes, kind):
    costs = {what: [] for what in CALLS}
    for factor in (1, 2):
        for what, call in CALLS.items():
            name = names()
            size = plant(name, plant_bytes, FORGED[kind], factor)
            with sharedmap.sharedmap(name) as m:
                seconds, memory, reason = cost(call, m, name)
            assert memory < 40 * size + 100_000, what
            assert kind != "nothing" or reason == "", what
            assert what != "items" or ("overlap" in reason) is (kind in OVERLAPPING), reason
            costs[what].append(seconds)
    # Twice the bytes: twice the time, where quadratic is four times.
    slow = {what: told for what, told in costs.items() if told[1] > 3 * told[0] + 0.02}
    assert slow == {}


@pytest.mark.parametrize("kind", FORGED)
def test_verify_tells_that_a_delta_is_forged(name, plant_bytes, kind):
    plant(name, plant_bytes, FORGED[kind], 1)
    with sharedmap.sharedmap(name) as m:
        if kind == "nothing":
            assert m.verify() is None
        else:
            with pytest.raises(sharedmap.SnapshotError):
                m.verify()


@pytest.mark.parametrize("kind", REFUSED)
def test_delta_whose_header_cannot_be_is_refused_at_once(name, plant_bytes, kind):
    plant(name, plant_bytes, REFUSED[kind], 1)
    with pytest.raises(sharedmap.SnapshotError, match="delta"):
        sharedmap.sharedmap(name)
