"""Decoders and encoders run Python code, and so may change what they are called for."""

import pytest

from sharedmap import rbtree, share, sharedmap


class Job:
    """Of a type that only the hooks of a tree know."""


def encoded(**hooks):
    """A tree whose values are all encoded, as their keys."""
    keys = iter("abc")
    tree = rbtree(encode=lambda job: next(keys).encode(), **hooks)
    for key in "abc":
        tree[key] = Job()
    return tree


# --- pop and popitem ----------------------------------------------------------------------------


def test_pop_leaves_what_its_decoder_puts_under_the_key():
    def decode(data):
        tree["a"] = "new"
        return "old"

    tree = encoded(decode=decode)
    assert tree.pop("a") == "old"
    assert tree["a"] == "new"


def test_popitem_leaves_what_its_decoder_puts_under_the_key():
    def decode(data):
        tree["c"] = "new"
        return "old"

    tree = encoded(decode=decode)
    assert tree.popitem() == ("c", "old")
    assert tree["c"] == "new"


def test_pop_within_the_decoder_of_a_pop_does_not_get_the_same_entry():
    inner = []

    def decode(data):
        if not inner:
            inner.append(tree.pop("a", "nothing"))
        return data

    tree = encoded(decode=decode)
    assert tree.pop("a") == b"a"
    assert inner == ["nothing"]


def test_popitem_within_the_decoder_of_a_popitem_gets_the_next_entry():
    popped = []

    def decode(data):
        if tree:
            popped.append(tree.popitem(0))
        return data

    tree = encoded(decode=decode)
    popped.append(tree.popitem(0))
    assert popped == [("c", b"c"), ("b", b"b"), ("a", b"a")]
    assert len(tree) == 0


def failing(data):
    raise LookupError(data)


@pytest.mark.parametrize(
    "pop", [lambda tree: tree.pop("b"), lambda tree: tree.popitem(1)], ids=["pop", "popitem"]
)
def test_entry_that_cannot_be_decoded_is_in_the_tree_as_before(pop):
    tree = encoded(decode=failing)
    with pytest.raises(LookupError) as raised:
        pop(tree)
    assert raised.value.args == (b"b",)
    assert list(tree) == ["a", "b", "c"]
    tree.__init__(decode=bytes)
    assert pop(tree) in (b"b", ("b", b"b"))
    assert list(tree) == ["a", "c"]


def test_entry_that_cannot_be_decoded_does_not_replace_what_came_meanwhile():
    def decode(data):
        tree["a"] = "new"
        failing(data)

    tree = encoded(decode=decode)
    with pytest.raises(LookupError):
        tree.pop("a")
    assert tree["a"] == "new"


def test_pop_without_a_decoder_disturbs_no_iteration():
    tree = encoded()
    keys = iter(tree)
    assert next(keys) == "a"
    with pytest.raises(TypeError, match="decode="):
        tree.pop("a")
    assert list(keys) == ["b", "c"]


# --- other hooks --------------------------------------------------------------------------------


def test_decoder_that_replaces_itself_finishes_and_is_gone():
    def decode(data):
        tree.__init__(decode=lambda data: "by the second")
        return "by the first"

    tree = encoded(decode=decode)
    assert tree["a"] == "by the first"
    assert tree["a"] == "by the second"


def test_encoder_that_replaces_itself_finishes_and_is_gone():
    def encode(job):
        tree.__init__(encode=lambda job: b"by the second")
        return b"by the first"

    tree = rbtree(encode=encode, decode=bytes)
    tree["a"] = Job()
    tree["b"] = Job()
    assert dict(tree) == {"a": b"by the first", "b": b"by the second"}
    tree.__init__(encode=encode)
    # One encoder for all that is updated at once.
    tree.update(a=Job(), b=Job())
    assert dict(tree) == {"a": b"by the first", "b": b"by the first"}


def test_hook_that_is_none_leaves_both_as_they_were():
    tree = rbtree(encode=lambda job: b"first", decode=bytes)
    with pytest.raises(TypeError, match="decode"):
        tree.__init__(encode=lambda job: b"second", decode="no function")
    tree["a"] = Job()
    assert tree["a"] == b"first"


# --- one moment, or one snapshot ----------------------------------------------------------------


def test_repr_is_of_the_entries_that_there_were_when_it_began():
    def decode(data):
        tree.clear()
        return data

    tree = encoded(decode=decode)
    assert repr(tree) == "rbtree({'a': b'a', 'b': b'b', 'c': b'c'})"
    assert repr(tree) == "rbtree()"


def test_repr_of_a_tree_of_a_subclass_makes_no_other():
    class Jobs(rbtree):
        def __init__(self, number):
            raise AssertionError("nobody shall be made to show another one")

    tree = Jobs.__new__(Jobs)
    tree["a"] = 1
    assert repr(tree) == "Jobs({'a': 1})"


def test_comparison_with_a_map_that_follows_is_with_one_snapshot_of_it(name):
    """It goes on while another snapshot is published, by the decoder of the first value."""

    def decode(data):
        share({"a": 1}, name, force=True)
        return 1

    for compare in (rbtree.__eq__, lambda reference, shared: shared == reference):
        tree = rbtree(encode=lambda job: b"")
        tree.update(a=Job(), b=2)
        tree.share(name, force=True)
        with sharedmap(name, follow=True, decode=decode) as shared:
            assert compare(rbtree(a=1, b=2), shared) is True
            assert len(shared) == 1


def test_comparison_with_a_closed_map_raises_value_error(name):
    share({"a": 1}, name)
    shared = sharedmap(name)
    shared.close()
    with pytest.raises(ValueError, match="closed"):
        rbtree(a=1) == shared
