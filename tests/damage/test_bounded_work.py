"""Maps whose records overlap: reading all of one takes no more than linear time and memory."""

import re
import struct
import time
import tracemalloc

import pytest
from independent_reader import BYTES, STR, hash_bytes, seal

import sharedmap

MAGIC = b"\x89SMAP\r\n\x1a"
UNIT = 16  # bytes of a record's own: head, size of the value, key, zeros


def padded(data):
    return data + bytes(-len(data) % 64)


def snapshot_of(records, offsets):
    """A snapshot with these records and no hash index, its checksums as they should be."""
    start = 512
    index = start + len(padded(records))
    contents = padded(records) + padded(struct.pack(f"<{len(offsets)}I", *offsets))
    checksum = 0
    for at in range(0, len(contents), 65536):
        checksum = hash_bytes(contents[at : at + 65536], checksum)
    regions = (index, 4 * len(offsets), 0, 0, 0, 0, start, len(records))
    size = start + len(contents)
    head = struct.pack(
        "<8sIIIIQQBBHIQQ8Q",
        MAGIC,
        1,
        512,
        1,
        0,
        size,
        len(offsets),
        4,
        0,
        0,
        0,
        0,
        checksum,
        *regions,
    )
    return seal(head + bytes(512 - len(head)) + contents)


def nested_bytes(count):
    """Each value has all records behind it in it: of n records of 16 bytes, 8 n * n bytes."""
    head = struct.pack("<H", 4 << 9 | 62 << 3 | BYTES)
    size = count * UNIT
    records = b"".join(
        (head + struct.pack("<I4s", size - (i + 1) * UNIT, b"%04x" % i)).ljust(UNIT, b"\0")
        for i in range(count)
    )
    return snapshot_of(records, range(0, size, UNIT))


def nested_texts(count):
    """The same with text: heads and sizes are UTF-8 themselves."""
    head = struct.pack("<H", 64 << 9 | 62 << 3 | STR)
    unit = 6 + 64
    size = count * unit
    records = b""
    for i in range(count):
        left = (size - (i + 1) * unit) & 0x7F7F3F3F | 0x8080
        records += head + struct.pack("<I", left) + b"%064x" % i
    return snapshot_of(records + b"." * 0x8080, range(0, size, unit))


def nested_keys(count):
    """The same with keys, whose heads cannot be UTF-8."""
    head = struct.pack("<H", 126 << 9 | STR)
    size = count * UNIT
    records = b"".join(
        (head + struct.pack("<I", size - i * UNIT - 6)).ljust(UNIT, b"k") for i in range(count)
    )
    return snapshot_of(records, range(0, size, UNIT))


def one_record(count):
    """All of the index leads to the same record, which is as large as all of the index."""
    size = count * UNIT
    head = struct.pack("<HI", 4 << 9 | 62 << 3 | STR, size)
    return snapshot_of(head + b"key." + b"v" * size, [0] * count)


FORGED = {
    "bytes": (nested_bytes, "overlap"),
    "texts": (nested_texts, "overlap"),
    "keys": (nested_keys, "UTF-8|overlap"),
    "one record": (one_record, "overlap|order"),
}

# Everything that goes over all entries of a map.
CALLS = {
    "verify": lambda m, name: m.verify(),
    "list": lambda m, name: list(m),
    "values": lambda m, name: list(m.values()),
    "items": lambda m, name: list(m.items()),
    "reversed": lambda m, name: list(reversed(m.items())),
    "slice": lambda m, name: list(m["":].items()),
    "dict": lambda m, name: dict(m),
    "keys and keys": lambda m, name: m.keys() & m.keys(),
    "equal": lambda m, name: m == dict.fromkeys(map(str, range(len(m))), b""),
    "rbtree": lambda m, name: sharedmap.rbtree(m),
    "rbtree of a slice": lambda m, name: sharedmap.rbtree(m["":]),
    "share": lambda m, name: sharedmap.share(m, name + ".copy"),
    "share of a slice": lambda m, name: sharedmap.share(m["":], name + ".copy"),
    "update with it": lambda m, name: sharedmap.rbtree().update(m),
    "update of it": lambda m, name: sharedmap.update(name, {"new": 1}),
}


def cost(call, m, name):
    """CPU seconds at best, and bytes of memory; why it was refused."""
    seconds, reason = [], ""
    for _ in range(3):
        tracemalloc.start()
        before = time.process_time()
        try:
            call(m, name)
        except sharedmap.SnapshotError as error:
            reason = str(error)
        seconds.append(time.process_time() - before)
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return min(seconds), memory, reason


@pytest.mark.parametrize("kind", FORGED)
@pytest.mark.parametrize("what", CALLS)
def test_overlapping_records_are_refused_in_linear_time_and_memory(names, plant_bytes, kind, what):
    forge, told = FORGED[kind]
    costs = []
    for count in (4000, 8000):
        name = names()
        data = forge(count)
        plant_bytes(name, data)
        with sharedmap.sharedmap(name) as m:
            seconds, memory, reason = cost(CALLS[what], m, name)
        # That equality ends at the first difference is as good.
        assert re.search(told, reason) or what == "equal"
        assert memory < 20 * len(data) + 100_000
        costs.append(seconds)
    # Twice the bytes: twice the time, where quadratic is four times.
    assert costs[1] < 3 * costs[0] + 0.02, costs


@pytest.mark.parametrize("kind", ["bytes", "texts"])
@pytest.mark.parametrize("has_repeats", [False, True], ids=["each once", "one twice"])
def test_many_keys_of_overlapping_records_are_refused_in_linear_time_and_memory(
    names, plant_bytes, kind, has_repeats
):
    forge, told = FORGED[kind]
    digits = {"bytes": "%04x", "texts": "%064x"}[kind]
    costs = []
    for count in (4000, 8000):
        name = names()
        data = forge(count)
        plant_bytes(name, data)
        keys = [digits % i for i in range(count)]
        if has_repeats:
            keys[-1] = keys[0]
        with sharedmap.sharedmap(name) as m:
            seconds, memory, reason = cost(lambda m, name, keys=keys: m.get_many(keys), m, name)
        assert re.search(told, reason)
        # The set in which repeats are counted takes less than 100 bytes a key.
        assert memory < 20 * len(data) + 100 * count + 100_000
        costs.append(seconds)
    assert costs[1] < 3 * costs[0] + 0.02, costs


class Key(str):
    """Equal to others of its text, with another hash."""

    def __hash__(self):
        return id(self)


def test_keys_that_are_repeated_may_find_more_than_all_records(name):
    sharedmap.share({"large": "x" * 100_000, "small": 1}, name)
    with sharedmap.sharedmap(name, decode=None) as m:
        for key in ("large", Key("large")):
            assert m.get_many([key, "small"] * 50) == ["x" * 100_000, 1] * 50
        assert m.get_many([Key("large") for _ in range(50)]) == ["x" * 100_000] * 50


def test_encoded_values_that_are_repeated_may_find_more_than_all_records(name):
    tree = sharedmap.rbtree(encode=lambda value: repr(value).encode())
    tree["large"] = list(range(10_000))
    tree.share(name)
    with sharedmap.sharedmap(name, decode=len) as m:
        assert len(set(m.get_many(["large"] * 50))) == 1


def test_snapshot_of_the_same_making_whose_records_do_not_overlap_is_valid(name, plant_bytes):
    """So that the tests above fail for the overlap and not for something else."""
    head = struct.pack("<H", 4 << 9 | 2 << 3 | STR)
    records = b"".join(head + b"%04x" % i + b"ab" for i in range(100))
    plant_bytes(name, snapshot_of(records, range(0, 800, 8)))
    with sharedmap.sharedmap(name) as m:
        m.verify()
        assert list(m.values()) == ["ab"] * 100
