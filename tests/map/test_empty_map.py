"""The map of nothing is a map like every other."""

import pytest
from helpers import entry_count, total_size
from independent_reader import read

import sharedmap


@pytest.fixture(scope="module")
def empty_name(module_names):
    name = module_names("empty {}")
    sharedmap.rbtree().share(name)
    return name


@pytest.fixture
def empty(empty_name):
    with sharedmap.sharedmap(empty_name) as shared:
        yield shared


def test_share_of_an_empty_tree_returns_true(name):
    assert sharedmap.rbtree().share(name) is True


def test_share_of_an_empty_tree_with_force_replaces(name):
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    tree.share(name)
    sharedmap.rbtree().share(name, force=True)
    with sharedmap.sharedmap(name) as shared:
        assert len(shared) == 0
        assert "a" not in shared


def test_empty_map_is_replaced_by_a_full_one(name):
    sharedmap.rbtree().share(name)
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    tree.share(name, force=True)
    with sharedmap.sharedmap(name) as shared:
        assert shared["a"] == "1"


def test_empty_tree_del_raises_key_error():
    tree = sharedmap.rbtree()
    with pytest.raises(KeyError):
        del tree["a"]


def test_empty_map_repr_works(empty):
    assert "sharedmap" in repr(empty)


def test_empty_map_opens_in_another_process(empty_name, other):
    other.run("m = sharedmap.sharedmap(name)", name=empty_name)
    assert other.eval("(len(m), list(m), m.get('a'), 'a' in m)") == (0, [], None, False)
    other.run("m.close()")


@pytest.fixture(params=["tree", "map", "slice of a tree", "slice of a map"])
def nothing(request, empty):
    full = sharedmap.rbtree({"a": 1, "z": 2})
    return {
        "tree": sharedmap.rbtree(),
        "map": empty,
        "slice of a tree": full["b":"y"],
        "slice of a map": sharedmap.sharedmap.frombuffer(full.dump())["b":"y"],
    }[request.param]


def test_empty_mapping_has_nothing_to_look_at(nothing):
    assert len(nothing) == 0
    assert not nothing
    assert list(nothing) == list(reversed(nothing)) == []
    for view in (nothing.keys(), nothing.values(), nothing.items()):
        assert (len(view), list(view), list(reversed(view))) == (0, [], [])
    assert nothing == {}
    assert nothing != {"a": 1}
    assert nothing.keys() == set()
    assert nothing.keys() <= {"a"}
    assert nothing.items().isdisjoint([("a", 1)])


def test_empty_mapping_has_no_neighbours_and_no_ends(nothing):
    for key in ("", "a", "m", "\U0010ffff"):
        assert nothing.floor(key) is None
        assert nothing.ceiling(key) is None
        assert key not in nothing
        assert nothing.get(key) is None
        assert nothing.get(key, 5) == 5
        with pytest.raises(KeyError):
            nothing[key]
    for end in (nothing.first, nothing.last):
        with pytest.raises(KeyError, match="empty"):
            end()


def test_empty_mapping_has_empty_slices(nothing):
    for part in (nothing[:], nothing["a":], nothing[:"z"], nothing.prefix(""), nothing.prefix("a")):
        assert (len(part), list(part.items())) == (0, [])
        assert list(part["a":"b"]) == []


def test_empty_map_has_no_places(empty):
    for key in ("", "a"):
        assert (empty.bisect_left(key), empty.bisect_right(key)) == (0, 0)
        with pytest.raises(ValueError, match="not in"):
            empty.index(key)
        with pytest.raises(KeyError):
            empty.view(key)
    for place in (-1, 0, 1):
        with pytest.raises(IndexError):
            empty.peekitem(place)
    assert empty.get_many(["a", ""]) == [None, None]
    assert empty.verify() is None


def test_empty_tree_has_nothing_to_take():
    tree = sharedmap.rbtree()
    for index in (-1, 0, 5):
        with pytest.raises(KeyError):
            tree.popitem(index)
    with pytest.raises(KeyError):
        tree.pop("a")
    assert tree.pop("a", 5) == 5
    tree.clear()
    tree.update()
    tree.update({})
    tree.update([])
    assert tree == tree.copy() == (tree | {}) == sharedmap.rbtree.fromkeys([]) == {}


def test_empty_map_is_shared_saved_and_updated_like_others(name, tmp_path):
    assert sharedmap.share({}, name) is True
    assert sharedmap.rbtree().save(tmp_path / "map") is True
    with sharedmap.sharedmap(name) as shared, sharedmap.sharedmap.open(tmp_path / "map") as saved:
        assert shared == saved == {}
    assert sharedmap.update(name, {}) == 1
    assert sharedmap.update(name, {"a": 1}) == 2
    assert sharedmap.update(name, {}, remove=["a"]) == 3
    with sharedmap.sharedmap(name) as shared:
        assert shared == {}
        shared.verify()


@pytest.mark.parametrize("index", ["hash", "tree"])
def test_empty_dump_is_a_snapshot_of_no_entries(index):
    data = sharedmap.rbtree().dump(index=index)
    assert total_size(data) == len(data)
    assert entry_count(data) == 0
    assert read(data) == []


def test_empty_dump_opens_as_a_file(name, plant_bytes):
    plant_bytes(name, sharedmap.rbtree().dump())
    with sharedmap.sharedmap(name) as shared:
        assert list(shared) == []


def test_tree_emptied_by_deletes_shares_as_an_empty_map(name):
    tree = sharedmap.rbtree()
    for number in range(100):
        tree[str(number)] = "x"
    for number in range(100):
        del tree[str(number)]
    tree.share(name)
    with sharedmap.sharedmap(name) as shared:
        assert list(shared) == []
        assert shared.get("1") is None


def test_map_of_the_empty_key_is_not_empty(name):
    tree = sharedmap.rbtree()
    tree[""] = ""
    tree.share(name)
    with sharedmap.sharedmap(name) as shared:
        assert len(shared) == 1
        assert list(shared) == [""]
        assert shared[""] == ""
        assert "\0" not in shared
