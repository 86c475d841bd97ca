"""What lies under a map's name but is none or is damaged: a typed error, never a crash.

Whatever could crash or block happens in the other process, where it is one failed test.
"""

import errno
import os
import stat
import struct

import pytest
from helpers import HEADER_SIZE, generation, segment_path, total_size

import sharedmap


def snapshot_bytes():
    tree = sharedmap.rbtree()
    for number in range(20):
        tree[f"key {number}"] = f"value {number}"
        tree[f"bytes {number}"] = b"value %d" % number
    tree["long"] = "x" * 70_000
    tree["k" * 300] = "y" * 200
    return tree.dump()


SNAPSHOT = snapshot_bytes()


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


def test_snapshot_error_of_another_version_says_so(name, plant_bytes):
    plant_bytes(name, NO_SNAPSHOTS["version 2"])
    with pytest.raises(sharedmap.SnapshotError, match="version"):
        sharedmap.sharedmap(name)


def test_snapshot_error_of_foreign_bytes_says_so(name, plant_bytes):
    plant_bytes(name, NO_SNAPSHOTS["text"])
    with pytest.raises(sharedmap.SnapshotError, match="magic"):
        sharedmap.sharedmap(name)


def test_snapshot_error_of_a_truncated_file_says_so(name, plant_bytes):
    plant_bytes(name, NO_SNAPSHOTS["half"])
    with pytest.raises(sharedmap.SnapshotError, match="size"):
        sharedmap.sharedmap(name)


def test_snapshot_error_of_a_damaged_header_says_so(name, plant_bytes):
    plant_bytes(name, flipped(64))
    with pytest.raises(sharedmap.SnapshotError, match="checksum"):
        sharedmap.sharedmap(name)


def test_snapshot_error_names_the_map(name, plant_bytes):
    plant_bytes(name, b"junk")
    with pytest.raises(sharedmap.SnapshotError, match=name):
        sharedmap.sharedmap(name)


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

USE_EVERYTHING = """
def use(m, keys):
    # Each call answers or raises SnapshotError; the values it answers with are sound objects.
    def attempt(call, *kinds):
        try:
            answer = call()
            assert isinstance(answer, kinds), answer
            return repr(answer), answer
        except sharedmap.SnapshotError:
            return None
        except KeyError:
            return None
    attempt(lambda: len(m), int)
    listed = attempt(lambda: list(m), list)
    for key in keys + (listed[1] if listed else []):
        assert isinstance(key, str)
        hash(key)
        attempt(lambda: m.get(key), str, bytes, type(None))
        attempt(lambda: m[key], str, bytes)
        attempt(lambda: key in m, bool)

def use_damaged(path, name, data, offsets, masks, keys):
    rejected = 0
    for offset in offsets:
        for mask in masks:
            damaged = bytearray(data)
            damaged[offset] ^= mask
            with open(path, "wb") as file:
                file.write(damaged)
            try:
                m = sharedmap.sharedmap(name)
            except sharedmap.SnapshotError:
                rejected += 1
                continue
            use(m, keys)
            m.close()
    return rejected
"""


@pytest.fixture
def small_snapshot():
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    tree["b" * 130] = b"2" * 70
    tree["c"] = b"333"
    tree["dé"] = "4\ud800" * 30
    tree["e"] = ""
    return tree.dump()


@pytest.mark.parametrize("mask", [0x01, 0x04, 0x80, 0xFF], ids=hex)
def test_use_of_a_damaged_snapshot_answers_or_raises_snapshot_error(
    name, plant_bytes, workers, small_snapshot, mask
):
    path = plant_bytes(name, small_snapshot)
    worker = workers()
    worker.run(USE_EVERYTHING)
    rejected = worker.eval(
        "use_damaged(path, name, data, range(512, len(data)), [mask], keys)",
        path=path,
        name=name,
        data=small_snapshot,
        mask=mask,
        keys=["a", "b" * 130, "c", "dé", "e", "", "zz"],
    )
    # Opening is O(1): it does not read that far.
    assert rejected == 0


def test_open_with_any_damaged_header_byte_raises_snapshot_error(
    name, plant_bytes, workers, small_snapshot
):
    # The unique id is random and the superseded word changes: no checksum holds these.
    free = [*range(136, 152), *range(192, 196)]
    guarded = [offset for offset in range(HEADER_SIZE) if offset not in free]
    path = plant_bytes(name, small_snapshot)
    worker = workers()
    worker.run(USE_EVERYTHING)
    damage = "use_damaged(path, name, data, offsets, [0x01, 0x80, 0xFF], [])"
    known = {"path": path, "name": name, "data": small_snapshot}
    assert worker.eval(damage, offsets=guarded, **known) == 3 * len(guarded)
    assert worker.eval(damage, offsets=free, **known) == 0


def resealed(data, **changes):
    """The snapshot with changed header fields and the right checksum, as a hostile writer would."""
    from independent_reader import seal

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
        "order_offset": (96, "Q"),
        "order_size": (104, "Q"),
        "records_offset": (112, "Q"),
        "records_size": (120, "Q"),
    }
    data = bytearray(data)
    for field, value in changes.items():
        offset, form = places[field]
        struct.pack_into("<" + form, data, offset, value)
    return seal(data)


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
    "a hash index beyond the end": {"flags": 1, "hash_offset": 2**40, "hash_size": 64},
    "an order index beyond the end": {"order_offset": 2**40, "order_size": 64},
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE.keys())
def test_open_of_a_hostile_header_with_a_right_checksum_raises_snapshot_error(
    name, plant_bytes, other, changes
):
    plant_bytes(name, resealed(SNAPSHOT, **changes))
    with pytest.raises(sharedmap.SnapshotError):
        other.run("sharedmap.sharedmap(name)", name=name)


def test_resealed_snapshot_without_changes_opens(name, plant_bytes):
    """So that the tests above fail for the field and not for the checksum."""
    plant_bytes(name, resealed(SNAPSHOT))
    with sharedmap.sharedmap(name) as shared:
        assert len(shared) == 42


@pytest.mark.parametrize(
    "changes",
    [{"records_size": 0}, {"records_size": 1}, {"records_size": 64}, {"reference_shift": 6}],
    ids=str,
)
def test_use_of_a_hostile_snapshot_raises_snapshot_error(name, plant_bytes, workers, changes):
    plant_bytes(name, resealed(SNAPSHOT, **changes))
    worker = workers()
    worker.run("m = sharedmap.sharedmap(name)", name=name)
    with pytest.raises(sharedmap.SnapshotError):
        worker.eval("[m[key] for key in m]")


@pytest.mark.parametrize("size", [0, 1, HEADER_SIZE, 4096])
def test_reference_beyond_the_records_raises_snapshot_error(name, plant_bytes, workers, size):
    records_size = struct.unpack_from("<Q", SNAPSHOT, 120)[0]
    plant_bytes(name, patched(512, "I", (records_size + size) & 0xFFFFFFFF))
    worker = workers()
    worker.run("m = sharedmap.sharedmap(name)", name=name)
    with pytest.raises(sharedmap.SnapshotError):
        worker.eval("next(iter(m))")


def test_reference_that_overflows_when_shifted_raises_snapshot_error(name, plant_bytes, workers):
    # 2**58 units of 64 bytes are 2**64 bytes: cut off to 64 bits that is where the first record is.
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    data = bytearray(tree.dump())
    struct.pack_into("<Q", data, 512, 2**58)
    plant_bytes(name, resealed(data, reference_size=8, index_size=8, reference_shift=6))
    worker = workers()
    worker.run("m = sharedmap.sharedmap(name)", name=name)
    with pytest.raises(sharedmap.SnapshotError):
        worker.eval("list(m)")


def test_key_that_is_no_utf8_raises_snapshot_error(name, plant_bytes, workers):
    plant_bytes(name, SNAPSHOT.replace(b"bytes 0", b"bytes \xff"))
    worker = workers()
    worker.run("m = sharedmap.sharedmap(name)", name=name)
    with pytest.raises(sharedmap.SnapshotError):
        worker.eval("list(m)")


def test_value_that_is_no_utf8_raises_snapshot_error(name, plant_bytes, workers):
    plant_bytes(name, SNAPSHOT.replace(b"key 7value 7", b"key 7valu\xc3 7"))
    worker = workers()
    worker.run("m = sharedmap.sharedmap(name)", name=name)
    with pytest.raises(sharedmap.SnapshotError):
        worker.eval("m['key 7']")


# --- files of other kinds ---------------------------------------------------------------------


def dangling(path):
    os.symlink(path + b".nowhere", path)


def link_to_itself(path):
    os.symlink(path, path)


KINDS = {
    "FIFO": os.mkfifo,
    "directory": os.mkdir,
    "dangling link": dangling,
    "link to itself": link_to_itself,
    "link to a file": lambda path: os.symlink(__file__.encode(), path),
}

each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())


@each_kind
def test_open_of_no_regular_file_raises_snapshot_error(name, plant, other, make):
    plant(name, make)
    with pytest.raises(sharedmap.SnapshotError):
        other.run("sharedmap.sharedmap(name)", name=name)


@each_kind
def test_share_without_force_over_no_regular_file_raises_file_exists_error(
    name, plant, other, make
):
    plant(name, make)
    with pytest.raises(FileExistsError) as caught:
        other.run("sharedmap.rbtree().share(name)", name=name)
    assert caught.value.filename == name


@each_kind
def test_share_with_force_over_no_regular_file_raises_snapshot_error(names, plant, other, make):
    name = names()
    path = plant(name, make)
    before = os.lstat(path)
    with pytest.raises(sharedmap.SnapshotError):
        other.run("sharedmap.rbtree().share(name, force=True)", name=name)
    after = os.lstat(path)
    assert (after.st_ino, after.st_mode, after.st_mtime) == (
        before.st_ino,
        before.st_mode,
        before.st_mtime,
    )
    assert len(names.files()) == 1


@each_kind
def test_remove_of_no_regular_file_raises_snapshot_error(name, plant, other, make):
    path = plant(name, make)
    with pytest.raises(sharedmap.SnapshotError):
        other.run("sharedmap.rbtree.remove(name)", name=name)
    assert os.path.lexists(path)


def test_link_to_a_map_is_not_followed_by_open(names, plant):
    real, linked = names(), names()
    sharedmap.rbtree().share(real)
    plant(linked, lambda path: os.symlink(segment_path(real), path))
    with pytest.raises(sharedmap.SnapshotError):
        sharedmap.sharedmap(linked)


def test_link_to_a_map_is_not_followed_by_share_with_force(names, plant):
    real, linked = names(), names()
    sharedmap.rbtree().share(real)
    before = os.stat(segment_path(real))
    plant(linked, lambda path: os.symlink(segment_path(real), path))
    with pytest.raises(sharedmap.SnapshotError):
        sharedmap.rbtree().share(linked, force=True)
    with open(segment_path(real), "rb") as file:
        assert generation(file.read(HEADER_SIZE)) == 1
    assert os.stat(segment_path(real)).st_ino == before.st_ino


def test_link_to_a_map_is_not_followed_by_remove(names, plant):
    real, linked = names(), names()
    sharedmap.rbtree().share(real)
    plant(linked, lambda path: os.symlink(segment_path(real), path))
    with pytest.raises(sharedmap.SnapshotError):
        sharedmap.rbtree.remove(linked)
    sharedmap.sharedmap(real).close()


# --- modes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o622, 0o666, 0o660, 0o777], ids=oct)
def test_open_of_a_file_that_others_may_write_raises_permission_error(name, mode):
    sharedmap.rbtree().share(name)
    os.chmod(segment_path(name), mode)
    with pytest.raises(PermissionError) as caught:
        sharedmap.sharedmap(name)
    assert caught.value.filename == name
    assert caught.value.errno in (errno.EPERM, errno.EACCES)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604, 0o644, 0o755], ids=oct)
def test_open_of_a_file_that_others_may_only_read_works(name, mode):
    sharedmap.rbtree().share(name)
    os.chmod(segment_path(name), mode)
    with sharedmap.sharedmap(name) as shared:
        assert len(shared) == 0


def test_sizes_in_these_tests_are_those_of_a_real_file(name):
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    tree.share(name)
    with open(segment_path(name), "rb") as file:
        data = file.read()
        assert stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    assert total_size(data) == len(data)
