"""What goes in comes out, in another process, in order: any text, every size, a million."""

import math
import struct

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from strategies import CHARACTERS

import sharedmap

KEYS = st.text(CHARACTERS, max_size=40)
VALUES = st.one_of(
    st.text(CHARACTERS, max_size=100),
    st.binary(max_size=100),
    st.integers(),
    st.integers(-(2**200), 2**200),
    st.floats(),
    st.booleans(),
    st.none(),
)
INDICES = st.sampled_from(["hash", "tree"])
MEBIBYTE = 2**20

READ = """
import struct

def exact(value):
    # What tells -0.0 from 0.0 and one NaN from another.
    return struct.pack("<d", value) if type(value) is float else value

def read(name, absent):
    with sharedmap.sharedmap(name) as m:
        items = [(key, exact(m[key])) for key in m]
        keys = [key for key, _ in items]
        assert all(key in m and exact(m.get(key)) == value for key, value in items)
        assert items == [(key, exact(value)) for key, value in m.items()]
        assert [value for _, value in items] == [exact(value) for value in m.get_many(keys)]
        types = [type(value) for value in m.values()]
        assert m.get_many(absent) == [None] * len(absent)
        m.verify()
        return items, types, len(m), [key in m or m.get(key) for key in absent]
"""


@pytest.fixture
def reader(other):
    other.run(READ)
    return other


def exact(value):
    return struct.pack("<d", value) if type(value) is float else value


def round_trip(name, reader, entries, absent=(), index="hash"):
    tree = sharedmap.rbtree()
    for key, value in entries.items():
        tree[key] = value
    tree.share(name, force=True, index=index)
    items, types, length, found = reader.eval("read(name, absent)", name=name, absent=absent)
    # Python orders str by code points, so this is the order of keys that is promised.
    expected = sorted(entries.items(), key=lambda item: item[0])
    assert items == [(key, exact(value)) for key, value in expected]
    assert types == [type(value) for _, value in expected]
    assert length == len(entries)
    assert found == [None] * len(absent)


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    entries=st.dictionaries(KEYS, VALUES, max_size=30),
    others=st.lists(KEYS, max_size=10),
    index=INDICES,
)
@example(entries={}, others=["", "a"], index="hash")
@example(entries={"": ""}, others=["\0"], index="hash")
@example(entries={"": b""}, others=["\0"], index="tree")
@example(entries={"a": -0.0, "b": math.nan, "c": -math.inf, "d": 5e-324}, others=[], index="hash")
@example(
    entries={"\0": "", "\0\0": b"", "a\0b": "\0", "a": b"\0"},
    others=["", "a\0", "\0\0\0"],
    index="hash",
)
@example(
    entries={"\ud800": "\udfff", "\udfff": "\ud800", "\ud800\udc00": "\U00010000"},
    others=["\U00010000"],
    index="tree",
)
def test_any_entries_come_back_in_another_process(name, reader, entries, others, index):
    round_trip(name, reader, entries, [key for key in others if key not in entries], index)


@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(entries=st.dictionaries(KEYS, VALUES, max_size=10), value=st.sampled_from([str, bytes]))
def test_mebibyte_value_among_others_comes_back(name, reader, entries, value):
    entries["big"] = "x" * MEBIBYTE if value is str else b"x" * MEBIBYTE
    round_trip(name, reader, entries)


def test_mebibyte_of_four_byte_characters_comes_back(name, reader):
    round_trip(name, reader, {"big": "\U0001f600" * MEBIBYTE})


def test_mebibyte_of_surrogates_comes_back(name, reader):
    # Three bytes each; Python itself needs long for them on their way to the other process.
    round_trip(name, reader, {"big": "\ud800" * (MEBIBYTE // 3 + 1)})


def test_mebibyte_key_comes_back(name, reader):
    key = "k" * MEBIBYTE
    round_trip(
        name, reader, {key: "value", key + "2": b"", key[:-1]: "shorter"}, [key[:-2], key + "1"]
    )


def test_every_code_point_comes_back_as_key_and_value(name, reader):
    characters = [chr(point) for point in range(0x110000)]
    chunks = ["".join(characters[at : at + 4096]) for at in range(0, len(characters), 4096)]
    entries = {chunk[0]: chunk for chunk in chunks}
    entries |= {chunk: chunk[::-1] for chunk in chunks}
    round_trip(name, reader, entries)


def test_every_single_character_is_a_key(name, reader):
    # All of the first planes' beginnings and every surrogate; the rest would only take time.
    points = [
        *range(0x3000),
        *range(0xD700, 0xE100),
        *range(0xFF00, 0x10100),
        *range(0x10FF00, 0x110000),
    ]
    round_trip(name, reader, {chr(point): str(point) for point in points})


def test_every_byte_comes_back_in_a_bytes_value(name, reader):
    round_trip(name, reader, {"all": bytes(range(256)), "reverse": bytes(range(256))[::-1]})


# Around each size where the record's head needs another byte for it.
EDGES = [
    0,
    1,
    58,
    59,
    60,
    61,
    122,
    123,
    124,
    125,
    254,
    255,
    256,
    257,
    65_534,
    65_535,
    65_536,
    65_537,
]


@pytest.mark.parametrize("kind", [str, bytes], ids=["str", "bytes"])
def test_values_of_every_size_code_come_back(name, reader, kind):
    sizes = {f"{size:08}": size for size in EDGES}
    round_trip(name, reader, {k: "v" * n if kind is str else b"v" * n for k, n in sizes.items()})


def test_keys_of_every_size_code_come_back(name, reader):
    round_trip(name, reader, {"k" * size: str(size) for size in EDGES})


def test_keys_that_are_prefixes_of_each_other_stay_apart(name, reader):
    round_trip(
        name, reader, {"x" * size: str(size) for size in range(0, 600, 2)}, ["x" * 7, "x" * 601]
    )


CHECK_MILLION = """
def check_million(name):
    with sharedmap.sharedmap(name) as m:
        assert len(m) == 1_000_000
        count = 0
        for number, key in enumerate(m):
            assert key == f"key {number:06}"
            count += 1
        assert count == 1_000_000
        for number in range(1_000_000):
            assert m[f"key {number:06}"] == f"value {number}"
        for start in range(0, 1_000_000, 10_000):
            numbers = range(start, start + 10_000)
            assert m.get_many(f"key {number:06}" for number in numbers) == [
                f"value {number}" for number in numbers
            ]
        assert "key 0000000" not in m and "key 1000000" not in m
    return True
"""


@pytest.mark.slow
def test_million_entries_come_back_in_another_process(name, reader):
    tree = sharedmap.rbtree()
    # A stride that has no factor in common with the number visits each once, far from in order.
    for step in range(1_000_000):
        number = step * 617_647 % 1_000_000
        tree[f"key {number:06}"] = f"value {number}"
    assert len(tree) == 1_000_000
    tree.share(name)
    del tree
    reader.run(CHECK_MILLION)
    assert reader.eval("check_million(name)", name=name)
