"""Snapshots whose bytes are not what they should be: a typed error, never a crash.

Whatever could crash or block happens in the other process, where it is one failed test.
"""

import os
import struct

import pytest
from damage import SOME_KEYS, USE_EVERYTHING, small_snapshot
from helpers import HEADER_SIZE, header_field, segment_path
from independent_reader import hash_bytes, seal

import sharedmap


def snapshot_bytes(index="hash"):
    tree = sharedmap.rbtree()
    for number in range(20):
        tree[f"key {number}"] = f"value {number}"
        tree[f"bytes {number}"] = b"value %d" % number
    tree["long"] = "x" * 70_000
    tree["k" * 300] = "y" * 200
    return tree.dump(index=index)


SNAPSHOT = snapshot_bytes()
# Where what is checked only when it is used stands in there.
SORTED_INDEX, HASH_INDEX = (header_field(SNAPSHOT, place, "Q") for place in (64, 80))


def patched(offset, form, *values):
    data = bytearray(SNAPSHOT)
    struct.pack_into("<" + form, data, offset, *values)
    return bytes(data)


def flipped(offset, mask=0xFF):
    data = bytearray(SNAPSHOT)
    data[offset] ^= mask
    return bytes(data)


# --- bytes that are no snapshot ---------------------------------------------------------------

NO_SNAPSHOTS = {
    "empty": b"",
    "one byte": b"\x89",
    "the magic only": SNAPSHOT[:8],
    "one byte less than a header": SNAPSHOT[: HEADER_SIZE - 1],
    "a header only": SNAPSHOT[:HEADER_SIZE],
    "one byte less": SNAPSHOT[:-1],
    "half": SNAPSHOT[: len(SNAPSHOT) // 2],
    "one byte more": SNAPSHOT + b"\0",
    "a page more": SNAPSHOT + bytes(4096),
    "zeros": bytes(8192),
    "text": b"This is text and no snapshot.\n" * 200,
    "random": bytes((7 * i * i + 13 * i) % 251 for i in range(8192)),
    "the magic damaged as text": SNAPSHOT[:5] + SNAPSHOT[6:],
    "version 0": patched(8, "I", 0),
    "version 2": patched(8, "I", 2),
    "version 0xffffffff": patched(8, "I", 0xFFFFFFFF),
    "other byte order": patched(8, "I", 0x01000000),
    "total size too big": patched(24, "Q", len(SNAPSHOT) + 64),
    "total size enormous": patched(24, "Q", 2**64 - 1),
    "one entry more": patched(32, "Q", 43),
    "entries beyond all bounds": patched(32, "Q", 2**64 - 1),
}

each_bad = pytest.mark.parametrize("data", NO_SNAPSHOTS.values(), ids=NO_SNAPSHOTS.keys())


@each_bad
def test_open_of_no_snapshot_raises_snapshot_error(name, plant_bytes, other, data):
    plant_bytes(name, data)
    with pytest.raises(sharedmap.SnapshotError):
        other.run("sharedmap.sharedmap(name)", name=name)


@each_bad
def test_share_without_force_over_junk_of_ours_raises_file_exists_error(name, plant_bytes, data):
    path = plant_bytes(name, data)
    with pytest.raises(FileExistsError) as caught:
        sharedmap.rbtree().share(name)
    assert caught.value.filename == name
    with open(path, "rb") as file:
        assert file.read() == data


@each_bad
def test_share_with_force_over_junk_of_ours_replaces_it(names, plant_bytes, other, data):
    name = names()
    plant_bytes(name, data)
    other.run("t = sharedmap.rbtree(); t['a'] = '1'; t.share(name, force=True)", name=name)
    with sharedmap.sharedmap(name) as shared:
        assert shared["a"] == "1"
    assert len(names.files()) == 1


@each_bad
def test_remove_of_junk_of_ours_removes_it(names, plant_bytes, other, data):
    name = names()
    plant_bytes(name, data)
    assert other.eval("sharedmap.rbtree.remove(name)", name=name) is True
    assert names.files() == []


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (NO_SNAPSHOTS["version 2"], "version"),
        (NO_SNAPSHOTS["text"], "magic"),
        (NO_SNAPSHOTS["half"], "size"),
        (flipped(64), "checksum"),
        (b"junk", None),
    ],
    ids=["another version", "foreign bytes", "truncated", "damaged header", "junk"],
)
def test_snapshot_error_says_what_is_wrong_with_which_map(name, plant_bytes, data, told):
    plant_bytes(name, data)
    with pytest.raises(sharedmap.SnapshotError, match=told) as caught:
        sharedmap.sharedmap(name)
    assert name in str(caught.value)


def test_failed_open_leaves_no_descriptor_and_no_mapping(name, plant_bytes):
    plant_bytes(name, flipped(64))

    def held():
        with open("/proc/self/maps", "rb") as file:
            maps = sum(segment_path(name) in line for line in file)
        return maps, len(os.listdir("/proc/self/fd"))

    before = held()
    for _ in range(20):
        with pytest.raises(sharedmap.SnapshotError):
            sharedmap.sharedmap(name)
    assert held() == before


def test_undamaged_snapshot_planted_as_a_file_opens(name, plant_bytes):
    """So that the tests above fail for the damage and for nothing else."""
    plant_bytes(name, SNAPSHOT)
    with sharedmap.sharedmap(name) as shared:
        assert shared["key 7"] == "value 7"
        assert len(shared) == 42


# --- damage behind the header, which opening does not look at ---------------------------------

INDICES = ["hash", "tree"]
each_index = pytest.mark.parametrize("index", INDICES)


@each_index
@pytest.mark.parametrize("mask", [0x01, 0x04, 0x80, 0xFF], ids=hex)
def test_use_of_a_damaged_snapshot_answers_or_raises_snapshot_error(
    name, plant_bytes, workers, mask, index
):
    data = small_snapshot(index)
    path = plant_bytes(name, data)
    worker = workers()
    worker.run(USE_EVERYTHING)
    rejected, noticed = worker.eval(
        "use_damaged(path, name, data, range(512, len(data)), [mask], keys)",
        path=path,
        name=name,
        data=data,
        mask=mask,
        keys=SOME_KEYS,
    )
    # Opening is O(1): it does not read that far. Who wants to know asks for it.
    assert rejected == 0
    assert noticed == len(data) - 512


@each_index
def test_use_of_a_snapshot_damaged_at_random_answers_or_raises_snapshot_error(
    name, plant_bytes, workers, index
):
    """In several places at once, so that what one check forgives meets what another does."""
    data = small_snapshot(index)
    path = plant_bytes(name, data)
    worker = workers()
    worker.run(USE_EVERYTHING)
    worker.run(
        """
import random
chance = random.Random(index)
for turn in range(200):
    damaged = bytearray(data)
    for _ in range(chance.randrange(1, 40)):
        damaged[chance.randrange(512, len(data))] = chance.choice((0, 1, 127, 128, 255))
    with open(path, "wb") as file:
        file.write(damaged)
    with sharedmap.sharedmap(name) as m:
        use(m, keys)
""",
        path=path,
        name=name,
        data=data,
        index=index,
        keys=SOME_KEYS,
    )


@each_index
def test_update_of_a_damaged_snapshot_raises_snapshot_error_and_publishes_nothing(
    name, plant_bytes, workers, index
):
    """Damage would get a checksum that fits it."""
    data = small_snapshot(index)
    path = plant_bytes(name, data)
    worker = workers()
    worker.run(
        """
for offset in range(512, len(data), 7):
    damaged = bytearray(data)
    damaged[offset] ^= 0x55
    with open(path, "wb") as file:
        file.write(damaged)
    for changes in ({}, {"new": 1}):
        try:
            sharedmap.update(name, changes)
        except sharedmap.SnapshotError:
            pass
        else:
            raise AssertionError(offset)
    with open(path, "rb") as file:
        assert file.read() == damaged
""",
        path=path,
        name=name,
        data=data,
    )


@each_index
def test_open_with_any_damaged_header_byte_raises_snapshot_error(name, plant_bytes, workers, index):
    data = small_snapshot(index)
    # The unique id is random and line 3 changes: no checksum holds these.
    head = range(192, 196)
    free = [*range(136, 152), *range(200, 208)]
    guarded = [offset for offset in range(HEADER_SIZE) if offset not in (*free, *head)]
    path = plant_bytes(name, data)
    worker = workers()
    worker.run(USE_EVERYTHING)
    damage = "use_damaged(path, name, data, offsets, masks, [])"
    known = {"path": path, "name": name, "data": data, "masks": [0x01, 0x80, 0xFF]}
    assert worker.eval(damage, offsets=guarded, **known) == (3 * len(guarded), 0)
    assert worker.eval(damage, offsets=free, **known) == (0, 0)
    # A head leads to a delta, and here there is none; but its first bit is only the mark.
    known["masks"] = [0x02, 0x80, 0xFF]
    assert worker.eval(damage, offsets=head, **known) == (3 * len(head), 0)
    assert worker.eval(damage, offsets=[192], **known | {"masks": [0x01]}) == (0, 0)


def resealed(data, **changes):
    """The snapshot with changed header fields and the right checksum, as a hostile writer would."""
    places = {
        "entry_count": (32, "Q"),
        "reference_size": (40, "B"),
        "reference_shift": (41, "B"),
        "label_size": (42, "H"),
        "header_size": (12, "I"),
        "kind": (16, "I"),
        "flags": (20, "I"),
        "index_offset": (64, "Q"),
        "index_size": (72, "Q"),
        "hash_offset": (80, "Q"),
        "hash_size": (88, "Q"),
        "records_offset": (112, "Q"),
        "records_size": (120, "Q"),
    }
    data = bytearray(data)
    for field, value in changes.items():
        offset, form = places[field]
        struct.pack_into("<" + form, data, offset, value)
    return seal(bytes(data))


HOSTILE = {
    "index before the header's end": {"index_offset": 0},
    "index not aligned": {"index_offset": 513},
    "index beyond the end": {"index_offset": 2**32},
    "index offset that overflows": {"index_offset": 2**64 - 64},
    "index size that overflows": {"index_size": 2**64 - 1},
    "more entries than the index holds": {"entry_count": 43},
    "fewer entries than the index holds": {"entry_count": 41},
    "entries times size that overflows": {"entry_count": 2**62, "index_size": 0},
    "records before the header's end": {"records_offset": 64},
    "records not aligned": {"records_offset": 769},
    "records beyond the end": {"records_offset": 2**40},
    "records longer than the file": {"records_size": 2**40},
    "records size that overflows": {"records_size": 2**64 - 1},
    "references of 3 bytes": {"reference_size": 3},
    "references of 0 bytes": {"reference_size": 0},
    "a shift of 64": {"reference_shift": 64},
    "a label longer than its room": {"label_size": 257},
    "another header size": {"header_size": 4096},
    "another kind": {"kind": 2},
    "an unknown flag": {"flags": 0x8000_0000},
    "the flag of the hash index missing": {"flags": 0},
    "an unknown flag beside it": {"flags": 3},
    "a hash index before the header's end": {"hash_offset": 448},
    "a hash index not aligned": {"hash_offset": HASH_INDEX + 32},
    "a hash index beyond the end": {"hash_offset": 2**40},
    "a hash index at the very end": {"hash_offset": len(SNAPSHOT)},
    "a hash index offset that overflows": {"hash_offset": 2**64 - 64},
    "a hash index without buckets": {"hash_size": 0},
    "a hash index of half a bucket": {"hash_size": 32},
    "a hash index of a bucket and a half": {"hash_size": 96},
    "a hash index one bucket too long": {"hash_size": len(SNAPSHOT) - HASH_INDEX + 64},
    "a hash index size that overflows": {"hash_size": 2**64 - 64},
    "no hash index in spite of the flag": {"hash_offset": 0, "hash_size": 0},
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE.keys())
def test_open_of_a_hostile_header_with_a_right_checksum_raises_snapshot_error(
    name, plant_bytes, other, changes
):
    plant_bytes(name, resealed(SNAPSHOT, **changes))
    with pytest.raises(sharedmap.SnapshotError):
        other.run("sharedmap.sharedmap(name)", name=name)


@each_index
def test_resealed_snapshot_without_changes_opens(name, plant_bytes, index):
    """So that the tests above fail for the field and not for the checksum."""
    plant_bytes(name, resealed(snapshot_bytes(index)))
    with sharedmap.sharedmap(name) as shared:
        assert len(shared) == 42
        shared.verify()


def test_hash_index_of_a_snapshot_that_has_none_is_refused(name, plant_bytes):
    data = snapshot_bytes("tree")
    plant_bytes(name, resealed(data, flags=1))
    with pytest.raises(sharedmap.SnapshotError):
        sharedmap.sharedmap(name)
    plant_bytes(name + "2", resealed(data, hash_offset=512, hash_size=64))
    with pytest.raises(sharedmap.SnapshotError):
        sharedmap.sharedmap(name + "2")


# Each way to a value, or to all of them.
LOOKS = {
    "one after the other": "[m.get(key) for key in m]",
    "all at once": "list(m.items())",
    "backwards": "list(reversed(m))",
    "one by hash": "m['long']",
    "get": "m.get('long')",
    "in": "'long' in m",
    "get_many": "m.get_many(['absent'] * 40 + ['long'])",
    "last": "m.last()",
    "place": "m.peekitem(41)",
    "one by order": "m.index('long')",
    "view": "m.view('long')",
    "slice": "list(m['long':].items())",
    "verify": "m.verify()",
}
each_look = pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())


@each_look
@pytest.mark.parametrize(
    "changes",
    [{"records_size": 0}, {"records_size": 1}, {"records_size": 64}, {"reference_shift": 6}],
    ids=str,
)
def test_use_of_a_hostile_snapshot_raises_snapshot_error(name, plant_bytes, other, changes, look):
    plant_bytes(name, resealed(SNAPSHOT, **changes))
    other.run("m = sharedmap.sharedmap(name)", name=name)
    goes_astray = "reference_shift" in changes and look == LOOKS["one by order"]
    # A search among keys that are none finds nothing.
    with pytest.raises(ValueError, match="not in" if goes_astray else None) as caught:
        other.eval(look)
    assert goes_astray or type(caught.value) is sharedmap.SnapshotError
    other.run("m.close()")


@pytest.mark.parametrize("size", [0, 1, HEADER_SIZE, 4096])
def test_reference_beyond_the_records_raises_snapshot_error(name, plant_bytes, other, size):
    records_size = struct.unpack_from("<Q", SNAPSHOT, 120)[0]
    plant_bytes(name, patched(SORTED_INDEX, "I", (records_size + size) & 0xFFFFFFFF))
    other.run("m = sharedmap.sharedmap(name)", name=name)
    for look in ("next(iter(m))", "m.first()", "m.index('bytes 0')", "list(m.values())"):
        with pytest.raises(sharedmap.SnapshotError):
            other.eval(look)
    # The hash index has its own.
    assert other.eval("(m['bytes 0'], m.get_many(['bytes 0']))") == (b"value 0", [b"value 0"])
    other.run("m.close()")


def buckets_patched(form, place, value):
    """With the same value at the same place of each bucket."""
    data = bytearray(SNAPSHOT)
    for bucket in range(HASH_INDEX, len(data), 64):
        struct.pack_into("<" + form, data, bucket + place, *value)
    return bytes(data)


@pytest.mark.parametrize("reference", [2**32 - 1, 2**31, 80_000])
def test_reference_of_the_hash_index_beyond_the_records_raises_snapshot_error(
    name, plant_bytes, other, reference
):
    plant_bytes(name, buckets_patched("12I", 16, [reference] * 12))
    other.run("m = sharedmap.sharedmap(name)", name=name)
    for look in ("m['key 1']", "m.get('key 1')", "'key 1' in m", "m.get_many(['key 1'])"):
        with pytest.raises(sharedmap.SnapshotError):
            other.eval(look)
    # By order it is still found.
    assert other.eval("(m.index('key 1'), m[:'key 10':]['key 1'])") == (21, "value 1")
    other.run("m.close()")


@pytest.mark.parametrize("max_probe", [1, 255])
def test_search_that_is_sent_through_all_buckets_ends(name, plant_bytes, other, max_probe):
    # Every fingerprint is every key's, every bucket is full, and each says: look further.
    for fingerprint in range(256):
        full = [fingerprint] * 12 + [max_probe]
        plant_bytes(f"{name}.{fingerprint}", buckets_patched("13B", 0, full))
    other.run(
        """
for fingerprint in range(256):
    with sharedmap.sharedmap(f"{name}.{fingerprint}") as m:
        for key in values:
            try:
                assert m.get(key) in (None, values[key])
                m.get_many([key, key])
            except sharedmap.SnapshotError:
                # A slot that was free leads to the middle of a record.
                pass
""",
        name=name,
        values={"key 1": "value 1", "long": "x" * 70_000, "absent": None, "": None},
    )


def test_reference_that_overflows_when_shifted_raises_snapshot_error(name, plant_bytes, other):
    # 2**58 units of 64 bytes are 2**64 bytes: cut off to 64 bits that is where the first record is.
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    data = bytearray(tree.dump())
    index, buckets = (header_field(data, place, "Q") for place in (64, 80))
    struct.pack_into("<Q", data, index, 2**58)
    for bucket in range(buckets, len(data), 64):
        # Wide buckets have 7 references, behind the max probe distance.
        struct.pack_into("<8B7Q", data, bucket, *[hash_bytes(b"a") & 255 or 1] * 7, 0, *[2**58] * 7)
    plant_bytes(name, resealed(data, reference_size=8, index_size=8, reference_shift=6))
    other.run("m = sharedmap.sharedmap(name)", name=name)
    for look in ("list(m)", "m['a']", "m.get_many(['a'])", "m.first()", "m.index('a')"):
        with pytest.raises(sharedmap.SnapshotError):
            other.eval(look)
    other.run("m.close()")


def test_wide_references_are_read(name, plant_bytes, other):
    """So that the test above fails for the shift. No writer needs them below 4 GiB."""
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    data = bytearray(tree.dump())
    buckets = header_field(data, 80, "Q")
    struct.pack_into("<8B7Q", data, buckets, hash_bytes(b"a") & 255 or 1, *[0] * 14)
    plant_bytes(name, resealed(data, reference_size=8, index_size=8))
    other.run("m = sharedmap.sharedmap(name)", name=name)
    assert other.eval("(m['a'], m.get_many(['a', 'b']), list(m.items()))") == (
        "1",
        ["1", None],
        [("a", "1")],
    )
    other.run("m.close()")


@pytest.mark.parametrize("look", ["list(m)", "list(m.items())", "m.peekitem(0)", "m.floor('c')"])
def test_key_that_is_no_utf8_raises_snapshot_error(name, plant_bytes, other, look):
    plant_bytes(
        name, SNAPSHOT.replace(b"bytes 0", b"bytes \xff").replace(b"bytes 1", b"bytes \xff")
    )
    other.run("m = sharedmap.sharedmap(name)", name=name)
    with pytest.raises(sharedmap.SnapshotError):
        other.eval(look if "floor" not in look else "[m.floor('bytes 10'), m.first()]")
    other.run("m.close()")


@pytest.mark.parametrize(
    "look", ["m['key 7']", "m.get('key 7')", "m.get_many(['key 7'])", "list(m.values())"]
)
def test_value_that_is_no_utf8_raises_snapshot_error(name, plant_bytes, other, look):
    plant_bytes(name, SNAPSHOT.replace(b"key 7value 7", b"key 7valu\xc3 7"))
    other.run("m = sharedmap.sharedmap(name)", name=name)
    with pytest.raises(sharedmap.SnapshotError):
        other.eval(look)
    # Nobody has to decode it to see its bytes.
    assert other.eval("bytes(m.view('key 7'))") == b"valu\xc3 7"
    other.run("m.close()")
