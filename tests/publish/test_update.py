"""update(): what is published, with some changes, published again; no update is lost."""

import os
import random
import stat
import struct
from collections import UserDict

import pytest
from helpers import read_header, segment_path, superseded
from independent_reader import read

import sharedmap

ALL_TYPES = {
    "": "the empty key",
    "bytes": b"\0\xff" * 9,
    "empty": b"",
    "false": False,
    "float": 1.5,
    "int": -(10**30),
    "long" * 100: "x" * 70_000,
    "none": None,
    "true": True,
    "zero": 0,
    "红": "32是",
    "\udcff": "\ud800",
}


def content(name):
    with sharedmap.sharedmap(name) as shared:
        shared.verify()
        return dict(shared)


def typed(entries):
    return {key: (type(value), value) for key, value in entries.items()}


@pytest.fixture
def shared_name(name):
    sharedmap.share({"a": 1, "b": 2, "c": 3}, name)
    return name


# --- what comes out ---------------------------------------------------------------------------


def test_update_inserts_and_replaces(shared_name):
    sharedmap.update(shared_name, {"b": "changed", "d": "new", "": "first"})
    assert content(shared_name) == {"": "first", "a": 1, "b": "changed", "c": 3, "d": "new"}


def test_update_does_both_at_one_stroke(shared_name):
    sharedmap.update(shared_name, {"a": 10, "z": 26}, remove=["b"])
    assert content(shared_name) == {"a": 10, "c": 3, "z": 26}


def test_update_returns_the_generation_that_it_published(shared_name):
    assert sharedmap.update(shared_name, {"a": 0}) == 2
    assert sharedmap.update(shared_name, {}, ["a"]) == 3
    with sharedmap.sharedmap(shared_name) as shared:
        assert shared.generation == 3


@pytest.mark.parametrize(
    ("changes", "removed"),
    [({}, []), ({"b": 2}, []), ({"a": 1, "b": 2, "c": 3}, ["absent"]), ({}, ["x", "y"])],
)
def test_update_that_changes_nothing_publishes_nothing(shared_name, changes, removed):
    with sharedmap.sharedmap(shared_name) as shared:
        assert sharedmap.update(shared_name, changes, removed) == 1
        assert not shared.stale
        assert not shared.refresh()
    assert content(shared_name) == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize("value", [2.0, "2", b"2", True, None])
def test_update_to_an_equal_value_of_another_type_is_a_change(shared_name, value):
    assert sharedmap.update(shared_name, {"b": value}) == 2
    with sharedmap.sharedmap(shared_name) as shared:
        assert type(shared["b"]) is type(value)


def test_update_can_remove_everything_and_begin_anew(shared_name):
    sharedmap.update(shared_name, {}, remove=list("abc"))
    assert content(shared_name) == {}
    sharedmap.update(shared_name, {"x": 1})
    assert content(shared_name) == {"x": 1}


def test_update_ignores_removals_of_keys_that_are_not_there(shared_name):
    sharedmap.update(shared_name, {}, remove=["", "aa", "b", "zz", "红"])
    assert content(shared_name) == {"a": 1, "c": 3}


def test_update_of_a_key_twice_takes_the_last(shared_name):
    sharedmap.update(shared_name, [("a", "first"), ("x", 1), ("a", "last")], remove=["b", "b"])
    assert content(shared_name) == {"a": "last", "c": 3, "x": 1}


def test_update_keeps_values_of_every_type(name):
    sharedmap.share(ALL_TYPES, name)
    sharedmap.update(name, {"new": 1}, remove=["empty"])
    expected = {**ALL_TYPES, "new": 1}
    del expected["empty"]
    assert typed(content(name)) == typed(expected)


def test_update_puts_values_of_every_type(shared_name):
    sharedmap.update(shared_name, ALL_TYPES, remove=["a", "b", "c"])
    assert typed(content(shared_name)) == typed(ALL_TYPES)


def test_update_changes_the_type_of_a_value(shared_name):
    for value in ALL_TYPES.values():
        sharedmap.update(shared_name, {"b": value})
        assert typed(content(shared_name))["b"] == (type(value), value)


def test_bytes_are_aligned_again_after_an_update_moved_them(name):
    sharedmap.share({f"bytes {n}": bytes(n) for n in range(50)}, name)
    changes = {"a" * n: "x" * n for n in range(1, 20)}
    sharedmap.update(name, changes, remove=["bytes 3", "bytes 14"])
    with sharedmap.sharedmap(name) as shared:
        for number in (*range(1, 3), *range(15, 50)):
            view = shared.view(f"bytes {number}")
            assert bytes(view) == bytes(number)
    with open(segment_path(name), "rb") as file:
        read(file.read())  # and checks where each of them begins


def without_identity(data):
    """What a snapshot says besides which one it is."""
    data = bytearray(data)
    data[128:168] = bytes(40)  # generation, unique id, the checksum over it, the time
    return bytes(data)


def test_updated_map_is_byte_for_byte_what_a_share_would_have_made(names):
    rng = random.Random(4)
    updated, shared = names(), names()
    entries = {
        f"key {rng.randrange(10**6)}": rng.choice(list(ALL_TYPES.values())) for _ in "x" * 500
    }
    sharedmap.share(entries, updated)
    changes = {f"key {rng.randrange(10**6)}": rng.randbytes(rng.randrange(40)) for _ in "x" * 50}
    removed = rng.sample(sorted(entries), 50)
    sharedmap.update(updated, {k: v for k, v in changes.items() if k not in removed}, removed)
    for key in removed:
        del entries[key]
    entries.update({k: v for k, v in changes.items() if k not in removed})
    sharedmap.share(entries, shared)
    with open(segment_path(updated), "rb") as file, open(segment_path(shared), "rb") as other:
        one, two = bytearray(file.read()), bytearray(other.read())
    # The label is the name, and they have two.
    one[256:512] = two[256:512] = bytes(256)
    assert without_identity(one) == without_identity(two)


def test_label_of_an_updated_map_is_its_name(shared_name):
    sharedmap.update(shared_name, {"a": 0})
    header = read_header(shared_name)
    size = struct.unpack_from("<H", header, 42)[0]
    assert header[256 : 256 + size].decode() == shared_name


def test_random_updates_do_what_they_do_to_a_dict(name):
    rng = random.Random(20)
    expected = {}
    generation = 1
    sharedmap.share(expected, name)
    for turn in range(300):
        keys = [str(rng.randrange(100)) for _ in range(rng.randrange(20))]
        middle = rng.randrange(len(keys) + 1)
        changes = {key: (turn, b"x" * rng.randrange(9))[rng.randrange(2)] for key in keys[:middle]}
        removed = [key for key in keys[middle:] if key not in changes]
        before = dict(expected)
        expected.update(changes)
        for key in removed:
            expected.pop(key, None)
        # Values of other types are never equal here.
        generation += expected != before
        assert sharedmap.update(name, changes, removed) == generation
        assert content(name) == dict(sorted(expected.items()))


def test_update_of_a_large_map_keeps_all_it_does_not_change(name):
    entries = {f"key {number:06}": number for number in range(100_000)}
    sharedmap.share(entries, name)
    changes = {f"key {number:06}": "changed" for number in range(0, 100_000, 1000)}
    changes |= {f"new {number}": number for number in range(100)}
    removed = [f"key {number:06}" for number in range(1, 100_000, 1000)]
    sharedmap.update(name, changes, removed)
    entries.update(changes)
    for key in removed:
        del entries[key]
    assert content(name) == entries


# --- where changes come from ------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [dict, UserDict, sharedmap.rbtree, lambda d: list(d.items()), lambda d: iter(d.items())],
    ids=["dict", "UserDict", "rbtree", "pairs", "iterator"],
)
def test_changes_come_from_any_mapping_or_pairs(shared_name, make):
    sharedmap.update(shared_name, make({"b": "x", "d": "y"}))
    assert content(shared_name) == {"a": 1, "b": "x", "c": 3, "d": "y"}


def test_changes_come_from_another_map(names):
    first, second = names(), names()
    sharedmap.share({"a": 1}, first)
    sharedmap.share({"b": b"2", "c": None}, second)
    with sharedmap.sharedmap(second) as shared:
        sharedmap.update(first, shared)
        sharedmap.update(first, shared["c":], remove=shared["b":"c"])
    assert content(first) == {"a": 1, "c": None}


def test_changes_come_from_the_map_itself(shared_name):
    with sharedmap.sharedmap(shared_name, follow=True) as shared:
        sharedmap.update(shared_name, shared, remove=[])
        assert dict(shared) == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(
    "make",
    [list, tuple, set, dict.fromkeys, iter],
    ids=["list", "tuple", "set", "dict", "iterator"],
)
def test_keys_to_remove_come_from_any_iterable(shared_name, make):
    sharedmap.update(shared_name, {}, remove=make(["a", "c"]))
    assert content(shared_name) == {"b": 2}


def test_encode_is_called_for_changes_that_are_not_native(shared_name):
    calls = []

    def encode(value):
        calls.append(value)
        return repr(value).encode()

    sharedmap.update(shared_name, {"a": (1, 2), "b": "native"}, ["c"], encode=encode)
    assert calls == [(1, 2)]
    with sharedmap.sharedmap(shared_name, decode=lambda data: eval(bytes(data))) as shared:
        assert dict(shared) == {"a": (1, 2), "b": "native"}


def test_encoded_values_stay_encoded_without_being_decoded(name):
    sharedmap.share({"a": (1, 2), "b": 1}, name, encode=lambda value: b"encoded")
    sharedmap.update(name, {"b": 2})
    with sharedmap.sharedmap(name, decode=lambda data: ("decoded", bytes(data))) as shared:
        assert dict(shared) == {"a": ("decoded", b"encoded"), "b": 2}


def test_encode_may_itself_update_the_map(shared_name):
    """No lock is held while code of the user runs."""

    def encode(value):
        sharedmap.update(shared_name, {"from encode": 1})
        return b""

    assert sharedmap.update(shared_name, {"a": object()}, encode=encode) == 3
    assert set(content_keys(shared_name)) == {"a", "b", "c", "from encode"}


def content_keys(name):
    with sharedmap.sharedmap(name) as shared:
        return list(shared)


# --- errors -----------------------------------------------------------------------------------


@pytest.fixture
def untouched(shared_name):
    before = read_header(shared_name)
    yield shared_name
    assert read_header(shared_name) == before


def test_key_to_change_and_to_remove_raises_value_error(untouched):
    with pytest.raises(ValueError, match="'b'"):
        sharedmap.update(untouched, {"a": 1, "b": 2}, remove=["b", "c"])


def test_update_of_an_absent_name_raises_file_not_found_error(names):
    name = names()
    with pytest.raises(FileNotFoundError) as caught:
        sharedmap.update(name, {"a": 1})
    assert caught.value.filename == name
    assert names.files() == []


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 300])
def test_update_of_what_cannot_be_a_name_raises_value_error(name):
    with pytest.raises(ValueError, match="name"):
        sharedmap.update(name, {})


@pytest.mark.parametrize(
    ("changes", "remove"),
    [
        ({1: "a"}, ()),
        ({b"a": "a"}, ()),
        ({"a": object()}, ()),
        ({"a": {1}}, ()),
        (1, ()),
        ([1], ()),
        ({}, 1),
        ({}, [1]),
        ({}, [b"a"]),
        ({}, [None]),
        (None, ()),
    ],
)
def test_update_with_wrong_types_raises_type_error(untouched, changes, remove):
    with pytest.raises(TypeError):
        sharedmap.update(untouched, changes, remove)


@pytest.mark.parametrize("changes", [[("a",)], [("a", 1, 2)], [()]])
def test_update_with_something_else_than_pairs_raises_value_error(untouched, changes):
    with pytest.raises(ValueError, match="element #0 has length"):
        sharedmap.update(untouched, changes)


def test_exception_of_an_iterable_comes_through(untouched):
    def failing():
        yield "a"
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        sharedmap.update(untouched, ((key, 1) for key in failing()))
    with pytest.raises(LookupError, match="mine"):
        sharedmap.update(untouched, {}, remove=failing())


def test_exception_of_encode_comes_through(untouched):
    def encode(value):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        sharedmap.update(untouched, {"a": object()}, encode=encode)


@pytest.mark.parametrize("offset", [8, 20, 64, 128, 512, 530, -70])
def test_update_of_a_damaged_map_raises_snapshot_error_and_leaves_it(name, offset):
    sharedmap.share({"a": "x" * 100, "b": 2}, name)
    with open(segment_path(name), "r+b") as file:
        data = bytearray(file.read())
        data[offset] ^= 1
        file.seek(0)
        file.write(data)
    with pytest.raises(sharedmap.SnapshotError):
        sharedmap.update(name, {"c": 3})
    with open(segment_path(name), "rb") as file:
        assert file.read() == bytes(data)
    assert superseded(data) == 0


@pytest.mark.parametrize("data", [b"", b"text" * 500], ids=["empty", "text"])
def test_update_of_what_is_no_map_raises_snapshot_error_and_leaves_it(name, plant_bytes, data):
    path = plant_bytes(name, data)
    with pytest.raises(sharedmap.SnapshotError):
        sharedmap.update(name, {"a": 1})
    with open(path, "rb") as file:
        assert file.read() == data


@pytest.mark.parametrize(
    "make",
    [os.mkdir, os.mkfifo, lambda path: os.symlink(b"/dev/null", path)],
    ids=["dir", "fifo", "link"],
)
def test_update_of_what_is_no_file_raises_snapshot_error(name, plant, make):
    plant(name, make)
    with pytest.raises(sharedmap.SnapshotError):
        sharedmap.update(name, {"a": 1})


def test_update_that_failed_leaves_no_file(names):
    name = names()
    sharedmap.share({"a": 1}, name)
    for _ in range(10):
        with pytest.raises(ValueError, match="'a'"):
            sharedmap.update(name, {"a": 2}, ["a"])
    assert len(names.files()) == 1


# --- the file, and who has it open ------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604, 0o644])
def test_update_keeps_the_mode(name, mode):
    sharedmap.share({"a": 1}, name, mode=mode)
    before = os.umask(0o077)
    try:
        sharedmap.update(name, {"a": 2})
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(segment_path(name)).st_mode) == mode


def test_update_by_root_of_a_users_map_raises_permission_error(as_root, name, workers):
    """Whose data it would be afterwards is not for root to decide in passing."""
    user = workers()
    user.run("os.setgroups([]); os.setresgid(65534, 65534, 65534)")
    user.run("os.setresuid(65534, 65534, 65534)")
    user.run("sharedmap.share({'a': 1}, name)", name=name)
    with pytest.raises(PermissionError):
        sharedmap.update(name, {"b": 2})
    assert user.eval("dict(sharedmap.sharedmap(name))") == {"a": 1}
    user.run("sharedmap.remove(name)")


def test_update_of_another_users_map_raises_permission_error(as_root, name, workers):
    sharedmap.share({"a": 1}, name, mode=0o644)
    user = workers()
    user.run("os.setgroups([]); os.setresgid(65534, 65534, 65534)")
    user.run("os.setresuid(65534, 65534, 65534)")
    with pytest.raises(PermissionError):
        user.run("sharedmap.update(name, {'b': 2})", name=name)
    assert content(name) == {"a": 1}


def test_open_map_keeps_its_snapshot_after_an_update(shared_name):
    with sharedmap.sharedmap(shared_name) as shared:
        sharedmap.update(shared_name, {"a": 10}, ["b"])
        assert dict(shared) == {"a": 1, "b": 2, "c": 3}
        assert shared.stale is True


def test_update_leaves_one_file_and_no_descriptor(names):
    name = names()
    sharedmap.share({"a": 0}, name)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(50):
        sharedmap.update(name, {"a": number})
        assert len(names.files()) == 1
    assert len(os.listdir("/proc/self/fd")) == before


# --- several at once --------------------------------------------------------------------------

COUNT = """
def count(name, key, times):
    for number in range(1, times + 1):
        sharedmap.update(name, {key: number, key + "'": number}, remove=[f"{key}{number}"])
"""


def test_updates_of_several_processes_are_all_there_in_the_end(name, workers):
    sharedmap.share({"kept": "x"} | {f"{key}{n}": 0 for key in "abc" for n in range(1, 151)}, name)
    counting = [workers() for _ in range(3)]
    for worker, key in zip(counting, "abc", strict=True):
        worker.run(COUNT)
        worker.send("eval", "count(name, key, 150)", {"name": name, "key": key})
    for worker in counting:
        worker.answer()
    with sharedmap.sharedmap(name) as shared:
        assert dict(shared) == {
            "a": 150, "a'": 150, "b": 150, "b'": 150, "c": 150, "c'": 150, "kept": "x",
        }  # fmt: skip
        assert shared.generation == 1 + 3 * 150


def test_no_update_is_lost_to_what_others_publish_meanwhile(name, workers):
    """A counter that only updates raise, while others replace the map by what they have read."""
    sharedmap.share({"count": 0, "other": 0}, name)
    replacing = workers()
    replacing.run(
        """
def replace(name):
    done = 0
    while done < 100:
        with sharedmap.sharedmap(name) as shared:
            entries, generation = dict(shared), shared.generation
        entries["other"] = done + 1
        try:
            sharedmap.share(entries, name, expect=generation)
            done += 1
        except sharedmap.StaleError:
            pass
"""
    )
    replacing.send("eval", "replace(name)", {"name": name})
    for number in range(1, 201):
        sharedmap.update(name, {"count": number})
    replacing.answer()
    assert content(name) == {"count": 200, "other": 100}


def test_removals_and_insertions_of_several_processes_do_not_mix(name, workers):
    """Each moves a token to and fro; a snapshot in which one is twice, or not at all, is a mix."""
    sharedmap.share({"a left": 1, "b left": 1}, name)
    moving = [workers() for _ in range(2)]
    for worker, key in zip(moving, "ab", strict=True):
        worker.run(
            """
def move(name, key):
    here, there = "left", "right"
    for _ in range(200):
        sharedmap.update(name, {f"{key} {there}": 1}, remove=[f"{key} {here}"])
        here, there = there, here
"""
        )
        worker.send("eval", "move(name, key)", {"name": name, "key": key})
    with sharedmap.sharedmap(name, follow=True) as shared:
        while shared.generation < 401:
            assert sorted(key[0] for key in list(shared)) == ["a", "b"]
    for worker in moving:
        worker.answer()
    assert content(name) == {"a left": 1, "b left": 1}
