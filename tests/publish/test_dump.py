"""dump(): the bytes that would lie in shared memory, read here without the extension."""

import random
import re
import struct

import pytest
from helpers import (
    TESTS,
    TOP,
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
from independent_reader import changes, label, read

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
    "int": -(2**100),
    "float": -0.0,
    "bool": True,
    "none": None,
}
INDICES = ["hash", "tree"]
each_index = pytest.mark.parametrize("index", INDICES)


def tree_of(entries):
    tree = sharedmap.rbtree()
    for key, value in entries.items():
        tree[key] = value
    return tree


def exact(items):
    """With types, which tell True from 1, and texts of numbers, which tell -0.0 from 0.0."""
    return [(key, type(value), repr(value)) for key, value in items]


def in_order(entries):
    return sorted(entries.items(), key=lambda item: item[0])


def without_id(data):
    return data[: ID.start] + data[ID.stop :]


@pytest.fixture
def tree():
    return tree_of(MIXED)


def test_dump_begins_with_the_magic(tree):
    assert tree.dump()[:8] == b"\x89SMAP\r\n\x1a"


def test_dump_is_of_version_1(tree):
    assert header_field(tree.dump(), 8, "I") == 1


@each_index
def test_dump_has_the_size_that_its_header_says(tree, index):
    data = tree.dump(index=index)
    assert total_size(data) == len(data)


@each_index
def test_dump_is_a_multiple_of_64_bytes(tree, index):
    assert len(tree.dump(index=index)) % 64 == 0


def test_dump_counts_the_entries(tree):
    assert entry_count(tree.dump()) == len(MIXED)


def test_dump_was_never_published(tree):
    data = tree.dump()
    assert generation(data) == 0
    assert superseded(data) == 0


@each_index
def test_dump_twice_differs_in_the_id_only(tree, index):
    first, second = tree.dump(index=index), tree.dump(index=index)
    assert without_id(first) == without_id(second)
    assert unique_id(first) != unique_id(second)


def test_dump_has_the_same_size_each_time(tree):
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


@each_index
def test_dump_is_what_share_publishes_and_save_writes(tree, name, tmp_path, index):
    tree.share(name, index=index)
    tree.save(tmp_path / "map", index=index)
    dumped = tree.dump(index=index)
    for path in (segment_path(name), tmp_path / "map"):
        with open(path, "rb") as file:
            published = file.read()
        assert published[512:] == dumped[512:]
        assert exact(read(published)) == exact(in_order(MIXED))


def test_dump_opens_as_a_buffer(tree):
    shared = sharedmap.sharedmap.frombuffer(tree.dump())
    assert exact(shared.items()) == exact(in_order(MIXED))
    assert (shared.name, shared.generation, shared.verify()) == (None, 0, None)


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


@each_index
def test_independent_reader_reads_what_was_set(tree, index):
    assert exact(read(tree.dump(index=index))) == exact(in_order(MIXED))


@each_index
@pytest.mark.parametrize("count", [2_000, 40_000])
def test_independent_reader_reads_a_large_map(count, index):
    form = ["user:{:05}", "/srv/data/{:05}/file", "https://example.org/\x00{:05}"]
    entries = {form[number % 3].format(number): number for number in range(count)}
    data = tree_of(entries).dump(index=index)
    assert read(data) == in_order(entries)
    shared = sharedmap.sharedmap.frombuffer(data)
    assert all(shared.index(key) == at for at, key in enumerate(sorted(entries)))
    shared.verify()


@each_index
def test_independent_reader_reads_what_an_update_published(name, index):
    sharedmap.share(MIXED, name, index=index)
    entries = {key: value for key, value in MIXED.items() if key not in ("a", "红")}
    entries |= {"long": 2**64, "new": b"x" * 100, "\U0010ffff": "last"}
    changes = {key: entries[key] for key in ("long", "new", "\U0010ffff")}
    sharedmap.update(name, changes, remove=["a", "红", "nobody"])
    with open(segment_path(name), "rb") as file:
        data = file.read()
    assert exact(read(data)) == exact(in_order(entries))
    assert data[512:] == tree_of(entries).dump(index=index)[512:]
    assert (label(data), generation(data)) == (name, 2)


GOLDEN = ["v1-hash.snapshot", "v1-tree.snapshot"]
each_golden = pytest.mark.parametrize("file", GOLDEN)


def golden(file):
    return (TESTS / "golden" / file).read_bytes()


@each_golden
def test_independent_reader_reads_the_golden_file(file):
    """So that reader, writer and docs/FORMAT.md, which prints these bytes, stay together."""
    assert label(golden(file)) == "example"
    assert unique_id(golden(file)) == bytes(range(0xA0, 0xB0))
    assert exact(read(golden(file))) == exact(
        [
            ("", "the empty key"),
            ("aaa", "323"),
            ("bytes", b"\x00\xff\x80"),
            ("encoded", b"[1, 2]"),
            ("float", 1.5),
            ("int", 256),
            ("none", None),
            ("红", True),
        ]
    )


@each_golden
def test_golden_file_opens_as_a_map(name, plant_bytes, file):
    plant_bytes(name, golden(file))
    entries = {
        "": "the empty key",
        "aaa": "323",
        "bytes": b"\x00\xff\x80",
        "encoded": [1, 2],
        "float": 1.5,
        "int": 256,
        "none": None,
        "红": True,
    }
    with sharedmap.sharedmap(name, decode=lambda data: [1, 2]) as shared:
        assert exact(shared.items()) == exact(entries.items())
        assert exact((key, shared[key]) for key in entries) == exact(entries.items())
        assert shared.get_many([*entries, "x"]) == [*entries.values(), None]
        shared.verify()


@each_golden
def test_golden_file_is_what_is_written_today(file):
    encoded = type("Encoded", (), {})()
    tree = sharedmap.rbtree(dict(read(golden(file))), encode=lambda value: b"[1, 2]")
    tree["encoded"] = encoded
    index = "hash" if file == "v1-hash.snapshot" else "tree"
    assert without_id(tree.dump("example", index=index)) == without_id(golden(file))


CONTAINERS = {
    "\U0001f600dict": {"port": 8080, "hosts": ["a", "b"], "rate": 1.5, "top": None},
    "\U0001f600empty dict": {},
    "\U0001f600empty list": [],
    "\U0001f600list": [True, b"\xff\x00", 2**64, [-1]],
    "\U0001f600tuple": (1, ()),
}


def test_golden_file_with_containers_is_read_and_written(name, plant_bytes):
    data = golden("v1-containers.snapshot")
    assert exact(read(data)) == exact(CONTAINERS.items())
    assert without_id(sharedmap.rbtree(CONTAINERS).dump("example")) == without_id(data)
    plant_bytes(name, data)
    with sharedmap.sharedmap(name) as shared:
        shared.verify()
        assert exact(shared.items()) == exact(CONTAINERS.items())


# ---- a base with deltas ---------------------------------------------------------------------

DELTAS = "v1-deltas.snapshot"
# Where its room begins.
ROOM = 0x600


def entries_of_deltas():
    entries = {f"{number:02}": number for number in range(64) if number != 20}
    entries |= {"-": "added", "05": "five", "05x": None, "30": b"\x00\xff\x80", "64": 64}
    return in_order(entries | {"10": True})


def test_independent_reader_reads_the_golden_file_with_deltas():
    data = golden(DELTAS)
    assert label(data) == "example"
    assert exact(read(data)) == exact(entries_of_deltas())
    old = {"-": "added", "05": "five", "05x": None, "30": b"\x00\xff\x80", "64": 64}
    assert changes(data) == [(old, {"10", "20"}), ({"10": True}, set())]


def test_golden_file_with_deltas_opens_as_a_map(name, plant_bytes):
    plant_bytes(name, golden(DELTAS))
    with sharedmap.sharedmap(name) as shared:
        shared.verify()
        expected = entries_of_deltas()
        assert exact(shared.items()) == exact(expected)
        assert exact((key, shared[key]) for key, _ in expected) == exact(expected)
        assert exact(map(shared.peekitem, range(len(shared)))) == exact(expected)
        assert [shared.index(key) for key, _ in expected] == list(range(66))
        assert "20" not in shared
        assert (shared.generation, shared.id, shared.published_at) == (3, "a2" * 16, 3.0)
        assert shared.nbytes == len(golden(DELTAS))


def test_each_head_of_the_golden_file_leads_to_its_version():
    data = bytearray(golden(DELTAS))
    lengths = {}
    for head in range(0, 32, 2):
        struct.pack_into("<I", data, 192, head)
        try:
            with sharedmap.sharedmap.frombuffer(bytes(data)) as opened:
                opened.verify()
                lengths[head] = len(opened)
                assert exact(opened.items()) == exact(read(bytes(data)))
        except sharedmap.SnapshotError:
            pass
    assert lengths == {0: 64, 2: 65, 14: 66}


@pytest.mark.parametrize("mask", [1, 0x80, 0xFF])
def test_golden_file_with_a_damaged_byte_in_its_deltas_is_refused(mask):
    """By the extension and by the independent reader, whichever byte it is."""
    data = golden(DELTAS)
    for at in range(ROOM, len(data)):
        damaged = data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
        with pytest.raises(sharedmap.SnapshotError):
            sharedmap.sharedmap.frombuffer(damaged).verify()
        with pytest.raises((AssertionError, IndexError, KeyError, struct.error)):
            read(damaged)


def test_format_prints_the_golden_file_with_deltas():
    """So that docs/FORMAT.md, which is changed by hand, shows the bytes of today."""
    text = (TOP / "docs" / "FORMAT.md").read_text()
    data = golden(DELTAS)
    chapter = text[text.index("## 11 ") : text.index("## 12 ")]
    lines = re.findall(r"^    ([0-9a-f]{8})((?:  (?:[0-9a-f]{2} ?){8}){2}) ", chapter, re.MULTILINE)
    assert len(lines) > 40
    for place, line in lines:
        at = int(place, 16)
        assert bytes.fromhex(line) == data[at : at + 16], place


# Around each size where the record's head needs another byte for it.
EDGES = [0, 1, 59, 60, 61, 123, 124, 125, 255, 256, 257, 65_535, 65_536]


@pytest.mark.parametrize("key_size", EDGES)
def test_independent_reader_reads_every_size_code(key_size, name):
    for value_size in EDGES:
        entries = {"k" * key_size: b"v" * value_size, "l" * key_size + "s": "v" * value_size}
        tree = tree_of(entries)
        assert read(tree.dump()) == sorted(entries.items())
        tree.share(name, force=True)
        with sharedmap.sharedmap(name) as shared:
            assert {key: shared[key] for key in shared} == entries
            assert shared.get_many(entries) == list(entries.values())


@pytest.mark.parametrize("bits", [0, 1, 7, 8, 15, 16, 31, 32, 63, 64, 65, 127, 128, 479, 480, 2047])
def test_independent_reader_reads_every_size_of_int(bits):
    numbers = [sign * (2**bits + less) for sign in (1, -1) for less in (-1, 0, 1)]
    entries = {str(place): number for place, number in enumerate(numbers)}
    assert exact(read(tree_of(entries).dump())) == exact(entries.items())


TEXT = st.text(st.characters(codec=None), max_size=300)
# Numbers that are none are not even equal to themselves: below.
FLOATS = st.floats(allow_nan=False)
VALUES = st.one_of(TEXT, st.binary(max_size=300), st.integers(), FLOATS, st.booleans(), st.none())


@settings(deadline=None, max_examples=200)
@given(entries=st.dictionaries(TEXT, VALUES, max_size=30), index=st.sampled_from(INDICES))
def test_independent_reader_reads_any_entries(entries, index):
    data = tree_of(entries).dump(index=index)
    assert exact(read(data)) == exact(in_order(entries))


@pytest.mark.parametrize("bits", [0x7FF8 << 48, 0xFFF8 << 48, 0x7FF8_0000_0000_0123], ids=hex)
def test_bits_of_a_nan_are_kept(bits):
    data = struct.pack("<Q", bits)
    snapshot = tree_of({"nan": struct.unpack("<d", data)[0]}).dump(index="tree")
    ((key, value),) = read(snapshot)
    assert (key, struct.pack("<d", value)) == ("nan", data)
    assert struct.pack("<d", sharedmap.sharedmap.frombuffer(snapshot)["nan"]) == data


def test_encoded_values_are_kept_as_they_were_encoded():
    tree = sharedmap.rbtree({"a": [1, 2], "b": b"native"}, encode=bytes)
    data = tree.dump()
    assert read(data) == [("a", b"\x01\x02"), ("b", b"native")]
    shared = sharedmap.sharedmap.frombuffer(data, decode=list)
    assert dict(shared) == {"a": [1, 2], "b": b"native"}


def test_bytes_values_lie_at_multiples_of_8():
    """So that a view of numbers in a value is possible without a copy."""
    values = {f"key{'y' * size}": bytes([size + 1]) * 40 for size in range(16)}
    data = tree_of(values).dump()
    assert [data.index(value) % 8 for value in values.values()] == [0] * len(values)
