"""diff(): the keys in which two maps differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from live import map_of
from strategies import KEYS, VALUES, exact
from versions import SHAPES, History, make

import sharedmap
from sharedmap import rbtree


def difference(old, new):
    """By brute force."""
    return (
        [key for key in new if key not in old],
        [key for key in new if key in old and exact(new[key]) != exact(old[key])],
        [key for key in old if key not in new],
    )


def test_keys_are_added_changed_and_removed():
    old = map_of({"a": 1, "b": 2, "c": 3, "e": 5})
    new = map_of({"b": 2, "c": "3", "d": 4, "f": 6})
    assert new.diff(old) == (["d", "f"], ["c"], ["a", "e"])
    assert old.diff(new) == (["a", "e"], ["c"], ["d", "f"])


def test_map_does_not_differ_from_itself():
    m = map_of({"a": 1, "b": float("nan")})
    assert m.diff(m) == ([], [], [])
    assert map_of({"a": 1, "b": float("nan")}).diff(m) == ([], [], [])


def test_all_is_added_to_nothing_and_removed_from_all():
    nothing, something = map_of({}), map_of({"a": 1, "b": 2})
    assert something.diff(nothing) == (["a", "b"], [], [])
    assert nothing.diff(something) == ([], [], ["a", "b"])
    assert nothing.diff(nothing) == ([], [], [])


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0.0, -0.0), ("a", b"a")])
def test_value_of_another_type_or_with_other_bits_is_changed(one, other):
    assert map_of({"a": one}).diff(map_of({"a": other})) == ([], ["a"], [])


def test_many_differences_are_all_found():
    old = {f"{number:05}": number for number in range(5000)}
    new = {f"{number:05}": number % 7 for number in range(1000, 6000)}
    assert map_of(new).diff(map_of(old)) == difference(rbtree(old), rbtree(new))


@given(
    old=st.dictionaries(KEYS, VALUES, max_size=8),
    new=st.dictionaries(KEYS, VALUES, max_size=8),
    both=st.dictionaries(KEYS, VALUES, max_size=8),
)
def test_diff_is_that_of_dicts(old, new, both):
    left, right = map_of(both | old), map_of(both | new)
    assert right.diff(left) == difference(left, right)


# ---- versions of one file ----------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_versions_of_one_file_differ_as_other_maps_do(name, shape):
    before = History(name)
    base = before.open()
    history = make(shape, name, force=True)
    versions = [base, history.open()]
    for number in range(3):
        history.update({f"more {number}": number, "key 00007": number}, remove=["key 00009"])
        versions.append(history.open())
    for old in versions:
        for new in versions:
            copies = map_of(dict(old)), map_of(dict(new))
            assert new.diff(old) == copies[1].diff(copies[0]) == difference(old, new)


def test_value_that_was_changed_and_changed_back_is_the_same(name):
    history = History(name)
    old = history.open()
    before = old["key 00007"]
    history.update({"key 00007": "other"})
    history.update({"key 00007": before})
    with history.open() as new:
        assert new.generation == old.generation + 2
        assert new.diff(old) == ([], [], [])


def test_maps_that_follow_are_compared_as_they_are_now(name):
    history = History(name)
    with history.open() as old, history.open(follow=True) as new:
        assert new.diff(old) == ([], [], [])
        history.update({"zz": 1})
        assert new.diff(old) == (["zz"], [], [])


# ---- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{}, rbtree(), None, map_of({"a": 1})[:]])
def test_what_is_no_sharedmap_raises_type_error(wrong):
    with pytest.raises(TypeError, match=r"diff\(\) takes an older sharedmap, not "):
        map_of({}).diff(wrong)


def test_closed_map_raises_value_error():
    closed, m = map_of({}), map_of({})
    closed.close()
    for pair in ((closed, m), (m, closed)):
        with pytest.raises(ValueError, match="closed"):
            pair[0].diff(pair[1])


def test_key_that_is_damaged_raises_snapshot_error():
    data = bytearray(rbtree({"key": 1}).dump())
    data[data.index(b"key")] = 0xFF
    damaged = sharedmap.sharedmap.frombuffer(data)
    with pytest.raises(sharedmap.SnapshotError):
        damaged.diff(map_of({}))
