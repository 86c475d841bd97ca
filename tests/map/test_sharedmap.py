"""A published map as a mapping: a dict that cannot be changed, in the order of the keys."""

import copy
import gc
import os
import pickle

import pytest
from helpers import lines_of_maps, segment_path

import sharedmap


@pytest.fixture(scope="module")
def shared_name(module_names):
    tree = sharedmap.rbtree()
    for key, value in (("b", "2"), ("a", "1"), ("c", b"3"), ("红", "32是")):
        tree[key] = value
    name = module_names("letters {}")
    tree.share(name)
    return name


@pytest.fixture
def shared(shared_name):
    with sharedmap.sharedmap(shared_name) as shared:
        yield shared


class Text(str):
    def __hash__(self):
        raise AssertionError("a key counts by its characters")

    def __eq__(self, other):
        raise AssertionError("a key counts by its characters")


def test_contains_is_right_before_and_after_a_value_is_remembered():
    calls = []
    tree = sharedmap.rbtree({"a": 1, "红": 2, "e": object()}, encode=lambda _: b"")
    with sharedmap.sharedmap.frombuffer(tree.dump(), decode=calls.append) as shared:
        for _ in range(3):
            assert [key in shared for key in ("a", "红", "e", Text("a"))] == [True] * 4
            assert [key in shared for key in ("", "b", "蓝", Text("b"))] == [False] * 4
            assert calls == []
            assert [shared.get(key) for key in ("a", "红", "b")] == [1, 2, None]
        with pytest.raises(TypeError):
            1 in shared
    with pytest.raises(ValueError, match="closed"):
        "a" in shared


def test_repr_names_the_type_and_the_map(shared, shared_name):
    assert "sharedmap" in repr(shared)
    assert repr(shared_name) in repr(shared)


def test_repr_counts_what_the_next_operation_sees(name):
    sharedmap.share({"a": 1}, name)
    with sharedmap.sharedmap(name, follow=True) as follows, sharedmap.sharedmap(name) as stays:
        sharedmap.share({"a": 1, "b": 2}, name, force=True)
        assert repr(follows) == f"<sharedmap {name!r}, 2 entries>"
        assert repr(stays) == f"<sharedmap {name!r}, 1 entry>"


def test_repr_of_a_subclass_has_its_name(shared_name):
    class Letters(sharedmap.sharedmap):
        pass

    with Letters(shared_name) as letters:
        assert repr(letters) == f"<Letters {shared_name!r}, 4 entries>"
    assert repr(letters) == f"<Letters {shared_name!r}, closed>"


@pytest.mark.parametrize(
    "owner", [-1, 2**32 - 1, 2**32, 2**32 + 65534, -(2**63) - 1, 2**100], ids=str
)
def test_owner_that_cannot_be_a_uid_raises_value_error(shared_name, owner):
    with pytest.raises(ValueError, match="not a valid uid"):
        sharedmap.sharedmap(shared_name, owner=owner)


@pytest.mark.parametrize("path", ["", b""], ids=repr)
def test_empty_path_leads_to_no_file(path):
    with pytest.raises(FileNotFoundError):
        sharedmap.sharedmap.open(path)


def test_repr_of_a_closed_map_says_so(shared_name):
    shared = sharedmap.sharedmap(shared_name)
    shared.close()
    assert "closed" in repr(shared)


def test_item_assignment_raises_type_error(shared):
    with pytest.raises(TypeError):
        shared["a"] = "x"
    assert shared["a"] == "1"


def test_item_deletion_raises_type_error(shared):
    with pytest.raises(TypeError):
        del shared["a"]
    assert shared["a"] == "1"


def test_close_twice_is_fine(shared_name):
    shared = sharedmap.sharedmap(shared_name)
    assert shared.close() is None
    assert shared.close() is None


USES = {
    "get": lambda shared: shared.get("a"),
    "get of an absent key": lambda shared: shared.get("z", "default"),
    "get_many": lambda shared: shared.get_many(["a"]),
    "get_many of nothing": lambda shared: shared.get_many([]),
    "item": lambda shared: shared["a"],
    "item of an absent key": lambda shared: shared["z"],
    "in": lambda shared: "a" in shared,
    "len": len,
    "bool": bool,
    "iter": iter,
    "list": list,
    "reversed": reversed,
    "keys": lambda shared: shared.keys(),
    "values": lambda shared: shared.values(),
    "items": lambda shared: shared.items(),
    "slice": lambda shared: shared["a":"b"],
    "prefix": lambda shared: shared.prefix("a"),
    "floor": lambda shared: shared.floor("a"),
    "ceiling": lambda shared: shared.ceiling("a"),
    "lower": lambda shared: shared.lower("a"),
    "higher": lambda shared: shared.higher("a"),
    "longest_prefix": lambda shared: shared.longest_prefix("a"),
    "to_dict": lambda shared: shared.to_dict(),
    "derived": lambda shared: shared.derived(len),
    "diff": lambda shared: shared.diff(shared),
    "|": lambda shared: shared | {},
    "reflected |": lambda shared: {} | shared,
    "first": lambda shared: shared.first(),
    "last": lambda shared: shared.last(),
    "peekitem": lambda shared: shared.peekitem(),
    "index": lambda shared: shared.index("a"),
    "bisect_left": lambda shared: shared.bisect_left("a"),
    "bisect_right": lambda shared: shared.bisect_right("a"),
    "view": lambda shared: shared.view("a"),
    "==": lambda shared: shared == {},
    "!=": lambda shared: shared != {},
    "dict": dict,
    "stale": lambda shared: shared.stale,
    "refresh": lambda shared: shared.refresh(),
    "wait": lambda shared: shared.wait(0),
    "snapshot": lambda shared: shared.snapshot(),
    "verify": lambda shared: shared.verify(),
    "generation": lambda shared: shared.generation,
    "nbytes": lambda shared: shared.nbytes,
    "with": lambda shared: shared.__enter__(),
    "copy": copy.copy,
    "pickle": pickle.dumps,
    "constructor of a tree": sharedmap.rbtree,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
@pytest.mark.parametrize("follow", [False, True], ids=["pinned", "following"])
def test_use_of_a_closed_map_raises_value_error(shared_name, use, follow):
    shared = sharedmap.sharedmap(shared_name, follow=follow)
    # Looked up so often that the value would come from the cache.
    for _ in range(3):
        assert shared["a"] == "1"
    shared.close()
    with pytest.raises(ValueError, match="closed") as caught:
        use(shared)
    # It is the handle that is wrong, not the bytes.
    assert type(caught.value) is ValueError


def test_closed_map_still_says_what_it_was(shared_name):
    shared = sharedmap.sharedmap(shared_name)
    assert shared.closed is False
    shared.close()
    assert shared.closed is True
    assert shared.name == shared_name
    assert repr(shared_name) in repr(shared)


def test_map_says_where_it_comes_from_and_how_big_it_is(shared, shared_name):
    assert (shared.name, shared.generation, shared.stale) == (shared_name, 1, False)
    assert shared.nbytes == os.stat(segment_path(shared_name)).st_size


@pytest.mark.parametrize("attribute", ["name", "generation", "nbytes", "stale", "closed"])
def test_attribute_cannot_be_changed(shared, attribute):
    before = getattr(shared, attribute)
    with pytest.raises(AttributeError):
        setattr(shared, attribute, before)
    with pytest.raises(AttributeError):
        delattr(shared, attribute)
    assert getattr(shared, attribute) == before


def test_with_gives_the_map_itself(shared_name):
    shared = sharedmap.sharedmap(shared_name)
    with shared as entered:
        assert entered is shared


def test_with_closes(shared_name):
    with sharedmap.sharedmap(shared_name) as shared:
        assert shared["a"] == "1"
    with pytest.raises(ValueError, match="closed"):
        shared["a"]


def test_with_closes_after_an_exception_and_lets_it_pass(shared_name):
    with pytest.raises(ZeroDivisionError), sharedmap.sharedmap(shared_name) as shared:
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="closed"):
        shared["a"]


def test_close_inside_with_is_fine(shared_name):
    with sharedmap.sharedmap(shared_name) as shared:
        shared.close()


def test_handles_are_independent(shared_name):
    first, second = sharedmap.sharedmap(shared_name), sharedmap.sharedmap(shared_name)
    first.close()
    assert second["a"] == "1"
    second.close()


def test_iterator_outlives_close(shared_name):
    shared = sharedmap.sharedmap(shared_name)
    keys = iter(shared)
    assert next(keys) == "a"
    shared.close()
    assert list(keys) == ["b", "c", "红"]


def test_iterator_outlives_the_map_object(shared_name):
    keys = iter(sharedmap.sharedmap(shared_name))
    gc.collect()
    assert list(keys) == ["a", "b", "c", "红"]


def test_values_outlive_close(shared_name):
    shared = sharedmap.sharedmap(shared_name)
    text, data = shared["红"], shared["c"]
    shared.close()
    assert (text, data) == ("32是", b"3")


def test_memory_is_mapped_read_only(shared_name):
    with sharedmap.sharedmap(shared_name):
        lines = lines_of_maps(shared_name)
    assert lines
    assert {line.split()[1] for line in lines} == {b"r--s"}


def test_close_unmaps(shared_name):
    shared = sharedmap.sharedmap(shared_name)
    assert lines_of_maps(shared_name)
    shared.close()
    assert lines_of_maps(shared_name) == []


def test_dropping_the_last_reference_unmaps(shared_name):
    shared = sharedmap.sharedmap(shared_name)
    assert lines_of_maps(shared_name)
    del shared
    gc.collect()
    assert lines_of_maps(shared_name) == []


def test_last_iterator_unmaps(shared_name):
    shared = sharedmap.sharedmap(shared_name)
    keys = iter(shared)
    shared.close()
    assert lines_of_maps(shared_name)
    del keys
    gc.collect()
    assert lines_of_maps(shared_name) == []


def test_opening_and_closing_leaks_no_descriptor(shared_name):
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    sharedmap.sharedmap(shared_name).close()
    before = descriptors()
    for _ in range(50):
        sharedmap.sharedmap(shared_name).close()
    assert descriptors() == before


def test_open_map_needs_its_name_no_more(name):
    tree = sharedmap.rbtree()
    tree["a"] = "1"
    tree.share(name)
    with sharedmap.sharedmap(name) as shared:
        os.unlink(segment_path(name))
        assert shared["a"] == "1"
        assert list(shared) == ["a"]


def test_one_entry_map_finds_it_and_nothing_else(name):
    tree = sharedmap.rbtree()
    tree["only"] = "one"
    tree.share(name)
    with sharedmap.sharedmap(name) as shared:
        assert shared["only"] == "one"
        assert "onl" not in shared
        assert "only " not in shared
        assert list(shared) == ["only"]


@pytest.mark.parametrize("count", [2, 3, 7, 8, 9, 63, 64, 65, 1000])
def test_every_entry_is_found_at_any_size(name, count):
    tree = sharedmap.rbtree()
    for number in range(count):
        tree[f"key {number}"] = f"value {number}"
    tree.share(name)
    with sharedmap.sharedmap(name) as shared:
        assert len(shared) == count
        assert [shared[f"key {number}"] for number in range(count)] == [
            f"value {number}" for number in range(count)
        ]
        assert list(shared) == sorted(f"key {number}" for number in range(count))
