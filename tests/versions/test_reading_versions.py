"""A version is read as one dict is, whatever of it is in the base and whatever in deltas.

The maps have what each key can come to: it was never changed; replaced, removed or added by the old
delta; the same by the young one over each of these. Each test asks for all keys, and for those next
to them that are not there.
"""

import bisect
import collections
import copy
import itertools
import mmap
import operator
import pickle
import random
import types

import numpy
import pytest
from helpers import segment_path
from strategies import exact, exact_items
from versions import (
    SHAPES,
    History,
    base_entries,
    deltas_of,
    inode_of,
    key_of,
    make,
    two_deltas,
)

import sharedmap

ABSENT = object()

# The room, half of the base, is more than twice the largest value below.
ENTRIES_WITH_ROOM = 20_000


def address_of(view):
    return numpy.frombuffer(view, numpy.uint8).ctypes.data


class Case:
    """An open version, and what it must read like."""

    def __init__(self, history):
        self.name = history.name
        self.map = history.open()
        self.dict = {key: history.dict[key] for key in sorted(history.dict)}
        self.keys = list(self.dict)
        self.items = list(self.dict.items())
        # What was there once, what is between two keys, and what is at the ends.
        beside = (key + suffix for key in self.keys[:: len(self.keys) // 200] for suffix in "\0~")
        once = set(base_entries()) | {"", "a", "zz", "zzz", "key 00002+", "key 00002+ and more"}
        self.absent = [key for key in [*once, *beside, "\U0010ffff"] if key not in self.dict]
        assert len(self.absent) > 100


@pytest.fixture(scope="module", params=itertools.product(SHAPES, ["hash", "tree"]), ids=" ".join)
def case(request, module_names):
    shape, index = request.param
    case = Case(make(shape, module_names(), index=index))
    with case.map:
        yield case


# --- one key ----------------------------------------------------------------------------------


def test_item_of_each_key(case):
    for key, value in case.items:
        assert exact(case.map[key]) == exact(value)


def test_item_of_a_removed_or_absent_key_raises_key_error(case):
    for key in case.absent:
        with pytest.raises(KeyError) as caught:
            case.map[key]
        assert caught.value.args == (key,)


def test_get_of_each_key(case):
    for key, value in case.items:
        assert exact(case.map.get(key, ABSENT)) == exact(value)
    for key in case.absent:
        assert case.map.get(key) is None
        assert case.map.get(key, ABSENT) is ABSENT


def test_in_of_each_key(case):
    assert all(key in case.map for key in case.keys)
    assert not any(key in case.map for key in case.absent)


@pytest.mark.parametrize("form", [list, tuple, iter, dict.fromkeys])
def test_get_many_of_all_keys_in_any_order(case, form):
    keys = [*case.keys, *case.absent]
    random.Random(1).shuffle(keys)
    found = case.map.get_many(form(keys), ABSENT)
    assert list(map(exact, found)) == [exact(case.dict.get(key, ABSENT)) for key in keys]


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 33])
def test_get_many_of_a_group_that_meets_base_and_deltas(case, count):
    rng = random.Random(count)
    for _ in range(50):
        keys = rng.sample([*case.keys[:20], *case.absent[:20], *case.keys[-20:]], count)
        found = case.map.get_many(keys)
        assert list(map(exact, found)) == [exact(case.dict.get(key)) for key in keys]


@pytest.mark.parametrize("index", ["hash", "tree"])
def test_get_many_of_large_deltas_again_and_again(name, index):
    """From some number of keys on, they are filtered before the deltas are searched."""
    numbers = range(200_000)
    entries = {key_of(number): number for number in numbers}
    sharedmap.share(entries, name, index=index)
    for first, size in ((0, 9000), (10_000, 9000), (15_000, 100)):
        changed = {key_of(number): -number for number in numbers[first : first + size : 2]}
        odd = [key_of(number) for number in numbers[first + 1 : first + size : 4]]
        removed = [key for key in odd if key in entries]
        sharedmap.update(name, changed, remove=removed)
        entries |= changed
        for key in removed:
            del entries[key]
    assert len(deltas_of(name)) == 2
    m = sharedmap.sharedmap(name)
    keys = [key_of(number) for number in numbers[:30_000]] + ["", "absent"]
    expected = [entries.get(key) for key in keys]
    for _ in range(4):
        for first in range(0, len(keys), 5000):
            assert m.get_many(keys[first : first + 5000]) == expected[first : first + 5000]
    m.close()


def test_view_of_each_key_has_the_bytes_of_the_value(case):
    for key, value in case.items:
        view = case.map.view(key)
        assert view.readonly
        if type(value) is bytes:
            assert view == value
        elif type(value) is str:
            assert view == value.encode("utf-8", "surrogatepass")
    for key in case.absent:
        with pytest.raises(KeyError):
            case.map.view(key)


# --- all of them ------------------------------------------------------------------------------


def test_len_and_bool(case):
    assert len(case.map) == len(case.dict)
    assert bool(case.map) is True


def test_iteration_in_order(case):
    assert list(case.map) == case.keys
    assert exact_items(case.map.items()) == exact_items(case.items)
    assert list(map(exact, case.map.values())) == [exact(value) for _, value in case.items]
    assert list(case.map.keys()) == case.keys


def test_iteration_from_the_end(case):
    assert list(reversed(case.map)) == case.keys[::-1]
    assert exact_items(reversed(case.map.items())) == exact_items(case.items[::-1])
    assert list(map(exact, reversed(case.map.values()))) == [exact(v) for _, v in case.items[::-1]]
    assert list(reversed(case.map.keys())) == case.keys[::-1]


def test_iterators_in_turns_do_not_disturb_each_other(case):
    rng = random.Random(2)
    forward = [iter(case.map.items()) for _ in range(3)]
    backward = [reversed(case.map) for _ in range(3)]
    at = dict.fromkeys(range(6), 0)
    for _ in range(2000):
        number = rng.randrange(6)
        if number < 3:
            found = next(forward[number])
            assert exact_items([found]) == exact_items([case.items[at[number]]])
        else:
            assert next(backward[number - 3]) == case.keys[-1 - at[number]]
        at[number] += 1


def test_length_hint_of_an_iterator_counts_what_is_left(case):
    iterator = iter(case.map)
    assert operator.length_hint(iterator) == len(case.dict)
    next(iterator)
    assert operator.length_hint(iterator) == len(case.dict) - 1


def test_membership_in_views(case):
    keys, items = case.map.keys(), case.map.items()
    for key, value in case.items:
        assert key in keys
        assert (key, value) in items
        assert (key, ABSENT) not in items
    for key in case.absent:
        assert key not in keys
        assert (key, None) not in items
    assert all(value in case.map.values() for _, value in case.items[:10])
    assert ABSENT not in case.map.values()


@pytest.mark.parametrize("kind", ["keys", "items"])
@pytest.mark.parametrize(
    "operation", [operator.and_, operator.or_, operator.sub, operator.xor], ids=lambda o: o.__name__
)
def test_set_operations_of_views(case, kind, operation):
    rng = random.Random(3)
    some = dict(rng.sample(case.items, 100)) | dict.fromkeys(case.absent, 1)
    ours, view = set(getattr(case.dict, kind)()), getattr(case.map, kind)()
    theirs = getattr(some, kind)()
    assert operation(view, theirs) == operation(ours, set(theirs))
    assert operation(theirs, view) == operation(set(theirs), ours)
    assert operation(view, view) == operation(ours, ours)


@pytest.mark.parametrize("kind", ["keys", "items"])
def test_comparisons_of_views(case, kind):
    ours, view = set(getattr(case.dict, kind)()), getattr(case.map, kind)()
    assert view == ours
    assert view >= ours
    assert not view > ours
    less = set(itertools.islice(ours, 100))
    assert view > less
    assert not view <= less
    assert view.isdisjoint(set()) and not view.isdisjoint(less)
    absent = case.absent if kind == "keys" else [(key, 1) for key in case.absent]
    assert view.isdisjoint(absent)


def test_comparison_with_dicts_and_maps(case, name):
    assert case.map == case.dict
    assert case.map == collections.UserDict(case.dict)
    assert case.map == types.MappingProxyType(case.dict)
    assert case.map == sharedmap.rbtree(case.dict)
    assert case.map == case.map
    sharedmap.share(case.dict, name)
    with sharedmap.sharedmap(name) as flat:
        assert case.map == flat
        assert flat == case.map
    for key in (case.keys[0], case.keys[1], case.keys[-1], case.keys[2500]):
        assert case.map != case.dict | {key: ABSENT}
        assert case.map != {k: v for k, v in case.dict.items() if k != key}
    assert case.map != case.dict | {case.absent[0]: 1}


# --- order ------------------------------------------------------------------------------------


def test_peekitem_at_each_index_from_both_ends(case):
    length = len(case.keys)
    indices = list(range(length))
    random.Random(4).shuffle(indices)
    for index in indices:
        expected = exact_items([case.items[index]])
        assert exact_items([case.map.peekitem(index)]) == expected
        assert exact_items([case.map.peekitem(index - length)]) == expected
    for index in (length, -length - 1):
        with pytest.raises(IndexError):
            case.map.peekitem(index)


def test_index_and_bisect_of_each_key(case):
    for index, key in enumerate(case.keys):
        assert case.map.index(key) == index
        assert case.map.bisect_left(key) == index
        assert case.map.bisect_right(key) == index + 1
    for key in case.absent:
        with pytest.raises(ValueError, match="is not in"):
            case.map.index(key)
        index = bisect.bisect_left(case.keys, key)
        assert case.map.bisect_left(key) == case.map.bisect_right(key) == index


def test_floor_and_ceiling_of_each_key(case):
    for key in case.keys:
        assert case.map.floor(key) == case.map.ceiling(key) == key
    for key in case.absent:
        index = bisect.bisect_left(case.keys, key)
        assert case.map.floor(key) == (case.keys[index - 1] if index > 0 else None)
        assert case.map.ceiling(key) == (case.keys[index] if index < len(case.keys) else None)


def test_first_and_last(case):
    assert exact_items([case.map.first()]) == exact_items(case.items[:1])
    assert exact_items([case.map.last()]) == exact_items(case.items[-1:])


def check_part(part, items):
    """A range has the entries, and answers as a map of these alone."""
    keys = [key for key, _ in items]
    assert exact_items(part.items()) == exact_items(items)
    assert list(reversed(part)) == keys[::-1]
    assert len(part) == len(keys)
    for index in {*range(len(items))[:20], *range(len(items))[-20:]}:
        key, value = items[index]
        assert exact(part[key]) == exact(value)
        assert key in part
        assert part.index(key) == index
        assert exact_items([part.peekitem(index)]) == exact_items([(key, value)])
    if items:
        assert exact_items([part.first(), part.last()]) == exact_items([items[0], items[-1]])
    else:
        with pytest.raises(KeyError):
            part.first()


def bounds_of(case):
    """What is in the deltas, once was there, or is next to it; and some of the rest."""
    rng = random.Random(5)
    near = ["", "a", "key 00002+", "key 00002+ and more", "zz", "zzz", *map(key_of, range(8))]
    bounds = [None, *near, *rng.sample(case.keys, 12), *rng.sample(case.absent, 8), "\U0010ffff"]
    return [(low, high) for low in bounds for high in rng.sample(bounds, 6)]


def test_ranges(case):
    for low, high in bounds_of(case):
        begin = 0 if low is None else bisect.bisect_left(case.keys, low)
        end = len(case.keys) if high is None else bisect.bisect_left(case.keys, high)
        check_part(case.map[low:high], case.items[begin:end])


def test_prefixes(case):
    for prefix in ("", "k", "key 00002", "key 0000", "key 0499", "new ", "z", "zz", "key 00002+ "):
        expected = [(key, value) for key, value in case.items if key.startswith(prefix)]
        check_part(case.map.prefix(prefix), expected)


def test_ranges_and_prefixes_of_ranges(case):
    rng = random.Random(6)
    for low, high in rng.sample(bounds_of(case), 60):
        outer = [(k, v) for k, v in case.items if (low or "") <= k and (high is None or k < high)]
        for inner, prefix in [(key_of(2), "key 0"), (key_of(4900), "key 04"), ("a", "z")]:
            expected = [(k, v) for k, v in outer if k >= inner]
            check_part(case.map[low:high][inner:], expected)
            expected = [(k, v) for k, v in expected if k.startswith(prefix)]
            check_part(case.map[low:high][inner:].prefix(prefix), expected)
            check_part(case.map.prefix(prefix)[inner:][low:high], expected)


# --- another map or tree of it ----------------------------------------------------------------


def test_verify_checks_it_without_complaint(case):
    assert case.map.verify() is None


def test_tree_of_it(case):
    tree = sharedmap.rbtree(case.map)
    assert exact_items(tree.items()) == exact_items(case.items)


def test_dump_of_a_tree_of_it_is_that_of_a_tree_of_the_dict(case):
    def without_identity(data):
        return data[:136] + data[168:]

    ours, theirs = (sharedmap.rbtree(source).dump() for source in (case.map, case.dict))
    assert len(ours) == len(theirs)
    assert without_identity(ours) == without_identity(theirs)


def test_share_of_it_is_a_map_without_deltas(case, name):
    sharedmap.share(case.map, name)
    assert deltas_of(name) == []
    with sharedmap.sharedmap(name) as flat:
        flat.verify()
        assert exact_items(flat.items()) == exact_items(case.items)


def test_share_of_a_part_of_it_has_that_part(case, name):
    sharedmap.share(case.map[key_of(1) : key_of(4990)], name)
    with sharedmap.sharedmap(name) as part:
        part.verify()
        expected = [(k, v) for k, v in case.items if key_of(1) <= k < key_of(4990)]
        assert exact_items(part.items()) == exact_items(expected)


def test_save_of_it_is_a_file_without_deltas(case, tmp_path):
    path = tmp_path / "a.map"
    sharedmap.rbtree(case.map).save(path)
    with sharedmap.sharedmap.open(path) as saved:
        saved.verify()
        assert exact_items(saved.items()) == exact_items(case.items)
        assert saved.nbytes == path.stat().st_size


def test_share_over_its_own_name_keeps_the_entries(case, name):
    sharedmap.share(case.map, name)
    sharedmap.update(name, {"own": 1}, remove=[case.keys[0]])
    with sharedmap.sharedmap(name) as version:
        sharedmap.share(version, name, force=True)
        assert version.refresh() is True
        expected = {**case.dict, "own": 1}
        del expected[case.keys[0]]
        assert version == expected
    assert deltas_of(name) == []


def test_update_with_a_version_as_the_changes(case, name):
    sharedmap.share({"one": 1}, name)
    sharedmap.update(name, case.map)
    with sharedmap.sharedmap(name) as updated:
        assert updated == case.dict | {"one": 1}


def test_pickled_version_is_the_same_version(case, other):
    with pickle.loads(pickle.dumps(case.map)) as again:
        assert (again.id, again.generation) == (case.map.id, case.map.generation)
        assert exact_items(again.items()) == exact_items(case.items)
    other.run("import pickle; m = pickle.loads(data)", data=pickle.dumps(case.map))
    assert other.eval("dict(m)") == case.dict
    other.run("m.close()")


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, sharedmap.sharedmap.snapshot])
def test_copy_is_the_same_version(case, take):
    with take(case.map) as again:
        assert (again.id, again.nbytes) == (case.map.id, case.map.nbytes)
        assert exact_items(again.items()) == exact_items(case.items)


def test_buffer_of_the_file_is_read_with_its_deltas(case):
    with open(segment_path(case.name), "rb") as file:
        data = file.read()
    with sharedmap.sharedmap.frombuffer(data) as opened:
        opened.verify()
        assert exact_items(opened.items()) == exact_items(case.items)
        assert (opened.id, opened.nbytes) == (case.map.id, case.map.nbytes)
        with pickle.loads(pickle.dumps(opened)) as again:
            again.verify()
            assert exact_items(again.items()) == exact_items(case.items)
            assert (again.id, again.nbytes) == (case.map.id, case.map.nbytes)


def test_buffer_that_grows_is_pickled_as_the_version_that_it_was(history):
    """The buffer is the file itself, whose head leads beyond the buffer by then."""
    for _ in range(3):
        with open(segment_path(history.name), "rb") as file:
            data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        with sharedmap.sharedmap.frombuffer(data) as opened:
            expected = exact_items(sorted(history.dict.items()))
            history.update({"newer": opened.generation})
            with pickle.loads(pickle.dumps(opened)) as again:
                again.verify()
                assert exact_items(again.items()) == exact_items(opened.items()) == expected
                assert (again.id, again.nbytes) == (opened.id, opened.nbytes)


def test_copy_of_the_file_is_read_with_its_deltas(case, tmp_path):
    path = tmp_path / "copied.map"
    with open(segment_path(case.name), "rb") as file:
        path.write_bytes(file.read())
    with sharedmap.sharedmap.open(path) as opened:
        opened.verify()
        assert exact_items(opened.items()) == exact_items(case.items)
        assert opened.id == case.map.id


def test_file_that_was_cut_within_its_deltas_raises_snapshot_error(case, tmp_path):
    path = tmp_path / "cut.map"
    with open(segment_path(case.name), "rb") as file:
        data = file.read()
    first = min(delta.begin for delta in deltas_of(case.name))
    for size in (first, first + 64, first + 128, case.map.nbytes - 64, case.map.nbytes - 1):
        path.write_bytes(data[:size])
        with pytest.raises(sharedmap.SnapshotError):
            sharedmap.sharedmap.open(path)
        with pytest.raises(sharedmap.SnapshotError):
            sharedmap.sharedmap.frombuffer(data[:size])


# --- values -----------------------------------------------------------------------------------


@pytest.fixture
def history(name):
    return History(name)


def test_hooks_encode_changes_and_decode_what_is_in_deltas(name):
    plain = {key: ("base", key) for key in base_entries()}
    sharedmap.share(plain, name, encode=pickle.dumps)
    some = {f"new {number}": ("old", number) for number in range(100)}
    sharedmap.update(name, {key_of(7): ("old", 1), "new": ("new",), **some}, encode=pickle.dumps)
    sharedmap.update(name, {key_of(8): (2,), "native": 5}, [key_of(9)], encode=pickle.dumps)
    assert len(deltas_of(name)) == 2
    expected = {
        **plain,
        **some,
        key_of(7): ("old", 1),
        "new": ("new",),
        key_of(8): (2,),
        "native": 5,
    }
    del expected[key_of(9)]
    with sharedmap.sharedmap(name, decode=pickle.loads) as shared:
        assert dict(shared) == expected
        assert shared == expected
        assert [shared[key_of(7)], shared.get("new")] == [("old", 1), ("new",)]
        assert shared.get_many([key_of(8), key_of(9), "native", key_of(10)]) == [
            (2,),
            None,
            5,
            ("base", key_of(10)),
        ]
        assert pickle.loads(shared.view(key_of(7))) == ("old", 1)
    with sharedmap.sharedmap(name) as shared, pytest.raises(TypeError, match="decode="):
        shared[key_of(7)]


@pytest.mark.parametrize("size", [1, 59, 60, 61, 255, 256, 65_535, 65_536, 100_000])
@pytest.mark.parametrize("value", [b"b", "s", "é"], ids=["bytes", "str", "wide"])
def test_values_of_any_size_in_a_delta(name, value, size):
    # Large enough that it is not the value that has the map copied.
    history = History(name, base_entries(ENTRIES_WITH_ROOM))
    history.update({"large": value * size} | {f"other {n}": n for n in range(100)})
    history.update({"young": 1})
    assert len(deltas_of(name)) == 2
    with history.open() as shared:
        assert shared["large"] == value * size
        assert shared.view("large") == (
            value * size if type(value) is bytes else (value * size).encode()
        )
        shared.verify()


def test_value_larger_than_the_room_has_the_map_copied(history):
    with history.open() as before:
        size = before.nbytes
        inode = inode_of(history.name)
        history.update({"large": bytes(size)})
        assert inode_of(history.name) != inode
        assert before.stale
        assert before.refresh()
        assert before == history.dict


def test_large_value_is_not_written_again_by_later_updates(name):
    history = History(name, base_entries(ENTRIES_WITH_ROOM))
    history.update({"large": bytes(50_000)})
    for number in range(50):
        history.update({f"small {number}": number})
        assert deltas_of(name)[0].size < 30_000
    with history.open() as shared:
        assert shared == history.dict
        shared.verify()


def test_keys_of_any_size_and_character_in_a_delta(history):
    keys = ["", "\0", "x" * 123, "x" * 124, "x" * 5000, "é" * 70, "红", "\ud800", "\U0010ffff" * 9]
    history.update({key: f"value of {len(key)}" for key in keys})
    history.update({key + "+": None for key in keys}, remove=["x" * 124])
    assert len(deltas_of(history.name)) == 2
    with history.open() as shared:
        shared.verify()
        assert list(shared.items()) == sorted(history.dict.items())
        for key in keys:
            assert shared.get(key) == history.dict.get(key)


def test_view_of_a_value_in_a_delta_stays_valid(history):
    expected = bytes(range(256)) * 20
    history.update({"bytes": expected, key_of(2): b"in the base before"})
    with history.open(follow=True) as shared:
        view, replaced = shared.view("bytes"), shared.view(key_of(2))
        for number in range(400):
            history.update({"bytes": b"x" * (number % 100), key_of(2): bytes(number)})
        assert shared["bytes"] == history.dict["bytes"]
    assert view == expected
    assert replaced == b"in the base before"


def test_bytes_in_a_delta_are_aligned_as_in_a_base(history):
    history.update({f"bytes {n}": bytes(n) for n in range(40)} | {"k" * n: "" for n in range(40)})
    assert len(deltas_of(history.name)) == 1
    with history.open() as shared:
        for number in range(8, 40):
            view = shared.view(f"bytes {number}")
            assert address_of(view) % 8 == 0


def test_iterator_of_a_version_goes_on_with_it_after_updates(history):
    two_deltas(history)
    expected = sorted(history.dict.items())
    with history.open(follow=True) as shared:
        iterator = iter(shared.items())
        found = [next(iterator) for _ in range(10)]
        for number in range(300):
            history.update({key_of(number): "later"}, remove=[key_of(number + 1000)])
        assert shared == history.dict
        found += iterator
    assert exact_items(found) == exact_items(expected)
