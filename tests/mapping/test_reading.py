"""What a tree, a published map and a range of either have in common: they are read like a dict."""

import itertools

import pytest
from live import map_of, tree_of

ENTRIES = {"a": "1", "b": "2", "c": b"3", "红": "32是"}
AROUND = {"": "before", **ENTRIES, "\U0010ffff": "behind"}

MAKERS = {
    "rbtree": lambda: tree_of(ENTRIES),
    "sharedmap": lambda: map_of(ENTRIES),
    "range of an rbtree": lambda: tree_of(AROUND)["a":"\U0010ffff"],
    "range of a sharedmap": lambda: map_of(AROUND)["a":"\U0010ffff"],
}


@pytest.fixture(params=MAKERS.values(), ids=MAKERS.keys())
def mapping(request):
    return request.param()


class Text(str):
    """A str with opinions of its own, which must not matter."""

    def __hash__(self):
        raise AssertionError("a key counts by its characters")

    def __eq__(self, other):
        raise AssertionError("a key counts by its characters")

    def __str__(self):
        raise AssertionError("a key counts by its characters")


def test_item_is_got(mapping):
    assert mapping["a"] == "1"
    assert mapping["红"] == "32是"


def test_str_value_comes_back_as_str(mapping):
    assert type(mapping["a"]) is str


def test_bytes_value_comes_back_as_bytes(mapping):
    assert type(mapping["c"]) is bytes
    assert mapping["c"] == b"3"


def test_missing_item_raises_key_error_with_the_key(mapping):
    with pytest.raises(KeyError) as caught:
        mapping["红\udc80"]
    assert caught.value.args == ("红\udc80",)


def test_get_of_an_absent_key_returns_none(mapping):
    assert mapping.get("z") is None


def test_get_returns_the_default_for_an_absent_key(mapping):
    default = object()
    assert mapping.get("z", default) is default
    assert mapping.get("z", default=default) is default


def test_get_prefers_the_value_to_the_default(mapping):
    assert mapping.get("a", "default") == "1"


@pytest.mark.parametrize("absent", ["", "\0", "`", "aa", "bb", "a\0", "z", "\U0010ffff"])
def test_absent_key_is_absent_wherever_it_would_sort(mapping, absent):
    assert absent not in mapping
    assert mapping.get(absent) is None


def test_in_finds_a_key(mapping):
    assert "a" in mapping


def test_str_subclass_as_key_counts_by_its_characters(mapping):
    assert Text("a") in mapping
    assert Text("aa") not in mapping
    assert mapping[Text("a")] == mapping.get(Text("a")) == "1"


def test_length_counts_the_entries(mapping):
    assert len(mapping) == 4


def test_iteration_yields_the_sorted_keys(mapping):
    assert list(mapping) == ["a", "b", "c", "红"]


def test_dict_has_the_same_entries(mapping):
    assert dict(mapping) == {key: mapping[key] for key in mapping} == ENTRIES


def test_iterator_is_its_own_iterator(mapping):
    keys = iter(mapping)
    assert iter(keys) is keys


def test_iterators_do_not_disturb_each_other(mapping):
    first, second = iter(mapping), iter(mapping)
    assert [next(first), next(first), next(second), next(first), next(second)] == list("abacb")
    assert len(list(itertools.product(mapping, mapping))) == 16


def test_exhausted_iterator_stays_exhausted(mapping):
    keys = iter(mapping)
    assert len(list(keys)) == 4
    assert list(keys) == []
