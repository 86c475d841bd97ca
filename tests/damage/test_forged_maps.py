"""Snapshots that are wrong though their checksums fit: verify() says what is wrong with them."""

import struct

import pytest
from damage import SOME_KEYS, USE_EVERYTHING, small_snapshot
from helpers import header_field
from independent_reader import hash_bytes, seal

import sharedmap


def forged(change):
    """The small snapshot, changed by change(data, head), and all its checksums made anew."""
    data = bytearray(small_snapshot("hash"))

    def head(key):
        """Where the record of this key begins, which has no sizes behind its head."""
        return data.index(key, 512) - 2

    change(data, head)
    state = 0
    for at in range(512, len(data), 65536):
        state = hash_bytes(bytes(data[at : at + 65536]), state)
    struct.pack_into("<Q", data, 56, state)
    return seal(bytes(data))


def exchange(data, first, second, size):
    data[first : first + size], data[second : second + size] = (
        data[second : second + size],
        data[first : first + size],
    )


def sorted_index(data):
    return header_field(data, 64, "Q")


def hash_index(data):
    return header_field(data, 80, "Q")


def set_head(data, at, kind, value_size):
    """Another type and value size, with the key's size as it is."""
    old = struct.unpack_from("<H", data, at)[0]
    struct.pack_into("<H", data, at, old & ~511 | value_size << 3 | kind)


def forge_same_key(data, head):
    struct.pack_into(
        "<I", data, sorted_index(data) + 4, header_field(data, sorted_index(data), "I")
    )


def forge_free_slot(data, head):
    data[hash_index(data)] = 0


def forge_byte(key, offset, byte):
    def change(data, head):
        data[head(key) + offset] = byte

    return change


def forge_value(key, kind, size):
    return lambda data, head: set_head(data, head(key), kind, size)


# What is wrong, and what verify() says of it. The keys are as in small_snapshot().
FORGED = {
    "two keys exchanged": (
        lambda data, head: exchange(data, sorted_index(data), sorted_index(data) + 4, 4),
        "order",
    ),
    "a key twice": (forge_same_key, "order"),
    "a key that is no UTF-8": (forge_byte(b"\x64\xc3\xa9", 2 + 1, 0xFF), "UTF-8"),
    "a value that is no UTF-8": (forge_byte(b"a1", 2 + 1, 0xFF), "UTF-8"),
    "a bool of neither value": (forge_byte(b"h\x01", 2 + 1, 2), "type"),
    "a bool of no bytes": (forge_value(b"h\x01", 1, 0), "type"),
    "an int of no bytes": (forge_value(b"a1", 2, 0), "type"),
    "a float of one byte": (forge_value(b"a1", 3, 1), "type"),
    "None with a byte": (forge_value(b"a1", 0, 1), "type"),
    "an unknown type": (forge_value(b"a1", 7, 1), "type|value"),
    "a record longer than all": (forge_value(b"i", 4, 62), "record"),
    "a slot of the hash index free": (forge_free_slot, "hash index"),
    "a slot of the hash index with another fingerprint": (
        lambda data, head: data.__setitem__(hash_index(data), data[hash_index(data)] % 255 + 1),
        "hash index",
    ),
    "two references of the hash index exchanged": (
        lambda data, head: exchange(data, hash_index(data) + 16, hash_index(data) + 20, 4),
        "hash index",
    ),
    "a reference beyond the records": (
        lambda data, head: struct.pack_into("<I", data, sorted_index(data), 2**31),
        "reference",
    ),
}


@pytest.mark.parametrize(("change", "told"), FORGED.values(), ids=FORGED.keys())
def test_verify_of_a_forged_snapshot_says_what_is_wrong(name, plant_bytes, workers, change, told):
    path = plant_bytes(name, forged(change))
    worker = workers()
    worker.run(USE_EVERYTHING)
    worker.run("m = sharedmap.sharedmap(name)", name=name)
    with pytest.raises(sharedmap.SnapshotError, match=told) as caught:
        worker.run("m.verify()")
    assert name in str(caught.value)
    worker.run("use(m, keys)", keys=SOME_KEYS)
    worker.run("m.close()")
    # An update either finds it or leaves it; it never breaks what it publishes.
    with open(path, "rb") as file:
        before = file.read()
    try:
        worker.run("sharedmap.update(name, {'new': 1})")
    except sharedmap.SnapshotError:
        with open(path, "rb") as file:
            assert file.read() == before


def test_verify_of_a_snapshot_forged_without_a_change_is_content(name, plant_bytes):
    """So that the tests above fail for the change and not for a checksum."""
    plant_bytes(name, forged(lambda data, head: None))
    with sharedmap.sharedmap(name) as shared:
        assert shared.verify() is None


def test_types_that_a_value_does_not_fit_raise_snapshot_error(name, plant_bytes, other):
    for number, what in enumerate(
        ["a bool of no bytes", "an int of no bytes", "a float of one byte", "None with a byte"]
    ):
        plant_bytes(f"{name}.{number}", forged(FORGED[what][0]))
        other.run("m = sharedmap.sharedmap(name)", name=f"{name}.{number}")
        key = "h" if "bool" in what else "a"
        for look in ("m[key]", "m.get(key)", "m.get_many([key])", "list(m.values())"):
            with pytest.raises(sharedmap.SnapshotError):
                other.eval(look, key=key)
        other.run("m.close()")
