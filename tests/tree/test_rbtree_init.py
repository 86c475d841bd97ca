"""__init__ of a tree that exists already, which is what it is for every subclass."""

import pytest

from sharedmap import rbtree


def test_init_that_fails_leaves_the_tree_as_it_was():
    tree = rbtree(a=1)
    with pytest.raises(TypeError):
        tree.__init__({"b": 2}, c=object())
    assert dict(tree) == {"a": 1}


def test_init_that_fails_leaves_the_hooks_as_they_were():
    tree = rbtree(encode=lambda _: b"old", decode=lambda data: data.decode())
    with pytest.raises(ZeroDivisionError):
        tree.__init__(c=object(), encode=lambda _: 1 // 0, decode=len)
    tree["a"] = object()
    assert dict(tree) == {"a": "old"}


def test_init_again_adds_and_changes_the_hooks_that_are_given():
    tree = rbtree(a=1, decode=lambda data: data.decode())
    tree.__init__({"b": object()}, a=2, encode=lambda _: b"new")
    assert dict(tree) == {"a": 2, "b": "new"}
