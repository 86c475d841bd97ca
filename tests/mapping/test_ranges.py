"""Slices, prefixes and neighbours: parts of a map that are maps themselves."""

import collections.abc
import copy
import gc
import pickle
import weakref

import pytest
from live import map_of, tree_of

import sharedmap

LETTERS = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}


each_kind = pytest.mark.parametrize("make", [tree_of, map_of], ids=["rbtree", "sharedmap"])


@pytest.fixture
def tree():
    return tree_of(LETTERS)


@pytest.fixture
def shared():
    return map_of(LETTERS)


# ---- slices ------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ("b", "d", "bc"),
        ("b", None, "bcde"),
        (None, "d", "abc"),
        (None, None, "abcde"),
        ("b", "b", ""),
        ("d", "b", ""),
        ("", "zz", "abcde"),
        ("aa", "cc", "bc"),
        ("b\0", "d\0", "cd"),
        ("f", None, ""),
        (None, "", ""),
        ("e", "f", "e"),
        ("\U0010ffff", None, ""),
    ],
)
def test_slice_has_the_keys_from_low_on_and_below_high(make, low, high, expected):
    part = make(LETTERS)[low:high]
    assert list(part) == list(expected)
    assert list(reversed(part)) == list(expected)[::-1]
    assert len(part) == len(expected)
    assert bool(part) is bool(expected)
    assert dict(part) == {key: LETTERS[key] for key in expected}


@each_kind
def test_slice_answers_only_for_keys_inside(make):
    part = make(LETTERS)["b":"d"]
    assert part["b"] == part.get("b") == 2
    for outside in ("a", "d", "bb", "", "z"):
        assert outside not in part
        assert part.get(outside) is None
        assert part.get(outside, "default") == "default"
        with pytest.raises(KeyError) as caught:
            part[outside]
        assert caught.value.args == (outside,)


@each_kind
def test_slice_of_a_slice_is_what_both_have(make):
    whole = make(LETTERS)
    assert list(whole["b":]["a":]) == ["b", "c", "d", "e"]
    assert list(whole["b":]["c":"e"][:"d"]) == ["c"]
    assert list(whole[:"d"]["c":]) == ["c"]
    assert list(whole["b":"d"]["d":]) == []
    assert list(whole["b":"d"][:"b"]) == []
    assert list(whole["d":"b"]["a":"e"]) == []
    assert list(whole["b":"d"][:]) == ["b", "c"]


@each_kind
@pytest.mark.parametrize("wrong", [1, b"a", 1.5, ("a",), object()], ids=lambda w: type(w).__name__)
def test_slice_with_a_bound_that_is_no_str_raises_type_error(make, wrong):
    whole = make(LETTERS)
    with pytest.raises(TypeError, match=f"must be str, not {type(wrong).__name__}"):
        whole[wrong:"b"]
    with pytest.raises(TypeError, match=f"must be str, not {type(wrong).__name__}"):
        whole["b":wrong]


def test_slice_of_a_tree_cannot_be_assigned(tree):
    with pytest.raises(TypeError):
        tree["a":"b"] = {}
    assert tree == LETTERS


@pytest.mark.parametrize(
    ("bounds", "left"),
    [
        (slice("b", "d"), "ade"),
        (slice("bb", "cc"), "abde"),
        (slice(None, "c"), "cde"),
        (slice("c", None), "ab"),
        (slice(None), ""),
        (slice("d", "b"), "abcde"),
        (slice("x", None), "abcde"),
    ],
    ids=str,
)
def test_del_of_a_slice_removes_the_keys_inside(tree, bounds, left):
    part = tree["b":"d"]
    del tree[bounds]
    assert "".join(tree) == left
    assert list(part) == [key for key in left if "b" <= key < "d"]


def test_del_of_a_slice_removes_what_was_put_just_before(tree):
    tree["bz"] = 1
    del tree["b":"c"]
    assert "".join(tree) == "acde"


def test_iterator_notices_that_a_slice_was_deleted(tree):
    keys = iter(tree)
    next(keys)
    del tree["b":"d"]
    with pytest.raises(RuntimeError, match="changed"):
        next(keys)


def test_del_of_a_slice_with_a_step_raises_value_error(tree):
    with pytest.raises(ValueError, match="step"):
        del tree["a":"d":2]
    assert tree == LETTERS


def test_slice_of_a_map_cannot_be_deleted(shared):
    with pytest.raises(TypeError):
        del shared["a":"b"]


@each_kind
def test_part_cannot_be_changed(make):
    part = make(LETTERS)["b":"d"]
    with pytest.raises(TypeError):
        part["b"] = 1
    with pytest.raises(TypeError):
        del part["b"]
    for method in ("set", "pop", "popitem", "setdefault", "update", "clear", "share", "close"):
        assert not hasattr(part, method)
    assert dict(part) == {"b": 2, "c": 3}


# ---- prefixes ----------------------------------------------------------------------------------


@each_kind
def test_prefix_has_the_keys_that_begin_with_it(make):
    users = {"user": 0, "user:": 1, "user:1": 2, "user:2:x": 3, "user;": 4, "uses": 5, "us": 6}
    part = make(users).prefix("user:")
    assert list(part) == ["user:", "user:1", "user:2:x"]
    assert part["user:1"] == 2
    assert "user" not in part
    assert "user;" not in part


@each_kind
def test_empty_prefix_has_all_keys(make):
    assert make(LETTERS).prefix("") == LETTERS


@each_kind
def test_prefix_that_no_key_has_is_empty(make):
    for prefix in ("z", "aa", "\0", "\U0010ffff", "ab" * 200):
        part = make(LETTERS).prefix(prefix)
        assert list(part) == []
        assert len(part) == 0


# Where the last character, or its last byte in UTF-8, has no successor of the same length.
EDGES = "\0\x01a\x7e\x7f\x80\xbf\xc0\xff\u07ff\u0800\ud7ff\ud800\udbff\udc00\udfff\ue000\uffff"
EDGES += "\U00010000\U0003ffff\U00040000\U000fffff\U0010fffe\U0010ffff"


@each_kind
def test_prefix_of_every_edge_of_utf8_has_just_the_keys_that_begin_with_it(make):
    keys = {first + second for first in EDGES for second in ["", *EDGES]}
    whole = make(dict.fromkeys(keys))
    for prefix in EDGES:
        expected = sorted(key for key in keys if key.startswith(prefix))
        assert list(whole.prefix(prefix)) == expected
        assert list(whole.prefix(prefix * 2)) == [prefix * 2]


@each_kind
def test_prefix_of_a_slice_is_what_both_have(make):
    whole = make(dict.fromkeys(["a1", "a2", "a3", "b1", "b2"]))
    assert list(whole["a2":"b2"].prefix("a")) == ["a2", "a3"]
    assert list(whole.prefix("a")["a2":]) == ["a2", "a3"]
    assert list(whole.prefix("a").prefix("b")) == []
    assert list(whole.prefix("a").prefix("a3")) == ["a3"]


@each_kind
@pytest.mark.parametrize("wrong", [1, b"a", None, ("a",)], ids=lambda w: type(w).__name__)
def test_prefix_that_is_no_str_raises_type_error(make, wrong):
    with pytest.raises(TypeError, match=f"must be str, not {type(wrong).__name__}"):
        make(LETTERS).prefix(wrong)


# ---- neighbours --------------------------------------------------------------------------------


@each_kind
def test_floor_is_the_nearest_key_at_or_below(make):
    whole = make(LETTERS)
    assert [whole.floor(key) for key in ("", "a", "a\0", "c", "cc", "z")] == [
        None,
        "a",
        "a",
        "c",
        "c",
        "e",
    ]


@each_kind
def test_ceiling_is_the_nearest_key_at_or_above(make):
    whole = make(LETTERS)
    assert [whole.ceiling(key) for key in ("", "a", "a\0", "c", "cc", "e\0")] == [
        "a",
        "a",
        "b",
        "c",
        "d",
        None,
    ]


@each_kind
def test_lower_is_the_nearest_key_below(make):
    whole = make(LETTERS)
    asked = ("", "a", "a\0", "c", "cc", "z")
    assert [whole.lower(key) for key in asked] == [None, None, "a", "b", "c", "e"]


@each_kind
def test_higher_is_the_nearest_key_above(make):
    whole = make(LETTERS)
    asked = ("", "a", "a\0", "c", "cc", "e")
    assert [whole.higher(key) for key in asked] == ["a", "b", "b", "d", "d", None]


@each_kind
def test_higher_is_what_comes_next_where_a_nul_follows(make):
    whole = make({"": 0, "\0": 1, "\0\0": 2})
    assert [whole.higher(key) for key in ("", "\0", "\0\0")] == ["\0", "\0\0", None]


@each_kind
def test_longest_prefix_is_the_longest_key_that_the_text_begins_with(make):
    whole = make(dict.fromkeys(["/", "/api", "/api/users", "/api/users/x", "/apj", "é", "éa"], 0))
    expected = {
        "/api/users/ann": "/api/users",
        "/api/users/x": "/api/users/x",
        "/api/orders": "/api",
        "/apple": "/",
        "": None,
        "api": None,
        "ê": None,
        "éb": "é",
        "éa\0": "éa",
    }
    assert {text: whole.longest_prefix(text) for text in expected} == expected


@each_kind
def test_empty_key_is_a_prefix_of_every_text(make):
    whole = make({"": 0, "ab": 1})
    assert [whole.longest_prefix(text) for text in ("", "a", "ab", "z")] == ["", "", "ab", ""]


@each_kind
def test_longest_prefix_in_a_part_is_inside_it(make):
    part = make(dict.fromkeys(["a", "ab", "abc", "abd"], 0))["ab":"abc"]
    assert [part.longest_prefix(text) for text in ("abcd", "ab", "a")] == ["ab", "ab", None]


@each_kind
def test_neighbours_in_a_part_are_inside_it(make):
    part = make(LETTERS)["b":"d"]
    assert [part.floor(key) for key in ("a", "b", "bb", "d", "z")] == [None, "b", "b", "c", "c"]
    assert [part.ceiling(key) for key in ("a", "b", "bb", "c\0", "z")] == [
        "b",
        "b",
        "c",
        None,
        None,
    ]
    assert [part.lower(key) for key in ("a", "b", "bb", "d", "z")] == [None, None, "b", "c", "c"]
    assert [part.higher(key) for key in ("", "b", "bb", "c")] == ["b", "c", "c", None]


@each_kind
def test_first_and_last_are_the_pairs_at_the_ends(make):
    whole = make(LETTERS)
    assert whole.first() == ("a", 1)
    assert whole.last() == ("e", 5)
    assert whole["b":"d"].first() == ("b", 2)
    assert whole["b":"d"].last() == ("c", 3)
    assert type(whole.first()) is tuple


@each_kind
def test_nothing_is_near_in_an_empty_map(make):
    for empty in (make({}), make(LETTERS)["x":], make({})[:]):
        assert empty.floor("a") is None
        assert empty.ceiling("a") is None
        assert empty.lower("a") is None
        assert empty.higher("a") is None
        assert empty.longest_prefix("a") is None
        with pytest.raises(KeyError, match="empty"):
            empty.first()
        with pytest.raises(KeyError, match="empty"):
            empty.last()


@each_kind
@pytest.mark.parametrize("method", ["floor", "ceiling", "lower", "higher", "longest_prefix"])
def test_neighbour_of_what_is_no_str_raises_type_error(make, method):
    for wrong in (1, None, b"a"):
        with pytest.raises(TypeError, match=f"must be str, not {type(wrong).__name__}"):
            getattr(make(LETTERS), method)(wrong)


# ---- parts as maps -----------------------------------------------------------------------------


@each_kind
def test_part_is_a_mapping_but_not_a_mutable_one(make):
    part = make(LETTERS)["b":"d"]
    assert isinstance(part, collections.abc.Mapping)
    assert isinstance(part, collections.abc.Reversible)
    assert not isinstance(part, collections.abc.MutableMapping)
    assert not isinstance(part, collections.abc.Sequence)


def test_tree_is_a_mutable_mapping_and_a_map_is_not(tree, shared):
    assert isinstance(tree, collections.abc.MutableMapping)
    assert isinstance(shared, collections.abc.Mapping)
    assert not isinstance(shared, collections.abc.MutableMapping)


@each_kind
def test_part_equals_every_mapping_with_the_same_entries(make):
    part = make(LETTERS)["b":"d"]
    same = {"c": 3, "b": 2}
    for other in (same, tree_of(same), map_of(same), tree_of(LETTERS)["b":"c\0"], map_of(same)[:]):
        assert part == other
        assert other == part
        assert (part != other) is False
    for other in ({"b": 2}, {"b": 2, "c": 4}, {"b": 2, "x": 3}, {"b": 2, "c": 3, "d": 4}, {}):
        assert part != other
        assert other != part


@each_kind
def test_part_is_neither_ordered_nor_hashable(make):
    part = make(LETTERS)["b":"d"]
    with pytest.raises(TypeError):
        part < part
    with pytest.raises(TypeError):
        hash(part)


@each_kind
def test_repr_of_a_part_is_short(make):
    whole = make({str(number): "x" * 1000 for number in range(1000)})
    assert "1000 entries" in repr(whole[:])
    assert len(repr(whole[:])) < 100
    assert repr(whole[:""]).endswith(", 0 entries>")
    assert repr(whole.prefix(max(whole))).endswith(", 1 entry>")


@each_kind
def test_part_can_be_what_another_tree_is_made_from(make):
    part = make(LETTERS)["b":"d"]
    assert sharedmap.rbtree(part) == {"b": 2, "c": 3}
    assert (sharedmap.rbtree(z=0) | part) == {"b": 2, "c": 3, "z": 0}
    assert (part | sharedmap.rbtree(z=0)) == {"b": 2, "c": 3, "z": 0}


@each_kind
def test_part_can_be_shared(make, name):
    sharedmap.share(make(LETTERS)["b":"d"], name)
    assert dict(sharedmap.sharedmap(name)) == {"b": 2, "c": 3}


@each_kind
def test_part_is_not_pickled(make):
    # A part stands for what it is a part of; dict(part) is the way to take it away.
    with pytest.raises(TypeError):
        pickle.dumps(make(LETTERS)["b":"d"])


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy])
def test_part_of_a_tree_is_not_copied(take):
    # It is live; what a copy of it would have to show is anybody's guess.
    with pytest.raises(TypeError):
        take(sharedmap.rbtree(LETTERS)["b":"d"])


@each_kind
def test_type_of_a_part_cannot_be_called(make):
    kind = type(make(LETTERS)["b":"d"])
    for make_instance in (kind, lambda: kind.__new__(kind), lambda: object.__new__(kind)):
        with pytest.raises(TypeError):
            make_instance()


@each_kind
def test_base_of_all_maps_makes_no_instances(make):
    base = type(make(LETTERS)).__base__

    class Subclass(base):
        def __new__(cls):
            return object.__new__(cls)

    for make_instance in (base, Subclass, lambda: object.__new__(base)):
        with pytest.raises(TypeError):
            make_instance()


# ---- parts of a tree are live ------------------------------------------------------------------


def test_part_of_a_tree_sees_what_comes_and_goes(tree):
    part, nothing_yet = tree["b":"d"], tree["x":"z"]
    tree["bb"] = 22
    tree["xx"] = 33
    del tree["c"]
    tree["b"] = "new"
    assert dict(part) == {"b": "new", "bb": 22}
    assert dict(nothing_yet) == {"xx": 33}
    tree.clear()
    assert len(part) == len(nothing_yet) == 0
    tree["b"] = "again"
    assert dict(part) == {"b": "again"}


def test_bounds_need_not_be_keys_and_may_be_deleted(tree):
    part = tree["b":"d"]
    del tree["b"], tree["d"]
    assert list(part) == ["c"]
    tree["b"] = tree["d"] = 0
    assert list(part) == ["b", "c"]


def test_part_that_can_hold_no_key_stays_empty(tree):
    part = tree["d":"b"]
    tree.update({"c": 1, "d": 1, "b": 1, "e": 1})
    assert len(part) == 0
    assert part.floor("z") is None


def test_part_keeps_its_tree_alive():
    part = tree_of(LETTERS)["b":"d"]["c":]
    gc.collect()
    assert dict(part) == {"c": 3}


def test_part_lets_its_tree_go():
    class Tree(sharedmap.rbtree):
        pass

    tree = Tree(LETTERS)
    tree.part = tree["b":]["c":]
    gone = weakref.ref(tree)
    del tree
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("direction", [iter, reversed])
def test_change_outside_a_part_ends_its_iteration_too(tree, direction):
    # The tree knows that it has changed, not where.
    keys = direction(tree["b":"d"])
    next(keys)
    tree["z"] = 0
    with pytest.raises(RuntimeError, match="changed"):
        next(keys)


@pytest.mark.parametrize("direction", [iter, reversed])
@pytest.mark.parametrize("bound", ["a", "b", "d"])
def test_bound_may_be_overwritten_while_a_part_is_iterated(tree, direction, bound):
    # With values of growing size, so that the entry must move to another place in memory.
    seen = []
    for key in direction(tree["b":"d"]):
        tree[bound] = "x" * 10_000 * (len(seen) + 1)
        seen.append(key)
    assert sorted(seen) == ["b", "c"]


# ---- parts of a snapshot stay --------------------------------------------------------------------


def test_part_of_a_map_outlives_its_close(shared):
    part = shared["b":"d"]
    shared.close()
    assert dict(part) == {"b": 2, "c": 3}
    assert list(part["c":]) == ["c"]
    assert list(part.prefix("b")) == ["b"]
    assert part.peekitem() == ("c", 3)


def test_part_of_a_map_keeps_the_content_that_is_replaced(name):
    sharedmap.share(LETTERS, name)
    part = sharedmap.sharedmap(name)["b":"d"]
    sharedmap.share({"b": "new"}, name, force=True)
    gc.collect()
    assert dict(part) == {"b": 2, "c": 3}


def test_part_of_a_closed_map_cannot_be_made(shared):
    shared.close()
    for make_part in (lambda: shared["a":], lambda: shared[:], lambda: shared.prefix("a")):
        with pytest.raises(ValueError, match="closed"):
            make_part()


# ---- places ------------------------------------------------------------------------------------


def test_peekitem_counts_from_both_ends(shared):
    assert [shared.peekitem(at)[0] for at in range(-5, 5)] == list("abcdeabcde")
    assert shared.peekitem() == ("e", 5)
    assert shared.peekitem(index=1) == ("b", 2)


@pytest.mark.parametrize("index", [5, -6, 2**62, -(2**62)])
def test_peekitem_out_of_range_raises_index_error(shared, index):
    with pytest.raises(IndexError):
        shared.peekitem(index)


def test_peekitem_of_an_empty_map_raises_index_error():
    with pytest.raises(IndexError):
        map_of({}).peekitem()
    with pytest.raises(IndexError):
        map_of(LETTERS)["x":].peekitem(0)


@pytest.mark.parametrize("wrong", ["a", 1.0, None])
def test_peekitem_of_what_is_no_index_raises_type_error(shared, wrong):
    with pytest.raises(TypeError):
        shared.peekitem(wrong)


def test_index_is_the_place_of_a_key(shared):
    assert [shared.index(key) for key in "abcde"] == [0, 1, 2, 3, 4]


def test_index_of_an_absent_key_raises_value_error_that_names_it(shared):
    for key in ("", "bb", "z"):
        with pytest.raises(ValueError, match="is not in") as caught:
            shared.index(key)
        assert repr(key) in str(caught.value)
        assert type(caught.value) is ValueError


def test_bisect_counts_the_keys_below(shared):
    keys = ("", "a", "aa", "c", "z")
    assert [shared.bisect_left(key) for key in keys] == [0, 0, 1, 2, 5]
    assert [shared.bisect_right(key) for key in keys] == [0, 1, 1, 3, 5]


def test_places_in_a_part_count_from_its_beginning(shared):
    part = shared["b":"e"]["c":]
    assert [part.peekitem(at)[0] for at in (0, 1, -1)] == ["c", "d", "d"]
    assert [part.index(key) for key in "cd"] == [0, 1]
    assert [part.bisect_left(key) for key in "abcdez"] == [0, 0, 0, 1, 2, 2]
    assert [part.bisect_right(key) for key in "abcdez"] == [0, 0, 1, 2, 2, 2]
    for outside in ("b", "e"):
        with pytest.raises(ValueError, match="is not in"):
            part.index(outside)
        with pytest.raises(KeyError):
            part.view(outside)


@pytest.mark.parametrize("method", ["index", "bisect_left", "bisect_right", "view"])
@pytest.mark.parametrize("wrong", [1, None, b"a"], ids=lambda w: type(w).__name__)
def test_place_of_what_is_no_str_raises_type_error(shared, method, wrong):
    for mapping in (shared, shared["a":]):
        with pytest.raises(TypeError, match=f"must be str, not {type(wrong).__name__}"):
            getattr(mapping, method)(wrong)


def test_tree_and_its_parts_do_not_know_places(tree):
    # A tree would have to count; who needs places publishes.
    for method in ("peekitem", "index", "bisect_left", "bisect_right", "view"):
        assert not hasattr(tree, method)
        assert not hasattr(tree[:], method)
