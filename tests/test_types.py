"""rbtree and sharedmap as Python types: subclasses, weak references, what they are not."""

import copy
import gc
import inspect
import pickle
import sys
import weakref

import pytest

import sharedmap


@pytest.fixture
def tree():
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    return tree


@pytest.fixture
def shared(tree, name):
    tree.share(name)
    with sharedmap.sharedmap(name) as shared:
        yield shared


class Tree(sharedmap.rbtree):
    def first(self):
        return next(iter(self))


class Map(sharedmap.sharedmap):
    def first(self):
        return next(iter(self))


def test_subclass_of_rbtree_works_with_attributes(name):
    tree = Tree()
    tree["b"] = "2"
    tree.note = "attribute"
    assert tree.first() == "b"
    assert tree.share(name) is True
    assert Tree.remove(name) is True
    assert tree.note == "attribute"


def test_subclass_of_sharedmap_works_with_attributes(tree, name):
    tree.share(name)
    with Map(name) as shared:
        shared.note = "attribute"
        assert shared.first() == "a"
        assert shared.note == "attribute"


def test_subclass_instance_in_a_cycle_is_collected():
    tree = Tree()
    tree.itself = tree
    gone = weakref.ref(tree)
    del tree
    gc.collect()
    assert gone() is None


def test_subclass_instance_that_keeps_its_iterator_is_collected():
    tree = Tree()
    tree["a"] = "1"
    tree.keys = iter(tree)
    gone = weakref.ref(tree)
    del tree
    gc.collect()
    assert gone() is None


def test_subclass_itself_is_collected():
    class Temporary(sharedmap.rbtree):
        pass

    Temporary()["a"] = "1"
    gone = weakref.ref(Temporary)
    del Temporary
    gc.collect()
    assert gone() is None


def test_tree_can_be_weakly_referenced(tree):
    another = sharedmap.rbtree()
    reference = weakref.ref(another)
    assert reference() is another
    del another
    gc.collect()
    assert reference() is None


def test_map_can_be_weakly_referenced(shared):
    assert weakref.ref(shared)() is shared


def test_objects_give_back_their_references_to_their_types(tree, name):
    tree.share(name)

    def use():
        another = sharedmap.rbtree()
        another["a"] = "1"
        iter(another)
        with sharedmap.sharedmap(name) as shared:
            iter(shared)

    use()
    gc.collect()
    before = [sys.getrefcount(kind) for kind in (sharedmap.rbtree, sharedmap.sharedmap)]
    for _ in range(100):
        use()
    gc.collect()
    assert [sys.getrefcount(kind) for kind in (sharedmap.rbtree, sharedmap.sharedmap)] == before


def test_calls_give_back_their_references_to_keys_and_values(shared):
    key, value, data, default = "k" * 100, "v" * 100, b"b" * 100, object()
    tree = sharedmap.rbtree()
    involved = (key, value, data, default)

    def use():
        tree.set(key, value)
        tree[key] = data
        tree.get(key, default)
        tree.get("absent", default)
        key in tree
        del tree[key]
        shared.get(key, default)
        for call in (lambda: tree[key], lambda: shared[key], lambda: tree.__delitem__(key)):
            with pytest.raises(KeyError):
                call()
        with pytest.raises(TypeError):
            tree[key] = default
        with pytest.raises(TypeError):
            tree[data] = value

    use()
    before = [sys.getrefcount(thing) for thing in involved]
    for _ in range(100):
        use()
    assert [sys.getrefcount(thing) for thing in involved] == before


def test_tree_is_not_hashable(tree):
    with pytest.raises(TypeError):
        hash(tree)


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_tree_is_not_silently_copied_empty(tree, take):
    # Copies come with a later version; until then an error is right and an empty tree is not.
    with pytest.raises(TypeError):
        take(tree)


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_map_is_not_silently_copied_empty(shared, take):
    with pytest.raises(TypeError):
        take(shared)


@pytest.mark.parametrize("owner", ["tree", "shared"])
def test_length_hint_of_an_iterator_counts_what_is_left(owner, request):
    keys = iter(request.getfixturevalue(owner))
    assert keys.__length_hint__() == 1
    next(keys)
    assert keys.__length_hint__() == 0
    assert list(keys) == []
    assert keys.__length_hint__() == 0


@pytest.mark.parametrize(
    "documented",
    [
        sharedmap.rbtree,
        sharedmap.rbtree.get,
        sharedmap.rbtree.set,
        sharedmap.rbtree.share,
        sharedmap.rbtree.dump,
        sharedmap.rbtree.remove,
        sharedmap.sharedmap,
        sharedmap.sharedmap.get,
        sharedmap.sharedmap.close,
        sharedmap.SnapshotError,
    ],
    ids=lambda documented: documented.__qualname__,
)
def test_public_name_has_a_docstring(documented):
    assert inspect.getdoc(documented)


def test_signatures_are_those_of_the_documentation():
    def parameters(function):
        return list(inspect.signature(function).parameters)

    assert parameters(sharedmap.rbtree.get) == ["self", "key", "default"]
    assert parameters(sharedmap.rbtree.set) == ["self", "key", "value"]
    assert parameters(sharedmap.rbtree.share) == ["self", "name", "force"]
    assert parameters(sharedmap.rbtree.dump) == ["self", "name"]
    assert parameters(sharedmap.rbtree.remove) == ["name"]
    assert parameters(sharedmap.sharedmap.get) == ["self", "key", "default"]
    assert parameters(sharedmap.sharedmap) == ["name"]


def test_module_imported_again_has_types_of_its_own_that_work(workers, name):
    worker = workers()
    worker.run(
        """
import sys
first = sharedmap
for module in [module for module in sys.modules if module.partition(".")[0] == "sharedmap"]:
    del sys.modules[module]
import sharedmap as second
t = first.rbtree()
t["a"] = "1"
t.share(name)
assert second.sharedmap(name)["a"] == first.sharedmap(name)["a"] == "1"
try:
    second.sharedmap("absent " + name)
except FileNotFoundError:
    pass
""",
        name=name,
    )
    assert worker.eval("second.rbtree is not first.rbtree")
