"""Wrong arguments, one by one: the right exception, and nothing has changed."""

import errno
import os

import pytest
from helpers import segment_path

import sharedmap


class TextSubclass(str):
    pass


class BytesSubclass(bytes):
    pass


# What is no value and never will be without a hook.
NO_VALUES = [
    bytearray(b"x"),
    memoryview(b"x"),
    ["x"],
    ("x",),
    {"x": "y"},
    {"x"},
    object(),
    TextSubclass("x"),
    BytesSubclass(b"x"),
    str,
]
# What this version has no value type for yet.
NOT_YET_VALUES = [1, 2**100, 1.5, True, None, 1j]

NO_KEYS = [b"a", 1, 1.5, None, True, ("a",), ["a"], bytearray(b"a"), object()]

each_value = pytest.mark.parametrize(
    "value", NO_VALUES + NOT_YET_VALUES, ids=lambda v: type(v).__name__
)
each_key = pytest.mark.parametrize("key", NO_KEYS, ids=lambda k: type(k).__name__)


@pytest.fixture
def tree():
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    yield tree
    # Whatever a test asked for in vain, the tree is what it was.
    assert [(key, tree[key]) for key in tree] == [("a", "1")]
    assert len(tree) == 1


@pytest.fixture(scope="module")
def shared_name(module_names):
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    name = module_names()
    tree.share(name)
    return name


@pytest.fixture
def shared(shared_name):
    with sharedmap.sharedmap(shared_name) as shared:
        yield shared
        assert [(key, shared[key]) for key in shared] == [("a", "1")]


# --- keys of a tree ---------------------------------------------------------------------------


@each_key
def test_rbtree_set_with_wrong_key_raises_type_error(tree, key):
    with pytest.raises(TypeError, match=type(key).__name__):
        tree.set(key, "x")


@each_key
def test_rbtree_item_assignment_with_wrong_key_raises_type_error(tree, key):
    with pytest.raises(TypeError, match=type(key).__name__):
        tree[key] = "x"


@each_key
def test_rbtree_get_with_wrong_key_raises_type_error(tree, key):
    with pytest.raises(TypeError, match=type(key).__name__):
        tree.get(key)


@each_key
def test_rbtree_item_with_wrong_key_raises_type_error(tree, key):
    with pytest.raises(TypeError, match=type(key).__name__):
        tree[key]


@each_key
def test_rbtree_in_with_wrong_key_raises_type_error(tree, key):
    with pytest.raises(TypeError, match=type(key).__name__):
        key in tree


@each_key
def test_rbtree_del_with_wrong_key_raises_type_error(tree, key):
    with pytest.raises(TypeError, match=type(key).__name__):
        del tree[key]


# --- values of a tree -------------------------------------------------------------------------


@each_value
def test_rbtree_set_with_wrong_value_raises_type_error(tree, value):
    with pytest.raises(TypeError, match=type(value).__name__):
        tree.set("b", value)


@each_value
def test_rbtree_item_assignment_with_wrong_value_raises_type_error(tree, value):
    with pytest.raises(TypeError, match=type(value).__name__):
        tree["b"] = value


@each_value
def test_rbtree_overwriting_with_wrong_value_keeps_the_old_one(tree, value):
    with pytest.raises(TypeError):
        tree["a"] = value
    assert tree["a"] == "1"


# --- keys of a map ----------------------------------------------------------------------------


@each_key
def test_sharedmap_get_with_wrong_key_raises_type_error(shared, key):
    with pytest.raises(TypeError, match=type(key).__name__):
        shared.get(key)


@each_key
def test_sharedmap_item_with_wrong_key_raises_type_error(shared, key):
    with pytest.raises(TypeError, match=type(key).__name__):
        shared[key]


@each_key
def test_sharedmap_in_with_wrong_key_raises_type_error(shared, key):
    with pytest.raises(TypeError, match=type(key).__name__):
        key in shared


# --- number and names of arguments ------------------------------------------------------------

BAD_TREE_CALLS = {
    "set()": lambda tree: tree.set(),
    "set of a key only": lambda tree: tree.set("b"),
    "set of three": lambda tree: tree.set("b", "2", "3"),
    "set with an unknown keyword": lambda tree: tree.set("b", "2", bogus=1),
    "get()": lambda tree: tree.get(),
    "get of three": lambda tree: tree.get("a", "b", "c"),
    "get with an unknown keyword": lambda tree: tree.get("a", bogus=1),
    "share()": lambda tree: tree.share(),
    "share of three": lambda tree: tree.share("a", True, "c"),
    "share with an unknown keyword": lambda tree: tree.share("a", bogus=1),
    "share with the name twice": lambda tree: tree.share("a", name="a"),
    "share of bytes": lambda tree: tree.share(b"a"),
    "share of a number": lambda tree: tree.share(1),
    "share of None": lambda tree: tree.share(None),
    "dump of bytes": lambda tree: tree.dump(b"label"),
    "dump of a number": lambda tree: tree.dump(1),
    "dump of two": lambda tree: tree.dump("a", "b"),
    "dump with an unknown keyword": lambda tree: tree.dump(bogus=1),
    "remove()": lambda tree: tree.remove(),
    "remove of two": lambda tree: tree.remove("a", "b"),
    "remove of a number": lambda tree: tree.remove(1),
    "remove of None": lambda tree: tree.remove(None),
    "remove with an unknown keyword": lambda tree: tree.remove("a", bogus=1),
    "constructor of a number": lambda tree: sharedmap.rbtree(1),
    "constructor of two": lambda tree: sharedmap.rbtree({}, {}),
}


@pytest.mark.parametrize("call", BAD_TREE_CALLS.values(), ids=BAD_TREE_CALLS.keys())
def test_rbtree_call_with_wrong_arguments_raises_type_error(tree, call):
    with pytest.raises(TypeError):
        call(tree)


BAD_MAP_CALLS = {
    "get()": lambda shared: shared.get(),
    "get of three": lambda shared: shared.get("a", "b", "c"),
    "get with an unknown keyword": lambda shared: shared.get("a", bogus=1),
    "close of one": lambda shared: shared.close(1),
    "constructor of nothing": lambda shared: sharedmap.sharedmap(),
    "constructor of a number": lambda shared: sharedmap.sharedmap(1),
    "constructor of bytes": lambda shared: sharedmap.sharedmap(b"a"),
    "constructor of None": lambda shared: sharedmap.sharedmap(None),
    "constructor of a map": lambda shared: sharedmap.sharedmap(shared),
    "constructor of two": lambda shared: sharedmap.sharedmap("a", "b"),
    "constructor with an unknown keyword": lambda shared: sharedmap.sharedmap("a", bogus=1),
}


@pytest.mark.parametrize("call", BAD_MAP_CALLS.values(), ids=BAD_MAP_CALLS.keys())
def test_sharedmap_call_with_wrong_arguments_raises_type_error(shared, call):
    with pytest.raises(TypeError):
        call(shared)


def test_force_asks_for_its_truth_and_passes_its_exception(tree, name):
    class Undecided:
        def __bool__(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tree.share(name, force=Undecided())
    with pytest.raises(FileNotFoundError):
        sharedmap.sharedmap(name)


# --- absent and present names -----------------------------------------------------------------


def test_open_of_an_absent_name_raises_file_not_found_error_with_the_name(name):
    with pytest.raises(FileNotFoundError) as caught:
        sharedmap.sharedmap(name)
    assert caught.value.filename == name
    assert caught.value.errno == errno.ENOENT
    assert name in str(caught.value)


def test_share_of_an_existing_name_raises_file_exists_error_with_the_name(tree, shared_name):
    with pytest.raises(FileExistsError) as caught:
        tree.share(shared_name)
    assert caught.value.filename == shared_name
    assert caught.value.errno == errno.EEXIST
    assert shared_name in str(caught.value)


# pytest.raises looks at the exception, an except clause at the type that was raised with it; until
# Python 3.12 these can differ.


def test_except_clause_catches_the_file_not_found_error_of_an_absent_name(name):
    try:
        sharedmap.sharedmap(name)
    except FileNotFoundError:
        return
    raise AssertionError("nothing was raised")


def test_except_clause_catches_the_file_exists_error_of_a_taken_name(tree, shared_name):
    try:
        tree.share(shared_name)
    except FileExistsError:
        return
    raise AssertionError("nothing was raised")


def test_except_clause_catches_the_permission_error_of_a_map_that_others_may_write(name):
    sharedmap.rbtree().share(name)
    os.chmod(segment_path(name), 0o666)
    try:
        sharedmap.sharedmap(name)
    except PermissionError:
        return
    raise AssertionError("nothing was raised")


def test_system_error_is_picklable_with_its_name(name, other):
    with pytest.raises(FileNotFoundError) as caught:
        other.eval("sharedmap.sharedmap(name)", name=name)
    assert caught.value.filename == name


# --- objects made in unusual ways -------------------------------------------------------------


def test_map_made_without_init_is_unusable_and_nothing_worse():
    with pytest.raises((TypeError, ValueError)):
        bare = sharedmap.sharedmap.__new__(sharedmap.sharedmap)
        list(bare)


def test_map_initialised_again_stays_usable(shared_name):
    shared = sharedmap.sharedmap(shared_name)
    keys = iter(shared)
    try:
        shared.__init__(shared_name)
    except (TypeError, ValueError):
        pass
    assert shared["a"] == "1"
    assert list(keys) == ["a"]


def test_map_whose_second_init_fails_stays_usable(shared_name, name):
    shared = sharedmap.sharedmap(shared_name)
    try:
        shared.__init__(name)
    except (OSError, TypeError, ValueError):
        pass
    assert shared["a"] == "1"


def test_tree_made_without_init_is_empty():
    assert list(sharedmap.rbtree.__new__(sharedmap.rbtree)) == []


@pytest.mark.parametrize("owner", ["tree", "shared"])
def test_iterator_type_cannot_be_called(owner, request):
    iterator_type = type(iter(request.getfixturevalue(owner)))
    with pytest.raises(TypeError):
        iterator_type()


@pytest.mark.parametrize("attribute", ["get", "share", "set", "__class__"])
@pytest.mark.parametrize("type_name", ["rbtree", "sharedmap"])
def test_type_cannot_be_changed_for_everybody(type_name, attribute):
    with pytest.raises(TypeError):
        setattr(getattr(sharedmap, type_name), attribute, None)


def test_method_of_one_type_refuses_the_other(tree, shared):
    with pytest.raises(TypeError):
        sharedmap.sharedmap.get(tree, "a")
    with pytest.raises(TypeError):
        sharedmap.rbtree.get(shared, "a")
