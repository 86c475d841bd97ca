"""Asking again for the same key: the same answer, however often and from wherever it comes.

A map may remember values that were asked for lately. Nobody can see whether it does, except that
it must never remember too much: not a newer snapshot's past, and not a mapping that is closed.
"""

import ctypes
import gc
import math
import os
import struct
import sys
import sysconfig
import tracemalloc
import uuid

import pytest
from helpers import exit_code, forked, lines_of_maps, segment_path
from strategies import exact

import sharedmap

HAS_GIL = not sysconfig.get_config_var("Py_GIL_DISABLED")

# As often as it takes until a value could come from anywhere but the snapshot, and more.
OFTEN = 6

VALUES = {
    "empty str": "",
    "ascii": "x" * 100,
    "latin": "é" * 100,
    "wide": "红" * 100,
    "astral": "\U0001f600",
    "surrogate": "\ud800",
    "longest that is kept": "y" * 1024,
    "longer": "y" * 1025,
    "long": "z" * 1_000_000,
    "empty bytes": b"",
    "bytes": bytes(range(256)),
    "bytes that are kept": b"y" * 1024,
    "longer bytes": b"y" * 1025,
    "long bytes": b"z" * 1_000_000,
    "zero": 0,
    "small": -5,
    "big": 2**100,
    "huge": -(2**100_000),
    "float": 0.1,
    "negative zero": -0.0,
    "nan": struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_0123))[0],
    "infinity": -math.inf,
    "true": True,
    "false": False,
    "none": None,
    # A float and an int, a str and bytes, that could be taken for each other.
    "one": 1,
    "one as float": 1.0,
    "one as str": "1",
    "one as bytes": b"1",
}

each_index = pytest.mark.parametrize("index", ["hash", "tree"])


def copied(key):
    """An equal str that is another object, whose hash nobody has asked for."""
    return (key + "x")[:-1]


@pytest.fixture
def shared(name):
    sharedmap.share(VALUES, name)
    with sharedmap.sharedmap(name) as shared:
        yield shared


# How one asks; the key objects are the same each time, or others.
ASKING = {
    "item": lambda shared, key: shared[key],
    "get": lambda shared, key: shared.get(key),
    "get with a default": lambda shared, key: shared.get(key, "default"),
    "get_many": lambda shared, key: shared.get_many([key])[0],
    "item by another object": lambda shared, key: shared[copied(key)],
    "get by another object": lambda shared, key: shared.get(copied(key)),
    "item by a hashed one": lambda shared, key: shared[next(iter({copied(key)}))],
    "item of a slice": lambda shared, key: shared[:][key],
    "item of a snapshot": lambda shared, key: shared.snapshot()[key],
}
each_asking = pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING.keys())


# --- the same answer --------------------------------------------------------------------------


@each_asking
@each_index
def test_every_answer_is_that_of_the_first_time(name, ask, index):
    sharedmap.share(VALUES, name, index=index)
    with sharedmap.sharedmap(name) as shared:
        for _ in range(OFTEN):
            for key, value in VALUES.items():
                assert exact(ask(shared, key)) == exact(value)
        for key, value in VALUES.items():
            for _ in range(OFTEN):
                assert exact(ask(shared, key)) == exact(value)


def test_ways_of_asking_do_not_disturb_each_other(shared):
    for _ in range(OFTEN):
        for ask in ASKING.values():
            for key, value in VALUES.items():
                assert exact(ask(shared, key)) == exact(value)


# ---- keys that have no hash ----------------------------------------------------------------------


def has_hash(key):
    """Whether a str knows its hash: the field behind its length, in every CPython there is."""
    offset = object.__basicsize__ + 8
    return ctypes.c_ssize_t.from_address(id(key) + offset).value != -1


HASHING = [lambda m, k: m[k], lambda m, k: m.get(k)]
if HAS_GIL:
    HASHING.append(lambda m, k: m.get_many([k]))
each_way_to_ask = pytest.mark.parametrize("ask", HASHING)


def begin_cache(m):
    """Without a GIL a thread has caches once it has looked up some keys."""
    for _ in range(100):
        m.get("absent")
    m.get(next(iter(m)))


def shared_numbers(name, count):
    """A map, and its keys as objects without a hash."""
    # An object with the same end where one of another test was would be taken for that one.
    token = uuid.uuid4().hex
    sharedmap.share({f"{token}{number}": number for number in range(count)}, name)
    m = sharedmap.sharedmap(name)
    begin_cache(m)
    return m, [f"{token}{number}" for number in range(count)]


@each_way_to_ask
def test_key_object_that_comes_again_is_hashed(name, ask):
    m, keys = shared_numbers(name, 10_000)
    ask(m, keys[7])
    assert not has_hash(keys[7])
    ask(m, keys[7])
    assert has_hash(keys[7])


@each_way_to_ask
def test_key_of_a_small_map_is_hashed_at_once(name, ask):
    m, keys = shared_numbers(name, 100)
    ask(m, keys[7])
    assert has_hash(keys[7])


def test_key_objects_that_come_in_turn_are_hashed_all(name):
    m, keys = shared_numbers(name, 10_000)
    for _ in range(OFTEN):
        assert [m[key] for key in keys[:1000]] == list(range(1000))
    # All but those that meet four others in the filter.
    assert sum(map(has_hash, keys)) > 900


def test_key_objects_that_are_looked_up_once_are_not_hashed(name):
    m, keys = shared_numbers(name, 10_000)
    assert [m[key] for key in keys] == list(range(10_000))
    # All but those that are taken for another by chance.
    assert sum(map(has_hash, keys)) < 100


def test_absent_key_stays_absent(shared):
    for _ in range(OFTEN):
        assert shared.get("absent") is None
        assert shared.get("absent", 5) == 5
        assert "absent" not in shared
        with pytest.raises(KeyError):
            shared["absent"]


def test_default_is_not_remembered(shared):
    for number in range(OFTEN):
        assert shared.get("absent", number) == number
        assert shared.get("ascii", number) == "x" * 100


@each_index
def test_more_keys_than_are_remembered_have_each_its_own_value(name, index):
    keys = [f"key {number}" for number in range(20_000)]
    sharedmap.share({key: number for number, key in enumerate(keys)}, name, index=index)
    with sharedmap.sharedmap(name) as shared:
        for _ in range(3):
            for number, key in enumerate(keys):
                assert shared[key] == number
                assert shared.get(key) == number


# A small map has room for all its values, a large one only for those that are asked for by keys
# whose hash is known. Without a GIL each thread has a cache, so less is kept in one.
LONGEST = 1024 if HAS_GIL else 256


@each_index
@pytest.mark.parametrize("count", [1, 100, 2500, 20_000])
def test_each_value_of_a_small_map_is_made_once(name, count, index):
    entries = {f"key {number}": f"value {number}" for number in range(count)}
    sharedmap.share(entries, name, index=index)
    with sharedmap.sharedmap(name) as shared:
        begin_cache(shared)
        for _ in range(OFTEN):
            for key, value in entries.items():
                assert shared[copied(key)] == shared.get(copied(key)) == value
            assert shared.get_many(map(copied, entries)) == list(entries.values())
        one, other = (shared.get_many(map(copied, entries)) for _ in range(2))
        assert one == other == list(entries.values())
        assert {a is b for a, b in zip(one, other, strict=True)} == {count < 20_000}


@each_index
def test_value_of_a_small_map_is_made_once_up_to_a_length(name, index):
    entries = {f"key {number}": chr(65 + number) * (LONGEST + number % 2) for number in range(20)}
    sharedmap.share(entries, name, index=index)
    with sharedmap.sharedmap(name) as shared:
        begin_cache(shared)
        for _ in range(OFTEN):
            for key, value in entries.items():
                assert shared[copied(key)] == value
        for key, value in entries.items():
            is_same = shared[copied(key)] is shared[copied(key)]
            assert is_same == (len(value) == LONGEST)


def test_keys_that_differ_in_width_only_are_different(name):
    # Alike in the bytes that one cell or several take, or in the first of them.
    keys = [
        "a",
        "a\0",
        "a\0\0\0",
        "aa",
        "\u6161",
        "\U00010061",
        "é",
        "é\0",
        "\u00e9\u0100",
        "\ue9e9",
    ]
    entries = {key: number for number, key in enumerate(keys)}
    sharedmap.share(entries, name)
    with sharedmap.sharedmap(name) as shared:
        for _ in range(OFTEN):
            assert {key: shared[key] for key in entries} == entries


class Text(str):
    """A str with opinions of its own."""

    def __hash__(self):
        return hash("ascii")

    def __eq__(self, other):
        return True


def test_str_subclass_counts_by_its_characters_each_time(shared):
    for _ in range(OFTEN):
        assert shared["ascii"] == "x" * 100
        assert shared[Text("small")] == -5
        assert shared.get(Text("one")) == 1
        assert shared.get(Text("absent")) is None
        assert Text("absent") not in shared


def test_wrong_key_is_an_error_each_time(shared):
    for _ in range(OFTEN):
        assert shared["ascii"]
        for key in (1, b"ascii", None, ("ascii",)):
            with pytest.raises(TypeError):
                shared[key]
            with pytest.raises(TypeError):
                shared.get(key)


# --- never the past ---------------------------------------------------------------------------


def ask_often(shared, key):
    answers = {shared[key] for _ in range(OFTEN)} | {shared.get(key) for _ in range(OFTEN)}
    assert len(answers) == 1
    return answers.pop()


@each_index
def test_refresh_gives_the_new_value(name, index):
    sharedmap.share({"a": 0}, name, index=index)
    with sharedmap.sharedmap(name) as shared:
        for number in range(1, 10):
            assert ask_often(shared, "a") == number - 1
            sharedmap.share({"a": number}, name, force=True, index=index)
            assert ask_often(shared, "a") == number - 1
            assert shared.refresh() is True
            assert ask_often(shared, "a") == number


@each_index
def test_following_map_gives_the_new_value_at_once(name, index):
    sharedmap.share({"a": 0}, name, index=index)
    with sharedmap.sharedmap(name, follow=True) as shared:
        for number in range(1, 10):
            assert ask_often(shared, "a") == number - 1
            sharedmap.update(name, {"a": number})
            assert shared["a"] == number
            assert ask_often(shared, "a") == number


def test_following_map_sees_a_key_come_and_go(name):
    sharedmap.share({"a": 1}, name)
    with sharedmap.sharedmap(name, follow=True) as shared:
        for _ in range(3):
            sharedmap.update(name, {}, remove=["a"])
            assert shared.get("a") is None
            with pytest.raises(KeyError):
                shared["a"]
            sharedmap.update(name, {"a": 1})
            assert ask_often(shared, "a") == 1


def test_following_map_whose_name_is_gone_keeps_its_values(name):
    sharedmap.share({"a": 1}, name)
    with sharedmap.sharedmap(name, follow=True) as shared:
        assert ask_often(shared, "a") == 1
        sharedmap.remove(name)
        assert ask_often(shared, "a") == 1
        sharedmap.share({"a": 2}, name)
        assert ask_often(shared, "a") == 2


def test_handles_on_different_snapshots_have_their_own_values(name):
    handles = []
    for number in range(5):
        sharedmap.share({"a": number}, name, force=True)
        handles.append(sharedmap.sharedmap(name))
    for _ in range(OFTEN):
        assert [shared["a"] for shared in handles] == list(range(5))
    for shared in handles:
        shared.close()


def test_pinned_snapshot_keeps_its_values_when_the_map_moves_on_or_closes(name):
    sharedmap.share({"a": 1}, name)
    shared = sharedmap.sharedmap(name)
    pinned = shared.snapshot()
    assert ask_often(shared, "a") == ask_often(pinned, "a") == 1
    sharedmap.update(name, {"a": 2})
    shared.refresh()
    assert (ask_often(shared, "a"), ask_often(pinned, "a")) == (2, 1)
    shared.close()
    assert ask_often(pinned, "a") == 1
    pinned.close()
    with pytest.raises(ValueError, match="closed"):
        pinned["a"]


# --- nothing that stays -----------------------------------------------------------------------


@pytest.mark.parametrize("follow", [False, True], ids=["pinned", "following"])
@pytest.mark.parametrize("how", ["close", "drop"])
def test_remembered_values_do_not_keep_a_closed_map_mapped(name, follow, how):
    sharedmap.share(VALUES, name)
    shared = sharedmap.sharedmap(name, follow=follow)
    values = [shared[key] for _ in range(OFTEN) for key in VALUES]
    assert len(lines_of_maps(name)) == 1
    if how == "close":
        shared.close()
    else:
        del shared
        gc.collect()
    assert lines_of_maps(name) == []
    # And the values do not need it any more.
    assert [exact(value) for value in values] == [exact(v) for v in VALUES.values()] * OFTEN


@pytest.mark.parametrize("follow", [False, True], ids=["pinned", "following"])
def test_remembered_values_do_not_keep_a_replaced_snapshot_mapped(name, follow):
    sharedmap.share(VALUES, name)
    with sharedmap.sharedmap(name, follow=follow) as shared:
        for number in range(OFTEN):
            for _ in range(OFTEN):
                assert shared["ascii"] == "x" * 100
            sharedmap.update(name, {"number": number})
            if not follow:
                assert shared.refresh() is True
            assert shared["number"] == number
            lines = lines_of_maps(name)
            assert len(lines) == 1
            assert int(lines[0].split()[4]) == os.stat(segment_path(name)).st_ino


def test_remembered_values_do_not_hold_a_buffer():
    data = bytearray(sharedmap.rbtree(VALUES).dump())
    shared = sharedmap.sharedmap.frombuffer(data)
    values = [shared[key] for _ in range(OFTEN) for key in VALUES]
    with pytest.raises(BufferError):
        data.clear()
    shared.close()
    data.clear()
    assert [exact(value) for value in values] == [exact(v) for v in VALUES.values()] * OFTEN


def test_keys_and_values_are_given_back_when_the_map_closes(name):
    sharedmap.share({"k" * 100: "v" * 100, "l" * 100: b"w" * 100}, name)
    keys = ["k" * 100, "l" * 100]
    before = [sys.getrefcount(key) for key in keys]
    shared = sharedmap.sharedmap(name)
    for _ in range(OFTEN):
        for key in keys:
            hash(key)
            values = [shared[key] for key in keys]
    shared.close()
    del key
    assert [sys.getrefcount(key) for key in keys] == before
    # The two references are that of the list and that of the argument.
    assert [sys.getrefcount(values[place]) for place in range(2)] == [2, 2]


def test_snapshot_in_a_cycle_with_its_hook_is_collected(name):
    sharedmap.share({"native": "x" * 100, "encoded": object()}, name, encode=lambda value: b"e")

    class Owner:
        def decode(self, data):
            return self

    owner = Owner()
    owner.shared = sharedmap.sharedmap(name, decode=owner.decode)
    for _ in range(OFTEN):
        assert owner.shared["native"] == "x" * 100
        assert owner.shared["encoded"] is owner
    del owner
    gc.collect()
    assert lines_of_maps(name) == []


# --- values that are made anew ----------------------------------------------------------------


def test_decoded_value_is_a_new_one_each_time(name):
    sharedmap.share({"a": [1, 2]}, name, encode=bytes)
    calls = []

    def decode(data):
        calls.append(data)
        return list(data)

    with sharedmap.sharedmap(name, decode=decode) as shared:
        for _ in range(OFTEN):
            value = shared["a"]
            assert value == [1, 2]
            # It belongs to whoever asked.
            value.append(3)
            assert shared.get("a") == [1, 2]
    assert calls == [b"\1\2"] * 2 * OFTEN


def test_each_handle_has_its_own_hook(name):
    sharedmap.share({"a": [1, 2], "native": 5}, name, encode=bytes)
    with (
        sharedmap.sharedmap(name, decode=list) as lists,
        sharedmap.sharedmap(name, decode=len) as lengths,
        sharedmap.sharedmap(name) as plain,
    ):
        for _ in range(OFTEN):
            assert (lists["a"], lengths["a"]) == ([1, 2], 2)
            assert lists["native"] == lengths["native"] == plain["native"] == 5
            with pytest.raises(TypeError, match="decode="):
                plain["a"]


# --- other processes --------------------------------------------------------------------------


def test_forked_child_goes_on_with_what_its_parent_remembers(name):
    sharedmap.share(VALUES, name)
    with sharedmap.sharedmap(name) as shared:
        for _ in range(OFTEN):
            for key in VALUES:
                shared[key]

        def ask_and_close():
            same = all(
                exact(shared[key]) == exact(value)
                for _ in range(OFTEN)
                for key, value in VALUES.items()
            )
            shared.close()
            return same and lines_of_maps(name) == []

        assert exit_code(forked(ask_and_close)) == 0
        assert shared["ascii"] == "x" * 100


# --- what it may hold -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entries",
    [
        {"k" * size: 1 for size in range(20_000, 20_300)},
        {f"k{i}": 2 ** (100_000 + i) for i in range(300)},
        {f"k{i}": "v" * (20_000 + i) for i in range(300)},
    ],
    ids=["keys", "ints", "texts"],
)
def test_cache_holds_no_large_keys_and_values(name, entries):
    """Keys of any length were kept: 4,096 of them, however long."""
    sharedmap.share(entries, name)
    with sharedmap.sharedmap(name) as shared:
        tracemalloc.start()
        for _ in range(OFTEN):
            for number, key in enumerate(entries):
                # Another str each time, whose hash is known.
                asked = copied(key)
                hash(asked)
                assert shared[asked] == entries[key], number
        del asked
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    assert held < 500_000
