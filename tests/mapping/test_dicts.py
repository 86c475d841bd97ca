"""Dicts that are made of maps: to_dict() and |."""

import collections
import types

import pytest

import sharedmap
from sharedmap import rbtree


def map_of(data):
    return sharedmap.sharedmap.frombuffer(rbtree(data).dump())


@pytest.fixture
def shared():
    return map_of({"b": 2, "a": 1})


@pytest.mark.parametrize("make", [rbtree, map_of, lambda data: rbtree(data)[:]])
def test_to_dict_is_a_dict_in_key_order(make):
    result = make({"b": 2, "a": None, "é": b"3"}).to_dict()
    assert type(result) is dict
    assert list(result.items()) == [("a", None), ("b", 2), ("é", b"3")]


def test_to_dict_of_a_range_has_its_part(shared):
    assert shared["b":].to_dict() == {"b": 2}


def test_to_dict_is_of_one_version_while_the_map_changes(name):
    """A decoder publishes between two entries."""
    calls = []

    def decode(value):
        calls.append(value)
        sharedmap.share({"a": 0, "b": 0}, name, force=True, encode=bytes)
        return value.decode()

    sharedmap.share({"a": 1, "b": 1}, name, encode=lambda value: b"old")
    with sharedmap.sharedmap(name, follow=True, decode=decode) as m:
        sharedmap.update(name, {"a": object(), "b": object()}, encode=lambda value: b"old")
        assert m.to_dict() == {"a": "old", "b": "old"}
    assert len(calls) == 2


def test_map_or_mapping_is_a_dict_where_the_right_one_wins(shared):
    other = {"b": 3, "z": 4}
    for mapping in (other, types.MappingProxyType(other), map_of(other)):
        result = shared | mapping
        assert type(result) is dict
        assert result == {"a": 1, "b": 3, "z": 4}


def test_mapping_or_map_is_a_dict_where_the_right_one_wins(shared):
    for other in ({"b": 3, "z": 4}, collections.OrderedDict(b=3, z=4)):
        result = other | shared
        assert type(result) is dict
        assert result == {"a": 1, "b": 2, "z": 4}


def test_ranges_can_be_merged(shared):
    assert shared["b":] | {"c": 3} == {"b": 2, "c": 3}
    assert rbtree(a=1, b=2)["b":] | shared[:"b"] == {"a": 1, "b": 2}


def test_tree_makes_a_tree_of_a_map_on_either_side(shared):
    assert type(shared | rbtree(c=3)) is type(rbtree(c=3) | shared) is rbtree
    assert shared | rbtree(a=3) == {"a": 3, "b": 2}


def test_map_cannot_be_merged_in_place(shared):
    before = shared
    with pytest.raises(TypeError, match="not supported by a read-only sharedmap"):
        shared |= {"c": 3}
    assert shared is before
