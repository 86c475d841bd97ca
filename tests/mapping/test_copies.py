"""Copies of maps and trees: what they see, and what those of subclasses keep."""

import copy
import pickle

import pytest

from sharedmap import rbtree, remove, share, sharedmap


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


each_copy = pytest.mark.parametrize("take", [copy.copy, copy.deepcopy])
each_way = pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, pickled])


# ---- what the copy of a map sees ---------------------------------------------------------------


@each_copy
def test_copy_of_a_map_sees_what_the_map_sees(name, take):
    share({"a": 1}, name)
    with sharedmap(name) as shared:
        share({"a": 2}, name, force=True)
        with take(shared) as taken:
            assert (taken["a"], taken.generation, taken.stale) == (1, 1, True)
            assert taken.refresh()
            assert (taken["a"], shared["a"]) == (2, 1)


@each_copy
def test_copy_of_a_map_whose_name_is_gone_sees_what_the_map_sees(name, take):
    share({"a": 1}, name)
    with sharedmap(name) as shared:
        remove(name)
        with take(shared) as taken:
            assert taken["a"] == 1


@each_copy
def test_copy_of_a_map_that_follows_follows(name, take):
    share({"a": 1}, name)
    with sharedmap(name, follow=True) as shared, take(shared) as taken:
        share({"a": 2}, name, force=True)
        assert taken["a"] == 2


@each_copy
def test_copy_of_a_map_keeps_its_decoder(take):
    data = rbtree({"a": object()}, encode=lambda _: b"1").dump()
    with sharedmap.frombuffer(data, decode=int) as shared, take(shared) as taken:
        assert taken["a"] == 1


@each_copy
def test_copy_of_a_part_of_a_map_is_that_part(take):
    with sharedmap.frombuffer(rbtree(a=1, b=2).dump()) as shared:
        part = shared["b":]
        assert take(part) is part


def test_deep_copy_of_what_holds_a_map_twice_holds_one_map():
    with sharedmap.frombuffer(rbtree(a=1).dump()) as shared:
        first, second = copy.deepcopy([shared, shared])
    assert first is second
    assert first["a"] == 1


# ---- what a subclass keeps besides -------------------------------------------------------------


class SlottedTree(rbtree):
    __slots__ = ("hits", "never")


class SlottedMap(sharedmap):
    __slots__ = ("hits", "never")


class MixedTree(SlottedTree):
    pass


class StatefulTree(rbtree):
    def __getstate__(self):
        return {"kept": self.kept}


class RestoredTree(rbtree):
    def __getstate__(self):
        return [self.kept]

    def __setstate__(self, state):
        self.restored = state


@each_way
def test_slots_of_a_tree_go_along(take):
    tree = SlottedTree(a=1)
    tree.hits = [3]
    taken = take(tree)
    assert (taken.hits, dict(taken)) == ([3], {"a": 1})
    assert not hasattr(taken, "never")


@each_way
def test_slots_of_a_map_go_along(name, take):
    share({"a": 1}, name)
    with SlottedMap(name) as shared:
        shared.hits = [3]
        with take(shared) as taken:
            assert (taken.hits, taken["a"]) == ([3], 1)
            assert not hasattr(taken, "never")


@each_way
def test_slots_and_other_attributes_go_along(take):
    tree = MixedTree(a=1)
    tree.hits, tree.note = 3, "attribute"
    taken = take(tree)
    assert (taken.hits, taken.note) == (3, "attribute")


@each_way
def test_getstate_of_a_subclass_is_called(take):
    tree = StatefulTree(a=1)
    tree.kept, tree.lost = 1, 2
    assert vars(take(tree)) == {"kept": 1}


@each_way
def test_setstate_of_a_subclass_is_called(take):
    tree = RestoredTree(a=1)
    tree.kept = 1
    assert vars(take(tree)) == {"restored": [1]}


# ---- copies that are no copy.copy() ------------------------------------------------------------


class CountingTree(rbtree):
    def __init__(self, *args, **items):
        super().__init__(*args, **items)
        self.hits = []


class CountingMap(sharedmap):
    def __init__(self, *args, **options):
        self.hits = []


TREE_COPIES = {
    "copy": lambda tree: tree.copy(),
    "or": lambda tree: tree | {"b": 2},
    "ror": lambda tree: {"b": 2} | tree,
}


@pytest.mark.parametrize("take", TREE_COPIES.values(), ids=TREE_COPIES)
@pytest.mark.parametrize("kind", [CountingTree, SlottedTree])
def test_copied_tree_of_a_subclass_has_its_attributes(kind, take):
    tree = kind(a=1)
    tree.hits = []
    taken = take(tree)
    assert type(taken) is kind
    assert taken.hits is tree.hits
    assert taken["a"] == 1


@pytest.mark.parametrize("take", TREE_COPIES.values(), ids=TREE_COPIES)
def test_copied_tree_of_a_subclass_is_restored_by_its_setstate(take):
    tree = RestoredTree(a=1)
    tree.kept = 1
    assert vars(take(tree)) == {"restored": [1]}


def test_snapshot_of_a_subclass_has_its_attributes(name):
    share({"a": 1}, name)
    with CountingMap(name, follow=True) as shared, shared.snapshot() as pinned:
        assert type(pinned) is CountingMap
        assert pinned.hits is shared.hits


def test_deep_copy_of_a_map_has_deep_copies_of_its_attributes(name):
    share({"a": 1}, name)
    with CountingMap(name) as shared:
        shared.hits.append(shared)
        with copy.deepcopy(shared) as taken:
            assert taken.hits is not shared.hits
            assert taken.hits == [taken]
            assert taken.hits[0] is taken


def test_exception_of_a_getstate_is_that_of_the_copy():
    class Refusing(rbtree):
        def __getstate__(self):
            raise LookupError("no state")

    for take in (copy.copy, copy.deepcopy, *TREE_COPIES.values()):
        with pytest.raises(LookupError, match="no state"):
            take(Refusing(a=1))
