"""The bytes of versions, read here without the extension, by docs/FORMAT.md alone."""

import random

import pytest
from helpers import segment_path
from independent_reader import changes, read
from strategies import exact_items
from versions import SHAPES, History, deltas_of, key_of, make

import sharedmap

each_shape = pytest.mark.parametrize("shape", SHAPES)
each_index = pytest.mark.parametrize("index", ["hash", "tree"])


def bytes_of(name):
    with open(segment_path(name), "rb") as file:
        return file.read()


@each_index
@each_shape
def test_independent_reader_reads_a_version(name, shape, index):
    history = make(shape, name, index=index)
    assert exact_items(read(bytes_of(name))) == exact_items(sorted(history.dict.items()))


def test_independent_reader_reads_each_version_of_a_random_history(name):
    history = History(name)
    order = random.Random(5)
    shapes = set()
    for _ in range(25):
        keys = [key_of(order.randrange(5200)) for _ in range(order.randrange(1, 20))]
        history.update(
            {key: order.random() for key in keys[::2]}, remove=set(keys[1::2]) - set(keys[::2])
        )
        shapes.add(len(deltas_of(name)))
        assert exact_items(read(bytes_of(name))) == exact_items(sorted(history.dict.items()))
    assert shapes == {1, 2}


def test_records_of_a_delta_are_what_its_publisher_changed(name):
    history = History(name)
    history.update({"added": 1, key_of(1): "replaced"}, remove=[key_of(2)])
    # What is undone is a change, too, though the version does not need it any more.
    history.update({key_of(2): None}, remove=["added", "absent"])
    history.update({}, remove=[key_of(2)])
    assert changes(bytes_of(name)) == [
        ({"added": 1, key_of(1): "replaced"}, {key_of(2)}),
        ({key_of(2): None}, {"added"}),
        ({}, {key_of(2)}),
    ]


def test_same_updates_give_the_same_bytes_but_for_time_and_id(names):
    """So nothing in a delta depends on where it is in memory."""
    found = []
    for name in (names(), names()):
        make("many", name)
        data = bytearray(bytes_of(name))
        for delta in deltas_of(name):
            # unique_id, header_checksum and published_at
            data[delta.begin + 72 : delta.begin + 104] = bytes(32)
        found.append(data)
    newest = deltas_of(name)[0]
    assert found[0][newest.begin :] == found[1][newest.begin :]


def test_compacted_file_is_the_bytes_of_a_map_that_was_shared(name):
    history = make("many", name)
    number = 0
    while deltas_of(name):
        history.update({key_of(number * 3): f"{number}"})
        number += 1
        assert number < 2000
    data = bytes_of(name)
    assert exact_items(read(data)) == exact_items(sorted(history.dict.items()))
    assert data[512:] == sharedmap.rbtree(history.dict).dump()[512:]


def flip(name, offset):
    with open(segment_path(name), "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0] ^ 1
        file.seek(offset)
        file.write(bytes([byte]))


@each_shape
def test_deltas_are_verified_without_the_base(name, shape):
    """What a publisher does that has verified the base before."""
    history = make(shape, name)
    with history.open() as opened:
        opened._verify_deltas()
        flip(name, 512 + 64)
        opened._verify_deltas()
        with pytest.raises(sharedmap.SnapshotError):
            opened.verify()
        flip(name, 512 + 64)
        for delta in deltas_of(name):
            flip(name, delta.begin + 130)
            with pytest.raises(sharedmap.SnapshotError):
                opened._verify_deltas()
            flip(name, delta.begin + 130)
        opened.verify()
    with pytest.raises(ValueError, match="closed"):
        opened._verify_deltas()
