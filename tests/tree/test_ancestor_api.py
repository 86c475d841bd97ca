"""The calls of the C++ ancestor, each with the answer it always gave."""

import importlib.metadata
import types

import pytest

import sharedmap


def test_set_returns_true():
    assert sharedmap.rbtree().set("aaa", "323") is True


def test_set_of_an_existing_key_returns_true():
    tree = sharedmap.rbtree()
    tree.set("aaa", "323")
    assert tree.set("aaa", "324") is True


def test_get_returns_what_was_set():
    tree = sharedmap.rbtree()
    tree.set("aaa", "323")
    assert tree.get("aaa") == "323"


def test_get_of_an_absent_key_returns_none():
    assert sharedmap.rbtree().get("aaa") is None


def test_share_returns_true(name):
    assert sharedmap.rbtree().share(name) is True


def test_share_with_force_returns_true(name):
    tree = sharedmap.rbtree()
    tree.share(name)
    assert tree.share(name, force=True) is True


def test_share_with_force_needs_nothing_to_replace(name):
    assert sharedmap.rbtree().share(name, force=True) is True


def test_share_takes_force_by_position(name):
    tree = sharedmap.rbtree()
    tree.share(name, True)
    assert tree.share(name, True) is True


def test_share_without_force_is_the_default(name):
    tree = sharedmap.rbtree()
    tree.share(name)
    with pytest.raises(FileExistsError):
        tree.share(name)


def test_share_takes_force_false(name):
    tree = sharedmap.rbtree()
    tree.share(name, False)
    with pytest.raises(FileExistsError):
        tree.share(name, force=False)


def test_dump_returns_bytes():
    assert type(sharedmap.rbtree().dump()) is bytes


def test_dump_takes_a_name():
    assert type(sharedmap.rbtree().dump("label")) is bytes


def test_remove_returns_true(name):
    sharedmap.rbtree().share(name)
    assert sharedmap.rbtree.remove(name) is True


def test_remove_of_an_absent_name_returns_false(name):
    assert sharedmap.rbtree.remove(name) is False


def test_remove_works_through_an_instance(name):
    tree = sharedmap.rbtree()
    tree.share(name)
    assert tree.remove(name) is True


def test_remove_by_another_process_removes(name, other):
    sharedmap.rbtree().share(name)
    assert other.eval("sharedmap.rbtree.remove(name)", name=name) is True
    assert sharedmap.rbtree.remove(name) is False


def test_open_of_an_absent_name_raises_file_not_found_error(name):
    with pytest.raises(FileNotFoundError):
        sharedmap.sharedmap(name)


def test_get_in_another_process_returns_what_was_set(name, other):
    tree = sharedmap.rbtree()
    tree.set("aaa", "323")
    tree.share(name)
    assert other.eval("sharedmap.sharedmap(name).get('aaa')", name=name) == "323"


def test_get_of_an_absent_key_in_another_process_returns_none(name, other):
    sharedmap.rbtree().share(name)
    assert other.eval("sharedmap.sharedmap(name).get('aaa')", name=name) is None


def test_example_of_the_ancestor_gives_its_answers(names, other):
    name = names("test:3325 {}")
    tree = sharedmap.rbtree()
    tree.set("aaa", "323")
    tree.set("zb", "12")
    tree.set("tes", "ok")
    tree.set("红", "32是")
    assert tree.get("红") == "32是"
    tree.share(name, force=True)
    other.run("m = sharedmap.sharedmap(name)", name=name)
    assert other.eval("[m.get(k) for k in ('aaa', 'zb', 'tes', '红', 'no')]") == [
        "323",
        "12",
        "ok",
        "32是",
        None,
    ]


def test_public_names_are_the_documented_ones():
    # A submodule is there as soon as somebody has imported it.
    public = {
        name
        for name, thing in vars(sharedmap).items()
        if not name.startswith("_") and not isinstance(thing, types.ModuleType)
    }
    assert public == set(sharedmap.__all__) - {"__version__"}
    assert {"rbtree", "sharedmap", "SnapshotError"} <= public


def test_types_say_where_they_come_from():
    for documented in (sharedmap.rbtree, sharedmap.sharedmap, sharedmap.SnapshotError):
        assert documented.__module__ == "sharedmap"


def test_version_is_that_of_the_installed_package():
    assert sharedmap.__version__ == importlib.metadata.version("sharedmap")


def test_snapshot_error_is_a_value_error():
    assert issubclass(sharedmap.SnapshotError, ValueError)
