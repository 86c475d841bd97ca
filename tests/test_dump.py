"""dump(): the bytes that would lie in shared memory, read here without the extension."""

import random

import pytest
from helpers import (
    HERE,
    entry_count,
    generation,
    header_field,
    segment_path,
    superseded,
    total_size,
    unique_id,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from independent_reader import label, read

import sharedmap

ID = slice(136, 152)
MIXED = {
    "": "",
    "a": "1",
    "b": b"2",
    "\0": b"",
    "红": "32是",
    "\ud800": b"\xff",
    "long": "x" * 1000,
}


def tree_of(entries):
    tree = sharedmap.rbtree()
    for key, value in entries.items():
        tree[key] = value
    return tree


def without_id(data):
    return data[: ID.start] + data[ID.stop :]


@pytest.fixture
def tree():
    return tree_of(MIXED)


def test_dump_begins_with_the_magic(tree):
    assert tree.dump()[:8] == b"\x89SMAP\r\n\x1a"


def test_dump_is_of_version_1(tree):
    assert header_field(tree.dump(), 8, "I") == 1


def test_dump_has_the_size_that_its_header_says(tree):
    data = tree.dump()
    assert total_size(data) == len(data)


def test_dump_is_a_multiple_of_64_bytes(tree):
    assert len(tree.dump()) % 64 == 0


def test_dump_counts_the_entries(tree):
    assert entry_count(tree.dump()) == len(MIXED)


def test_dump_was_never_published(tree):
    data = tree.dump()
    assert generation(data) == 0
    assert superseded(data) == 0


def test_dump_twice_differs_in_the_id_only(tree):
    first, second = tree.dump(), tree.dump()
    assert without_id(first) == without_id(second)
    assert unique_id(first) != unique_id(second)


def test_dump_does_not_grow(tree):
    size = len(tree.dump())
    assert {len(tree.dump()) for _ in range(100)} == {size}


def test_dump_leaves_the_tree_as_it_is(tree):
    tree.dump()
    assert {key: tree[key] for key in tree} == MIXED


def test_dump_does_not_depend_on_the_order_of_insertion():
    entries = [(str(number), str(number)) for number in range(500)]
    shuffled = random.Random(3).sample(entries, len(entries))
    assert without_id(tree_of(dict(entries)).dump()) == without_id(tree_of(dict(shuffled)).dump())


def test_dump_does_not_depend_on_what_was_overwritten_or_deleted(tree):
    untouched = tree.dump()
    tree["gone"] = "x" * 10_000
    tree["a"] = "y" * 10_000
    del tree["gone"]
    tree["a"] = MIXED["a"]
    assert without_id(tree.dump()) == without_id(untouched)


def test_dump_after_a_set_has_the_new_value(tree):
    tree.dump()
    tree["a"] = "2"
    assert dict(read(tree.dump()))["a"] == "2"


def test_dump_is_what_share_publishes(tree, name):
    tree.share(name)
    with open(segment_path(name), "rb") as file:
        published = file.read()
    assert published[512:] == tree.dump()[512:]
    assert read(published) == sorted(MIXED.items())


def test_dump_opens_as_a_file(tree, name, plant_bytes, other):
    plant_bytes(name, tree.dump())
    other.run("m = sharedmap.sharedmap(name)", name=name)
    assert other.eval("{key: m[key] for key in m}") == MIXED
    other.run("m.close()")


def test_dump_without_a_name_has_no_label(tree):
    assert label(tree.dump()) == ""


@pytest.mark.parametrize("text", ["", "a", "红", "a/b", "\ud800", "a\0b", "x" * 256], ids=ascii)
def test_dump_with_a_name_is_labelled(tree, text):
    assert label(tree.dump(text)) == text


def test_dump_with_a_name_differs_in_the_header_only(tree):
    assert tree.dump("label")[512:] == tree.dump()[512:]


@pytest.mark.parametrize("text", ["x" * 257, "红" * 86], ids=len)
def test_dump_with_a_label_too_long_raises_value_error(tree, text):
    with pytest.raises(ValueError, match="long"):
        tree.dump(text)


def test_share_labels_the_snapshot_with_the_name(tree, name):
    tree.share(name)
    with open(segment_path(name), "rb") as file:
        assert label(file.read()) == name


def test_independent_reader_reads_what_was_set(tree):
    assert read(tree.dump()) == sorted(MIXED.items())


def golden():
    return (HERE / "golden" / "v1-small.snapshot").read_bytes()


def test_independent_reader_reads_the_golden_file():
    """So that reader, writer and docs/FORMAT.md, which prints these bytes, stay together."""
    assert label(golden()) == "example"
    assert unique_id(golden()) == bytes(range(0xA0, 0xB0))
    assert read(golden()) == [
        ("", "the empty key"),
        ("aaa", "323"),
        ("bytes", b"\x00\xff\x80"),
        ("encoded", b"[1, 2]"),
        ("float", 1.5),
        ("int", 256),
        ("none", None),
        ("红", True),
    ]


def test_golden_file_opens_as_a_map(name, plant_bytes):
    plant_bytes(name, golden())
    with sharedmap.sharedmap(name) as shared:
        assert list(shared) == ["", "aaa", "bytes", "encoded", "float", "int", "none", "红"]
        assert (shared[""], shared["aaa"], shared["bytes"]) == (
            "the empty key",
            "323",
            b"\x00\xff\x80",
        )


# Around each size where the record's head needs another byte for it.
EDGES = [0, 1, 59, 60, 61, 123, 124, 125, 255, 256, 257, 65_535, 65_536]


@pytest.mark.parametrize("key_size", EDGES)
@pytest.mark.parametrize("value_size", EDGES)
def test_independent_reader_reads_every_size_code(key_size, value_size, name):
    entries = {"k" * key_size: b"v" * value_size, "l" * key_size + "s": "v" * value_size}
    tree = tree_of(entries)
    assert read(tree.dump()) == sorted(entries.items())
    tree.share(name)
    with sharedmap.sharedmap(name) as shared:
        assert {key: shared[key] for key in shared} == entries


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(
        st.text(st.characters(codec=None), max_size=200),
        st.one_of(st.text(st.characters(codec=None), max_size=300), st.binary(max_size=300)),
        max_size=30,
    )
)
def test_independent_reader_reads_any_entries(entries):
    assert read(tree_of(entries).dump()) == sorted(entries.items())


def test_bytes_values_lie_at_multiples_of_8():
    """So that a view of numbers in a value is possible without a copy."""
    values = {f"key{'y' * size}": bytes([size + 1]) * 40 for size in range(16)}
    data = tree_of(values).dump()
    assert [data.index(value) % 8 for value in values.values()] == [0] * len(values)
