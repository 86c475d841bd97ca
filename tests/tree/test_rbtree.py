"""The tree as a mapping: what dict does, in the order of the keys."""

import gc
import random

import pytest

import sharedmap


@pytest.fixture
def tree():
    tree = sharedmap.rbtree()
    for key, value in (("b", "2"), ("a", "1"), ("c", b"3")):
        tree[key] = value
    return tree


class Text(str):
    """A str with opinions of its own, which must not matter."""

    def __hash__(self):
        raise AssertionError("a key counts by its characters")

    def __eq__(self, other):
        raise AssertionError("a key counts by its characters")

    def __str__(self):
        raise AssertionError("a key counts by its characters")


def test_item_set_is_got(tree):
    tree["d"] = "4"
    assert tree["d"] == "4"


def test_set_and_item_assignment_do_the_same(tree):
    tree.set("a", "set")
    assert tree["a"] == "set"
    tree["a"] = "assigned"
    assert tree.get("a") == "assigned"


def test_empty_str_and_empty_bytes_stay_apart():
    tree = sharedmap.rbtree()
    tree["s"] = ""
    tree["b"] = b""
    assert (tree["s"], tree["b"]) == ("", b"")


def test_overwriting_changes_the_value(tree):
    tree["a"] = "another and longer"
    assert tree["a"] == "another and longer"


def test_overwriting_changes_the_type(tree):
    tree["a"] = b"1"
    assert tree["a"] == b"1"


def test_overwriting_keeps_the_length(tree):
    tree["a"] = "another"
    assert len(tree) == 3


def test_value_is_a_copy_that_later_sets_do_not_touch(tree):
    before = tree["a"]
    tree["a"] = "x"
    assert before == "1"


def test_in_misses_the_prefix_of_a_key(tree):
    tree["prefix"] = ""
    assert "pref" not in tree
    assert "" not in tree


def test_del_removes_the_key(tree):
    del tree["a"]
    assert "a" not in tree
    assert tree.get("a") is None
    assert list(tree) == ["b", "c"]


def test_del_shortens_the_length(tree):
    del tree["a"]
    assert len(tree) == 2


def test_deleted_key_can_be_set_again(tree):
    del tree["a"]
    tree["a"] = "again"
    assert tree["a"] == "again"


def test_del_of_a_missing_item_raises_key_error_with_the_key(tree):
    with pytest.raises(KeyError) as caught:
        del tree["z"]
    assert caught.value.args == ("z",)
    assert len(tree) == 3


def test_str_subclass_is_set_and_deleted_by_its_characters(tree):
    tree[Text("a")] = "text"
    assert len(tree) == 3
    assert tree["a"] == "text"
    assert Text("b") in tree
    assert tree.get(Text("b")) == "2"
    del tree[Text("b")]
    assert list(tree) == ["a", "c"]


def test_iteration_yields_plain_str(tree):
    tree[Text("d")] = ""
    assert [type(key) for key in tree] == [str] * 4


def test_iteration_is_in_order_of_code_points():
    # In UTF-16, which others order by, U+FF5E would come after U+1F600.
    keys = [
        "",
        "\0",
        "A",
        "a",
        "aa",
        "b",
        "é",
        "红",
        "\ud800",
        "\udfff",
        "\uff5e",
        "\U0001f600",
        "\U0010ffff",
    ]
    assert keys == sorted(keys)
    shuffled = random.Random(1).sample(keys, len(keys))
    tree = sharedmap.rbtree()
    for key in shuffled:
        tree[key] = ""
    assert list(tree) == keys


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
def test_many_keys_stay_sorted(order):
    keys = [f"{number:05}" for number in range(20_000)]
    inserted = {
        "ascending": keys,
        "descending": keys[::-1],
        "shuffled": random.Random(2).sample(keys, len(keys)),
    }[order]
    tree = sharedmap.rbtree()
    for key in inserted:
        tree[key] = key
    assert list(tree) == keys
    for key in inserted[::2]:
        del tree[key]
    assert list(tree) == sorted(inserted[1::2])
    assert all(tree[key] == key for key in inserted[1::2])


def test_exhausted_iterator_stays_so_when_a_key_comes(tree):
    keys = iter(tree)
    assert list(keys) == ["a", "b", "c"]
    tree["d"] = ""
    assert list(keys) == []


def test_iterator_keeps_the_tree_alive():
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    keys = iter(tree)
    del tree
    gc.collect()
    assert list(keys) == ["a"]


@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize(
    ("removed", "added"),
    # The third leaves the size as it was, but the iterator's place is gone.
    [([], ["d"]), (["b"], []), (["b"], ["bb"])],
    ids=["insert", "delete", "delete and insert"],
)
def test_change_while_iterating_raises_runtime_error(tree, steps, removed, added):
    keys = iter(tree)
    for _ in range(steps):
        next(keys)
    for key in removed:
        del tree[key]
    for key in added:
        tree[key] = ""
    with pytest.raises(RuntimeError, match="changed"):
        next(keys)


def test_overwrite_while_iterating_is_allowed(tree):
    seen = []
    for key in tree:
        # Longer each time: the entry cannot stay where the iterator last saw it.
        tree[key] = key * 1000
        tree["c"] = "c" * 1000 * (len(seen) + 2)
        seen.append(key)
    assert seen == ["a", "b", "c"]


def test_repr_shows_the_entries_in_order(tree):
    assert repr(tree) == "rbtree({'a': '1', 'b': '2', 'c': b'3'})"


def test_repr_of_an_empty_tree_has_no_entries():
    assert repr(sharedmap.rbtree()) == "rbtree()"


def test_truth_is_whether_there_are_entries(tree):
    assert tree
    assert not sharedmap.rbtree()


def test_two_trees_share_nothing(tree):
    another = sharedmap.rbtree()
    another["a"] = "other"
    assert tree["a"] == "1"
    assert len(another) == 1
